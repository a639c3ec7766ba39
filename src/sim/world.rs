//! A whole world: a server, its clients, those who ask about calls, and one queue of events.

use std::fmt;
use std::time::Duration;

use super::client_host::ClientHost;
use super::clock::{Clock, Truth};
use super::inquiry_host::InquiryHost;
use super::net::{Event, Net, Owner, Traffic, says};
use super::oracle::{Ends, Promise, Violation};
use super::plan::{Dice, Kind, Plan};
use super::server_host::ServerHost;
use crate::core::Time;

/// Events after which a world is held never to end.
const EVENTS_MAX: u64 = 50_000_000;

/// So long after all has become well, what happened before may still show: a client that has heard
/// of the server's last life a moment ago does not ping before it calls.
const HEALS_WITHIN: Duration = Duration::from_secs(10);

/// What a world was like, for those who look whether it was worth simulating.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How the calls ended.
    pub ends: Ends,
    /// Handlers run.
    pub runs: u64,
    /// Datagrams.
    pub traffic: Traffic,
    /// Inquiries with a call token.
    pub inquiries: u64,
    /// Events.
    pub events: u64,
    /// Microseconds of the world's time.
    pub span_us: u64,
}

impl Report {
    /// Adds another world's.
    pub fn add(&mut self, other: &Self) {
        self.ends.add(&other.ends);
        self.runs += other.runs;
        self.traffic.add(&other.traffic);
        self.inquiries += other.inquiries;
        self.events += other.events;
        self.span_us += other.span_us;
    }
}

/// A world in which a promise was broken, and how to see it again.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The kind of world.
    pub kind: Kind,
    /// The calls asked for.
    pub calls: u32,
    /// What was broken.
    pub violation: Violation,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, kind, calls, violation } = self;
        write!(
            f,
            "{violation}\nworld: seed {seed}, {kind:?}, {calls} calls; see it again with\n  \
             UDP_RPC_SEED={seed} cargo test --lib sim::tests::worlds"
        )
    }
}

impl std::error::Error for Failure {}

/// A world.
pub(super) struct World {
    net: Net,
    servers: Vec<ServerHost>,
    clients: Vec<ClientHost>,
    inquiries: Vec<InquiryHost>,
    /// All will become well, but not yet.
    heals: bool,
    events: u64,
}

impl World {
    /// The world of this plan; `seed` decides all that chance decides.
    pub(super) fn new(seed: u64, plan: Plan) -> Self {
        let mut net = Net::new(Dice::new(seed, "world"), plan.paths);
        net.dropped = plan.dropped;
        net.trace = plan.trace;
        net.oracle.fair_from = (plan.kind == Kind::Fair).then_some(Truth(0));
        if let Some(after) = plan.heals {
            net.schedule(after, Event::Heal);
        }
        let mut clocks = plan.errors_ppm.into_iter().map(|error_ppm| {
            let start = Time::from_micros(1_000_000 + u64::from(error_ppm.unsigned_abs()) * 77_777);
            Clock { start, error_ppm }
        });
        let mut clock =
            || clocks.next().unwrap_or(Clock { start: Time::from_micros(5), error_ppm: 0 });
        let server = clock();
        let servers = (0..plan.servers)
            .map(|n| ServerHost::new(&mut net, n, plan.server.clone(), plan.fortune, server))
            .collect();
        let clients = plan
            .work
            .into_iter()
            .enumerate()
            .map(|(index, work)| ClientHost::new(&mut net, index, work, clock()))
            .collect();
        Self {
            net,
            servers,
            clients,
            inquiries: Vec::new(),
            heals: plan.heals.is_some(),
            events: 0,
        }
    }

    /// Lets the world run until every call has ended, nothing is under way and nothing runs.
    ///
    /// # Errors
    ///
    /// The first promise broken.
    pub(super) fn run(mut self) -> Result<Report, Violation> {
        while let Some(event) = self.net.next_event() {
            self.events += 1;
            if self.net.trace {
                self.print(&event);
            }
            self.happen(event);
            if self.events > EVENTS_MAX || self.net.is_stuck() {
                let detail = format!("after {} events", self.events);
                self.net.oracle.broken(Promise::TimePasses, self.net.now, detail);
            }
            if let Some(violation) = self.net.oracle.violation() {
                return Err(violation.clone());
            }
            if self.is_over() {
                break;
            }
        }
        self.net.oracle.finish(self.net.now);
        self.servers.iter_mut().for_each(|server| server.forget(&mut self.net));
        self.clients.iter_mut().for_each(|client| client.rest(&mut self.net));
        match self.net.oracle.violation() {
            Some(violation) => Err(violation.clone()),
            None => Ok(self.report()),
        }
    }

    fn is_over(&self) -> bool {
        self.net.is_dry()
            && !self.heals
            && self.clients.iter().all(ClientHost::is_done)
            && self.inquiries.iter().all(InquiryHost::is_done)
    }

