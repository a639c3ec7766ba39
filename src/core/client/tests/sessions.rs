//! Ids and slots, proofs, the clock, leaving, closing, tokens.

use super::super::session::ClockBound;
use super::*;

#[test]
fn new_call_takes_the_lowest_free_slot_and_ids_rise() {
    let mut bench = Bench::new(ClientConfig::default());
    bench.limits.window = 4;
    bench.settle();
    let next = |bench: &mut Bench| {
        bench.call(30 * SECOND);
        bench.one()
    };
    // The first call had id 4, slot 0, and is over.
    let (a, b, c) = (next(&mut bench), next(&mut bench), next(&mut bench));
    assert_eq!([&a, &b, &c].map(|sent| sent.ids().1.0), [8, 9, 10]);
    bench.reply(&b, b"");
    assert_eq!(next(&mut bench).ids().1, CallId(13), "slot 1 again");
    bench.reply(&a, b"");
    assert_eq!(next(&mut bench).ids().1, CallId(16), "slot 0 again");
    assert_eq!(next(&mut bench).ids().1, CallId(19), "slot 3, for the first time");
}

#[test]
fn slots_whose_call_ended_as_unknown_are_taken_last() {
    let mut bench = Bench::new(ClientConfig { ping_after_idle: None, ..ClientConfig::default() });
    bench.limits.window = 3;
    bench.settle();
    let unknown = bench.call(50 * MS);
    assert_eq!(bench.one().ids().1.0 % 3, 0);
    bench.pass(60 * MS);
    assert_eq!(bench.failed(unknown).outcome, Outcome::Unknown);
    let mut slots = Vec::new();
    for _ in 0..3 {
        bench.call(30 * SECOND);
        slots.push(bench.one().ids().1.0 % 3);
    }
    assert_eq!(slots, [1, 2, 0]);
}

#[test]
fn proofs_travel_until_an_answer_comes_from_inside() {
    let mut bench = Bench::new(ClientConfig::default());
    bench.call(30 * SECOND);
    bench.shake();
    let first = bench.one();
    let second = bench.next_sent();
    assert_eq!(first.proofs(), second.proofs());
    // Neither of these speaks from inside.
    bench.refuse(&second, Reason::NoRoomForSession, false);
    bench.refuse(&second, Reason::UnknownSession, false);
    let third = bench.next_sent();
    assert_eq!(third.proofs(), first.proofs());
    bench.refuse(&third, Reason::NoRoomForRecord, false);
    assert_eq!(bench.next_sent().proofs(), Proofs::default());
}

#[test]
fn challenge_has_the_copy_sent_again_at_once_with_the_new_path_once_for_each_path() {
    let mut bench = Bench::settled();
    bench.call(30 * SECOND);
    let first = bench.one();
    assert_eq!(first.proofs(), Proofs::default());
    let path = PathProof { issued: 2000, mac: 0xbb };
    bench.challenge(&first, path);
    let again = bench.one();
    assert_eq!(again.proofs(), Proofs { birth: None, path: Some(path) });
    assert_eq!(again.ids(), first.ids());
    bench.challenge(&again, path);
    bench.silent();
    let other = PathProof { issued: 2001, mac: 0xcc };
    bench.challenge(&again, other);
    assert_eq!(bench.one().proofs().path, Some(other));
    // An older one, late, does not replace it.
    bench.challenge(&again, path);
    assert_eq!(bench.next_sent().proofs().path, Some(other));
}

#[test]
fn challenge_before_any_answer_from_inside_keeps_the_birth() {
    let mut bench = Bench::new(ClientConfig::default());
    bench.call(30 * SECOND);
    bench.shake();
    let first = bench.one();
    let path = PathProof { issued: 2000, mac: 0xbb };
    bench.challenge(&first, path);
    let again = bench.one();
    assert_eq!(again.proofs(), Proofs { birth: first.proofs().birth, path: Some(path) });
}

#[test]
fn without_the_rule_proofs_travel_once() {
    let mut bench = Bench::new(ClientConfig::default());
    bench.drop_rule(Rule::ProofsUntilAnswered);
    bench.call(30 * SECOND);
    bench.shake();
    assert!(bench.one().proofs().birth.is_some());
    assert_eq!(bench.next_sent().proofs(), Proofs::default());
}

