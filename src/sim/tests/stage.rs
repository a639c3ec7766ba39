//! A stage for directed scenarios: the real cores, and a network that holds every datagram until
//! the test delivers it, once, again, or never.
//!
//! One clock serves all. A run belongs to the call whose client first sent a request of that
//! identity, not to whatever the body says, so that two calls may have equal bodies.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::core::client::{Asked, CallHandle, Client, ClientConfig, Event, Fate, Inquiry, NewCall};
use crate::core::server::{CallKey, End, Job, Route, Server, ServerConfig};
use crate::core::{CallError, CallToken, Reply, Rule, Rules, Seed, Time};
use crate::sim::amplification::Amplification;
use crate::sim::clock::{Clock, Truth};
use crate::sim::net::SERVER;
use crate::sim::oracle::{Oracle, Promise, Violation};
use crate::sim::work::{Method, Request};
use crate::wire::{
    CallId, Code, FromServer, Kind, Reason, SessionId, StatusBody, parse_from_client,
    parse_from_server,
};

/// The stage's clock is right.
const CLOCK: Clock = Clock { start: Time::ZERO, error_ppm: 0 };

/// Where a stage's time begins, so that instants before it can be named.
const START: Duration = Duration::from_secs(10);

/// A datagram that was sent.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) bytes: Vec<u8>,
    pub(super) deliveries: u32,
}

impl Held {
    pub(super) fn kind(&self) -> Kind {
        Kind::from_u8(self.bytes[3]).expect("a core sent it")
    }
}

/// A client process and its socket.
pub(super) struct Actor {
    pub(super) client: Client,
    pub(super) address: SocketAddr,
    /// Which call of the world each of its handles is.
    calls: BTreeMap<CallHandle, u64>,
}

/// Another process that has asked about a call.
pub(super) struct Asking {
    inquiry: Inquiry,
    address: SocketAddr,
    token: CallToken,
}

/// The stage.
pub(super) struct Stage {
    pub(super) now: Time,
    dropped: Option<Rule>,
    rules: Rules,
    pub(super) config: ServerConfig,
    pub(super) server: Option<Server>,
    pub(super) actors: Vec<Actor>,
    pub(super) oracle: Oracle,
    pub(super) sent: Vec<Held>,
    pub(super) jobs: Vec<Job>,
    /// Handlers that have started and not ended.
    begun: Vec<(CallKey, Method, u64)>,
    watch: Amplification,
    life: u32,
    /// When the server began.
    risen: Time,
    /// Its socket takes nothing.
    blocked: bool,
    addresses: u16,
    names: BTreeMap<(u32, SessionId, CallId), u64>,
    requests: Vec<(Method, Request)>,
    results: BTreeMap<u64, Result<Reply, CallError>>,
    pub(super) cancelled: Vec<CallKey>,
}

impl Stage {
    /// A server and one client, both without this rule.
    pub(super) fn new(dropped: Option<Rule>) -> Self {
        Self::with(dropped, ServerConfig::default())
    }

    /// The same, with a server of this kind.
    pub(super) fn with(dropped: Option<Rule>, config: ServerConfig) -> Self {
        let mut stage = Self {
            now: Time::ZERO + START,
            dropped,
            rules: dropped.map_or_else(Rules::default, Rules::dropping),
            config,
            server: None,
            actors: Vec::new(),
            oracle: Oracle::default(),
            sent: Vec::new(),
            jobs: Vec::new(),
            begun: Vec::new(),
            watch: Amplification::default(),
            life: 0,
            risen: Time::ZERO,
            blocked: false,
            addresses: 0,
            names: BTreeMap::new(),
            requests: Vec::new(),
            results: BTreeMap::new(),
            cancelled: Vec::new(),
        };
        stage.rise();
        stage.add_client(ClientConfig { retry: false, ..ClientConfig::default() });
        stage
    }

    fn at(&self) -> Truth {
        CLOCK.when(self.now)
    }

    /// Another client; gives its number.
    pub(super) fn add_client(&mut self, config: ClientConfig) -> usize {
        let seed = Seed::from_number(100 + self.actors.len() as u64);
        let mut client = Client::new(config, vec![SERVER], seed);
        client.set_rules(self.rules);
        let address = self.new_address();
        self.actors.push(Actor { client, address, calls: BTreeMap::new() });
        self.actors.len() - 1
    }

