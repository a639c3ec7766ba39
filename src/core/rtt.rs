//! Round-trip time and retransmission timeout, as in RFC 6298 section 2.
//!
//! Every answer echoes the attempt that it answers and how long it was held, so each sample is
//! of the network alone and belongs to one transmission: Karn's restriction does not apply.

use std::time::Duration;

use super::Time;

/// Initial RTO without a sample, 1 s: RFC 8961 section 4 (1), RFC 8085 section 3.1.1.
pub(crate) const RTO_INITIAL: Duration = Duration::from_secs(1);

/// Granularity of the clock (RFC 6298's G): 1 ms, what `epoll_wait` can tell apart.
const GRANULARITY: Duration = Duration::from_millis(1);

/// For how long the shortest round trip is remembered, 10 s as in BBR: routes change.
const SHORTEST_KEPT: Duration = Duration::from_secs(10);

/// What has been learnt from samples, ns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Learnt {
    srtt: u64,
    rttvar: u64,
    latest: u64,
    /// The shortest of late, and when it was taken.
    shortest: u64,
    taken: Time,
}

/// The estimator of one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct RttEstimator {
    /// `None` until there is a sample.
    learnt: Option<Learnt>,
}

impl RttEstimator {
    /// Takes a sample of the network's round-trip time.
    pub(crate) fn sample(&mut self, now: Time, rtt: Duration) {
        let rtt = nanos(rtt);
        self.learnt = Some(match self.learnt {
            // (2.2) SRTT <- R, RTTVAR <- R/2
            None => Learnt { srtt: rtt, rttvar: rtt / 2, latest: rtt, shortest: rtt, taken: now },
            // (2.3) RTTVAR <- 3/4 RTTVAR + 1/4 |SRTT - R'|, then SRTT <- 7/8 SRTT + 1/8 R'
            Some(old) => {
                let older = rtt <= old.shortest || now.since(old.taken) > SHORTEST_KEPT;
                let (shortest, taken) = if older { (rtt, now) } else { (old.shortest, old.taken) };
                Learnt {
                    srtt: (old.srtt * 7 + rtt) / 8,
                    rttvar: (old.rttvar * 3 + old.srtt.abs_diff(rtt)) / 4,
                    latest: rtt,
                    shortest,
                    taken,
                }
            }
        });
    }

    /// The smoothed round-trip time, once there is a sample.
    pub(crate) fn srtt(&self) -> Option<Duration> {
        self.learnt.map(|learnt| Duration::from_nanos(learnt.srtt))
    }

    /// RTO <- SRTT + max(G, 4 RTTVAR), at least `floor`; `initial` without a sample.
    pub(crate) fn rto(&self, initial: Duration, floor: Duration) -> Duration {
        self.probe_timeout().map_or(initial, |timeout| timeout.max(floor))
    }

    /// How late an answer may be that later ones have overtaken: 9/8 of the longer of SRTT and the
    /// latest sample (RFC 9002 section 6.1.2, kTimeThreshold), and not sooner than SRTT + 4 RTTVAR,
    /// so that a path which changes the order of datagrams is not filled with copies. RFC 9002's
    /// kGranularity is not needed: the answers that come tell the time.
    pub(crate) fn overdue(&self) -> Option<Duration> {
        let overdue = |Learnt { srtt, rttvar, latest, .. }: Learnt| {
            (srtt.max(latest) / 8 * 9).max(srtt + rttvar * 4)
        };
        self.learnt.map(|learnt| Duration::from_nanos(overdue(learnt)))
    }

    /// How long nothing may be heard before the path is probed: SRTT + max(4 RTTVAR, G), as in RFC
    /// 9002 section 6.2.1, where nobody delays acknowledgements.
    pub(crate) fn probe_timeout(&self) -> Option<Duration> {
        self.learnt.map(|Learnt { srtt, rttvar, .. }| {
            Duration::from_nanos(srtt + nanos(GRANULARITY).max(rttvar * 4))
        })
    }

