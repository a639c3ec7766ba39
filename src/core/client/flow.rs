//! One server's path: round-trip time, backoff, and what is in flight on it.
//!
//! It must not know what a call is: it counts copies. A copy is in flight from its sending until
//! it is answered or declared lost. Invariant: the factor is a power of two and doubles at most
//! once in an interval.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::CallHandle;
use super::order::Order;
use super::window::{Sign, Window};
use crate::core::{Prf, RttEstimator, Time, Uncompared};

/// No round trip is longer than this, 5 min (twice the 2 minutes that RFC 8085 section 3.3 gives a
/// datagram, and some): a longer one was a clock that jumped.
const RTT_MAX: Duration = Duration::from_secs(300);

/// Most doublings: with the least RTO of 5 ms this is above the longest deadline that any server
/// is likely to allow, and it keeps products of durations far from overflow.
const FACTOR_MAX: u32 = 1 << 20;

/// Most doublings of a probe timeout: far beyond any RTO for which there are probes.
const PROBES_MAX: u32 = 16;

/// Jitter of an interval, in 4096ths added to it: 0 to a quarter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Jitter(pub(super) u16);

impl Jitter {
    /// One more than the greatest jitter: ×1.25.
    pub(super) const BOUND: u64 = 1025;

    /// `interval`, lengthened.
    pub(super) fn lengthen(self, interval: Duration) -> Duration {
        interval + interval * u32::from(self.0) / 4096
    }
}

/// Where jitters come from: each random number serves for four. No one gains by guessing them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Jitters {
    drawn: u64,
    left: u8,
}

impl Jitters {
    /// The next one, evenly from 0 to a quarter.
    pub(super) fn next(&mut self, random: &mut Prf) -> Jitter {
        if self.left == 0 {
            *self = Self { drawn: random.next_u64(), left: 4 };
        }
        let drawn = self.drawn & 0xffff;
        self.drawn >>= 16;
        self.left -= 1;
        Jitter(u16::try_from((drawn * Jitter::BOUND) >> 16).unwrap_or(0))
    }
}

/// When HELLO or PING must go again so that a call which waits for the answer, and for nothing
/// else, is still in time: three RTOs before its deadline, one for that answer, one for the
/// call's own and one to spare. However long the backoff has become, each call gets this chance
/// once, unless a copy went so late already; `last` is when the last one went.
pub(super) fn last_chance(last: Time, rto: Duration, deadline: Time) -> Option<Time> {
    let latest = deadline.before(rto * 3);
    let at = latest.max(last + rto);
    (last < latest && at < deadline).then_some(at)
}

/// A call that begins to wait brings a HELLO or PING of its own, if the one before is as old as
/// this: without it, the first calls after a long outage would wait for what the backoff has
/// become. One datagram in 3 s is what RFC 8085 section 3.1.3 allows where nothing comes back.
const OWN_COPY_AFTER: Duration = Duration::from_secs(3);

/// When HELLO or PING must go again for a call that begins to wait until `deadline`; `last` is when
/// the last one went.
pub(super) fn wanted_by_call(last: Time, rto: Duration, deadline: Time) -> Time {
    let own = last + OWN_COPY_AFTER.max(rto);
    last_chance(last, rto, deadline).map_or(own, |chance| chance.min(own))
}

/// Names a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FlowId(usize);

/// The paths to all servers: one for each address that was ever asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Flows(Vec<(SocketAddr, Flow)>);

impl Flows {
    /// The path to `server`, made if there is none.
    pub(super) fn find_or_insert(
        &mut self,
        server: SocketAddr,
        make: impl FnOnce() -> Flow,
    ) -> FlowId {
        let place = self.0.iter().position(|(of, _)| *of == server);
        FlowId(place.unwrap_or_else(|| {
            self.0.push((server, make()));
            self.0.len() - 1
        }))
    }

    pub(super) fn get(&self, id: FlowId) -> Option<&Flow> {
        self.0.get(id.0).map(|(_, flow)| flow)
    }

