//! All sessions: how they come to be, and how they go.
//!
//! Invariants: a session is created only by a first datagram with a live birth and a valid path,
//! and never where a tombstone of it stands. It ends by its lease, by CLOSE, or, if nothing was
//! ever queued in it, once its birth has died; never for want of memory. While the birth of an
//! ended session lives, a tombstone stands.

use std::collections::{BTreeMap, BTreeSet};

use super::Route;
use super::common::Common;
use super::counters::Done;
use super::identity::lives;
use super::index::Index;
use super::leases::Leases;
use super::rows::Rows;
use super::session::{Session, Source};
use super::slot::{Slot, State};
use crate::core::{Key, Uncompared};
use crate::wire::{SessionId, proof_dies};

/// What a tombstone costs, bytes: its place in a B-tree, twice its size.
const TOMBSTONE_COST: usize = 2 * size_of::<(u32, SessionId)>();

/// What a source costs that has sessions, bytes, likewise.
const SOURCE_COST: usize = 2 * size_of::<(Source, u32)>();

/// How long a session's records are kept whole after the last datagram, beyond the longest
/// deadline, and a reply after its call's expiry, µs: for what is on its way.
const GRACE: u64 = 5_000_000;

/// Sweeps begin at least this far apart, µs.
const SWEEP_INTERVAL: u64 = 1_000_000;

/// Sessions and records looked at in one step of a sweep, but for those of the last session: well
/// under a millisecond's work.
const SWEEP_STEP: usize = 8192;

/// Steps of a sweep are at least this far apart, µs.
const SWEEP_PAUSE: u64 = 5_000;

/// The sessions of a server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Sessions {
    rows: Rows<Session>,
    /// Where each session stands.
    index: Index,
    /// Where the latest one looked for stands: datagrams come in runs, and each is looked for more
    /// than once.
    latest: Uncompared<u32>,
    /// Sessions of each source.
    sources: BTreeMap<Source, u32>,
    /// When each session is asked whether its lease has ended.
    leases: Leases,
    /// Sessions that have ended before their birth died: when minted, and which.
    tombstones: BTreeSet<(u32, SessionId)>,
    /// The next step of a sweep is not before this.
    next_sweep: u64,
    /// When the latest sweep began.
    sweep_began: u64,
    /// So many sessions it has yet to look at; `None` when it is through. It goes backwards, so that
    /// what takes the place of one that goes has been looked at already, or has just come.
    to_sweep: Option<u32>,
}

