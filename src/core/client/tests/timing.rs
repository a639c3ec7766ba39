//! When copies go: samples, backoff, windows, PROGRESS, deadlines.

use super::*;

/// Samples bring the RTO of a steady path down; here it stays where the handshake put it.
fn rto(bench: &Bench) -> Duration {
    bench.client.info(bench.now).unwrap().rto
}

#[test]
fn retransmitted_call_gives_a_sample_of_the_attempt_that_was_answered() {
    let mut bench = Bench::settled();
    let before = rto(&bench);
    bench.call(10 * SECOND);
    let _lost = bench.one();
    let second = bench.next_sent();
    assert_eq!(second.attempt, 2);
    bench.pass(RTT);
    bench.reply(&second, b"");
    assert!(rto(&bench) <= before, "{:?} {before:?}", rto(&bench));
    assert_eq!(bench.client.info(bench.now).unwrap().srtt, Some(RTT));
}

#[test]
fn time_for_which_an_answer_was_held_is_no_round_trip() {
    let mut bench = Bench::settled();
    let handle = bench.call(10 * SECOND);
    let request = bench.one();
    bench.pass(30 * MS);
    bench.reply_with(&request, Code::Ok, 10_000, b"");
    assert!(bench.ended(handle).is_ok());
    assert_eq!(bench.client.info(bench.now).unwrap().srtt, Some(RTT));
}

#[test]
fn copies_of_a_call_double_their_distance_and_keep_identity_and_expiry() {
    let mut bench = Bench::settled();
    let rto = rto(&bench);
    let start = bench.now;
    let handle = bench.call(10 * SECOND);
    let copies = bench.pass(11 * SECOND);
    assert!(copies.iter().all(Sent::is_request));
    assert!(copies.iter().all(|copy| copy.ids() == copies[0].ids()));
    assert!(copies.iter().all(|copy| copy.expiry() == copies[0].expiry()));
    let gaps: Vec<Duration> = copies.windows(2).map(|pair| pair[1].at.since(pair[0].at)).collect();
    for (gap, factor) in gaps.iter().zip([1, 2, 8]) {
        assert!(*gap >= rto * factor && *gap <= rto * factor * 5 / 4, "{gaps:?} {rto:?}");
    }
    // The last goes one RTO before the deadline, and nothing after it.
    let last = copies.last().unwrap().at;
    assert_eq!(last, (start + 10 * SECOND).before(rto));
    let error = bench.failed(handle);
    assert_eq!((error.code, error.outcome), (Code::DeadlineExceeded, Outcome::Unknown));
    assert_eq!(usize::try_from(error.attempts).unwrap(), copies.len());
    assert_eq!(error.token.unwrap().call, copies[0].ids().1);
}

#[test]
fn expiry_is_the_deadline_by_a_lower_bound_of_the_servers_clock() {
    let mut bench = Bench::settled();
    bench.pass(SECOND);
    let deadline = bench.now + 10 * SECOND;
    bench.call(10 * SECOND);
    let expiry = bench.one().expiry();
    let true_clock = deadline.as_micros() + 1_000_000_000;
    assert!(expiry < true_clock, "{expiry} {true_clock}");
    assert!(expiry > true_clock - 12_000, "at most 1000 ppm of 11 s early: {expiry}");
}

#[test]
fn backoff_doubles_once_however_many_calls_expire() {
    let mut bench = Bench::settled();
    bench.calls(10, 10 * SECOND);
    assert_eq!(bench.sent().len(), 10);
    let interval = rto(&bench);
    // The first copy to expire doubles the factor; the others' timers move with it, and expire
    // later without doubling it again.
    let sent_at = bench.now;
    bench.now = bench.client.poll_timeout().unwrap();
    bench.client.handle_timeout(bench.now);
    assert_eq!(bench.client.path(server()).factor(), 2);
    assert_eq!(bench.client.path(server()).window(), 2, "silence");
    bench.silent();
    let again = bench.next_sent();
    assert_eq!(bench.client.path(server()).factor(), 2);
    let waited = again.at.since(sent_at);
    assert!(waited >= interval * 2 && waited <= interval * 5 / 2, "{waited:?} {interval:?}");
}

