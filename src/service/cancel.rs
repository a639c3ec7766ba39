//! The news that nobody waits for a call any more: set once, seen by its handler.
//!
//! A token is set when the call is fenced, superseded or past its deadline. It asks, it does not
//! force: a handler that does not look runs to its end.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Tells a running handler that its result is no longer wanted. Clones are the same token.
#[derive(Clone, Default)]
pub struct CancelToken(Option<Arc<State>>);

#[derive(Default)]
struct State {
    /// Set before `listeners` are taken, and only under their lock.
    cancelled: AtomicBool,
    /// What is to run when the token is set, each once.
    listeners: Mutex<Listeners>,
    /// Wakes the threads in [`CancelToken::wait_timeout`].
    set: Condvar,
}

type Listener = Box<dyn FnOnce() + Send>;

/// Listeners in the order in which they came, each under a number of its own.
#[derive(Default)]
struct Listeners {
    last: u64,
    waiting: BTreeMap<u64, Listener>,
}

impl State {
    fn listeners(&self) -> MutexGuard<'_, Listeners> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a listener until the token is set, and gives its number; the listener itself if the
    /// token is set already.
    fn keep(&self, listener: Listener) -> Result<u64, Listener> {
        let mut listeners = self.listeners();
        if self.cancelled.load(Ordering::Acquire) {
            return Err(listener);
        }
        listeners.last += 1;
        let number = listeners.last;
        listeners.waiting.insert(number, listener);
        Ok(number)
    }
}

impl CancelToken {
    /// A token that is not set yet.
    pub fn new() -> Self {
        Self(Some(Arc::default()))
    }

    /// A token that is never set: that of a handler which runs inline, where nothing can happen
    /// beside it. Costs nothing.
    pub const fn never() -> Self {
        Self(None)
    }

    /// True once the result is no longer wanted.
    pub fn is_cancelled(&self) -> bool {
        self.0.as_ref().is_some_and(|state| state.cancelled.load(Ordering::Acquire))
    }

    /// Sets the token; the second time nothing happens. Listeners run on this thread; one that
    /// panics ends neither it nor the others.
    pub fn cancel(&self) {
        let Some(state) = &self.0 else { return };
        let listeners = {
            let mut listeners = state.listeners();
            state.cancelled.store(true, Ordering::Release);
            std::mem::take(&mut listeners.waiting)
        };
        state.set.notify_all();
        for listener in listeners.into_values() {
            if catch_unwind(AssertUnwindSafe(listener)).is_err() {
                log::error!("what was to run when a call was cancelled has panicked");
            }
        }
    }

    /// Runs `listener` once when the token is set, at once if it is set already. It runs on the
    /// thread that sets the token, usually the event loop: it must be quick and must not block.
    pub fn on_cancel(&self, listener: impl FnOnce() + Send + 'static) {
        let Some(state) = &self.0 else { return };
        if let Err(listener) = state.keep(Box::new(listener)) {
            listener();
        }
    }

    /// As [`on_cancel`](Self::on_cancel), for as long as what this returns is kept: a token that
    /// outlives many calls is not to remember what was to be done for each.
    pub fn listen(&self, listener: impl FnOnce() + Send + 'static) -> Listening {
        let Some(state) = &self.0 else { return Listening(None) };
        match state.keep(Box::new(listener)) {
            Ok(number) => Listening(Some((Arc::downgrade(state), number))),
            Err(listener) => {
                listener();
                Listening(None)
            }
        }
    }

