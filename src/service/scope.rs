//! The call inside which code runs, and what passes from it to the calls that it makes: the
//! deadline, the cancellation and the trace context.
//!
//! A server's driver enters a call's scope around its handler; clients look at the scope of the
//! thread on which a call is made. Whoever goes on with a call on another thread, or in a future,
//! takes the scope along ([`Scope::enter`], [`Scope::wrap`]).

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Instant;

use super::CancelToken;
use crate::wire::{Metadata, MetadataRef};

/// The metadata that travels on by itself: W3C Trace Context
/// (<https://www.w3.org/TR/trace-context/>).
pub const TRACE_KEYS: [&str; 2] = ["traceparent", "tracestate"];

thread_local! {
    static CURRENT: RefCell<Option<Scope>> = const { RefCell::new(None) };
}

/// What a call passes on to the calls that are made on its behalf.
#[derive(Debug, Clone)]
pub struct Scope {
    /// No call made inside waits for longer.
    pub deadline: Instant,
    /// When this is set, calls made inside are cancelled.
    pub cancel: CancelToken,
    /// The trace context, as metadata; empty without one.
    pub trace: Metadata,
}

impl Scope {
    /// The scope of a call with this deadline, cancel token and metadata.
    pub fn new(deadline: Instant, cancel: CancelToken, metadata: MetadataRef<'_>) -> Self {
        Self { deadline, cancel, trace: trace(metadata) }
    }

    /// The scope in which this thread runs.
    pub fn current() -> Option<Self> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// Runs `inside` in this scope; after it the thread is where it was.
    pub fn enter<T>(self, inside: impl FnOnce() -> T) -> T {
        let _back = Back(CURRENT.replace(Some(self)));
        inside()
    }

    /// A future each of whose polls runs in this scope.
    pub fn wrap<F: Future>(self, future: F) -> Scoped<F> {
        Scoped { scope: self, future: Box::pin(future) }
    }
}

/// The trace context that came with a call.
fn trace(metadata: MetadataRef<'_>) -> Metadata {
    let mut trace = Metadata::new();
    // Most calls have no metadata at all.
    if metadata.is_empty() {
        return trace;
    }
    for key in TRACE_KEYS {
        // A long `tracestate` may come in several pieces.
        for value in metadata.get_all(key) {
            // A part of metadata that fitted fits.
            let _ = trace.append(key, value);
        }
    }
    trace
}

/// Puts the thread back into the scope in which it was, even if what ran inside panics.
struct Back(Option<Scope>);

impl Drop for Back {
    fn drop(&mut self) {
        // Dropped when the thread is there again: what goes with it may look where that is.
        drop(CURRENT.replace(self.0.take()));
    }
}

/// See [`Scope::wrap`].
#[derive(Debug)]
pub struct Scoped<F> {
    scope: Scope,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<F::Output> {
        let scope = self.scope.clone();
        scope.enter(|| self.future.as_mut().poll(context))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn scope(seconds: u64) -> Scope {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        Scope::new(deadline, CancelToken::new(), MetadataRef::EMPTY)
    }

    #[test]
    fn scopes_nest_and_a_panic_leaves_them() {
        assert!(Scope::current().is_none());
        let outer = scope(1);
        let deadline = outer.deadline;
        outer.enter(|| {
            let inner = std::panic::catch_unwind(|| scope(2).enter(|| panic!("inside")));
            assert!(inner.is_err());
            assert_eq!(Scope::current().unwrap().deadline, deadline);
        });
        assert!(Scope::current().is_none());
    }

    #[test]
    fn whatever_goes_with_a_scope_may_look_at_the_one_around_it() {
        struct Looks(std::sync::mpsc::Sender<bool>);
        impl Drop for Looks {
            fn drop(&mut self) {
                self.0.send(Scope::current().is_some()).unwrap();
            }
        }
        let (tell, told) = std::sync::mpsc::channel();
        let looks = Looks(tell);
        let inner = scope(1);
        inner.cancel.on_cancel(move || drop(looks));
        scope(2).enter(|| inner.enter(|| ()));
        assert_eq!(told.recv(), Ok(true));
    }

    #[test]
    fn of_the_metadata_only_the_trace_context_goes_on() {
        let mut metadata = Metadata::new();
        metadata.insert("authorization", "secret").unwrap();
        metadata.insert("traceparent", "00-1-2-01").unwrap();
        let scope = Scope::new(Instant::now(), CancelToken::never(), metadata.borrow());
        assert_eq!(scope.trace.iter().collect::<Vec<_>>(), [("traceparent", &b"00-1-2-01"[..])]);
    }

    #[test]
    fn future_is_polled_in_its_scope_whatever_the_thread() {
        let scope = scope(3);
        let deadline = scope.deadline;
        let mut future = scope.wrap(async { Scope::current().map(|scope| scope.deadline) });
        let waker = std::task::Waker::noop();
        let polled = Pin::new(&mut future).poll(&mut TaskContext::from_waker(waker));
        assert_eq!(polled, Poll::Ready(Some(deadline)));
        assert!(Scope::current().is_none());
    }
}
