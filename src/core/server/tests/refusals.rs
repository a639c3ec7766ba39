//! Every refusal is recorded before it is said: its duplicate is refused again and never starts.

use super::*;

/// A refused call stays refused, whatever has become of the reason.
#[track_caller]
fn stays_refused(bench: &mut Bench, peer: &Peer, call: u64, again: FromClient<'_>, reason: Reason) {
    for wait in [0, 10_000, SECOND] {
        bench.pass(wait);
        let heard = bench.send(&peer.route, 2, again.clone());
        assert_eq!(said(&heard), [Promise(reason)]);
        assert_eq!(bench.claim().filter(|job| job.key.call == CallId(call)), None);
    }
    assert_eq!(bench.runs(peer, call), 0);
    assert_eq!(bench.server.counters().refused(reason), 1);
}

#[test]
fn duplicate_of_a_call_refused_for_itself_is_refused_again() {
    let whole = |peer: &Peer| request(peer, 4, QUICK, b"x", 10 * SECOND, Proofs::default());
    type Spoil = fn(&mut FromClient<'_>);
    let cases: [(Reason, Spoil); 6] = [
        (Reason::Expired, |r| {
            if let FromClient::Request { expiry, .. } = r {
                *expiry = 0;
            }
        }),
        (Reason::DeadlineTooFar, |r| {
            if let FromClient::Request { expiry, .. } = r {
                *expiry = 60 * SECOND + 1;
            }
        }),
        (Reason::UnknownMethod, |r| {
            if let FromClient::Request { method, .. } = r {
                *method = MethodId(3);
            }
        }),
        (Reason::UnsupportedShape, |r| {
            if let FromClient::Request { flags, .. } = r {
                *flags = Flags::BEGIN | Flags::END;
            }
        }),
        (Reason::UnsupportedShape, |r| {
            if let FromClient::Request { cell, .. } = r {
                *cell = 1;
            }
        }),
        (Reason::RequestTooLarge, |r| {
            if let FromClient::Request { method, body, .. } = r {
                *method = SMALL;
                *body = b"123456789";
            }
        }),
    ];
    for (reason, spoil) in cases {
        let mut bench = Bench::new();
        let peer = bench.open();
        let mut message = whole(&peer);
        spoil(&mut message);
        assert_eq!(said(&bench.send(&peer.route, 1, message.clone())), [Promise(reason)]);
        stays_refused(&mut bench, &peer, 4, message, reason);
    }
}

#[test]
fn unknown_critical_option_refuses_and_unknown_elective_is_skipped() {
    let mut bench = Bench::new();
    let peer = bench.open();
    let with_option = |call: u64, kind: u8| {
        let mut bytes = Vec::new();
        let option = [kind, 1, 0, 0, 7];
        let message = request(&peer, call, QUICK, &option, 10 * SECOND, Proofs::default());
        Datagram { attempt: 1, message }.emit(&mut bytes);
        // The first four bytes of the body become an option.
        bytes[47] = 1;
        crate::wire::seal(&mut bytes);
        bytes
    };
    let critical = with_option(4, 0xf0);
    for _ in 0..2 {
        assert_eq!(said(&bench.raw(&peer.route, &critical)), [Promise(Reason::UnknownOption)]);
    }
    assert_eq!(bench.runs(&peer, 4), 0);
    assert_eq!(said(&bench.raw(&peer.route, &with_option(5, 0x70))), []);
    assert_eq!(bench.runs(&peer, 5), 1);
    // It is part of what the request is.
    assert_eq!(said(&bench.raw(&peer.route, &with_option(5, 0x71))), [Refusal(Reason::IdReused)]);
}

#[test]
fn full_queue_refuses_and_stays_refused_when_there_is_room() {
    let mut bench = Bench::with(ServerConfig { max_queued: 1, ..config() });
    let peer = bench.open();
    bench.request(&peer, 4, SLOW, b"x");
    let message = request(&peer, 5, SLOW, b"x", 10 * SECOND, Proofs::default());
    let heard = bench.send(&peer.route, 1, message.clone());
    assert_eq!(said(&heard), [Promise(Reason::Overloaded)]);
    bench.claim().expect("a job");
    stays_refused(&mut bench, &peer, 5, message, Reason::Overloaded);
    // The next one has the room.
    assert_eq!(bench.request(&peer, 6, SLOW, b"x"), []);
}

#[test]
fn no_room_for_the_reply_refuses_and_stays_refused() {
    let room = crate::wire::MAX_BODY;
    let mut bench = Bench::with(ServerConfig { reply_memory: room, ..config() });
    let peer = bench.open();
    bench.request(&peer, 4, QUICK, b"x");
    let message = request(&peer, 5, QUICK, b"x", 10 * SECOND, Proofs::default());
    let heard = bench.send(&peer.route, 1, message.clone());
    assert_eq!(said(&heard), [Promise(Reason::NoRoomForReply)]);
    bench.complete(&peer, 4, b"y");
    bench.ack(&peer, 4, 1);
    assert_eq!(bench.server.reply_memory(), 0);
    stays_refused(&mut bench, &peer, 5, message, Reason::NoRoomForReply);
    assert_eq!(bench.request(&peer, 6, QUICK, b"x"), []);
}

#[test]
fn handlers_of_superseded_calls_count_against_their_session() {
    let mut bench = Bench::new();
    let peer = bench.open();
    for call in 4..8 {
        assert_eq!(bench.request(&peer, call, QUICK, b"x"), []);
    }
    let message = request(&peer, 8, QUICK, b"x", 10 * SECOND, Proofs::default());
    let heard = bench.send(&peer.route, 1, message.clone());
    assert_eq!(said(&heard), [Promise(Reason::TooManyRunning)]);
    assert_eq!(bench.complete(&peer, 4, b"late"), []);
    stays_refused(&mut bench, &peer, 8, message, Reason::TooManyRunning);
    assert_eq!(bench.request(&peer, 12, QUICK, b"x"), []);
    assert_eq!(bench.runs(&peer, 12), 1);
}

#[test]
fn call_that_expires_in_the_queue_is_refused_and_its_client_told() {
    let mut bench = Bench::new();
    let peer = bench.open();
    bench.request_until(&peer, 4, SLOW, b"x", 100_000);
    let heard = bench.run_for(100_000);
    assert_eq!(said(&heard), [Promise(Reason::Expired)]);
    assert_eq!(bench.claim(), None);
    assert_eq!(bench.request_until(&peer, 4, SLOW, b"x", 100_000), [Promise(Reason::Expired)]);
    // Nor when the timer is late.
    bench.request_until(&peer, 5, SLOW, b"x", 300_000);
    bench.pass(200_000);
    assert_eq!(bench.claim(), None);
    assert_eq!(said(&bench.drain()), [Promise(Reason::Expired)]);
    assert_eq!(bench.started, []);
    assert_eq!(bench.server.reply_memory(), 0);
}

#[test]
fn call_that_its_worker_did_not_start_is_refused() {
    let mut bench = Bench::new();
    let peer = bench.open();
    bench.request(&peer, 4, SLOW, b"x");
    bench.claim().expect("a job");
    let heard = bench.end(&peer, 4, End::NotStarted(Reason::Expired));
    assert_eq!(said(&heard), [Promise(Reason::Expired)]);
    bench.pass(10_000);
    assert_eq!(bench.request(&peer, 4, SLOW, b"x"), [Promise(Reason::Expired)]);
    assert_eq!(bench.claim(), None);
    assert_eq!(bench.server.reply_memory(), 0);
}

#[test]
fn handler_that_runs_past_its_expiry_is_told_and_its_reply_counts() {
    let mut bench = Bench::new();
    let peer = bench.open();
    bench.request_until(&peer, 4, SLOW, b"x", SECOND);
    bench.claim().expect("a job");
    bench.run_for(SECOND - 1);
    assert!(bench.cancelled().is_empty());
    bench.run_for(1);
    assert_eq!(bench.cancelled(), [4]);
    bench.run_for(SECOND);
    assert!(bench.cancelled().is_empty());
    assert_eq!(bench.complete(&peer, 4, b"late"), [reply(b"late")]);
}

#[test]
fn draining_refuses_new_calls_and_finishes_what_there_is() {
    let mut bench = Bench::new();
    let peer = bench.open();
    bench.request(&peer, 4, QUICK, b"x");
    bench.complete(&peer, 4, b"y");
    bench.request(&peer, 5, SLOW, b"x");
    bench.server.drain(bench.now);
    assert!(!bench.server.is_drained());
    bench.pass(10_000);
    assert_eq!(bench.request(&peer, 6, QUICK, b"x"), [Promise(Reason::Draining)]);
    assert_eq!(bench.request(&peer, 6, QUICK, b"x"), [Promise(Reason::Draining)]);
    assert_eq!(bench.request(&peer, 4, QUICK, b"x"), [reply(b"y")], "duplicates are answered");
    let message = ping(&peer, Proofs::default());
    assert_eq!(said(&bench.send(&peer.route, 1, message)), [Said::Goaway]);
    // A first datagram still creates its session, so that the refusal can be recorded.
    let late = bench.hello(&route("192.0.2.9:9"));
    let message = request(&late, 4, QUICK, b"x", 10 * SECOND, late.proofs());
    assert_eq!(said(&bench.send(&late.route, 1, message)), [Promise(Reason::Draining)]);
    assert_eq!(bench.server.sessions(), 2);
    bench.claim().expect("what waits is finished");
    assert!(!bench.server.is_drained());
    bench.complete(&peer, 5, b"y");
    assert!(bench.server.is_drained());
    assert_eq!(bench.runs(&peer, 6) + bench.runs(&late, 4), 0);
}