    /// A client's process forks; gives the child's number.
    pub(super) fn fork(&mut self, parent: usize) -> usize {
        let mut client = self.actors[parent].client.clone();
        client.forked(Seed::from_number(500));
        let address = self.new_address();
        self.actors.push(Actor { client, address, calls: BTreeMap::new() });
        self.actors.len() - 1
    }

    fn new_address(&mut self) -> SocketAddr {
        self.addresses += 1;
        SocketAddr::from(([10, 1, 0, 1], 1024 + self.addresses))
    }

    /// A client has another address from now on.
    pub(super) fn move_client(&mut self, actor: usize) {
        self.actors[actor].address = self.new_address();
    }

    /// The server process is gone.
    pub(super) fn crash(&mut self) {
        self.server = None;
        self.jobs.clear();
        self.begun.clear();
    }

    /// A new life of the server.
    pub(super) fn rise(&mut self) {
        self.life += 1;
        self.risen = self.now;
        let seed = Seed::from_number(u64::from(self.life));
        let server = Server::new(self.config.clone(), Method::specs(), seed, self.now);
        let mut server = server.expect("the test's own configuration");
        self.dropped.into_iter().for_each(|rule| server.drop_rule(rule));
        self.server = Some(server);
        self.watch = Amplification::default();
    }

    pub(super) fn server(&mut self) -> &mut Server {
        self.server.as_mut().expect("the server is up")
    }

    /// Makes a call that takes no time; gives its tag.
    pub(super) fn call(&mut self, actor: usize, method: Method, timeout: Duration) -> u64 {
        self.call_with(actor, method, timeout, None, false)
    }

    /// The same, and the client may issue it again by itself.
    pub(super) fn call_again(&mut self, actor: usize, method: Method, timeout: Duration) -> u64 {
        self.call_with(actor, method, timeout, None, true)
    }

    /// The same with the body of another call, to the byte.
    pub(super) fn call_like(&mut self, actor: usize, other: u64, timeout: Duration) -> u64 {
        let (method, request) = self.requests[other as usize];
        self.call_with(actor, method, timeout, Some(request), false)
    }

    fn call_with(
        &mut self,
        actor: usize,
        method: Method,
        timeout: Duration,
        body: Option<Request>,
        again: bool,
    ) -> u64 {
        let deadline = self.now + timeout;
        let request = Request { tag: 0, service: Duration::ZERO, reply_len: 20 };
        let request = self.oracle.called(self.at(), method, CLOCK, deadline, request);
        self.requests.push((method, request));
        let call = NewCall {
            method: method.id(),
            body: body.unwrap_or(request).to_body(0),
            deadline,
            no_side_effects: method.has_no_side_effects(),
            retry: Some(again),
        };
        let now = self.now;
        let actor_ = &mut self.actors[actor];
        let handle = actor_.client.call(now, call);
        actor_.calls.insert(handle, request.tag);
        self.settle_client(actor);
        request.tag
    }

    fn handle(&self, actor: usize, tag: u64) -> CallHandle {
        let mut calls = self.actors[actor].calls.iter();
        *calls.find(|(_, of)| **of == tag).expect("the test's own call").0
    }

    /// Pings for a second.
    pub(super) fn ping(&mut self, actor: usize) {
        let now = self.now;
        self.actors[actor].client.ping(now, now + Duration::from_secs(1));
        self.settle_client(actor);
    }

    /// Cancels a call.
    pub(super) fn cancel(&mut self, actor: usize, tag: u64) {
        let (now, handle) = (self.now, self.handle(actor, tag));
        self.actors[actor].client.cancel(now, handle);
        self.settle_client(actor);
    }

    /// Gives a call's token out.
    pub(super) fn token(&mut self, actor: usize, tag: u64) -> CallToken {
        let handle = self.handle(actor, tag);
        self.actors[actor].client.token(handle).expect("it was sent")
    }

    /// A client closes its sessions.
    pub(super) fn close(&mut self, actor: usize) {
        let now = self.now;
        self.actors[actor].client.close(now);
        self.settle_client(actor);
    }

    /// How a call ended, if it has.
    pub(super) fn result(&self, tag: u64) -> Option<&Result<Reply, CallError>> {
        self.results.get(&tag)
    }

    /// True if a call has ended Ok.
    pub(super) fn is_ok(&self, tag: u64) -> bool {
        matches!(self.result(tag), Some(Ok(_)))
    }

