//! The event loop of one shard: sockets on one side, the core on the other, workers beside.
//!
//! A turn: wait until something is ready or due; receive batches and hand each datagram to the
//! core, running at once what is declared quick; take in what workers report; let timers act;
//! hand waiting calls to workers; send what the core has to say. A turn is bounded, so that no
//! flood starves the timers, and no error of a socket ends it.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::gauges::{Board, FromInside, LoopCounters};
use super::handle::Handle;
use super::moment::Moment;
use super::pool::{Inbox, Pool, Report, Task};
use super::run::{self, Ended};
use super::sockets::Sockets;
use crate::core::Time;
use crate::core::server::{CallKey, End, Event, Received, Route, Server, Start, Transmit};
use crate::net::{Batch, Clock, SendError, Socket};
use crate::service::{Action, CancelToken, Context, Gauges, Hook, Method, Origin, ReplyMetadata};
use crate::wire::{MetadataRef, Reason};

/// Batches received from one socket before the turn goes on: at most 8 runs of 64 datagrams each.
const BATCHES_PER_TURN: usize = 4;

/// Handlers run on one reading of the clock, as long as each of them is as quick as it promised.
const RUNS_PER_MOMENT: usize = 16;

/// How long a transmit that a socket had no room for waits before it is tried unasked: the kernel
/// tells when a full buffer has room again, and of no other reason that passes.
const BLOCKED_RETRY: Duration = Duration::from_millis(10);

/// How long a draining server still answers duplicates after the last one: a client whose reply
/// was lost comes for it within an RTO, which is a second when it knows nothing better.
const LINGER: Duration = Duration::from_secs(1);

/// Least time between two warnings about a socket's errors.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// What all shards of a server have together.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) methods: Arc<[Arc<Method>]>,
    pub(super) hook: Option<Arc<dyn Hook>>,
    pub(super) pool: Pool,
    pub(super) board: Arc<Board>,
    pub(super) clock: Clock,
    /// Never to sleep while the server lives.
    pub(super) busy_poll: bool,
}

pub(super) struct EventLoop {
    /// Which shard this is.
    number: usize,
    sockets: Sockets,
    core: Server,
    inbox: Arc<Inbox>,
    handle: Handle,
    shared: Shared,
    counters: LoopCounters,
    /// The cancel tokens of the calls that workers or responders have in hand.
    running: HashMap<CallKey, CancelToken>,
    /// Workers that were given to this shard and have nothing to do yet.
    workers: usize,
    batch: Box<Batch>,
    /// What an inline handler writes its reply into.
    reply: Vec<u8>,
    /// Reports taken from the inbox; kept so that its memory is used again.
    reports: Vec<Report>,
    outbox: Outbox,
    drain: Option<Drain>,
    /// When datagrams last came, or a call ended.
    heard: Time,
    /// Something was counted since the numbers were published.
    unpublished: bool,
    warned: Option<Instant>,
}

/// What is being sent.
#[derive(Default)]
struct Outbox {
    bytes: Vec<u8>,
    /// How many of them have left.
    sent: usize,
    /// A transmit that a socket had no room for, or not for all of it; it goes first when the
    /// socket is writable.
    blocked: Option<Transmit>,
}

/// A shutdown under way.
struct Drain {
    /// When it ends in any case.
    until: Time,
    /// Answers to duplicates and ends of calls counted so far, and when that last grew.
    activity: (u64, Time),
    /// Nothing has happened for long enough.
    quiet: bool,
}

impl EventLoop {
    pub(super) fn new(
        number: usize,
        sockets: Sockets,
        mut core: Server,
        inbox: Arc<Inbox>,
        handle: Handle,
        shared: Shared,
    ) -> Self {
        core.set_own_addresses(sockets.local_addrs());
        Self {
            number,
            sockets,
            core,
            inbox,
            handle,
            shared,
            counters: LoopCounters::default(),
            running: HashMap::new(),
            workers: 0,
            batch: Box::new(Batch::new()),
            reply: Vec::new(),
            reports: Vec::new(),
            outbox: Outbox::default(),
            drain: None,
            heard: Time::ZERO,
            unpublished: true,
            warned: None,
        }
    }

    pub(super) fn local_addrs(&self) -> Vec<SocketAddr> {
        self.sockets.local_addrs()
    }

    pub(super) fn run(&mut self) -> io::Result<()> {
        loop {
            self.wait()?;
            self.receive();
            self.take_reports();
            let now = self.shared.clock.now();
            self.unpublished |= self.core.poll_timeout().is_some_and(|due| due <= now);
            self.core.handle_timeout(now);
            self.cancel_handlers();
            self.start_waiting(now);
            self.send();
            if self.is_over(now) {
                return Ok(());
            }
        }
    }

