//! Whatever comes in a datagram: dropped and counted, answered by at most one datagram that is not
//! longer unless the address is proved, and never the end of the server.
#![cfg(feature = "cli")]

mod common;

use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use common::calls::{Statistics, count, within};
use common::raw::{Offer, Peer, emit, hello};
use common::{Daemon, skipped, wait_for};
use udp_rpc::client::BlockingClient;
use udp_rpc::core::{Outcome, Proof};
use udp_rpc::wire::{
    CallId, Datagram, FromClient, FromServer, HEADER_LEN, Kind, MAX_DATAGRAM, MethodId,
    VERSION_LEN, parse_from_server, seal,
};

/// A nonce that no test sends but to mark that all before it has been dealt with.
const MARK: u128 = 0xffff_ffff_ffff_ffff_ffff;

/// A daemon, a client that goes on calling, and a count of what others send.
struct Scene {
    daemon: Daemon,
    client: BlockingClient,
    before: Statistics,
    increments: u64,
    sent: u64,
}

impl Scene {
    fn new() -> Self {
        // One thread, so that a mark comes after all that was sent before it.
        let daemon = Daemon::builder().arguments(&["--threads", "1"]).start();
        // It sends nothing that is not counted below, however long a test takes.
        let mut client = BlockingClient::builder()
            .config(|config| config.ping_after_idle = None)
            .connect(daemon.address())
            .unwrap();
        count(&mut client, "c").unwrap();
        let before = Statistics::read(&mut client);
        Self { daemon, client, before, increments: 1, sent: 0 }
    }

    fn peer(&self) -> Peer {
        Peer::new(self.daemon.address())
    }

    /// Sends a datagram, and tells all that was answered to it.
    fn answers(&mut self, peer: &Peer, datagram: &[u8]) -> Vec<Vec<u8>> {
        peer.send(datagram);
        peer.send(&hello(MARK));
        self.sent += 2;
        let mut answers = Vec::new();
        wait_for("the mark's answer", || {
            let answer = peer.receive(common::PATIENCE)?;
            if is_mark(&answer) {
                return Some(());
            }
            answers.push(answer);
            None
        });
        answers
    }

    /// As [`Self::answers`], for an address that is not proved.
    #[track_caller]
    fn answers_to_stranger(&mut self, peer: &Peer, datagram: &[u8]) -> Vec<Vec<u8>> {
        let answers = self.answers(peer, datagram);
        assert!(answers.len() <= 1, "{} answers to {datagram:02x?}", answers.len());
        for answer in &answers {
            assert!(answer.len() <= datagram.len(), "{answer:02x?} to {datagram:02x?}");
        }
        answers
    }

    /// Checks that the server is well, and that it has counted every datagram in its place.
    #[track_caller]
    fn check(&mut self) -> Statistics {
        self.increments += 1;
        assert_eq!(count(&mut self.client, "c").unwrap(), self.increments);
        let after = Statistics::read(&mut self.client);
        after.check_sum();
        let others = after.of("received.total") - self.before.of("received.total");
        // The increment is one datagram, and each page that was read is another.
        assert_eq!(others, self.sent + 1 + self.before.pages, "each datagram was counted once");
        assert!(self.daemon.is_running());
        assert_eq!(self.daemon.said(), "", "nothing here is for an operator");
        after
    }
}

fn is_mark(datagram: &[u8]) -> bool {
    matches!(
        parse_from_server(datagram),
        Ok(Datagram { message: FromServer::HelloAck { nonce: MARK, .. }, .. })
    )
}

/// One datagram of every kind that clients send, with all that may be in it.
fn every_kind(offer: &Offer) -> Vec<Vec<u8>> {
    let Offer { session, .. } = *offer;
    let call = CallId(9000);
    let proofs = offer.proofs();
    let body = b"\x0a\x05hello";
    vec![
        hello(1),
        offer.request_with(9000, MethodId::of("udprpc.v1.Echo/Echo"), body, proofs),
        emit(FromClient::Ack { session, call, hold_us: 1, credit: 2, cell: 3, proofs }),
        emit(FromClient::Fence { session, call, proofs }),
        emit(FromClient::Status { session, call, proofs }),
        emit(FromClient::Ping { session, call: CallId(7), proofs }),
        emit(FromClient::Close { session, proofs }),
    ]
}

fn sealed(mut datagram: Vec<u8>) -> Vec<u8> {
    seal(&mut datagram);
    datagram
}

