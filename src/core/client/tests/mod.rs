//! The client core against hand-made datagrams of a server, and against the real server core.

#![allow(clippy::result_large_err, reason = "calls end once each")]

mod cancelling;
mod early;
mod handshake;
mod inquiry;
mod metadata;
mod pinging;
mod refusals;
mod runs;
mod sessions;
mod timing;
mod with_server;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::*;
use crate::core::{CallError, Reply, Rule, Rules};
use crate::wire::{
    Birth, CallId, Datagram, Epoch, Flags, FromClient, FromServer, HelloAck, Limits, Metadata,
    MetadataRef, MethodId, PathProof, Proofs, Reason, SlotState, parse_from_client,
};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const EPOCH: Epoch = Epoch(0xe0);
const METHOD: MethodId = MethodId::of("test.Counter/Increment");
/// The server had been up for so long when the client's clock started.
const UPTIME: Duration = Duration::from_secs(1000);
/// Round-trip time of the handshake: the RTO after it is 20 ms + 4 × 10 ms.
const RTT: Duration = Duration::from_millis(20);
const RTO: Duration = Duration::from_millis(60);

fn server() -> SocketAddr {
    "192.0.2.1:5860".parse().unwrap()
}

/// A datagram that the client has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sent {
    to: SocketAddr,
    at: Time,
    attempt: u8,
    what: What,
    transmit: Transmit,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Hello {
        session: SessionId,
        nonce: u128,
    },
    Request {
        session: SessionId,
        call: CallId,
        expiry: u64,
        proofs: Proofs,
        metadata: Metadata,
        body: Vec<u8>,
    },
    Fence {
        session: SessionId,
        call: CallId,
    },
    Ping {
        session: SessionId,
        call: CallId,
        proofs: Proofs,
    },
    Close {
        session: SessionId,
    },
}

impl Sent {
    fn ids(&self) -> (SessionId, CallId) {
        match self.what {
            What::Request { session, call, .. }
            | What::Fence { session, call }
            | What::Ping { session, call, .. } => (session, call),
            What::Hello { session, .. } | What::Close { session } => (session, CallId(0)),
        }
    }

    fn proofs(&self) -> Proofs {
        match self.what {
            What::Request { proofs, .. } | What::Ping { proofs, .. } => proofs,
            _ => panic!("{self:?} is neither REQUEST nor PING"),
        }
    }

    fn expiry(&self) -> u64 {
        match self.what {
            What::Request { expiry, .. } => expiry,
            _ => panic!("{self:?} is no REQUEST"),
        }
    }

    fn is_hello(&self) -> bool {
        matches!(self.what, What::Hello { .. })
    }

    fn is_request(&self) -> bool {
        matches!(self.what, What::Request { .. })
    }

    fn is_fence(&self) -> bool {
        matches!(self.what, What::Fence { .. })
    }

    fn is_ping(&self) -> bool {
        matches!(self.what, What::Ping { .. })
    }

    fn is_close(&self) -> bool {
        matches!(self.what, What::Close { .. })
    }
}

/// A client, its time, and what a server needs to talk to it.
struct Bench {
    client: Client,
    now: Time,
    limits: Limits,
    epoch: Epoch,
    /// The last session minted.
    session: SessionId,
    events: VecDeque<Event>,
}

impl Bench {
    fn new(config: ClientConfig) -> Self {
        Self::with_servers(config, vec![server()])
    }

    fn with_servers(config: ClientConfig, servers: Vec<SocketAddr>) -> Self {
        Self {
            client: Client::new(config, servers, Seed::from_number(7)),
            now: Time::from_micros(5_000_000),
            limits: Limits {
                window: 64,
                longest_deadline_ms: 60_000,
                lease_ms: 300_000,
                longest_datagram: 1232,
                longest_request: 1152,
                longest_reply: 1184,
            },
            epoch: EPOCH,
            session: SessionId(0x5e00),
            events: VecDeque::new(),
        }
    }

    /// A client that has a session in which something was answered, so that no proofs travel.
    fn settled() -> Self {
        Self::settled_with(ClientConfig::default())
    }

    fn settled_with(config: ClientConfig) -> Self {
        let mut bench = Self::new(config);
        bench.settle();
        bench
    }

    /// Makes a first call and answers it.
    fn settle(&mut self) {
        let handle = self.call(10 * SECOND);
        self.shake();
        let request = self.one();
        self.pass(RTT);
        self.reply(&request, b"");
        assert!(self.ended(handle).is_ok());
    }

