//! PING: before a risk, and asked for.

use super::*;

fn idle() -> Bench {
    let mut bench = Bench::settled();
    bench.pass(3 * SECOND);
    bench
}

impl Bench {
    fn ponged(&mut self, ping: CallHandle) -> Option<Result<Pong, CallError>> {
        while let Some(event) = self.client.poll_event() {
            self.events.push_back(event);
        }
        self.events.iter().find_map(|event| match event {
            Event::Ponged { handle, result } if *handle == ping => Some(result.clone()),
            _ => None,
        })
    }
}

#[test]
fn server_unheard_for_two_seconds_is_pinged_before_a_call_is_risked() {
    let mut bench = idle();
    let handle = bench.call(10 * SECOND);
    let ping = bench.one();
    assert!(ping.is_ping());
    assert!((1..64).contains(&ping.ids().1.0), "never a call's id");
    bench.pong(&ping);
    let request = bench.one();
    assert!(request.is_request());
    bench.reply(&request, b"");
    assert!(bench.ended(handle).is_ok());
    // Heard just now: no ping.
    bench.call(10 * SECOND);
    assert!(bench.one().is_request());
}

#[test]
fn call_without_side_effects_does_not_wait_for_a_ping() {
    let mut bench = idle();
    bench.safe_call(10 * SECOND);
    assert!(bench.one().is_request());
}

#[test]
fn one_ping_serves_all_that_wait_and_calls_without_side_effects_pass_them() {
    let mut bench = idle();
    bench.calls(3, 10 * SECOND);
    bench.safe_call(10 * SECOND);
    let sent = bench.sent();
    assert_eq!(sent.iter().filter(|sent| sent.is_ping()).count(), 1);
    assert_eq!(sent.iter().filter(|sent| sent.is_request()).count(), 1);
    let ping = sent.into_iter().find(Sent::is_ping).unwrap();
    bench.pong(&ping);
    assert_eq!(bench.sent().len(), 3);
}

#[test]
fn restarted_server_costs_an_idle_client_a_handshake_and_no_unknown() {
    let mut bench = idle();
    let handle = bench.call(10 * SECOND);
    let ping = bench.one();
    bench.epoch = Epoch(0xe1);
    bench.refuse_as(&ping, Reason::UnknownSession, false, Epoch(0xe1), 1);
    bench.shake();
    let request = bench.one();
    bench.reply(&request, b"");
    let reply = bench.ended(handle).unwrap();
    assert_eq!((reply.issues, reply.attempts), (1, 1));
}

#[test]
fn challenged_ping_goes_again_with_its_path() {
    let mut bench = idle();
    bench.call(10 * SECOND);
    let ping = bench.one();
    let path = PathProof { issued: 4000, mac: 2 };
    bench.challenge(&ping, path);
    let again = bench.one();
    assert!(again.is_ping());
    assert_eq!(again.proofs().path, Some(path));
    bench.challenge(&again, path);
    bench.silent();
    bench.pong(&again);
    assert!(bench.one().is_request());
}

#[test]
fn goaway_leaves_the_session_and_calls_go_on_waiting() {
    let mut bench = idle();
    let handle = bench.call(10 * SECOND);
    let ping = bench.one();
    bench.goaway(&ping);
    bench.running(handle);
    let sent = bench.sent();
    assert!(sent.iter().any(Sent::is_hello), "{sent:?}");
}

#[test]
fn ping_that_is_never_answered_is_repeated_and_named_at_the_deadline() {
    let mut bench = idle();
    let handle = bench.call(2 * SECOND);
    let pings = bench.pass(3 * SECOND);
    assert!(pings.len() >= 3 && pings.iter().all(Sent::is_ping));
    let error = bench.failed(handle);
    assert_eq!((error.code, error.outcome), (Code::DeadlineExceeded, NEVER_SENT));
    assert!(error.message.contains("PINGs"), "{error}");
    assert_eq!(bench.pass(60 * SECOND), [], "nobody waits for it any more");
}

