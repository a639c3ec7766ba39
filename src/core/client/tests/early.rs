//! Copies that go again before their timer, because later ones were answered.

use super::*;

/// A client that knows its path well, and whose timers are long.
fn steady() -> Bench {
    let config = ClientConfig { rto_floor: Some(10 * RTT), ..ClientConfig::default() };
    let mut bench = Bench::settled_with(config);
    for _ in 0..40 {
        let handle = bench.call(SECOND);
        let request = bench.one();
        bench.pass(RTT);
        bench.reply(&request, b"");
        assert!(bench.ended(handle).is_ok());
    }
    bench
}

/// Calls of which all but the first are answered a round trip later.
fn overtaken(bench: &mut Bench, count: usize) -> (Vec<CallHandle>, Vec<Sent>) {
    let calls = bench.calls(count, 10 * SECOND);
    let sent = bench.sent();
    assert_eq!(sent.len(), count);
    bench.pass(RTT);
    sent[1..].iter().for_each(|request| bench.reply(request, b""));
    (calls, sent)
}

/// When an answer is overdue that was asked for at `sent`: 9/8 of the round-trip time later.
fn overdue(sent: &Sent) -> Time {
    sent.at + RTT * 9 / 8
}

#[test]
fn copy_that_three_later_ones_overtook_goes_again_when_its_answer_is_overdue() {
    let mut bench = steady();
    let (calls, sent) = overtaken(&mut bench, 4);
    bench.silent();
    let again = bench.next_sent();
    assert_eq!((again.ids(), again.attempt), (sent[0].ids(), 2));
    assert_eq!(again.at, overdue(&sent[0]));
    bench.pass(RTT);
    bench.reply(&again, b"late");
    assert_eq!(bench.ended(calls[0]).unwrap().body, b"late");
}

#[test]
fn copy_that_is_overdue_already_goes_at_the_third_answer() {
    let mut bench = steady();
    bench.calls(5, 10 * SECOND);
    let sent = bench.sent();
    bench.pass(RTT);
    // Somebody is there: no probe is needed.
    bench.reply(&sent[0], b"");
    bench.pass(RTT);
    let held = 20_000;
    for request in &sent[2..4] {
        bench.reply_with(request, Code::Ok, held, b"");
        bench.silent();
    }
    bench.reply_with(&sent[4], Code::Ok, held, b"");
    assert_eq!(bench.one().ids(), sent[1].ids());
}

#[test]
fn two_later_answers_are_not_enough() {
    let mut bench = steady();
    overtaken(&mut bench, 3);
    let heard = bench.now;
    let probe = bench.next_sent();
    assert_eq!(probe.at, heard + RTT + MS);
}

#[test]
fn answers_to_earlier_copies_are_no_sign() {
    let mut bench = steady();
    bench.calls(5, 10 * SECOND);
    let sent = bench.sent();
    bench.pass(RTT);
    sent[..4].iter().for_each(|request| bench.reply(request, b""));
    let heard = bench.now;
    let probe = bench.next_sent();
    assert_eq!(probe.at, heard + RTT + MS);
}

#[test]
fn call_in_progress_does_not_go_early() {
    let mut bench = steady();
    let calls = bench.calls(6, 10 * SECOND);
    let sent = bench.sent();
    bench.pass(RTT);
    bench.progress(&sent[0], SlotState::Running, 0);
    sent[1..].iter().for_each(|request| bench.reply(request, b""));
    let rto = bench.client.info(bench.now).unwrap().rto;
    let probe = bench.next_sent();
    assert!(probe.at >= sent[0].at + rto, "{probe:?}");
    bench.running(calls[0]);
}

#[test]
fn each_early_copy_waits_twice_as_long_as_the_one_before() {
    let mut bench = steady();
    let (_, sent) = overtaken(&mut bench, 4);
    let second = bench.next_sent();
    bench.calls(3, 10 * SECOND);
    let later = bench.sent();
    bench.pass(RTT);
    later.iter().for_each(|request| bench.reply(request, b""));
    let third = bench.next_sent();
    assert_eq!((third.ids(), third.attempt), (sent[0].ids(), 3));
    assert_eq!(third.at, second.at + RTT * 9 / 4);
}