    /// As a thread does that is not copied by a fork.
    #[cfg(test)]
    pub(crate) fn lock_for_ever(&self) -> impl Drop + '_ {
        self.0.as_ref().expect("a token that can be set").listeners()
    }

    /// Listeners that wait.
    #[cfg(test)]
    pub(crate) fn listeners(&self) -> usize {
        self.0.as_ref().map_or(0, |state| state.listeners().waiting.len())
    }

    /// Sleeps for `timeout`, or until the token is set; true if it is. What a handler on the pool
    /// uses in place of `std::thread::sleep`.
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        let Some(state) = &self.0 else {
            std::thread::sleep(timeout);
            return false;
        };
        let start = Instant::now();
        let mut listeners = state.listeners();
        while !state.cancelled.load(Ordering::Acquire) {
            let left = timeout.saturating_sub(start.elapsed());
            if left.is_zero() {
                return false;
            }
            listeners = state
                .set
                .wait_timeout(listeners, left)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(guard, _)| guard);
        }
        true
    }
}

/// Keeps a listener of a [`CancelToken`]; dropped, it takes the listener away. One that is running
/// just then runs to its end.
#[must_use = "dropped, it takes the listener away"]
pub struct Listening(Option<(Weak<State>, u64)>);

impl Drop for Listening {
    fn drop(&mut self) {
        let Some((state, number)) = self.0.take() else { return };
        let Some(state) = state.upgrade() else { return };
        // Dropped when the lock is free again: what it holds may have a listener of its own.
        let _listener = state.listeners().waiting.remove(&number);
    }
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listening")
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CancelToken").field(&self.is_cancelled()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn every_clone_sees_the_token_set() {
        let token = CancelToken::new();
        let clone = token.clone();
        assert!(!clone.is_cancelled());
        token.cancel();
        assert!(clone.is_cancelled() && clone.wait_timeout(Duration::MAX));
    }

    #[test]
    fn listener_runs_once_whether_it_came_before_or_after() {
        let token = CancelToken::new();
        let (tx, rx) = mpsc::channel();
        let before = tx.clone();
        token.on_cancel(move || before.send("before").unwrap());
        token.cancel();
        token.cancel();
        token.on_cancel(move || tx.send("after").unwrap());
        assert_eq!(rx.iter().collect::<Vec<_>>(), ["before", "after"]);
    }

    #[test]
    fn listener_that_panics_stops_nobody() {
        let token = CancelToken::new();
        let (tx, rx) = mpsc::channel();
        token.on_cancel(|| std::panic::resume_unwind(Box::new(())));
        token.on_cancel(move || tx.send(()).unwrap());
        token.cancel();
        assert_eq!(rx.recv(), Ok(()));
    }

    #[test]
    fn listener_that_is_no_longer_kept_does_not_run_and_takes_no_memory() {
        let token = CancelToken::new();
        let (tx, rx) = mpsc::channel();
        for _ in 0..1000 {
            drop(token.listen(|| unreachable!()));
        }
        assert_eq!(token.listeners(), 0);
        let kept = token.listen({
            let tx = tx.clone();
            move || tx.send("kept").unwrap()
        });
        token.cancel();
        drop((kept, token.listen(move || tx.send("late").unwrap())));
        assert_eq!(rx.iter().collect::<Vec<_>>(), ["kept", "late"]);
    }

    #[test]
    fn listener_may_own_another_that_goes_with_it() {
        let token = CancelToken::new();
        let inner = token.listen(|| unreachable!());
        drop(token.listen(move || drop(inner)));
        assert_eq!(token.listeners(), 0);
    }

    #[test]
    fn waiting_ends_when_the_token_is_set() {
        let token = CancelToken::new();
        let waiting = token.clone();
        let thread = std::thread::spawn(move || waiting.wait_timeout(Duration::from_secs(3600)));
        token.cancel();
        assert!(thread.join().unwrap());
    }

    #[test]
    fn waiting_without_cancellation_ends_at_its_timeout() {
        assert!(!CancelToken::new().wait_timeout(Duration::from_millis(1)));
        assert!(!CancelToken::never().wait_timeout(Duration::ZERO));
    }

    #[test]
    fn token_of_an_inline_call_is_never_set() {
        let token = CancelToken::never();
        token.on_cancel(|| unreachable!());
        token.cancel();
        assert!(!token.is_cancelled());
    }
}