#[test]
fn clock_bound_is_the_greatest_of_the_lower_bounds() {
    let at = |ms: u64| Time::from_micros(ms * 1000);
    let mut bound = ClockBound::new(1_000_000, at(0));
    assert_eq!(bound.at(at(1000)), 1_999_000);
    bound.update(1_990_000, at(1000));
    assert_eq!(bound.at(at(1000)), 1_999_000, "that datagram was long under way");
    bound.update(2_000_000, at(1000));
    assert_eq!(bound.at(at(2000)), 2_999_000);
}

#[test]
fn answers_from_another_place_or_of_another_session_are_dropped() {
    let mut bench = Bench::settled();
    let handle = bench.call(10 * SECOND);
    let request = bench.one();
    let elsewhere = Sent { to: "192.0.2.1:1".parse().unwrap(), ..request.clone() };
    bench.reply(&elsewhere, b"forged");
    let What::Request { call, .. } = request.what else { panic!() };
    let other = What::Fence { session: SessionId(1), call };
    bench.reply(&Sent { what: other, ..request.clone() }, b"forged");
    bench.running(handle);
    let counters = *bench.client.counters();
    assert_eq!((counters.dropped_source, counters.dropped_stray), (1, 1));
    bench.client.handle_datagram(bench.now, server(), b"garbage");
    bench.reply(&request, b"real");
    bench.reply(&request, b"again");
    assert_eq!(bench.ended(handle).unwrap().body, b"real");
    let counters = *bench.client.counters();
    assert_eq!((counters.dropped_malformed, counters.dropped_late), (1, 1));
    let dropped = counters.dropped_malformed
        + counters.dropped_stray
        + counters.dropped_source
        + counters.dropped_late
        + counters.dropped_foreign;
    assert_eq!(counters.received, counters.used + dropped);
}

#[test]
fn reply_to_the_slots_earlier_call_is_not_the_later_ones() {
    let mut bench = Bench::new(ClientConfig::default());
    bench.limits.window = 2;
    bench.settle();
    let first = bench.call(10 * SECOND);
    let one = bench.one();
    bench.reply(&one, b"first");
    assert_eq!(bench.ended(first).unwrap().body, b"first");
    let second = bench.call(10 * SECOND);
    let two = bench.one();
    assert_eq!(two.ids().1.0, one.ids().1.0 + 2, "the same slot");
    bench.reply(&one, b"first");
    bench.running(second);
    bench.reply(&two, b"second");
    assert_eq!(bench.ended(second).unwrap().body, b"second");
}

#[test]
fn part_of_a_reply_is_no_reply() {
    let mut bench = Bench::settled();
    let handle = bench.call(10 * SECOND);
    let request = bench.one();
    let (session, call) = request.ids();
    let clock = bench.clock();
    for (flags, cell) in [(Flags::BEGIN, 0), (Flags::WHOLE, 1)] {
        let (status, body) = (Code::Ok, &b"half"[..]);
        let (hold_us, credit, metadata) = (0, 0, MetadataRef::EMPTY);
        let message = FromServer::Reply {
            session,
            call,
            clock,
            hold_us,
            credit,
            status,
            flags,
            cell,
            metadata,
            body,
        };
        bench.deliver(server(), 1, message);
    }
    bench.running(handle);
}

#[test]
fn error_of_the_procedure_is_executed_and_keeps_its_details() {
    let mut bench = Bench::settled();
    let handle = bench.call(10 * SECOND);
    let request = bench.one();
    let mut body = Vec::new();
    crate::wire::StatusBody { message: "division by zero".into(), details: b"d" }
        .emit(&mut body, 100);
    bench.reply_with(&request, Code::OutOfRange, 0, &body);
    let error = bench.failed(handle);
    assert_eq!((error.code, error.outcome), (Code::OutOfRange, Outcome::Executed));
    assert_eq!((error.message.as_str(), error.details.as_slice()), ("division by zero", &b"d"[..]));
}

#[test]
fn session_is_left_after_three_quarters_of_the_lease_without_contact() {
    let quiet = ClientConfig { ping_after_idle: None, ..ClientConfig::default() };
    let mut bench = Bench::settled_with(quiet);
    let first = bench.session;
    bench.pass(224 * SECOND);
    let handle = bench.call(10 * SECOND);
    let request = bench.one();
    assert_eq!(request.ids().0, first);
    bench.reply(&request, b"");
    assert!(bench.ended(handle).is_ok());
    bench.pass(226 * SECOND);
    bench.call(10 * SECOND);
    let sent = bench.sent();
    assert!(sent[0].is_close() && sent[1].is_hello(), "{sent:?}");
}

