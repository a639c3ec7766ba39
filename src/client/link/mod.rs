//! What connects a client's state machine with the world: sockets, clock, waiting, and the faulty
//! path that a user may put between.
//!
//! A state machine does not know of it. It is turned: what the machine has to send goes out, what
//! arrives goes in, and the time is told, until there is nothing to do but wait. A run for which a
//! socket has no room is not lost: it waits here, until the deadline of a call in it comes, and the
//! machine is asked for no more meanwhile.

mod interrupter;
mod machine;
mod peers;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mio::{Events, Poll, Token};

pub use self::interrupter::Interrupter;
use self::machine::Machine;
use self::peers::Peers;
use super::observe::{Direction, Observation, Observer};
use crate::core::client::Transmit;
use crate::core::fault::{Faults, FaultyPath};
use crate::core::{Seed, Time};
use crate::net::{Batch, Clock, SendError};

/// Token of the waker; sockets have their place among the peers.
const WAKER: Token = Token(usize::MAX);

/// Receives in one turn before time is looked at again, so that no flood starves the timers.
const RECEIVES_PER_TURN: usize = 16;

/// How long a run that a socket had no room for waits before it is tried unasked: the kernel tells
/// when a full buffer has room again, and of no other reason that passes.
const BLOCKED_RETRY: Duration = Duration::from_millis(10);

/// How long a link that polls goes on with it after the last call has ended: as long as a caller
/// takes that makes one call after the other, and nothing beside what a core costs.
const POLL_ON: Duration = Duration::from_micros(200);

