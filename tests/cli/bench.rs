//! Load for a server: `bench METHOD`.
//!
//! Nothing here asks how fast anything is.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::common::{Daemon, skipped};
use crate::meeting;
use crate::run::{Run, Started, at, json_line, nobody, on, udp_rpc};

/// Runs it with `-o json`, and checks the exit code.
#[track_caller]
fn bench(daemon: &Daemon, code: i32, arguments: &[&str]) -> Value {
    report(&on(daemon, &[&["bench", "-o", "json"], arguments].concat()), code)
}

#[track_caller]
fn report(run: &Run, code: i32) -> Value {
    assert_eq!((run.code, run.stdout.lines().count()), (code, 1), "{run:?}");
    json_line(&run.stdout)
}

#[track_caller]
fn increments(daemon: &Daemon) -> u64 {
    on(daemon, &["call", "counter/get"]).stdout.trim().parse().unwrap()
}

#[test]
fn exactly_so_many_calls_are_made_as_are_asked_for_and_each_runs_once() {
    let daemon = Daemon::start();
    let path = ["--loss", "5%", "--duplicate", "5%"];
    let calls = ["increment", "-n", "500", "--clients", "3", "-c", "20"];
    let report = bench(&daemon, 0, &[&calls[..], &path].concat());
    for (name, value) in [("calls", 500), ("ok", 500), ("executed", 0), ("clients", 3)] {
        assert_eq!(report[name], value, "{report}");
    }
    assert!(report["attempts"].as_u64() > Some(500), "{report}");
    assert!(report["calls_per_s"].as_f64() > Some(0.0), "{report}");
    assert_eq!(increments(&daemon), 500);
}

#[test]
fn calls_of_the_warm_up_are_made_and_not_counted() {
    let daemon = Daemon::start();
    let warm_up = ["increment", "-n", "10", "--warm-up", "20ms"];
    assert_eq!(bench(&daemon, 0, &warm_up)["calls"], 10);
    assert!(increments(&daemon) > 10);
}

#[test]
fn every_client_has_a_session_of_its_own() {
    let daemon = Daemon::start();
    bench(&daemon, 0, &["add", "3", "4", "-n", "30", "--clients", "3"]);
    let sessions = on(&daemon, &["stats", "sessions.created", "-a", "-o", "json"]);
    // Those, that which asked what the method takes, and that of this question.
    assert_eq!(json_line(&sessions.stdout)["value"], 5, "{sessions:?}");
}

#[test]
fn as_many_calls_are_in_flight_as_allowed_and_no_more() {
    let (server, most) = meeting::server(3);
    let run = at(server.local_addr(), &["bench", "meet", "-n", "30", "-c", "3", "-o", "json"]);
    assert_eq!(report(&run, 0)["ok"], 30, "{run:?}");
    assert_eq!(most.load(Ordering::SeqCst), 3);
}

#[test]
fn latency_at_a_fixed_rate_counts_from_when_a_call_was_due() {
    let daemon = Daemon::start();
    let slow = ["sleep", "50ms", "-c", "1", "--warm-up", "0s"];
    // Fifty calls are due in this time, and ten at most can be made.
    let rate = ["--rate", "100", "--duration", "500ms"];
    let open = bench(&daemon, 0, &[&slow[..], &rate].concat());
    // The last that was made was due 300 ms and more before, whatever each of them took.
    assert!(open["latency_us"]["max"].as_f64() > Some(300e3), "{open}");
    let count = |name: &str| open[name].as_u64().unwrap();
    assert!(count("calls") <= 10 && count("calls_never_begun") >= 40, "{open}");
    assert!(count("calls_held_back") >= 1, "{open}");
    let warnings = open["warnings"].to_string();
    assert!(warnings.contains("the rate was not reached"), "{open}");
    assert!(warnings.contains("wait for room among 1 in flight"), "{open}");
}

#[test]
fn calls_at_a_fixed_rate_are_made_one_after_the_other_by_all_clients() {
    let daemon = Daemon::start();
    let rate = ["--rate", "1k", "-n", "50", "--clients", "2"];
    let report = bench(&daemon, 0, &[&["increment"][..], &rate].concat());
    assert_eq!((&report["calls"], &report["rate_per_s"]), (&json!(50), &json!(1000.0)));
    // The last of them is due 49 ms after the first.
    assert!(report["duration_s"].as_f64() > Some(0.048), "{report}");
    assert_eq!(increments(&daemon), 50);
}

#[test]
fn failures_are_told_by_code_and_outcome_and_decide_the_exit_code() {
    let daemon = Daemon::start();
    let divide = ["bench", "divide", "1", "0", "-n", "1200"];
    let report = bench(&daemon, 1, &divide[1..]);
    let errors = json!([{ "code": "INVALID_ARGUMENT", "outcome": "executed", "calls": 1200 }]);
    assert_eq!(report["errors"], errors, "{report}");
    assert_eq!((&report["ok"], &report["exit"]), (&json!(0), &json!(1)));
    let run = on(&daemon, &divide);
    assert_eq!(run.code, 1);
    assert!(run.stdout.contains("errors   1,200 INVALID_ARGUMENT, executed\n"), "{run:?}");
}