#[test]
fn copy_that_counts_as_lost_makes_room_for_others() {
    let mut bench = steady();
    let (_, sent) = overtaken(&mut bench, 4);
    assert_eq!(bench.client.path(server()).in_flight(), 1);
    bench.now = overdue(&sent[0]);
    bench.client.handle_timeout(bench.now);
    assert_eq!(bench.client.path(server()).in_flight(), 0);
    bench.one();
    assert_eq!(bench.client.path(server()).in_flight(), 1);
}

#[test]
fn losses_of_a_round_trip_cost_the_window_a_fifth_once() {
    let mut bench = steady();
    bench.calls(10, 10 * SECOND);
    let sent = bench.sent();
    bench.pass(RTT);
    sent[2..].iter().for_each(|request| bench.reply(request, b""));
    let before = bench.client.path(server()).window();
    assert!(before >= 18, "it grew with each answer: {before}");
    bench.pass(RTT / 4);
    assert_eq!(bench.client.path(server()).window(), before * 4 / 5);
}

#[test]
fn answer_that_was_only_late_gives_the_window_back() {
    let mut bench = steady();
    let (calls, sent) = overtaken(&mut bench, 8);
    let before = bench.client.path(server()).window();
    assert_eq!(bench.next_sent().attempt, 2);
    assert!(bench.client.path(server()).window() < before);
    bench.reply(&sent[0], b"");
    assert!(bench.ended(calls[0]).is_ok());
    assert!(bench.client.path(server()).window() >= before);
}

#[test]
fn slow_method_costs_one_early_copy_and_is_remembered() {
    let mut bench = steady();
    let slow = MethodId::of("test.Slow/Slow");
    for round in 0..5 {
        let handle = bench.make(10 * SECOND, |call| call.method = slow);
        bench.calls(4, 10 * SECOND);
        let sent = bench.sent();
        bench.pass(RTT);
        sent[1..].iter().for_each(|request| bench.reply(request, b""));
        let copies = bench.pass(RTT / 2);
        assert_eq!(copies.len(), usize::from(round == 0), "round {round}: {copies:?}");
        let latest = copies.last().unwrap_or(&sent[0]).clone();
        if round == 0 {
            bench.pass(RTT);
            bench.progress(&latest, SlotState::Running, 0);
        }
        bench.reply_with(&latest, Code::Ok, 0, b"");
        assert!(bench.ended(handle).is_ok());
    }
}

#[test]
fn silence_with_copies_in_flight_is_probed_by_the_two_oldest_and_nothing_counts_as_lost() {
    let mut bench = steady();
    bench.calls(8, 10 * SECOND);
    let sent = bench.sent();
    let before = bench.client.path(server()).window();
    let probes = bench.pass(RTT + MS);
    let ids = |copies: &[Sent]| copies.iter().map(Sent::ids).collect::<Vec<_>>();
    assert_eq!(ids(&probes), ids(&sent[..2]));
    assert!(probes.iter().all(|probe| probe.at == sent[0].at + RTT + MS && probe.attempt == 2));
    assert_eq!(bench.client.path(server()).window(), before);
    assert_eq!(bench.client.path(server()).in_flight(), 8);
}

#[test]
fn method_whose_probes_find_it_in_progress_is_not_probed_until_it_takes_longer_than_it_did() {
    let mut bench = steady();
    bench.calls(1, 10 * SECOND);
    let first = bench.sent();
    let probe = bench.next_sent();
    assert_eq!((probe.ids(), probe.at), (first[0].ids(), first[0].at + RTT + MS));
    bench.pass(RTT);
    bench.progress(&probe, SlotState::Running, 0);
    // Its copy has given its sample.
    bench.reply(&probe, b"");
    bench.calls(1, 10 * SECOND);
    bench.sent();
    let due = bench.client.path(server()).probe_at().expect("the path could be probed");
    assert_eq!(bench.pass(due.since(bench.now)), []);
}
