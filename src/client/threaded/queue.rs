//! What callers' threads hand to the I/O thread, and the promises that it keeps in return.
//!
//! Invariants: what is handed over is taken in order, or given back at once; a [`Promise`] is
//! kept exactly once, whatever becomes of the thread that holds it.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::thread::ThreadId;

use super::driver::Driver;
use crate::client::hook::Watch;
use crate::client::link::Interrupter;
use crate::client::prepare::Common;
use crate::client::slot::{Slot, wake};
use crate::core::client::{CallHandle, NewCall};
use crate::core::{CallError, Outcome, Reply};
use crate::net::{Clock, Process};
use crate::service::Listening;
use crate::wire::Code;

pub(super) type CallResult = Result<Reply, CallError>;

/// What a client's handles, its calls and its I/O thread have in common.
pub(super) struct Shared {
    queue: Mutex<Queue>,
    waker: Interrupter,
    /// The clock of the I/O thread.
    pub(super) clock: Clock,
    pub(super) common: Common,
    /// Calls that may wait in the queue.
    max_waiting: usize,
    /// The process whose I/O thread, sessions and calls these are.
    pub(super) process: Process,
    /// The I/O thread, once it runs.
    pub(super) thread: OnceLock<ThreadId>,
}

#[derive(Default)]
struct Queue {
    submissions: Vec<Submission>,
    /// Calls among them.
    calls: usize,
    /// The I/O thread waits for datagrams, or is about to, and is to be woken.
    sleeping: bool,
    /// The I/O thread takes nothing any more.
    ended: bool,
}

/// What is handed over.
pub(super) enum Submission {
    /// A call to be made.
    Call(NewCall, Promise),
    /// A call to be cancelled.
    Cancel(Arc<Place>, Cancelled),
    /// Something else to be done by the I/O thread, between two turns.
    Do(Box<dyn FnOnce(&mut Driver) + Send>),
    /// The last handle of the client is gone.
    Gone,
}

/// Why a call is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cancelled {
    /// Its caller wants it; the server's word is waited for.
    ByCaller,
    /// The call on whose behalf it was made is; the server's word is waited for only so long.
    WithParent,
}

/// Why something was not handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// So many calls wait already.
    Full(usize),
    /// There is no I/O thread any more.
    Ended,
    /// This is another process than the client's.
    Forked,
}

