//! Bytes that nobody should send: every prefix, every flip of one or two bits, every field at its
//! extremes, the wrong direction, version and source. Dropped and counted; no panic; no answer that
//! could loop.

use std::net::SocketAddr;
use std::time::Duration;

use crate::core::client::{Client, ClientConfig, NewCall};
use crate::core::server::{End, Received, Route, Server, ServerConfig};
use crate::core::{Seed, Time};
use crate::sim::net::SERVER;
use crate::sim::work::Method;
use crate::wire::{
    CallId, Code, Datagram, Epoch, Flags, FromClient, FromServer, HELLO_LEN, Metadata, MetadataRef,
    PathProof, Proofs, Reason, SessionId, SlotState, parse_from_client, parse_from_server, seal,
};

/// The fields of the header: place and length.
const FIELDS: [(usize, usize); 13] = [
    (0, 2),
    (2, 1),
    (3, 1),
    (4, 4),
    (8, 8),
    (16, 8),
    (24, 8),
    (32, 4),
    (36, 4),
    (40, 4),
    (44, 1),
    (45, 1),
    (46, 2),
];

fn address(place: u16) -> SocketAddr {
    SocketAddr::from(([10, 1, 0, 1], 2000 + place))
}

fn emit_client(message: FromClient<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    Datagram { attempt: 1, message }.emit(&mut bytes);
    bytes
}

/// A server with one session, in which one call has run and one waits.
struct ServerLab {
    server: Server,
    now: Time,
    /// One datagram of each kind, of at most 128 bytes, right in every way.
    samples: Vec<Vec<u8>>,
}

impl ServerLab {
    fn new() -> Self {
        let now = Time::from_micros(1_000_000);
        let config = ServerConfig { window: 64, ..ServerConfig::default() };
        let server = Server::new(config, Method::specs(), Seed::from_number(3), now);
        let server = server.expect("the test's own configuration");
        let mut lab = Self { server, now, samples: Vec::new() };
        lab.server.set_own_addresses(vec![SERVER]);
        let (session, length) = (SessionId(5), HELLO_LEN);
        let hello = FromClient::Hello { session, nonce: 7, lowest: 1, highest: 1, length };
        let hello = emit_client(hello);
        let answers = lab.feed(address(0), &hello);
        let Ok(Datagram { message: FromServer::HelloAck { session, ack, .. }, .. }) =
            parse_from_server(&answers[0].1)
        else {
            panic!("{answers:?}")
        };
        let proofs = Proofs { birth: Some(ack.birth), path: Some(ack.path) };
        let request = |call, method: Method| {
            emit_client(FromClient::Request {
                session,
                call: CallId(call),
                expiry: 20_000_000,
                method: method.id(),
                flags: Flags::WHOLE,
                cell: 0,
                proofs,
                metadata: MetadataRef::EMPTY,
                unknown_critical: false,
                options: &[],
                body: b"body",
            })
        };
        let call = CallId(65);
        lab.samples = vec![
            hello,
            request(65, Method::Count),
            request(66, Method::Work),
            emit_client(FromClient::Ack { session, call, hold_us: 1, credit: 2, cell: 3, proofs }),
            emit_client(FromClient::Fence { session, call, proofs }),
            emit_client(FromClient::Status { session, call, proofs }),
            emit_client(FromClient::Ping { session, call: CallId(3), proofs }),
            emit_client(FromClient::Close { session, proofs: Proofs::default() }),
        ];
        for sample in [1, 2] {
            let sample = lab.samples[sample].clone();
            lab.feed(address(0), &sample);
        }
        assert_eq!(lab.server.sessions(), 1);
        lab
    }

    /// Hands a datagram in and gives what is answered.
    fn feed(&mut self, from: SocketAddr, bytes: &[u8]) -> Vec<(SocketAddr, Vec<u8>)> {
        let route = Route { remote: from, local: Some(SERVER.ip()), socket: 0 };
        let start = self.server.handle_datagram(self.now, &route, bytes);
        if let Some(key) = start.map(|start| start.key) {
            let end = End::Done { status: Code::Ok, metadata: MetadataRef::EMPTY, body: b"reply" };
            self.server.complete(self.now, key, end);
        }
        let (mut out, mut answers) = (Vec::new(), Vec::new());
        while let Some(transmit) = self.server.poll_transmit(self.now, &mut out) {
            for datagram in out.chunks(transmit.segment_size.unwrap_or(transmit.size)) {
                answers.push((transmit.route.remote, datagram.to_vec()));
            }
            out.clear();
        }
        answers
    }

