//! The bounded pool of threads on which handlers run that take time.
//!
//! The event loop hands a call over only when a worker is idle, so the queue stays in the core,
//! where fences and expiry can still reach what waits in it. A worker checks expiry and cancel
//! token once more before a handler's first instruction.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, thread};

use mio::Waker;

use super::moment::Moment;
use super::run::{Answer, Ended, begin, run};
use crate::core::Time;
use crate::core::server::{CallKey, Job};
use crate::net::Clock;
use crate::service::{Action, CancelToken, Gauges, Hook, Method, Origin, OwnedContext};
use crate::wire::Reason;

/// A call for a worker.
pub(super) struct Task {
    pub(super) job: Job,
    pub(super) method: Arc<Method>,
    pub(super) cancel: CancelToken,
    pub(super) origin: Option<Origin>,
    pub(super) gauges: Arc<dyn Gauges + Send + Sync>,
}

/// What a worker, or a responder on whatever thread, tells the event loop.
pub(super) enum Report {
    /// A call ended, or was never begun.
    Ended { key: CallKey, ended: Ended, answer: Answer },
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
    pub(super) fn start(
        workers: usize,
        clock: Clock,
        inbox: &Arc<Inbox>,
        hook: Option<&Arc<dyn Hook>>,
    ) -> io::Result<Self> {
        let (tasks, receiver) = channel();
        let receiver = Arc::new(Mutex::new(receiver));
        for number in 0..workers {
            let worker = Worker {
                tasks: Arc::clone(&receiver),
                clock,
                inbox: Arc::clone(inbox),
                hook: hook.cloned(),
            };
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

    /// Those, and all workers.
    pub(super) fn idle_of_all(&self) -> (usize, usize) {
        (self.idle, self.workers)
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
    hook: Option<Arc<dyn Hook>>,
}

impl Worker {
    fn work(self) {
        loop {
            let task = self.tasks.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(task) = task else { return };
            self.run(task);
        }
    }

    fn run(&self, task: Task) {
        let Task { job, method, cancel, origin, gauges } = task;
        let Job { key, metadata, body, expiry, route, .. } = job;
        let moment = Moment::read(&self.clock);
        let overtaken = |now: Time, cancel: &CancelToken| match now >= expiry {
            true => Some(Reason::Expired),
            false => cancel.is_cancelled().then_some(Reason::Fenced),
        };
        if let Some(reason) = overtaken(moment.now, &cancel) {
            let ended = Ended::Refused(reason);
            let report = Report::Ended { key, ended, answer: Answer::default() };
            return self.inbox.push([report, Report::Idle { request: body }]);
        }
        let context = OwnedContext {
            session: key.session,
            call: key.call,
            peer: route.remote,
            method: Arc::clone(&method.name),
            deadline: moment.instant(expiry),
            cancel,
            metadata,
            reply_metadata: Arc::default(),
            gauges,
            origin,
        };
        let (clock, cancel) = (self.clock, context.cancel.clone());
        let overtaken = move || overtaken(clock.now(), &cancel);
        match &method.action {
            Action::Inline(handler) | Action::Pooled(handler) => {
                let (hook, lent) = (self.hook.as_deref(), context.borrow());
                let mut reply = Vec::new();
                let ended = run(hook, overtaken, &method, handler, &lent, &body, &mut reply);
                let answer = Answer { metadata: context.reply_metadata.take(), body: reply };
                let report = Report::Ended { key, ended, answer };
                self.inbox.push([report, Report::Idle { request: body }]);
            }
            Action::Deferred(handler) => {
                let inbox = Arc::clone(&self.inbox);
                let report = move |ended, answer| {
                    inbox.push([Report::Ended { key, ended, answer }]);
                };
                begin(self.hook.as_ref(), overtaken, &method, handler, context, body, report);
                self.inbox.push([Report::Idle { request: Vec::new() }]);
            }
        }
    }
}
