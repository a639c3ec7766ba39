//! Memory and caps: refused, never taken from what lives.

use super::*;

/// The answer to a first PING from this address.
fn knock(bench: &mut Bench, address: &str) -> Vec<Said> {
    let peer = bench.hello(&route(address));
    said(&bench.send(&peer.route, 1, ping(&peer, peer.proofs())))
}

#[test]
fn sessions_are_capped_in_total() {
    let mut bench = Bench::with(ServerConfig { max_sessions: 2, ..config() });
    assert_eq!(knock(&mut bench, "192.0.2.1:1"), [Said::Pong]);
    assert_eq!(knock(&mut bench, "192.0.2.2:1"), [Said::Pong]);
    assert_eq!(knock(&mut bench, "192.0.2.3:1"), [Refusal(Reason::NoRoomForSession)]);
    assert_eq!(bench.server.sessions(), 2);
}

#[test]
fn sessions_are_capped_for_each_source() {
    let mut bench = Bench::with(ServerConfig { max_sessions_per_source: 1, ..config() });
    let cases = [
        ("192.0.2.1:1", true),
        ("192.0.2.1:2", false),
        ("[::ffff:192.0.2.1]:3", false),
        ("192.0.2.2:1", true),
        ("[2001:db8:0:1::1]:1", true),
        ("[2001:db8:0:1:ffff::2]:1", false),
        ("[2001:db8:0:2::1]:1", true),
    ];
    for (address, fits) in cases {
        let expected = if fits { Said::Pong } else { Refusal(Reason::NoRoomForSession) };
        assert_eq!(knock(&mut bench, address), [expected], "{address}");
    }
    let peer = bench.hello(&route("192.0.2.9:1"));
    bench.send(&peer.route, 1, ping(&peer, peer.proofs()));
    bench.close(&peer);
    assert_eq!(knock(&mut bench, "192.0.2.9:1"), [Said::Pong], "a closed session counts no more");
}

#[test]
fn no_room_for_a_record_records_nothing_and_promises_nothing() {
    let mut bench = Bench::new();
    bench.open();
    let full = bench.server.memory();
    let mut bench = Bench::with(ServerConfig { record_memory: full, ..config() });
    let peer = bench.open();
    assert_eq!(bench.request(&peer, 4, QUICK, b"x"), [Refusal(Reason::NoRoomForRecord)]);
    assert_eq!(bench.fence(&peer, 4), [Refusal(Reason::NoRoomForRecord)]);
    assert_eq!(bench.status(&peer, 4), [Said::Progress(SlotState::Empty)]);
    assert_eq!(bench.server.memory(), full);
    assert_eq!(bench.started, []);
}

/// Source, index and the allocator's part included.
#[test]
fn idle_session_of_one_call_takes_little_and_all_of_it_is_counted() {
    let mut bench = Bench::new();
    let mut before = 0;
    for n in 0..100u8 {
        let peer = bench.hello(&route(&format!("192.0.2.{n}:1000")));
        let message = request(&peer, 4, QUICK, b"x", 10 * SECOND, peer.proofs());
        bench.send(&peer.route, 1, message);
        bench.complete(&peer, 4, b"a short reply");
        let more = bench.server.memory() - before;
        assert!(more <= 256, "{more}");
        before += more;
    }
    assert_eq!(bench.server.reply_memory(), 0, "short replies take no block");
}

#[test]
fn high_slot_costs_no_more_than_one_page() {
    let mut bench = Bench::with(ServerConfig { window: 4096, ..config() });
    let peer = bench.open();
    let before = bench.server.record_memory();
    bench.request(&peer, 4096 + 4095, QUICK, b"x");
    let page = bench.server.record_memory() - before;
    assert!(page < 4096, "{page}");
    bench.request(&peer, 3 * 4096, QUICK, b"x");
    assert!(bench.server.record_memory() - before - page < 256, "one record for one call");
    // In any order of slots, every call finds its own record.
    for slot in (0..4096).rev().step_by(7) {
        assert_eq!(bench.request(&peer, 5 * 4096 + slot, QUICK, b"x"), [], "{slot}");
        assert_eq!(
            bench.request(&peer, 5 * 4096 + slot, QUICK, b"x"),
            [Said::Progress(SlotState::Running)]
        );
    }
}

#[test]
fn replies_are_given_up_5_s_past_their_expiry_when_memory_is_short() {
    let room = crate::wire::MAX_BODY;
    let mut bench = Bench::with(ServerConfig { reply_memory: 3 * room, ..config() });
    let peer = bench.open();
    for call in [4, 5] {
        bench.request_until(&peer, call, QUICK, b"x", 10 * SECOND);
        bench.complete(&peer, call, &[1; 1184]);
    }
    bench.request_until(&peer, 6, QUICK, b"x", 50 * SECOND);
    bench.complete(&peer, 6, &[1; 1184]);
    bench.pass(15 * SECOND - bench.clock());
    let full = bench.request_until(&peer, 7, QUICK, b"x", 50 * SECOND);
    assert_eq!(full, [Promise(Reason::NoRoomForReply)]);
    bench.pass(SECOND);
    assert_eq!(bench.request_until(&peer, 11, QUICK, b"x", 50 * SECOND), []);
    assert_eq!(bench.status(&peer, 4), [Refusal(Reason::ReplyGone)], "the record stays");
    assert_eq!(
        bench.request_until(&peer, 4, QUICK, b"x", 10 * SECOND),
        [Refusal(Reason::ReplyGone)]
    );
    assert_eq!(bench.status(&peer, 6), [reply(&[1; 1184])]);
    assert!(bench.server.reply_memory() <= 3 * room);
    assert_eq!(bench.server.counters().done(Done::ReplyReclaimed), 2);
}