#[test]
fn anything_valid_ends_the_backoff() {
    let mut bench = Bench::settled();
    let first = bench.call(30 * SECOND);
    let one = bench.one();
    bench.call(30 * SECOND);
    bench.pass(5 * SECOND);
    assert!(bench.client.path(server()).factor() > 8);
    bench.reply(&one, b"");
    assert!(bench.ended(first).is_ok());
    assert_eq!(bench.client.path(server()).factor(), 1);
    // The other's next copy comes soon, not after the long interval that was due.
    let next = bench.client.poll_timeout().unwrap();
    assert!(next <= bench.now + SECOND, "{next:?}");
}

#[test]
fn window_holds_new_calls_back_and_answers_let_them_go() {
    let mut bench = Bench::settled();
    let calls: Vec<CallHandle> = (0..30).map(|_| bench.call(10 * SECOND)).collect();
    let first = bench.sent();
    assert_eq!(first.len(), 10);
    bench.pass(RTT);
    for request in &first {
        bench.reply(request, b"");
    }
    // Slow start: each answer lets two go.
    assert_eq!(bench.sent().len(), 20);
    assert_eq!(calls.iter().filter(|call| bench.end_of(**call).is_some()).count(), 10);
}

#[test]
fn lost_copies_go_before_new_calls() {
    let mut bench = Bench::settled();
    let calls: Vec<CallHandle> = (0..12).map(|_| bench.call(10 * SECOND)).collect();
    let first = bench.sent();
    assert_eq!(first.len(), 10);
    let next = bench.next_sent();
    assert_eq!(next.attempt, 2, "a retransmission: {next:?}");
    let ids: Vec<_> = first.iter().map(Sent::ids).collect();
    assert!(ids.contains(&next.ids()));
    assert!(calls.iter().all(|call| bench.end_of(*call).is_none()));
}

#[test]
fn progress_stops_retransmission_and_probes_grow_slower() {
    let mut bench = Bench::settled();
    let handle = bench.call(60 * SECOND);
    let request = bench.one();
    bench.pass(200 * MS - RTT);
    bench.pass(RTT);
    let start = request.at;
    bench.progress(&request, SlotState::Running, 180_000);
    let mut probes = bench.pass(MS);
    assert!(probes.is_empty());
    for _ in 0..12 {
        let probe = bench.next_sent();
        assert_eq!(probe.ids(), request.ids());
        bench.pass(RTT);
        bench.progress(&probe, SlotState::Running, 0);
        probes.push(probe);
    }
    let last = &probes[probes.len() - 2..];
    let gap = last[1].at.since(last[0].at);
    let age = last[0].at.since(start);
    assert!(gap >= age / 4 - 10 * MS && gap <= age / 4 + 100 * MS, "{gap:?} at {age:?}");
    bench.reply(&probes[11].clone(), b"late");
    assert_eq!(bench.ended(handle).unwrap().body, b"late");
}

#[test]
fn calls_in_progress_leave_the_window_to_others() {
    let mut bench = Bench::settled();
    bench.calls(20, 30 * SECOND);
    let first = bench.sent();
    bench.pass(RTT);
    for request in &first {
        bench.progress(request, SlotState::Running, 0);
    }
    assert_eq!(bench.sent().iter().filter(|sent| sent.attempt == 1).count(), 10);
}

#[test]
fn nothing_of_a_request_is_sent_after_its_deadline() {
    let mut bench = Bench::settled();
    let handle = bench.call(100 * MS);
    bench.one();
    let deadline = bench.now + 100 * MS;
    let copies = bench.pass(SECOND);
    assert!(copies.iter().all(|copy| copy.at < deadline), "{copies:?}");
    assert_eq!(bench.failed(handle).elapsed, 100 * MS);
    // Not even where the driver is late.
    let handle = bench.call(100 * MS);
    bench.one();
    bench.now = bench.now + SECOND;
    bench.client.handle_timeout(bench.now);
    bench.silent();
    assert_eq!(bench.failed(handle).outcome, Outcome::Unknown);
}