#[test]
fn empty_and_truncated_datagrams_are_dropped_and_counted() {
    let mut scene = Scene::new();
    let peer = scene.peer();
    let offer = peer.hello(1);
    scene.sent += 1;
    let mut prefixes = 0;
    for datagram in every_kind(&offer) {
        for length in 0..datagram.len() {
            // Every byte of a datagram is under its CRC.
            assert!(scene.answers_to_stranger(&peer, &datagram[..length]).is_empty());
            prefixes += 1;
        }
    }
    let after = scene.check();
    assert_eq!(after.sum("received.dropped."), prefixes);
    assert_eq!(after.of("received.dropped.short"), 7 * HEADER_LEN as u64);
}

#[test]
fn datagrams_with_any_bit_flipped_are_dropped_and_counted() {
    let mut scene = Scene::new();
    let peer = scene.peer();
    let offer = peer.hello(1);
    scene.sent += 1;
    let mut flips = 0;
    for datagram in every_kind(&offer) {
        for bit in 0..datagram.len() * 8 {
            let mut flipped = datagram.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(scene.answers_to_stranger(&peer, &flipped).is_empty(), "bit {bit}");
            flips += 1;
        }
    }
    let after = scene.check();
    assert_eq!(after.sum("received.dropped."), flips);
}

#[test]
fn to_an_unproved_address_goes_at_most_one_datagram_not_longer_than_what_came() {
    let mut scene = Scene::new();
    let (owner, stranger) = (scene.peer(), scene.peer());
    let offer = owner.open(1);
    scene.sent += 2;
    // Any bit flipped, the CRC being right: from the address of a stranger, for a session that
    // lives and one that never was.
    let mut answered = 0;
    for datagram in every_kind(&offer) {
        for bit in 0..datagram.len() * 8 {
            let mut flipped = datagram.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            seal(&mut flipped);
            answered += scene.answers_to_stranger(&stranger, &flipped).len();
        }
        answered += scene.answers_to_stranger(&stranger, &datagram).len();
    }
    assert!(answered > 1000, "{answered} answers");
    let after = scene.check();
    assert_eq!(
        after.of("calls.started"),
        scene.before.of("calls.started") + scene.before.pages + 1
    );
    assert_eq!(after.of("sessions.open"), 2);
}

#[test]
fn what_servers_send_is_never_answered() {
    let mut scene = Scene::new();
    let peer = scene.peer();
    let offer = peer.open(1);
    scene.sent += 2;
    let mut told = Vec::new();
    for datagram in every_kind(&offer) {
        told.extend(scene.answers(&peer, &datagram));
    }
    assert!(told.len() >= 5);
    // What the server said, sent back to it, and everything else with the bit of servers.
    for datagram in told {
        assert!(scene.answers(&peer, &datagram).is_empty());
    }
    for datagram in every_kind(&offer) {
        for kind in 0x80..=0xff {
            for version in [0, 1, 2, 255] {
                let mut reflected = datagram.clone();
                (reflected[2], reflected[3]) = (version, kind);
                assert!(scene.answers(&peer, &sealed(reflected)).is_empty());
            }
        }
    }
    let after = scene.check();
    assert!(after.of("received.dropped.direction") >= 7 * 128);
    // VERSION itself is the same in all versions.
    assert_eq!(after.of("received.dropped.foreign_version"), 7 * 127 * 3);
}

#[test]
fn other_versions_are_answered_by_version_which_is_not_longer() {
    let mut scene = Scene::new();
    let peer = scene.peer();
    let offer = peer.hello(1);
    scene.sent += 1;
    for datagram in every_kind(&offer) {
        for version in [0, 2, 3, 255] {
            let mut foreign = datagram.clone();
            foreign[2] = version;
            // A later version may have other kinds, and another body.
            foreign[3] ^= 0x40;
            let answers = scene.answers_to_stranger(&peer, &sealed(foreign.clone()));
            let [answer] = answers.as_slice() else { panic!("{answers:?}") };
            assert_eq!(answer.len(), VERSION_LEN);
            assert_eq!(answer[8..24], foreign[8..24], "session and call are echoed");
            let parsed = parse_from_server(answer).unwrap();
            assert!(matches!(parsed.message, FromServer::Version { lowest: 1, highest: 1, .. }));
        }
        // One that is too short to be answered.
        let mut short = datagram[..HEADER_LEN - 1].to_vec();
        short[2] = 2;
        seal(&mut short);
        assert!(scene.answers_to_stranger(&peer, &short).is_empty());
    }
    scene.check();
}

#[test]
fn oversized_datagrams_do_no_harm() {
    let mut scene = Scene::new();
    let peer = scene.peer();
    let offer = peer.open(1);
    scene.sent += 2;
    for length in [MAX_DATAGRAM + 1, 1500, 2048, 9000, 65_507] {
        for mut datagram in every_kind(&offer).into_iter().chain([Vec::new()]) {
            let kind = datagram.get(3).copied().and_then(Kind::from_u8);
            datagram.resize(length, 0xa5);
            let answers = scene.answers(&peer, &sealed(datagram));
            assert!(answers.len() <= 1);
            if kind == Some(Kind::Hello) {
                assert!(answers.is_empty(), "a HELLO of {length} bytes");
            }
        }
    }
    scene.check();
}

