//! Calls that end in errors: what is said, and the exit code.

use std::time::Duration;

use crate::common::{Daemon, wait_for};
use crate::run::{Run, Started, at, nobody, on, silent, udp_rpc};

#[test]
fn an_error_that_the_procedure_answered_exits_1() {
    let daemon = Daemon::start();
    let run = on(&daemon, &["call", "divide", "1", "0"]);
    run.fails(1, &["INVALID_ARGUMENT", "outcome: executed", "1 attempt in "]);
    on(&daemon, &["call", "add", "9223372036854775807", "1"]).fails(1, &["OUT_OF_RANGE"]);
}

#[test]
fn an_unknown_function_offers_the_nearest_names_and_exits_3() {
    let daemon = Daemon::start();
    let words = ["unknown function", "udprpc.v1.Calculator/Multiply", "outcome: not executed"];
    on(&daemon, &["call", "multipy", "1"]).fails(3, &words);
    on(&daemon, &["call", "nosuch", "1"]).fails(3, &["unknown function \"nosuch\"", "nearest"]);
    on(&daemon, &["describe", "multipy"]).fails(3, &["Calculator/Multiply"]);
}

#[test]
fn an_ambiguous_name_lists_what_it_could_mean() {
    let daemon = Daemon::start();
    let run = on(&daemon, &["call", "v1"]);
    assert_eq!((run.code, run.stdout.as_str()), (3, ""), "{run:?}");
}

#[test]
fn a_streaming_method_is_said_not_to_be_callable_yet() {
    let daemon = Daemon::start();
    on(&daemon, &["call", "ParrotSaysHello", "a", "b"]).fails(3, &["server streaming"]);
}

#[test]
fn errors_as_json_carry_code_outcome_proof_and_exit_code() {
    let daemon = Daemon::start();
    let error = on(&daemon, &["call", "divide", "1", "0", "-o", "json"]).json_error();
    assert_eq!(
        (&error["code"], &error["outcome"]),
        (&"INVALID_ARGUMENT".into(), &"executed".into())
    );
    assert_eq!((&error["exit"], &error["attempts"]), (&1.into(), &1.into()));
    let error = on(&daemon, &["call", "nosuch", "-o", "json"]).json_error();
    assert_eq!((&error["outcome"], &error["proof"]), (&"notExecuted".into(), &"neverSent".into()));
    assert_eq!(error["exit"], 3);
    let error = on(&daemon, &["call", "add", "-o", "json"]).json_error();
    assert_eq!((&error["kind"], &error["exit"]), (&"usage".into(), &2.into()));
}

#[test]
fn nothing_listening_is_said_at_once() {
    let run = at(nobody(), &["call", "add", "3", "4"]);
    assert!(run.elapsed < Duration::from_secs(5), "{run:?}");
    run.fails(3, &["UNAVAILABLE", "outcome: not executed", "never sent"]);
    let error = at(nobody(), &["call", "add", "3", "4", "-o", "json"]).json_error();
    assert!(error["elapsedMs"].as_f64().unwrap() < 1_000.0, "{error}");
}

#[test]
fn a_silent_server_is_said_at_the_deadline_with_the_attempts() {
    let (socket, address) = silent();
    let run = at(address, &["call", "add", "3", "4", "--timeout", "400ms"]);
    // Only HELLOs were sent, so nothing can have run.
    assert!(run.elapsed >= Duration::from_millis(400), "{run:?}");
    run.fails(3, &["DEADLINE_EXCEEDED", "outcome: not executed", "never sent"]);
    socket.set_nonblocking(true).unwrap();
    let mut hellos = 0;
    while socket.recv(&mut [0; 2048]).is_ok() {
        hellos += 1;
    }
    assert!(hellos >= 2, "{hellos} HELLOs");
}

/// A call that is under way when its server falls silent, to its deadline.
fn cut_off(daemon: &Daemon, options: &[&str]) -> Run {
    let call = ["call", "sleep", "30s", "--timeout", "1500ms", "-vv"];
    let mut run = Started::new(daemon.address(), &[&call, options].concat());
    run.says("running");
    daemon.signal("STOP");
    let run = run.end();
    daemon.signal("CONT");
    run
}

#[test]
fn a_call_without_an_answer_at_the_deadline_is_unknown_and_says_how_to_ask() {
    let daemon = Daemon::start();
    let words = ["DEADLINE_EXCEEDED", "outcome: unknown", "attempt", "udp-rpc status "];
    cut_off(&daemon, &[]).fails(4, &words);
    let error = cut_off(&daemon, &["-o", "json"]).json_error();
    assert_eq!((&error["outcome"], &error["exit"]), (&"unknown".into(), &4.into()));
    let ask = error["ask"].as_str().unwrap();
    assert_eq!(ask, format!("udp-rpc status {}", error["token"].as_str().unwrap()));
    // The server is there again, and the call has ended or is about to: its caller gave it 1.5 s.
    let token = error["token"].as_str().unwrap();
    let told = wait_for("the call to be known", || {
        let told = udp_rpc(&["status", token]);
        (told.code != 4).then_some(told)
    });
    assert_eq!(told.code, 1, "{told:?}");
}

#[test]
fn a_name_that_does_not_resolve_ran_nothing() {
    let run = udp_rpc(&["call", "add", "3", "4", "-s", "no-such-host.invalid:1"]);
    run.fails(3, &["cannot resolve", "never sent"]);
}

#[test]
fn wait_waits_for_a_server_that_is_not_there_yet() {
    let address = nobody();
    let mut run = Started::new(address, &["call", "add", "3", "4", "--wait", "-vv"]);
    run.says("-> HELLO");
    let _daemon = Daemon::builder().listen(address).start();
    let run = run.end();
    assert_eq!((run.code, run.stdout.as_str()), (0, "7\n"), "{run:?}");
}

#[test]
fn wait_ends_at_the_timeout() {
    let run = at(nobody(), &["call", "add", "3", "4", "--wait", "--timeout", "300ms"]);
    assert!(run.elapsed >= Duration::from_millis(300), "{run:?}");
    run.fails(3, &["outcome: not executed"]);
}