    pub(super) fn get_mut(&mut self, id: FlowId) -> Option<&mut Flow> {
        self.0.get_mut(id.0).map(|(_, flow)| flow)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = FlowId> + use<> {
        (0..self.0.len()).map(FlowId)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (FlowId, &mut Flow)> {
        (0..).map(FlowId).zip(self.0.iter_mut().map(|(_, flow)| flow))
    }
}

/// The path to one server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Flow {
    rtt: Uncompared<RttEstimator>,
    initial_rto: Duration,
    rto_floor: Duration,
    /// Backoff of the peer: a power of two.
    factor: u32,
    /// When something valid was last heard, and when the factor was last doubled.
    heard: Option<Time>,
    doubled: Option<Time>,
    /// When a copy last went, and how many times a silence since was probed.
    sent: Option<Time>,
    probed: u32,
    /// RTO without backoff, as of the last sample.
    rto: Uncompared<Duration>,
    window: Window,
    /// In which order copies went, and which of them were overtaken.
    pub(super) order: Order,
    /// The RTO for which the timers in flight were last worked out.
    armed_rto: Uncompared<Duration>,
    /// Calls whose next copy waits for room; they go before new calls, the oldest first.
    pub(super) lost: BTreeSet<CallHandle>,
}

impl Flow {
    pub(super) fn new(initial_rto: Duration, rto_floor: Duration) -> Self {
        Self {
            rtt: Uncompared::default(),
            initial_rto: initial_rto.min(RTT_MAX),
            rto_floor: rto_floor.min(RTT_MAX),
            factor: 1,
            heard: None,
            doubled: None,
            sent: None,
            probed: 0,
            rto: Uncompared(initial_rto.min(RTT_MAX)),
            window: Window::default(),
            order: Order::default(),
            armed_rto: Uncompared(initial_rto),
            lost: BTreeSet::new(),
        }
    }

    /// Takes the number of slots of a new session.
    pub(super) fn set_window_max(&mut self, slots: u32) {
        self.window.set_max(slots);
    }

    /// RTO, without backoff.
    pub(super) fn rto(&self) -> Duration {
        *self.rto
    }

    /// RTO × the peer's factor: the current interval.
    pub(super) fn interval(&self) -> Duration {
        if self.factor == 1 { *self.rto } else { *self.rto * self.factor }
    }

    pub(super) fn srtt(&self) -> Option<Duration> {
        self.rtt.srtt()
    }

    /// When the answer to a copy is overdue that later ones have overtaken; `None` before there is
    /// a sample.
    pub(super) fn overdue(&self) -> Option<Duration> {
        self.rtt.overdue()
    }

    /// A copy went, counted or not.
    pub(super) fn went(&mut self, now: Time) {
        self.sent = Some(now);
    }

    /// When a silence that began with the last copy is to be probed: after a probe timeout (RFC
    /// 9002 section 6.2.1), doubled with each probe. `None` where nothing is in flight, before
    /// there is a sample, and once the ordinary timers come as soon or have backed off.
    pub(super) fn probe_at(&self) -> Option<Time> {
        let timeout = self.rtt.probe_timeout()? * (1 << self.probed.min(PROBES_MAX));
        let since = self.sent.max(self.heard)?;
        let helps = self.in_flight() > 0 && self.factor == 1 && timeout < self.rto();
        helps.then(|| since + timeout)
    }

    /// A silence is being probed.
    pub(super) fn probe(&mut self) {
        self.probed = self.probed.saturating_add(1);
    }

    pub(super) fn window(&self) -> u32 {
        self.window.size()
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.window.in_flight()
    }

    #[cfg(test)]
    pub(super) fn factor(&self) -> u32 {
        self.factor
    }

    /// Whether there is room for a copy.
    pub(super) fn has_room(&self) -> bool {
        self.window.has_room()
    }

    /// A copy went out.
    pub(super) fn sent(&mut self) {
        self.window.sent();
    }