    /// Waits until something is ready or due.
    fn wait(&mut self) -> io::Result<()> {
        self.publish();
        let blocked = self.outbox.blocked.is_some();
        if self.shared.busy_poll && !blocked {
            return self.sockets.look();
        }
        // What is readable is left where it is while answers cannot be sent.
        if !blocked && self.sockets.any_readable() {
            return self.sockets.wait(Some(Duration::ZERO));
        }
        let now = self.shared.clock.now();
        let draining = self.drain.as_ref().map(Drain::next);
        let retry = blocked.then(|| now + BLOCKED_RETRY);
        let due = [self.core.poll_timeout(), draining, retry].into_iter().flatten().min();
        self.sockets.wait(due.map(|due| due.since(now)))
    }

    /// Receives from every readable socket, and lets the core and inline handlers act on it.
    fn receive(&mut self) {
        for index in 0..self.sockets.len() {
            for _ in 0..BATCHES_PER_TURN {
                if self.outbox.blocked.is_some() || !self.receive_batch(index) {
                    break;
                }
                self.send();
            }
        }
    }

    /// Receives one batch; false when there was none.
    fn receive_batch(&mut self, index: usize) -> bool {
        match self.sockets.receive(index, &mut self.batch) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) => {
                // About some earlier datagram: a port refused somewhere, a route lost.
                self.counters.receive_errors += 1;
                self.warn(|| format!("receiving: {error}"));
                return true;
            }
        }
        let Shared { methods, hook, board, clock, .. } = &self.shared;
        let Some(socket) = self.sockets.get(index) else { return false };
        let mut moment = Moment::read(clock);
        let mut runs = 0;
        self.heard = moment.now;
        self.unpublished = true;
        // What each of many sessions needs is far away in memory: it is fetched for all at once.
        self.core.foresee(self.batch.runs().flat_map(|run| run.datagrams()));
        for run in self.batch.runs() {
            let route = Route { remote: run.remote, local: run.local, socket: index };
            for datagram in run.datagrams() {
                self.counters.datagrams += 1;
                let start = self.core.handle_datagram(moment.now, &route, datagram);
                let Some(start) = start else { continue };
                let (number, of_loop) = (self.number, self.counters);
                let gauges = FromInside { board, shard: number, core: &self.core, of_loop };
                let origin = origin(&self.core, socket, &start.route, start.expiry);
                let metadata = ReplyMetadata::new();
                let method = &methods[start.method];
                let context = context(method, &start, moment, origin, &metadata, &gauges);
                self.reply.clear();
                let ended = match &method.action {
                    Action::Inline(handler) | Action::Pooled(handler) => {
                        let late = || (clock.now() >= start.expiry).then_some(Reason::Expired);
                        let hook = hook.as_deref();
                        run::run(hook, late, method, handler, &context, start.body, &mut self.reply)
                    }
                    // `spec` says that these are queued.
                    Action::Deferred(_) => unreachable!("a deferred method never runs inline"),
                };
                // The next call's expiry is not to be checked against a time long gone.
                runs += 1;
                if runs % RUNS_PER_MOMENT == 0 {
                    moment = Moment::read(clock);
                }
                let metadata = metadata.into_inner();
                let end = end(&mut self.counters, ended, metadata.borrow(), &self.reply);
                self.core.complete(moment.now, start.key, end);
            }
        }
        true
    }

    /// Takes in what workers and responders have reported.
    fn take_reports(&mut self) {
        let empty = std::mem::take(&mut self.reports);
        let mut reports = self.inbox.take(empty);
        if !reports.is_empty() {
            self.unpublished = true;
        }
        let now = self.shared.clock.now();
        for report in reports.drain(..) {
            match report {
                Report::Ended { key, ended, answer } => {
                    // Its client is there, and may have to fetch the answer again.
                    self.heard = now;
                    self.running.remove(&key);
                    let metadata = answer.metadata.borrow();
                    let end = end(&mut self.counters, ended, metadata, &answer.body);
                    self.core.complete(now, key, end);
                }
                Report::Spare { request } => self.core.recycle(request),
                Report::Worker => self.workers += 1,
            }
        }
        self.reports = reports;
    }

    /// Tells handlers whose calls nobody waits for any more.
    fn cancel_handlers(&mut self) {
        while let Some(Event::Cancel(key)) = self.core.poll_event() {
            if let Some(token) = self.running.get(&key) {
                token.cancel();
            }
        }
    }

    /// Hands waiting calls to workers, as far as there are any.
    fn start_waiting(&mut self, now: Time) {
        let Shared { methods, pool, board, .. } = &self.shared;
        while self.core.queued() > 0 {
            if self.workers == 0 {
                if !pool.want(self.number) {
                    return;
                }
                self.workers = 1;
            }
            let Some(job) = self.core.claim(now) else { break };
            let Some(method) = methods.get(job.method) else { return };
            let Some(socket) = self.sockets.get(job.route.socket) else { return };
            let cancel = CancelToken::new();
            self.running.insert(job.key, cancel.clone());
            self.workers -= 1;
            // The handler is to find that its call has started.
            board.publish(self.number, &self.core, self.counters);
            self.unpublished = false;
            pool.run(Task {
                shard: self.number,
                origin: origin(&self.core, socket, &job.route, job.expiry),
                job,
                method: Arc::clone(method),
                cancel,
                gauges: Arc::clone(board) as Arc<dyn Gauges + Send + Sync>,
            });
        }
        // What waited has expired, or was cancelled, before a worker came.
        for _ in 0..std::mem::take(&mut self.workers) {
            pool.release();
        }
    }

    /// Sends what the core has to say, until it has nothing more or a socket has no room.
    fn send(&mut self) {
        self.publish();
        let now = self.shared.clock.now();
        loop {
            if self.outbox.blocked.is_none() {
                self.outbox.bytes.clear();
                self.outbox.sent = 0;
                self.outbox.blocked = self.core.poll_transmit(now, &mut self.outbox.bytes);
            }
            let Some(transmit) = &self.outbox.blocked else { return };
            self.unpublished = true;
            let rest = self.outbox.bytes.get(self.outbox.sent..).unwrap_or_default();
            match self.sockets.send(transmit, rest) {
                Ok(()) => {}
                Err(SendError::WouldBlock { sent }) => {
                    // Replies stay in their slots meanwhile, and nothing more is received.
                    self.outbox.sent += sent;
                    self.counters.send_blocked += 1;
                    return;
                }
                Err(error) => {
                    // It is as if the network had lost it: retransmission fetches it again.
                    let remote = transmit.route.remote;
                    self.counters.send_errors += 1;
                    self.warn(|| format!("sending to {remote}: {error:?}"));
                }
            }
            self.outbox.blocked = None;
        }
    }

    /// Publishes what was counted, if anything was.
    fn publish(&mut self) {
        if std::mem::take(&mut self.unpublished) {
            self.shared.board.publish(self.number, &self.core, self.counters);
        }
    }

    /// Acts on what handles ask, and says whether the loop has come to its end.
    fn is_over(&mut self, now: Time) -> bool {
        if self.handle.is_stopped() {
            return true;
        }
        let Some(grace) = self.handle.grace() else { return false };
        let activity = self.activity();
        let drain = self.drain.get_or_insert_with(|| {
            log::info!("draining for at most {grace:?}");
            self.core.drain(now);
            Drain { until: now + grace, activity: (activity, self.heard), quiet: false }
        });
        if drain.activity.0 != activity || !self.core.is_drained() {
            drain.activity = (activity, now);
        }
        drain.quiet = self.core.is_drained() && now.since(drain.activity.1) >= LINGER;
        self.handle.set_quiet(self.number, drain.quiet);
        now >= drain.until || self.handle.is_stopped()
    }

    /// Grows when a call begins or is refused, and when a duplicate is answered: its client may
    /// not have heard the answer yet.
    fn activity(&self) -> u64 {
        let counters = self.core.counters();
        let kinds = [
            Received::Started,
            Received::Refused,
            Received::Progress,
            Received::Replayed,
            Received::ReplayHeld,
            Received::RefusedAgain,
        ];
        kinds.into_iter().fold(0, |sum, what| sum + counters.received(what))
    }

    /// At most once a minute: an operator can do something about a socket's errors, but not
    /// about every single one.
    fn warn(&mut self, message: impl FnOnce() -> String) {
        if self.warned.is_none_or(|last| last.elapsed() >= WARN_EVERY) {
            self.warned = Some(Instant::now());
            log::warn!("{} (further ones within a minute are counted only)", message());
        }
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        // Nobody will hear what the handlers that still run have to say.
        self.running.values().for_each(CancelToken::cancel);
    }
}