    /// Hands in what must be dropped, and counted.
    fn drops(&mut self, from: SocketAddr, bytes: &[u8]) {
        let before = self.server.counters().datagrams();
        let answers = self.feed(from, bytes);
        assert!(answers.is_empty(), "{bytes:02x?} is answered by {answers:02x?}");
        assert_eq!(self.server.counters().datagrams(), before + 1);
    }

    fn received(&self, what: Received) -> u64 {
        self.server.counters().received(what)
    }
}

/// Every flip of one bit, and of two.
fn flips(sample: &[u8], mut see: impl FnMut(&[u8])) {
    let mut bytes = sample.to_vec();
    let bits = sample.len() * 8;
    for first in 0..bits {
        bytes[first / 8] ^= 1 << (first % 8);
        see(&bytes);
        for second in first + 1..bits {
            bytes[second / 8] ^= 1 << (second % 8);
            see(&bytes);
            bytes[second / 8] ^= 1 << (second % 8);
        }
        bytes[first / 8] ^= 1 << (first % 8);
    }
}

/// The sample with each field of the header, then each byte after it, at its extremes; the checksum
/// is right unless it is what is changed.
fn extremes(sample: &[u8], mut see: impl FnMut(&[u8])) {
    let bytes = (48..sample.len()).map(|place| (place, 1));
    for (place, length) in FIELDS.into_iter().chain(bytes) {
        let most = u64::MAX >> (64 - 8 * length);
        let values = [0, 1, 2, most / 2, most / 2 + 1, most - 1, most];
        for value in values.into_iter().chain((0..8 * length).map(|bit| 1 << bit)) {
            let mut changed = sample.to_vec();
            changed[place..place + length].copy_from_slice(&value.to_be_bytes()[8 - length..]);
            if place != 4 {
                seal(&mut changed);
            }
            see(&changed);
        }
    }
}

#[test]
fn server_drops_every_prefix() {
    let mut lab = ServerLab::new();
    let before = lab.server.clone();
    for sample in lab.samples.clone() {
        for length in 0..sample.len() {
            lab.drops(address(0), &sample[..length]);
        }
    }
    assert!(lab.server == before, "something changed");
}

#[test]
fn server_drops_every_flip_of_one_bit_and_of_two() {
    let mut lab = ServerLab::new();
    let before = lab.server.clone();
    for sample in lab.samples.clone() {
        assert!(sample.len() <= 128);
        flips(&sample, |bytes| lab.drops(address(0), bytes));
    }
    assert!(lab.server == before, "something changed");
}

#[test]
fn server_drops_what_servers_send() {
    let mut lab = ServerLab::new();
    let before = lab.server.clone();
    for sample in lab.samples.clone() {
        for kind in 0x80..=0xff {
            let mut bytes = sample.clone();
            bytes[3] = kind;
            seal(&mut bytes);
            lab.drops(address(0), &bytes);
        }
    }
    for sample in server_samples(SessionId(9), CallId(64), Epoch(77)) {
        lab.drops(address(0), &sample);
    }
    assert!(lab.server == before, "something changed");
}

#[test]
fn server_answers_an_unknown_version_of_a_client_by_a_datagram_that_nobody_answers() {
    let mut lab = ServerLab::new();
    for sample in lab.samples.clone() {
        for version in [0, 2, 127, 255] {
            let mut bytes = sample.clone();
            bytes[2] = version;
            seal(&mut bytes);
            let answers = lab.feed(address(9), &bytes);
            let [(to, answer)] = &answers[..] else { panic!("{answers:02x?}") };
            assert_eq!(*to, address(9));
            assert!(answer.len() <= bytes.len());
            assert_eq!(answer[3], 0x80, "VERSION");
            lab.drops(address(9), &answer.clone());
            bytes[3] |= 0x80;
            seal(&mut bytes);
            lab.drops(address(9), &bytes);
            let mut short = sample[..47].to_vec();
            short[2] = version;
            seal(&mut short);
            lab.drops(address(9), &short);
        }
    }
}

