//! REQUEST against every state of its slot.

use super::*;

#[test]
fn older_new_same_while_running_same_when_done_next() {
    let mut bench = Bench::new();
    let peer = bench.open();
    assert_eq!(bench.request(&peer, 8, QUICK, b"eight"), []);
    assert_eq!(bench.complete(&peer, 8, b"EIGHT"), [reply(b"EIGHT")]);
    // Older: call 4 has the same slot.
    assert_eq!(bench.request(&peer, 4, QUICK, b"four"), [Refusal(Reason::Stale)]);
    // New.
    assert_eq!(bench.request(&peer, 12, QUICK, b"twelve"), []);
    // Same again while running.
    let running = Said::Progress(SlotState::Running);
    assert_eq!(bench.request(&peer, 12, QUICK, b"twelve"), std::slice::from_ref(&running));
    bench.pass(4_999);
    assert_eq!(bench.request(&peer, 12, QUICK, b"twelve"), [], "PROGRESS within 5 ms");
    bench.pass(1);
    assert_eq!(bench.request(&peer, 12, QUICK, b"twelve"), [running]);
    assert_eq!(bench.complete(&peer, 12, b"TWELVE"), [reply(b"TWELVE")]);
    // Same again when done.
    assert_eq!(bench.request(&peer, 12, QUICK, b"twelve"), [], "a replay within 1 ms");
    bench.pass(1_000);
    assert_eq!(bench.request(&peer, 12, QUICK, b"twelve"), [reply(b"TWELVE")]);
    // Next.
    assert_eq!(bench.request(&peer, 16, QUICK, b"sixteen"), []);
    assert_eq!(bench.request(&peer, 12, QUICK, b"twelve"), [Refusal(Reason::Stale)]);
    for (call, runs) in [(4, 0), (8, 1), (12, 1), (16, 1)] {
        assert_eq!(bench.runs(&peer, call), runs, "runs of call {call}");
    }
}

#[test]
fn same_call_with_another_body_or_method_is_an_error() {
    let mut bench = Bench::new();
    let peer = bench.open();
    bench.request(&peer, 4, QUICK, b"one");
    assert_eq!(bench.request(&peer, 4, QUICK, b"two"), [Refusal(Reason::IdReused)]);
    bench.complete(&peer, 4, b"ONE");
    bench.pass(SECOND);
    assert_eq!(bench.request(&peer, 4, QUICK, b"two"), [Refusal(Reason::IdReused)]);
    assert_eq!(bench.request(&peer, 4, SMALL, b"one"), [Refusal(Reason::IdReused)]);
    assert_eq!(bench.request(&peer, 4, QUICK, b"one"), [reply(b"ONE")]);
    assert_eq!(bench.runs(&peer, 4), 1);
}

#[test]
fn queued_call_answers_progress_and_runs_once() {
    let mut bench = Bench::new();
    let peer = bench.open();
    assert_eq!(bench.request(&peer, 5, SLOW, b"x"), []);
    assert_eq!(bench.request(&peer, 5, SLOW, b"x"), [Said::Progress(SlotState::Queued)]);
    let job = bench.claim().expect("a job");
    assert_eq!((job.key, job.method, &job.body[..]), (key(&peer, 5), 1, &b"x"[..]));
    assert_eq!(job.expiry, Time::from_micros(87 * SECOND));
    assert_eq!(bench.claim(), None);
    bench.pass(5_000);
    assert_eq!(bench.request(&peer, 5, SLOW, b"x"), [Said::Progress(SlotState::Running)]);
    assert_eq!(bench.complete(&peer, 5, b"y"), [reply(b"y")]);
    bench.server.recycle(job.body);
    bench.pass(SECOND);
    assert_eq!(bench.request(&peer, 5, SLOW, b"x"), [reply(b"y")]);
    assert_eq!(bench.runs(&peer, 5), 1);
}

#[test]
fn progress_goes_unasked_once_after_200_ms() {
    let mut bench = Bench::new();
    let peer = bench.open();
    bench.request(&peer, 5, SLOW, b"x");
    assert!(bench.run_for(199_999).is_empty());
    let heard = bench.run_for(1);
    assert_eq!(said(&heard), [Said::Progress(SlotState::Queued)]);
    assert_eq!(heard[0].hold_us, 200_000);
    assert!(bench.run_for(9 * SECOND).is_empty());
}

#[test]
fn answer_names_the_latest_copy_and_how_long_it_was_held() {
    let mut bench = Bench::new();
    let peer = bench.open();
    let copy =
        |attempt: u8| (attempt, request(&peer, 5, SLOW, b"x", 10 * SECOND, Proofs::default()));
    let (attempt, message) = copy(1);
    bench.send(&peer.route, attempt, message);
    bench.pass(30_000);
    let (attempt, message) = copy(2);
    let heard = bench.send(&peer.route, attempt, message);
    assert_eq!((heard[0].attempt, heard[0].hold_us), (2, 0));
    bench.pass(1_000);
    // Not answered itself, but it is the latest.
    let (attempt, message) = copy(3);
    assert!(bench.send(&peer.route, attempt, message).is_empty());
    bench.pass(7_000);
    bench.claim();
    let heard = bench.end(
        &peer,
        5,
        End::Done { status: Code::Ok, metadata: MetadataRef::EMPTY, body: b"y" },
    );
    assert_eq!((heard[0].attempt, heard[0].hold_us), (3, 7_000));
    assert_eq!(heard[0].clock, bench.clock());
}