impl Shared {
    pub(super) fn new(waker: Interrupter, clock: Clock, common: Common, max: usize) -> Self {
        Self {
            queue: Mutex::default(),
            waker,
            clock,
            common,
            max_waiting: max,
            process: Process::this(),
            thread: OnceLock::new(),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As a thread does that is not copied by a fork.
    #[cfg(test)]
    pub(super) fn lock_for_ever(&self) -> impl Drop + '_ {
        self.queue()
    }

    /// Whether this process is not the client's, but forked from it: then there is no I/O thread,
    /// and a lock may be held for ever by a thread that was not copied.
    pub(super) fn is_elsewhere(&self) -> bool {
        self.process.is_left()
    }

    /// # Panics
    ///
    /// On the I/O thread: what it would wait for is its own to bring.
    pub(super) fn refuse_to_wait_for_itself(&self) {
        let own = self.thread.get() == Some(&std::thread::current().id());
        assert!(!own, "a client's I/O thread would wait for itself: hooks and observers may not");
    }

    /// Hands something over; gives it back with the reason if that cannot be.
    #[expect(clippy::result_large_err, reason = "what is not taken goes back to whoever made it")]
    pub(super) fn push(&self, submission: Submission) -> Result<(), (Submission, Refused)> {
        if self.is_elsewhere() {
            return Err((submission, Refused::Forked));
        }
        let is_call = matches!(submission, Submission::Call(..));
        let mut queue = self.queue();
        if queue.ended {
            return Err((submission, Refused::Ended));
        }
        if is_call && queue.calls >= self.max_waiting {
            return Err((submission, Refused::Full(queue.calls)));
        }
        queue.calls += usize::from(is_call);
        queue.submissions.push(submission);
        let wake = std::mem::take(&mut queue.sleeping);
        drop(queue);
        if wake {
            self.waker.wake();
        }
        Ok(())
    }

    /// Takes all that was handed over, leaving `empty` memory to fill.
    pub(super) fn take(&self, empty: Vec<Submission>) -> Vec<Submission> {
        let mut queue = self.queue();
        queue.sleeping = false;
        queue.calls = 0;
        std::mem::replace(&mut queue.submissions, empty)
    }

    /// Whether the I/O thread may sleep: then it is woken by what is handed over from now on.
    pub(super) fn may_sleep(&self) -> bool {
        let mut queue = self.queue();
        queue.sleeping = queue.submissions.is_empty();
        queue.sleeping
    }

    /// Whether the I/O thread may end, because nothing was handed over: from now on nothing is.
    pub(super) fn may_end(&self) -> bool {
        let mut queue = self.queue();
        queue.ended = queue.submissions.is_empty();
        queue.ended
    }

    /// The I/O thread is no more: nothing is handed over from now on, and what was and has not
    /// been taken ends as what it is, never sent.
    pub(super) fn end(&self) {
        let mut queue = self.queue();
        queue.ended = true;
        let left = std::mem::take(&mut queue.submissions);
        drop(queue);
        drop(left);
    }
}

/// Where a call's end is left.
pub(super) struct Place {
    pub(super) end: Slot<CallResult>,
    /// The core's name for the call, once it has it.
    pub(super) handle: OnceLock<CallHandle>,
}

impl Place {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { end: Slot::new(), handle: OnceLock::new() })
    }
}

/// That a call's end is told: to its hook, then to its caller.
pub(super) struct Promise {
    /// Until it is kept.
    place: Option<Arc<Place>>,
    watch: Option<Watch>,
    /// That the call is cancelled with the one on whose behalf it is made.
    _linked: Option<Listening>,
}

impl Promise {
    pub(super) fn new(place: Arc<Place>, watch: Option<Watch>, linked: Option<Listening>) -> Self {
        Self { place: Some(place), watch, _linked: linked }
    }

    pub(super) fn place(&self) -> Option<&Arc<Place>> {
        self.place.as_ref()
    }

    /// Leaves the end of the call, and gives who is to be told.
    pub(super) fn keep(mut self, result: CallResult) -> Option<Waker> {
        self.leave(result)
    }

    fn leave(&mut self, result: CallResult) -> Option<Waker> {
        let place = self.place.take()?;
        if let Some(watch) = self.watch.take() {
            watch.end(&result);
        }
        place.end.fill(result)
    }
}

/// A promise that goes down with its thread is kept all the same, with what is true then.
impl Drop for Promise {
    fn drop(&mut self) {
        let Some(place) = &self.place else { return };
        let error = if place.handle.get().is_some() {
            let text = "the client's I/O thread has panicked; how often the call was sent is lost";
            CallError { outcome: Outcome::Unknown, ..CallError::never_sent(Code::Internal, text) }
        } else {
            never_handed_over(Refused::Ended)
        };
        if let Some(waker) = self.leave(Err(error)) {
            wake(waker);
        }
    }
}

/// The end of a call that was never handed over.
pub(super) fn never_handed_over(refused: Refused) -> CallError {
    match refused {
        Refused::Full(calls) => CallError::never_sent(
            Code::ResourceExhausted,
            format!("{calls} calls wait to be sent already, which is the limit"),
        ),
        Refused::Ended => CallError::never_sent(
            Code::Unavailable,
            "the client's I/O thread has ended, and sends nothing any more",
        ),
        Refused::Forked => CallError::never_sent(
            Code::FailedPrecondition,
            "this process was forked from the client's, which keeps sockets and sessions for \
             itself; make a client of its own after the fork",
        ),
    }
}
