//! The event loop: sockets on one side, the core on the other, workers beside.
//!
//! A turn: wait until something is ready or due; receive batches and hand each datagram to the
//! core, running at once what is declared quick; take in what workers report; let timers act;
//! hand waiting calls to idle workers; send what the core has to say. A turn is bounded, so that
//! no flood starves the timers, and no error of a socket ends it.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token, Waker};

use super::gauges::{LoopCounters, Snapshot};
use super::handle::{Command, Handle};
use super::moment::Moment;
use super::pool::{Inbox, Pool, Report, Task};
use super::run::{Ended, run};
use crate::core::Time;
use crate::core::server::{
    CallKey, End, Event, Execution, MethodSpec, Received, Route, Server, ServerConfig, Start,
    Transmit,
};
use crate::net::{Batch, Clock, SendError, Socket, seed};
use crate::service::{
    Action, CancelToken, Context, Gauges, Hook, Method, Origin, ReplyMetadata, Services,
};
use crate::wire::{MetadataRef, Reason};

/// Token of the waker; sockets have their index.
const WAKER: Token = Token(usize::MAX);

/// Batches received from one socket before the turn goes on: at most 8 runs of 64 datagrams each.
const BATCHES_PER_TURN: usize = 4;

/// How long a transmit that a socket had no room for waits before it is tried unasked: the kernel
/// tells when a full buffer has room again, and of no other reason that passes.
const BLOCKED_RETRY: Duration = Duration::from_millis(10);

/// How long a draining server still answers duplicates after the last one: a client whose reply
/// was lost comes for it within an RTO, which is a second when it knows nothing better.
const LINGER: Duration = Duration::from_secs(1);

/// Least time between two warnings about a socket's errors.
const WARN_EVERY: Duration = Duration::from_secs(60);

pub(super) struct EventLoop {
    poll: Poll,
    sockets: Vec<Listener>,
    core: Server,
    methods: Vec<Arc<Method>>,
    hook: Option<Arc<dyn Hook>>,
    pool: Pool,
    inbox: Arc<Inbox>,
    handle: Handle,
    clock: Clock,
    counters: LoopCounters,
    /// The cancel tokens of the calls that workers or responders have in hand.
    running: HashMap<CallKey, CancelToken>,
    batch: Box<Batch>,
    /// What an inline handler writes its reply into.
    reply: Vec<u8>,
    /// Reports taken from the inbox; kept so that its memory is used again.
    reports: Vec<Report>,
    outbox: Outbox,
    drain: Option<Drain>,
    /// When datagrams last came.
    heard: Time,
    warned: Option<Instant>,
}

/// A socket, and what is known of it: readiness is told once, so it is remembered.
struct Listener {
    socket: Socket,
    readable: bool,
    /// It tells when it has room, too: asked only while a transmit waits for that, because it
    /// would wake the loop for every datagram that has left.
    tells_room: bool,
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
}

impl EventLoop {
    pub(super) fn new(
        addresses: &[SocketAddr],
        services: Services,
        config: ServerConfig,
        workers: usize,
        hook: Option<Arc<dyn Hook>>,
    ) -> io::Result<Self> {
        let methods: Vec<Arc<Method>> = services.methods().iter().cloned().map(Arc::new).collect();
        let specs = methods.iter().map(|method| spec(method)).collect();
        let clock = Clock::start();
        let mut core = Server::new(config, specs, seed()?, clock.now())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
        let poll = Poll::new()?;
        let mut sockets = Vec::new();
        for address in addresses {
            let mut socket = Socket::bind(*address).map_err(|error| {
                io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
            })?;
            poll.registry().register(&mut socket, Token(sockets.len()), Interest::READABLE)?;
            let (granted, asked) = socket.receive_buffer();
            if granted < asked {
                log::info!(
                    "{}: the kernel granted a receive buffer of {granted} bytes of the {asked} \
                     asked for (net.core.rmem_max)",
                    socket.local()
                );
            }
            sockets.push(Listener { socket, readable: true, tells_room: false });
        }
        core.set_own_addresses(sockets.iter().map(|l| l.socket.local()).collect());
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let inbox = Inbox::new(Arc::clone(&waker));
        Ok(Self {
            poll,
            sockets,
            core,
            methods,
            pool: Pool::start(workers, clock, &inbox, hook.as_ref())?,
            hook,
            inbox,
            handle: Handle::new(waker),
            clock,
            counters: LoopCounters::default(),
            running: HashMap::new(),
            batch: Box::new(Batch::new()),
            reply: Vec::new(),
            reports: Vec::new(),
            outbox: Outbox::default(),
            drain: None,
            heard: Time::ZERO,
            warned: None,
        })
    }

