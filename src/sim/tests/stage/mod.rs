//! A stage for directed scenarios: the real cores, and a network that holds every datagram until
//! the test delivers it, once, again, or never.
//!
//! One clock serves all. A run belongs to the call whose client first sent a request of that
//! identity, not to whatever the body says, so that two calls may have equal bodies.

mod clients;
mod inquiry;
mod server;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::core::client::{CallHandle, Client, ClientConfig};
use crate::core::server::{CallKey, Job, Server, ServerConfig};
use crate::core::{CallError, Reply, Rule, Rules, Time};
use crate::sim::amplification::Amplification;
use crate::sim::clock::{Clock, Truth};
use crate::sim::net::{SERVER, says};
use crate::sim::oracle::{Oracle, Violation};
use crate::sim::work::{Method, Request};
use crate::wire::{CallId, Kind, SessionId};

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
            println!("{n:3} {} {} {}× {}", held.from, held.to, held.deliveries, says(&held.bytes));
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
            if let Some(server) = &mut self.server
                && server.poll_timeout().is_some_and(|at| at <= now)
            {
                server.handle_timeout(now);
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

    /// The first promise broken so far, or at the end of the world.
    pub(super) fn finish(mut self) -> Option<Violation> {
        self.pass(Duration::from_secs(400));
        self.oracle.finish(self.at());
        self.oracle.violation().cloned()
    }
}
