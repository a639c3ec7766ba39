//! The simulated machine of the server: one process at a time, its shards, its pool of workers, its
//! falls.
//!
//! Datagrams are steered to the shards by byte 8, which now and then goes wrong, as it does where a
//! kernel's table changes under way.
//!
//! It does what the real driver does, with a worker's hand-over drawn out: a job is claimed, some
//! time passes, the worker looks at the expiry and the cancel token, and only then does the
//! handler's first instruction run, which is what the checker counts.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::amplification::Amplification;
use super::clock::{Clock, Truth};
use super::net::{Event, Net, Owner, server_address};
use super::oracle::{Identity, Promise};
use super::plan::Fortune;
use super::work::{Method, Request};
use crate::core::server::{CallKey, Done, End, Route, Server, ServerConfig};
use crate::core::{Rule, Time};
use crate::wire::{Code, Metadata, Reason, StatusBody};

/// More lives than any server of a world has.
const LIVES_MAX: u32 = 1_000_000;

/// A job that a worker has claimed.
#[derive(Clone, Debug)]
struct Work {
    key: CallKey,
    method: Method,
    metadata: Metadata,
    request: Request,
    expiry: Time,
    cancelled: bool,
    /// The checker's number of the run, once it has started.
    run: u64,
}

/// One life of the server.
struct Process {
    /// By their number.
    shards: Vec<Server>,
    watch: Amplification,
    idle: u32,
    jobs: BTreeMap<u64, Work>,
    received: u64,
    /// Handlers that have run to their end.
    ran: u64,
    timer: Option<Truth>,
}

impl Process {
    /// The shard that a datagram is brought to: its own, or, if it goes astray, any.
    fn steer(&self, net: &mut Net, astray: f64, bytes: &[u8]) -> usize {
        let most = self.shards.len() as u64 - 1;
        if most > 0 && net.dice.chance(astray) {
            return usize::try_from(net.dice.range(0, most)).unwrap_or(0);
        }
        bytes.get(8).map_or(0, |byte| usize::from(*byte) % self.shards.len())
    }

    /// The shard to which a call belongs.
    fn of(&mut self, key: CallKey) -> Option<&mut Server> {
        self.shards.get_mut(usize::from(key.session.shard()))
    }

    /// Adds something up over all shards.
    fn sum(&self, of: impl Fn(&Server) -> u64) -> u64 {
        self.shards.iter().map(of).sum()
    }
}

/// The machine.
pub(super) struct ServerHost {
    number: u8,
    address: SocketAddr,
    clock: Clock,
    config: ServerConfig,
    fortune: Fortune,
    process: Option<Process>,
    /// The number of the life that runs, or ran last; no two servers have one in common.
    life: u32,
    jobs: u64,
    /// The socket takes nothing until then.
    blocked_until: Truth,
    /// It is stopped until then: nothing that arrives is looked at.
    stalled_until: Truth,
    out: Vec<u8>,
}

impl ServerHost {
    /// A machine on which the server runs.
    pub(super) fn new(
        net: &mut Net,
        number: u8,
        config: ServerConfig,
        fortune: Fortune,
        clock: Clock,
    ) -> Self {
        let address = server_address(number);
        net.give_address(address, Owner::Server(number), usize::MAX);
        let mut host = Self {
            number,
            address,
            clock,
            config,
            fortune,
            process: None,
            life: u32::from(number) * LIVES_MAX,
            jobs: 0,
            blocked_until: Truth(0),
            stalled_until: Truth(0),
            out: Vec::new(),
        };
        host.rise(net);
        host
    }

    fn owner(&self) -> Owner {
        Owner::Server(self.number)
    }