#[test]
fn calls_that_end_without_an_answer_are_unknown() {
    // Two would have to come for either to be answered.
    let (server, _) = meeting::server(2);
    let address = server.local_addr();
    let run = at(address, &["bench", "meet", "--timeout", "100ms", "-n", "1", "-o", "json"]);
    let report = report(&run, 4);
    assert_eq!((&report["unknown"], &report["calls"]), (&json!(1), &json!(1)));
    assert_eq!(report["errors"][0]["code"], "DEADLINE_EXCEEDED");
    assert!(report["latency_us"]["min"].as_f64() >= Some(99e3), "{report}");
    // The first one still waits.
    at(address, &["call", "meet"]).expect(0, "{}\n");
}

#[test]
fn where_nobody_can_be_called_there_is_nothing_to_measure() {
    let bench = ["bench", "add", "3", "4", "--duration", "60s"];
    at(nobody(), &bench).fails(3, &["UNAVAILABLE", "outcome: not executed"]);
    let daemon = Daemon::start();
    let run = on(&daemon, &["bench", "echo", "--size", "2000"]);
    run.fails(3, &["RESOURCE_EXHAUSTED", "one datagram takes", "never sent"]);
    on(&daemon, &["bench", "nosuch"]).fails(3, &["UNIMPLEMENTED"]);
}

#[test]
fn a_server_that_goes_away_ends_the_run_with_what_there_is() {
    let mut daemon = Daemon::start();
    let arguments = ["bench", "sleep", "1ms", "-c", "1", "-o", "json", "-vv"];
    let long = ["--duration", "600s", "--warm-up", "0s", "--timeout", "2s"];
    let mut run = Started::new(daemon.address(), &[&arguments[..], &long].concat());
    for _ in 0..3 {
        run.says("Sleep/Sleep");
    }
    daemon.kill();
    let run = run.end();
    let report = report(&run, 4);
    assert!(report["ok"].as_u64() > Some(0) && report["not_executed"] == 1, "{report}");
    assert!(report["warnings"].to_string().contains("it ended early: UNAVAILABLE"), "{report}");
}

#[test]
fn an_interrupted_run_fences_its_calls_and_tells_what_there_is() {
    let daemon = Daemon::start();
    let arguments = ["bench", "sleep", "1ms", "-c", "1", "-o", "json", "-vv"];
    let long = ["--duration", "600s", "--warm-up", "0s"];
    let mut run = Started::new(daemon.address(), &[&arguments[..], &long].concat());
    for _ in 0..3 {
        run.says("Sleep/Sleep");
    }
    run.interrupt();
    let run = run.end();
    let report = report(&run, 130);
    assert_eq!((&report["interrupted"], &report["exit"]), (&json!(true), &json!(130)));
    assert_eq!(report["calls"], report["ok"], "{report}");

    let never = ["bench", "sleep", "30s", "--timeout", "40s", "--warm-up", "0s", "-c", "1", "-vv"];
    let mut run = Started::new(daemon.address(), &never);
    run.says("running");
    run.interrupt();
    let run = run.end().fails(130, &["FENCE", "before any call that counts had ended"]);
    assert!(run.elapsed.as_secs() < 30, "{run:?}");
}

#[test]
fn clients_that_poll_busily_are_not_taken_for_a_bottleneck() {
    let daemon = Daemon::start();
    let report = bench(&daemon, 0, &["increment", "-n", "300", "--busy-poll"]);
    assert_eq!((&report["busy_poll"], &report["generator_busy"]), (&json!(true), &Value::Null));
    assert_eq!((&report["warnings"], increments(&daemon)), (&json!([]), 300));
}

