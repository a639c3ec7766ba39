//! Shutting a server down from another thread, and how its threads end together.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mio::Waker;

/// Shuts a server down, from any thread.
#[derive(Debug, Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Once a drain was asked for: how long it may take.
    grace: OnceLock<Duration>,
    stopped: AtomicBool,
    /// The shards that drain and have nothing more to do. One that has not may still be asked
    /// about something, and the kernel steers to its sockets only while all of them are open: so
    /// all go on until all are quiet.
    quiet: Box<[AtomicBool]>,
    /// What wakes each shard's event loop.
    wakers: Box<[Arc<Waker>]>,
}

impl Handle {
    pub(super) fn new(wakers: Box<[Arc<Waker>]>) -> Self {
        let quiet = wakers.iter().map(|_| AtomicBool::new(false)).collect();
        let (grace, stopped) = (OnceLock::new(), AtomicBool::new(false));
        Self { shared: Arc::new(Shared { grace, stopped, quiet, wakers }) }
    }

    /// Drains: new calls are refused as not executed, running ones are finished, duplicates are
    /// still answered. The server ends when nothing runs any more and nobody has asked for an
    /// answer for a second, and after `grace` in any case. Draining cannot be taken back.
    pub fn drain(&self, grace: Duration) {
        // Asked twice, it drains as it was asked first.
        let _ = self.shared.grace.set(grace);
        self.wake();
    }

    /// Ends the server at once. Calls that run are abandoned: their cancel tokens are set, and
    /// their callers will learn that the outcome is unknown.
    pub fn stop(&self) {
        self.shared.stopped.store(true, Ordering::Release);
        self.wake();
    }

    fn wake(&self) {
        for waker in &self.shared.wakers {
            if let Err(error) = waker.wake() {
                log::error!("cannot wake an event loop of the server: {error}");
            }
        }
    }

    /// How long a drain may take, if one was asked for.
    pub(super) fn grace(&self) -> Option<Duration> {
        self.shared.grace.get().copied()
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.shared.stopped.load(Ordering::Acquire)
    }

    /// A shard says whether it is quiet. When that was the last one, the server ends.
    ///
    /// Each writes its own and then reads the others', so there has to be one order of all: with
    /// less, of two that fall quiet at once neither need see the other.
    pub(super) fn set_quiet(&self, shard: usize, quiet: bool) {
        let all = &self.shared.quiet;
        if let Some(its) = all.get(shard)
            && its.swap(quiet, Ordering::SeqCst) != quiet
            && all.iter().all(|its| its.load(Ordering::SeqCst))
        {
            self.stop();
        }
    }
}