    fn report(&self) -> Report {
        Report {
            ends: self.net.oracle.ends,
            runs: self.net.oracle.runs(),
            traffic: self.net.traffic,
            inquiries: self.inquiries.len() as u64,
            events: self.events,
            span_us: self.net.now.0,
        }
    }

    fn print(&self, event: &Event) {
        let now = self.net.now.0;
        match event {
            Event::Arrive { from, to, bytes } => {
                println!("{now:>12} {to} gets from {from} {}", says(bytes));
            }
            Event::Timer(_) => {}
            other => println!("{now:>12} {other:?}"),
        }
    }

    fn happen(&mut self, event: Event) {
        let net = &mut self.net;
        match event {
            Event::Arrive { from, to, bytes } => {
                net.traffic.arrived += 1;
                match net.owner(to) {
                    Some(Owner::Server(n)) => {
                        let server = self.servers.get_mut(usize::from(n));
                        server.into_iter().for_each(|s| s.arrive(net, from, bytes.clone()));
                    }
                    Some(Owner::Client(n)) => {
                        let client = self.clients.get_mut(n);
                        client.into_iter().for_each(|c| c.arrive(net, from, bytes.clone()));
                    }
                    Some(Owner::Inquiry(n)) => {
                        let inquiry = self.inquiries.get_mut(n);
                        inquiry.into_iter().for_each(|i| i.arrive(net, from, &bytes));
                    }
                    None => {}
                }
            }
            Event::Unreachable { to, server } => match net.owner(to) {
                Some(Owner::Client(n)) => {
                    self.clients.get_mut(n).into_iter().for_each(|c| c.unreachable(net, server));
                }
                Some(Owner::Server(_) | Owner::Inquiry(_)) | None => {}
            },
            Event::Timer(Owner::Server(n)) => self.server(n, ServerHost::timer),
            Event::Timer(Owner::Client(n)) => {
                self.clients.get_mut(n).into_iter().for_each(|client| client.timer(net));
            }
            Event::Timer(Owner::Inquiry(n)) => {
                let inquiry = self.inquiries.get_mut(n);
                inquiry.into_iter().for_each(|inquiry| inquiry.timer(net));
            }
            Event::Writable(Owner::Server(n)) => self.server(n, ServerHost::writable),
            Event::Writable(Owner::Client(n)) => {
                self.clients.get_mut(n).into_iter().for_each(|client| client.writable(net));
            }
            Event::Writable(Owner::Inquiry(_)) => {}
            Event::WorkerStarts { server, life, job } => {
                self.server(server, |server, net| server.worker_starts(net, life, job));
            }
            Event::WorkerEnds { server, life, job } => {
                self.server(server, |server, net| server.worker_ends(net, life, job));
            }
            Event::ServerFalls(n) => self.server(n, ServerHost::fall),
            Event::ServerDies { server, life } => {
                self.server(server, |server, net| server.die(net, life));
            }
            Event::ServerRises(n) => self.server(n, ServerHost::rise),
            Event::Call(n) => self.clients.get_mut(n).into_iter().for_each(|c| c.call(net)),
            Event::Cancel { client, life, handle, patience } => {
                let client = self.clients.get_mut(client);
                client.into_iter().for_each(|client| client.cancel(net, life, handle, patience));
            }
            Event::GiveToken { client, life, handle } => {
                let host = self.clients.get_mut(client);
                if let Some(token) = host.and_then(|host| host.token(net, life, handle)) {
                    let number = self.inquiries.len();
                    let inquiry = InquiryHost::new(net, number, client, token);
                    self.inquiries.push(inquiry);
                }
            }
            Event::Misfortune(n) => self.misfortune(n),
            Event::Heal => {
                self.heals = false;
                net.heal();
                net.oracle.fair_from = Some(net.now + HEALS_WITHIN);
                self.servers.iter_mut().for_each(|server| server.heal(net));
                self.clients.iter_mut().for_each(|client| client.heal(net));
            }
        }
    }

    /// Lets something happen at a server.
    fn server(&mut self, n: u8, act: impl FnOnce(&mut ServerHost, &mut Net)) {
        if let Some(server) = self.servers.get_mut(usize::from(n)) {
            act(server, &mut self.net);
        }
    }

    /// Something befalls a client; sometimes two swap their addresses.
    fn misfortune(&mut self, n: usize) {
        if !self.clients[n].may_be_hit() {
            return;
        }
        let count = self.clients.len() as u64;
        let other = usize::try_from(self.net.dice.range(0, count - 1)).unwrap_or(0);
        if other != n && self.net.dice.chance(0.1) {
            let addresses = (self.clients[n].address(), self.clients[other].address());
            self.clients[n].take_address(&mut self.net, addresses.1);
            self.clients[other].take_address(&mut self.net, addresses.0);
        }
        self.clients[n].misfortune(&mut self.net);
    }
}