#[test]
fn call_past_its_deadline_ends_at_once() {
    let mut bench = Bench::settled();
    let handle = bench.call(Duration::ZERO);
    let error = bench.failed(handle);
    assert_eq!((error.code, error.outcome), (Code::DeadlineExceeded, NEVER_SENT));
}

#[test]
fn call_that_found_no_room_says_so() {
    let mut bench = Bench::settled();
    bench.calls(10, 30 * SECOND);
    bench.sent();
    let handle = bench.call(50 * MS);
    bench.pass(60 * MS);
    let error = bench.failed(handle);
    assert_eq!((error.code, error.outcome), (Code::DeadlineExceeded, NEVER_SENT));
    assert!(error.message.contains("10 calls unanswered"), "{error}");
}

#[test]
fn window_of_slots_full_until_the_deadline_is_named() {
    let mut bench = Bench::new(ClientConfig::default());
    bench.limits.window = 4;
    bench.settle();
    bench.calls(4, 30 * SECOND);
    let requests = bench.sent();
    assert_eq!(requests.len(), 4);
    for request in &requests {
        bench.progress(request, SlotState::Running, 0);
    }
    let handle = bench.safe_call(SECOND);
    bench.pass(SECOND);
    let error = bench.failed(handle);
    assert_eq!((error.code, error.outcome), (Code::ResourceExhausted, NEVER_SENT));
    assert_eq!(error.message, "window of 4 calls full until the deadline");
}

#[test]
fn call_of_which_no_copy_left_the_host_is_not_executed() {
    let mut bench = Bench::settled();
    let handle = bench.call(SECOND);
    let request = bench.one();
    bench.client.handle_unsent(bench.now, &request.transmit);
    for copy in bench.pass_unsent(2 * SECOND) {
        assert_eq!(copy.ids(), request.ids());
    }
    let error = bench.failed(handle);
    assert_eq!((error.code, error.outcome), (Code::Unavailable, NEVER_SENT));
    assert!(error.message.contains("the kernel refused to send"), "{error}");
    assert!(error.attempts > 1);
}

#[test]
fn one_copy_that_left_makes_the_outcome_unknown() {
    let mut bench = Bench::settled();
    let handle = bench.call(SECOND);
    let request = bench.one();
    bench.client.handle_unsent(bench.now, &request.transmit);
    bench.next_sent();
    bench.pass_unsent(2 * SECOND);
    assert_eq!(bench.failed(handle).outcome, Outcome::Unknown);
}

#[test]
fn copy_reported_twice_as_unsent_counts_once() {
    let mut bench = Bench::settled();
    let handle = bench.call(SECOND);
    let request = bench.one();
    let second = bench.next_sent();
    bench.client.handle_unsent(bench.now, &second.transmit);
    bench.client.handle_unsent(bench.now, &second.transmit);
    bench.pass_unsent(2 * SECOND);
    assert_eq!(bench.failed(handle).outcome, Outcome::Unknown, "{request:?} left");
}

#[test]
fn refusal_by_the_network_does_not_end_a_call_in_flight() {
    let mut bench = Bench::settled();
    let handle = bench.call(SECOND);
    let request = bench.one();
    bench.client.handle_refused(bench.now, server());
    bench.running(handle);
    bench.reply(&request, b"");
    assert!(bench.ended(handle).is_ok());
}

impl Bench {
    /// Lets time pass while the kernel takes nothing.
    fn pass_unsent(&mut self, duration: Duration) -> Vec<Sent> {
        let end = self.now + duration;
        let mut all = Vec::new();
        while let Some(at) = self.client.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.client.handle_timeout(self.now);
            for sent in self.sent() {
                self.client.handle_unsent(self.now, &sent.transmit);
                all.push(sent);
            }
        }
        self.now = end;
        all
    }
}
