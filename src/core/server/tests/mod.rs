//! The state machine driven by hand: datagrams in, answers out, time as the test says.

mod budgets;
mod counting;
mod foresight;
mod handshake;
mod inquiries;
mod lifetimes;
mod metadata;
mod model;
mod refusals;
mod reply_cache;
mod rules;

use std::net::SocketAddr;
use std::time::Duration;

use super::*;
use crate::core::Rule;
use crate::wire::{
    Birth, CallId, Code, Datagram, Flags, FromClient, FromServer, HELLO_LEN, HelloAck, Metadata,
    MetadataRef, MethodId, PathProof, Proofs, Reason, SessionId, SlotState, parse_from_server,
};

/// Runs at once.
const QUICK: MethodId = MethodId::of("test/Quick");
/// Waits for a worker.
const SLOW: MethodId = MethodId::of("test/Slow");
/// Runs at once, takes and gives at most 8 bytes.
const SMALL: MethodId = MethodId::of("test/Small");

const SECOND: u64 = 1_000_000;
/// The window of most tests: small, so that slots are met again soon.
const W: u64 = 4;

fn methods() -> Vec<MethodSpec> {
    vec![
        MethodSpec::new(QUICK, Execution::Inline),
        MethodSpec::new(SLOW, Execution::Queued),
        MethodSpec {
            longest_reply: 8,
            longest_request: 8,
            ..MethodSpec::new(SMALL, Execution::Inline)
        },
    ]
}

fn config() -> ServerConfig {
    ServerConfig { window: W as u32, ..ServerConfig::default() }
}

fn route(address: &str) -> Route {
    Route { remote: address.parse().expect("an address"), local: None, socket: 0 }
}

/// What a server's datagram said.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    Version { lowest: u8, highest: u8 },
    HelloAck(HelloAck),
    Reply(Code, Vec<u8>),
    Progress(SlotState),
    Promise(Reason),
    Refusal(Reason),
    Challenge(PathProof),
    Pong,
    Goaway,
}

use Said::{Promise, Refusal};

fn reply(body: &[u8]) -> Said {
    Said::Reply(Code::Ok, body.to_vec())
}

/// A datagram of the server.
#[derive(Debug, Clone)]
struct Heard {
    to: SocketAddr,
    len: usize,
    session: SessionId,
    call: CallId,
    clock: u64,
    hold_us: u32,
    attempt: u8,
    /// Of a reply.
    metadata: Metadata,
    said: Said,
}

/// A server under test, and its time.
struct Bench {
    server: Server,
    now: Time,
    /// Segment counts of the transmits drained last.
    segments: Vec<usize>,
    /// Calls handed over to be run, inline or claimed, in order.
    started: Vec<CallKey>,
}

/// A session as its client knows it.
#[derive(Debug, Clone, Copy)]
struct Peer {
    session: SessionId,
    birth: Birth,
    path: PathProof,
    route: Route,
}

impl Peer {
    fn proofs(&self) -> Proofs {
        Proofs { birth: Some(self.birth), path: Some(self.path) }
    }
}

impl Bench {
    fn new() -> Self {
        Self::with(config())
    }

    fn with(config: ServerConfig) -> Self {
        // A start that is not zero, so that clock and time are not mixed up.
        let now = Time::from_micros(77 * SECOND);
        let seed = Seed::from_number(1);
        let server = Server::new(config, methods(), seed, now).expect("a good configuration");
        Self { server, now, segments: Vec::new(), started: Vec::new() }
    }

    fn dropping(rule: Rule) -> Self {
        let mut bench = Self::new();
        bench.server.drop_rule(rule);
        bench
    }

    fn clock(&self) -> u64 {
        self.server.clock(self.now)
    }

    /// Lets time pass without a word to the server.
    fn pass(&mut self, micros: u64) {
        self.now = self.now + Duration::from_micros(micros);
    }

