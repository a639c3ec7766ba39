//! REFUSED, case by case.

use super::*;

/// A settled client with one call sent; the session was minted so long ago that its birth is
/// dead.
fn old_session() -> (Bench, CallHandle, Sent) {
    old_session_with(|_| {})
}

fn old_session_with(change: impl FnOnce(&mut NewCall)) -> (Bench, CallHandle, Sent) {
    let config = ClientConfig { ping_after_idle: None, ..ClientConfig::default() };
    let mut bench = Bench::settled_with(config);
    bench.pass(61 * SECOND);
    let handle = bench.make(10 * SECOND, change);
    let request = bench.one();
    assert!(request.is_request());
    (bench, handle, request)
}

#[test]
fn promise_ends_the_call_as_not_executed_with_its_reason() {
    for (reason, code) in [
        (Reason::UnknownMethod, Code::Unimplemented),
        (Reason::Expired, Code::DeadlineExceeded),
        (Reason::Unauthorised, Code::PermissionDenied),
        (Reason::DeadlineTooFar, Code::InvalidArgument),
        (Reason::RequestTooLarge, Code::ResourceExhausted),
        (Reason::UnsupportedShape, Code::Unimplemented),
        (Reason::Other(99), Code::Unavailable),
    ] {
        let mut bench = Bench::settled();
        let handle = bench.call(10 * SECOND);
        let request = bench.one();
        bench.refuse(&request, reason, true);
        let error = bench.failed(handle);
        assert_eq!((error.code, error.outcome), (code, promised(reason)));
        assert_eq!((error.attempts, error.issues), (1, 1));
        assert_eq!(error.token, None);
    }
}

#[test]
fn reason_without_a_promise_is_later() {
    for reason in [
        Reason::Later,
        Reason::NoRoomForSession,
        Reason::NoRoomForRecord,
        Reason::Draining,
        Reason::UnknownMethod,
        Reason::Other(99),
    ] {
        let mut bench = Bench::settled();
        let handle = bench.call(SECOND);
        let request = bench.one();
        bench.refuse(&request, reason, false);
        bench.running(handle);
        bench.silent();
        let again = bench.next_sent();
        assert_eq!(again.ids(), request.ids(), "{reason}: the same identity");
        bench.pass(2 * SECOND);
        assert_eq!(bench.failed(handle).outcome, Outcome::Unknown, "{reason} proves nothing");
    }
}

#[test]
fn without_the_rule_no_room_for_a_record_counts_as_a_refusal() {
    let mut bench = Bench::settled();
    bench.drop_rule(Rule::NoRoomIsNoRefusal);
    let handle = bench.call(SECOND);
    let request = bench.one();
    bench.refuse(&request, Reason::NoRoomForRecord, false);
    assert_eq!(bench.failed(handle).outcome, promised(Reason::NoRoomForRecord));
}

#[test]
fn passing_refusal_is_issued_again_as_a_new_call_after_doubling_pauses() {
    let mut bench = Bench::settled();
    let handle = bench.call(10 * SECOND);
    let mut request = bench.one();
    for pause in [100, 200, 400] {
        bench.refuse(&request, Reason::Overloaded, true);
        bench.silent();
        let again = bench.next_sent();
        let waited = again.at.since(request.at);
        assert!(waited >= pause * MS && waited <= pause * MS * 5 / 4, "{waited:?}");
        assert_eq!(again.ids().0, request.ids().0);
        assert!(again.ids().1 > request.ids().1, "a new identity");
        assert_eq!(again.attempt, 1);
        request = again;
    }
    bench.reply(&request, b"ok");
    let reply = bench.ended(handle).unwrap();
    assert_eq!((reply.issues, reply.attempts, reply.at_least_once), (4, 4, false));
}