    fn clock(&self) -> u64 {
        self.now.as_micros() + u64::try_from(UPTIME.as_micros()).unwrap()
    }

    fn call(&mut self, timeout: Duration) -> CallHandle {
        self.make(timeout, |_| {})
    }

    /// Makes several calls.
    fn calls(&mut self, count: usize, timeout: Duration) -> Vec<CallHandle> {
        (0..count).map(|_| self.call(timeout)).collect()
    }

    fn safe_call(&mut self, timeout: Duration) -> CallHandle {
        self.make(timeout, |call| call.no_side_effects = true)
    }

    fn make(&mut self, timeout: Duration, change: impl FnOnce(&mut NewCall)) -> CallHandle {
        let mut call = NewCall {
            method: METHOD,
            metadata: Metadata::new(),
            body: b"body".to_vec(),
            deadline: self.now + timeout,
            no_side_effects: false,
            retry: None,
        };
        change(&mut call);
        self.client.call(self.now, call)
    }

    /// All that the client sends now.
    fn sent(&mut self) -> Vec<Sent> {
        let mut all = Vec::new();
        let mut out = Vec::new();
        while let Some(transmit) = self.client.poll_transmit(self.now, &mut out) {
            assert_eq!(transmit.size, out.len());
            for datagram in out.chunks(transmit.segment_size.unwrap_or(transmit.size)) {
                all.push(self.sent_datagram(&transmit, datagram));
            }
            out.clear();
            assert!(all.len() < 10_000, "it never stops sending");
        }
        all
    }

    fn sent_datagram(&self, transmit: &Transmit, datagram: &[u8]) -> Sent {
        let Datagram { attempt, message } = parse_from_client(datagram).unwrap();
        let what = match message {
            FromClient::Hello { session, nonce, .. } => What::Hello { session, nonce },
            FromClient::Request { session, call, expiry, proofs, metadata, body, .. } => {
                let (metadata, body) = (metadata.to_owned(), body.to_vec());
                What::Request { session, call, expiry, proofs, metadata, body }
            }
            FromClient::Fence { session, call, .. } => What::Fence { session, call },
            FromClient::Ping { session, call, proofs } => What::Ping { session, call, proofs },
            FromClient::Close { session, .. } => What::Close { session },
            other => panic!("clients do not send {other:?}"),
        };
        Sent { to: transmit.remote, at: self.now, attempt, what, transmit: transmit.clone() }
    }

    /// The one datagram that the client sends now.
    #[track_caller]
    fn one(&mut self) -> Sent {
        let sent = self.sent();
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent.into_iter().next().unwrap()
    }

    /// Nothing goes out.
    #[track_caller]
    fn silent(&mut self) {
        assert_eq!(self.sent(), []);
    }