    /// Lets time pass, each timer going off when it is due.
    fn run_for(&mut self, micros: u64) -> Vec<Heard> {
        let end = self.now + Duration::from_micros(micros);
        let mut heard = Vec::new();
        while let Some(due) = self.server.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            let before = self.server.poll_timeout();
            self.server.handle_timeout(self.now);
            heard.extend(self.drain());
            assert_ne!(before, self.server.poll_timeout(), "a timer that does nothing");
        }
        self.now = end;
        heard
    }

    /// Hands in a datagram, runs nothing.
    fn raw(&mut self, from: &Route, bytes: &[u8]) -> Vec<Heard> {
        let before = self.server.counters().datagrams();
        if let Some(start) = self.server.handle_datagram(self.now, from, bytes) {
            self.started.push(start.key);
        }
        assert_eq!(self.server.counters().datagrams(), before + 1);
        self.drain()
    }

    fn send(&mut self, from: &Route, attempt: u8, message: FromClient<'_>) -> Vec<Heard> {
        let mut bytes = Vec::new();
        Datagram { attempt, message }.emit(&mut bytes);
        self.raw(from, &bytes)
    }

    fn drain(&mut self) -> Vec<Heard> {
        let mut heard = Vec::new();
        let mut out = Vec::new();
        self.segments.clear();
        while let Some(transmit) = self.server.poll_transmit(self.now, &mut out) {
            assert_eq!(out.len(), transmit.size);
            let segment = transmit.segment_size.unwrap_or(transmit.size);
            assert_eq!(transmit.size % segment, 0);
            assert!(transmit.size <= 60_000);
            self.segments.push(transmit.size / segment);
            for bytes in out.chunks(segment) {
                heard.push(listen(transmit.route.remote, bytes));
            }
            out.clear();
        }
        heard
    }

    /// A session that its server does not know yet.
    fn hello(&mut self, from: &Route) -> Peer {
        let nonce = u128::from(self.server.counters().datagrams()) << 64 | 5;
        let heard = self.send(from, 1, hello(nonce));
        let [Heard { session, said: Said::HelloAck(ack), .. }] = &heard[..] else {
            panic!("HELLO was answered by {heard:?}");
        };
        Peer { session: *session, birth: ack.birth, path: ack.path, route: *from }
    }

    /// A session that its server knows, from the first address.
    fn open(&mut self) -> Peer {
        let peer = self.hello(&route("192.0.2.1:1000"));
        let heard = self.send(&peer.route, 1, ping(&peer, peer.proofs()));
        assert_eq!(said(&heard), [Said::Pong]);
        peer
    }

    /// A REQUEST without proofs, due in ten seconds from the start of the bench.
    fn request(&mut self, peer: &Peer, call: u64, method: MethodId, body: &[u8]) -> Vec<Said> {
        self.request_until(peer, call, method, body, 10 * SECOND)
    }

    fn request_until(
        &mut self,
        peer: &Peer,
        call: u64,
        method: MethodId,
        body: &[u8],
        expiry: u64,
    ) -> Vec<Said> {
        let message = request(peer, call, method, body, expiry, Proofs::default());
        said(&self.send(&peer.route, 1, message))
    }

    fn fence(&mut self, peer: &Peer, call: u64) -> Vec<Said> {
        let (session, call, proofs) = (peer.session, CallId(call), Proofs::default());
        said(&self.send(&peer.route, 1, FromClient::Fence { session, call, proofs }))
    }

    fn status(&mut self, peer: &Peer, call: u64) -> Vec<Said> {
        let (session, call, proofs) = (peer.session, CallId(call), Proofs::default());
        said(&self.send(&peer.route, 1, FromClient::Status { session, call, proofs }))
    }

    fn ack(&mut self, peer: &Peer, call: u64, cell: u32) -> Vec<Said> {
        let message = FromClient::Ack {
            session: peer.session,
            call: CallId(call),
            hold_us: 0,
            credit: 0,
            cell,
            proofs: Proofs::default(),
        };
        said(&self.send(&peer.route, 1, message))
    }

    fn close(&mut self, peer: &Peer) -> Vec<Said> {
        let (session, proofs) = (peer.session, peer.proofs());
        said(&self.send(&peer.route, 1, FromClient::Close { session, proofs }))
    }

    /// The oldest waiting call starts.
    fn claim(&mut self) -> Option<Job> {
        let job = self.server.claim(self.now);
        self.started.extend(job.iter().map(|job| job.key));
        job
    }

    fn complete(&mut self, peer: &Peer, call: u64, body: &[u8]) -> Vec<Said> {
        said(&self.end(
            peer,
            call,
            End::Done { status: Code::Ok, metadata: MetadataRef::EMPTY, body },
        ))
    }

    fn end(&mut self, peer: &Peer, call: u64, end: End<'_>) -> Vec<Heard> {
        self.server.complete(self.now, key(peer, call), end);
        self.drain()
    }

    /// How often this call was started.
    fn runs(&self, peer: &Peer, call: u64) -> usize {
        let key = key(peer, call);
        self.started.iter().filter(|started| **started == key).count()
    }

    /// Calls whose handlers were told to stop since the last time.
    fn cancelled(&mut self) -> Vec<u64> {
        std::iter::from_fn(|| self.server.poll_event())
            .map(|Event::Cancel(key)| key.call.0)
            .collect()
    }
}