#[test]
fn result_brings_the_token_of_its_last_issue_where_that_is_wanted() {
    let config = ClientConfig { tokens: true, ..ClientConfig::default() };
    let mut bench = Bench::settled_with(config);
    let handle = bench.call(10 * SECOND);
    let first = bench.one();
    bench.refuse(&first, Reason::Overloaded, true);
    let second = bench.next_sent();
    bench.reply(&second, b"ran");
    let reply = bench.ended(handle).unwrap();
    let token = reply.token.unwrap();
    assert_eq!((reply.issues, (token.session, token.call)), (2, second.ids()));
    bench.client.close(bench.now);
    assert!(!bench.sent().iter().any(Sent::is_close), "its token was given out");
}

#[test]
fn call_whose_token_was_given_out_is_not_issued_again() {
    // Whoever asks by the token is told that the call never runs: no later issue may.
    for (reason, promise) in [(Reason::Draining, true), (Reason::UnknownSession, false)] {
        let (mut bench, handle, request) = old_session();
        bench.client.token(handle).unwrap();
        bench.refuse(&request, reason, promise);
        let error = bench.failed(handle);
        assert!(matches!(error.outcome, Outcome::NotExecuted(_)), "{error}");
        assert_eq!(error.issues, 1);
        assert!(!bench.pass(10 * SECOND).iter().any(Sent::is_request));
    }
}

#[test]
fn refusals_until_the_deadline_say_how_often_it_was_issued() {
    let mut bench = Bench::settled();
    let handle = bench.call(SECOND);
    loop {
        let sent = bench.sent();
        for request in sent.iter().filter(|sent| sent.is_request()) {
            bench.refuse(request, Reason::RateLimited, true);
        }
        if let Some(end) = bench.end_of(handle) {
            let error = end.unwrap_err();
            assert_eq!(error.outcome, promised(Reason::RateLimited));
            assert_eq!(error.code, Code::ResourceExhausted);
            assert_eq!(error.issues, 4);
            assert_eq!(error.message, "refused: rate limited; issued 4 times");
            assert!(error.elapsed < SECOND, "no use waiting for a pause past the deadline");
            return;
        }
        bench.now = bench.client.poll_timeout().unwrap();
        bench.client.handle_timeout(bench.now);
    }
}

#[test]
fn who_wants_no_retry_is_told_at_once() {
    let mut bench = Bench::settled();
    let handle = bench.make(10 * SECOND, |call| call.retry = Some(false));
    let request = bench.one();
    bench.refuse(&request, Reason::Overloaded, true);
    let error = bench.failed(handle);
    assert_eq!((error.outcome, error.issues), (promised(Reason::Overloaded), 1));
    assert_eq!(error.message, "refused: queue full");
}

#[test]
fn draining_server_is_left_for_a_new_session() {
    let mut bench = Bench::settled();
    let first = bench.session;
    let other = bench.call(20 * SECOND);
    let slow = bench.one();
    bench.progress(&slow, SlotState::Running, 0);
    let handle = bench.call(10 * SECOND);
    let request = bench.one();
    bench.refuse(&request, Reason::Draining, true);
    let hello = loop {
        let sent = bench.next_sent();
        if sent.is_hello() {
            break sent;
        }
    };
    assert!(hello.at.since(request.at) >= 100 * MS, "after the pause");
    // The server goes away and comes back with another life.
    bench.client.handle_refused(bench.now, server());
    bench.running(handle);
    bench.epoch = Epoch(0xe1);
    let hello = loop {
        let sent = bench.next_sent();
        if sent.is_hello() {
            break sent;
        }
    };
    bench.hello_ack(&hello);
    let again = bench.sent().into_iter().find(|sent| sent.ids().0 == bench.session).unwrap();
    bench.reply(&again, b"");
    assert!(bench.ended(handle).is_ok());
    // The one still running answers in the old session, which is closed then.
    bench.reply(&slow, b"slow");
    assert_eq!(bench.ended(other).unwrap().body, b"slow");
    assert_eq!(bench.one().what, What::Close { session: first });
}

#[test]
fn unknown_session_proves_not_executed_only_under_the_inequality() {
    let (mut bench, handle, request) = old_session_with(|call| call.retry = Some(false));
    bench.refuse(&request, Reason::UnknownSession, false);
    let error = bench.failed(handle);
    assert_eq!(error.outcome, Outcome::NotExecuted(Proof::UnknownSession));
    assert_eq!(error.code, Code::Unavailable);
}

