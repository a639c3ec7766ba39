//! The server core: datagrams and time steps out of fuzz bytes, watched from its socket.
//!
//! What must hold whatever comes: no call runs twice, nor after its expiry, nor once a REFUSED with
//! PROMISE named it; a REPLY is of a run that ended, and says what it said; nothing goes to an
//! unproved address but one datagram for one, no longer; the counters add up; the memory is
//! bounded. A handler is given the metadata of a request that came, and its own go with its reply.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use super::input::Input;
use super::metadata_of;
use crate::core::server::{
    CallKey, End, Event, Execution, Job, MethodSpec, Route, Server, ServerConfig,
};
use crate::core::{Rule, Seed, Time};
use crate::sim::amplification::Amplification;
use crate::wire::{
    Birth, CallId, Code, Datagram, Flags, FromClient, FromServer, Metadata, MethodId, PathProof,
    Proofs, Reason, SessionId, parse_from_client, parse_from_server, seal,
};

/// Steps of a script at most, so that no input takes long.
const STEPS_MAX: usize = 400;

/// Methods served: two inline, two queued, of different reply lengths; and one not served.
const METHODS: [&str; 5] = ["f/InlineShort", "f/InlineLong", "f/Queued", "f/QueuedShort", "f/No"];

/// Addresses that datagrams come from: two of one host, two others, port 0, and the server's own.
const ADDRESSES: [&str; 6] = [
    "10.1.0.1:1111",
    "10.1.0.1:2222",
    "10.1.0.2:1111",
    "[2001:db8::1]:9",
    "10.1.0.3:0",
    "10.0.0.1:5860",
];

/// The place of the server's own address in [`ADDRESSES`].
const OWN: usize = 5;

/// What most requests say.
const BODY: [u8; 8] = *b"request.";

/// Runs a server through the script `data`.
///
/// # Panics
///
/// If a promise is broken.
pub fn server(data: &[u8]) {
    server_without(None, data);
}

/// The same with a server that does not keep one of the rules, where tests drop one.
pub(in crate::sim) fn server_without(dropped: Option<Rule>, data: &[u8]) {
    let mut input = Input::new(data);
    let mut probe = Probe::new(&mut input);
    #[cfg(test)]
    dropped.into_iter().for_each(|rule| probe.server.drop_rule(rule));
    let _ = dropped;
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        probe.step(&mut input);
    }
    probe.run_dry();
}

struct Probe {
    server: Server,
    config: ServerConfig,
    now: Time,
    watch: Amplification,
    received: u64,
    births: Vec<(SessionId, Birth)>,
    paths: Vec<(SocketAddr, SessionId, PathProof)>,
    history: Vec<(SocketAddr, Vec<u8>)>,
    jobs: Vec<Job>,
    /// The metadata that came with the requests of a call.
    asked: BTreeMap<CallKey, Vec<Metadata>>,
    /// What ran, and once it has ended, what it answered.
    ran: BTreeMap<CallKey, Option<(Code, Metadata, Vec<u8>)>>,
    promised: BTreeSet<CallKey>,
}