#[test]
fn idle_session_is_compacted_to_the_number_below_which_all_is_stale() {
    let run = |record_memory| {
        let mut bench = Bench::with(ServerConfig { record_memory, window: 16, ..config() });
        let peer = bench.open();
        for call in 16..24 {
            bench.request(&peer, call, QUICK, b"x");
            bench.complete(&peer, call, b"y");
        }
        (bench, peer)
    };
    let whole = run(usize::MAX).0.server.record_memory();
    let (mut bench, peer) = run(whole);
    let calls = bench.started.clone();
    bench.pass(65 * SECOND);
    bench.server.handle_timeout(bench.now);
    assert_eq!(bench.server.counters().done(Done::SessionCompacted), 0, "not before 65 s");
    bench.pass(SECOND);
    bench.server.handle_timeout(bench.now);
    assert_eq!(bench.server.counters().done(Done::SessionCompacted), 1);
    assert!(bench.server.record_memory() < whole);
    assert_eq!(bench.server.reply_memory(), 0);
    // All ids up to the highest are stale; larger ones are new.
    for call in 16..24 {
        let expiry = 100 * SECOND;
        assert_eq!(bench.request_until(&peer, call, QUICK, b"x", expiry), [Refusal(Reason::Stale)]);
        assert_eq!(bench.fence(&peer, call), [Refusal(Reason::Stale)]);
        assert_eq!(bench.status(&peer, call), [Refusal(Reason::Stale)]);
    }
    assert_eq!(bench.started, calls);
    assert_eq!(bench.request_until(&peer, 32, QUICK, b"x", 100 * SECOND), []);
    assert_eq!(bench.runs(&peer, 32), 1);
}

#[test]
fn session_in_which_nothing_was_queued_goes_when_room_is_needed_and_its_birth_has_died() {
    let mut bench = Bench::with(ServerConfig { max_sessions: 2, ..config() });
    let used = bench.open();
    bench.request(&used, 4, QUICK, b"x");
    bench.complete(&used, 4, b"y");
    assert_eq!(knock(&mut bench, "192.0.2.2:1"), [Said::Pong]);
    bench.run_for(58 * SECOND);
    assert_eq!(knock(&mut bench, "192.0.2.3:1"), [Refusal(Reason::NoRoomForSession)]);
    bench.run_for(3 * SECOND);
    assert_eq!(knock(&mut bench, "192.0.2.3:1"), [Said::Pong]);
    assert_eq!(bench.server.sessions(), 2);
    assert_eq!(bench.status(&used, 4), [reply(b"y")], "nothing of a session in use is touched");
}

#[test]
fn answers_beyond_the_cap_are_dropped_and_fetched_by_a_duplicate() {
    let mut bench = Bench::with(ServerConfig { max_answers: 2, ..config() });
    let peer = bench.open();
    for call in 4..8 {
        bench.request(&peer, call, QUICK, b"x");
    }
    for call in 4..8 {
        let end = End::Done { status: Code::Ok, metadata: MetadataRef::EMPTY, body: b"y" };
        bench.server.complete(bench.now, key(&peer, call), end);
    }
    assert_eq!(bench.drain().len(), 2);
    assert_eq!(bench.server.counters().done(Done::AnswerDropped), 2);
    bench.pass(1_000);
    assert_eq!(bench.request(&peer, 7, QUICK, b"x"), [reply(b"y")]);
}

#[test]
fn flood_stays_within_the_budgets() {
    let config = ServerConfig {
        record_memory: 100_000,
        reply_memory: 20_000,
        max_tombstones: 20,
        ..config()
    };
    let mut bench = Bench::with(config);
    for host in 0..400u32 {
        let peer = bench.hello(&route(&format!("10.0.{}.{}:9", host / 256, host % 256)));
        bench.send(&peer.route, 1, ping(&peer, peer.proofs()));
        for call in 4..12 {
            let method = if call % 3 == 0 { SLOW } else { QUICK };
            bench.request_until(&peer, call, method, &[2; 900], bench.clock() + 3 * SECOND);
            bench.complete(&peer, call, &[3; 600]);
        }
        if host % 3 == 0 {
            bench.close(&peer);
        }
        assert!(bench.server.record_memory() <= 100_000);
        assert!(bench.server.reply_memory() <= 20_000);
        bench.run_for(SECOND);
    }
    while bench.claim().is_some() {}
    let started = bench.started.clone();
    for key in started {
        bench.server.complete(bench.now, key, End::NotStarted(Reason::Expired));
    }
    bench.drain();
    bench.run_for(700 * SECOND);
    assert_eq!((bench.server.sessions(), bench.server.tombstones()), (0, 0));
    assert_eq!((bench.server.record_memory(), bench.server.reply_memory()), (0, 0));
}