#[test]
fn server_drops_what_comes_from_port_zero_or_from_itself() {
    let mut lab = ServerLab::new();
    let before = lab.server.clone();
    let mut zero = address(0);
    zero.set_port(0);
    for sample in lab.samples.clone() {
        lab.drops(zero, &sample);
        lab.drops(SERVER, &sample);
    }
    let samples = lab.samples.len() as u64;
    assert_eq!(lab.received(Received::PortZero), samples);
    assert_eq!(lab.received(Received::OwnAddress), samples);
    lab.drops(address(0), &[]);
    assert_eq!(lab.received(Received::Short), 1);
    assert!(lab.server == before, "something changed");
}

/// From an address that is proved, and from one that is not: at most one answer, from there no
/// longer than the question, and no answer to the answer.
#[test]
fn server_bears_every_field_at_its_extremes() {
    let fresh = ServerLab::new();
    for sample in &fresh.samples {
        for from in [address(0), address(1)] {
            extremes(sample, |bytes| {
                let mut lab = ServerLab {
                    server: fresh.server.clone(),
                    now: fresh.now + Duration::from_millis(50),
                    samples: Vec::new(),
                };
                let before = lab.server.counters().datagrams();
                let answers = lab.feed(from, bytes);
                assert_eq!(lab.server.counters().datagrams(), before + 1);
                assert!(answers.len() <= 1, "{answers:02x?}");
                for (to, answer) in answers {
                    assert_eq!(to, from);
                    assert!(from == address(0) || answer.len() <= bytes.len(), "{answer:02x?}");
                    lab.drops(to, &answer);
                    lab.drops(SERVER, &answer);
                }
            });
        }
    }
}

/// A datagram of each kind that a server sends, for this session and call.
fn server_samples(session: SessionId, call: CallId, epoch: Epoch) -> Vec<Vec<u8>> {
    let (clock, ping) = (5_000_000, CallId(1));
    let (hold_us, credit, cell) = (3, 0, 0);
    let (status, flags, body) = (Code::Ok, Flags::WHOLE, &b"reply"[..]);
    let metadata = MetadataRef::EMPTY;
    let state = SlotState::Running;
    let path = PathProof { issued: 5, mac: 6 };
    let refused = |reason, promise| FromServer::Refused {
        session,
        call,
        clock,
        epoch,
        hold_us,
        reason,
        promise,
    };
    let messages = [
        FromServer::Version { session, call, lowest: 1, highest: 1 },
        FromServer::Reply {
            session,
            call,
            clock,
            hold_us,
            credit,
            status,
            flags,
            cell,
            metadata,
            body,
        },
        FromServer::Progress { session, call, clock, hold_us, credit, cell, state },
        refused(Reason::Expired, true),
        refused(Reason::Draining, true),
        refused(Reason::UnknownSession, false),
        refused(Reason::Stale, false),
        FromServer::Challenge { session, call, clock, path },
        FromServer::Pong { session, call: ping, clock, epoch, hold_us },
        FromServer::Goaway { session, call: ping, clock, epoch, hold_us, reason: Reason::Draining },
    ];
    let emit = |message: FromServer<'_>| {
        let mut bytes = Vec::new();
        Datagram { attempt: 1, message }.emit(&mut bytes);
        bytes
    };
    messages.into_iter().map(emit).collect()
}

/// A client with one call in progress.
struct ClientLab {
    client: Client,
    now: Time,
    /// One datagram of each kind for it, of at most 128 bytes, right in every way.
    samples: Vec<Vec<u8>>,
}

impl ClientLab {
    fn new() -> Self {
        let now = Time::from_micros(1_000_000);
        let config = ClientConfig { retry: false, ..ClientConfig::default() };
        let mut client = Client::new(config, vec![SERVER], Seed::from_number(4));
        let call = NewCall {
            method: Method::Count.id(),
            metadata: Metadata::new(),
            body: b"body".to_vec(),
            deadline: now + Duration::from_secs(20),
            no_side_effects: false,
            retry: None,
        };
        client.call(now, call);
        let mut server = ServerLab::new();
        let hello = sent(&mut client, now).remove(0);
        let (_, offer) = server.feed(address(0), &hello).remove(0);
        let mut lab = Self { client, now, samples: Vec::new() };
        let request = lab.feed(&offer).remove(0);
        let Ok(Datagram { message: FromClient::Request { session, call, .. }, .. }) =
            parse_from_client(&request)
        else {
            panic!("{request:02x?}")
        };
        lab.samples = server_samples(session, call, server.server.epoch());
        lab.samples.push(offer);
        lab
    }

