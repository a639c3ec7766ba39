//! Command lines that are wrong: exit code 2, fields and types named, nothing sent of the call.

use crate::common::Daemon;
use crate::run::{on, on_with_input, udp_rpc};

const TAKES: &str = "udprpc.v1.Calculator/Add takes a int64, b int64";

#[test]
fn arguments_that_do_not_fit_are_usage_errors_that_name_the_fields() {
    let daemon = Daemon::start();
    for (arguments, says) in [
        (&["add", "3"][..], "missing: b"),
        (&["add"], "missing: a, b"),
        (&["add", "3", "4", "5"], "one argument too many"),
        (&["add", "3", "four"], "b: \"four\" is not an int64"),
        (&["add", "3", "9223372036854775808"], "does not fit int64"),
        (&["add", "3", "4.5"], "is not an int64"),
        (&["add", "3", "c=4"], "no field \"c\""),
        (&["add", "a=3", "a=4"], "a is given twice"),
    ] {
        let run = on(&daemon, &[&["call"], arguments].concat());
        run.fails(2, &[says, TAKES]);
    }
}

#[test]
fn json_that_does_not_fit_is_a_usage_error_that_names_the_fields() {
    let daemon = Daemon::start();
    for data in ["{", "[]", r#"{"c":1}"#, r#"{"a":"x"}"#, r#"{"a":1.5}"#, "3"] {
        on(&daemon, &["call", "add", "-d", data]).fails(2, &[TAKES]);
    }
    let nested = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    on_with_input(&daemon, &["call", "add", "-d", "@-"], &nested).fails(2, &[TAKES]);
    on(&daemon, &["call", "add", "-d", "@/nowhere/at/all"]).fails(2, &["cannot read"]);
}

#[test]
fn a_wrong_command_line_runs_nothing() {
    let daemon = Daemon::start();
    on(&daemon, &["call", "increment", "x"]).fails(2, &["by: \"x\" is not a uint64"]);
    on(&daemon, &["call", "counter/get"]).expect(0, "0\n");
}

#[test]
fn options_are_checked_before_anything_is_sent() {
    for arguments in [
        &["call", "add", "3", "4", "--timeout", "250"][..],
        &["call", "add", "3", "4", "--timeout", "0s"],
        &["call", "add", "3", "4", "--loss", "30"],
        &["call", "add", "3", "4", "--loss", "130%"],
        &["call", "add", "3", "4", "-s", "nowhere:port"],
        &["call", "add", "3", "4", "-s", "127.0.0.1:0"],
        &["call", "add", "3", "-d", "{}"],
        &["call"],
        &["status", "no-token"],
        &["nosuch"],
        &[],
    ] {
        let run = udp_rpc(arguments);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{arguments:?}: {run:?}");
    }
}

#[test]
fn help_goes_to_stdout_and_is_no_error() {
    for arguments in [&["--help"][..], &["call", "--help"], &["help"], &["help", "call"], &["-h"]] {
        let run = udp_rpc(arguments);
        assert!(run.code == 0 && run.stdout.contains("Usage:"), "{arguments:?}: {run:?}");
        assert_eq!(run.stderr, "");
    }
    udp_rpc(&["help", "nosuch"]).fails(2, &["topics: outcomes"]);
}

#[test]
fn help_outcomes_is_a_table_of_what_may_be_done_now() {
    let run = udp_rpc(&["help", "outcomes"]);
    assert_eq!(run.code, 0);
    for word in ["executed", "not executed", "unknown", "130", "status TOKEN", "fence TOKEN"] {
        assert!(run.stdout.contains(word), "{word}");
    }
    assert!(run.stdout.lines().all(|line| line.chars().count() <= 80));
}
