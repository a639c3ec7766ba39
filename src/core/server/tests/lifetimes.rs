//! Leases, closing, tombstones.

use super::*;

/// A lease timer may go off so much later than it is due.
const LATE: u64 = 2 * SECOND;

#[test]
fn session_lives_for_its_lease_from_the_last_datagram() {
    let mut bench = Bench::new();
    let peer = bench.open();
    bench.run_for(299 * SECOND);
    assert_eq!(said(&bench.send(&peer.route, 1, ping(&peer, Proofs::default()))), [Said::Pong]);
    bench.run_for(300 * SECOND - 1);
    assert_eq!(bench.server.sessions(), 1);
    bench.run_for(LATE);
    assert_eq!(bench.server.sessions(), 0);
    assert_eq!(bench.server.memory(), 0);
    assert_eq!(bench.server.poll_timeout(), None);
}

#[test]
fn lease_ends_on_time_even_when_the_timer_is_late() {
    let mut bench = Bench::new();
    let peer = bench.open();
    bench.pass(300 * SECOND);
    let heard = bench.send(&peer.route, 1, ping(&peer, peer.proofs()));
    assert_eq!(said(&heard), [Refusal(Reason::UnknownSession)]);
    assert_eq!(bench.server.sessions(), 0);
}

#[test]
fn lease_counts_from_the_end_of_the_last_handler() {
    let mut bench = Bench::new();
    let peer = bench.open();
    bench.request(&peer, 4, SLOW, b"x");
    bench.claim().expect("a job");
    bench.run_for(1000 * SECOND);
    assert_eq!(bench.server.sessions(), 1, "its handler runs");
    assert_eq!(bench.complete(&peer, 4, b"y"), [reply(b"y")]);
    bench.run_for(299 * SECOND);
    assert_eq!(bench.server.sessions(), 1);
    // A timer that went off while the handler ran may be set later than the lease.
    bench.run_for(2 * SECOND);
    let heard = bench.send(&peer.route, 1, ping(&peer, Proofs::default()));
    assert_eq!(said(&heard), [Refusal(Reason::UnknownSession)]);
}

#[test]
fn closed_session_is_not_created_again_while_its_birth_lives_nor_after() {
    let mut bench = Bench::new();
    let peer = bench.open();
    bench.request(&peer, 4, QUICK, b"x");
    bench.complete(&peer, 4, b"y");
    assert_eq!(bench.close(&peer), []);
    assert_eq!((bench.server.sessions(), bench.server.tombstones()), (0, 1));
    assert!(bench.server.memory() < 100, "tombstones are small: {}", bench.server.memory());
    let again = request(&peer, 4, QUICK, b"x", 60 * SECOND, peer.proofs());
    for _ in 0..70 {
        let heard = bench.send(&peer.route, 1, again.clone());
        assert_eq!(said(&heard), [Refusal(Reason::UnknownSession)]);
        bench.run_for(SECOND);
    }
    assert_eq!(bench.server.tombstones(), 0);
    assert_eq!(bench.server.memory(), 0);
    assert_eq!(bench.runs(&peer, 4), 1);
    assert_eq!(bench.close(&peer), [], "of an unknown session, too");
}

#[test]
fn closing_is_effective_when_nothing_waits_or_runs() {
    let mut bench = Bench::new();
    let peer = bench.open();
    bench.request(&peer, 4, SLOW, b"x");
    bench.request(&peer, 5, QUICK, b"x");
    bench.close(&peer);
    assert_eq!(bench.server.sessions(), 1);
    // Nothing new begins; what is known is answered.
    assert_eq!(bench.request(&peer, 6, QUICK, b"x"), [Refusal(Reason::UnknownSession)]);
    assert_eq!(bench.fence(&peer, 6), [Refusal(Reason::UnknownSession)]);
    assert_eq!(bench.request(&peer, 4, SLOW, b"x"), [Said::Progress(SlotState::Queued)]);
    bench.complete(&peer, 5, b"y");
    assert_eq!(bench.server.sessions(), 1);
    bench.claim().expect("a job");
    bench.complete(&peer, 4, b"y");
    assert_eq!((bench.server.sessions(), bench.server.tombstones()), (0, 1));
    assert_eq!(bench.runs(&peer, 6), 0);
    assert_eq!(bench.server.running(), 0);
}

