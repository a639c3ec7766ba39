//! The stage's server and its workers.

use std::net::SocketAddr;
use std::time::Duration;

use super::{CLOCK, Held, Stage};
use crate::core::server::{CallKey, End, Event, Route, Server};
use crate::core::{Rule, Seed, Time};
use crate::sim::amplification::Amplification;
use crate::sim::net::SERVER;
use crate::sim::oracle::Promise;
use crate::sim::work::Method;
use crate::wire::{Code, FromServer, Kind, MetadataRef, Reason, StatusBody, parse_from_server};

impl Stage {
    /// The server process is gone.
    pub(in crate::sim::tests) fn crash(&mut self) {
        self.server = None;
        self.jobs.clear();
        self.begun.clear();
    }

    /// A new life of the server.
    pub(in crate::sim::tests) fn rise(&mut self) {
        self.life += 1;
        self.risen = self.now;
        let seed = Seed::from_number(u64::from(self.life));
        let server = Server::new(self.config.clone(), Method::specs(), seed, self.now);
        let mut server = server.expect("the test's own configuration");
        self.dropped.into_iter().for_each(|rule| server.drop_rule(rule));
        self.server = Some(server);
        self.watch = Amplification::default();
    }

    pub(in crate::sim::tests) fn server(&mut self) -> &mut Server {
        self.server.as_mut().expect("the server is up")
    }

    /// When the last HELLO_ACK minted its session, rounded down to a second of the server's clock.
    pub(in crate::sim::tests) fn minted(&self) -> Time {
        let offer = &self.sent[self.newest(Kind::HelloAck)].bytes;
        match parse_from_server(offer).expect("a core sent it").message {
            FromServer::HelloAck { ack, .. } => {
                self.risen + Duration::from_secs(ack.birth.minted.into())
            }
            other => panic!("{other:?}"),
        }
    }

    /// The server's socket takes nothing, or takes all that waits.
    pub(in crate::sim::tests) fn block_server(&mut self, blocked: bool) {
        self.blocked = blocked;
        self.settle_server();
    }

    pub(super) fn settle_server(&mut self) {
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
            let Event::Cancel(key) = event;
            self.cancelled.push(key);
        }
    }

    /// The server gets a datagram.
    pub(in crate::sim::tests) fn serve(&mut self, from: SocketAddr, bytes: &[u8]) {
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

    /// A datagram comes to another shard of the process, which has no session of its own.
    pub(in crate::sim::tests) fn deliver_astray(&mut self, which: usize) {
        let Held { from, bytes, .. } = self.sent[which].clone();
        self.sent[which].deliveries += 1;
        let config = self.config.of_shard(self.config.shard + 1, self.config.shards);
        let seed = Seed::from_number(u64::from(self.life));
        let other = Server::new(config, Method::specs(), seed, self.risen);
        let mut other = other.expect("the test's own configuration");
        self.dropped.into_iter().for_each(|rule| other.drop_rule(rule));
        let own = self.server.replace(other);
        self.serve(from, &bytes);
        self.server = own;
    }

    /// A handler's first instruction.
    pub(in crate::sim::tests) fn start(&mut self, key: CallKey, method: Method) -> u64 {
        let name = self
            .names
            .iter()
            .find(|((_, session, call), _)| *session == key.session && *call == key.call);
        let tag = name.map_or(u64::MAX, |(_, tag)| *tag);
        self.oracle.started(self.at(), (self.life, key), method, tag, MetadataRef::EMPTY)
    }

    /// A handler ends.
    pub(in crate::sim::tests) fn end(&mut self, key: CallKey, method: Method, run: u64) {
        self.oracle.finished(run);
        let now = self.now;
        let tag = self.oracle.tag_of(run);
        let request = tag.and_then(|tag| self.requests.get(tag as usize)).map(|(_, r)| *r);
        let metadata = request.map(|r| r.told_metadata(method, run)).unwrap_or_default();
        let mut body = Vec::new();
        let status = if method.ends_as() == Code::Ok || method == Method::Large {
            body = request.map(|request| request.reply(method, run)).unwrap_or_default();
            Code::Ok
        } else {
            StatusBody { message: "no".into(), details: &[] }.emit(&mut body, 100);
            method.ends_as()
        };
        self.server().complete(
            now,
            key,
            End::Done { status, metadata: metadata.borrow(), body: &body },
        );
        self.settle_server();
    }

    /// A worker claims the next queued call; it is the last of `jobs`.
    pub(in crate::sim::tests) fn claim(&mut self) -> bool {
        let now = self.now;
        let job = self.server().claim(now);
        self.settle_server();
        let claimed = job.is_some();
        self.jobs.extend(job);
        claimed
    }

    /// Workers start all that is claimed.
    pub(in crate::sim::tests) fn begin_all(&mut self) {
        for job in std::mem::take(&mut self.jobs) {
            let method = Method::SERVED[job.method];
            let run = self.start(job.key, method);
            self.begun.push((job.key, method, run));
        }
    }

    /// One of the handlers that have begun ends.
    pub(in crate::sim::tests) fn end_job(&mut self, which: usize) {
        let (key, method, run) = self.begun.remove(which);
        self.end(key, method, run);
    }

    /// Workers run all that is claimed or can be, from start to end.
    pub(in crate::sim::tests) fn work(&mut self) {
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
}