#[test]
fn contact_is_counted_from_the_sending_of_what_was_answered() {
    let quiet = ClientConfig { ping_after_idle: None, ..ClientConfig::default() };
    let mut bench = Bench::settled_with(quiet);
    bench.call(60 * SECOND);
    let request = bench.one();
    bench.pass(50 * SECOND);
    bench.progress(&request, SlotState::Running, 0);
    // The lease may have begun 50 s before that answer was heard.
    bench.pass(176 * SECOND);
    bench.call(10 * SECOND);
    assert!(bench.sent().iter().any(Sent::is_hello));
}

#[test]
fn session_never_used_is_not_begun_when_its_birth_is_about_to_die() {
    let mut bench = Bench::new(ClientConfig::default());
    let first = bench.call(10 * SECOND);
    let hello = bench.one();
    bench.client.cancel(bench.now, first);
    let second = bench.call(60 * SECOND);
    let hello = bench.sent().pop().unwrap_or(hello);
    bench.hello_ack(&hello);
    bench.client.cancel(bench.now, second);
    bench.pass(55 * SECOND);
    bench.safe_call(10 * SECOND);
    assert!(bench.one().is_hello());
}

#[test]
fn close_goes_out_when_every_outcome_is_known() {
    let mut bench = Bench::settled();
    let session = bench.session;
    bench.client.close(bench.now);
    assert_eq!(bench.one().what, What::Close { session });
    bench.client.close(bench.now);
    bench.silent();
}

#[test]
fn close_waits_for_calls_in_progress() {
    let mut bench = Bench::settled();
    let handle = bench.call(10 * SECOND);
    let request = bench.one();
    bench.client.close(bench.now);
    bench.silent();
    bench.reply(&request, b"");
    assert!(bench.ended(handle).is_ok());
    assert!(bench.one().is_close());
}

#[test]
fn session_with_a_call_of_unknown_outcome_is_never_closed() {
    let mut bench = Bench::settled();
    let handle = bench.call(50 * MS);
    bench.one();
    bench.pass(100 * MS);
    assert_eq!(bench.failed(handle).outcome, Outcome::Unknown);
    bench.client.close(bench.now);
    bench.silent();
}

#[test]
fn session_whose_token_was_given_out_is_never_closed() {
    let close = |rule: Option<Rule>| {
        let mut bench = Bench::settled();
        rule.into_iter().for_each(|rule| bench.drop_rule(rule));
        let handle = bench.call(10 * SECOND);
        assert_eq!(bench.client.token(handle), None, "not sent yet");
        let request = bench.one();
        let token = bench.client.token(handle).unwrap();
        assert_eq!((token.session, token.call), request.ids());
        assert_eq!((token.server, token.epoch), (server(), EPOCH));
        assert_eq!(token.expiry, request.expiry());
        bench.reply(&request, b"");
        assert!(bench.ended(handle).is_ok());
        bench.client.close(bench.now);
        bench.sent()
    };
    assert_eq!(close(None), []);
    assert_eq!(close(Some(Rule::TokenKeepsOpen)).len(), 1);
}

#[test]
fn session_in_which_nothing_was_sent_needs_no_close() {
    let mut bench = Bench::new(ClientConfig::default());
    let handle = bench.call(10 * SECOND);
    let hello = bench.one();
    bench.hello_ack(&hello);
    bench.client.cancel(bench.now, handle);
    bench.client.close(bench.now);
    bench.silent();
}

#[test]
fn forked_process_opens_a_session_of_its_own() {
    let mut bench = Bench::settled();
    bench.client.forked(Seed::from_number(8));
    bench.call(10 * SECOND);
    assert!(bench.one().is_hello());
    let mut bench = Bench::settled();
    bench.drop_rule(Rule::OneProcess);
    bench.client.forked(Seed::from_number(8));
    bench.call(10 * SECOND);
    assert!(bench.one().is_request());
}

#[test]
fn equal_clients_behave_alike_and_counters_do_not_count() {
    let mut one = Bench::settled();
    let mut two = Bench::settled();
    two.client.handle_datagram(two.now, server(), b"garbage");
    assert_eq!(one.client, two.client);
    one.call(SECOND);
    assert_ne!(one.client, two.client);
    two.call(SECOND);
    assert_eq!(one.sent(), two.sent());
}
