//! Many processes, one after the other and at once: no limit is hit, nothing is left behind.

use std::process::{Command, Stdio};

use crate::common::Daemon;
use crate::run::{json_line, on};

/// Calls `increment` from a shell, `calls` times, each in a process of its own; `pipeline` takes
/// a number from each line of its input.
fn increments(daemon: &Daemon, pipeline: &str, calls: u64) {
    let script = format!("seq {calls} | {pipeline} | wc -l");
    let output = Command::new("sh")
        .args(["-c", &script])
        .env("UDP_RPC", env!("CARGO_BIN_EXE_udp-rpc"))
        .env("UDP_RPC_SERVER", daemon.address().to_string())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let lines = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!((lines.as_str(), errors.as_ref()), (calls.to_string().as_str(), ""));
    on(daemon, &["call", "counter/get"]).expect(0, &format!("{calls}\n"));
    let run = on(daemon, &["stats", "sessions.open", "-a", "-o", "json"]);
    assert_eq!(json_line(&run.stdout)["value"], 1, "sessions were left open");
}

const ONE_BY_ONE: &str = r#"while read n; do "$UDP_RPC" call increment || exit 1; done"#;
const EIGHT_AT_ONCE: &str = r#"xargs -P8 -I{} "$UDP_RPC" call increment by=1"#;

#[test]
fn a_shell_loop_of_calls_simply_works() {
    increments(&Daemon::start(), ONE_BY_ONE, 200);
}

#[test]
fn eight_processes_at_once_simply_work() {
    increments(&Daemon::start(), EIGHT_AT_ONCE, 400);
}

#[test]
#[ignore = "takes a minute or two"]
fn ten_thousand_calls_one_by_one_and_eight_at_once_simply_work() {
    increments(&Daemon::start(), ONE_BY_ONE, 10_000);
    increments(&Daemon::start(), EIGHT_AT_ONCE, 10_000);
}
