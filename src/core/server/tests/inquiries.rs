//! FENCE and STATUS against every state of a slot.

use super::*;

/// A bench whose slot of call 8 is in a state, by name.
fn in_state(state: &str) -> (Bench, Peer) {
    let mut bench = Bench::new();
    let peer = bench.open();
    match state {
        "empty" => {}
        "queued" => drop(bench.request(&peer, 8, SLOW, b"x")),
        "running" => drop(bench.request(&peer, 8, QUICK, b"x")),
        "done" => {
            bench.request(&peer, 8, QUICK, b"x");
            bench.complete(&peer, 8, b"y");
        }
        "gone" => {
            bench.request(&peer, 8, QUICK, b"x");
            bench.complete(&peer, 8, b"y");
            bench.ack(&peer, 8, 1);
        }
        "refused" => drop(bench.request(&peer, 8, MethodId(99), b"x")),
        "fenced" => drop(bench.fence(&peer, 8)),
        "moved on" => drop(bench.request(&peer, 12, QUICK, b"x")),
        "below" => drop(bench.request(&peer, 4, QUICK, b"x")),
        other => panic!("no state {other}"),
    }
    bench.pass(10_000);
    (bench, peer)
}

#[test]
fn fence_in_every_state() {
    let cases = [
        ("empty", Promise(Reason::Fenced)),
        ("below", Promise(Reason::Fenced)),
        ("queued", Promise(Reason::Fenced)),
        ("running", Said::Progress(SlotState::Running)),
        ("done", reply(b"y")),
        ("gone", Refusal(Reason::ReplyGone)),
        ("refused", Promise(Reason::UnknownMethod)),
        ("fenced", Promise(Reason::Fenced)),
        ("moved on", Refusal(Reason::Stale)),
    ];
    for (state, expected) in cases {
        let (mut bench, peer) = in_state(state);
        let runs = bench.runs(&peer, 8);
        assert_eq!(bench.fence(&peer, 8), std::slice::from_ref(&expected), "{state}");
        bench.pass(10_000);
        assert_eq!(bench.fence(&peer, 8), [expected], "{state}, again");
        // Whatever comes later, nothing starts.
        bench.request(&peer, 8, QUICK, b"x");
        bench.request(&peer, 8, SLOW, b"x");
        assert_eq!(bench.claim().filter(|job| job.key.call == CallId(8)), None, "{state}");
        assert_eq!(bench.runs(&peer, 8), runs, "{state}");
    }
}

#[test]
fn status_in_every_state_records_nothing() {
    let cases = [
        ("empty", Said::Progress(SlotState::Empty)),
        ("below", Said::Progress(SlotState::Empty)),
        ("queued", Said::Progress(SlotState::Queued)),
        ("running", Said::Progress(SlotState::Running)),
        ("done", reply(b"y")),
        ("gone", Refusal(Reason::ReplyGone)),
        ("refused", Promise(Reason::UnknownMethod)),
        ("fenced", Promise(Reason::Fenced)),
        ("moved on", Refusal(Reason::Stale)),
    ];
    for (state, expected) in cases {
        let (mut bench, peer) = in_state(state);
        assert_eq!(bench.status(&peer, 8), std::slice::from_ref(&expected), "{state}");
        bench.pass(10_000);
        assert_eq!(bench.status(&peer, 8), [expected], "{state}, again");
        if matches!(state, "empty" | "below") {
            assert_eq!(bench.request(&peer, 8, QUICK, b"x"), [], "{state}");
            assert_eq!(bench.runs(&peer, 8), 1, "{state}");
        }
    }
}

#[test]
fn request_in_every_state() {
    let cases = [
        ("running", vec![Said::Progress(SlotState::Running)], 1),
        ("done", vec![reply(b"y")], 1),
        ("gone", vec![Refusal(Reason::ReplyGone)], 1),
        ("fenced", vec![Promise(Reason::Fenced)], 0),
        ("moved on", vec![Refusal(Reason::Stale)], 0),
        ("empty", vec![], 1),
        ("below", vec![], 1),
    ];
    for (state, expected, runs) in cases {
        let (mut bench, peer) = in_state(state);
        assert_eq!(bench.request(&peer, 8, QUICK, b"x"), expected, "{state}");
        assert_eq!(bench.runs(&peer, 8), runs, "{state}");
    }
    let (mut bench, peer) = in_state("queued");
    assert_eq!(bench.request(&peer, 8, SLOW, b"x"), [Said::Progress(SlotState::Queued)]);
    let (mut bench, peer) = in_state("refused");
    let refused = bench.request(&peer, 8, MethodId(99), b"x");
    assert_eq!(refused, [Promise(Reason::UnknownMethod)]);
    assert_eq!(bench.request(&peer, 8, QUICK, b"x"), [Refusal(Reason::IdReused)]);
}

