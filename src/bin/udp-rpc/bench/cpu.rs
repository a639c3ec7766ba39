//! How much a thread has worked, to tell a busy generator from a waiting one.

use std::time::Duration;

/// Time for which this thread has run on a processor; `None` where nobody tells.
pub(super) fn of_this_thread() -> Option<Duration> {
    #[cfg(unix)]
    {
        let clock = nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID;
        nix::time::clock_gettime(clock).ok().map(Duration::from)
    }
    #[cfg(not(unix))]
    None
}

/// Processors that this process may use.
pub(super) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
