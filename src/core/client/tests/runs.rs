//! Which copies go out together, and how they come to one size.

use super::*;
use crate::wire::{MAX_DATAGRAM, MAX_REQUEST_BODY};

impl Bench {
    /// Calls whose bodies have these lengths.
    fn calls_of(&mut self, lengths: &[usize]) {
        for length in lengths {
            self.make(10 * SECOND, |call| call.body = vec![7; *length]);
        }
    }

    /// What the client sends now: for each transmit the number of its datagrams, and their size.
    fn runs(&mut self) -> Vec<(usize, usize)> {
        let mut runs = Vec::new();
        let mut out = Vec::new();
        while let Some(transmit) = self.client.poll_transmit(self.now, &mut out) {
            let size = transmit.segment_size.unwrap_or(transmit.size);
            let count = out.len() / size;
            assert_eq!((transmit.size, count * size), (out.len(), out.len()), "all of one size");
            assert_eq!(transmit.segment_size.is_some(), count > 1, "{transmit:?}");
            assert!(transmit.call.is_none() || count == 1, "{transmit:?}");
            runs.push((count, size));
            out.clear();
        }
        runs
    }

    /// Makes the window of the path as wide as that of the session.
    fn widen(&mut self) {
        for _ in 0..10 {
            self.calls(usize::try_from(self.limits.window).unwrap(), 10 * SECOND);
            loop {
                let sent = self.sent();
                if sent.is_empty() {
                    break;
                }
                sent.iter().for_each(|request| self.reply(request, b""));
            }
        }
    }
}

#[test]
fn calls_made_together_go_in_one_run() {
    let mut bench = Bench::settled();
    bench.calls(10, 10 * SECOND);
    assert_eq!(bench.runs(), [(10, 52)]);
}

#[test]
fn call_alone_is_named_and_has_no_segments() {
    let mut bench = Bench::settled();
    let handle = bench.call(10 * SECOND);
    let request = bench.one();
    assert_eq!(request.transmit.segment_size, None);
    assert_eq!(request.transmit.call, Some((handle, 1)));
}

#[test]
fn lengths_that_nearly_agree_are_padded_and_bodies_arrive_as_they_were() {
    let mut bench = Bench::settled();
    let lengths = [10, 11, 9, 31, 32, 12];
    bench.calls_of(&lengths);
    let sent = bench.sent();
    let bodies = sent.iter().map(|sent| match &sent.what {
        What::Request { body, .. } => body.len(),
        other => panic!("{other:?} is no REQUEST"),
    });
    assert_eq!(bodies.collect::<Vec<_>>(), lengths);
    // 31 and 32 are too near each other for padding, which takes 4 bytes at least.
    assert!(sent.iter().all(|sent| sent.transmit.segment_size == Some(48 + 36)));
}

#[test]
fn short_and_long_go_apart_and_in_their_order() {
    let mut bench = Bench::settled();
    bench.calls_of(&[8, 8, 41, 41, 8]);
    assert_eq!(bench.runs(), [(2, 56), (2, 89), (1, 56)]);
}

#[test]
fn run_has_64_datagrams_and_60_000_bytes_at_most() {
    let mut bench = Bench::new(ClientConfig::default());
    bench.limits.window = 200;
    bench.settle();
    bench.widen();
    bench.calls_of(&[100; 150]);
    assert_eq!(bench.runs(), [(64, 148), (64, 148), (22, 148)]);
    let mut bench = Bench::new(ClientConfig::default());
    bench.limits.window = 200;
    bench.settle();
    bench.widen();
    bench.calls_of(&[MAX_REQUEST_BODY; 60]);
    assert_eq!(bench.runs(), [(50, 1200), (10, 1200)]);
}