    /// Takes what a client sends into the network, and notes what has ended.
    fn settle_client(&mut self, actor: usize) {
        let (now, life) = (self.now, self.life);
        let mut out = Vec::new();
        let Actor { client, address, calls } = &mut self.actors[actor];
        while let Some(transmit) = client.poll_transmit(now, &mut out) {
            let tag = transmit.call.and_then(|(handle, _)| calls.get(&handle));
            for bytes in out.chunks(transmit.segment_size.unwrap_or(transmit.size)) {
                if let (Some(tag), Some((session, call))) = (tag, named(bytes)) {
                    self.names.entry((life, session, call)).or_insert(*tag);
                }
                let bytes = bytes.to_vec();
                let (from, to) = (*address, transmit.remote);
                self.sent.push(Held { from, to, bytes, deliveries: 0 });
            }
            out.clear();
        }
        while let Some(event) = self.actors[actor].client.poll_event() {
            let Event::Ended { handle, result } = event else { continue };
            if let Some(&tag) = self.actors[actor].calls.get(&handle) {
                self.oracle.ended(self.at(), tag, &result, self.at());
                self.results.insert(tag, result);
            }
        }
    }

    fn settle_server(&mut self) {
        let now = self.now;
        let Some(server) = &mut self.server else { return };
        if self.blocked {
            return;
        }
        let mut out = Vec::new();
        while let Some(transmit) = server.poll_transmit(now, &mut out) {
            let to = transmit.route.remote;
            for bytes in out.chunks(transmit.segment_size.unwrap_or(transmit.size)) {
                if let Err(why) = self.watch.sent(to, bytes) {
                    self.oracle.broken(Promise::NoAmplification, CLOCK.when(now), why);
                }
                let bytes = bytes.to_vec();
                self.sent.push(Held { from: SERVER, to, bytes, deliveries: 0 });
            }
            out.clear();
        }
        while let Some(event) = server.poll_event() {
            let crate::core::server::Event::Cancel(key) = event;
            self.cancelled.push(key);
        }
    }

    /// The newest datagram of this kind.
    pub(super) fn newest(&self, kind: Kind) -> usize {
        let found = self.sent.iter().rposition(|held| held.kind() == kind);
        found.unwrap_or_else(|| panic!("no {kind:?} was sent"))
    }

    /// What has been sent so far, for whoever debugs a scenario.
    #[allow(dead_code)]
    pub(super) fn show(&self) {
        println!(
            "now {:?}, server clock {}",
            self.now,
            self.now.since(Time::ZERO + START).as_secs_f32()
        );
        for (n, held) in self.sent.iter().enumerate() {
            println!("{n:3} {} {} {}×", held.from, held.to, held.deliveries);
            if let Ok(parsed) = parse_from_client(&held.bytes) {
                println!("    {parsed:?}");
            } else if let Ok(parsed) = parse_from_server(&held.bytes) {
                println!("    {parsed:?}");
            }
        }
    }

    /// How many datagrams of this kind were sent.
    pub(super) fn count(&self, kind: Kind) -> usize {
        self.sent.iter().filter(|held| held.kind() == kind).count()
    }

    /// Delivers a datagram, for the first time or again, to whoever has its address now.
    pub(super) fn deliver(&mut self, which: usize) {
        let Held { from, to, bytes, .. } = self.sent[which].clone();
        self.sent[which].deliveries += 1;
        if to == SERVER {
            self.serve(from, &bytes);
        } else if let Some(actor) = self.actors.iter().position(|actor| actor.address == to) {
            let now = self.now;
            self.actors[actor].client.handle_datagram(now, from, &bytes);
            self.settle_client(actor);
        }
    }

    /// Never delivers what is under way now.
    pub(super) fn lose_all(&mut self) {
        self.sent.iter_mut().for_each(|held| held.deliveries += 1);
    }

    /// The server gets a datagram.
    pub(super) fn serve(&mut self, from: SocketAddr, bytes: &[u8]) {
        let now = self.now;
        let Some(server) = &mut self.server else { return };
        self.watch.received(from, server.clock(now), bytes);
        let route = Route { remote: from, local: Some(SERVER.ip()), socket: 0 };
        let start = server.handle_datagram(now, &route, bytes);
        if let Some((key, method)) = start.map(|start| (start.key, start.method)) {
            let run = self.start(key, Method::SERVED[method]);
            self.end(key, Method::SERVED[method], run);
        }
        self.settle_server();
        if !self.blocked {
            self.watch.turn_over();
        }
    }

