//! The server's numbers, as the statistics service shows them.

use std::borrow::Borrow;
use std::time::Duration;

use crate::core::Time;
use crate::core::server::{Counters, Server};
use crate::service::Gauges;

/// What the event loop counts itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LoopCounters {
    /// Datagrams that came from the sockets.
    pub(super) datagrams: u64,
    /// Receives that brought an error in place of datagrams.
    pub(super) receive_errors: u64,
    /// Sends of which the kernel took nothing, or not all.
    pub(super) send_errors: u64,
    /// Sends that had to wait until a socket was writable.
    pub(super) send_blocked: u64,
    /// Handlers that panicked.
    pub(super) panics: u64,
}

/// All numbers of a server at one moment.
#[derive(Debug)]
pub(super) struct Snapshot<Counts> {
    /// What the core counts: lent where nothing can happen meanwhile, a copy elsewhere.
    counts: Counts,
    of_loop: LoopCounters,
    uptime: Duration,
    /// Workers that have nothing to do, and all of them.
    workers: (usize, usize),
    sessions: usize,
    /// Bytes.
    memory: usize,
}

impl<'a> Snapshot<&'a Counters> {
    pub(super) fn new(
        core: &'a Server,
        of_loop: LoopCounters,
        now: Time,
        workers: (usize, usize),
    ) -> Self {
        Self {
            counts: core.counters(),
            of_loop,
            uptime: Duration::from_micros(core.clock(now)),
            workers,
            sessions: core.sessions(),
            memory: core.memory(),
        }
    }

    /// One that can be sent to another thread.
    pub(super) fn to_owned(&self) -> Snapshot<Counters> {
        let Self { counts, of_loop, uptime, workers, sessions, memory } = *self;
        Snapshot { counts: counts.clone(), of_loop, uptime, workers, sessions, memory }
    }
}

impl<Counts: Borrow<Counters>> Gauges for Snapshot<Counts> {
    fn read(&self, visit: &mut dyn FnMut(&str, u64)) {
        let count = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        let counts = self.counts.borrow();
        visit("server.uptime_ms", u64::try_from(self.uptime.as_millis()).unwrap_or(u64::MAX));
        visit("socket.datagrams", self.of_loop.datagrams);
        visit("socket.receive_errors", self.of_loop.receive_errors);
        visit("socket.send_errors", self.of_loop.send_errors);
        visit("socket.send_blocked", self.of_loop.send_blocked);
        visit("handlers.panicked", self.of_loop.panics);
        visit("workers.idle", count(self.workers.0));
        visit("workers.total", count(self.workers.1));
        visit("sessions.open", count(self.sessions));
        visit("memory.bytes", count(self.memory));
        visit("received.total", counts.datagrams());
        for (name, value) in counts.iter() {
            visit(name, value);
        }
    }
}