#[test]
fn unknown_session_before_the_birth_dies_claims_nothing() {
    let mut bench = Bench::settled();
    let handle = bench.make(10 * SECOND, |call| call.retry = Some(false));
    let request = bench.one();
    bench.refuse(&request, Reason::UnknownSession, false);
    bench.running(handle);
    let again = bench.next_sent();
    assert_eq!(again.ids(), request.ids());
    let mut bench = Bench::settled();
    bench.drop_rule(Rule::UnknownProvesAfterBirth);
    let handle = bench.make(10 * SECOND, |call| call.retry = Some(false));
    let request = bench.one();
    bench.refuse(&request, Reason::UnknownSession, false);
    assert_eq!(bench.failed(handle).outcome, Outcome::NotExecuted(Proof::UnknownSession));
}

#[test]
fn unknown_session_after_the_lease_could_have_ended_is_unknown() {
    let say = |rule: Option<Rule>, early_us: u64| {
        let (mut bench, handle, request) = old_session_with(|call| call.retry = Some(false));
        rule.into_iter().for_each(|rule| bench.drop_rule(rule));
        let known_until = bench.client.token(handle).unwrap().known_until;
        let clock = known_until - early_us;
        bench.refuse_as(&request, Reason::UnknownSession, false, EPOCH, clock);
        bench.failed(handle).outcome
    };
    assert_eq!(say(None, 1), Outcome::NotExecuted(Proof::UnknownSession));
    assert_eq!(say(None, 0), Outcome::Unknown);
    let dropped = Some(Rule::UnknownProvesWithinLease);
    assert_eq!(say(dropped, 0), Outcome::NotExecuted(Proof::UnknownSession));
}

#[test]
fn unknown_session_of_another_life_is_unknown_and_never_sent_again() {
    let (mut bench, handle, request) = old_session();
    let clock = 5_000_000;
    bench.refuse_as(&request, Reason::UnknownSession, false, Epoch(1), clock);
    let error = bench.failed(handle);
    assert_eq!((error.code, error.outcome), (Code::Unavailable, Outcome::Unknown));
    assert!(error.message.contains("restarted"), "{error}");
    assert!(error.token.is_some());
    bench.silent();
    // New calls work at once.
    let next = bench.call(10 * SECOND);
    bench.epoch = Epoch(1);
    bench.shake();
    let request = bench.one();
    bench.reply(&request, b"");
    assert!(bench.ended(next).is_ok());
}

#[test]
fn without_the_rule_a_call_is_sent_again_though_it_may_have_run() {
    let (mut bench, handle, request) = old_session();
    bench.drop_rule(Rule::ReissueOnlyProved);
    bench.refuse_as(&request, Reason::UnknownSession, false, Epoch(1), 5_000_000);
    bench.running(handle);
    bench.shake();
    assert!(bench.one().is_request());
}

#[test]
fn call_proved_not_executed_by_an_unknown_session_is_issued_again_without_a_pause() {
    let (mut bench, handle, request) = old_session();
    bench.refuse(&request, Reason::UnknownSession, false);
    bench.shake();
    let again = bench.one();
    assert_ne!(again.ids().0, request.ids().0);
    bench.reply(&again, b"");
    let reply = bench.ended(handle).unwrap();
    assert_eq!((reply.issues, reply.at_least_once), (2, false));
    assert!(bench.sent().is_empty(), "a session that the server does not know needs no CLOSE");
}

#[test]
fn call_without_side_effects_is_issued_again_after_a_restart_and_says_so() {
    let (mut bench, handle, request) = old_session_with(|call| call.no_side_effects = true);
    bench.refuse_as(&request, Reason::UnknownSession, false, Epoch(1), 5_000_000);
    bench.epoch = Epoch(1);
    bench.shake();
    let again = bench.one();
    bench.reply(&again, b"");
    let reply = bench.ended(handle).unwrap();
    assert_eq!((reply.issues, reply.at_least_once), (2, true));
}