    /// A copy turned out never to have left, or nobody waits for it any more.
    pub(super) fn withdrawn(&mut self) {
        self.window.withdrawn();
    }

    /// A copy in flight was answered.
    pub(super) fn answered(&mut self) {
        self.window.answered();
    }

    /// Something valid was heard: the backoff is over. Whether all timers must be worked out anew.
    pub(super) fn heard(&mut self, now: Time) -> bool {
        self.heard = Some(now);
        self.probed = 0;
        self.window.heard();
        let backed_off = self.factor > 1;
        self.factor = 1;
        backed_off
    }

    /// A sample of the round-trip time. Whether all timers must be worked out anew because the
    /// RTO fell by half or more.
    pub(super) fn sample(&mut self, now: Time, rtt: Duration) -> bool {
        self.rtt.sample(now, rtt.min(RTT_MAX));
        let rto = self.rtt.rto(self.initial_rto, self.rto_floor);
        self.rto = Uncompared(rto);
        let fell = rto <= *self.armed_rto / 2;
        if fell || rto > *self.armed_rto {
            self.armed_rto = Uncompared(rto);
        }
        fell
    }

    /// A copy, sent at `sent`, is declared lost: it was not answered in time.
    pub(super) fn declared_lost(&mut self, now: Time, sent: Time) {
        let sign = match self.unheard_since(sent) {
            true => Sign::Silence,
            false if self.rtt.shows_queue() => Sign::Queue,
            false => Sign::Chance,
        };
        self.window.lost(now, sent, sign);
        self.back_off(now, sent);
    }

    /// A copy that was declared lost at `declared` was not.
    pub(super) fn was_not_lost(&mut self, declared: Time) {
        self.window.was_not_lost(declared);
    }

    /// The copy sent at `sent` was under way for an interval: if nothing valid was heard meanwhile,
    /// the factor doubles, but once in an interval only.
    pub(super) fn back_off(&mut self, now: Time, sent: Time) {
        let since = self.doubled.map_or(sent, |doubled| doubled.max(sent));
        if self.unheard_since(sent) && now >= since + self.interval() {
            self.factor = (self.factor * 2).min(FACTOR_MAX);
            self.doubled = Some(now);
        }
    }

