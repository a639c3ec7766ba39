//! HELLO: candidates, refusals by the network, versions, what is kept of the answers.

use super::*;

fn two() -> Vec<SocketAddr> {
    vec!["[2001:db8::1]:5860".parse().unwrap(), server()]
}

#[test]
fn first_call_is_sent_after_one_round_trip_with_both_proofs() {
    let mut bench = Bench::new(ClientConfig::default());
    let handle = bench.call(10 * SECOND);
    bench.shake();
    let request = bench.one();
    assert!(request.proofs().birth.is_some() && request.proofs().path.is_some());
    assert_eq!(request.ids().1, CallId(64));
    assert_eq!(request.attempt, 1);
    bench.pass(5 * MS);
    bench.reply(&request, b"seven");
    let reply = bench.ended(handle).unwrap();
    assert_eq!(reply.body, b"seven");
    assert_eq!((reply.attempts, reply.issues, reply.at_least_once), (1, 1, false));
    assert_eq!(reply.elapsed, RTT + 5 * MS);
}

#[test]
fn hello_backs_off_from_a_second_with_jitter_that_only_lengthens() {
    let mut bench = Bench::new(ClientConfig::default());
    bench.call(30 * SECOND);
    let hellos = bench.pass(29 * SECOND);
    let gaps: Vec<f64> =
        hellos.windows(2).map(|pair| pair[1].at.since(pair[0].at).as_secs_f64()).collect();
    assert!(gaps.len() >= 3, "{gaps:?}");
    for (gap, least) in gaps.iter().zip([1.0, 2.0, 4.0, 8.0]) {
        assert!((least..=least * 1.25).contains(gap), "{gaps:?}");
    }
    let attempts: Vec<u8> = hellos.iter().map(|hello| hello.attempt).collect();
    assert_eq!(attempts.first(), Some(&1));
    assert!(attempts.windows(2).all(|pair| pair[1] == pair[0] + 1));
    assert!(hellos.iter().all(|hello| hello.what == hellos[0].what), "one nonce");
}

#[test]
fn call_after_a_long_outage_brings_a_hello_of_its_own() {
    let mut bench = Bench::new(ClientConfig::default());
    bench.call(60 * SECOND);
    // HELLOs go at 0, 1, 3, 7, 15, 31 and 63 s, and a little later each.
    bench.pass(45 * SECOND);
    bench.call(60 * SECOND);
    let sent = bench.pass(10 * MS);
    assert_eq!(sent.iter().filter(|sent| sent.is_hello()).count(), 1);
    // One in 3 s, however many calls come.
    let mut sent = Vec::new();
    for _ in 0..100 {
        bench.call(60 * SECOND);
        sent.extend(bench.pass(100 * MS));
    }
    assert!(sent.iter().filter(|sent| sent.is_hello()).count() <= 3, "{sent:?}");
}

#[test]
fn handshake_gives_the_first_sample_by_the_attempt_that_was_answered() {
    let mut bench = Bench::new(ClientConfig::default());
    bench.call(30 * SECOND);
    let _lost = bench.one();
    let second = bench.next_sent();
    bench.pass(RTT);
    bench.hello_ack(&second);
    let info = bench.client.info(bench.now).unwrap();
    assert_eq!(info.srtt, Some(RTT));
    assert_eq!(info.rto, RTO);
    assert_eq!(info.software, "test");
}

#[test]
fn only_the_first_answer_to_a_nonce_is_kept() {
    let mut bench = Bench::new(ClientConfig::default());
    bench.call(10 * SECOND);
    let hello = bench.one();
    bench.hello_ack(&hello);
    let kept = bench.session;
    bench.hello_ack(&hello);
    assert_eq!(bench.one().ids().0, kept);
    assert_eq!(bench.client.counters().dropped_stray, 1);
}

#[test]
fn answer_from_a_place_that_was_not_asked_is_dropped() {
    let mut bench = Bench::new(ClientConfig::default());
    bench.call(10 * SECOND);
    let mut hello = bench.one();
    hello.to = "192.0.2.9:5860".parse().unwrap();
    bench.hello_ack(&hello);
    bench.silent();
    assert_eq!(bench.client.counters().dropped_source, 1);
}

#[test]
fn addresses_of_a_name_are_tried_in_turn_and_the_first_to_answer_is_bound() {
    let mut bench = Bench::with_servers(ClientConfig::default(), two());
    bench.call(30 * SECOND);
    let first = bench.one();
    assert_eq!(first.to, two()[0]);
    let second = bench.next_sent();
    assert_eq!(second.to, two()[1]);
    bench.hello_ack(&second);
    let request = bench.one();
    assert_eq!(request.to, two()[1]);
    bench.reply(&request, b"");
    // Later handshakes go there first.
    bench.client.close(bench.now);
    assert!(bench.one().is_close());
    bench.call(SECOND);
    assert_eq!(bench.one().to, two()[1]);
}

