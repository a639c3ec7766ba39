//! `--loss`, `--duplicate`, `--delay`: the client's own path hurt on purpose, against a real daemon.

use std::time::Duration;

use crate::common::Daemon;
use crate::run::{json_line, on};

#[test]
fn calls_through_a_path_that_loses_and_doubles_run_once_each() {
    let daemon = Daemon::start();
    const CALLS: u64 = 12;
    let mut attempts = 0;
    for n in 1..=CALLS {
        let hurt = ["--loss", "20%", "--duplicate", "20%", "--timeout", "60s"];
        let run = on(&daemon, &[&["call", "increment", "-v", "-o", "json"][..], &hurt].concat());
        assert_eq!(run.code, 0, "{run:?}");
        assert_eq!(json_line(&run.stdout)["value"], n.to_string());
        attempts += json_line(&run.stderr)["summary"]["sentDatagrams"].as_u64().unwrap();
    }
    on(&daemon, &["call", "counter/get"]).expect(0, &format!("{CALLS}\n"));
    // A HELLO, a Describe and an increment each are the least.
    assert!(attempts > 3 * CALLS, "{attempts} datagrams: nothing was lost");
}

#[test]
fn a_path_that_loses_everything_ends_at_the_deadline() {
    let daemon = Daemon::start();
    let run = on(&daemon, &["call", "increment", "--loss", "100%", "--timeout", "300ms"]);
    run.fails(3, &["outcome: not executed"]);
    on(&daemon, &["call", "counter/get"]).expect(0, "0\n");
}

#[test]
fn delay_is_paid_both_ways_on_each_round_trip() {
    let daemon = Daemon::start();
    let run = on(&daemon, &["call", "add", "3", "4", "--delay", "50ms"]).expect(0, "7\n");
    // Three round trips: handshake, types, call.
    assert!(run.elapsed >= Duration::from_millis(300), "{run:?}");
}

#[test]
fn the_transcript_says_what_was_lost_and_doubled_on_purpose() {
    let daemon = Daemon::start();
    let run =
        on(&daemon, &["call", "add", "3", "4", "-vv", "--duplicate", "100%"]).expect(0, "7\n");
    assert!(run.stderr.contains("doubled on purpose"), "{}", run.stderr);
    let run = on(&daemon, &["ping", "-c", "1", "-vv", "--loss", "100%", "--timeout", "50ms"]);
    assert!(run.stderr.contains("lost on purpose"), "{}", run.stderr);
    let run = on(&daemon, &["call", "add", "3", "4", "-vv", "-o", "json"]);
    for line in run.stderr.lines() {
        let line = json_line(line);
        assert!(line["datagram"]["kind"].is_string() || line["summary"].is_object(), "{line}");
    }
}
