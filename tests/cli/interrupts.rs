//! Ctrl-C.

use crate::common::Daemon;
use crate::run::{Started, silent};

#[test]
fn an_interrupted_call_is_fenced_and_its_outcome_said() {
    let daemon = Daemon::start();
    let mut run =
        Started::new(daemon.address(), &["call", "sleep", "30s", "--timeout", "40s", "-vv"]);
    run.says("running");
    run.interrupt();
    let run = run.end();
    // The handler was told, and answered.
    run.fails(130, &["interrupted", "-> FENCE", "outcome: executed"]);
}

#[test]
fn an_interrupt_before_the_call_was_sent_proves_that_it_did_not_run() {
    let (_socket, address) = silent();
    let mut run = Started::new(address, &["call", "increment", "-vv"]);
    run.says("-> HELLO");
    run.interrupt();
    run.end().fails(130, &["interrupted", "outcome: not executed", "never sent"]);
}

#[test]
fn an_interrupted_call_whose_server_is_silent_is_unknown_and_says_how_to_ask() {
    let daemon = Daemon::start();
    let mut run =
        Started::new(daemon.address(), &["call", "sleep", "30s", "--timeout", "40s", "-vv"]);
    run.says("running");
    daemon.signal("STOP");
    run.interrupt();
    let run = run.end();
    daemon.signal("CONT");
    run.fails(130, &["interrupted", "outcome: unknown", "udp-rpc status "]);
}

#[test]
fn an_interrupted_ping_sums_up() {
    let daemon = Daemon::start();
    let mut run = Started::new(daemon.address(), &["ping", "-c", "0", "-i", "10ms", "-vv"]);
    run.says("PONG");
    run.interrupt();
    let run = run.end();
    assert_eq!(run.code, 130, "{run:?}");
    assert!(run.stdout.contains("RTT min/mean/max"), "{run:?}");
}
