//! Handlers that are futures, and the hook by which they get onto a runtime.
//!
//! A server has no runtime of its own. Whoever wants asynchronous handlers says, with an
//! [`Executor`], where a [`Task`] is to be polled; all else is here: the task runs in its call's
//! [`Scope`](super::Scope), ends when nobody waits for it any more, and answers its call exactly
//! once, whatever becomes of the future inside.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use super::scope::Scoped;
use super::{OwnedContext, Responder, Status};

/// The run of an asynchronous handler. It never panics, and answers its call even if it is dropped
/// before its end.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where asynchronous handlers run: a runtime, of whatever make. Every function that takes a
/// [`Task`] is one.
///
/// ```no_run
/// use std::sync::Arc;
/// use udp_rpc::service::{Executor, Task};
///
/// // On tokio. The handle may be taken wherever the runtime is at hand.
/// let handle = tokio::runtime::Handle::current();
/// let tokio: Arc<dyn Executor> = Arc::new(move |task: Task| {
///     handle.spawn(task);
/// });
///
/// // On smol.
/// let smol: Arc<dyn Executor> = Arc::new(|task: Task| smol::spawn(task).detach());
/// # drop((tokio, smol));
/// ```
pub trait Executor: Send + Sync + 'static {
    /// Polls the task to its end, somewhere else: this must neither block nor wait for it. A task
    /// that is dropped instead answers its call with an error.
    fn spawn(&self, task: Task);
}

impl<F: Fn(Task) + Send + Sync + 'static> Executor for F {
    fn spawn(&self, task: Task) {
        self(task);
    }
}

impl fmt::Debug for dyn Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Executor")
    }
}

/// How long before the deadline a cancelled call counts as past it: the server's event loop, which
/// tells it, reads its own clock at another moment than whoever is told.
const DEADLINE_SLACK: Duration = Duration::from_millis(1);

/// Has `executor` run a call's handler: `future` gives the answer for `responder`.
pub(super) fn run<F>(
    executor: &dyn Executor,
    context: OwnedContext,
    future: F,
    responder: Responder,
) where
    F: Future<Output = Result<Vec<u8>, Status>> + Send + 'static,
{
    let signal = Arc::new(Signal::default());
    let cancelled = Arc::clone(&signal);
    context.cancel.on_cancel(move || cancelled.wake());
    let future = context.scope().wrap(future);
    let run = Run { context, signal, begun: false, inside: Some((future, responder)) };
    executor.spawn(Box::pin(run));
}

/// A call on an executor.
struct Run<F: Future> {
    context: OwnedContext,
    /// Polls the task again when the call is cancelled.
    signal: Arc<Signal>,
    /// It was polled before.
    begun: bool,
    /// The handler, and what answers its call; taken together by the end.
    inside: Option<(Scoped<F>, Responder)>,
}

impl<F: Future<Output = Result<Vec<u8>, Status>>> Future for Run<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<()> {
        // The future inside is pinned by a box of its own.
        let this = self.get_mut();
        // Before the look at the token: whoever sets it after that finds this waker.
        this.signal.keep(context.waker());
        // What has waited in the executor's own queue past its deadline must not begin, even if
        // nobody has set the token yet.
        let begins = !std::mem::replace(&mut this.begun, true);
        let late = begins && this.context.remaining().is_zero();
        if late || this.context.cancel.is_cancelled() {
            let status = this.why_cancelled();
            this.end(|responder| responder.respond(Err(status)));
            return Poll::Ready(());
        }
        let Some((future, _)) = &mut this.inside else { return Poll::Ready(()) };
        match catch_unwind(AssertUnwindSafe(|| Pin::new(future).poll(context))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(result)) => this.end(|responder| responder.respond(result)),
            Err(_) => this.end(Responder::panicked),
        }
        Poll::Ready(())
    }
}

impl<F: Future> Run<F> {
    fn why_cancelled(&self) -> Status {
        if self.context.remaining() <= DEADLINE_SLACK {
            Status::deadline_exceeded("the caller's deadline has passed")
        } else {
            Status::cancelled("the call was cancelled")
        }
    }

    /// Drops the future and then answers: what it held is free when the caller hears.
    fn end(&mut self, answer: impl FnOnce(Responder)) {
        let Some((future, responder)) = self.inside.take() else { return };
        // The waker may hold the task, and the task holds this.
        self.signal.forget();
        if catch_unwind(AssertUnwindSafe(|| drop(future))).is_err() {
            log::error!("the handler of {} has panicked as it was dropped", self.context.method);
        }
        answer(responder);
    }
}

impl<F: Future> Drop for Run<F> {
    fn drop(&mut self) {
        self.end(|responder| {
            responder.respond(Err(Status::internal("the executor dropped the call")));
        });
    }
}

/// The waker of a task, for the call's cancel token.
#[derive(Default)]
struct Signal(Mutex<Option<Waker>>);

