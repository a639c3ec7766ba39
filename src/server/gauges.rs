//! The server's numbers, as the statistics service shows them: those of all shards together.
//!
//! Every shard counts for itself and publishes what it has counted before it sends and before it
//! sleeps, so whoever has an answer finds it counted, whichever shard is asked. Nobody waits for
//! a shard that works.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::pool::Desk;
use crate::core::Time;
use crate::core::server::{Counters, Server};
use crate::net::Clock;
use crate::service::Gauges;

/// What an event loop counts itself.
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

/// What one shard has counted up to some moment.
#[derive(Debug, Clone, Default)]
struct Numbers {
    counts: Counters,
    of_loop: LoopCounters,
    sessions: usize,
    /// Bytes.
    memory: usize,
}

impl Numbers {
    fn of(core: &Server, of_loop: LoopCounters) -> Self {
        let (sessions, memory) = (core.sessions(), core.memory());
        Self { counts: core.counters().clone(), of_loop, sessions, memory }
    }

    /// Every number with its name, always in the same order.
    fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let LoopCounters { datagrams, receive_errors, send_errors, send_blocked, panics } =
            self.of_loop;
        let own = [
            ("socket.datagrams", datagrams),
            ("socket.receive_errors", receive_errors),
            ("socket.send_errors", send_errors),
            ("socket.send_blocked", send_blocked),
            ("handlers.panicked", panics),
            ("sessions.open", count(self.sessions)),
            ("memory.bytes", count(self.memory)),
            ("received.total", self.counts.datagrams()),
        ];
        own.into_iter().chain(self.counts.iter())
    }
}

/// Where the shards publish what they have counted.
pub(super) struct Board {
    published: Box<[Mutex<Numbers>]>,
    desk: Arc<Desk>,
    clock: Clock,
    /// When the server began.
    start: Time,
}

impl Board {
    pub(super) fn new(shards: usize, desk: Arc<Desk>, clock: Clock, start: Time) -> Self {
        let published = (0..shards).map(|_| Mutex::default()).collect();
        Self { published, desk, clock, start }
    }

    /// A shard publishes its numbers.
    pub(super) fn publish(&self, shard: usize, core: &Server, of_loop: LoopCounters) {
        if let Some(place) = self.published.get(shard) {
            *lock(place) = Numbers::of(core, of_loop);
        }
    }

    /// The numbers as they were last published, but for those of one shard, which knows better.
    fn read_with(&self, own: Option<(usize, Numbers)>, visit: &mut dyn FnMut(&str, u64)) {
        let uptime = self.clock.now().since(self.start);
        visit("server.uptime_ms", u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX));
        visit("server.threads", count(self.published.len()));
        let (idle, workers) = self.desk.idle_of_all();
        visit("workers.idle", count(idle));
        visit("workers.total", count(workers));
        let mut sums: Vec<(&str, u64)> = Vec::new();
        for (shard, published) in self.published.iter().enumerate() {
            let numbers = match &own {
                Some((number, own)) if *number == shard => own.clone(),
                _ => lock(published).clone(),
            };
            if sums.is_empty() {
                sums.extend(numbers.iter());
            } else {
                let pairs = sums.iter_mut().zip(numbers.iter());
                pairs.for_each(|((_, sum), (_, value))| *sum += value);
            }
        }
        for (name, sum) in sums {
            visit(name, sum);
        }
    }
}

impl Gauges for Board {
    fn read(&self, visit: &mut dyn FnMut(&str, u64)) {
        self.read_with(None, visit);
    }
}

/// What a handler sees that runs on a shard's own thread.
pub(super) struct FromInside<'a> {
    pub(super) board: &'a Board,
    pub(super) shard: usize,
    pub(super) core: &'a Server,
    pub(super) of_loop: LoopCounters,
}

impl Gauges for FromInside<'_> {
    fn read(&self, visit: &mut dyn FnMut(&str, u64)) {
        let own = (self.shard, Numbers::of(self.core, self.of_loop));
        self.board.read_with(Some(own), visit);
    }
}

/// Numbers change whole.
fn lock(numbers: &Mutex<Numbers>) -> MutexGuard<'_, Numbers> {
    numbers.lock().unwrap_or_else(PoisonError::into_inner)
}

fn count(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}
