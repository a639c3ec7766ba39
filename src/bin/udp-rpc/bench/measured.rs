//! What is measured of calls: how they ended, and how long they took.

use std::time::Duration;

use hdrhistogram::Histogram;
use udp_rpc::core::{CallError, Reply};
use udp_rpc::wire::Code;

use crate::batch::tally::Tally;

/// The longest latency that is told apart from longer ones, ns: calls end by their timeout, and no
/// timeout is longer than a day.
const LONGEST_NS: u64 = 24 * 60 * 60 * 1_000_000_000;

/// Significant digits of a latency.
const DIGITS: u8 = 3;

/// What was measured, of one client or of several.
pub(super) struct Measured {
    /// From when a call was due to its end, ns.
    pub(super) latency: Histogram<u64>,
    pub(super) tally: Tally,
    /// Calls that ended while calls were made, and not after that.
    pub(super) in_time: u64,
    /// How calls failed, and how many did.
    pub(super) errors: Vec<(Sort, u64)>,
    /// Calls that had to wait for room among those in flight.
    pub(super) held_back: u64,
    /// Calls that the generator began late, without such a reason.
    pub(super) late: u64,
    /// Calls that were due and never begun.
    pub(super) never_begun: u64,
    /// For how long calls were made: the longest of all clients.
    pub(super) elapsed: Duration,
    /// For how long the clients' threads have worked, where that is known.
    pub(super) cpu: Option<Duration>,
}

/// A sort of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sort {
    pub(super) code: Code,
    /// As [`Outcome::name`](udp_rpc::core::Outcome::name) has it.
    pub(super) outcome: &'static str,
}

impl Measured {
    /// Nothing yet.
    pub(super) fn new() -> Measured {
        #[expect(clippy::expect_used, reason = "the bounds are constants")]
        let latency = Histogram::new_with_bounds(1, LONGEST_NS, DIGITS).expect("sound bounds");
        Measured {
            latency,
            tally: Tally::default(),
            in_time: 0,
            errors: Vec::new(),
            held_back: 0,
            late: 0,
            never_begun: 0,
            elapsed: Duration::ZERO,
            cpu: Some(Duration::ZERO),
        }
    }

    /// A call has ended.
    pub(super) fn count(
        &mut self,
        latency: Duration,
        result: &Result<Reply, CallError>,
        in_time: bool,
    ) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.latency.saturating_record(ns.max(1));
        self.in_time += u64::from(in_time);
        match result {
            Ok(reply) => self.tally.answered(reply, true),
            Err(error) => {
                self.tally.failed(error);
                self.failed(Sort { code: error.code, outcome: error.outcome.name() }, 1);
            }
        }
    }

    fn failed(&mut self, sort: Sort, count: u64) {
        match self.errors.iter_mut().find(|(known, _)| *known == sort) {
            Some((_, counted)) => *counted += count,
            None => self.errors.push((sort, count)),
        }
    }

    /// All calls.
    pub(super) fn calls(&self) -> u64 {
        self.tally.calls()
    }

    /// Calls a second, of those that ended while calls were made.
    pub(super) fn rate(&self) -> f64 {
        self.in_time as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// Transmissions of a call, on average.
    pub(super) fn attempts_per_call(&self) -> f64 {
        self.tally.attempts as f64 / self.calls().max(1) as f64
    }

    /// The latency that this share of the calls does not exceed.
    pub(super) fn quantile(&self, share: f64) -> Duration {
        Duration::from_nanos(self.latency.value_at_quantile(share))
    }

    /// What was measured of two.
    pub(super) fn and(mut self, other: Measured) -> Measured {
        let Measured {
            latency,
            tally,
            in_time,
            errors,
            held_back,
            late,
            never_begun,
            elapsed,
            cpu,
        } = other;
        #[expect(clippy::expect_used, reason = "all have the same bounds")]
        self.latency.add(latency).expect("the same bounds");
        self.tally = self.tally.and(tally);
        self.in_time += in_time;
        errors.into_iter().for_each(|(sort, count)| self.failed(sort, count));
        self.held_back += held_back;
        self.late += late;
        self.never_begun += never_begun;
        self.elapsed = self.elapsed.max(elapsed);
        self.cpu = self.cpu.zip(cpu).map(|(one, other)| one + other);
        self
    }
}

#[cfg(test)]
mod tests {
    use udp_rpc::core::Outcome;
    use udp_rpc::wire::Metadata;

    use super::*;

    fn reply(attempts: u32) -> Result<Reply, CallError> {
        Ok(Reply {
            metadata: Metadata::new(),
            body: Vec::new(),
            attempts,
            issues: 1,
            elapsed: Duration::ZERO,
            at_least_once: false,
            token: None,
        })
    }

    fn error(code: Code, outcome: Outcome) -> Result<Reply, CallError> {
        Err(CallError { outcome, attempts: 2, ..CallError::never_sent(code, "") })
    }

    #[test]
    fn what_clients_measured_adds_up() {
        let mut one = Measured::new();
        one.count(Duration::from_micros(100), &reply(1), true);
        one.count(Duration::from_millis(9), &error(Code::Aborted, Outcome::Unknown), true);
        one.elapsed = Duration::from_secs(2);
        let mut other = Measured::new();
        other.count(Duration::from_micros(300), &reply(3), true);
        other.count(Duration::from_millis(9), &error(Code::Aborted, Outcome::Executed), true);
        other.count(Duration::from_secs(1), &error(Code::Aborted, Outcome::Unknown), false);
        other.elapsed = Duration::from_secs(1);
        other.cpu = None;

        let both = one.and(other);
        assert_eq!((both.calls(), both.tally.ok, both.tally.attempts), (5, 2, 10));
        let sort = |outcome| Sort { code: Code::Aborted, outcome };
        assert_eq!(both.errors, [(sort("unknown"), 2), (sort("executed"), 1)]);
        // One ended too late to count.
        assert_eq!(both.rate(), 2.0);
        assert_eq!(both.attempts_per_call(), 2.0);
        assert_eq!(both.cpu, None);
    }

    #[test]
    fn quantiles_are_of_all_calls_and_have_three_digits() {
        let mut measured = Measured::new();
        for us in 1..=1_000 {
            measured.count(Duration::from_micros(us), &reply(1), true);
        }
        for (share, us) in [(0.5, 500.0), (0.9, 900.0), (0.99, 990.0), (1.0, 1_000.0)] {
            let found = measured.quantile(share).as_secs_f64() * 1e6;
            assert!((found / us - 1.0).abs() < 0.001, "{share}: {found}");
        }
        // Longer than anything can be.
        measured.count(Duration::MAX, &reply(1), true);
        assert!(measured.quantile(1.0) >= Duration::from_secs(24 * 60 * 60));
    }
}
