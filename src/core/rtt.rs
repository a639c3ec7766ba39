//! Round-trip time and retransmission timeout, as in RFC 6298 section 2.
//!
//! Every answer echoes the attempt that it answers and how long it was held, so each sample is
//! of the network alone and belongs to one transmission: Karn's restriction does not apply.

use std::time::Duration;

/// Initial RTO without a sample, 1 s: RFC 8961 section 4 (1), RFC 8085 section 3.1.1.
pub(crate) const RTO_INITIAL: Duration = Duration::from_secs(1);

/// Granularity of the clock (RFC 6298's G): 1 ms, what `epoll_wait` can tell apart.
const GRANULARITY: Duration = Duration::from_millis(1);

/// The estimator of one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct RttEstimator {
    /// Smoothed round-trip time and its variation, once there is a sample.
    smoothed: Option<(Duration, Duration)>,
}

impl RttEstimator {
    /// Takes a sample of the network's round-trip time.
    pub(crate) fn sample(&mut self, rtt: Duration) {
        self.smoothed = Some(match self.smoothed {
            // (2.2) SRTT <- R, RTTVAR <- R/2
            None => (rtt, rtt / 2),
            // (2.3) RTTVAR <- 3/4 RTTVAR + 1/4 |SRTT - R'|, then SRTT <- 7/8 SRTT + 1/8 R'
            Some((srtt, rttvar)) => ((srtt * 7 + rtt) / 8, (rttvar * 3 + srtt.abs_diff(rtt)) / 4),
        });
    }

    /// The smoothed round-trip time, once there is a sample.
    pub(crate) fn srtt(&self) -> Option<Duration> {
        self.smoothed.map(|(srtt, _)| srtt)
    }

    /// RTO <- SRTT + max(G, 4 RTTVAR), at least `floor`; `initial` without a sample.
    pub(crate) fn rto(&self, initial: Duration, floor: Duration) -> Duration {
        match self.smoothed {
            None => initial,
            Some((srtt, rttvar)) => (srtt + GRANULARITY.max(rttvar * 4)).max(floor),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn initial_rto_is_used_until_there_is_a_sample() {
        let mut rtt = RttEstimator::default();
        assert_eq!(rtt.rto(RTO_INITIAL, 10 * MS), RTO_INITIAL);
        rtt.sample(100 * MS);
        assert_eq!(rtt.srtt(), Some(100 * MS));
        assert_eq!(rtt.rto(RTO_INITIAL, 10 * MS), 300 * MS);
    }

    #[test]
    fn steady_samples_bring_the_rto_down_to_srtt_and_granularity_or_the_floor() {
        let mut rtt = RttEstimator::default();
        for _ in 0..200 {
            rtt.sample(40 * MS);
        }
        let rto = rtt.rto(RTO_INITIAL, 10 * MS);
        assert!(rto >= 41 * MS && rto < 42 * MS, "{rto:?}");
        for _ in 0..200 {
            rtt.sample(Duration::from_micros(50));
        }
        assert_eq!(rtt.rto(RTO_INITIAL, 10 * MS), 10 * MS);
    }

    #[test]
    fn variation_is_worked_out_before_the_mean() {
        let mut rtt = RttEstimator::default();
        rtt.sample(100 * MS);
        rtt.sample(200 * MS);
        // RTTVAR = 3/4 · 50 + 1/4 · |100 − 200| = 62.5; SRTT = 7/8 · 100 + 1/8 · 200 = 112.5
        assert_eq!(rtt.rto(RTO_INITIAL, MS), Duration::from_micros(112_500 + 4 * 62_500));
    }
}
