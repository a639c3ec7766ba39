//! Memory of a daemon under floods: resident size before and after, and its bounds.
#![cfg(feature = "cli")]

mod common;

use std::time::Duration;

use common::Daemon;
use common::calls::{Statistics, count};
use common::raw::{Offer, Peer, hello};
use udp_rpc::client::BlockingClient;
use udp_rpc::core::server::ServerConfig;
use udp_rpc::wire::{FromServer, MethodId, Reason, parse_from_server};

/// Bytes that a daemon's resident size may grow by in a flood that it keeps nothing of. Its
/// queues have their full length then, and the allocator its arenas.
const SLACK: usize = 16 << 20;

fn resident(daemon: &Daemon, what: &str) -> usize {
    let bytes = daemon.resident().expect("/proc tells the resident size");
    println!("{what}: {:.1} MiB resident", bytes as f64 / f64::from(1 << 20));
    bytes
}

#[test]
fn floods_of_hellos_and_garbage_leave_nothing_behind() {
    if !cfg!(target_os = "linux") {
        return common::skipped("floods_of_hellos…", "only Linux tells the resident size");
    }
    let daemon = Daemon::start();
    let mut client = BlockingClient::connect(daemon.address()).unwrap();
    count(&mut client, "c").unwrap();
    let before = resident(&daemon, "at the start");

    let peers: Vec<_> = (0..16).map(|_| Peer::new(daemon.address())).collect();
    for nonce in 0..100_000 {
        let peer = &peers[nonce % peers.len()];
        peer.send(&hello((nonce << 56 | nonce) as u128));
        if nonce % 64 == 0 {
            peer.received();
        }
    }
    assert_eq!(count(&mut client, "c").unwrap(), 2);
    let after = resident(&daemon, "after 100,000 HELLOs");
    assert!(after < before + SLACK, "{after} bytes after {before}");

    // Bytes without sense, and bytes that have some.
    let mut garbage = hello(1);
    for i in 0..100_000u32 {
        let bytes = i.wrapping_mul(2_654_435_761).to_be_bytes();
        garbage[(i % 120) as usize] ^= bytes[0] | 1;
        let length = bytes[1] as usize % (garbage.len() + 1);
        peers[i as usize % peers.len()].send(&garbage[..length]);
    }
    assert_eq!(count(&mut client, "c").unwrap(), 3);
    let after = resident(&daemon, "after 100,000 datagrams of garbage");
    assert!(after < before + SLACK, "{after} bytes after {before}");
    let statistics = Statistics::read(&mut client);
    statistics.check_sum();
    println!(
        "{} datagrams reached the daemon; {} HELLOs answered, {} dropped",
        statistics.of("received.total"),
        statistics.of("received.hello"),
        statistics.sum("received.dropped."),
    );
    assert!(statistics.of("received.hello") > 1000);
    assert_eq!(statistics.of("sessions.open"), 1);
}

#[test]
fn memory_stays_under_its_configured_bounds_when_sessions_and_replies_are_taken_in_earnest() {
    if !cfg!(target_os = "linux") {
        return common::skipped("memory_stays_under…", "only Linux tells the resident size");
    }
    let daemon = Daemon::start();
    let before = resident(&daemon, "at the start");
    let bounds = ServerConfig::default();

    // Sessions, until this source may have no more.
    let peer = Peer::new(daemon.address());
    // Their sessions' first bytes differ, so that they come to all threads of the daemon alike.
    let (mut offers, mut nonces) = (Vec::new(), (0..).map(|number| number << 56 | number));
    let (mut open, mut turned_away) = (0, 0);
    let mut say_hello = || peer.send(&hello(nonces.next().unwrap()));
    (0..32).for_each(|_| say_hello());
    while turned_away < 100 {
        let Some(datagram) = peer.receive(Duration::from_millis(200)) else {
            say_hello();
            continue;
        };
        match parse_from_server(&datagram).unwrap().message {
            FromServer::HelloAck { session, clock, ack, .. } => {
                let offer = Offer { session, clock, ack };
                peer.send(&offer.ping());
                offers.push(offer);
            }
            FromServer::Pong { .. } => {
                open += 1;
                say_hello();
            }
            FromServer::Refused { reason: Reason::NoRoomForSession, promise: false, .. } => {
                turned_away += 1;
                say_hello();
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(open <= bounds.max_sessions_per_source);
    assert!(open > bounds.max_sessions_per_source * 9 / 10, "{open} sessions");
    let after = resident(&daemon, "with as many sessions as one source may have");
    assert!(after < before + bounds.record_memory + SLACK);

    // And as many kept replies as there is memory for: each in a slot of its own.
    let echo = MethodId::of("udprpc.v1.Echo/Echo");
    let text = [b'x'; 1000];
    let body = [&[0x0a, 0xe8, 0x07], text.as_slice()].concat();
    let window = u64::from(offers[0].ack.limits.window);
    let mut refused = 0;
    let calls = offers.iter().flat_map(|offer| (window..2 * window).map(move |call| (offer, call)));
    for (offer, call) in calls {
        peer.send(&offer.request_with(call, echo, &body, offer.proofs()));
        for datagram in peer.received() {
            match parse_from_server(&datagram).unwrap().message {
                FromServer::Refused { reason: Reason::NoRoomForReply, promise: true, .. } => {
                    refused += 1;
                }
                FromServer::Refused { reason: Reason::NoRoomForSession, .. } => {}
                other @ FromServer::Refused { .. } => panic!("{other:?}"),
                _ => {}
            }
        }
        if refused > 100 {
            break;
        }
    }
    let after = resident(&daemon, "with as many replies as there is memory for");
    assert!(after < before + bounds.record_memory + bounds.reply_memory + SLACK);
    assert!(after > before + bounds.reply_memory / 2, "the flood did fill the memory for replies");
}