    /// Starts a new life, and fixes when it falls.
    pub(super) fn rise(&mut self, net: &mut Net) {
        if self.process.is_some() {
            return;
        }
        self.life += 1;
        let now = self.clock.read(net.now);
        let seed = net.dice.seed();
        let mut shards = Vec::new();
        for shard in 0..self.fortune.shards {
            let config = self.config.of_shard(shard, self.fortune.shards.into());
            let mut server = match Server::new(config, Method::specs(), seed, now) {
                Ok(server) => server,
                Err(error) => {
                    let detail = format!("the server does not start: {error}");
                    return net.oracle.broken(Promise::EveryCallEnds, net.now, detail);
                }
            };
            server.set_own_addresses(vec![self.address]);
            #[cfg(test)]
            net.dropped.into_iter().for_each(|rule| server.drop_rule(rule));
            net.lives.insert(server.epoch(), self.life);
            shards.push(server);
        }
        self.process = Some(Process {
            shards,
            watch: Amplification::default(),
            idle: self.fortune.workers,
            jobs: BTreeMap::new(),
            received: 0,
            ran: 0,
            timer: None,
        });
        if let Some(mean) = self.fortune.crash {
            let after = net.dice.log_range(mean / 10, mean * 3);
            net.schedule(after, Event::ServerFalls(self.number));
        }
    }

    /// From now on it does not fall; if it is down or drains, it is started again now.
    pub(super) fn heal(&mut self, net: &mut Net) {
        self.fortune.crash = None;
        self.fortune.blocked = 0.0;
        self.fortune.turned_away = 0.0;
        self.stalled_until = net.now;
        if self.process.as_ref().is_none_or(|process| process.shards[0].is_draining()) {
            self.process = None;
            self.rise(net);
        }
        if let Some(process) = &mut self.process {
            process.timer = None;
        }
        self.settle(net);
    }

    /// Drains, if it is that kind, or dies at once.
    pub(super) fn fall(&mut self, net: &mut Net) {
        let (now, life) = (self.clock.read(net.now), self.life);
        if self.fortune.crash.is_none() {
            return;
        }
        if net.dice.chance(0.3) {
            // Not dead, only stopped for a while.
            self.stalled_until = net.now + net.hand_over(self.fortune.down_most);
            if let Some(mean) = self.fortune.crash {
                let after = net.dice.log_range(mean / 10, mean * 3);
                net.schedule(after, Event::ServerFalls(self.number));
            }
        } else if net.dice.chance(self.fortune.drain) {
            if let Some(process) = &mut self.process {
                process.shards.iter_mut().for_each(|server| server.drain(now));
            }
            let after = net.dice.log_range(Duration::from_millis(1), Duration::from_secs(10));
            net.schedule(after, Event::ServerDies { server: self.number, life });
            self.settle(net);
        } else {
            self.die(net, life);
        }
    }

    /// The process is gone, with all it knew.
    pub(super) fn die(&mut self, net: &mut Net, life: u32) {
        if life == self.life && self.process.take().is_some() {
            let after = net.hand_over(self.fortune.down_most);
            net.schedule(after, Event::ServerRises(self.number));
        }
    }

    /// A datagram arrives.
    pub(super) fn arrive(&mut self, net: &mut Net, from: SocketAddr, bytes: Vec<u8>) {
        if self.process.is_some() && net.now < self.stalled_until {
            return net
                .schedule_at(self.stalled_until, Event::Arrive { from, to: self.address, bytes });
        }
        let now = self.clock.read(net.now);
        let Some(process) = &mut self.process else {
            if net.dice.chance(self.fortune.refused_hint) {
                let after = net.hand_over(Duration::from_millis(50));
                net.schedule(after, Event::Unreachable { to: from, server: self.address });
            }
            return;
        };
        process.received += 1;
        let shard = process.steer(net, self.fortune.astray, &bytes);
        let server = &mut process.shards[shard];
        process.watch.received(from, server.clock(now), &bytes);
        let route = Route { remote: from, local: Some(self.address.ip()), socket: 0 };
        let start = server.handle_datagram(now, &route, &bytes);
        match start {
            Some(start) if net.dice.chance(self.fortune.turned_away) => {
                let end = End::NotStarted(why_turned_away(net));
                server.complete(now, start.key, end);
            }
            Some(start) => {
                let method = Method::SERVED.get(start.method).copied().unwrap_or(Method::Missing);
                let request = Request::from_body(start.body);
                let tag = request.map_or(u64::MAX, |request| request.tag);
                let (identity, metadata) = ((self.life, start.key), start.metadata);
                let run = net.oracle.started(net.now, identity, method, tag, metadata);
                net.oracle.finished(run);
                if let Some(request) = request {
                    process.ran += 1;
                    complete(server, now, start.key, method, request, run);
                }
            }
            None => {}
        }
        self.settle(net);
    }

