//! The sockets of a link, one for each server address in use.

use std::io;
use std::net::SocketAddr;

use mio::event::Event;
use mio::{Interest, Registry, Token};

use crate::net::{SendError, Socket};

/// A server address in use, and the socket for it.
pub(super) struct Peer {
    pub(super) server: SocketAddr,
    pub(super) socket: Socket,
    /// There may be something to receive: readiness is told once, so it is remembered.
    pub(super) readable: bool,
    /// The socket tells when it has room, too: asked only while something waits for that, because
    /// it would wake the link for every datagram that has left.
    tells_room: bool,
}

/// Sockets for server addresses; their tokens are their places.
#[derive(Default)]
pub(super) struct Peers(Vec<Peer>);

impl Peers {
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Peer> {
        self.0.iter_mut()
    }

    /// Takes note of what the poll says of a socket.
    pub(super) fn note(&mut self, event: &Event) {
        if let Some(peer) = self.0.get_mut(event.token().0) {
            peer.readable |= event.is_readable() || event.is_error();
        }
    }

    /// Forgets all sockets: what is sent from now on goes out from others.
    pub(super) fn rebind(&mut self, registry: &Registry) {
        for mut peer in self.0.drain(..) {
            // A socket that the poll no longer knows only brings nothing more.
            let _ = registry.deregister(&mut peer.socket);
        }
    }

    /// Forgets all sockets without a word to the kernel, which has one of each for this process
    /// and for another.
    pub(super) fn forked(&mut self) {
        self.0.clear();
    }

    /// Hands datagrams to the kernel. A refusal that it tells now is an earlier datagram's, from
    /// before whatever these ask, and they were not tried yet: they are handed over once more, and
    /// bring a refusal of their own if nobody listens.
    pub(super) fn send(
        &mut self,
        registry: &Registry,
        server: SocketAddr,
        contents: &[u8],
        segment: Option<usize>,
    ) -> Result<(), SendError> {
        let place =
            self.place(registry, server).map_err(|error| SendError::Unsent(error.kind()))?;
        let Some(peer) = self.0.get_mut(place) else {
            return Err(SendError::Unsent(io::ErrorKind::NotFound));
        };
        let mut result = peer.socket.send(server, None, contents, segment);
        if result == Err(SendError::Unsent(io::ErrorKind::ConnectionRefused)) {
            result = peer.socket.send(server, None, contents, segment);
        }
        let blocked = matches!(result, Err(SendError::WouldBlock { .. }));
        peer.ask_for_room(registry, Token(place), blocked);
        result
    }

    /// The place of the socket for this server, made if there is none.
    fn place(&mut self, registry: &Registry, server: SocketAddr) -> io::Result<usize> {
        if let Some(known) = self.0.iter().position(|peer| peer.server == server) {
            return Ok(known);
        }
        let mut socket = Socket::connect(server)?;
        registry.register(&mut socket, Token(self.0.len()), Interest::READABLE)?;
        self.0.push(Peer { server, socket, readable: false, tells_room: false });
        Ok(self.0.len() - 1)
    }
}

impl Peer {
    fn ask_for_room(&mut self, registry: &Registry, token: Token, blocked: bool) {
        if blocked == self.tells_room {
            return;
        }
        self.tells_room = blocked;
        let interest = match blocked {
            true => Interest::READABLE | Interest::WRITABLE,
            false => Interest::READABLE,
        };
        if let Err(error) = registry.reregister(&mut self.socket, token, interest) {
            log::warn!("waiting for room on the way to {}: {error}", self.server);
        }
    }
}