impl Sessions {
    /// None yet; they will be found by this secret, and live for this lease, µs.
    pub(super) fn new(secret: &Key, lease: u64) -> Self {
        Self {
            rows: Rows::default(),
            index: Index::new(secret),
            latest: Uncompared::default(),
            sources: BTreeMap::new(),
            leases: Leases::new(lease),
            tombstones: BTreeSet::new(),
            next_sweep: 0,
            sweep_began: 0,
            to_sweep: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn tombstones(&self) -> usize {
        self.tombstones.len()
    }

    pub(super) fn get(&self, id: SessionId) -> Option<&Session> {
        self.rows.get(self.place(id)?)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        let place = self.place(id)?;
        self.latest.0 = place;
        self.rows.get_mut(place)
    }

    /// The place of a session.
    #[inline]
    fn place(&self, id: SessionId) -> Option<u32> {
        let is_it = |place| self.rows.get(place).is_some_and(|session| session.id == id);
        if is_it(self.latest.0) {
            return Some(self.latest.0);
        }
        self.index.find(id.0, is_it)
    }

    /// Reads where the index has this session, for the caches' sake.
    #[inline]
    pub(super) fn touch_index(&self, id: SessionId) {
        self.index.touch(id.0);
    }

    /// Reads what seems to be this session, for the caches' sake: that it is, is not checked, since
    /// that would wait for it. Its place.
    #[inline]
    pub(super) fn touch(&self, id: SessionId) -> Option<u32> {
        let place = self.index.find(id.0, |_| true)?;
        self.rows.get(place)?.touch();
        Some(place)
    }

    /// Reads the record of a slot of the session at this place, for the caches' sake.
    #[inline]
    pub(super) fn touch_record(&self, place: u32, slot: u32) {
        if let Some(slot) = self.rows.get(place).and_then(|session| session.table.slot(slot)) {
            slot.touch();
        }
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
        let session = Session::new(id, minted, route, clock);
        let source = session.source;
        let of_source = self.sources.get(&source).copied().unwrap_or(0);
        let cost = session.cost() + if of_source == 0 { SOURCE_COST } else { 0 };
        let place = u32::try_from(self.rows.len()).ok().filter(|place| *place < u32::MAX)?;
        if self.rows.len() >= config.max_sessions
            || of_source as usize >= config.max_sessions_per_source
            || !common.memory.records.take(cost)
        {
            return None;
        }
        self.sources.insert(source, of_source + 1);
        self.rows.push(session);
        self.index.insert(id.0, place);
        let due = clock.saturating_add(config.lease_us());
        self.leases.set(&mut self.rows, place, due, clock);
        self.latest.0 = place;
        common.counters.count(Done::SessionCreated);
        self.rows.get_mut(place)
    }

    /// Ends a session, in which nothing may be in progress. A tombstone takes its place while its
    /// birth lives; without room for one, the session stays until the birth has died.
    pub(super) fn end(&mut self, common: &mut Common, id: SessionId, clock: u64, why: Done) {
        let Some(place) = self.place(id) else { return };
        let Some(session) = self.rows.get_mut(place) else { return };
        debug_assert!(session.load.is_idle());
        if lives(session.minted, clock) {
            let fits = self.tombstones.len() < common.config.max_tombstones
                && common.memory.records.take(TOMBSTONE_COST);
            if !fits {
                session.closing = true;
                let due = proof_dies(session.minted);
                self.leases.stop(&mut self.rows, place);
                self.leases.set(&mut self.rows, place, due, clock);
                return;
            }
            if !self.tombstones.insert((session.minted, id)) {
                common.memory.records.give(TOMBSTONE_COST);
            }
        }
        self.leases.stop(&mut self.rows, place);
        self.index.remove(id.0, place);
        let Some(mut session) = self.rows.swap_remove(place) else { return };
        if let Some(moved) = self.rows.get(place) {
            let from = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
            self.index.moved(moved.id.0, from, place);
            self.leases.moved(&mut self.rows, place);
        }
        let memory = &mut common.memory;
        session.table.free(&mut memory.records, &mut memory.replies);
        memory.records.give(session.cost());
        if let Some(count) = self.sources.get_mut(&session.source) {
            *count -= 1;
            if *count == 0 {
                self.sources.remove(&session.source);
                memory.records.give(SOURCE_COST);
            }
        }
        common.counters.count(why);
    }

    /// Ends a session whose client has closed it, once nothing is in progress.
    pub(super) fn end_if_closed(&mut self, common: &mut Common, id: SessionId, clock: u64) {
        let session = self.get(id);
        if session.is_some_and(|session| session.closing && session.load.is_idle()) {
            self.end(common, id, clock, Done::SessionClosed);
        }
    }

    /// When something is due here.
    pub(super) fn poll_timeout(&self) -> Option<u64> {
        let tombstone = self.tombstones.first().map(|(minted, _)| proof_dies(*minted));
        self.leases.poll_timeout().into_iter().chain(tombstone).min()
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
        while let Some(place) = self.leases.pop(&mut self.rows, clock) {
            let Some(session) = self.rows.get(place) else { return };
            let (id, is_idle) = (session.id, session.load.is_idle());
            if session.closing && is_idle {
                self.end(common, id, clock, Done::SessionClosed);
            } else if session.has_ended(clock, lease) {
                self.end(common, id, clock, Done::SessionExpired);
            } else {
                let from = if is_idle { session.contact } else { clock };
                self.leases.set(&mut self.rows, place, from.saturating_add(lease), clock);
            }
        }
    }

    /// Looks for memory that may be given up, if some budget is nearly used up: at most once a
    /// second through all sessions, some at a time, so that no datagram waits for long.
    pub(super) fn sweep_if_short(&mut self, common: &mut Common, clock: u64) {
        if clock < self.next_sweep {
            return;
        }
        let short = Short::of(common, self.rows.len());
        if short == Short::default() {
            return;
        }
        let all = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        let left = match self.to_sweep {
            Some(left) => left.min(all),
            None => {
                common.counters.count(Done::Sweep);
                self.sweep_began = clock;
                all
            }
        };
        let (mut until, mut looked_at) = (left, 0);
        while until > 0 && looked_at < SWEEP_STEP {
            until -= 1;
            let Some(session) = self.rows.get_mut(until) else { continue };
            let id = session.id;
            looked_at += 1 + session.table.records();
            if let Some(why) = sweep(common, session, short, clock) {
                self.end(common, id, clock, why);
            }
        }
        self.to_sweep = (until > 0).then_some(until);
        self.next_sweep = match self.to_sweep {
            Some(_) => clock.saturating_add(SWEEP_PAUSE),
            None => self.sweep_began.saturating_add(SWEEP_INTERVAL),
        };
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
        State::Queued | State::Running { .. } => return,
        State::Done(_) if clock <= slot.expiry.saturating_add(GRACE) => return,
        State::Done(_) => {
            slot.state = State::Gone;
            common.counters.count(Done::ReplyReclaimed);
        }
        State::Empty | State::Gone | State::Refused(_) | State::Fenced => {}
    }
    slot.drop_reply(&mut common.memory.replies);
}

#[cfg(test)]
mod tests {
    use super::super::config::ServerConfig;
    use super::*;
    use crate::core::{Prf, Seed};
    use crate::wire::CallId;

    /// A shard's sessions, without datagrams.
    struct Stand {
        sessions: Sessions,
        common: Common,
        clock: u64,
    }

    impl Stand {
        fn new(seed: &Seed, config: ServerConfig) -> Self {
            let sessions = Sessions::new(&Key::new(seed, "index"), config.lease_us());
            let common = Common::new(config, Vec::new(), seed).unwrap();
            Self { sessions, common, clock: 1_000_000 }
        }

        /// Every session is found, has a timer that goes off within its lease, and stands in that
        /// timer's list once.
        fn check(&self) {
            let Sessions { rows, leases, .. } = &self.sessions;
            let all = 0..u32::try_from(rows.len()).unwrap();
            for place in all.clone() {
                let id = rows.get(place).unwrap().id;
                assert_eq!(self.sessions.place(id), Some(place));
            }
            assert_eq!(leases.places(rows), all.collect::<Vec<_>>());
            let counted: u32 = self.sessions.sources.values().sum();
            assert_eq!(counted as usize, rows.len());
        }
    }

    #[test]
    fn index_timers_and_budgets_agree_whatever_comes_and_goes() {
        for number in 0..20 {
            let seed = Seed::from_number(number);
            let mut dice = Prf::new(&seed, "sessions");
            let config = ServerConfig {
                max_sessions: 200,
                max_tombstones: 8,
                record_memory: 40_000,
                ..ServerConfig::default()
            };
            let lease = config.lease_us();
            let mut stand = Stand::new(&seed, config);
            let mut ids = Vec::new();
            for _ in 0..4000 {
                let Stand { sessions, common, clock } = &mut stand;
                let any = dice.below(ids.len().max(1) as u64) as usize;
                match dice.below(16) {
                    0..=5 => {
                        let id = SessionId(dice.next_u64());
                        let remote = format!("192.0.2.{}:9", dice.below(20)).parse().unwrap();
                        let route = Route { remote, local: None, socket: 0 };
                        let minted = super::super::identity::seconds(*clock);
                        if sessions.create(common, id, minted, &route, *clock).is_some() {
                            ids.push(id);
                        }
                    }
                    6..=8 if !ids.is_empty() => {
                        sessions.end(common, ids[any], *clock, Done::SessionClosed);
                    }
                    9..=11 if !ids.is_empty() => {
                        if let Some(session) = sessions.get_mut(ids[any]) {
                            session.contact = *clock;
                        }
                    }
                    12 => *clock += dice.below(lease / 8),
                    13 if dice.below(40) == 0 => *clock += dice.below(4 * lease),
                    _ => {
                        sessions.sweep_if_short(common, *clock);
                        sessions.handle_timeout(common, *clock);
                        assert!(sessions.poll_timeout().is_none_or(|due| due > *clock));
                        // A timer goes off up to a 250th of the lease late.
                        let most = lease + lease.div_ceil(250);
                        let lives = |place| sessions.rows.get(place).unwrap().lease_end(most);
                        (0..sessions.len() as u32).for_each(|at| assert!(lives(at) > *clock));
                    }
                }
                stand.check();
                ids.retain(|id| stand.sessions.get(*id).is_some());
            }
            stand.clock += 2 * lease;
            stand.sessions.handle_timeout(&mut stand.common, stand.clock);
            assert_eq!((stand.sessions.len(), stand.common.memory.records.used()), (0, 0));
            assert_eq!(stand.sessions.poll_timeout(), None);
        }
    }

    /// Few sessions may have nearly all records.
    #[test]
    fn step_of_a_sweep_looks_at_few_records_however_they_are_spread() {
        let seed = Seed::from_number(1);
        let config = ServerConfig { record_memory: 12 << 20, ..ServerConfig::default() };
        let window = config.window;
        let mut stand = Stand::new(&seed, config);
        let Stand { sessions, common, clock } = &mut stand;
        let route = Route { remote: "192.0.2.1:9".parse().unwrap(), local: None, socket: 0 };
        for id in (1..).map(SessionId) {
            sessions.create(common, id, 1, &route, *clock);
            let Some(session) = sessions.get_mut(id) else { break };
            let records = &mut common.memory.records;
            let mut calls = (u64::from(window)..2 * u64::from(window)).map(CallId);
            if !calls.all(|call| session.table.take(call, window, records).is_some()) {
                break;
            }
        }
        let most = SWEEP_STEP / window as usize + 1;
        let mut left = sessions.len();
        assert!(left > 3 * most);
        while left > 0 {
            *clock += SWEEP_PAUSE;
            sessions.sweep_if_short(common, *clock);
            let now_left = sessions.to_sweep.unwrap_or(0) as usize;
            assert!(now_left < left && (left - now_left <= most || now_left == 0), "{now_left}");
            left = now_left;
        }
    }
}