#[test]
fn closing_ends_with_a_call_that_expires_in_the_queue() {
    let mut bench = Bench::new();
    let peer = bench.open();
    bench.request(&peer, 4, SLOW, b"x");
    bench.close(&peer);
    bench.run_for(10 * SECOND);
    assert_eq!((bench.server.sessions(), bench.server.tombstones()), (0, 1));
}

#[test]
fn without_room_for_a_tombstone_the_session_stays_until_its_birth_has_died() {
    let mut bench = Bench::with(ServerConfig { max_tombstones: 0, ..config() });
    let peer = bench.open();
    bench.close(&peer);
    assert_eq!(bench.server.sessions(), 1);
    let message = request(&peer, 4, QUICK, b"x", 10 * SECOND, peer.proofs());
    assert_eq!(said(&bench.send(&peer.route, 1, message)), [Refusal(Reason::UnknownSession)]);
    bench.run_for(60 * SECOND + LATE);
    assert_eq!((bench.server.sessions(), bench.server.memory()), (0, 0));
    assert_eq!(bench.started, []);
}

#[test]
fn restarted_server_knows_no_old_session() {
    let mut bench = Bench::new();
    let peer = bench.open();
    bench.request(&peer, 4, QUICK, b"x");
    let epoch = bench.server.epoch();
    bench.server = Server::new(config(), methods(), Seed::from_number(2), bench.now).unwrap();
    bench.started.clear();
    let message = request(&peer, 4, QUICK, b"x", 10 * SECOND, peer.proofs());
    assert_eq!(said(&bench.send(&peer.route, 1, message)), [Refusal(Reason::UnknownSession)]);
    assert_ne!(bench.server.epoch(), epoch);
    assert_eq!(bench.started, []);
}

#[test]
fn configurations_that_break_a_promise_are_refused() {
    let second = Duration::from_secs;
    let check = |change: fn(&mut ServerConfig)| {
        let mut config = ServerConfig::default();
        change(&mut config);
        config.check()
    };
    assert_eq!(check(|_| ()), Ok(()));
    assert_eq!(check(|c| c.lease = Duration::from_secs(60)), Err(ConfigError::LeaseWithinBirth));
    assert_eq!(
        check(|c| c.longest_deadline = Duration::from_millis(60_001)),
        Err(ConfigError::LeaseTooShort)
    );
    assert_eq!(check(|c| c.window = 1), Err(ConfigError::Window));
    assert_eq!(check(|c| c.shard = 1), Err(ConfigError::Shard));
    assert_eq!(
        check(|c| c.lease = Duration::from_secs(50 * 86_400)),
        Err(ConfigError::LeaseTooLong)
    );
    assert_eq!(check(|c| c.longest_deadline = Duration::ZERO), Err(ConfigError::NoDeadline));
    assert_eq!(check(|c| c.max_sessions = 0), Err(ConfigError::Nothing));
    let new =
        |methods| Server::new(config(), methods, Seed::from_number(1), Time::ZERO + second(1));
    let twice = vec![MethodSpec::new(QUICK, Execution::Inline); 2];
    assert_eq!(new(twice).err(), Some(ConfigError::DuplicateMethod(QUICK)));
    let long = MethodSpec { longest_reply: 1185, ..MethodSpec::new(QUICK, Execution::Inline) };
    assert_eq!(new(vec![long]).err(), Some(ConfigError::ReplyTooLong(QUICK)));
}

#[test]
fn unknown_session_carries_the_clock_of_its_decision_however_late_it_is_sent() {
    let mut bench = Bench::new();
    let peer = bench.hello(&route("10.0.0.1:1000"));
    bench.pass(59 * SECOND + 999_990);
    // Asked without a birth, the session is unknown, just before its birth dies …
    let decided = bench.clock();
    let mut asked = Vec::new();
    let status =
        FromClient::Status { session: peer.session, call: CallId(8), proofs: Proofs::default() };
    Datagram { attempt: 1, message: status }.emit(&mut asked);
    bench.server.handle_datagram(bench.now, &route("10.0.0.2:1000"), &asked);
    // … and leaves only after that, when a request may have created it.
    bench.pass(SECOND);
    let heard = bench.drain();
    assert_eq!(said(&heard), [Refusal(Reason::UnknownSession)]);
    assert_eq!((heard[0].clock, heard[0].hold_us), (decided, 1_000_000));
}
