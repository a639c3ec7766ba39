//! What ends a client's wait early, from any thread.
//!
//! Invariant: a wake-up costs a system call only while the link sleeps. One that comes in between
//! is seen before it sleeps next.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mio::{Registry, Token, Waker};

/// Ends a client's wait early, from any thread.
#[derive(Debug, Clone)]
pub struct Interrupter {
    waker: Arc<Waker>,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// That a wait is to end, and not only the link to look around.
    asked: AtomicBool,
    /// The link is to look around.
    woken: AtomicBool,
    /// The link sleeps, or is about to: only the kernel can wake it.
    sleeping: AtomicBool,
}

impl Interrupter {
    pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        Ok(Self { waker: Arc::new(Waker::new(registry, token)?), state: Arc::default() })
    }

    /// Ends the wait in which the client is, or else its next one.
    pub fn interrupt(&self) {
        self.state.asked.store(true, Ordering::Release);
        self.wake();
    }

    /// Ends the turn in which the link is, or else its next one; the wait goes on.
    pub(in crate::client) fn wake(&self) {
        // Either this sees that the link sleeps, or the link sees this before it does.
        self.state.woken.store(true, Ordering::SeqCst);
        if self.state.sleeping.load(Ordering::SeqCst)
            && let Err(error) = self.waker.wake()
        {
            log::error!("cannot wake the client: {error}");
        }
    }

    /// Whether a wait is to end.
    pub(super) fn take_asked(&self) -> bool {
        self.state.asked.load(Ordering::Relaxed) && self.state.asked.swap(false, Ordering::Acquire)
    }

    /// Whether the link is to look around.
    pub(super) fn take_woken(&self) -> bool {
        self.state.woken.load(Ordering::Relaxed) && self.state.woken.swap(false, Ordering::Acquire)
    }

    /// Runs `sleep`, which is told whether there is no time for it.
    pub(super) fn while_asleep<T>(&self, sleep: impl FnOnce(bool) -> T) -> T {
        self.state.sleeping.store(true, Ordering::SeqCst);
        let slept = sleep(self.state.woken.load(Ordering::SeqCst));
        // In this order: who finds the link awake relies on `woken` being seen.
        self.state.woken.store(false, Ordering::SeqCst);
        self.state.sleeping.store(false, Ordering::SeqCst);
        slept
    }

    /// Whether only the kernel can wake the link now.
    #[cfg(test)]
    pub(super) fn is_asleep(&self) -> bool {
        self.state.sleeping.load(Ordering::SeqCst)
    }

    /// As [`wake`](Self::wake), without the kernel's help.
    #[cfg(test)]
    pub(super) fn wake_the_awake(&self) {
        self.state.woken.store(true, Ordering::SeqCst);
    }
}