#[test]
fn fence_of_a_running_call_tells_its_handler_once() {
    let (mut bench, peer) = in_state("running");
    bench.fence(&peer, 8);
    bench.fence(&peer, 8);
    assert_eq!(bench.cancelled(), [8]);
    assert_eq!(bench.complete(&peer, 8, b"after all"), [reply(b"after all")]);
}

#[test]
fn fence_gives_the_reserved_room_back() {
    let (mut bench, peer) = in_state("queued");
    assert!(bench.server.reply_memory() > 0);
    bench.fence(&peer, 8);
    assert_eq!(bench.server.reply_memory(), 0);
    assert_eq!(bench.server.queued(), 0);
    assert_eq!(bench.run_for(20 * SECOND).len(), 0, "its timer is gone");
}

#[test]
fn answers_to_inquiries_go_to_who_asked_and_move_no_address() {
    let (mut bench, peer) = in_state("running");
    let other = route("198.51.100.7:99");
    let (session, call) = (peer.session, CallId(8));
    let message = FromClient::Status { session, call, proofs: Proofs::default() };
    let heard = bench.send(&other, 1, message);
    let [Heard { said: Said::Challenge(path), .. }] = heard[..] else {
        panic!("{heard:?}");
    };
    let proofs = Proofs { birth: None, path: Some(path) };
    let heard = bench.send(&other, 2, FromClient::Status { session, call, proofs });
    assert_eq!(said(&heard), [Said::Progress(SlotState::Running)]);
    assert_eq!((heard[0].to, heard[0].attempt), (other.remote, 2));
    let heard = bench.end(
        &peer,
        8,
        End::Done { status: Code::Ok, metadata: MetadataRef::EMPTY, body: b"y" },
    );
    assert_eq!(heard[0].to, peer.route.remote);
    bench.pass(10_000);
    let message = FromClient::Fence { session, call, proofs: Proofs::default() };
    let heard = bench.send(&other, 3, message);
    assert_eq!(said(&heard), [reply(b"y")], "body included");
    assert_eq!(heard[0].to, other.remote);
}

#[test]
fn call_ids_of_the_wrong_range_are_dropped() {
    let (mut bench, peer) = in_state("empty");
    assert_eq!(bench.request(&peer, W - 1, QUICK, b"x"), []);
    assert_eq!(bench.fence(&peer, W - 1), []);
    assert_eq!(bench.status(&peer, 1), []);
    let (session, call, proofs) = (peer.session, CallId(W), Proofs::default());
    assert!(bench.send(&peer.route, 1, FromClient::Ping { session, call, proofs }).is_empty());
    assert_eq!(bench.server.counters().received(Received::CallId), 4);
    assert_eq!(bench.started, []);
}

#[test]
fn who_asks_from_ever_new_addresses_leaves_the_client_its_own() {
    let mut bench = Bench::new();
    let peer = bench.open();
    bench.request(&peer, 4, SLOW, b"x");
    assert!(bench.claim().is_some());
    for port in 1..=3 {
        bench.pass(1_000_000);
        let asker = Peer { route: route(&format!("198.51.100.1:{port}")), ..peer };
        let [Said::Challenge(path)] = bench.status(&asker, 4)[..] else { panic!("no challenge") };
        let proofs = Proofs { birth: None, path: Some(path) };
        let (session, call) = (peer.session, CallId(4));
        let asked = FromClient::Status { session, call, proofs };
        let heard = bench.send(&asker.route, 2, asked);
        assert_eq!(said(&heard), [Said::Progress(SlotState::Running)]);
    }
    let heard = bench.end(
        &peer,
        4,
        End::Done { status: Code::Ok, metadata: MetadataRef::EMPTY, body: b"y" },
    );
    assert_eq!(heard[0].to, peer.route.remote, "the reply is the client's");
}