impl Probe {
    fn new(input: &mut Input<'_>) -> Self {
        let tight = input.byte();
        let mut config = ServerConfig { window: 4, ..ServerConfig::default() };
        if tight & 1 != 0 {
            config.max_sessions = 2;
        }
        if tight & 2 != 0 {
            config.max_queued = 1;
        }
        if tight & 4 != 0 {
            config.reply_memory = 3_000;
        }
        if tight & 8 != 0 {
            config.record_memory = 6_000;
        }
        if tight & 16 != 0 {
            config.max_tombstones = 1;
        }
        let spec = |n: usize| MethodSpec {
            id: MethodId::of(METHODS[n]),
            execution: if n < 2 { Execution::Inline } else { Execution::Queued },
            longest_reply: if n.is_multiple_of(2) { 1000 } else { 40 },
            longest_request: 500,
        };
        let now = Time::from_micros(1_000_000);
        let methods = (0..4).map(spec).collect();
        let mut server = match Server::new(config.clone(), methods, Seed::from_number(1), now) {
            Ok(server) => server,
            Err(error) => panic!("{error}"),
        };
        server.set_own_addresses(vec![address_at(OWN)]);
        Self {
            server,
            config,
            now,
            watch: Amplification::default(),
            received: 0,
            births: Vec::new(),
            paths: Vec::new(),
            history: Vec::new(),
            jobs: Vec::new(),
            asked: BTreeMap::new(),
            ran: BTreeMap::new(),
            promised: BTreeSet::new(),
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 16 {
            0 => {
                let bytes = input.bytes(1400).to_vec();
                self.receive(address(input), bytes);
            }
            1 => {
                let mut bytes = input.bytes(1400).to_vec();
                if bytes.len() >= 48 {
                    bytes.splice(0..3, [0x55, 0x52, 1]);
                    seal(&mut bytes);
                }
                self.receive(address(input), bytes);
            }
            2 | 3 => {
                self.now = self.now + input.span();
                self.time_out();
            }
            4 => {
                let index = input.below(self.history.len());
                if let Some((from, bytes)) = self.history.get(index).cloned() {
                    let from = if input.byte() < 128 { from } else { address(input) };
                    self.receive(from, bytes);
                }
            }
            5 => self.claim(),
            6 => self.complete(input),
            7 if input.byte() > 250 => self.server.drain(self.now),
            _ => {
                let (from, bytes) = self.compose(input);
                self.receive(from, bytes);
            }
        }
        self.settle();
    }

    /// A datagram that a client might send, with identities and proofs seen so far. Most bytes lead
    /// to something sensible: right proofs, one of a few calls, the same request for the same call.
    fn compose(&self, input: &mut Input<'_>) -> (SocketAddr, Vec<u8>) {
        let from = address(input);
        let (kind, odd) = (input.byte(), input.byte().saturating_sub(199));
        let birth = self.births.get(input.below(self.births.len().min(64)));
        let session = birth.map_or(SessionId(input.number()), |(session, _)| *session);
        let path = self
            .paths
            .iter()
            .rev()
            .find(|(to, of, _)| *of == session && (*to == from || odd & 4 != 0));
        let proofs = Proofs {
            birth: birth.filter(|_| odd & 1 == 0).map(|(_, birth)| *birth),
            path: path.filter(|_| odd & 2 == 0).map(|(_, _, path)| *path),
        };
        let call = CallId(match input.byte() {
            few @ 0..=239 => 4 + u64::from(few % 16),
            _ => input.number(),
        });
        let metadata = metadata_of(if odd & 32 == 0 { call.0 } else { input.number() });
        let message = match kind % 16 {
            0 => FromClient::Hello {
                session,
                nonce: input.number().into(),
                lowest: 1,
                highest: 1,
                length: 128 + input.below(40) * 27,
            },
            1 => FromClient::Ack { session, call, hold_us: 0, credit: 0, cell: 1, proofs },
            2 | 3 => FromClient::Fence { session, call, proofs },
            4 => FromClient::Status { session, call, proofs },
            5 => FromClient::Ping { session, call: CallId(call.0 % 4), proofs },
            6 if input.byte() < 128 => FromClient::Close { session, proofs },
            _ => {
                let millis = [50_000, 9_000, 300, 20][usize::from(kind / 64)];
                let plain = odd & 8 == 0;
                FromClient::Request {
                    session,
                    call,
                    expiry: match plain {
                        true => self.server.clock(self.now) + millis * 1000,
                        false => input.number().saturating_mul(1000),
                    },
                    method: MethodId::of(METHODS[place_of(call.0 / 4)]),
                    flags: if plain { Flags::WHOLE } else { Flags::from_u8(input.byte()) },
                    cell: u32::from(odd & 16 != 0),
                    proofs,
                    metadata: metadata.borrow(),
                    unknown_critical: false,
                    options: &[],
                    body: if plain { &BODY } else { input.bytes(600) },
                }
            }
        };
        let mut bytes = Vec::new();
        Datagram { attempt: input.byte(), message }.emit(&mut bytes);
        (from, bytes)
    }

    fn receive(&mut self, from: SocketAddr, bytes: Vec<u8>) {
        self.received += 1;
        self.watch.received(from, self.server.clock(self.now), &bytes);
        let own = address_at(OWN);
        let route = Route { remote: from, local: Some(own.ip()), socket: 0 };
        if let Ok(Datagram {
            message: FromClient::Request { session, call, metadata, .. }, ..
        }) = parse_from_client(&bytes)
        {
            self.asked.entry(CallKey { session, call }).or_default().push(metadata.to_owned());
        }
        if let Some(start) = self.server.handle_datagram(self.now, &route, &bytes) {
            let (key, expiry, method) = (start.key, start.expiry, start.method);
            self.start(key, expiry, &start.metadata.to_owned());
            self.end(key, method, u8::try_from(start.body.len() % 256).unwrap_or(0));
        }
        self.settle();
        self.watch.turn_over();
        self.history.push((from, bytes));
    }

    fn start(&mut self, key: CallKey, expiry: Time, metadata: &Metadata) {
        let asked = self.asked.get(&key).is_some_and(|asked| asked.contains(metadata));
        assert!(asked, "{key:?} runs with {metadata:?}, which nobody has sent");
        assert!(self.ran.insert(key, None).is_none(), "{key:?} runs twice");
        assert!(!self.promised.contains(&key), "{key:?} runs after a promise");
        assert!(self.now < expiry, "{key:?} starts at {:?}, expired {expiry:?}", self.now);
    }

    /// A handler ends: with a reply, with one that is too long, or with an error.
    fn end(&mut self, key: CallKey, method: usize, choice: u8) {
        let longest = if method.is_multiple_of(2) { 1000 } else { 40 };
        let number = self.ran.len() as u64;
        let mut body = number.to_be_bytes().to_vec();
        let status = if choice % 8 == 7 { Code::Aborted } else { Code::Ok };
        body.resize(8 + usize::from(choice % 30), 1);
        if choice % 8 == 6 {
            body.resize(longest + 1, 2);
        }
        let metadata = metadata_of(number + u64::from(choice / 8));
        let option = metadata.borrow().option_len();
        let too_long = status == Code::Ok && option + body.len() > longest;
        // An error has room for 256 bytes at least, and its text goes before the metadata.
        let room = longest.max(256);
        let crowded = status != Code::Ok && option + body.len() > room && option + 256 > room;
        let told = if too_long || crowded { Metadata::new() } else { metadata.clone() };
        let code = if too_long { Code::ResourceExhausted } else { status };
        self.ran.insert(key, Some((code, told, body.clone())));
        let end = End::Done { status, metadata: metadata.borrow(), body: &body };
        self.server.complete(self.now, key, end);
    }

    fn claim(&mut self) {
        if let Some(job) = self.server.claim(self.now) {
            assert!(self.now < job.expiry, "{:?} claimed after its expiry", job.key);
            self.jobs.push(job);
        }
    }

    /// A worker comes to one of its jobs: too late, or to run it from start to end, or to
    /// turn it away, or never.
    fn complete(&mut self, input: &mut Input<'_>) {
        if self.jobs.is_empty() {
            return;
        }
        let job = self.jobs.swap_remove(input.below(self.jobs.len()));
        if self.now >= job.expiry {
            self.server.complete(self.now, job.key, End::NotStarted(Reason::Expired));
        } else {
            match input.byte() {
                // The hook turns the call away.
                248.. => {
                    let end = End::NotStarted(Reason::Unauthenticated);
                    self.server.complete(self.now, job.key, end);
                }
                choice => {
                    self.start(job.key, job.expiry, &job.metadata);
                    self.end(job.key, job.method, choice);
                }
            }
        }
        self.server.recycle(job.body);
    }

    fn time_out(&mut self) {
        for turn in 0.. {
            assert!(turn < 10_000, "the timer never rests");
            match self.server.poll_timeout() {
                Some(at) if at <= self.now => self.server.handle_timeout(self.now),
                _ => break,
            }
            self.settle();
        }
    }

    /// Takes out what the server has to say, and holds it against what happened.
    fn settle(&mut self) {
        while let Some(Event::Cancel(key)) = self.server.poll_event() {
            let claimed = self.jobs.iter().any(|job| job.key == key);
            assert!(claimed, "{key:?} is told to stop and does not run");
        }
        let mut out = Vec::new();
        while let Some(transmit) = self.server.poll_transmit(self.now, &mut out) {
            let segment = transmit.segment_size.unwrap_or(transmit.size).max(1);
            for datagram in out[..transmit.size].chunks(segment) {
                self.sent(transmit.route.remote, datagram);
            }
            out.clear();
        }
        let bound = self.config.record_memory + self.config.reply_memory;
        assert!(self.server.memory() <= bound, "{} bytes of {bound}", self.server.memory());
        assert_eq!(self.server.counters().datagrams(), self.received, "counters do not add up");
    }

    fn sent(&mut self, to: SocketAddr, datagram: &[u8]) {
        assert_ne!(to.port(), 0, "sent to port 0");
        assert_ne!(to, address_at(OWN), "sent to itself");
        if let Err(why) = self.watch.sent(to, datagram) {
            panic!("{why}");
        }
        let Ok(Datagram { message, .. }) = parse_from_server(datagram) else { return };
        match message {
            FromServer::HelloAck { session, ack, .. } => {
                self.births.push((session, ack.birth));
                self.paths.push((to, session, ack.path));
            }
            FromServer::Challenge { session, path, .. } => self.paths.push((to, session, path)),
            FromServer::Refused { session, call, promise: true, .. } => {
                let key = CallKey { session, call };
                assert!(!self.ran.contains_key(&key), "{key:?} ran and is promised never to");
                self.promised.insert(key);
            }
            FromServer::Reply { session, call, status, metadata, body, .. } => {
                let key = CallKey { session, call };
                let Some(Some((code, told, answer))) = self.ran.get(&key) else {
                    panic!("a reply of {key:?}, which has not run to its end");
                };
                assert_eq!((status, metadata), (*code, told.borrow()), "{key:?}");
                assert!(status != Code::Ok || body == answer, "{key:?} has another's reply");
            }
            _ => {}
        }
    }

    /// Ends every handler, and lets time pass until nothing is remembered.
    fn run_dry(&mut self) {
        for round in 0..64u8 {
            self.claim();
            let script = [0, round];
            self.complete(&mut Input::new(&script));
            self.settle();
        }
        while let Some(job) = self.jobs.pop() {
            self.server.complete(self.now, job.key, End::NotStarted(Reason::Fenced));
        }
        self.now = self.now + self.config.lease + Duration::from_secs(120);
        self.time_out();
        self.settle();
    }
}

/// Which method a call is of: mostly one that exists.
fn place_of(number: u64) -> usize {
    usize::try_from(number % 9).unwrap_or(0) % METHODS.len()
}

fn address_at(place: usize) -> SocketAddr {
    match ADDRESSES[place % ADDRESSES.len()].parse() {
        Ok(address) => address,
        Err(error) => panic!("{error}"),
    }
}

fn address(input: &mut Input<'_>) -> SocketAddr {
    // Mostly the first, so that something comes of it.
    match input.byte() {
        0..=127 => address_at(0),
        other => address_at(other.into()),
    }
}