#[test]
fn refused_address_hands_over_to_the_next_at_once() {
    let mut bench = Bench::with_servers(ClientConfig::default(), two());
    let handle = bench.call(30 * SECOND);
    bench.one();
    bench.client.handle_refused(bench.now, two()[0]);
    let second = bench.one();
    assert_eq!(second.to, two()[1]);
    bench.running(handle);
    bench.client.handle_refused(bench.now, two()[1]);
    let error = bench.failed(handle);
    assert_eq!(error.code, Code::Unavailable);
    assert_eq!(error.outcome, NEVER_SENT);
    assert_eq!(error.message, "nothing listens at [2001:db8::1]:5860 or 192.0.2.1:5860");
    assert_eq!(error.attempts, 0);
}

#[test]
fn refusal_by_a_place_that_was_not_asked_is_no_hint() {
    let mut bench = Bench::new(ClientConfig::default());
    let handle = bench.call(30 * SECOND);
    bench.client.handle_refused(bench.now, server());
    bench.running(handle);
    bench.one();
    bench.client.handle_refused(bench.now, two()[0]);
    bench.running(handle);
}

#[test]
fn who_waits_for_the_server_tries_again_within_a_second_or_so() {
    let config = ClientConfig { wait_for_server: true, ..ClientConfig::default() };
    let mut bench = Bench::new(config);
    let handle = bench.call(20 * SECOND);
    let mut hello = bench.one();
    for _ in 0..8 {
        bench.client.handle_refused(bench.now, server());
        bench.silent();
        let next = bench.next_sent();
        assert!(next.at.since(hello.at) <= SECOND * 5 / 4, "{hello:?} {next:?}");
        hello = next;
    }
    bench.running(handle);
    bench.hello_ack(&hello);
    assert!(bench.one().is_request());
}

#[test]
fn loopback_server_that_comes_up_is_found_sooner() {
    let loopback: SocketAddr = "127.0.0.1:5860".parse().unwrap();
    let config = ClientConfig { wait_for_server: true, ..ClientConfig::default() };
    let mut bench = Bench::with_servers(config, vec![loopback]);
    bench.call(20 * SECOND);
    let hello = bench.one();
    bench.client.handle_refused(bench.now, loopback);
    let next = bench.next_sent();
    assert!(next.at.since(hello.at) <= 125 * MS);
}

#[test]
fn waiting_for_a_server_ends_at_the_deadline_as_not_executed() {
    let config = ClientConfig { wait_for_server: true, ..ClientConfig::default() };
    let mut bench = Bench::new(config);
    let handle = bench.call(3 * SECOND);
    bench.one();
    bench.client.handle_refused(bench.now, server());
    bench.pass(4 * SECOND);
    let error = bench.failed(handle);
    assert_eq!((error.code, error.outcome), (Code::DeadlineExceeded, NEVER_SENT));
    assert!(error.message.starts_with("nothing listened at 192.0.2.1:5860"), "{error}");
}

#[test]
fn silent_server_is_said_at_the_deadline_with_the_hellos() {
    let mut bench = Bench::new(ClientConfig::default());
    let handle = bench.call(2 * SECOND);
    bench.pass(3 * SECOND);
    let error = bench.failed(handle);
    assert_eq!((error.code, error.outcome), (Code::DeadlineExceeded, NEVER_SENT));
    assert_eq!(error.message, "deadline exceeded: no answer from 192.0.2.1:5860 to 2 HELLOs");
    assert_eq!(error.elapsed, 2 * SECOND);
    assert_eq!(bench.client.poll_timeout(), None, "nothing is left to do");
}

#[test]
fn version_ends_waiting_calls_and_names_the_versions() {
    let mut bench = Bench::new(ClientConfig::default());
    let handle = bench.call(10 * SECOND);
    let hello = bench.one();
    let What::Hello { session, nonce } = hello.what else { panic!() };
    let call = CallId(u64::try_from(nonce >> 64).unwrap());
    let version = |call, lowest, highest| FromServer::Version { session, call, lowest, highest };
    bench.deliver(server(), 0, version(CallId(call.0 ^ 1), 2, 5));
    bench.deliver(server(), 0, version(call, 1, 5));
    bench.running(handle);
    bench.deliver(server(), 0, version(call, 2, 5));
    let error = bench.failed(handle);
    assert_eq!((error.code, error.outcome), (Code::Unimplemented, NEVER_SENT));
    assert!(error.message.contains("versions 2 to 5"), "{error}");
}

