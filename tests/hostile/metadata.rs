//! Metadata that is none, in requests and in replies.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use udp_rpc::client::BlockingClient;
use udp_rpc::server::Server;
use udp_rpc::service::{Method, Registry};
use udp_rpc::wire::{
    CallId, Code, Flags, FromClient, FromServer, HEADER_LEN, Kind, Metadata, SlotState, seal,
};

use super::common::PATIENCE;
use super::common::calls::{Statistics, within};
use super::common::raw::{Offer, Peer, emit};
use super::{INLINE, echoes};

/// A REQUEST of METADATA with these bytes, as they are.
fn with_metadata(offer: &Offer, call: u64, entries: &[u8]) -> Vec<u8> {
    let mut datagram = emit(FromClient::Request {
        session: offer.session,
        call: CallId(call),
        expiry: offer.clock + 50_000_000,
        method: INLINE.id(),
        flags: Flags::WHOLE,
        cell: 0,
        proofs: Default::default(),
        metadata: Metadata::new().borrow(),
        unknown_critical: false,
        options: &[],
        body: b"",
    });
    let mut option = vec![0x84, 0];
    option.extend(entries);
    option.resize(option.len().next_multiple_of(4), 0);
    option[1] = (option.len() / 4).try_into().unwrap();
    datagram[47] = option[1];
    datagram.extend(option);
    seal(&mut datagram);
    datagram
}

#[test]
fn metadata_that_is_none_is_dropped_and_counted_and_its_call_never_runs() {
    let server = echoes();
    let mut client = BlockingClient::connect(server.local_addr()).unwrap();
    let peer = Peer::new(server.local_addr());
    let offer = peer.open(1);
    let window = u64::from(offer.ack.limits.window);
    let good = b"\x01a\x00\x01x";
    let bad: [&[u8]; 12] = [
        b"\x01a\x00\x03xy", // a value that ends outside
        b"\x01a\xff\xffx",  // far outside
        b"\xffa\x00\x01x",  // a key that ends outside
        b"\x00\x00\x01x",   // no key
        b"\x01A\x00\x01x",  // an upper-case key
        b"\x01 \x00\x01x",
        b"\x02\xc3\xa4\x00\x01x",
        b"\x01a\x00\x01\x07", // a value that is no text
        b"\x01a\x00\x01\xff",
        b"\x01a",                                          // no room for a length
        b"\x01a\x00\x01x\x00\x00\x00\x00\x01",             // something behind the end
        b"\x01a\x00\x01x\x00\x00\x00\x00\x00\x00\x00\x00", // more padding than is needed
    ];
    let before = Statistics::read(&mut client);
    let calls = window + 1..;
    for (call, entries) in calls.zip(bad) {
        peer.send(&with_metadata(&offer, call, entries));
    }
    // Twice the option, each good by itself.
    let mut twice = with_metadata(&offer, window + 100, good);
    let option = twice[48..].to_vec();
    twice[47] *= 2;
    twice.extend(option);
    seal(&mut twice);
    peer.send(&twice);

    // What comes after them has come when they have.
    peer.ask(&with_metadata(&offer, window, good), |answer| {
        matches!(answer.message, FromServer::Reply { status: Code::Ok, .. }).then_some(())
    });
    let after = Statistics::read(&mut client);
    let dropped = |statistics: &Statistics| statistics.of("received.dropped.options");
    assert_eq!(dropped(&after) - dropped(&before), bad.len() as u64 + 1);
    after.check_sum();
    for call in window + 1..=window + bad.len() as u64 {
        let (session, call) = (offer.session, CallId(call));
        let status = emit(FromClient::Status { session, call, proofs: Default::default() });
        peer.ask(&status, |answer| {
            matches!(answer.message, FromServer::Progress { state: SlotState::Empty, .. })
                .then_some(())
        });
    }
}

/// A way to a server on which the first replies get an option more, which is no metadata.
fn relay(server: SocketAddr, spoilt: usize) -> SocketAddr {
    let front = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
    let back = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
    back.connect(server).unwrap();
    let address = front.local_addr().unwrap();
    let client: Arc<Mutex<Option<SocketAddr>>> = Arc::default();
    // They end with the process.
    let (to, from, towards) = (Arc::clone(&back), Arc::clone(&front), Arc::clone(&client));
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, peer)) = from.recv_from(&mut buffer) {
            *towards.lock().unwrap() = Some(peer);
            let _ = to.send(&buffer[..length]);
        }
    });
    thread::spawn(move || {
        let (mut buffer, mut left) = ([0; 2048], spoilt);
        while let Ok(length) = back.recv(&mut buffer) {
            let mut datagram = buffer[..length].to_vec();
            if datagram[3] == Kind::Reply.to_u8() && left > 0 {
                left -= 1;
                // A key of nine bytes, of which there is one.
                datagram.splice(HEADER_LEN..HEADER_LEN, [0x04, 1, 9, b'a']);
                datagram[47] += 1;
                seal(&mut datagram);
            }
            let client = client.lock().unwrap().unwrap();
            let _ = front.send_to(&datagram, client);
        }
    });
    address
}

#[test]
fn reply_with_metadata_that_is_none_is_dropped_and_fetched_again() {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let mut registry = Registry::new();
    registry
        .add(Method::inline("Test/Count", move |context, _, _| {
            counted.fetch_add(1, Ordering::SeqCst);
            context.reply_metadata.insert("good", "yes").unwrap();
            Ok(())
        }))
        .unwrap();
    let server = Server::spawn_local(registry).unwrap();
    let mut client = BlockingClient::connect(relay(server.local_addr(), 2)).unwrap();
    let reply = client.call_raw("Test/Count", b"", &within(PATIENCE)).unwrap();
    assert_eq!(reply.metadata.get_text("good"), Some("yes"));
    assert!(reply.attempts >= 3, "{} attempts", reply.attempts);
    assert_eq!((reply.issues, runs.load(Ordering::SeqCst)), (1, 1));
}