    /// Lets time pass, with every timer at its time, and returns all that is sent meanwhile.
    fn pass(&mut self, duration: Duration) -> Vec<Sent> {
        let end = self.now + duration;
        let mut all = self.sent();
        while let Some(at) = self.client.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.client.handle_timeout(self.now);
            all.extend(self.sent());
        }
        self.now = end;
        all
    }

    /// Lets time pass until something is sent.
    #[track_caller]
    fn next_sent(&mut self) -> Sent {
        for _ in 0..1000 {
            let at = self.client.poll_timeout().expect("a timer");
            self.now = self.now.max(at);
            self.client.handle_timeout(self.now);
            let mut sent = self.sent();
            if let Some(last) = sent.pop() {
                assert!(sent.is_empty(), "more than one: {sent:?}, {last:?}");
                return last;
            }
        }
        panic!("nothing is ever sent");
    }

    fn deliver(&mut self, from: SocketAddr, attempt: u8, message: FromServer<'_>) {
        let mut out = Vec::new();
        Datagram { attempt, message }.emit(&mut out);
        self.client.handle_datagram(self.now, from, &out);
    }

    fn hello_ack(&mut self, hello: &Sent) {
        let What::Hello { nonce, .. } = hello.what else { panic!("{hello:?} is no HELLO") };
        self.session.0 += 1;
        let message = self.offer(nonce, self.session);
        self.deliver(hello.to, hello.attempt, message);
    }

    fn offer(&self, nonce: u128, session: SessionId) -> FromServer<'static> {
        let seconds = u32::try_from(self.clock() / 1_000_000).unwrap();
        let ack = HelloAck {
            epoch: self.epoch,
            birth: Birth { minted: seconds, mac: session.0 },
            path: PathProof { issued: seconds, mac: 0xaa },
            limits: self.limits,
            version: 1,
            software: *b"test\0\0\0\0\0\0\0\0\0\0\0\0",
        };
        FromServer::HelloAck { session, nonce, clock: self.clock(), ack }
    }

    /// The handshake, from its HELLO.
    fn shake(&mut self) {
        let hello = self.one();
        assert!(hello.is_hello(), "{hello:?}");
        self.pass(RTT);
        self.hello_ack(&hello);
    }

    fn reply(&mut self, to: &Sent, body: &[u8]) {
        self.reply_with(to, Code::Ok, 0, body);
    }

    fn reply_with(&mut self, to: &Sent, status: Code, hold_us: u32, body: &[u8]) {
        let (session, call) = to.ids();
        let message = FromServer::Reply {
            session,
            call,
            clock: self.clock(),
            hold_us,
            credit: 0,
            status,
            flags: Flags::WHOLE,
            cell: 0,
            metadata: MetadataRef::EMPTY,
            body,
        };
        self.deliver(to.to, to.attempt, message);
    }

    fn progress(&mut self, to: &Sent, state: SlotState, hold_us: u32) {
        let (session, call) = to.ids();
        let clock = self.clock();
        let message =
            FromServer::Progress { session, call, clock, hold_us, credit: 0, cell: 0, state };
        self.deliver(to.to, to.attempt, message);
    }

    fn refuse(&mut self, to: &Sent, reason: Reason, promise: bool) {
        let (epoch, clock) = (self.epoch, self.clock());
        self.refuse_as(to, reason, promise, epoch, clock);
    }

    fn refuse_as(&mut self, to: &Sent, reason: Reason, promise: bool, epoch: Epoch, clock: u64) {
        let (session, call) = to.ids();
        let message =
            FromServer::Refused { session, call, clock, epoch, hold_us: 0, reason, promise };
        self.deliver(to.to, to.attempt, message);
    }

    fn challenge(&mut self, to: &Sent, path: PathProof) {
        let (session, call) = to.ids();
        let clock = self.clock();
        self.deliver(to.to, to.attempt, FromServer::Challenge { session, call, clock, path });
    }

    fn pong(&mut self, to: &Sent) {
        let (session, call) = to.ids();
        let (epoch, clock) = (self.epoch, self.clock());
        let message = FromServer::Pong { session, call, clock, epoch, hold_us: 0 };
        self.deliver(to.to, to.attempt, message);
    }

    fn goaway(&mut self, to: &Sent) {
        let (session, call) = to.ids();
        let (epoch, clock) = (self.epoch, self.clock());
        let reason = Reason::Draining;
        let message = FromServer::Goaway { session, call, clock, epoch, hold_us: 0, reason };
        self.deliver(to.to, to.attempt, message);
    }

    /// How the call ended, if it has.
    fn end_of(&mut self, call: CallHandle) -> Option<Result<Reply, CallError>> {
        while let Some(event) = self.client.poll_event() {
            self.events.push_back(event);
        }
        let place = self
            .events
            .iter()
            .position(|event| matches!(event, Event::Ended { handle, .. } if *handle == call))?;
        match self.events.remove(place) {
            Some(Event::Ended { result, .. }) => Some(result),
            _ => None,
        }
    }

    #[track_caller]
    fn ended(&mut self, call: CallHandle) -> Result<Reply, CallError> {
        self.end_of(call).expect("the call has ended")
    }

    #[track_caller]
    fn failed(&mut self, call: CallHandle) -> CallError {
        self.ended(call).expect_err("the call has failed")
    }

    #[track_caller]
    fn running(&mut self, call: CallHandle) {
        assert_eq!(self.end_of(call), None);
    }

    fn drop_rule(&mut self, rule: Rule) {
        self.client.set_rules(Rules::dropping(rule));
    }
}

impl Client {
    /// The path to `server`.
    fn path(&mut self, server: SocketAddr) -> &Flow {
        let flow = self.flow(server);
        self.flows.get(flow).unwrap()
    }
}

fn promised(reason: Reason) -> Outcome {
    Outcome::NotExecuted(Proof::Promised(reason))
}