    /// Whether round trips take longer than the shortest of late by what neither timers nor
    /// schedulers explain: more than G, and more than a quarter.
    pub(crate) fn shows_queue(&self) -> bool {
        self.learnt.is_some_and(|Learnt { srtt, shortest, .. }| {
            srtt > shortest + nanos(GRANULARITY).max(shortest / 4)
        })
    }
}

/// A duration in ns. Samples are bounded far below where this would saturate.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const NOW: Time = Time::ZERO;

    #[test]
    fn initial_rto_is_used_until_there_is_a_sample() {
        let mut rtt = RttEstimator::default();
        assert_eq!(rtt.rto(RTO_INITIAL, 10 * MS), RTO_INITIAL);
        rtt.sample(NOW, 100 * MS);
        assert_eq!(rtt.srtt(), Some(100 * MS));
        assert_eq!(rtt.rto(RTO_INITIAL, 10 * MS), 300 * MS);
    }

    #[test]
    fn steady_samples_bring_the_rto_down_to_srtt_and_granularity_or_the_floor() {
        let mut rtt = RttEstimator::default();
        for _ in 0..200 {
            rtt.sample(NOW, 40 * MS);
        }
        let rto = rtt.rto(RTO_INITIAL, 10 * MS);
        assert!(rto >= 41 * MS && rto < 42 * MS, "{rto:?}");
        for _ in 0..200 {
            rtt.sample(NOW, Duration::from_micros(50));
        }
        assert_eq!(rtt.rto(RTO_INITIAL, 10 * MS), 10 * MS);
    }

    #[test]
    fn variation_is_worked_out_before_the_mean() {
        let mut rtt = RttEstimator::default();
        rtt.sample(NOW, 100 * MS);
        rtt.sample(NOW, 200 * MS);
        // RTTVAR = 3/4 · 50 + 1/4 · |100 − 200| = 62.5; SRTT = 7/8 · 100 + 1/8 · 200 = 112.5
        assert_eq!(rtt.rto(RTO_INITIAL, MS), Duration::from_micros(112_500 + 4 * 62_500));
    }

    #[test]
    fn answer_is_overdue_after_nine_eighths_of_the_longer_of_mean_and_latest() {
        let mut rtt = RttEstimator::default();
        assert_eq!(rtt.overdue(), None);
        (0..200).for_each(|_| rtt.sample(NOW, 80 * MS));
        assert_eq!(rtt.overdue(), Some(90 * MS));
        rtt.sample(NOW, 88 * MS);
        assert_eq!(rtt.overdue(), Some(99 * MS), "SRTT is 81 ms");
        rtt.sample(NOW, 120 * MS);
        rtt.sample(NOW, 10 * MS);
        let overdue = rtt.overdue();
        assert!(overdue > Some(150 * MS), "round trips vary too much for less: {overdue:?}");
    }

    #[test]
    fn queue_is_seen_by_round_trips_a_quarter_longer_than_the_shortest_of_late() {
        let mut rtt = RttEstimator::default();
        rtt.sample(NOW, 40 * MS);
        (0..100).for_each(|_| rtt.sample(NOW, 49 * MS));
        assert!(!rtt.shows_queue());
        (0..100).for_each(|_| rtt.sample(NOW, 52 * MS));
        assert!(rtt.shows_queue());
        // A longer way that lasts is no queue.
        (0..100).for_each(|_| rtt.sample(NOW + 11_000 * MS, 52 * MS));
        assert!(!rtt.shows_queue());
    }

    #[test]
    fn delays_below_the_granularity_show_no_queue() {
        let mut rtt = RttEstimator::default();
        rtt.sample(NOW, MS / 10);
        (0..100).for_each(|_| rtt.sample(NOW, MS));
        assert!(!rtt.shows_queue());
    }
}
