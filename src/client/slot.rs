//! The place where the end of something is left by the client's I/O thread and found by whoever
//! waits for it: a future's task, or a blocked thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

/// One value, handed over once.
pub(super) struct Slot<T> {
    state: Mutex<State<T>>,
    /// The value has come. Whoever reads that finds the lock free.
    filled: AtomicBool,
}

enum State<T> {
    /// Nothing yet; who is to be woken, if somebody waits.
    Open(Option<Waker>),
    /// The value, until it is taken.
    Full(T),
    Taken,
}

impl<T> Slot<T> {
    pub(super) fn new() -> Self {
        Self { state: Mutex::new(State::Open(None)), filled: AtomicBool::new(false) }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves the value, and gives who is to be woken now. Only the first value counts.
    pub(super) fn fill(&self, value: T) -> Option<Waker> {
        let mut state = self.state();
        let State::Open(waker) = &mut *state else { return None };
        let waker = waker.take();
        *state = State::Full(value);
        drop(state);
        self.filled.store(true, Ordering::Release);
        waker
    }

    /// Takes the value if it is there; otherwise `context` is woken when it is.
    ///
    /// # Panics
    ///
    /// When it was taken before.
    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<T> {
        let mut state = self.state();
        match &mut *state {
            State::Open(waker) => {
                match waker {
                    Some(waker) => waker.clone_from(context.waker()),
                    none => *none = Some(context.waker().clone()),
                }
                Poll::Pending
            }
            full @ State::Full(_) => match std::mem::replace(full, State::Taken) {
                State::Full(value) => Poll::Ready(value),
                _ => unreachable!("it was full"),
            },
            State::Taken => {
                drop(state);
                panic!("waited again for what was told already")
            }
        }
    }

    /// Whether the value has come; without the lock.
    pub(super) fn is_filled(&self) -> bool {
        self.filled.load(Ordering::Acquire)
    }

    /// As a thread does that is not copied by a fork.
    #[cfg(test)]
    pub(super) fn lock_for_ever(&self) -> impl Drop + '_ {
        self.state()
    }

    /// Waits for the value on this thread.
    pub(super) fn wait(&self) -> T {
        loop {
            if let Some(value) = self.wait_until(None) {
                return value;
            }
        }
    }

    /// Waits for the value on this thread, until `deadline` if there is one.
    pub(super) fn wait_until(&self, deadline: Option<Instant>) -> Option<T> {
        if self.is_filled()
            && let Poll::Ready(value) = self.poll(&Context::from_waker(Waker::noop()))
        {
            return Some(value);
        }
        WAITING.with(|(signal, waker)| {
            let context = Context::from_waker(waker);
            loop {
                signal.clear();
                if let Poll::Ready(value) = self.poll(&context) {
                    return Some(value);
                }
                if !signal.wait(deadline) {
                    return None;
                }
            }
        })
    }
}

/// Wakes whoever waits. What a runtime's waker does is its own affair: the thread that wakes goes
/// on even if it panics.
pub(super) fn wake(waker: Waker) {
    if catch_unwind(AssertUnwindSafe(|| waker.wake())).is_err() {
        log::error!("the waker of a call has panicked");
    }
}

thread_local! {
    /// What wakes this thread. Not its parking place: a runtime may use that for itself, and would
    /// miss what was meant for it.
    static WAITING: (Arc<Signal>, Waker) = {
        let signal = Arc::new(Signal { set: Mutex::new(false), changed: Condvar::new() });
        (Arc::clone(&signal), Waker::from(signal))
    };
}

/// Wakes a thread.
struct Signal {
    set: Mutex<bool>,
    changed: Condvar,
}

impl Signal {
    fn set(&self) -> MutexGuard<'_, bool> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clear(&self) {
        *self.set() = false;
    }

    /// Waits until the signal is set; false if the deadline came before.
    fn wait(&self, deadline: Option<Instant>) -> bool {
        let mut set = self.set();
        while !*set {
            let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return false;
            }
            set = match left {
                None => self.changed.wait(set).unwrap_or_else(PoisonError::into_inner),
                Some(left) => self
                    .changed
                    .wait_timeout(set, left)
                    .map_or_else(|poisoned| poisoned.into_inner().0, |(set, _)| set),
            };
        }
        true
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        *self.set() = true;
        self.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_left_before_or_after_the_wait_began_is_found() {
        let slot = Arc::new(Slot::new());
        assert_eq!(slot.wait_until(Some(Instant::now())), None);
        let filling = Arc::clone(&slot);
        let thread = std::thread::spawn(move || filling.fill(7).into_iter().for_each(wake));
        assert_eq!(slot.wait(), 7);
        thread.join().unwrap();
        let slot = Slot::new();
        assert!(slot.fill(8).is_none());
        assert_eq!(slot.wait(), 8);
    }

    #[test]
    fn only_the_first_value_counts() {
        let slot = Slot::new();
        slot.fill(1);
        slot.fill(2);
        assert_eq!(slot.wait(), 1);
        slot.fill(3);
        assert!(slot.is_filled());
    }

    #[test]
    #[should_panic(expected = "told already")]
    fn waiting_twice_for_one_value_is_a_mistake() {
        let slot = Slot::new();
        slot.fill(());
        slot.wait();
        slot.wait();
    }

    #[test]
    fn the_last_task_that_polled_is_woken() {
        struct Count(std::sync::atomic::AtomicUsize);
        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
        }
        let tasks = [0, 1].map(|_| Arc::new(Count(0.into())));
        let slot = Slot::new();
        for task in &tasks {
            let waker = Waker::from(Arc::clone(task));
            assert!(slot.poll(&Context::from_waker(&waker)).is_pending());
        }
        slot.fill(()).into_iter().for_each(wake);
        let woken = tasks.map(|task| task.0.load(std::sync::atomic::Ordering::SeqCst));
        assert_eq!(woken, [0, 1]);
    }
}