/// Sockets, one for each server address in use, and what stands between them and the machine.
pub(super) struct Link {
    poll: Poll,
    interrupter: Interrupter,
    events: Events,
    peers: Peers,
    batch: Box<Batch>,
    clock: Clock,
    started: Time,
    /// The transmit under way; kept so that its memory is used again.
    out: Vec<u8>,
    /// The same, while its socket has no room for it.
    blocked: Option<Transmit>,
    path: Option<BadPath>,
    observer: Option<Observer>,
    /// Whether it does not sleep while anything is open.
    busy_poll: bool,
    /// Until when it does not sleep.
    polls_until: Time,
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
            interrupter: Interrupter::new(poll.registry(), WAKER)?,
            poll,
            events: Events::with_capacity(16),
            peers: Peers::default(),
            batch: Box::new(Batch::new()),
            started: clock.now(),
            clock,
            out: Vec::new(),
            blocked: None,
            path,
            observer,
            busy_poll: false,
            polls_until: Time::ZERO,
        })
    }

    /// The time.
    pub(super) fn now(&self) -> Time {
        self.clock.now()
    }

    /// Whether it polls instead of sleeping while anything is open.
    pub(super) fn set_busy_poll(&mut self, busy_poll: bool) {
        self.busy_poll = busy_poll;
    }

    /// Sends what `machine` has to send, waits for a datagram, a timer or `until`, and hands in
    /// what came. Returns after one wait; true if a signal or an [`Interrupter`] ended it early.
    pub(super) fn turn(&mut self, machine: &mut impl Machine, until: Time) -> io::Result<bool> {
        let now = self.flush(machine);
        // A look before the sleep: it takes no longer than the server does, and spares the sleep
        // where many are waited for.
        let waited = match self.receive(machine) {
            Some(now) => Ok(now),
            None if machine.has_news() => Ok(now),
            None => self.wait(machine, now, until),
        };
        if waited.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) {
            return Ok(true);
        }
        let interrupted = self.interrupter.take_asked();
        // Even if there was no waiting, deadlines come.
        let (now, waited) = match waited {
            Ok(now) => (now, Ok(interrupted)),
            Err(error) => (self.now(), Err(error)),
        };
        self.run_path(machine, now);
        machine.handle_timeout(now);
        self.flush_at(machine, now);
        waited
    }

    /// Waits until there is something to do, hands in what has come, and says what time it is.
    fn wait(&mut self, machine: &mut impl Machine, now: Time, until: Time) -> io::Result<Time> {
        let room = self.blocked.as_ref().map(|_| now + BLOCKED_RETRY);
        let due = [machine.poll_timeout(), self.path_timeout(), room]
            .into_iter()
            .flatten()
            .fold(until, Time::min);
        // Of room, only the kernel tells.
        let polls = self.busy_poll && self.blocked.is_none();
        if polls && !machine.is_idle() {
            let now = self.look(machine, due);
            self.polls_until = now + POLL_ON;
            return Ok(now);
        }
        if polls && now < self.polls_until {
            return Ok(self.look(machine, due.min(self.polls_until)));
        }
        self.sleep(due.since(now))?;
        let received = self.receive(machine);
        Ok(received.unwrap_or_else(|| self.now()))
    }

    /// Sleeps until the kernel tells of something to do.
    fn sleep(&mut self, longest: Duration) -> io::Result<()> {
        self.interrupter.while_asleep(|woken| {
            let wait = if woken { Duration::ZERO } else { longest };
            self.poll.poll(&mut self.events, Some(wait))
        })?;
        self.events.iter().for_each(|event| self.peers.note(event));
        Ok(())
    }

    /// Looks for something to do until there is something, without sleep.
    fn look(&mut self, machine: &mut impl Machine, due: Time) -> Time {
        loop {
            // First this: a wait that is to take no time at all looks once.
            self.peers.iter_mut().for_each(|peer| peer.readable = true);
            if let Some(now) = self.receive(machine) {
                return now;
            }
            let now = self.now();
            if self.interrupter.take_woken() || now >= due {
                return now;
            }
            std::hint::spin_loop();
        }
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
        self.peers.rebind(self.poll.registry());
    }

    /// To be called in the new process after a fork. Poll, waker and sockets stay with the parent:
    /// the kernel has one of each for both, and what were done to them here would be done to it.
    ///
    /// # Errors
    ///
    /// As [`Link::new`].
    pub(super) fn forked(&mut self) -> io::Result<()> {
        let poll = Poll::new()?;
        self.interrupter = Interrupter::new(poll.registry(), WAKER)?;
        self.poll = poll;
        self.peers.forked();
        self.blocked = None;
        if let Some(path) = &mut self.path {
            while path.outward.poll(Time::MAX).is_some() {}
            while path.inward.poll(Time::MAX).is_some() {}
        }
        Ok(())
    }

    /// Sends all that `machine` has to send, as far as there is room, and says what time it is.
    pub(super) fn flush(&mut self, machine: &mut impl Machine) -> Time {
        let now = self.now();
        self.flush_at(machine, now)
    }

    fn flush_at(&mut self, machine: &mut impl Machine, mut now: Time) -> Time {
        loop {
            let transmit = match self.blocked.take() {
                Some(transmit) if now >= transmit.until => continue,
                Some(transmit) => transmit,
                None => {
                    self.out.clear();
                    let Some(transmit) = machine.poll_transmit(now, &mut self.out) else {
                        return now;
                    };
                    self.tell(now, &transmit);
                    transmit
                }
            };
            if self.path.is_some() {
                self.run_path(machine, now);
            } else if !self.send(machine, now, &transmit) {
                self.blocked = Some(transmit);
                return now;
            }
            now = self.now();
        }
    }

    /// Tells the observer of the datagrams in `out`, and puts them on the faulty path if there is
    /// one.
    fn tell(&mut self, now: Time, transmit: &Transmit) {
        if self.path.is_none() && self.observer.is_none() {
            return;
        }
        let at = now.since(self.started);
        let size = transmit.segment_size.unwrap_or(self.out.len()).max(1);
        for datagram in self.out.chunks(size) {
            let fate = self
                .path
                .as_mut()
                .map(|path| path.outward.push(now, (datagram.to_vec(), transmit.remote)));
            observe(&mut self.observer, at, Direction::Sent, transmit.remote, datagram, fate);
        }
    }

    /// Hands the transmit in `out` to the kernel; false if there is no room for it, and what is
    /// left of it is to be sent later.
    fn send(&mut self, machine: &mut impl Machine, now: Time, transmit: &Transmit) -> bool {
        let (server, alone) = (transmit.remote, transmit.segment_size.is_none());
        let registry = self.poll.registry();
        let Err(error) = self.peers.send(registry, server, &self.out, transmit.segment_size) else {
            return true;
        };
        log::debug!("sending to {server}: {error:?}");
        match error {
            // Said of it now, it is the truth of it; a run is not told apart.
            SendError::Unsent(_) | SendError::WouldBlock { .. } if alone => {
                machine.handle_unsent(now, transmit);
                true
            }
            SendError::WouldBlock { sent } => {
                self.out.drain(..sent);
                false
            }
            // Counted as sent whatever became of it, unless the kernel took none of it.
            SendError::Unsent(_) | SendError::Failed(_) => true,
        }
    }

    /// Hands in all datagrams that have come, and says when the last of them came, if any.
    fn receive(&mut self, machine: &mut impl Machine) -> Option<Time> {
        let mut came = None;
        for peer in self.peers.iter_mut() {
            for _ in 0..RECEIVES_PER_TURN {
                if !peer.readable {
                    break;
                }
                let result = peer.socket.receive(&mut self.batch);
                if result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
                    peer.readable = false;
                    break;
                }
                let now = self.clock.now();
                came = Some(now);
                if let Err(error) = result {
                    // About an earlier datagram of ours, and never the end of the socket.
                    log::debug!("receiving from {}: {error}", peer.server);
                    if error.kind() == io::ErrorKind::ConnectionRefused {
                        machine.handle_refused(now, peer.server);
                    }
                    continue;
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
                if self.batch.is_all() {
                    break; // There may be more by the time that the link is about to wait.
                }
            }
        }
        came
    }

    /// Moves on what has come to an end of the faulty path.
    fn run_path(&mut self, machine: &mut impl Machine, now: Time) {
        while let Some((datagram, server)) =
            self.path.as_mut().and_then(|path| path.outward.poll(now))
        {
            // The machine has been told that it was sent; what the kernel says of it now is
            // about the path.
            let registry = self.poll.registry();
            if let Err(error) = self.peers.send(registry, server, &datagram, None) {
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

#[cfg(test)]
mod tests;
