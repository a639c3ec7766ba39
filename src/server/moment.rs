//! One moment on both clocks: the core's, and the one that handlers know.

use std::time::Instant;

use crate::core::Time;
use crate::net::Clock;

/// Now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) now: Time,
    /// Read before `now`, so that a time to come is told as a little too early, never as too
    /// late: a call that is made within what a handler's deadline leaves has no longer than the
    /// handler's own caller.
    at: Instant,
}

impl Moment {
    pub(super) fn read(clock: &Clock) -> Self {
        let at = Instant::now();
        Self { now: clock.now(), at }
    }

    /// A time of the core's as an instant of the standard library's.
    pub(super) fn instant(self, then: Time) -> Instant {
        self.at + then.since(self.now)
    }
}
