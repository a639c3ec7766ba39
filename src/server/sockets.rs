//! The sockets of one shard, and what is known of them: which may have something to read, and
//! which has no room.
//!
//! It must not know what datagrams mean. Invariant: readiness is told once, so a socket counts as
//! readable from when it was told until a receive has left nothing behind.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token, Waker};

use crate::core::server::{Route, Transmit};
use crate::net::{Batch, SendError, Socket};

/// Token of the waker; sockets have their index.
const WAKER: Token = Token(usize::MAX);

/// When polling busily: how many looks at the sockets go by before the selector is asked, which
/// costs as much as a look and tells of nothing that the others do not, but for errors.
const LOOKS: u32 = 64;

pub(super) struct Sockets {
    poll: Poll,
    events: Events,
    listeners: Vec<Listener>,
    /// Looks at the sockets since the selector was asked.
    looks: u32,
}

struct Listener {
    socket: Socket,
    readable: bool,
    /// It tells when it has room, too: asked only while a transmit waits for that, because it
    /// would wake the loop for every datagram that has left.
    tells_room: bool,
}

impl Sockets {
    /// These sockets, and what wakes whoever waits for them.
    ///
    /// # Errors
    ///
    /// When the operating system has no selector to give.
    pub(super) fn new(sockets: Vec<Socket>) -> io::Result<(Self, Arc<Waker>)> {
        let poll = Poll::new()?;
        let mut listeners = Vec::new();
        for (index, mut socket) in sockets.into_iter().enumerate() {
            poll.registry().register(&mut socket, Token(index), Interest::READABLE)?;
            listeners.push(Listener { socket, readable: true, tells_room: false });
        }
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        Ok((Self { poll, events: Events::with_capacity(64), listeners, looks: 0 }, waker))
    }

    pub(super) fn len(&self) -> usize {
        self.listeners.len()
    }

    pub(super) fn get(&self, index: usize) -> Option<&Socket> {
        self.listeners.get(index).map(|listener| &listener.socket)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Socket> {
        self.listeners.iter().map(|listener| &listener.socket)
    }

    pub(super) fn local_addrs(&self) -> Vec<SocketAddr> {
        self.iter().map(Socket::local).collect()
    }

    /// Whether there may be something to read.
    pub(super) fn any_readable(&self) -> bool {
        self.listeners.iter().any(|listener| listener.readable)
    }

    /// Waits until a socket is ready, or somebody wakes it, or until the time is over.
    ///
    /// # Errors
    ///
    /// When the operating system's waiting itself fails.
    pub(super) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.looks = 0;
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => result?,
        }
        for event in &self.events {
            if let Some(listener) = self.listeners.get_mut(event.token().0) {
                listener.readable |= event.is_readable() || event.is_error();
            }
        }
        Ok(())
    }

    /// Does not wait, and lets every socket be looked at.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub(super) fn look(&mut self) -> io::Result<()> {
        self.looks += 1;
        if self.looks >= LOOKS {
            self.wait(Some(Duration::ZERO))?;
        }
        self.listeners.iter_mut().for_each(|listener| listener.readable = true);
        Ok(())
    }

    /// Receives one batch from a socket that may have something to read.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when nothing is there; any other error is about an earlier datagram, and the
    /// socket goes on.
    pub(super) fn receive(&mut self, index: usize, batch: &mut Batch) -> io::Result<()> {
        let listener = self.listeners.get_mut(index).filter(|listener| listener.readable);
        let listener = listener.ok_or(io::ErrorKind::WouldBlock)?;
        let result = listener.socket.receive(batch);
        listener.readable = match &result {
            Ok(()) => !batch.is_all(),
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        };
        result
    }

    /// Sends a transmit's bytes, or what is left of them.
    ///
    /// # Errors
    ///
    /// See [`SendError`]. A socket without room tells in [`wait`](Self::wait) when it has some.
    pub(super) fn send(&mut self, transmit: &Transmit, contents: &[u8]) -> Result<(), SendError> {
        let Route { remote, local, socket: index } = transmit.route;
        let Some(listener) = self.listeners.get_mut(index) else { return Ok(()) };
        let socket = &mut listener.socket;
        let result = socket.send(remote, local, contents, transmit.segment_size);
        let blocked = matches!(result, Err(SendError::WouldBlock { .. }));
        if blocked != listener.tells_room {
            listener.tells_room = blocked;
            let writable = blocked.then_some(Interest::WRITABLE);
            let interest = writable.map_or(Interest::READABLE, |w| w | Interest::READABLE);
            if let Err(error) = self.poll.registry().reregister(socket, Token(index), interest) {
                log::warn!("{}: waiting for room: {error}", socket.local());
            }
        }
        result
    }
}