#[test]
fn refused_ping_asks_by_a_handshake_whether_anything_listens() {
    let mut bench = idle();
    let handle = bench.call(10 * SECOND);
    bench.one();
    bench.client.handle_refused(bench.now, server());
    bench.running(handle);
    let sent = bench.sent();
    assert!(sent.iter().any(Sent::is_hello), "{sent:?}");
    bench.client.handle_refused(bench.now, server());
    let error = bench.failed(handle);
    assert_eq!((error.code, error.outcome), (Code::Unavailable, NEVER_SENT));
    assert_eq!(error.message, "nothing listens at 192.0.2.1:5860");
}

#[test]
fn ping_asked_for_opens_a_session_and_measures() {
    let mut bench = Bench::new(ClientConfig::default());
    let handle = bench.client.ping(bench.now, bench.now + SECOND);
    bench.shake();
    let ping = bench.one();
    assert!(ping.is_ping() && ping.proofs().birth.is_some());
    bench.pass(30 * MS);
    bench.pong(&ping);
    let pong = bench.ponged(handle).unwrap().unwrap();
    assert_eq!((pong.rtt, pong.epoch, pong.attempts), (30 * MS, EPOCH, 1));
    assert_eq!(pong.software, "test");
    assert!(bench.client.is_idle());
}

#[test]
fn ping_asked_for_ends_at_its_deadline() {
    let mut bench = Bench::settled();
    let handle = bench.client.ping(bench.now, bench.now + SECOND);
    assert!(bench.client.is_open(handle));
    bench.pass(2 * SECOND);
    let error = bench.ponged(handle).unwrap().unwrap_err();
    assert_eq!(error.code, Code::DeadlineExceeded);
    assert!(error.attempts >= 3);
}

#[test]
fn ping_asked_for_survives_a_restart_and_tells_of_nothing_listening() {
    let mut bench = Bench::settled();
    let handle = bench.client.ping(bench.now, bench.now + 10 * SECOND);
    let ping = bench.one();
    bench.epoch = Epoch(0xe1);
    bench.refuse_as(&ping, Reason::UnknownSession, false, Epoch(0xe1), 1);
    bench.shake();
    let again = bench.one();
    bench.pong(&again);
    assert_eq!(bench.ponged(handle).unwrap().unwrap().epoch, Epoch(0xe1));
    let mut bench = Bench::new(ClientConfig::default());
    let handle = bench.client.ping(bench.now, bench.now + 10 * SECOND);
    bench.one();
    bench.client.handle_refused(bench.now, server());
    assert_eq!(bench.ponged(handle).unwrap().unwrap_err().code, Code::Unavailable);
}

#[test]
fn word_from_the_server_ends_the_wait_for_a_ping() {
    let mut bench = idle();
    bench.call(10 * SECOND);
    let safe = bench.safe_call(10 * SECOND);
    let sent = bench.sent();
    let request = sent.iter().find(|sent| sent.is_request()).unwrap();
    bench.reply(request, b"");
    assert!(bench.end_of(safe).is_some());
    assert!(bench.one().is_request());
    assert!(bench.pass(SECOND).iter().all(Sent::is_request), "the ping is not repeated");
}

#[test]
fn ping_of_a_silent_name_says_what_it_waited_for() {
    let mut bench = Bench::new(ClientConfig::default());
    let handle = bench.client.ping(bench.now, bench.now + 500 * MS);
    bench.pass(SECOND);
    let error = bench.ponged(handle).unwrap().unwrap_err();
    assert_eq!(error.message, "deadline exceeded: no answer from 192.0.2.1:5860 to 1 HELLO");
}

#[test]
fn call_after_a_long_outage_brings_a_ping_of_its_own() {
    let mut bench = idle();
    bench.call(50 * SECOND);
    bench.pass(47 * SECOND);
    bench.call(50 * SECOND);
    let sent = bench.pass(10 * MS);
    assert_eq!(sent.iter().filter(|sent| sent.is_ping()).count(), 1);
    // One in 3 s, and the last chance of the call before, however many calls come.
    let mut sent = Vec::new();
    for _ in 0..100 {
        bench.call(50 * SECOND);
        sent.extend(bench.pass(100 * MS));
    }
    assert!(sent.iter().filter(|sent| sent.is_ping()).count() <= 4, "{sent:?}");
}