#[test]
fn requests_take_turns() {
    let daemon = Daemon::start();
    let report = bench(&daemon, 0, &["increment", "-d", r#"{"by":1} {"by":10}"#, "-n", "6"]);
    assert_eq!((&report["requests"], increments(&daemon)), (&json!(2), 33));
}

#[test]
fn numbers_are_drawn_and_fields_are_filled_when_asked_for() {
    let daemon = Daemon::start();
    let random = ["increment", "2..4", "--random", "-n", "100"];
    let report = bench(&daemon, 0, &random);
    assert!(report["requests"].as_u64() > Some(1_000), "{report}");
    let sum = increments(&daemon);
    assert!((201..400).contains(&sum), "{sum}");
    let json = ["add", "-d", r#"{"a":"1..9","b":5}"#, "--random", "-n", "10"];
    assert_eq!(bench(&daemon, 0, &json)["request_bytes_max"], 4);
    let filled = bench(&daemon, 0, &["echo", "--size", "1000", "-n", "10"]);
    assert_eq!(filled["request_bytes_min"], 1003, "{filled}");
}

#[test]
fn what_does_not_go_together_is_a_usage_error_and_nothing_is_called() {
    let daemon = Daemon::start();
    for (arguments, says) in [
        (&["increment", "1", "--random"][..], "--random draws for arguments like 1..1000"),
        (&["increment", "1..9"], "by: \"1..9\" is not a uint64"),
        (&["divide", "--size", "9"], "no field of text or bytes"),
        (&["increment", "-d", "{} {}", "--random"], "--random is for one request"),
        (&["increment", "-d", "{}", "--size", "9"], "cannot be used with"),
        (&["increment", "-c", "0"], "0 is not in 1..=4096"),
        (&["increment", "--clients", "0"], "0 is not in 1..=1024"),
        (&["increment", "--rate", "0"], "must be above zero"),
        (&["increment", "--rate", "fast"], "20k"),
        (&["increment", "-n", "0"], "0 is not in 1.."),
        (&["increment", "--duration", "5"], "a unit is missing"),
    ] {
        on(&daemon, &[&["bench"], arguments].concat()).fails(2, &[says]);
    }
    assert_eq!(increments(&daemon), 0);
}

#[test]
fn the_report_fits_a_terminal_and_has_no_escapes() {
    let daemon = Daemon::start();
    let run = on(&daemon, &["bench", "add", "3", "4", "-n", "2000", "--clients", "2"]);
    assert_eq!(run.code, 0, "{run:?}");
    for line in run.stdout.lines() {
        assert!(line.chars().count() <= 80 && !line.contains('\x1b'), "{line}");
    }
    for part in [
        "udprpc.v1.Calculator/Add at 127.0.0.1:",
        "2 clients, 64 in flight each, ",
        "calls   2,000, ",
        "errors   none",
        "attempts   1.",
        "latency   p50 ",
        ", p99.9 ",
        "█",
    ] {
        assert!(run.stdout.contains(part), "no {part:?} in {}", run.stdout);
    }
    // The rows of the histogram hold all calls.
    let rows = run.stdout.split_once("from\n").unwrap().1.lines();
    let sum: u64 = rows.map(|row| row.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!(sum, 2_000);
}

#[test]
fn the_json_has_the_fields_that_help_documents_and_no_others() {
    let daemon = Daemon::start();
    let report = bench(&daemon, 0, &["add", "3", "4", "-n", "100"]);
    let help = udp_rpc(&["bench", "--help"]).stdout;
    let (_, fields) = help.split_once("`-o json`").unwrap();
    // A field's name is at the beginning of a line, and its meaning two spaces and more after it;
    // a line may have several names, with commas.
    let lines = fields.lines().filter_map(|line| line.strip_prefix("  "));
    let names = lines.filter(|line| !line.starts_with(' '));
    let names = names.map(|line| line.split("  ").next().unwrap());
    let documented: BTreeSet<&str> = names.flat_map(|names| names.split(", ")).collect();
    let printed: BTreeSet<&str> = report.as_object().unwrap().keys().map(|k| &**k).collect();
    assert_eq!(documented, printed);
    let rows = report["histogram"].as_array().unwrap().iter();
    assert_eq!(rows.map(|row| row["calls"].as_u64().unwrap()).sum::<u64>(), 100);
    let latency = report["latency_us"].as_object().unwrap();
    let quantiles = ["min", "p50", "p90", "p99", "p99_9", "max"].map(|name| &latency[name]);
    assert!(quantiles.is_sorted_by(|one, next| one.as_f64() <= next.as_f64()), "{report}");
}

#[test]
fn what_it_took_is_told_when_asked_for() {
    let daemon = Daemon::start();
    let run = on(&daemon, &["bench", "add", "3", "4", "-n", "100", "-v", "-o", "json"]);
    let summary = json_line(&run.stderr)["summary"].clone();
    assert!(summary["sentDatagrams"].as_u64() >= Some(102), "{summary}");
}

#[test]
fn a_line_moves_on_a_terminal_and_nowhere_else() {
    const TEST: &str = "a_line_moves_on_a_terminal_and_nowhere_else";
    if Command::new("script").arg("--version").output().is_err() {
        return skipped(TEST, "there is no program `script` to make a terminal");
    }
    let daemon = Daemon::start();
    let bench = ["bench", "sleep", "400ms", "-n", "8", "-c", "2"];
    let program = env!("CARGO_BIN_EXE_udp-rpc");
    let line = format!("{program} {} -s {} > /dev/null", bench.join(" "), daemon.address());
    let output = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("50% 4 calls"), "{shown}");
    let run = on(&daemon, &bench);
    assert!(run.code == 0 && run.stderr.is_empty(), "{}", run.stderr);
}