impl Signal {
    fn waker(&self) -> MutexGuard<'_, Option<Waker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, waker: &Waker) {
        let mut kept = self.waker();
        if !kept.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
            *kept = Some(waker.clone());
        }
    }

    fn wake(&self) {
        // Not under the lock: to wake may mean to poll.
        let waker = self.waker().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn forget(&self) {
        let waker = self.waker().take();
        drop(waker);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Instant;

    use super::super::{Method, Scope, testing};
    use super::*;
    use crate::wire::Code;

    type Answers = Receiver<Result<Vec<u8>, Status>>;

    /// An executor on which nothing happens but by hand.
    #[derive(Clone, Default)]
    struct Hand(Arc<Mutex<Vec<Task>>>);

    impl Executor for Hand {
        fn spawn(&self, task: Task) {
            self.0.lock().unwrap().push(task);
        }
    }

    impl Hand {
        /// Polls what is there once; how many tasks are left.
        fn poll(&self) -> usize {
            let mut context = TaskContext::from_waker(Waker::noop());
            let mut tasks = self.0.lock().unwrap();
            tasks.retain_mut(|task| task.as_mut().poll(&mut context).is_pending());
            tasks.len()
        }

        /// Begins a call whose handler is this future.
        fn begin<F>(&self, context: &OwnedContext, future: F) -> Answers
        where
            F: Future<Output = Result<Vec<u8>, Status>> + Send + 'static,
        {
            let (responder, answers) = testing::responder();
            run(self, context.clone(), future, responder);
            answers
        }
    }

    /// Tells when it is dropped.
    struct Told(std::sync::mpsc::Sender<()>);

    impl Drop for Told {
        fn drop(&mut self) {
            self.0.send(()).unwrap();
        }
    }

    #[test]
    fn future_answers_its_call_when_it_is_ready_and_runs_in_its_scope() {
        let (hand, context) = (Hand::default(), testing::context("Test/Test"));
        let deadline = context.deadline;
        let (tx, rx) = channel();
        let answers = hand.begin(&context, async move {
            let mut first = true;
            std::future::poll_fn(|_| match std::mem::take(&mut first) {
                true => Poll::Pending,
                false => Poll::Ready(()),
            })
            .await;
            tx.send(Scope::current().unwrap().deadline).unwrap();
            Ok(vec![7])
        });
        assert_eq!(hand.poll(), 1);
        assert!(answers.try_recv().is_err());
        assert_eq!(hand.poll(), 0);
        assert_eq!(answers.recv().unwrap(), Ok(vec![7]));
        assert_eq!(rx.recv().unwrap(), deadline);
    }

    #[test]
    fn cancelled_future_is_woken_and_dropped_before_its_call_is_answered() {
        let (hand, context) = (Hand::default(), testing::context("Test/Test"));
        let (tx, dropped) = channel();
        let told = Told(tx);
        let answers = hand.begin(&context, async move {
            let _told = told;
            std::future::pending().await
        });
        struct Flag(std::sync::atomic::AtomicBool);
        impl std::task::Wake for Flag {
            fn wake(self: Arc<Self>) {
                self.0.store(true, std::sync::atomic::Ordering::SeqCst);
            }
        }
        let flag = Arc::new(Flag(false.into()));
        let waker = Waker::from(Arc::clone(&flag));
        let mut task = hand.0.lock().unwrap().pop().unwrap();
        let mut polling = TaskContext::from_waker(&waker);
        assert!(task.as_mut().poll(&mut polling).is_pending());
        context.cancel.cancel();
        assert!(flag.0.load(std::sync::atomic::Ordering::SeqCst), "it was not woken");
        assert!(task.as_mut().poll(&mut polling).is_ready());
        assert_eq!(answers.recv().unwrap().unwrap_err().code, Code::Cancelled);
        assert_eq!(dropped.try_recv(), Ok(()));
        // Whoever keeps a task that has ended keeps nothing of the call alive by its waker.
        assert_eq!(Arc::strong_count(&flag), 2);
    }

    #[test]
    fn future_whose_deadline_has_passed_says_so() {
        let (hand, mut context) = (Hand::default(), testing::context("Test/Test"));
        context.deadline = Instant::now();
        // Whether or not the event loop has come to set the token.
        for _ in 0..2 {
            let answers = hand.begin(&context, async { unreachable!("it never begins") });
            assert_eq!(hand.poll(), 0);
            assert_eq!(answers.recv().unwrap().unwrap_err().code, Code::DeadlineExceeded);
            context.cancel.cancel();
        }
    }

    #[test]
    fn panic_in_a_future_or_as_it_is_dropped_is_an_internal_error_and_goes_no_further() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                std::panic::resume_unwind(Box::new(()));
            }
        }
        let (hand, context) = (Hand::default(), testing::context("Test/Test"));
        let panics = hand.begin(&context, async { panic!("in a future") });
        let drops = hand.begin(&context, {
            let bomb = std::mem::ManuallyDrop::new(Bomb);
            async move {
                let _bomb = std::mem::ManuallyDrop::into_inner(bomb);
                std::future::pending().await
            }
        });
        assert_eq!(hand.poll(), 1);
        assert_eq!(panics.recv().unwrap().unwrap_err().message, "the handler panicked");
        context.cancel.cancel();
        assert_eq!(hand.poll(), 0);
        assert_eq!(drops.recv().unwrap().unwrap_err().code, Code::Cancelled);
    }

    #[test]
    fn task_that_an_executor_drops_answers_its_call() {
        let answers = {
            let (hand, context) = (Hand::default(), testing::context("Test/Test"));
            hand.begin(&context, std::future::pending())
        };
        let status = answers.recv().unwrap().unwrap_err();
        assert_eq!(status.message, "the executor dropped the call");
    }

    #[test]
    fn method_of_bytes_runs_on_its_executor() {
        let hand = Hand::default();
        let executor = Arc::new(hand.clone());
        let method = Method::asynchronous("Test/Test", executor, |context, request| async move {
            Ok([context.method.as_bytes(), &request].concat())
        });
        let super::super::Action::Deferred(handler) = &method.action else { panic!("{method:?}") };
        let (responder, answers) = testing::responder();
        handler(testing::context("Test/Test"), b" x".to_vec(), responder);
        assert_eq!(hand.poll(), 0);
        assert_eq!(answers.recv().unwrap(), Ok(b"Test/Test x".to_vec()));
    }
}
