//! Proofs: who may create a session, whom what may be sent to.

use super::*;
use crate::wire::MAX_BODY;

#[test]
fn hello_leaves_nothing_behind_and_every_answer_mints_another_id() {
    let mut bench = Bench::new();
    let from = route("192.0.2.1:1000");
    let before = bench.server.memory();
    let mut ids = std::collections::BTreeSet::new();
    for attempt in 1..=100 {
        let heard = bench.send(&from, attempt, hello(7));
        let [Heard { session, said: Said::HelloAck(ack), len: HELLO_LEN, .. }] = &heard[..] else {
            panic!("{heard:?}");
        };
        assert_eq!(heard[0].attempt, attempt);
        assert_eq!(ack.limits.window, W as u32);
        assert_eq!((ack.limits.lease_ms, ack.limits.longest_deadline_ms), (300_000, 60_000));
        assert_eq!((ack.version, ack.epoch), (1, bench.server.epoch()));
        assert_eq!(session.shard(), 0);
        ids.insert(*session);
    }
    assert_eq!(ids.len(), 100);
    assert_eq!((bench.server.memory(), bench.server.sessions()), (before, 0));
}

#[test]
fn hello_of_another_version_learns_ours() {
    let mut bench = Bench::new();
    let from = route("192.0.2.1:1000");
    let FromClient::Hello { session, nonce, length, .. } = hello(1 << 64) else { panic!() };
    let message = FromClient::Hello { session, nonce, lowest: 2, highest: 9, length };
    let heard = bench.send(&from, 1, message);
    assert_eq!(said(&heard), [Said::Version { lowest: 1, highest: 1 }]);
    assert_eq!((heard[0].session, heard[0].call, heard[0].len), (session, CallId(1), 48));
    // Any datagram of another version, whatever else it says; a server's is never answered.
    let mut bytes = vec![0u8; 48];
    bytes[..4].copy_from_slice(&[0x55, 0x52, 2, 0x7f]);
    crate::wire::seal(&mut bytes);
    assert_eq!(said(&bench.raw(&from, &bytes)), [Said::Version { lowest: 1, highest: 1 }]);
    bytes[3] = 0x80 | 0x7f;
    crate::wire::seal(&mut bytes);
    assert_eq!(said(&bench.raw(&from, &bytes)), []);
}

#[test]
fn first_datagram_of_each_kind_with_both_proofs_creates_the_session() {
    for kind in 0..6 {
        let mut bench = Bench::new();
        let peer = bench.hello(&route("192.0.2.1:1000"));
        let (session, proofs) = (peer.session, peer.proofs());
        let call = CallId(4);
        let (message, creates, expected) = match kind {
            0 => (request(&peer, 4, QUICK, b"", 10 * SECOND, proofs), 1, None),
            1 => (ping(&peer, proofs), 1, Some(Said::Pong)),
            2 => {
                let fence = FromClient::Fence { session, call, proofs };
                (fence, 1, Some(Promise(Reason::Fenced)))
            }
            3 => {
                let status = FromClient::Status { session, call, proofs };
                (status, 1, Some(Said::Progress(SlotState::Empty)))
            }
            4 => {
                let ack = FromClient::Ack { session, call, hold_us: 0, credit: 0, cell: 1, proofs };
                (ack, 0, Some(Refusal(Reason::UnknownSession)))
            }
            _ => (FromClient::Close { session, proofs }, 0, None),
        };
        let heard = bench.send(&peer.route, 1, message);
        assert_eq!(said(&heard), Vec::from_iter(expected), "kind {kind}");
        assert_eq!(bench.server.sessions(), creates, "kind {kind}");
    }
}

