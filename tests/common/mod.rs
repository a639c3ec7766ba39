//! What the tests from outside share: daemons as processes, conditions to wait for, typed calls,
//! raw datagrams.
//!
//! Nothing here sleeps in order to be in time: what a test waits for is a condition, with a
//! deadline after which the test fails and says what it waited for.

#![allow(dead_code, reason = "each test uses a part of it")]

pub(crate) mod calls;
pub(crate) mod daemon;
pub(crate) mod raw;
pub(crate) mod selves;

use std::time::{Duration, Instant};

#[allow(unused_imports, reason = "some tests have their server in this process")]
pub(crate) use daemon::Daemon;

/// How long a test waits for what must come, however slow the machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `condition` gives something.
///
/// # Panics
///
/// When it has not within [`PATIENCE`].
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Says, in the test's output, that something was not tested here, and why.
pub(crate) fn skipped(test: &str, why: &str) {
    // Past the capture of the test harness: a test that was skipped looks like one that passed.
    let line = format!("skipped {test}: {why}\n");
    let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
}
