//! The server's state machine: datagrams and the time in, calls to run and answers out.
//!
//! It knows sessions, slots and the rules by which a call runs at most once and its answer is
//! true. It does not know what methods do, nor sockets, threads or clocks: the driver hands in
//! what it received with the time at which it did, runs the calls that it is given, and drains
//! [`poll_transmit`](Server::poll_transmit) and [`poll_event`](Server::poll_event) after every
//! input.
//!
//! The way of a datagram: `receive` (parse, session, address) → `request` or `inquiry` (the slot
//! machine) → run, replay, progress, refuse or challenge → `outgoing`. Calls that wait leave
//! through `run`, or `timers` when they expire.
//!
//! Invariants, whatever is received:
//! - a call is started at most once in the life of the process, and never after its expiry;
//! - a refusal with PROMISE is recorded before it is said, and what is recorded is forgotten only
//!   with the session, which ends later than its birth;
//! - memory stays within the budgets of [`ServerConfig`], and is refused rather than taken
//!   from what lives;
//! - every datagram is counted in exactly one place.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::cast_possible_truncation
    )
)]

mod api;
mod batch;
mod common;
mod config;
mod counters;
mod foresight;
mod identity;
mod index;
mod inquiry;
mod kept;
mod leases;
mod memory;
mod outgoing;
mod pending;
mod receive;
mod request;
mod routes;
mod rows;
mod run;
mod session;
mod sessions;
mod slot;
mod table;
mod timers;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::time::Duration;

pub use api::{CallKey, End, Event, Job, Route, Start, Transmit};
use common::Common;
pub use config::{ConfigError, Execution, MethodSpec, ServerConfig};
pub use counters::{Counters, Done, Received};
use sessions::Sessions;

use super::{Key, Seed, Time};
use crate::wire::Epoch;

/// A server, or one shard of it, as a plain value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Server {
    /// When its clock began.
    server_start: Time,
    /// Addresses of ours, from which nothing is accepted.
    own: Vec<SocketAddr>,
    sessions: Sessions,
    common: Common,
}

impl Server {
    /// A server whose clock begins now, with these methods.
    ///
    /// All its secrets come from `seed`: a server that is restarted must have another one, and all
    /// shards of one process the same one, and the same `now`
    /// ([`ServerConfig::of_shard`]).
    ///
    /// # Errors
    ///
    /// What in the configuration contradicts what, or which method clashes.
    pub fn new(
        config: ServerConfig,
        methods: Vec<MethodSpec>,
        seed: Seed,
        now: Time,
    ) -> Result<Self, ConfigError> {
        let common = Common::new(config, methods, &seed)?;
        let secret = Key::new(&seed, "server index");
        let sessions = Sessions::new(&secret, common.config.lease_us());
        Ok(Self { server_start: now, own: Vec::new(), sessions, common })
    }

    /// Says which addresses it is bound to, so that it never answers itself. One that stands for
    /// all of the host's (`0.0.0.0`, `::`) means the one that a datagram was sent to.
    pub fn set_own_addresses(&mut self, own: Vec<SocketAddr>) {
        self.own = own;
    }

    /// What the driver has to know, apart from datagrams.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.common.events.pop_front()
    }

    /// Takes no new calls from here on: they are refused, which is recorded. Calls that wait or
    /// run are finished, and duplicates are answered. Irrevocable.
    pub fn drain(&mut self, _now: Time) {
        self.common.draining = true;
    }

    /// Whether it takes no new calls.
    pub fn is_draining(&self) -> bool {
        self.common.draining
    }

    /// Whether it drains and has nothing more to do: no call waits or runs, and every answer has
    /// been handed out.
    pub fn is_drained(&self) -> bool {
        let common = &self.common;
        common.draining
            && common.pending.waiting() == 0
            && common.running == 0
            && common.outgoing.len() == 0
    }

    /// What has been counted since the start.
    pub fn counters(&self) -> &Counters {
        &self.common.counters
    }

    /// The server's clock, µs since it was made.
    pub fn clock(&self, now: Time) -> u64 {
        let since = now.since(self.server_start);
        super::micros(since)
    }

    /// This life of the server.
    pub fn epoch(&self) -> Epoch {
        self.common.identity.epoch()
    }

    /// Its limits.
    pub fn config(&self) -> &ServerConfig {
        &self.common.config
    }

    /// Bytes in use of the budgets for records and replies, together.
    pub fn memory(&self) -> usize {
        self.common.memory.records.used() + self.common.memory.replies.used()
    }

    /// Bytes in use for sessions, slot records, tombstones and waiting requests.
    pub fn record_memory(&self) -> usize {
        self.common.memory.records.used()
    }

    /// Bytes in use for replies, kept or reserved.
    pub fn reply_memory(&self) -> usize {
        self.common.memory.replies.used()
    }

    /// Sessions that live.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Closed sessions that are remembered.
    pub fn tombstones(&self) -> usize {
        self.sessions.tombstones()
    }

    /// Calls that wait for a [`claim`](Self::claim).
    pub fn queued(&self) -> usize {
        self.common.pending.waiting()
    }

    /// Handlers that run.
    pub fn running(&self) -> usize {
        self.common.running
    }

    /// Drops one of the rules that the promises hang on, to see that this is noticed.
    #[cfg(test)]
    pub(crate) fn drop_rule(&mut self, rule: super::Rule) {
        self.common.rules = super::Rules::dropping(rule);
    }

    fn time(&self, clock: u64) -> Time {
        time_of(self.server_start, clock)
    }
}

/// The time at which a server that was made at `start` has this clock.
fn time_of(start: Time, clock: u64) -> Time {
    start + Duration::from_micros(clock)
}
