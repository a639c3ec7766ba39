//! A clock that counts while the machine is suspended.

use std::time::Duration;

use crate::core::Time;

/// A monotonic clock that also counts while the machine is suspended, where the operating system
/// has one (`CLOCK_BOOTTIME` on Linux and Android); `Instant` elsewhere.
///
/// Leases and proofs of "it did not run" are reckoned in it: a server that slept an hour must not
/// take up its sessions as if no time had passed.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: Origin,
}

impl Clock {
    /// A clock that begins now, a second after [`Time::ZERO`].
    pub fn start() -> Self {
        Self { origin: Origin::now() }
    }

    /// The time.
    pub fn now(&self) -> Time {
        // A second's lead, so that "a little before the start" is a time too.
        Time::ZERO + Duration::from_secs(1) + self.origin.elapsed()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::start()
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod origin {
    use std::time::Duration;

    use nix::time::{ClockId, clock_gettime};

    #[derive(Debug, Clone, Copy)]
    pub(super) struct Origin(Duration);

    impl Origin {
        pub(super) fn now() -> Self {
            Self(boottime())
        }

        pub(super) fn elapsed(&self) -> Duration {
            boottime().saturating_sub(self.0)
        }
    }

    fn boottime() -> Duration {
        // The kernel has had this clock since 2.6.39; with a valid id the call cannot fail.
        clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default()
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod origin {
    use std::time::{Duration, Instant};

    #[derive(Debug, Clone, Copy)]
    pub(super) struct Origin(Instant);

    impl Origin {
        pub(super) fn now() -> Self {
            Self(Instant::now())
        }

        pub(super) fn elapsed(&self) -> Duration {
            self.0.elapsed()
        }
    }
}

use origin::Origin;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_begins_at_a_second_and_never_goes_back() {
        let clock = Clock::start();
        let mut last = clock.now();
        assert!(last >= Time::from_micros(1_000_000));
        for _ in 0..1000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
    }
}
