//! Cancellation: FENCE in place of copies.

use super::*;

/// A call sent and then cancelled, and its first FENCE.
fn cancelled() -> (Bench, CallHandle, Sent) {
    let mut bench = Bench::settled();
    let handle = bench.call(10 * SECOND);
    let request = bench.one();
    bench.client.cancel(bench.now, handle);
    let fence = bench.one();
    assert!(fence.is_fence());
    assert_eq!(fence.ids(), request.ids());
    assert_eq!(fence.attempt, 2);
    assert_eq!(fence.transmit.call, None);
    (bench, handle, fence)
}

#[test]
fn call_never_sent_is_cancelled_at_once() {
    let mut bench = Bench::settled();
    let handle = bench.call(10 * SECOND);
    bench.client.cancel(bench.now, handle);
    let error = bench.failed(handle);
    assert_eq!((error.code, error.outcome), (Code::Cancelled, NEVER_SENT));
    bench.silent();
}

#[test]
fn fence_goes_in_place_of_copies_until_it_is_answered() {
    let (mut bench, handle, fence) = cancelled();
    let more = bench.pass(SECOND);
    assert!(more.len() >= 3 && more.iter().all(Sent::is_fence), "{more:?}");
    assert_eq!(bench.client.path(server()).in_flight(), 0, "outside the window");
    bench.refuse(&fence, Reason::Fenced, true);
    let error = bench.failed(handle);
    assert_eq!((error.code, error.outcome), (Code::Cancelled, promised(Reason::Fenced)));
    assert_eq!(error.attempts, 1, "copies of the request");
}

#[test]
fn call_refused_for_a_passing_reason_is_not_issued_again_once_cancelled() {
    let (mut bench, handle, fence) = cancelled();
    bench.refuse(&fence, Reason::Overloaded, true);
    let error = bench.failed(handle);
    assert_eq!((error.code, error.outcome), (Code::Cancelled, promised(Reason::Overloaded)));
}

#[test]
fn cancelled_call_that_ran_ends_with_its_reply() {
    let (mut bench, handle, fence) = cancelled();
    bench.progress(&fence, SlotState::Running, 0);
    bench.running(handle);
    let probe = bench.next_sent();
    assert!(probe.is_fence());
    bench.reply(&probe, b"ran");
    assert_eq!(bench.ended(handle).unwrap().body, b"ran");
}

#[test]
fn cancellation_never_confirmed_is_unknown_at_the_deadline() {
    let (mut bench, handle, _) = cancelled();
    bench.pass(11 * SECOND);
    let error = bench.failed(handle);
    assert_eq!((error.code, error.outcome), (Code::Cancelled, Outcome::Unknown));
    assert!(error.message.contains("cancellation not confirmed"), "{error}");
    assert!(error.token.is_some());
}

#[test]
fn later_is_no_answer_to_a_fence() {
    let (mut bench, handle, fence) = cancelled();
    bench.refuse(&fence, Reason::NoRoomForRecord, false);
    bench.running(handle);
    assert!(bench.next_sent().is_fence());
}

#[test]
fn call_in_its_pause_keeps_its_proof_when_cancelled() {
    let mut bench = Bench::settled();
    let handle = bench.call(10 * SECOND);
    let request = bench.one();
    bench.refuse(&request, Reason::Overloaded, true);
    bench.client.cancel(bench.now, handle);
    let error = bench.failed(handle);
    assert_eq!((error.code, error.outcome), (Code::Cancelled, promised(Reason::Overloaded)));
    assert_eq!(bench.pass(SECOND), []);
}

#[test]
fn call_of_which_no_copy_left_needs_no_fence() {
    let mut bench = Bench::settled();
    let handle = bench.call(10 * SECOND);
    let request = bench.one();
    bench.client.handle_unsent(bench.now, &request.transmit);
    bench.client.cancel(bench.now, handle);
    assert_eq!(bench.failed(handle).outcome, NEVER_SENT);
    bench.silent();
}

#[test]
fn challenged_fence_goes_again_at_once() {
    let (mut bench, handle, fence) = cancelled();
    bench.challenge(&fence, PathProof { issued: 3000, mac: 1 });
    let again = bench.one();
    assert!(again.is_fence());
    bench.refuse(&again, Reason::Fenced, true);
    assert_eq!(bench.failed(handle).outcome, promised(Reason::Fenced));
}

#[test]
fn cancelling_twice_or_too_late_does_nothing() {
    let (mut bench, handle, fence) = cancelled();
    bench.client.cancel(bench.now, handle);
    bench.silent();
    bench.refuse(&fence, Reason::Fenced, true);
    assert!(bench.end_of(handle).is_some());
    bench.client.cancel(bench.now, handle);
    bench.running(handle);
}

#[test]
fn impatient_caller_of_a_call_that_runs_waits_no_longer_than_it_says() {
    let mut bench = Bench::settled();
    let handle = bench.call(10 * SECOND);
    bench.one();
    bench.client.cancel_by(bench.now, handle, bench.now + SECOND);
    let fence = bench.one();
    bench.progress(&fence, SlotState::Running, 0);
    bench.pass(SECOND / 2);
    bench.running(handle);
    bench.pass(SECOND);
    let error = bench.failed(handle);
    assert_eq!((error.code, error.outcome), (Code::Cancelled, Outcome::Unknown));
    assert!(error.message.starts_with("cancellation not confirmed: "), "{error}");
    assert!(error.token.is_some());
    bench.silent();
}

#[test]
fn patience_does_not_move_a_deadline_away() {
    let mut bench = Bench::settled();
    let handle = bench.call(SECOND);
    bench.one();
    bench.client.cancel_by(bench.now, handle, bench.now + 10 * SECOND);
    bench.pass(2 * SECOND);
    assert_eq!(bench.failed(handle).outcome, Outcome::Unknown);
}

#[test]
fn refused_call_ends_as_never_sent_and_sends_nothing() {
    let mut bench = Bench::settled();
    let refusal = CallError::never_sent(Code::Unauthenticated, "no credentials");
    let handle = bench.client.refuse(CallError { outcome: Outcome::Unknown, ..refusal });
    assert!(bench.client.has_events());
    let error = bench.failed(handle);
    assert_eq!((error.code, error.outcome), (Code::Unauthenticated, NEVER_SENT));
    assert_eq!(error.message, "no credentials");
    assert!(!bench.client.has_events());
    bench.silent();
}
