//! A call in flight, as its caller holds it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::pending::Pending;
use super::queue::{CallResult, Cancelled, Place, Shared, Submission};
use crate::core::{CallError, CallToken, Outcome, Reply};
use crate::wire::Code;

/// A call that a [`Client`](super::Client) makes: a `Future` on any runtime, or waited for on this
/// thread. It has begun, whether or not anybody waits.
///
/// Dropped before its end, it is fenced: if it has not started, it never will; if it runs, its
/// handler's cancel token is set. [`detach`](Self::detach) lets it go on.
///
/// A process that ends takes the I/O thread with it, and what that has not sent yet. What must
/// have happened by then is to be waited for.
#[must_use = "a call that is dropped is fenced: await it, wait for it, or detach it"]
pub struct Call {
    place: Arc<Place>,
    shared: Arc<Shared>,
    /// Nobody is to be fenced by a drop: it has ended, or goes on without its caller.
    released: bool,
}

impl Call {
    pub(super) fn new(place: Arc<Place>, shared: Arc<Shared>) -> Self {
        Self { place, shared, released: false }
    }

    /// A call that was never handed over: it has ended, in whichever process.
    pub(super) fn refused(place: Arc<Place>, shared: Arc<Shared>) -> Self {
        Self { place, shared, released: true }
    }

    /// Whether this process was forked from the one in which the call ends: a lock may be held for
    /// ever by a thread that was not copied. What has ended is at hand in both.
    fn is_elsewhere(&self) -> bool {
        !self.place.end.is_filled() && self.shared.is_elsewhere()
    }

    /// Waits for the end on this thread. Not for tasks of a runtime, whose thread this blocks.
    ///
    /// # Errors
    ///
    /// [`CallError`]: what went wrong, and whether the call ran.
    ///
    /// # Panics
    ///
    /// When the end was told already, and, unless it has ended, on the client's own I/O thread (in
    /// a hook, an observer or a waker), which would wait for itself.
    pub fn wait(mut self) -> Result<Reply, CallError> {
        loop {
            if let Some(result) = self.wait_until(None) {
                return result;
            }
        }
    }

    /// Waits for the end on this thread, for at most `timeout`. The call goes on if it has not
    /// ended by then.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(&mut self, timeout: Duration) -> Option<Result<Reply, CallError>> {
        self.wait_until(Instant::now().checked_add(timeout))
    }

    fn wait_until(&mut self, deadline: Option<Instant>) -> Option<CallResult> {
        if self.is_elsewhere() {
            return Some(Err(self.left_behind()));
        }
        if !self.place.end.is_filled() {
            self.shared.refuse_to_wait_for_itself();
        }
        let result = self.place.end.wait_until(deadline);
        self.released |= result.is_some();
        result
    }

    /// Asks that this call be fenced: if it has not started, it never will. It ends as the server
    /// says, and is waited for as before.
    pub fn cancel(&self) {
        if !self.place.end.is_filled() && !self.is_elsewhere() {
            let place = Arc::clone(&self.place);
            let _ = self.shared.push(Submission::Cancel(place, Cancelled::ByCaller));
        }
    }

    /// Lets the call go on without its caller, who will not hear how it ends.
    pub fn detach(mut self) {
        self.released = true;
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.place.end.is_filled() || self.is_elsewhere()
    }

    /// The token with which any process can ask later what became of this call, told as soon as
    /// the call has been sent; `None` if it ends before that is seen (an error of unknown outcome
    /// carries one). Its session is then never closed early, and the call is not issued again when
    /// it is proved not to have run: the token's holder is told so.
    pub fn token(&self) -> Pending<Option<CallToken>> {
        let place = Arc::clone(&self.place);
        Pending::ask(
            &self.shared,
            || None,
            move |driver, answer| {
                if let Some(handle) = place.handle.get() {
                    driver.give_token(*handle, answer);
                }
            },
        )
    }

    /// What is true of a call of another process.
    fn left_behind(&self) -> CallError {
        let text = format!(
            "the call is process {}'s, from which this one was forked, and ends there",
            self.shared.process.id()
        );
        let never_sent = CallError::never_sent(Code::FailedPrecondition, text);
        CallError { outcome: Outcome::Unknown, ..never_sent }
    }
}

impl Future for Call {
    type Output = Result<Reply, CallError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.is_elsewhere() {
            return Poll::Ready(Err(self.left_behind()));
        }
        let result = self.place.end.poll(context);
        self.released |= result.is_ready();
        result
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.released {
            self.cancel();
        }
    }
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call").field("finished", &self.is_finished()).finish_non_exhaustive()
    }
}
