//! All sessions: how they come to be, and how they go.
//!
//! Invariants: a session is created only by a first datagram with a live birth and a valid path,
//! and never where a tombstone of it stands. It ends by its lease, by CLOSE, or, if nothing was
//! ever queued in it, once its birth has died; never for want of memory. While the birth of an
//! ended session lives, a tombstone stands.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::size_of;

use super::Route;
use super::common::Common;
use super::counters::Done;
use super::identity::lives;
use super::session::{SESSION_COST, Session, Source};
use super::slot::{Slot, State};
use crate::wire::{SessionId, proof_dies};

/// What a tombstone costs, bytes: its place in a B-tree, twice its size.
const TOMBSTONE_COST: usize = 2 * size_of::<(u32, SessionId)>();

/// How long a session's records are kept whole after the last datagram, beyond the longest
/// deadline, and a reply after its call's expiry, µs: for what is on its way.
const GRACE: u64 = 5_000_000;

/// Sweeps begin at least this far apart, µs.
const SWEEP_INTERVAL: u64 = 1_000_000;

/// Sessions looked at in one step of a sweep: well under a millisecond's work.
const SWEEP_STEP: usize = 2048;

/// Steps of a sweep are at least this far apart, µs.
const SWEEP_PAUSE: u64 = 5_000;

/// The sessions of a server.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Sessions {
    by_id: BTreeMap<SessionId, Session>,
    /// Sessions of each source.
    sources: BTreeMap<Source, usize>,
    /// When each session is asked whether its lease has ended. Hearing of a session moves nothing
    /// here: a timer that goes off too early is set anew.
    leases: BTreeSet<(u64, SessionId)>,
    /// Sessions that have ended before their birth died: when minted, and which.
    tombstones: BTreeSet<(u32, SessionId)>,
    /// The next step of a sweep is not before this.
    next_sweep: u64,
    /// When the latest sweep began.
    sweep_began: u64,
    /// Where it goes on; `None` when it is through.
    cursor: Option<SessionId>,
}

impl Sessions {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn tombstones(&self) -> usize {
        self.tombstones.len()
    }

    pub(super) fn get(&self, id: SessionId) -> Option<&Session> {
        self.by_id.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.by_id.get_mut(&id)
    }

    /// Whether a session minted then was closed.
    pub(super) fn has_tombstone(&self, minted: u32, id: SessionId) -> bool {
        self.tombstones.contains(&(minted, id))
    }

    /// Creates a session, if there is room for it.
    pub(super) fn create(
        &mut self,
        common: &mut Common,
        id: SessionId,
        minted: u32,
        route: &Route,
        clock: u64,
    ) -> Option<&mut Session> {
        let config = &common.config;
        let source = Source::of(&route.remote);
        let of_source = self.sources.get(&source).copied().unwrap_or(0);
        if self.by_id.len() >= config.max_sessions
            || of_source >= config.max_sessions_per_source
            || !common.memory.records.take(SESSION_COST)
        {
            return None;
        }
        let session = Session::new(minted, route, clock, config.lease_us());
        self.sources.insert(source, of_source + 1);
        self.leases.insert((session.lease_timer, id));
        common.counters.count(Done::SessionCreated);
        Some(self.by_id.entry(id).or_insert(session))
    }

    /// Ends a session, in which nothing may be in progress. A tombstone takes its place while its
    /// birth lives; without room for one, the session stays until the birth has died.
    pub(super) fn end(&mut self, common: &mut Common, id: SessionId, clock: u64, why: Done) {
        let Some(session) = self.by_id.get_mut(&id) else {
            return;
        };
        debug_assert!(session.load.is_idle());
        if lives(session.minted, clock) {
            let fits = self.tombstones.len() < common.config.max_tombstones
                && common.memory.records.take(TOMBSTONE_COST);
            if !fits {
                session.closing = true;
                let due = proof_dies(session.minted);
                self.leases.remove(&(session.lease_timer, id));
                session.lease_timer = due;
                self.leases.insert((due, id));
                return;
            }
            if !self.tombstones.insert((session.minted, id)) {
                common.memory.records.give(TOMBSTONE_COST);
            }
        }
        let Some(mut session) = self.by_id.remove(&id) else {
            return;
        };
        let memory = &mut common.memory;
        session.table.free(&mut memory.records, &mut memory.replies);
        memory.records.give(SESSION_COST);
        self.leases.remove(&(session.lease_timer, id));
        if let Some(count) = self.sources.get_mut(&session.source) {
            *count -= 1;
            if *count == 0 {
                self.sources.remove(&session.source);
            }
        }
        common.counters.count(why);
    }

