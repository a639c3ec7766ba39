//! The bounded pool of threads on which handlers run that take time: one pool for all shards.
//!
//! An event loop hands a call over only when it has been given a worker, so the queue stays in
//! the core, where fences and expiry can still reach what waits in it. Shards that want a worker
//! while none is idle are given the next ones in turn. A worker checks expiry and cancel token
//! once more before a handler's first instruction.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    /// Whose call it is.
    pub(super) shard: usize,
    pub(super) job: Job,
    pub(super) method: Arc<Method>,
    pub(super) cancel: CancelToken,
    pub(super) origin: Option<Origin>,
    pub(super) gauges: Arc<dyn Gauges + Send + Sync>,
}

/// What a worker, or a responder on whatever thread, tells an event loop.
pub(super) enum Report {
    /// A call ended, or was never begun.
    Ended { key: CallKey, ended: Ended, answer: Answer },
    /// The memory of a request that may be used again.
    Spare { request: Vec<u8> },
    /// A worker that was wanted is there.
    Worker,
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

/// Which workers are idle, and which shards want one.
pub(super) struct Desk {
    state: Mutex<DeskState>,
    workers: usize,
    /// Where each shard's reports go.
    inboxes: Box<[Arc<Inbox>]>,
}

/// While a shard waits no worker is idle.
struct DeskState {
    idle: usize,
    /// Shards that want a worker, each once, in the order in which they came.
    waiting: VecDeque<usize>,
}

impl Desk {
    fn new(workers: usize, inboxes: Box<[Arc<Inbox>]>) -> Self {
        let waiting = VecDeque::with_capacity(inboxes.len());
        Self { state: Mutex::new(DeskState { idle: workers, waiting }), workers, inboxes }
    }

    /// Workers that have nothing to do, and all workers.
    pub(super) fn idle_of_all(&self) -> (usize, usize) {
        (self.state().idle, self.workers)
    }

    /// Gives a shard a worker. Without one it is false, and [`Report::Worker`] brings one later.
    fn want(&self, shard: usize) -> bool {
        let mut state = self.state();
        if let Some(left) = state.idle.checked_sub(1) {
            state.idle = left;
            return true;
        }
        if !state.waiting.contains(&shard) {
            state.waiting.push_back(shard);
        }
        false
    }

    /// A worker has nothing to do.
    fn release(&self) {
        let mut state = self.state();
        match state.waiting.pop_front() {
            Some(shard) => {
                drop(state);
                self.tell(shard, [Report::Worker]);
            }
            None => state.idle += 1,
        }
    }

    fn tell(&self, shard: usize, reports: impl IntoIterator<Item = Report>) {
        if let Some(inbox) = self.inboxes.get(shard) {
            inbox.push(reports);
        }
    }

    fn state(&self) -> MutexGuard<'_, DeskState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The threads. They end when all shards have dropped this and they have nothing to do.
#[derive(Clone)]
pub(super) struct Pool {
    tasks: Sender<Task>,
    desk: Arc<Desk>,
}

impl Pool {
    /// Starts `workers` threads.
    ///
    /// # Errors
    ///
    /// When there are no threads to be had.
    pub(super) fn start(
        workers: usize,
        clock: Clock,
        inboxes: Box<[Arc<Inbox>]>,
        hook: Option<&Arc<dyn Hook>>,
    ) -> io::Result<Self> {
        let (tasks, receiver) = channel();
        let receiver = Arc::new(Mutex::new(receiver));
        let desk = Arc::new(Desk::new(workers, inboxes));
        for number in 0..workers {
            let worker = Worker {
                tasks: Arc::clone(&receiver),
                clock,
                desk: Arc::clone(&desk),
                hook: hook.cloned(),
            };
            thread::Builder::new()
                .name(format!("udp-rpc-worker-{number}"))
                .spawn(move || worker.work())?;
        }
        Ok(Self { tasks, desk })
    }

    pub(super) fn desk(&self) -> &Arc<Desk> {
        &self.desk
    }

    /// Gives a shard a worker, which is to be [`run`](Self::run) or
    /// [`release`](Self::release)d. Without one it is false, and [`Report::Worker`] brings one
    /// later.
    pub(super) fn want(&self, shard: usize) -> bool {
        self.desk.want(shard)
    }

    /// Gives a worker back that is not needed after all.
    pub(super) fn release(&self) {
        self.desk.release();
    }

    /// Hands a call to the worker that was given.
    pub(super) fn run(&self, task: Task) {
        // The receivers live as long as the pool: a worker never ends by itself.
        let _ = self.tasks.send(task);
    }
}

struct Worker {
    tasks: Arc<Mutex<Receiver<Task>>>,
    clock: Clock,
    desk: Arc<Desk>,
    hook: Option<Arc<dyn Hook>>,
}

impl Worker {
    fn work(self) {
        loop {
            let task = self.tasks.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(task) = task else { return };
            self.run(task);
            self.desk.release();
        }
    }

    fn run(&self, task: Task) {
        let Task { shard, job, method, cancel, origin, gauges } = task;
        let Job { key, metadata, body, expiry, route, .. } = job;
        let moment = Moment::read(&self.clock);
        let overtaken = |now: Time, cancel: &CancelToken| match now >= expiry {
            true => Some(Reason::Expired),
            false => cancel.is_cancelled().then_some(Reason::Fenced),
        };
        if let Some(reason) = overtaken(moment.now, &cancel) {
            let ended = Ended::Refused(reason);
            let report = Report::Ended { key, ended, answer: Answer::default() };
            return self.desk.tell(shard, [report, Report::Spare { request: body }]);
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
                self.desk.tell(shard, [report, Report::Spare { request: body }]);
            }
            Action::Deferred(handler) => {
                let desk = Arc::clone(&self.desk);
                let report = move |ended, answer| {
                    desk.tell(shard, [Report::Ended { key, ended, answer }]);
                };
                begin(self.hook.as_ref(), overtaken, &method, handler, context, body, report);
            }
        }
    }
}
