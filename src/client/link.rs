//! What connects a client's state machine with the world: sockets, clock, waiting, and the faulty
//! path that a user may put between.
//!
//! A state machine does not know of it. It is turned: what the machine has to send goes out, what
//! arrives goes in, and the time is told, until there is nothing to do but wait.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mio::{Events, Interest, Poll, Token, Waker};

use super::observe::{Direction, Observation, Observer};
use crate::core::client::{Client, Inquiry, Transmit};
use crate::core::fault::{Faults, FaultyPath};
use crate::core::{Seed, Time};
use crate::net::{Batch, Clock, SendError, Socket};

/// A state machine that a [`Link`] can turn.
pub(super) trait Machine {
    fn handle_datagram(&mut self, now: Time, from: SocketAddr, datagram: &[u8]);
    fn handle_refused(&mut self, now: Time, server: SocketAddr);
    fn handle_unsent(&mut self, now: Time, transmit: &Transmit);
    fn handle_timeout(&mut self, now: Time);
    fn poll_transmit(&mut self, now: Time, out: &mut Vec<u8>) -> Option<Transmit>;
    fn poll_timeout(&self) -> Option<Time>;
    /// Whether it has something to tell its driver, who then does not sleep.
    fn has_news(&self) -> bool;
}

impl Machine for Client {
    fn handle_datagram(&mut self, now: Time, from: SocketAddr, datagram: &[u8]) {
        Client::handle_datagram(self, now, from, datagram);
    }

    fn handle_refused(&mut self, now: Time, server: SocketAddr) {
        Client::handle_refused(self, now, server);
    }

    fn handle_unsent(&mut self, now: Time, transmit: &Transmit) {
        Client::handle_unsent(self, now, transmit);
    }

    fn handle_timeout(&mut self, now: Time) {
        Client::handle_timeout(self, now);
    }

    fn poll_transmit(&mut self, now: Time, out: &mut Vec<u8>) -> Option<Transmit> {
        Client::poll_transmit(self, now, out)
    }

    fn poll_timeout(&self) -> Option<Time> {
        Client::poll_timeout(self)
    }

    fn has_news(&self) -> bool {
        self.has_events()
    }
}

impl Machine for Inquiry {
    fn handle_datagram(&mut self, now: Time, from: SocketAddr, datagram: &[u8]) {
        Inquiry::handle_datagram(self, now, from, datagram);
    }

    fn handle_refused(&mut self, now: Time, server: SocketAddr) {
        Inquiry::handle_refused(self, now, server);
    }

    fn handle_unsent(&mut self, now: Time, transmit: &Transmit) {
        Inquiry::handle_unsent(self, now, transmit);
    }

    fn handle_timeout(&mut self, now: Time) {
        Inquiry::handle_timeout(self, now);
    }

    fn poll_transmit(&mut self, now: Time, out: &mut Vec<u8>) -> Option<Transmit> {
        Inquiry::poll_transmit(self, now, out)
    }

    fn poll_timeout(&self) -> Option<Time> {
        Inquiry::poll_timeout(self)
    }

    fn has_news(&self) -> bool {
        self.fate().is_some()
    }
}

/// Token of the waker; sockets have their index.
const WAKER: Token = Token(usize::MAX);

/// Receives in one turn before time is looked at again, so that no flood starves the timers.
const RECEIVES_PER_TURN: usize = 16;

/// Sockets, one for each server address in use, and what stands between them and the machine.
pub(super) struct Link {
    poll: Poll,
    interrupter: Interrupter,
    events: Events,
    sockets: Vec<(SocketAddr, Socket)>,
    batch: Box<Batch>,
    clock: Clock,
    started: Time,
    /// The transmit under way; kept so that its memory is used again.
    out: Vec<u8>,
    path: Option<BadPath>,
    observer: Option<Observer>,
    /// There was more to receive when the last turn ended: readiness will not be told again.
    more: bool,
}

/// Ends a client's wait early, from any thread.
#[derive(Debug, Clone)]
pub struct Interrupter {
    waker: Arc<Waker>,
    /// That a wait is to end, and not only the link to look around.
    asked: Arc<AtomicBool>,
}

impl Interrupter {
    fn new(poll: &Poll) -> io::Result<Self> {
        Ok(Self { waker: Arc::new(Waker::new(poll.registry(), WAKER)?), asked: Arc::default() })
    }

    /// Ends the wait in which the client is, or else its next one.
    pub fn interrupt(&self) {
        self.asked.store(true, Ordering::Release);
        self.wake();
    }

    /// Ends the turn in which the link is, or else its next one; the wait goes on.
    pub(super) fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            log::error!("cannot wake the client: {error}");
        }
    }
}