fn key(peer: &Peer, call: u64) -> CallKey {
    CallKey { session: peer.session, call: CallId(call) }
}

fn hello(nonce: u128) -> FromClient<'static> {
    let session = SessionId(0x0909_0909_0909_0909);
    FromClient::Hello { session, nonce, lowest: 1, highest: 1, length: HELLO_LEN }
}

fn ping(peer: &Peer, proofs: Proofs) -> FromClient<'static> {
    FromClient::Ping { session: peer.session, call: CallId(1), proofs }
}

fn request<'a>(
    peer: &Peer,
    call: u64,
    method: MethodId,
    body: &'a [u8],
    expiry: u64,
    proofs: Proofs,
) -> FromClient<'a> {
    FromClient::Request {
        session: peer.session,
        call: CallId(call),
        expiry,
        method,
        flags: Flags::WHOLE,
        cell: 0,
        proofs,
        metadata: MetadataRef::EMPTY,
        unknown_critical: false,
        options: &[],
        body,
    }
}

fn said(heard: &[Heard]) -> Vec<Said> {
    heard.iter().map(|heard| heard.said.clone()).collect()
}

fn listen(to: SocketAddr, bytes: &[u8]) -> Heard {
    let Datagram { attempt, message } = parse_from_server(bytes).expect("what a server sends");
    let mut metadata = Metadata::new();
    let (session, call, clock, hold_us, said) = match message {
        FromServer::Version { session, call, lowest, highest } => {
            (session, call, 0, 0, Said::Version { lowest, highest })
        }
        FromServer::HelloAck { session, clock, ack, .. } => {
            (session, CallId(0), clock, 0, Said::HelloAck(ack))
        }
        FromServer::Reply {
            session,
            call,
            clock,
            hold_us,
            status,
            flags,
            cell,
            metadata: said,
            body,
            credit,
        } => {
            assert_eq!((flags, cell, credit), (Flags::WHOLE, 0, 0));
            metadata = said.to_owned();
            (session, call, clock, hold_us, Said::Reply(status, body.to_vec()))
        }
        FromServer::Progress { session, call, clock, hold_us, state, .. } => {
            (session, call, clock, hold_us, Said::Progress(state))
        }
        FromServer::Refused { session, call, clock, hold_us, reason, promise, .. } => {
            let said = if promise { Promise(reason) } else { Refusal(reason) };
            (session, call, clock, hold_us, said)
        }
        FromServer::Challenge { session, call, clock, path } => {
            (session, call, clock, 0, Said::Challenge(path))
        }
        FromServer::Pong { session, call, clock, hold_us, .. } => {
            (session, call, clock, hold_us, Said::Pong)
        }
        FromServer::Goaway { session, call, clock, hold_us, .. } => {
            (session, call, clock, hold_us, Said::Goaway)
        }
    };
    let len = bytes.len();
    Heard { to, len, session, call, clock, hold_us, attempt, metadata, said }
}
