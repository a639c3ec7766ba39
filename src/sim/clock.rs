//! Clocks that err.
//!
//! The world has one true time, [`Truth`], that no host can read. Each host reads its own
//! [`Clock`], which began anywhere and runs a little too fast or too slow. The two are different
//! types, so that no check mixes them up.

use std::ops::Add;
use std::time::Duration;

use crate::core::Time;

/// A million: rates are in parts of it.
const PARTS: i128 = 1_000_000;

/// True time, in microseconds since the world began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Truth(pub u64);

impl Add<Duration> for Truth {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// One host's clock: counts suspend, never steps, but has a rate error.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// What it shows when the world begins.
    pub start: Time,
    /// How much too fast it runs, in parts per million; negative if too slow.
    pub error_ppm: i32,
}

impl Clock {
    /// What the clock shows.
    pub(super) fn read(&self, truth: Truth) -> Time {
        let elapsed = i128::from(truth.0) * (PARTS + i128::from(self.error_ppm)) / PARTS;
        Time::from_micros(self.start.as_micros() + u64::try_from(elapsed).unwrap_or(0))
    }

    /// The first true time at which the clock shows `local` or more.
    pub(super) fn when(&self, local: Time) -> Truth {
        let Some(elapsed) = local.as_micros().checked_sub(self.start.as_micros()) else {
            return Truth(0);
        };
        let rate = PARTS + i128::from(self.error_ppm);
        let truth = (i128::from(elapsed) * PARTS + rate - 1) / rate;
        Truth(u64::try_from(truth).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_is_the_first_instant_that_reads_so() {
        for error_ppm in [-1000, -7, 0, 1, 500, 1000] {
            let clock = Clock { start: Time::from_micros(5_000_000), error_ppm };
            for local in (5_000_000..5_100_000).step_by(37).chain([9_999_999_999, 5_000_000]) {
                let local = Time::from_micros(local);
                let truth = clock.when(local);
                assert!(clock.read(truth) >= local, "{error_ppm} {local:?}");
                if truth.0 > 0 {
                    assert!(clock.read(Truth(truth.0 - 1)) < local, "{error_ppm} {local:?}");
                }
            }
            assert_eq!(clock.when(Time::from_micros(1)), Truth(0));
        }
    }
}