    /// Ends a session whose client has closed it, once nothing is in progress.
    pub(super) fn end_if_closed(&mut self, common: &mut Common, id: SessionId, clock: u64) {
        let session = self.by_id.get(&id);
        if session.is_some_and(|session| session.closing && session.load.is_idle()) {
            self.end(common, id, clock, Done::SessionClosed);
        }
    }

    /// When something is due here.
    pub(super) fn poll_timeout(&self) -> Option<u64> {
        let lease = self.leases.first().map(|(due, _)| *due);
        let tombstone = self.tombstones.first().map(|(minted, _)| proof_dies(*minted));
        lease.into_iter().chain(tombstone).min()
    }

    /// Ends what has ended by now.
    pub(super) fn handle_timeout(&mut self, common: &mut Common, clock: u64) {
        while let Some(&(minted, id)) = self.tombstones.first()
            && !lives(minted, clock)
        {
            self.tombstones.remove(&(minted, id));
            common.memory.records.give(TOMBSTONE_COST);
        }
        let lease = common.config.lease_us();
        while let Some(&(due, id)) = self.leases.first()
            && due <= clock
        {
            self.leases.remove(&(due, id));
            let Some(session) = self.by_id.get_mut(&id) else {
                continue;
            };
            if session.closing && session.load.is_idle() {
                self.end(common, id, clock, Done::SessionClosed);
            } else if session.has_ended(clock, lease) {
                self.end(common, id, clock, Done::SessionExpired);
            } else {
                let from = if session.load.is_idle() { session.contact } else { clock };
                session.lease_timer = from.saturating_add(lease);
                self.leases.insert((session.lease_timer, id));
            }
        }
    }

    /// Looks for memory that may be given up, if some budget is nearly used up: at most once a
    /// second through all sessions, some at a time, so that no datagram waits for long.
    pub(super) fn sweep_if_short(&mut self, common: &mut Common, clock: u64) {
        if clock < self.next_sweep {
            return;
        }
        let short = Short::of(common, self.by_id.len());
        if short == Short::default() {
            return;
        }
        let from = match self.cursor.take() {
            Some(cursor) => cursor,
            None => {
                common.counters.count(Done::Sweep);
                self.sweep_began = clock;
                SessionId(0)
            }
        };
        let mut ended = Vec::new();
        let mut sessions = self.by_id.range_mut(from..);
        for (&id, session) in sessions.by_ref().take(SWEEP_STEP) {
            if let Some(why) = sweep(common, session, short, clock) {
                ended.push((id, why));
            }
        }
        self.cursor = sessions.next().map(|(id, _)| *id);
        self.next_sweep = match self.cursor {
            Some(_) => clock.saturating_add(SWEEP_PAUSE),
            None => self.sweep_began.saturating_add(SWEEP_INTERVAL),
        };
        for (id, why) in ended {
            self.end(common, id, clock, why);
        }
    }
}

/// What there is little left of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Short {
    sessions: bool,
    records: bool,
    replies: bool,
}

impl Short {
    fn of(common: &Common, sessions: usize) -> Self {
        let max = common.config.max_sessions;
        Self {
            sessions: sessions >= max - max / 8,
            records: common.memory.records.is_short(),
            replies: common.memory.replies.is_short(),
        }
    }
}

/// Gives up what a session can do without. `Some` if all of it can go.
fn sweep(common: &mut Common, session: &mut Session, short: Short, clock: u64) -> Option<Done> {
    let idle = common.config.longest_deadline_us().saturating_add(GRACE);
    if session.has_ended(clock, common.config.lease_us()) {
        return Some(Done::SessionExpired);
    }
    if session.load.is_idle() && !session.was_used && !lives(session.minted, clock) {
        return Some(Done::SessionDropped);
    }
    if short.records
        && session.load.is_idle()
        && session.table.has_records()
        && clock > session.contact.saturating_add(idle)
    {
        let memory = &mut common.memory;
        session.table.compact(&mut memory.records, &mut memory.replies);
        common.counters.count(Done::SessionCompacted);
    } else if short.replies {
        for slot in session.table.slots_mut() {
            reclaim_reply(common, slot, clock);
        }
    }
    None
}

/// Gives up a reply that its caller can no longer want, and buffers that hold none.
fn reclaim_reply(common: &mut Common, slot: &mut Slot, clock: u64) {
    match slot.state {
        State::Queued { .. } | State::Running { .. } => return,
        State::Done(_) if clock <= slot.expiry.saturating_add(GRACE) => return,
        State::Done(_) => {
            slot.state = State::Gone;
            common.counters.count(Done::ReplyReclaimed);
        }
        State::Empty | State::Gone | State::Refused(_) | State::Fenced => {}
    }
    slot.drop_reply(&mut common.memory.replies);
}