/// Sends an IPv4 datagram with a source of the test's choice; `None` where that is forbidden.
fn send_spoofed(source: SocketAddrV4, target: SocketAddrV4, contents: &[u8]) -> Option<()> {
    // IPPROTO_RAW: the header comes with the contents, and the kernel fills in its checksum.
    let (raw, ipproto_raw) = (socket2::Type::from(3), socket2::Protocol::from(255));
    let socket = socket2::Socket::new(socket2::Domain::IPV4, raw, Some(ipproto_raw)).ok()?;
    let udp_length = 8 + contents.len() as u16;
    let mut packet = vec![0x45, 0];
    packet.extend((20 + udp_length).to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    packet.extend(source.ip().octets());
    packet.extend(target.ip().octets());
    packet.extend(source.port().to_be_bytes());
    packet.extend(target.port().to_be_bytes());
    packet.extend(udp_length.to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(contents);
    let sent = socket.send_to(&packet, &SocketAddr::from(target).into()).ok()?;
    assert_eq!(sent, packet.len());
    Some(())
}

#[test]
fn datagrams_from_port_zero_and_from_the_servers_own_address_are_dropped() {
    let mut scene = Scene::new();
    let SocketAddr::V4(target) = scene.daemon.address() else { unreachable!() };
    let peer = scene.peer();
    let offer = peer.hello(1);
    scene.sent += 1;
    let mut foreign = hello(2);
    foreign[2] = 9;
    let datagrams = every_kind(&offer).into_iter().chain([sealed(foreign), vec![]]);
    let mut spoofed = 0;
    for datagram in datagrams {
        for source in [SocketAddrV4::new(*target.ip(), 0), target] {
            if send_spoofed(source, target, &datagram).is_none() {
                return skipped("datagrams_from_port_zero…", "raw sockets are not permitted");
            }
            scene.sent += 1;
            spoofed += 1;
        }
    }
    // They have arrived when what was sent after them has.
    assert!(scene.answers(&peer, b"").is_empty());
    let after = scene.check();
    assert_eq!(after.of("received.dropped.port_zero"), spoofed / 2);
    assert_eq!(after.of("received.dropped.own_address"), spoofed / 2);
    assert_eq!(after.of("socket.send_errors"), 0);
}

#[test]
fn garbage_of_all_lengths_is_counted_as_what_it_is() {
    let mut scene = Scene::new();
    let peer = scene.peer();
    let offer = peer.open(1);
    scene.sent += 2;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..2000 {
        // Bytes of chance, headers of chance, and whole datagrams with some fields of chance.
        let mut datagram: Vec<u8> = (0..random() % 300).map(|_| random() as u8).collect();
        let kinds = every_kind(&offer);
        let whole = &kinds[(random() % 7) as usize];
        match round % 3 {
            0 => {}
            1 => {
                let length = datagram.len().min(4);
                datagram[..length].copy_from_slice(&whole[..length]);
            }
            _ => {
                let mut changed = whole.clone();
                let place = 2 + random() as usize % (changed.len() - 2);
                changed[place] = [0, 1, 0x7f, 0x80, 0xff][(random() % 5) as usize];
                datagram = changed;
            }
        }
        if datagram.len() >= 8 {
            seal(&mut datagram);
        }
        scene.answers(&peer, &datagram);
    }
    let after = scene.check();
    for name in ["short", "magic", "kind", "field", "options"] {
        assert!(after.of(&format!("received.dropped.{name}")) > 0, "{name}");
    }
}

#[test]
fn client_is_not_disturbed_by_garbage_in_place_of_answers() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut client = BlockingClient::connect(socket.local_addr().unwrap()).unwrap();
    let server = std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        let (length, from) = socket.recv_from(&mut buffer).unwrap();
        for end in 0..length {
            socket.send_to(&buffer[..end], from).unwrap();
        }
        for kind in 0..=255 {
            buffer[3] = kind;
            seal(&mut buffer[..length]);
            socket.send_to(&buffer[..length], from).unwrap();
        }
        socket.send_to(&[0xff; 65_507], from).unwrap();
        // It stays open: a port that nobody has would be refused.
        socket
    });
    // Its own deadline is what ends the call.
    let error = client.call_raw("Test/Test", b"", &within(Duration::from_millis(300))).unwrap_err();
    assert_eq!(error.outcome, Outcome::NotExecuted(Proof::NeverSent), "{error}");
    assert!(error.elapsed >= Duration::from_millis(300));
    server.join().unwrap();
}
