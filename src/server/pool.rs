//! The bounded pool of threads on which handlers run that take time.
//!
//! The event loop hands a call over only when a worker is idle, so the queue stays in the core,
//! where fences and expiry can still reach what waits in it. A worker checks expiry and cancel
//! token once more before a handler's first instruction.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use std::{io, thread};

use mio::Waker;

use crate::core::Time;
use crate::core::server::{CallKey, Job};
use crate::net::Clock;
use crate::service::{
    Action, CancelToken, Context, Method, OwnedContext, PANICKED, Responder, Scope, Status,
};
use crate::wire::{Code, MetadataRef, Reason};

/// A call for a worker.
pub(super) struct Task {
    pub(super) job: Job,
    pub(super) method: Arc<Method>,
    pub(super) cancel: CancelToken,
}

/// What a worker, or a responder on whatever thread, tells the event loop.
pub(super) enum Report {
    /// A call ended.
    Ended { key: CallKey, code: Code, body: Vec<u8>, panicked: bool },
    /// A call's handler was never begun.
    NotStarted { key: CallKey, reason: Reason },
    /// A worker is free again; the request's memory may be used again.
    Idle { request: Vec<u8> },
}

/// Where reports are left for the event loop.
pub(super) struct Inbox {
    reports: Mutex<Vec<Report>>,
    waker: Arc<Waker>,
}

impl Inbox {
    pub(super) fn new(waker: Arc<Waker>) -> Arc<Self> {
        Arc::new(Self { reports: Mutex::new(Vec::new()), waker })
    }

    fn push(&self, reports: impl IntoIterator<Item = Report>) {
        let mut inbox = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = inbox.is_empty();
        inbox.extend(reports);
        drop(inbox);
        if was_empty && let Err(error) = self.waker.wake() {
            log::error!("cannot wake the server's event loop: {error}");
        }
    }

    /// Takes all reports, leaving `empty` memory to fill.
    pub(super) fn take(&self, empty: Vec<Report>) -> Vec<Report> {
        let mut inbox = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut inbox, empty)
    }
}

/// The threads.
pub(super) struct Pool {
    tasks: Sender<Task>,
    idle: usize,
    workers: usize,
}

impl Pool {
    /// Starts `workers` threads. They end when the pool is dropped and they have nothing to do.
    ///
    /// # Errors
    ///
    /// When there are no threads to be had.
    pub(super) fn start(workers: usize, clock: Clock, inbox: &Arc<Inbox>) -> io::Result<Self> {
        let (tasks, receiver) = channel();
        let receiver = Arc::new(Mutex::new(receiver));
        for number in 0..workers {
            let worker = Worker { tasks: Arc::clone(&receiver), clock, inbox: Arc::clone(inbox) };
            thread::Builder::new()
                .name(format!("udp-rpc-worker-{number}"))
                .spawn(move || worker.work())?;
        }
        Ok(Self { tasks, idle: workers, workers })
    }

    /// Workers that have nothing to do.
    pub(super) fn idle(&self) -> usize {
        self.idle
    }

    /// All workers.
    pub(super) fn workers(&self) -> usize {
        self.workers
    }

    /// Hands a call to an idle worker.
    pub(super) fn run(&mut self, task: Task) {
        debug_assert!(self.idle > 0);
        self.idle -= 1;
        // The receivers live as long as the pool: a worker never ends by itself.
        let _ = self.tasks.send(task);
    }

    /// A worker has reported [`Report::Idle`].
    pub(super) fn worker_is_idle(&mut self) {
        self.idle += 1;
    }
}

struct Worker {
    tasks: Arc<Mutex<Receiver<Task>>>,
    clock: Clock,
    inbox: Arc<Inbox>,
}

impl Worker {
    fn work(self) {
        loop {
            let task = self.tasks.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(task) = task else { return };
            self.run(task);
        }
    }

    fn run(&self, Task { job, method, cancel }: Task) {
        let Job { key, body, expiry, route, .. } = job;
        let now = self.clock.now();
        let overtaken = if now >= expiry {
            Some(Reason::Expired)
        } else {
            cancel.is_cancelled().then_some(Reason::Fenced)
        };
        if let Some(reason) = overtaken {
            let reports = [Report::NotStarted { key, reason }, Report::Idle { request: body }];
            return self.inbox.push(reports);
        }
        let deadline = instant(now, expiry);
        let scope = Scope::new(deadline, cancel.clone(), MetadataRef::EMPTY);
        match &method.action {
            Action::Inline(handler) | Action::Pooled(handler) => {
                let context = Context {
                    session: key.session,
                    call: key.call,
                    peer: route.remote,
                    method: &method.name,
                    deadline,
                    cancel: &cancel,
                    gauges: &(),
                };
                let mut reply = Vec::new();
                let (result, panicked) =
                    scope.enter(|| caught(|| handler(&context, &body, &mut reply)));
                let code = method.conclude(result, &mut reply);
                let ended = Report::Ended { key, code, body: reply, panicked };
                self.inbox.push([ended, Report::Idle { request: body }]);
            }
            Action::Deferred(handler) => {
                let context = OwnedContext {
                    session: key.session,
                    call: key.call,
                    peer: route.remote,
                    method: Arc::clone(&method.name),
                    deadline,
                    cancel,
                    gauges: Arc::new(()),
                };
                let inbox = Arc::clone(&self.inbox);
                let concluding = Arc::clone(&method);
                let responder = Responder::telling_panics(move |result, panicked| {
                    let (code, body) = concluding.conclude_owned(result);
                    inbox.push([Report::Ended { key, code, body, panicked }]);
                });
                // A panic drops the responder, and that answers.
                let begin = AssertUnwindSafe(|| handler(context, body, responder));
                let _ = scope.enter(|| catch_unwind(begin));
                self.inbox.push([Report::Idle { request: Vec::new() }]);
            }
        }
    }
}

/// Runs a handler. A panic is an answer too: the handler ran, and how far nobody knows.
pub(super) fn caught(run: impl FnOnce() -> Result<(), Status>) -> (Result<(), Status>, bool) {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => (result, false),
        Err(_) => (Err(Status::internal(PANICKED)), true),
    }
}

/// An instant of the core's as one of the standard library's.
pub(super) fn instant(now: Time, then: Time) -> Instant {
    Instant::now() + then.since(now)
}