#[test]
fn unknown_session_without_a_live_birth_is_refused_and_never_runs() {
    let mut bench = Bench::new();
    let peer = bench.hello(&route("192.0.2.1:1000"));
    let forged = Birth { mac: peer.birth.mac ^ 1, ..peer.birth };
    let younger = Birth { minted: peer.birth.minted + 1, ..peer.birth };
    for birth in [None, Some(forged), Some(younger)] {
        let proofs = Proofs { birth, path: Some(peer.path) };
        let message = request(&peer, 4, QUICK, b"", 10 * SECOND, proofs);
        let heard = bench.send(&peer.route, 1, message);
        assert_eq!(said(&heard), [Refusal(Reason::UnknownSession)]);
    }
    // It lives to the last microsecond of the sixtieth second, and no longer.
    bench.pass(60 * SECOND - bench.clock());
    let message = request(&peer, 4, QUICK, b"", 100 * SECOND, peer.proofs());
    let heard = bench.send(&peer.route, 1, message);
    assert_eq!(said(&heard), [Refusal(Reason::UnknownSession)]);
    assert_eq!((bench.server.sessions(), bench.started.len()), (0, 0));
}

#[test]
fn proofs_live_until_the_sixtieth_second() {
    let mut bench = Bench::new();
    let peer = bench.hello(&route("192.0.2.1:1000"));
    bench.pass(60 * SECOND - 1 - bench.clock());
    let heard = bench.send(&peer.route, 1, ping(&peer, peer.proofs()));
    assert_eq!(said(&heard), [Said::Pong]);
}

#[test]
fn live_birth_without_a_valid_path_is_challenged() {
    let mut bench = Bench::new();
    let peer = bench.hello(&route("192.0.2.1:1000"));
    let moved = route("192.0.2.1:1001");
    for (from, path) in [(&moved, Some(peer.path)), (&peer.route, None)] {
        let proofs = Proofs { birth: Some(peer.birth), path };
        let message = request(&peer, 4, QUICK, b"x", 10 * SECOND, proofs);
        let heard = bench.send(from, 3, message);
        let [Heard { said: Said::Challenge(path), len: 48, attempt: 3, .. }] = heard[..] else {
            panic!("{heard:?}");
        };
        assert_eq!(bench.server.sessions(), 0);
        // The path is for that address; with it, the session is created.
        let proofs = Proofs { birth: Some(peer.birth), path: Some(path) };
        let mut other =
            Bench { server: bench.server.clone(), started: vec![], segments: vec![], ..bench };
        let message = request(&peer, 4, QUICK, b"x", 10 * SECOND, proofs);
        assert_eq!(said(&other.send(from, 4, message)), []);
        assert_eq!(other.started, [key(&peer, 4)]);
    }
}

#[test]
fn challenges_path_never_creates_a_session() {
    let mut bench = Bench::new();
    let peer = bench.open();
    let moved = route("192.0.2.1:1001");
    bench.pass(50 * SECOND - bench.clock());
    let heard = bench.send(&moved, 1, ping(&peer, Proofs::default()));
    let [Heard { said: Said::Challenge(path), .. }] = heard[..] else { panic!("{heard:?}") };
    bench.close(&peer);
    bench.run_for(20 * SECOND);
    assert_eq!(bench.server.tombstones(), 0);
    for birth in [None, Some(peer.birth)] {
        let proofs = Proofs { birth, path: Some(path) };
        let message = request(&peer, 4, QUICK, b"x", 90 * SECOND, proofs);
        assert_eq!(said(&bench.send(&moved, 1, message)), [Refusal(Reason::UnknownSession)]);
    }
    assert_eq!(bench.started, []);
}

#[test]
fn from_an_unproved_address_nothing_is_used() {
    let mut bench = Bench::new();
    let peer = bench.open();
    bench.request(&peer, 4, QUICK, b"x");
    bench.complete(&peer, 4, b"y");
    let stranger = Peer { route: route("203.0.113.1:7"), ..peer };
    let before = bench.server.clone();
    bench.pass(SECOND);
    let challenged = |heard: Vec<Said>| matches!(heard[..], [Said::Challenge(_)]);
    assert!(challenged(bench.request(&stranger, 4, QUICK, b"x")), "no replay");
    assert!(challenged(bench.request(&stranger, 8, QUICK, b"x")), "no call");
    assert!(challenged(bench.fence(&stranger, 8)));
    assert!(challenged(bench.status(&stranger, 4)));
    assert!(challenged(bench.ack(&stranger, 4, 9)));
    let heard = bench.send(&stranger.route, 1, ping(&peer, Proofs::default()));
    assert!(challenged(said(&heard)));
    // Its path is for another address.
    let proofs = Proofs { birth: None, path: Some(peer.path) };
    let close = FromClient::Close { session: peer.session, proofs };
    assert_eq!(said(&bench.send(&stranger.route, 1, close)), [], "CLOSE is never answered");
    assert!(bench.server == before, "no slot, no lease, no route");
}