impl Drain {
    /// When to look again.
    fn next(&self) -> Time {
        // Once quiet it waits for the other shards, and the last of them wakes it.
        if self.quiet { self.until } else { self.until.min(self.activity.1 + LINGER) }
    }
}

/// What a call token says of a call that came this way.
fn origin(core: &Server, socket: &Socket, route: &Route, expiry: Time) -> Option<Origin> {
    let bound = socket.local();
    let ip = route.local.unwrap_or(bound.ip()).to_canonical();
    (!ip.is_unspecified()).then(|| Origin {
        server: SocketAddr::new(ip, bound.port()),
        epoch: core.epoch(),
        expiry: core.clock(expiry),
    })
}

/// What the handler of a call that runs inline is told.
fn context<'a>(
    method: &'a Method,
    start: &Start<'a>,
    moment: Moment,
    origin: Option<Origin>,
    reply_metadata: &'a ReplyMetadata,
    gauges: &'a dyn Gauges,
) -> Context<'a> {
    static NEVER: CancelToken = CancelToken::never();
    Context {
        session: start.key.session,
        call: start.key.call,
        peer: start.route.remote,
        method: &method.name,
        deadline: moment.instant(start.expiry),
        cancel: &NEVER,
        metadata: start.metadata,
        reply_metadata,
        gauges,
        origin,
    }
}

/// What the core is told of the end of a run.
fn end<'a>(
    counters: &mut LoopCounters,
    ended: Ended,
    metadata: MetadataRef<'a>,
    body: &'a [u8],
) -> End<'a> {
    match ended {
        Ended::Done { code, panicked } => {
            counters.panics += u64::from(panicked);
            End::Done { status: code, metadata, body }
        }
        Ended::Refused(reason) => End::NotStarted(reason),
    }
}