/// The faulty path, one for each way.
struct BadPath {
    outward: FaultyPath<(Vec<u8>, SocketAddr)>,
    inward: FaultyPath<(Vec<u8>, SocketAddr)>,
}

impl Link {
    pub(super) fn new(faults: Faults, seed: &Seed, observer: Option<Observer>) -> io::Result<Self> {
        let clock = Clock::start();
        let path = (!faults.is_none()).then(|| {
            // Two directions, two seeds.
            let mut back = *seed;
            back.0.reverse();
            BadPath {
                outward: FaultyPath::new(faults, seed),
                inward: FaultyPath::new(faults, &back),
            }
        });
        let poll = Poll::new()?;
        Ok(Self {
            interrupter: Interrupter::new(&poll)?,
            poll,
            events: Events::with_capacity(16),
            sockets: Vec::new(),
            batch: Box::new(Batch::new()),
            started: clock.now(),
            clock,
            out: Vec::new(),
            path,
            observer,
            more: false,
        })
    }

    /// The time.
    pub(super) fn now(&self) -> Time {
        self.clock.now()
    }

    /// Sends what `machine` has to send, waits for a datagram, a timer or `until`, and hands in
    /// what came. Returns after one wait; true if a signal or an [`Interrupter`] ended it early.
    pub(super) fn turn(&mut self, machine: &mut impl Machine, until: Time) -> io::Result<bool> {
        self.flush(machine);
        let now = self.now();
        let wake = [machine.poll_timeout(), self.path_timeout()]
            .into_iter()
            .flatten()
            .fold(until, Time::min);
        let at_once = self.more || machine.has_news();
        let wait = if at_once { Duration::ZERO } else { wake.since(now) };
        let waited = self.poll.poll(&mut self.events, Some(wait));
        if waited.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) {
            return Ok(true);
        }
        // Even if there was no waiting, deadlines come.
        let woken = waited.is_ok() && self.events.iter().any(|e| e.token() == WAKER);
        let interrupted = woken && self.interrupter.asked.swap(false, Ordering::Acquire);
        self.receive(machine);
        let now = self.now();
        self.run_path(machine, now);
        machine.handle_timeout(now);
        self.flush(machine);
        waited.map(|()| interrupted)
    }

    /// What ends a wait early.
    pub(super) fn interrupter(&self) -> Interrupter {
        self.interrupter.clone()
    }

    /// The clock in which the machine is told the time.
    pub(super) fn clock(&self) -> Clock {
        self.clock
    }

    /// Takes up another address of this host for all that is sent from now on: what a roaming
    /// client does. Sessions and calls go on.
    pub(super) fn rebind(&mut self) {
        for (_, socket) in &mut self.sockets {
            // A socket that the poll no longer knows only brings nothing more.
            let _ = self.poll.registry().deregister(socket);
        }
        self.sockets.clear();
    }

    /// To be called in the new process after a fork. Poll, waker and sockets stay with the parent:
    /// the kernel has one of each for both, and what were done to them here would be done to it.
    ///
    /// # Errors
    ///
    /// As [`Link::new`].
    pub(super) fn forked(&mut self) -> io::Result<()> {
        let poll = Poll::new()?;
        self.interrupter = Interrupter::new(&poll)?;
        self.poll = poll;
        self.sockets.clear();
        self.more = false;
        if let Some(path) = &mut self.path {
            while path.outward.poll(Time::MAX).is_some() {}
            while path.inward.poll(Time::MAX).is_some() {}
        }
        Ok(())
    }

    /// Sends all that `machine` has to send.
    pub(super) fn flush(&mut self, machine: &mut impl Machine) {
        loop {
            let now = self.now();
            let mut out = std::mem::take(&mut self.out);
            out.clear();
            let transmit = machine.poll_transmit(now, &mut out);
            if let Some(transmit) = &transmit {
                self.transmit(machine, now, transmit, &out);
            }
            self.out = out;
            if transmit.is_none() {
                return;
            }
        }
    }

    fn transmit(
        &mut self,
        machine: &mut impl Machine,
        now: Time,
        transmit: &Transmit,
        contents: &[u8],
    ) {
        let server = transmit.remote;
        let size = transmit.segment_size.unwrap_or(contents.len()).max(1);
        let Some(path) = &mut self.path else {
            for datagram in contents.chunks(size) {
                observe(
                    &mut self.observer,
                    now.since(self.started),
                    Direction::Sent,
                    server,
                    datagram,
                    None,
                );
            }
            return self.send(machine, now, transmit, contents);
        };
        for datagram in contents.chunks(size) {
            let fate = path.outward.push(now, (datagram.to_vec(), server));
            let at = now.since(self.started);
            observe(&mut self.observer, at, Direction::Sent, server, datagram, Some(fate));
        }
        self.run_path(machine, now);
    }

    fn send(
        &mut self,
        machine: &mut impl Machine,
        now: Time,
        transmit: &Transmit,
        contents: &[u8],
    ) {
        let alone = transmit.segment_size.is_none();
        let result = self.hand_over(transmit.remote, contents, transmit.segment_size);
        match result {
            // Counted as sent whatever became of it, unless the kernel took none of it.
            Ok(()) | Err(SendError::Failed(_)) => {}
            Err(SendError::Unsent(_) | SendError::WouldBlock { .. }) if alone => {
                machine.handle_unsent(now, transmit);
            }
            Err(_) => {}
        }
        if let Err(error) = result {
            log::debug!("sending to {}: {error:?}", transmit.remote);
        }
    }

    /// Hands datagrams to the kernel. A refusal that it tells now is an earlier datagram's, from
    /// before whatever these ask, and they were not tried yet: they are handed over once more, and
    /// bring a refusal of their own if nobody listens.
    fn hand_over(
        &mut self,
        server: SocketAddr,
        contents: &[u8],
        segment: Option<usize>,
    ) -> Result<(), SendError> {
        match self.send_once(server, contents, segment) {
            Err(SendError::Unsent(io::ErrorKind::ConnectionRefused)) => {
                self.send_once(server, contents, segment)
            }
            result => result,
        }
    }

    fn send_once(
        &mut self,
        server: SocketAddr,
        contents: &[u8],
        segment: Option<usize>,
    ) -> Result<(), SendError> {
        let socket = self.socket(server).map_err(|error| SendError::Unsent(error.kind()))?;
        socket.send(server, None, contents, segment)
    }

    /// The socket for this server.
    fn socket(&mut self, server: SocketAddr) -> io::Result<&mut Socket> {
        let known = self.sockets.iter().position(|(address, _)| *address == server);
        let index = match known {
            Some(index) => index,
            None => {
                let mut socket = Socket::connect(server)?;
                let token = Token(self.sockets.len());
                self.poll.registry().register(&mut socket, token, Interest::READABLE)?;
                self.sockets.push((server, socket));
                self.sockets.len() - 1
            }
        };
        match self.sockets.get_mut(index) {
            Some((_, socket)) => Ok(socket),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Hands in all datagrams that have come.
    fn receive(&mut self, machine: &mut impl Machine) {
        self.more = false;
        for (server, socket) in &self.sockets {
            for turn in 1.. {
                if turn > RECEIVES_PER_TURN {
                    self.more = true;
                    break;
                }
                let result = socket.receive(&mut self.batch);
                let now = self.clock.now();
                match result {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => {
                        // About an earlier datagram of ours, and never the end of the socket.
                        log::debug!("receiving from {server}: {error}");
                        if error.kind() == io::ErrorKind::ConnectionRefused {
                            machine.handle_refused(now, *server);
                        }
                        continue;
                    }
                }
                for (from, _, datagram) in self.batch.datagrams() {
                    let at = now.since(self.started);
                    let fate = self
                        .path
                        .as_mut()
                        .map(|path| path.inward.push(now, (datagram.to_vec(), from)));
                    observe(&mut self.observer, at, Direction::Received, from, datagram, fate);
                    if fate.is_none() {
                        machine.handle_datagram(now, from, datagram);
                    }
                }
            }
        }
    }

    /// Moves on what has come to an end of the faulty path.
    fn run_path(&mut self, machine: &mut impl Machine, now: Time) {
        while let Some((datagram, server)) =
            self.path.as_mut().and_then(|path| path.outward.poll(now))
        {
            // The machine has been told that it was sent; what the kernel says of it now is
            // about the path.
            if let Err(error) = self.hand_over(server, &datagram, None) {
                log::debug!("sending to {server}: {error:?}");
            }
        }
        while let Some((datagram, from)) = self.path.as_mut().and_then(|path| path.inward.poll(now))
        {
            machine.handle_datagram(now, from, &datagram);
        }
    }

    fn path_timeout(&self) -> Option<Time> {
        let path = self.path.as_ref()?;
        [path.outward.poll_timeout(), path.inward.poll_timeout()].into_iter().flatten().min()
    }

    /// Whether the faulty path still holds something that is to be sent, and until when.
    pub(super) fn pending_until(&self) -> Option<Time> {
        self.path.as_ref()?.outward.poll_timeout()
    }

    /// How long this link has been there.
    pub(super) fn age(&self) -> Duration {
        self.now().since(self.started)
    }
}

fn observe(
    observer: &mut Option<Observer>,
    at: Duration,
    direction: Direction,
    server: SocketAddr,
    datagram: &[u8],
    fate: Option<crate::core::fault::Fate>,
) {
    if let Some(observer) = observer {
        observer(&Observation { at, direction, server, datagram, fate });
    }
}