#[test]
fn client_that_moves_in_mid_call_gets_the_reply_where_its_latest_copy_came_from() {
    let mut bench = Bench::new();
    let peer = bench.open();
    bench.request(&peer, 4, SLOW, b"x");
    let moved = Peer { route: route("192.0.2.1:2000"), ..peer };
    let heard = bench.request(&moved, 4, SLOW, b"x");
    let [Said::Challenge(path)] = heard[..] else { panic!("{heard:?}") };
    let proofs = Proofs { birth: None, path: Some(path) };
    let copy = request(&peer, 4, SLOW, b"x", 10 * SECOND, proofs);
    let heard = bench.send(&moved.route, 3, copy);
    assert_eq!(said(&heard), [Said::Progress(SlotState::Queued)]);
    bench.claim().expect("a job");
    let heard = bench.end(
        &peer,
        4,
        End::Done { status: Code::Ok, metadata: MetadataRef::EMPTY, body: b"y" },
    );
    assert_eq!((heard[0].to, heard[0].attempt), (moved.route.remote, 3));
    // Both addresses are kept.
    bench.pass(SECOND);
    assert_eq!(bench.request(&peer, 4, SLOW, b"x"), [reply(b"y")]);
    assert_eq!(bench.runs(&peer, 4), 1);
}

#[test]
fn third_address_takes_the_place_of_the_one_unheard_for_longest() {
    let mut bench = Bench::new();
    let peer = bench.open();
    let routes: Vec<Route> = (1..=3).map(|port| route(&format!("192.0.2.1:{port}"))).collect();
    let prove = |bench: &mut Bench, from: &Route| {
        let heard = bench.send(from, 1, ping(&peer, Proofs::default()));
        let [Heard { said: Said::Challenge(path), .. }] = heard[..] else { panic!("{heard:?}") };
        let proofs = Proofs { birth: None, path: Some(path) };
        assert_eq!(said(&bench.send(from, 2, ping(&peer, proofs))), [Said::Pong]);
        bench.pass(1);
    };
    prove(&mut bench, &routes[0]);
    assert_eq!(said(&bench.send(&peer.route, 1, ping(&peer, Proofs::default()))), [Said::Pong]);
    bench.pass(1);
    prove(&mut bench, &routes[1]);
    assert_eq!(said(&bench.send(&peer.route, 1, ping(&peer, Proofs::default()))), [Said::Pong]);
    let heard = bench.send(&routes[0], 1, ping(&peer, Proofs::default()));
    assert!(matches!(said(&heard)[..], [Said::Challenge(_)]));
}

#[test]
fn answers_leave_from_where_the_request_came_to() {
    let mut bench = Bench::new();
    let peer = bench.open();
    let via = Route { local: Some("192.0.2.77".parse().unwrap()), socket: 3, ..peer.route };
    let mut bytes = Vec::new();
    let message = request(&peer, 4, QUICK, b"x", 10 * SECOND, Proofs::default());
    Datagram { attempt: 1, message }.emit(&mut bytes);
    let start = bench.server.handle_datagram(bench.now, &via, &bytes).expect("a start");
    assert_eq!((start.route, start.body, start.method), (via, &b"x"[..], 0));
    let end = End::Done { status: Code::Ok, metadata: MetadataRef::EMPTY, body: b"y" };
    bench.server.complete(bench.now, key(&peer, 4), end);
    let transmit = bench.server.poll_transmit(bench.now, &mut Vec::new()).expect("a reply");
    assert_eq!(transmit.route, via);
}

