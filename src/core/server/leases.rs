//! When each session is asked whether its lease has ended: a ring of lists, one for each short span
//! of time, threaded through the sessions themselves.
//!
//! Hearing of a session moves nothing here, and an idle session is touched once in a lease: a timer
//! that goes off too early is set anew.
//!
//! Invariants: a session is in the list of the tick that it says, and no tick lies as far ahead as
//! the ring is long, so that no list holds two. `next` is the first tick whose list is not empty.

use super::rows::Rows;
use super::session::Session;

/// Lists of the ring.
const RING: u64 = 256;

/// Ticks of a lease; fewer than the ring has lists.
const TICKS: u64 = 250;

/// No session, or no list.
const NONE: u32 = u32::MAX;

/// A session's place among the timers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Link {
    /// The tick at which it goes off; zero for none.
    tick: u32,
    before: u32,
    after: u32,
}

impl Link {
    /// Of a session that has no timer.
    pub(super) const NONE: Link = Link { tick: 0, before: NONE, after: NONE };
}

/// The timers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Leases {
    /// Length of a tick, µs.
    width: u64,
    /// The first session of each list.
    heads: Vec<u32>,
    /// All ticks up to this one have passed.
    passed: u64,
    next: Option<u64>,
}

impl Leases {
    /// Timers of at most this length, µs.
    pub(super) fn new(lease: u64) -> Self {
        let heads = (0..RING).map(|_| NONE).collect();
        Self { width: lease.div_ceil(TICKS).max(1), heads, passed: 0, next: None }
    }

    /// When the first goes off.
    pub(super) fn poll_timeout(&self) -> Option<u64> {
        self.next.map(|tick| tick.saturating_mul(self.width))
    }

    /// Sets a session's timer, which it must not have: to this time or up to a tick later, or, if it
    /// lies too far ahead, earlier.
    pub(super) fn set(&mut self, sessions: &mut Rows<Session>, place: u32, due: u64, clock: u64) {
        if self.next.is_none() {
            self.passed = clock / self.width;
        }
        let tick = due.div_ceil(self.width).clamp(self.passed + 1, self.passed + RING - 1);
        let Ok(kept) = u32::try_from(tick) else { return };
        let Some(head) = self.heads.get_mut(list(tick)) else { return };
        let after = std::mem::replace(head, place);
        if let Some(session) = sessions.get_mut(place) {
            debug_assert_eq!(session.link.tick, 0);
            session.link = Link { tick: kept, before: NONE, after };
        }
        if let Some(second) = sessions.get_mut(after) {
            second.link.before = place;
        }
        self.next = Some(self.next.map_or(tick, |next| next.min(tick)));
    }

    /// Stops a session's timer, if it has one.
    pub(super) fn stop(&mut self, sessions: &mut Rows<Session>, place: u32) {
        let Some(session) = sessions.get_mut(place) else { return };
        let link = std::mem::replace(&mut session.link, Link::NONE);
        if link.tick == 0 {
            return;
        }
        self.put_behind(sessions, link, link.after);
        if let Some(after) = sessions.get_mut(link.after) {
            after.link.before = link.before;
        }
        let tick = u64::from(link.tick);
        if self.next == Some(tick) && self.head(tick) == NONE {
            self.next = (tick + 1..tick + RING).find(|tick| self.head(*tick) != NONE);
        }
    }

    /// A session stands in another place now.
    pub(super) fn moved(&mut self, sessions: &mut Rows<Session>, to: u32) {
        let Some(link) = sessions.get(to).map(|session| session.link) else { return };
        if link.tick != 0 {
            self.put_behind(sessions, link, to);
            if let Some(after) = sessions.get_mut(link.after) {
                after.link.before = to;
            }
        }
    }

    /// Takes out a session whose timer has gone off by now.
    pub(super) fn pop(&mut self, sessions: &mut Rows<Session>, clock: u64) -> Option<u32> {
        let now = clock / self.width;
        let Some(tick) = self.next.filter(|tick| *tick <= now) else {
            self.passed = self.passed.max(now);
            return None;
        };
        self.passed = tick - 1;
        let place = self.head(tick);
        self.stop(sessions, place);
        Some(place)
    }

    /// All places that have a timer, in order.
    #[cfg(test)]
    pub(super) fn places(&self, sessions: &Rows<Session>) -> Vec<u32> {
        let mut all = Vec::new();
        let first = (self.passed + 1..self.passed + RING).find(|tick| self.head(*tick) != NONE);
        assert_eq!(self.next, first);
        for tick in self.passed + 1..self.passed + RING {
            let (mut before, mut at) = (NONE, self.head(tick));
            while let Some(session) = sessions.get(at) {
                assert_eq!((u64::from(session.link.tick), session.link.before), (tick, before));
                all.push(at);
                (before, at) = (at, session.link.after);
            }
            assert_eq!(at, NONE);
        }
        all.sort_unstable();
        all
    }

    fn head(&self, tick: u64) -> u32 {
        self.heads.get(list(tick)).copied().unwrap_or(NONE)
    }

    /// Puts a session, or none, behind the one before this link: another one, or its list's head.
    fn put_behind(&mut self, sessions: &mut Rows<Session>, link: Link, place: u32) {
        match sessions.get_mut(link.before) {
            Some(before) => before.link.after = place,
            None => {
                if let Some(head) = self.heads.get_mut(list(link.tick.into())) {
                    *head = place;
                }
            }
        }
    }
}

/// The number of a tick's list.
fn list(tick: u64) -> usize {
    usize::try_from(tick % RING).unwrap_or(0)
}