#[test]
fn acknowledged_reply_is_gone_and_its_call_executed() {
    let mut bench = Bench::new();
    let peer = bench.open();
    bench.request(&peer, 4, QUICK, b"x");
    assert_eq!(bench.ack(&peer, 4, 2), [], "ACK of a running call");
    bench.complete(&peer, 4, &[7; 200]);
    let used = bench.server.reply_memory();
    assert!(used >= 200);
    bench.ack(&peer, 4, 1);
    assert_eq!(bench.server.reply_memory(), used, "two cells, one acknowledged");
    bench.ack(&peer, 4, 2);
    assert_eq!(bench.server.reply_memory(), 0);
    bench.pass(SECOND);
    assert_eq!(bench.request(&peer, 4, QUICK, b"x"), [Refusal(Reason::ReplyGone)]);
    assert_eq!(bench.runs(&peer, 4), 1);
}

#[test]
fn late_completion_is_dropped_when_the_slot_has_moved_on() {
    let mut bench = Bench::new();
    let peer = bench.open();
    bench.request(&peer, 4, QUICK, b"old");
    bench.request(&peer, 8, QUICK, b"new");
    assert_eq!(bench.cancelled(), [4]);
    assert_eq!(bench.server.running(), 2);
    assert_eq!(bench.complete(&peer, 4, b"OLD"), []);
    assert_eq!(bench.server.running(), 1);
    assert_eq!(bench.complete(&peer, 8, b"NEW"), [reply(b"NEW")]);
    // Nothing runs any more: neither again.
    assert_eq!(bench.complete(&peer, 4, b"OLD"), []);
    assert_eq!(bench.complete(&peer, 8, b"OTHER"), []);
    bench.pass(SECOND);
    assert_eq!(bench.request(&peer, 8, QUICK, b"new"), [reply(b"NEW")]);
    assert_eq!(bench.server.counters().done(Done::StrayCompletion), 2);
}

#[test]
fn superseded_call_that_waits_never_runs() {
    let mut bench = Bench::new();
    let peer = bench.open();
    bench.request(&peer, 4, SLOW, b"old");
    bench.request(&peer, 8, SLOW, b"new");
    assert_eq!(bench.claim().map(|job| job.key), Some(key(&peer, 8)));
    assert_eq!(bench.claim(), None);
    assert_eq!(bench.runs(&peer, 4), 0);
}

#[test]
fn reply_longer_than_declared_is_an_error_and_executed() {
    let mut bench = Bench::new();
    let peer = bench.open();
    bench.request(&peer, 4, SMALL, b"x");
    let heard = bench.complete(&peer, 4, b"123456789");
    assert!(matches!(&heard[..], [Said::Reply(Code::ResourceExhausted, _)]), "{heard:?}");
    // An error's text has room whatever the method declares; one beyond all bounds is cut.
    bench.request(&peer, 5, SMALL, b"x");
    let mut body = vec![0x0f, 0xff];
    body.resize(0x0fff + 2, b'e');
    let heard = bench.end(
        &peer,
        5,
        End::Done { status: Code::Internal, metadata: MetadataRef::EMPTY, body: &body },
    );
    assert_eq!(heard[0].len, 48 + 256);
}

/// Answers these calls, from 256 on, and gives what is heard in one go.
fn answered(bench: &mut Bench, peer: &Peer, bodies: &[&[u8]]) -> Vec<Heard> {
    let calls = 256..256 + bodies.len() as u64;
    for call in calls.clone() {
        bench.request(peer, call, QUICK, b"x");
    }
    for (call, body) in calls.zip(bodies) {
        let end = End::Done { status: Code::Ok, metadata: MetadataRef::EMPTY, body };
        bench.server.complete(bench.now, key(peer, call), end);
    }
    bench.drain()
}

#[test]
fn replies_of_one_size_to_one_client_leave_together() {
    let mut bench = Bench::with(ServerConfig { window: 256, ..config() });
    let peer = bench.open();
    let mut bodies = vec![&b"y"[..]; 200];
    bodies[44] = &[b'z'; 100];
    assert_eq!(answered(&mut bench, &peer, &bodies).len(), 200);
    assert_eq!(bench.segments, [44, 1, 64, 64, 27]);
}

#[test]
fn replies_of_nearly_one_size_leave_together_and_say_what_they_would_have_said() {
    let mut bench = Bench::with(ServerConfig { window: 256, ..config() });
    let peer = bench.open();
    let bodies: Vec<_> = (0..64u8).map(|n| vec![n; 2 + usize::from(n % 10)]).collect();
    let slices: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
    let heard = answered(&mut bench, &peer, &slices);
    assert_eq!(bench.segments, [64]);
    for (heard, body) in heard.iter().zip(&bodies) {
        assert_eq!((heard.len, &heard.said), (48 + 11 + 4, &reply(body)));
    }
    // A duplicate of one is answered by the reply alone, not padded.
    bench.pass(1_000);
    let message = request(&peer, 256, QUICK, b"x", 10 * SECOND, Proofs::default());
    let heard = bench.send(&peer.route, 2, message);
    assert_eq!((heard[0].len, &heard[0].said), (48 + 2, &reply(&bodies[0])));
}

#[test]
fn steady_calls_reuse_the_slots_buffer() {
    let mut bench = Bench::new();
    let peer = bench.open();
    let mut memory = None;
    for call in (4..400).step_by(4) {
        bench.request(&peer, call, QUICK, b"x");
        bench.complete(&peer, call, &[1; 100]);
        let now = (bench.server.memory(), bench.server.reply_memory());
        assert_eq!(*memory.get_or_insert(now), now);
    }
}