    /// A handler's first instruction.
    pub(super) fn start(&mut self, key: CallKey, method: Method) -> u64 {
        let name = self
            .names
            .iter()
            .find(|((_, session, call), _)| *session == key.session && *call == key.call);
        let tag = name.map_or(u64::MAX, |(_, tag)| *tag);
        self.oracle.started(self.at(), (self.life, key), method, tag)
    }

    /// A handler ends.
    pub(super) fn end(&mut self, key: CallKey, method: Method, run: u64) {
        self.oracle.finished(run);
        let now = self.now;
        let tag = self.oracle.tag_of(run);
        let request = tag.and_then(|tag| self.requests.get(tag as usize)).map(|(_, r)| *r);
        let mut body = Vec::new();
        let status = if method.ends_as() == Code::Ok || method == Method::Large {
            body = request.map(|request| request.reply(method, run)).unwrap_or_default();
            Code::Ok
        } else {
            StatusBody { message: "no".into(), details: &[] }.emit(&mut body, 100);
            method.ends_as()
        };
        self.server().complete(now, key, End::Done { status, body: &body });
        self.settle_server();
    }

    /// A worker claims the next queued call; it is the last of `jobs`.
    pub(super) fn claim(&mut self) -> bool {
        let now = self.now;
        let job = self.server().claim(now);
        self.settle_server();
        let claimed = job.is_some();
        self.jobs.extend(job);
        claimed
    }

    /// Workers start all that is claimed.
    pub(super) fn begin_all(&mut self) {
        for job in std::mem::take(&mut self.jobs) {
            let method = Method::SERVED[job.method];
            let run = self.start(job.key, method);
            self.begun.push((job.key, method, run));
        }
    }

    /// One of the handlers that have begun ends.
    pub(super) fn end_job(&mut self, which: usize) {
        let (key, method, run) = self.begun.remove(which);
        self.end(key, method, run);
    }

    /// Workers run all that is claimed or can be, from start to end.
    pub(super) fn work(&mut self) {
        while self.claim() {}
        for job in std::mem::take(&mut self.jobs) {
            let (now, method) = (self.now, Method::SERVED[job.method]);
            if self.rules.hold(Rule::ExpiryAtStart) && now >= job.expiry {
                self.server().complete(now, job.key, End::NotStarted(Reason::Expired));
            } else {
                let run = self.start(job.key, method);
                self.end(job.key, method, run);
            }
            self.settle_server();
        }
    }

    /// Delivers everything that was never delivered, in order, until nothing is under way.
    /// Workers work at once.
    pub(super) fn exchange(&mut self) {
        self.exchange_only(|_| true);
    }

    /// Delivers what was never delivered and is wanted; the rest stays where it is.
    pub(super) fn exchange_only(&mut self, wanted: impl Fn(&Held) -> bool) {
        self.exchange_with(wanted, true);
    }

    /// Delivers everything, and nothing leaves the queue.
    pub(super) fn exchange_without_work(&mut self) {
        self.exchange_with(|_| true, false);
    }

    fn exchange_with(&mut self, wanted: impl Fn(&Held) -> bool, work: bool) {
        for _ in 0..10_000 {
            let next = self.sent.iter().position(|held| held.deliveries == 0 && wanted(held));
            let Some(next) = next else { return };
            self.deliver(next);
            if work && self.server.is_some() {
                self.work();
            }
        }
        panic!("they never stop talking");
    }