#[test]
fn nothing_is_padded_beyond_the_longest_datagram_of_the_server() {
    let mut bench = Bench::new(ClientConfig::default());
    bench.limits.longest_datagram = 200;
    bench.calls_of(&[118, 120, 116, 116]);
    bench.shake();
    assert_eq!(bench.runs(), [(1, 198), (3, 200)], "with both proofs");
    let mut bench = Bench::new(ClientConfig::default());
    bench.calls_of(&[MAX_REQUEST_BODY - 2, MAX_REQUEST_BODY]);
    bench.shake();
    assert_eq!(bench.runs(), [(1, MAX_DATAGRAM - 2), (1, MAX_DATAGRAM)]);
}

#[test]
fn metadata_that_fills_the_options_leaves_no_room_for_padding() {
    let mut bench = Bench::settled();
    let mut filled = Metadata::new();
    filled.append("key", "v".repeat(980)).unwrap();
    for length in [3, 20, 20] {
        bench.make(10 * SECOND, |call| {
            call.metadata = filled.clone();
            call.body = vec![7; length];
        });
    }
    assert_eq!(bench.runs(), [(3, 48 + 988 + 20)]);
    // Of 1020 bytes of options both proofs take 32, this metadata 988.
    let mut bench = Bench::new(ClientConfig::default());
    for length in [3, 20, 20] {
        bench.make(10 * SECOND, |call| {
            call.metadata = filled.clone();
            call.body = vec![7; length];
        });
    }
    bench.shake();
    assert_eq!(bench.runs(), [(1, 48 + 1020 + 3), (2, 48 + 1020 + 20)]);
}

#[test]
fn handshake_and_ping_go_alone() {
    let mut bench = Bench::new(ClientConfig::default());
    bench.calls(5, 10 * SECOND);
    assert_eq!(bench.runs(), [(1, 128)]);
    let mut bench = Bench::settled();
    bench.client.ping(bench.now, bench.now + SECOND);
    bench.calls(5, 10 * SECOND);
    assert_eq!(bench.runs(), [(1, 48), (5, 52)]);
}

#[test]
fn fences_go_together_with_copies_of_about_their_length() {
    let mut bench = Bench::settled();
    let calls = bench.calls(4, 10 * SECOND);
    bench.sent();
    calls.iter().for_each(|call| bench.client.cancel(bench.now, *call));
    bench.calls(2, 10 * SECOND);
    assert_eq!(bench.runs(), [(6, 52)]);
}

#[test]
fn run_is_to_be_sent_before_the_first_of_its_deadlines() {
    let mut bench = Bench::settled();
    let fenced = bench.call(SECOND);
    bench.sent();
    bench.client.cancel(bench.now, fenced);
    bench.calls(1, 10 * SECOND);
    bench.calls(1, 5 * SECOND);
    let mut out = Vec::new();
    let run = bench.client.poll_transmit(bench.now, &mut out).unwrap();
    assert_eq!(out.len() / run.segment_size.unwrap(), 3);
    assert_eq!(run.until, bench.now + 5 * SECOND, "a FENCE may come later");
}

#[test]
fn copies_in_different_sessions_go_apart() {
    let mut bench = Bench::settled();
    let old = bench.calls(2, 10 * SECOND);
    let requests = bench.sent();
    bench.goaway(&requests[0]);
    bench.calls(2, 10 * SECOND);
    bench.shake();
    old.iter().for_each(|call| bench.client.cancel(bench.now, *call));
    assert_eq!(bench.runs(), [(2, 48), (2, 84)]);
}

#[test]
fn run_that_went_is_counted_by_the_datagram() {
    let mut bench = Bench::settled();
    let before = bench.client.counters().sent;
    bench.calls(7, 10 * SECOND);
    bench.runs();
    assert_eq!(bench.client.counters().sent, before + 7);
}

#[test]
fn ends_of_calls_of_a_run_are_told_one_by_one() {
    let mut bench = Bench::settled();
    let calls = bench.calls(3, 10 * SECOND);
    let sent = bench.sent();
    bench.reply(&sent[1], b"second");
    assert_eq!(bench.ended(calls[1]).unwrap().body, b"second");
    bench.running(calls[0]);
    bench.running(calls[2]);
}
