//! Questions to the I/O thread that are no calls.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::driver::Driver;
use super::queue::{Shared, Submission};
use crate::client::slot::{Slot, wake};

/// What the client's I/O thread is about to tell: a `Future` on any runtime, or waited for on this
/// thread.
#[must_use = "it is told to nobody unless it is awaited or waited for"]
pub struct Pending<T> {
    slot: Arc<Slot<T>>,
    shared: Arc<Shared>,
    /// What is true when there is no I/O thread to ask.
    nobody: fn() -> T,
}

impl<T: Send + 'static> Pending<T> {
    /// Asks; `ask` runs on the I/O thread and keeps the promise now or later.
    pub(super) fn ask(
        shared: &Arc<Shared>,
        nobody: fn() -> T,
        ask: impl FnOnce(&mut Driver, Answer<T>) + Send + 'static,
    ) -> Self {
        let slot = Arc::new(Slot::new());
        let answer = Answer { slot: Arc::clone(&slot), nobody, given: false };
        // Given back, it is dropped, and that answers.
        let _ = shared.push(Submission::Do(Box::new(move |driver| ask(driver, answer))));
        Self { slot, shared: Arc::clone(shared), nobody }
    }

    /// Waits for it on this thread. Not for tasks of a runtime, whose thread this blocks.
    ///
    /// # Panics
    ///
    /// When it was told already, and on the client's own I/O thread (in a hook, an observer or a
    /// waker), which would wait for itself.
    pub fn wait(self) -> T {
        if self.shared.is_elsewhere() {
            return (self.nobody)();
        }
        self.shared.refuse_to_wait_for_itself();
        self.slot.wait()
    }

    /// Waits for it on this thread, for at most `timeout`.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(&mut self, timeout: Duration) -> Option<T> {
        if self.shared.is_elsewhere() {
            return Some((self.nobody)());
        }
        self.shared.refuse_to_wait_for_itself();
        self.slot.wait_until(Instant::now().checked_add(timeout))
    }
}

impl<T> Future for Pending<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        if self.shared.is_elsewhere() {
            return Poll::Ready((self.nobody)());
        }
        self.slot.poll(context)
    }
}

impl<T> std::fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pending")
    }
}

/// The I/O thread's side of a [`Pending`]. Dropped without an answer, it gives the one that is
/// true when there is nobody to ask.
pub(super) struct Answer<T> {
    slot: Arc<Slot<T>>,
    nobody: fn() -> T,
    given: bool,
}

impl<T> Answer<T> {
    pub(super) fn give(mut self, value: T) {
        self.given = true;
        if let Some(waker) = self.slot.fill(value) {
            wake(waker);
        }
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        if !self.given
            && let Some(waker) = self.slot.fill((self.nobody)())
        {
            wake(waker);
        }
    }
}