#[test]
fn client_without_an_address_says_so() {
    let mut bench = Bench::with_servers(ClientConfig::default(), Vec::new());
    let handle = bench.call(10 * SECOND);
    let error = bench.failed(handle);
    assert_eq!((error.code, error.outcome), (Code::Unavailable, NEVER_SENT));
}

#[test]
fn handshake_nobody_waits_for_stops() {
    let mut bench = Bench::new(ClientConfig::default());
    let handle = bench.call(10 * SECOND);
    let hello = bench.one();
    bench.client.cancel(bench.now, handle);
    let error = bench.failed(handle);
    assert_eq!((error.code, error.outcome), (Code::Cancelled, NEVER_SENT));
    assert_eq!(bench.pass(10 * SECOND), []);
    bench.hello_ack(&hello);
    assert_eq!(bench.client.info(bench.now), None);
}

#[test]
fn limits_of_the_server_end_waiting_calls_that_break_them() {
    let mut bench = Bench::new(ClientConfig::default());
    bench.limits.longest_request = 100;
    let large = bench.make(10 * SECOND, |call| call.body = vec![0; 101]);
    let long = bench.call(61 * SECOND);
    let fine = bench.call(59 * SECOND);
    bench.shake();
    let error = bench.failed(large);
    assert_eq!((error.code, error.outcome), (Code::ResourceExhausted, NEVER_SENT));
    assert!(error.message.contains("101 bytes") && error.message.contains("100"), "{error}");
    let error = bench.failed(long);
    assert_eq!((error.code, error.outcome), (Code::InvalidArgument, NEVER_SENT));
    assert!(error.message.contains("limit, 60s"), "{error}");
    bench.running(fine);
    // And at once, now that they are known.
    let long = bench.call(61 * SECOND);
    assert_eq!(bench.failed(long).code, Code::InvalidArgument);
}

#[test]
fn request_that_no_datagram_takes_ends_at_once() {
    let mut bench = Bench::new(ClientConfig::default());
    let handle = bench.make(10 * SECOND, |call| call.body = vec![0; 1153]);
    let error = bench.failed(handle);
    assert_eq!((error.code, error.outcome), (Code::ResourceExhausted, NEVER_SENT));
    assert!(error.message.contains("1153") && error.message.contains("1152"), "{error}");
    let handle = bench.make(10 * SECOND, |call| call.body = vec![0; 1152]);
    bench.running(handle);
    bench.shake();
    let request = bench.one();
    assert_eq!(request.transmit.size, 1232);
}

#[test]
fn too_many_waiting_calls_are_refused_by_number() {
    let mut bench = Bench::new(ClientConfig { max_waiting: 2, ..ClientConfig::default() });
    bench.call(10 * SECOND);
    bench.call(10 * SECOND);
    let third = bench.call(10 * SECOND);
    let error = bench.failed(third);
    assert_eq!((error.code, error.outcome), (Code::ResourceExhausted, NEVER_SENT));
    assert!(error.message.contains("2 calls wait"), "{error}");
}

#[test]
fn address_to_which_nothing_can_be_sent_hands_over_to_the_next_at_once() {
    let mut bench = Bench::with_servers(ClientConfig::default(), two());
    let handle = bench.call(SECOND / 2);
    let first = bench.one();
    bench.client.handle_unsent(bench.now, &first.transmit);
    let second = bench.one();
    assert_eq!(second.to, two()[1]);
    bench.client.handle_unsent(bench.now, &second.transmit);
    bench.pass(SECOND);
    let error = bench.failed(handle);
    assert_eq!((error.code, error.outcome), (Code::DeadlineExceeded, NEVER_SENT));
    assert!(error.message.starts_with("the kernel refused to send 2 HELLOs"), "{error}");
}

#[test]
fn offer_that_contradicts_itself_or_comes_far_too_late_is_dropped() {
    let mut bench = Bench::new(ClientConfig::default());
    bench.call(1000 * SECOND);
    let hello = bench.one();
    let What::Hello { nonce, .. } = hello.what else { panic!() };
    bench.limits.lease_ms = 60_000;
    bench.hello_ack(&hello);
    bench.limits.lease_ms = 300_000;
    let mut old = bench.offer(nonce, SessionId(9));
    if let FromServer::HelloAck { ack, .. } = &mut old {
        ack.birth.minted -= 60;
    }
    bench.deliver(server(), hello.attempt, old);
    bench.silent();
    bench.pass(230 * SECOND);
    bench.hello_ack(&hello);
    assert!(bench.sent().iter().all(Sent::is_hello));
    let counters = bench.client.counters();
    assert_eq!((counters.dropped_malformed, counters.dropped_foreign), (1, 2));
}