    /// Hands a datagram in and gives what is sent then.
    fn feed(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.client.handle_datagram(self.now, SERVER, bytes);
        while self.client.poll_event().is_some() {}
        sent(&mut self.client, self.now)
    }

    /// Hands in what must be dropped as malformed, and counted.
    fn drops(&mut self, bytes: &[u8]) {
        let before = *self.client.counters();
        let sent = self.feed(bytes);
        assert!(sent.is_empty(), "{bytes:02x?} is answered by {sent:02x?}");
        let after = self.client.counters();
        assert_eq!(after.received, before.received + 1);
        assert_eq!(after.dropped_malformed, before.dropped_malformed + 1, "{bytes:02x?}");
    }
}

fn sent(client: &mut Client, now: Time) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let mut out = Vec::new();
        match client.poll_transmit(now, &mut out) {
            Some(transmit) => {
                let size = transmit.segment_size.unwrap_or(transmit.size);
                all.extend(out.chunks(size).map(<[u8]>::to_vec));
            }
            None => return all,
        }
    }
}

#[test]
fn client_drops_every_prefix_and_every_flip_of_one_bit_and_of_two() {
    let mut lab = ClientLab::new();
    let before = lab.client.clone();
    for sample in lab.samples.clone() {
        assert!(sample.len() <= 128);
        for length in 0..sample.len() {
            lab.drops(&sample[..length]);
        }
        flips(&sample, |bytes| lab.drops(bytes));
    }
    assert!(lab.client == before, "something changed");
}

#[test]
fn client_drops_what_clients_send_and_other_versions() {
    let mut lab = ClientLab::new();
    let before = lab.client.clone();
    for sample in ServerLab::new().samples {
        lab.drops(&sample);
    }
    for sample in lab.samples.clone() {
        for (place, value) in (0..0x80).map(|kind| (3, kind)).chain([0, 2, 255].map(|v| (2, v))) {
            let mut bytes = sample.clone();
            // VERSION is the one datagram whose place for the version says something else.
            if place == 3 || bytes[3] != 0x80 {
                bytes[place] = value;
                seal(&mut bytes);
                lab.drops(&bytes);
            }
        }
    }
    assert!(lab.client == before, "something changed");
}

#[test]
fn client_uses_nothing_that_comes_from_elsewhere() {
    let fresh = ClientLab::new();
    for sample in &fresh.samples {
        let mut client = fresh.client.clone();
        client.handle_datagram(fresh.now, address(3), sample);
        assert!(client.poll_event().is_none());
        assert!(sent(&mut client, fresh.now).is_empty());
        assert_eq!(client.counters().used, fresh.client.counters().used);
    }
}

/// At most a new handshake, a few copies or a CLOSE follow, all of them from a client; and every call
/// ends in time.
#[test]
fn client_bears_every_field_at_its_extremes() {
    let fresh = ClientLab::new();
    for sample in &fresh.samples {
        extremes(sample, |bytes| {
            let mut client = fresh.client.clone();
            let mut now = fresh.now + Duration::from_millis(50);
            client.handle_datagram(now, SERVER, bytes);
            let sent_at_once = sent(&mut client, now);
            assert!(sent_at_once.len() <= 2, "{sent_at_once:02x?}");
            let end = fresh.now + Duration::from_secs(21);
            let mut ended = client.poll_event().is_some();
            for turn in 0.. {
                assert!(turn < 10_000, "the timer never rests");
                let Some(at) = client.poll_timeout().filter(|at| *at <= end) else { break };
                now = now.max(at);
                client.handle_timeout(now);
                for datagram in sent(&mut client, now) {
                    assert!(datagram[3] < 0x80);
                }
                ended |= client.poll_event().is_some();
            }
            assert!(ended, "{bytes:02x?}");
        });
    }
}