    /// Its timer has gone off.
    pub(super) fn timer(&mut self, net: &mut Net) {
        let Some(process) = &mut self.process else { return };
        if process.timer.is_none_or(|at| at > net.now) {
            return;
        }
        process.timer = None;
        if net.now < self.stalled_until {
            process.timer = Some(self.stalled_until);
            return net.schedule_at(self.stalled_until, Event::Timer(self.owner()));
        }
        let now = self.clock.read(net.now);
        for server in &mut process.shards {
            if server.poll_timeout().is_some_and(|at| at <= now) {
                server.handle_timeout(now);
            }
        }
        self.settle(net);
    }

    /// A worker comes to what it claimed.
    pub(super) fn worker_starts(&mut self, net: &mut Net, life: u32, job: u64) {
        let now = self.clock.read(net.now);
        if life != self.life {
            return;
        }
        let Some(process) = &mut self.process else { return };
        let Some(work) = process.jobs.get_mut(&job) else { return };
        let expired = net.dropped != Some(Rule::ExpiryAtStart) && now >= work.expiry;
        let turned_away = net.dice.chance(self.fortune.turned_away);
        if expired || work.cancelled || turned_away {
            let reason = match (expired, work.cancelled) {
                (true, _) => Reason::Expired,
                (false, true) => Reason::Fenced,
                (false, false) => why_turned_away(net),
            };
            let key = work.key;
            process.of(key).into_iter().for_each(|server| {
                server.complete(now, key, End::NotStarted(reason));
            });
            process.jobs.remove(&job);
            process.idle += 1;
            return self.settle(net);
        }
        let identity: Identity = (life, work.key);
        let (tag, metadata) = (work.request.tag, work.metadata.borrow());
        work.run = net.oracle.started(net.now, identity, work.method, tag, metadata);
        net.schedule(work.request.service, Event::WorkerEnds { server: self.number, life, job });
    }

    /// A handler ends.
    pub(super) fn worker_ends(&mut self, net: &mut Net, life: u32, job: u64) {
        let now = self.clock.read(net.now);
        if life != self.life {
            return;
        }
        let Some(process) = &mut self.process else { return };
        let Some(work) = process.jobs.remove(&job) else { return };
        process.idle += 1;
        process.ran += 1;
        net.oracle.finished(work.run);
        if let Some(server) = process.of(work.key) {
            complete(server, now, work.key, work.method, work.request, work.run);
        }
        self.settle(net);
    }

    /// What a driver does after every input: hand out work, send, look at the timer. Besides, what
    /// must always hold is checked.
    fn settle(&mut self, net: &mut Net) {
        let (now, life) = (self.clock.read(net.now), self.life);
        let Some(process) = &mut self.process else { return };
        while process.idle > 0 {
            let claimed = process.shards.iter_mut().find_map(|server| server.claim(now));
            let Some(job) = claimed else { break };
            let method = Method::SERVED.get(job.method).copied().unwrap_or(Method::Missing);
            let Some(request) = Request::from_body(&job.body) else {
                let detail = format!("a job with a body of nobody: {job:?}");
                return net.oracle.broken(Promise::OkRan, net.now, detail);
            };
            process.idle -= 1;
            self.jobs += 1;
            let (key, expiry) = (job.key, job.expiry);
            let (metadata, run) = (job.metadata, u64::MAX);
            let work = Work { key, method, metadata, request, expiry, cancelled: false, run };
            process.jobs.insert(self.jobs, work);
            let after = net.hand_over(self.fortune.hand_over_most);
            net.schedule(after, Event::WorkerStarts { server: self.number, life, job: self.jobs });
            process.of(key).into_iter().for_each(|server| server.recycle(job.body.clone()));
        }
        while let Some(event) = process.shards.iter_mut().find_map(Server::poll_event) {
            let crate::core::server::Event::Cancel(key) = event;
            for work in process.jobs.values_mut().filter(|work| work.key == key) {
                work.cancelled = true;
            }
        }
        if net.now >= self.blocked_until && net.dice.chance(self.fortune.blocked) {
            let span = net.dice.log_range(Duration::from_micros(50), Duration::from_secs(3));
            self.blocked_until = net.now + span;
            net.schedule(span, Event::Writable(self.owner()));
        }
        if net.now >= self.blocked_until {
            self.transmit(net);
        }
        self.check(net);
        let Some(process) = &mut self.process else { return };
        if let Some(local) = process.shards.iter().filter_map(Server::poll_timeout).min() {
            let at = self.clock.when(local).max(net.now);
            if process.timer.is_none_or(|timer| at < timer) {
                process.timer = Some(at);
                net.schedule_at(at, Event::Timer(self.owner()));
            }
        }
    }