    pub(super) fn local_addrs(&self) -> Vec<SocketAddr> {
        self.sockets.iter().map(|listener| listener.socket.local()).collect()
    }

    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    pub(super) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(64);
        loop {
            self.wait(&mut events)?;
            self.receive();
            self.take_reports();
            let now = self.clock.now();
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
    fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        let now = self.clock.now();
        // What is readable is left where it is while answers cannot be sent.
        let busy = self.outbox.blocked.is_none() && self.sockets.iter().any(|l| l.readable);
        let blocked = self.outbox.blocked.is_some().then(|| now + BLOCKED_RETRY);
        let draining = self.drain.as_ref().map(Drain::next);
        let due = [self.core.poll_timeout(), draining, blocked];
        let timeout = match due.into_iter().flatten().min() {
            _ if busy => Some(Duration::ZERO),
            Some(due) => Some(due.since(now)),
            None => None,
        };
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => result?,
        }
        for event in events.iter() {
            if let Some(listener) = self.sockets.get_mut(event.token().0) {
                listener.readable |= event.is_readable() || event.is_error();
            }
        }
        Ok(())
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
        let Some(listener) = self.sockets.get_mut(index).filter(|listener| listener.readable)
        else {
            return false;
        };
        match listener.socket.receive(&mut self.batch) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                listener.readable = false;
                return false;
            }
            Err(error) => {
                // About some earlier datagram: a port refused somewhere, a route lost.
                self.counters.receive_errors += 1;
                self.warn(|| format!("receiving: {error}"));
                return true;
            }
        }
        let mut moment = Moment::read(&self.clock);
        self.heard = moment.now;
        for (remote, local, datagram) in self.batch.datagrams() {
            self.counters.datagrams += 1;
            let route = Route { remote, local, socket: index };
            if let Some(start) = self.core.handle_datagram(moment.now, &route, datagram) {
                let gauges =
                    Snapshot::new(&self.core, self.counters, moment.now, self.pool.idle_of_all());
                let origin = origin(&self.core, &listener.socket, &start.route, start.expiry);
                let metadata = ReplyMetadata::new();
                let method = &self.methods[start.method];
                let context = context(method, &start, moment, origin, &metadata, &gauges);
                self.reply.clear();
                let ended = match &method.action {
                    Action::Inline(handler) | Action::Pooled(handler) => {
                        let (hook, clock) = (self.hook.as_deref(), self.clock);
                        let late = || (clock.now() >= start.expiry).then_some(Reason::Expired);
                        run(hook, late, method, handler, &context, start.body, &mut self.reply)
                    }
                    // `spec` says that these are queued.
                    Action::Deferred(_) => unreachable!("a deferred method never runs inline"),
                };
                // The next call's expiry is not to be checked against a time long gone.
                moment = Moment::read(&self.clock);
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
        let now = self.clock.now();
        for report in reports.drain(..) {
            match report {
                Report::Ended { key, ended, answer } => {
                    self.running.remove(&key);
                    let metadata = answer.metadata.borrow();
                    let end = end(&mut self.counters, ended, metadata, &answer.body);
                    self.core.complete(now, key, end);
                }
                Report::Idle { request } => {
                    self.pool.worker_is_idle();
                    self.core.recycle(request);
                }
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

    /// Hands waiting calls to idle workers.
    fn start_waiting(&mut self, now: Time) {
        // Made for the first of them, and shared by all.
        let mut gauges: Option<Arc<dyn Gauges + Send + Sync>> = None;
        while self.pool.idle() > 0 {
            let Some(job) = self.core.claim(now) else { return };
            let Some(method) = self.methods.get(job.method) else { return };
            let Some(listener) = self.sockets.get(job.route.socket) else { return };
            let cancel = CancelToken::new();
            self.running.insert(job.key, cancel.clone());
            let workers = self.pool.idle_of_all();
            let snapshot = || Snapshot::new(&self.core, self.counters, now, workers).to_owned();
            self.pool.run(Task {
                origin: origin(&self.core, &listener.socket, &job.route, job.expiry),
                job,
                method: Arc::clone(method),
                cancel,
                gauges: Arc::clone(gauges.get_or_insert_with(|| Arc::new(snapshot()))),
            });
        }
    }

    /// Sends what the core has to say, until it has nothing more or a socket has no room.
    fn send(&mut self) {
        loop {
            if self.outbox.blocked.is_none() {
                self.outbox.bytes.clear();
                self.outbox.sent = 0;
                let now = self.clock.now();
                self.outbox.blocked = self.core.poll_transmit(now, &mut self.outbox.bytes);
            }
            let Some(Transmit { route, segment_size, .. }) = self.outbox.blocked else { return };
            let Some(listener) = self.sockets.get_mut(route.socket) else { return };
            let socket = &mut listener.socket;
            let rest = self.outbox.bytes.get(self.outbox.sent..).unwrap_or_default();
            let result = socket.send(route.remote, route.local, rest, segment_size);
            let blocked = matches!(result, Err(SendError::WouldBlock { .. }));
            if blocked != listener.tells_room {
                listener.tells_room = blocked;
                let token = Token(route.socket);
                let writable = blocked.then_some(Interest::WRITABLE);
                let interest = writable.map_or(Interest::READABLE, |w| w | Interest::READABLE);
                if let Err(error) = self.poll.registry().reregister(socket, token, interest) {
                    log::warn!("{}: waiting for room: {error}", socket.local());
                }
            }
            match result {
                Ok(()) => {}
                Err(SendError::WouldBlock { sent }) => {
                    self.outbox.sent += sent;
                    // Replies stay in their slots meanwhile, and nothing more is received.
                    self.counters.send_blocked += 1;
                    return;
                }
                Err(error) => {
                    // It is as if the network had lost it: retransmission fetches it again.
                    self.counters.send_errors += 1;
                    self.warn(|| format!("sending to {}: {error:?}", route.remote));
                }
            }
            self.outbox.blocked = None;
        }
    }

    /// Acts on what handles ask, and says whether the loop has come to its end.
    fn is_over(&mut self, now: Time) -> bool {
        match self.handle.take() {
            Some(Command::Stop) => return true,
            Some(Command::Drain(grace)) if self.drain.is_none() => {
                log::info!("draining for at most {grace:?}");
                self.core.drain(now);
                let activity = (self.activity(), self.heard);
                self.drain = Some(Drain { until: now + grace, activity });
            }
            _ => {}
        }
        let activity = self.activity();
        let Some(drain) = &mut self.drain else { return false };
        if drain.activity.0 != activity || !self.core.is_drained() {
            drain.activity = (activity, now);
        }
        let quiet = self.core.is_drained() && now.since(drain.activity.1) >= LINGER;
        if quiet || now >= drain.until {
            log::info!("ended");
        }
        quiet || now >= drain.until
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
        self.until.min(self.activity.1 + LINGER)
    }
}

/// What the core has to know of a method.
fn spec(method: &Method) -> MethodSpec {
    MethodSpec {
        id: method.id(),
        execution: match method.action {
            Action::Inline(_) => Execution::Inline,
            Action::Pooled(_) | Action::Deferred(_) => Execution::Queued,
        },
        longest_reply: method.longest_reply,
        longest_request: method.longest_request,
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