    /// Time passes; timers go off when they should; what is sent is held.
    pub(super) fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let clients = self.actors.iter().filter_map(|actor| actor.client.poll_timeout());
            let server = self.server.as_ref().and_then(Server::poll_timeout);
            let Some(next) = clients.chain(server).min().filter(|at| *at <= end) else { break };
            self.now = self.now.max(next);
            let now = self.now;
            for actor in 0..self.actors.len() {
                if self.actors[actor].client.poll_timeout().is_some_and(|at| at <= now) {
                    self.actors[actor].client.handle_timeout(now);
                    self.settle_client(actor);
                }
            }
            if let Some(server) = &mut self.server {
                if server.poll_timeout().is_some_and(|at| at <= now) {
                    server.handle_timeout(now);
                }
            }
            self.settle_server();
        }
        self.now = end;
    }

    /// Time passes, and what is sent is held, until another datagram of this kind is sent.
    pub(super) fn pass_until_sent(&mut self, kind: Kind) {
        let before = self.count(kind);
        while self.count(kind) == before {
            let clients = self.actors.iter().filter_map(|actor| actor.client.poll_timeout());
            let next = clients.min().expect("nobody will ever send anything");
            self.pass(next.since(self.now));
        }
    }

    /// Time passes with a good network: all that is sent is delivered at once.
    pub(super) fn pass_fair(&mut self, span: Duration) {
        let end = self.now + span;
        self.exchange();
        while self.now < end {
            let clients = self.actors.iter().filter_map(|actor| actor.client.poll_timeout());
            let server = self.server.as_ref().and_then(Server::poll_timeout);
            let next = clients.chain(server).min().unwrap_or(end).clamp(self.now, end);
            self.pass(next.since(self.now));
            self.exchange();
        }
    }

    /// Time passes, and nobody's timer goes off: everybody sleeps.
    pub(super) fn sleep(&mut self, span: Duration) {
        self.now = self.now + span;
    }

    /// When the last HELLO_ACK minted its session, rounded down to a second of the server's clock.
    pub(super) fn minted(&self) -> Time {
        let offer = &self.sent[self.newest(Kind::HelloAck)].bytes;
        match parse_from_server(offer).expect("a core sent it").message {
            FromServer::HelloAck { ack, .. } => {
                self.risen + Duration::from_secs(ack.birth.minted.into())
            }
            other => panic!("{other:?}"),
        }
    }

    /// The server's socket takes nothing, or takes all that waits.
    pub(super) fn block_server(&mut self, blocked: bool) {
        self.blocked = blocked;
        self.settle_server();
    }

    /// Another process asks with a token; what it sends arrives at once.
    pub(super) fn ask(&mut self, token: CallToken, asked: Asked) -> Asking {
        let address = self.new_address();
        let deadline = self.now + Duration::from_secs(1);
        let seed = Seed::from_number(u64::from(self.addresses));
        let mut inquiry = Inquiry::new(self.now, token, asked, deadline, seed);
        inquiry.set_rules(self.rules);
        self.send_inquiry(&mut inquiry, address);
        Asking { inquiry, address, token }
    }

    fn send_inquiry(&mut self, inquiry: &mut Inquiry, address: SocketAddr) {
        let mut out = Vec::new();
        while inquiry.poll_transmit(self.now, &mut out).is_some() {
            self.serve(address, &out);
            out.clear();
        }
    }

    /// The answer to what was asked, over a good network, after at most a second.
    pub(super) fn answer(&mut self, asking: Asking) -> Fate {
        let Asking { mut inquiry, address, token } = asking;
        let fate = loop {
            let next = self.sent.iter_mut().find(|held| held.to == address && held.deliveries == 0);
            if let Some(held) = next {
                held.deliveries += 1;
                inquiry.handle_datagram(self.now, SERVER, &held.bytes);
            } else if let Some(fate) = inquiry.fate() {
                break fate;
            } else {
                let next = inquiry.poll_timeout().expect("it has a deadline");
                self.now = self.now.max(next);
                inquiry.handle_timeout(self.now);
            }
            self.send_inquiry(&mut inquiry, address);
        };
        let identity = (self.life, CallKey { session: token.session, call: token.call });
        match &fate {
            Fate::Executed { status, body } => {
                self.oracle.told_executed(self.at(), identity, Some((*status, body)));
            }
            Fate::ReplyGone => self.oracle.told_executed(self.at(), identity, None),
            Fate::NotExecuted(_) => self.oracle.told_never(self.at(), identity),
            _ => {}
        }
        fate
    }

    /// Another process asks with a token and gets its answer, over a good network of its own.
    pub(super) fn inquire(&mut self, token: CallToken, asked: Asked) -> Fate {
        let asking = self.ask(token, asked);
        self.answer(asking)
    }

    /// The first promise broken so far, or at the end of the world.
    pub(super) fn finish(mut self) -> Option<Violation> {
        self.pass(Duration::from_secs(400));
        self.oracle.finish(self.at());
        self.oracle.violation().cloned()
    }
}

/// The session and the call of a REQUEST.
fn named(bytes: &[u8]) -> Option<(SessionId, CallId)> {
    match parse_from_client(bytes).ok()?.message {
        crate::wire::FromClient::Request { session, call, .. } => Some((session, call)),
        _ => None,
    }
}