#[test]
fn other_shards_sessions_are_not_ours_to_call_unknown() {
    let mut bench = Bench::with(ServerConfig { shard: 1, shards: 3, ..config() });
    let peer = bench.open();
    assert_eq!(peer.session.shard(), 1);
    for (shard, expected) in
        [(0u64, vec![]), (2, vec![]), (3, vec![Refusal(Reason::UnknownSession)])]
    {
        let session = SessionId(peer.session.0 & !(0xff << 56) | shard << 56);
        let message = ping(&Peer { session, ..peer }, Proofs::default());
        assert_eq!(said(&bench.send(&peer.route, 1, message)), expected, "shard {shard}");
    }
    assert_eq!(bench.server.counters().received(Received::WrongShard), 2);
}

#[test]
fn shards_of_one_seed_are_one_life_and_mint_by_different_permutations() {
    let all = config();
    let mut shards = [0, 1].map(|shard| Bench::with(all.of_shard(shard, 2)));
    let [first, second] = shards.each_mut().map(|bench| bench.open());
    assert_eq!(shards[0].server.epoch(), shards[1].server.epoch());
    assert_eq!((first.session.shard(), second.session.shard()), (0, 1));
    // Both were minted from the same place of the counter.
    let rest = |peer: Peer| peer.session.0 & u64::MAX >> 8;
    assert_ne!(rest(first), rest(second));
}

#[test]
fn datagram_of_another_shards_session_is_counted_and_changes_nothing() {
    let mut bench = Bench::with(config().of_shard(1, 2));
    let stranger = Bench::with(config().of_shard(0, 2)).open();
    let before = bench.server.clone();
    let proofs = stranger.proofs();
    let ids = (stranger.session, CallId(4));
    let fence = FromClient::Fence { session: ids.0, call: ids.1, proofs };
    let close = FromClient::Close { session: ids.0, proofs };
    let asked = [request(&stranger, 4, QUICK, b"x", 10 * SECOND, proofs), fence, close];
    for message in asked {
        assert!(bench.send(&stranger.route, 1, message).is_empty());
    }
    assert_eq!(bench.server, before);
    assert!(bench.started.is_empty());
    assert_eq!(bench.server.counters().received(Received::WrongShard), 3);
}

#[test]
fn shards_together_take_what_one_server_would() {
    let all = ServerConfig { max_sessions: 10, ..config() };
    let part = all.of_shard(2, 4);
    assert_eq!((part.max_sessions, part.reply_memory), (3, all.reply_memory.div_ceil(4)));
    assert_eq!((part.window, part.lease), (all.window, all.lease));
    assert_eq!(part.check(), Ok(()));
    assert_eq!(all.of_shard(4, 4).check(), Err(ConfigError::Shard));
}

#[test]
fn shard_of_many_has_room_for_a_window_of_calls() {
    let all = ServerConfig::default();
    let part = all.of_shard(200, 256);
    assert!(part.max_queued >= 4096);
    assert!(part.reply_memory >= 4096 * MAX_BODY);
    assert!(part.record_memory >= 4096 * 512 && part.record_memory < all.record_memory / 64);
    let small = ServerConfig { max_queued: 3, reply_memory: 10_000, ..all };
    let part = small.of_shard(200, 256);
    assert_eq!((part.max_queued, part.reply_memory), (3, 10_000), "never more than was said");
}

#[test]
fn port_zero_and_our_own_address_are_dropped() {
    let mut bench = Bench::new();
    let own = ["192.0.2.5:5860", "0.0.0.0:5861"].map(|a| a.parse().unwrap());
    bench.server.set_own_addresses(own.to_vec());
    let mut wild = route("192.0.2.6:5861");
    assert_eq!(bench.send(&wild, 1, hello(1)).len(), 1, "it was not sent to that address");
    wild.local = Some("192.0.2.6".parse().unwrap());
    for from in [route("192.0.2.1:0"), route("192.0.2.5:5860"), wild] {
        assert!(bench.send(&from, 1, hello(1)).is_empty(), "{from:?}");
    }
    let counters = bench.server.counters();
    assert_eq!(counters.received(Received::PortZero), 1);
    assert_eq!(counters.received(Received::OwnAddress), 2);
}