    fn unheard_since(&self, sent: Time) -> bool {
        self.heard.is_none_or(|heard| heard <= sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn flow() -> Flow {
        let mut flow = Flow::new(100 * MS, 5 * MS);
        flow.set_window_max(64);
        flow
    }

    /// Round trips have become longer: there is a queue.
    fn queue(flow: &mut Flow) {
        flow.sample(at(0), 10 * MS);
        (0..100).for_each(|_| _ = flow.sample(at(0), 50 * MS));
    }

    fn at(ms: u64) -> Time {
        Time::from_micros(ms * 1000)
    }

    #[test]
    fn window_grows_by_one_with_each_answer_and_stops_at_the_slots() {
        let mut flow = flow();
        for _ in 0..200 {
            while flow.has_room() {
                flow.sent();
            }
            flow.heard(at(1));
            flow.answered();
        }
        assert_eq!(flow.window(), 64);
    }

    #[test]
    fn window_that_is_not_used_does_not_grow() {
        let mut flow = flow();
        for _ in 0..200 {
            flow.sent();
            flow.answered();
        }
        assert_eq!(flow.window(), 10);
    }

    /// A flow with a window of 40, all of it in flight.
    fn grown() -> Flow {
        let mut flow = flow();
        while flow.window() < 40 {
            while flow.has_room() {
                flow.sent();
            }
            flow.heard(at(0));
            flow.answered();
        }
        while flow.has_room() {
            flow.sent();
        }
        flow
    }

    #[test]
    fn window_is_halved_once_for_the_losses_of_a_round_trip() {
        let mut flow = grown();
        queue(&mut flow);
        flow.heard(at(50));
        flow.declared_lost(at(101), at(0));
        flow.declared_lost(at(102), at(1));
        flow.declared_lost(at(103), at(2));
        assert_eq!(flow.window(), 20);
        flow.heard(at(150));
        flow.declared_lost(at(202), at(102));
        assert_eq!(flow.window(), 10);
        flow.heard(at(290));
        flow.declared_lost(at(303), at(203));
        assert_eq!(flow.window(), 8, "not under 8 while anything is heard");
    }

    #[test]
    fn silence_leaves_a_window_of_two_and_a_word_brings_it_back_to_eight() {
        let mut flow = flow();
        (0..10).for_each(|_| flow.sent());
        flow.declared_lost(at(100), at(0));
        assert_eq!(flow.window(), 2);
        flow.heard(at(101));
        assert_eq!(flow.window(), 8);
    }

    #[test]
    fn above_the_threshold_the_window_grows_by_one_with_each_window_of_answers() {
        let mut flow = grown();
        queue(&mut flow);
        flow.heard(at(50));
        flow.declared_lost(at(100), at(0));
        assert_eq!(flow.window(), 20);
        for _ in 0..20 {
            flow.answered();
            flow.sent();
        }
        assert_eq!(flow.window(), 21);
    }

    #[test]
    fn backoff_doubles_once_in_an_interval_however_many_copies_expire_in_it() {
        let mut flow = flow();
        (0..10).for_each(|_| flow.sent());
        for ms in 100..110 {
            flow.declared_lost(at(ms), at(0));
        }
        assert_eq!(flow.factor(), 2);
        flow.declared_lost(at(299), at(99));
        assert_eq!(flow.factor(), 2);
        flow.declared_lost(at(300), at(100));
        assert_eq!(flow.factor(), 4);
        assert!(flow.heard(at(301)));
        assert_eq!(flow.interval(), 100 * MS);
    }

    #[test]
    fn a_word_in_the_interval_keeps_it_from_doubling() {
        let mut flow = flow();
        flow.sent();
        flow.heard(at(50));
        flow.declared_lost(at(100), at(0));
        assert_eq!(flow.factor(), 1);
    }

    #[test]
    fn jitter_only_lengthens_and_by_a_quarter_at_most() {
        assert_eq!(Jitter(0).lengthen(100 * MS), 100 * MS);
        assert_eq!(Jitter(1024).lengthen(100 * MS), 125 * MS);
    }

    #[test]
    fn last_chance_comes_once_and_an_rto_after_the_copy_before() {
        let chance = |last, deadline| last_chance(at(last), 100 * MS, at(deadline));
        assert_eq!(chance(0, 1000), Some(at(700)));
        assert_eq!(chance(650, 1000), Some(at(750)));
        assert_eq!(chance(700, 1000), None, "it had its chance");
        assert_eq!(chance(0, 200), None);
        assert_eq!(chance(0, 350), Some(at(100)));
    }

    #[test]
    fn silence_is_probed_after_a_round_trip_and_a_millisecond_and_then_half_as_often() {
        let mut flow = flow();
        assert_eq!(flow.probe_at(), None, "there is no sample");
        (0..50).for_each(|_| _ = flow.sample(at(0), MS));
        flow.went(at(10));
        assert_eq!(flow.probe_at(), None, "nothing is in flight");
        flow.sent();
        assert_eq!(flow.probe_at(), Some(at(12)));
        flow.heard(at(11));
        assert_eq!(flow.probe_at(), Some(at(13)));
        flow.probe();
        assert_eq!(flow.probe_at(), Some(at(15)));
        flow.probe();
        assert_eq!(flow.probe_at(), None, "the RTO of 5 ms comes as soon");
        flow.heard(at(14));
        assert_eq!(flow.probe_at(), Some(at(16)));
        flow.declared_lost(at(100), at(50));
        flow.sent();
        flow.went(at(100));
        assert_eq!(flow.probe_at(), None, "the timers have backed off");
    }

    #[test]
    fn rto_that_falls_by_half_asks_for_the_timers_anew() {
        let mut flow = flow();
        assert!(flow.sample(at(0), 5 * MS));
        assert!(!flow.sample(at(0), 5 * MS));
    }
}
