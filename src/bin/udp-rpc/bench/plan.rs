//! What a run is to be: how many clients, how many calls, for how long, how fast.

use std::time::{Duration, Instant};

use udp_rpc::client::DEFAULT_TIMEOUT;

use crate::args::{BenchArgs, Global};

/// How long a run takes if nobody says how long or how many calls.
const DURATION: Duration = Duration::from_secs(10);

/// How long the way is warmed up before what takes its time is measured: connections, caches,
/// round-trip times and windows have settled by then.
const WARM_UP: Duration = Duration::from_secs(1);

/// A run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    /// Clients, each with a thread and a session of its own.
    pub(super) clients: usize,
    /// Most calls in flight of each client.
    pub(super) in_flight: usize,
    /// Calls a second of all clients together; `None` for a closed loop.
    pub(super) rate: Option<f64>,
    /// Calls of all clients together.
    pub(super) calls: Option<u64>,
    /// How long calls are made; there if `calls` is not.
    pub(super) duration: Option<Duration>,
    /// How long calls are made before that are not counted.
    pub(super) warm_up: Duration,
    /// Clients never sleep while calls are in flight.
    pub(super) busy_poll: bool,
    /// Of each call.
    pub(super) timeout: Duration,
}

impl Plan {
    /// What the command line asks for. Calls that are counted out are not preceded by others
    /// unless that is asked for: they may have side effects.
    pub(super) fn new(args: &BenchArgs, global: &Global) -> Plan {
        let calls = args.calls;
        let warm_up = if calls.is_some() { Duration::ZERO } else { WARM_UP };
        Plan {
            clients: usize::from(args.clients),
            in_flight: usize::from(args.in_flight),
            rate: args.rate,
            calls,
            duration: args.duration.or_else(|| calls.is_none().then_some(DURATION)),
            warm_up: args.warm_up.unwrap_or(warm_up),
            busy_poll: args.busy_poll,
            timeout: global.timeout.unwrap_or(DEFAULT_TIMEOUT),
        }
    }

    /// How many calls fall to a client, if they are counted out.
    pub(super) fn share(&self, client: usize) -> Option<u64> {
        let (clients, client) = (self.clients as u64, client as u64);
        self.calls.map(|calls| calls / clients + u64::from(client < calls % clients))
    }

    /// When the calls of a client are due that begins at `start`, if that is fixed: clients take
    /// turns.
    pub(super) fn schedule(&self, client: usize, start: Instant) -> Option<Schedule> {
        // A rate may be so low that its inverse is no number.
        let between = (1e9 / self.rate?).min(1e30);
        let first = between * client as f64;
        Some(Schedule { start, first, step: between * self.clients as f64, made: 0 })
    }
}

/// Instants at which calls are due.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    start: Instant,
    /// From the start to the first call, ns.
    first: f64,
    /// From one call to the next, ns.
    step: f64,
    /// Calls that have had their turn.
    made: u64,
}

impl Schedule {
    /// When the next call is due. Worked out from the start, so that nothing adds up.
    pub(super) fn due(&self) -> Instant {
        self.at(self.made)
    }

    /// When the call after so many is due.
    fn at(&self, made: u64) -> Instant {
        let after = self.first + self.step * made as f64;
        self.start + Duration::from_nanos(after as u64)
    }

    /// The next call has had its turn.
    pub(super) fn advance(&mut self) {
        self.made += 1;
    }

    /// Calls that are due before `end` and have not had their turn.
    pub(super) fn left(&self, end: Instant) -> u64 {
        let until = end.saturating_duration_since(self.start).as_nanos() as f64;
        // Nearly all: a quotient may be rounded up to a call that is due at the end and not before.
        let mut all = (((until - self.first) / self.step) as u64).saturating_sub(1);
        while self.at(all) < end {
            all += 1;
        }
        all.saturating_sub(self.made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            clients: 3,
            in_flight: 1,
            rate: Some(300.0),
            calls: Some(8),
            duration: None,
            warm_up: Duration::ZERO,
            busy_poll: false,
            timeout: DEFAULT_TIMEOUT,
        }
    }

    #[test]
    fn shares_of_the_calls_are_all_of_them_and_differ_by_one_at_most() {
        let shares: Vec<_> = (0..3).map(|client| plan().share(client)).collect();
        assert_eq!(shares, [Some(3), Some(3), Some(2)]);
        assert_eq!(Plan { calls: None, ..plan() }.share(0), None);
    }

    #[test]
    fn clients_take_turns_at_the_rate_of_all() {
        let start = Instant::now();
        let mut due = Vec::new();
        for client in 0..3 {
            let mut schedule = plan().schedule(client, start).unwrap();
            for _ in 0..2 {
                due.push((schedule.due() - start).as_micros());
                schedule.advance();
            }
        }
        due.sort_unstable();
        assert_eq!(due, [0, 3_333, 6_666, 10_000, 13_333, 16_666]);
    }

    #[test]
    fn calls_that_never_had_their_turn_are_counted() {
        let start = Instant::now();
        let mut schedule = Plan { clients: 1, ..plan() }.schedule(0, start).unwrap();
        let end = start + Duration::from_secs(1);
        assert_eq!(schedule.left(end), 300);
        schedule.advance();
        assert_eq!(schedule.left(end), 299);
        assert_eq!(schedule.left(start), 0);
    }

    #[test]
    fn none_is_counted_as_left_that_is_not_due_before_the_end() {
        let start = Instant::now();
        for rate in [3.0, 7.0, 900.0, 1_000.0, 33_333.0] {
            for seconds in [1, 5, 10, 30] {
                let end = start + Duration::from_secs(seconds);
                let plan = Plan { clients: 1, rate: Some(rate), ..plan() };
                let mut schedule = plan.schedule(0, start).unwrap();
                let left = schedule.left(end);
                while schedule.due() < end {
                    schedule.advance();
                }
                assert_eq!((left, schedule.left(end)), (schedule.made, 0), "{rate} {seconds}");
            }
        }
    }
}