#[test]
fn outcome_of_several_issues_is_not_executed_only_if_each_is() {
    let (mut bench, handle, request) = old_session_with(|call| call.no_side_effects = true);
    bench.client.config.tokens = true;
    let token = bench.client.token(handle).unwrap();
    bench.refuse_as(&request, Reason::UnknownSession, false, Epoch(1), 5_000_000);
    bench.epoch = Epoch(1);
    bench.shake();
    let again = bench.one();
    bench.refuse(&again, Reason::UnknownMethod, true);
    let error = bench.failed(handle);
    assert_eq!((error.code, error.outcome), (Code::Unimplemented, Outcome::Unknown));
    assert_eq!(error.issues, 2);
    assert_eq!(error.token.as_deref(), Some(&token), "the issue that may have run");
    assert!(error.message.ends_with("issued 2 times"), "{error}");
}

#[test]
fn unknown_session_after_closing_proves_nothing() {
    let say = |rule: Option<Rule>| {
        let (mut bench, handle, request) = old_session_with(|call| call.retry = Some(false));
        rule.into_iter().for_each(|rule| bench.drop_rule(rule));
        bench.client.close(bench.now);
        let closed = bench.sent().iter().any(Sent::is_close);
        bench.refuse(&request, Reason::UnknownSession, false);
        (closed, bench.failed(handle).outcome)
    };
    // With the rule no session is closed while a call is in progress.
    assert_eq!(say(None), (false, Outcome::NotExecuted(Proof::UnknownSession)));
    let dropped = Some(Rule::UnknownProvesWhileOpen);
    assert_eq!(say(dropped), (true, Outcome::NotExecuted(Proof::UnknownSession)));
}

#[test]
fn stale_is_unknown_and_the_session_is_left() {
    let mut bench = Bench::settled();
    let handle = bench.call(10 * SECOND);
    let request = bench.one();
    bench.refuse(&request, Reason::Stale, false);
    let error = bench.failed(handle);
    assert_eq!((error.code, error.outcome), (Code::Aborted, Outcome::Unknown));
    bench.call(10 * SECOND);
    assert!(bench.one().is_hello());
}

#[test]
fn reused_id_is_unknown_and_an_internal_error() {
    let mut bench = Bench::settled();
    let handle = bench.safe_call(10 * SECOND);
    let request = bench.one();
    bench.refuse(&request, Reason::IdReused, false);
    let error = bench.failed(handle);
    assert_eq!((error.code, error.outcome), (Code::Internal, Outcome::Unknown));
}

#[test]
fn reply_gone_is_executed() {
    let mut bench = Bench::settled();
    let handle = bench.call(10 * SECOND);
    let request = bench.one();
    bench.refuse(&request, Reason::ReplyGone, false);
    let error = bench.failed(handle);
    assert_eq!((error.code, error.outcome), (Code::DataLoss, Outcome::Executed));
}

#[test]
fn promise_of_another_life_is_not_believed() {
    let mut bench = Bench::settled();
    let handle = bench.call(10 * SECOND);
    let request = bench.one();
    let clock = bench.clock();
    bench.refuse_as(&request, Reason::UnknownMethod, true, Epoch(1), clock);
    bench.running(handle);
    assert_eq!(bench.client.counters().dropped_foreign, 1);
}

#[test]
fn clock_of_another_life_does_not_move_the_bound() {
    let (mut bench, _, request) = old_session();
    let second = bench.call(10 * SECOND);
    let two = bench.one();
    let far = bench.clock() + 1_000_000_000;
    bench.refuse_as(&request, Reason::UnknownSession, false, Epoch(1), far);
    let known_until = bench.client.token(second).unwrap().known_until;
    assert!(known_until < far);
    // The bound still proves that the second call never ran.
    bench.refuse(&two, Reason::UnknownSession, false);
    let error = bench.failed(second);
    assert_eq!(error.outcome, Outcome::NotExecuted(Proof::UnknownSession));
}