    /// The socket takes datagrams again.
    pub(super) fn writable(&mut self, net: &mut Net) {
        if net.now >= self.blocked_until {
            self.settle(net);
        }
    }

    /// Sends all that is to be sent.
    fn transmit(&mut self, net: &mut Net) {
        let now = self.clock.read(net.now);
        let Some(process) = &mut self.process else { return };
        self.out.clear();
        let out = &mut self.out;
        while let Some(transmit) =
            process.shards.iter_mut().find_map(|server| server.poll_transmit(now, out))
        {
            let (to, size) = (transmit.route.remote, transmit.size);
            let segment = transmit.segment_size.unwrap_or(size).max(1);
            for datagram in out.get(..size).unwrap_or(&[]).chunks(segment) {
                if let Err(why) = process.watch.sent(to, datagram) {
                    net.oracle.broken(Promise::NoAmplification, net.now, why);
                }
                if let Some(path) = net.path_of(to) {
                    net.send(path, false, self.address, to, datagram);
                }
            }
            out.clear();
        }
        process.watch.turn_over();
    }

    /// The end of the world: when all leases have ended, nothing may be left.
    pub(super) fn forget(&mut self, net: &mut Net) {
        let Some(process) = &mut self.process else { return };
        for server in &mut process.shards {
            let mut now = self.clock.read(net.now);
            let end = now + self.config.lease + Duration::from_secs(120);
            while let Some(at) = server.poll_timeout().filter(|at| *at <= end) {
                now = now.max(at);
                server.handle_timeout(now);
            }
            let left = (server.sessions(), server.tombstones(), server.queued(), server.running());
            if left != (0, 0, 0, 0) || server.memory() != 0 {
                let (records, replies) = (server.record_memory(), server.reply_memory());
                let detail = format!("left: {left:?}, {records} + {replies} bytes");
                net.oracle.broken(Promise::MemoryBound, net.now, detail);
            }
        }
    }

    /// What must hold at any time.
    fn check(&mut self, net: &mut Net) {
        let Some(process) = &mut self.process else { return };
        for server in &process.shards {
            let bound = server.config().record_memory + server.config().reply_memory;
            if server.memory() > bound {
                let detail = format!("{} bytes of {bound}", server.memory());
                net.oracle.broken(Promise::MemoryBound, net.now, detail);
            }
        }
        let counted = process.sum(|server| server.counters().datagrams());
        if counted != process.received {
            let detail = format!("{counted} counted of {} received", process.received);
            net.oracle.broken(Promise::CountersAddUp, net.now, detail);
        }
        let audited = process.sum(|server| server.counters().done(Done::Executed));
        if audited != process.ran {
            let detail = format!("{audited} executed, {} ran", process.ran);
            net.oracle.broken(Promise::CountersAddUp, net.now, detail);
        }
    }
}

/// Why the hook turns a call away.
fn why_turned_away(net: &mut Net) -> Reason {
    net.dice.pick(&[Reason::Unauthenticated, Reason::Unauthorised, Reason::RateLimited])
}

/// What the driver says of a handler that has run.
fn complete(
    server: &mut Server,
    now: Time,
    key: CallKey,
    method: Method,
    request: Request,
    run: u64,
) {
    let mut body = Vec::new();
    // A panic takes what the handler had to say with it.
    let metadata = match method {
        Method::Panic => Metadata::new(),
        _ => request.reply_metadata(run),
    };
    let status = match method {
        Method::Fail | Method::Panic => {
            let message = "as it was told to".into();
            StatusBody { message, details: b"details" }.emit(&mut body, 200);
            method.ends_as()
        }
        _ => {
            body = request.reply(method, run);
            Code::Ok
        }
    };
    server.complete(now, key, End::Done { status, metadata: metadata.borrow(), body: &body });
}
