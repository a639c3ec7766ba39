//! Many calls of one process: `call METHOD -d @lines.jsonl`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use tempfile::TempPath;

use crate::common::{Daemon, skipped};
use crate::meeting;
use crate::run::{Run, Started, command, json_line, on, on_with_input};

/// A file with this ending and these lines.
fn file(ending: &str, lines: impl IntoIterator<Item = impl AsRef<str>>) -> (TempPath, String) {
    let mut file = tempfile::Builder::new().suffix(ending).tempfile().unwrap();
    for line in lines {
        writeln!(file, "{}", line.as_ref()).unwrap();
    }
    let path = file.into_temp_path();
    let named = format!("@{}", path.display());
    (path, named)
}

/// stdout's lines as JSON.
fn answers(run: &Run) -> Vec<Value> {
    run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn summary(run: &Run) -> Value {
    json_line(&run.stderr)["summary"].clone()
}

#[test]
fn a_line_each_is_answered_in_the_order_of_the_input() {
    let daemon = Daemon::start();
    let (_file, data) = file(".jsonl", (0..2_000).map(|n| format!(r#"{{"a":{n},"b":1}}"#)));
    let run = on(&daemon, &["call", "add", "-d", &data]);
    let expected: String = (1..=2_000).map(|sum| format!("{{\"value\":\"{sum}\"}}\n")).collect();
    let run = run.expect(0, &expected);
    assert!(run.stderr.starts_with("2000 calls in "), "{}", run.stderr);
    assert!(run.stderr.contains(" calls/s: 2000 ok, 0 executed with an error, 0 not executed"));
    let sessions = on(&daemon, &["stats", "sessions.created", "-a", "-o", "json"]);
    // The batch's, and that of this question.
    assert_eq!(json_line(&sessions.stdout)["value"], 2, "{sessions:?}");
}

#[test]
fn a_slow_call_holds_its_place_and_not_the_others() {
    let daemon = Daemon::start();
    let lines = ["1s", "1ms", "2ms"].map(|wait| format!(r#"{{"duration":"{wait}"}}"#));
    let (_file, data) = file(".ndjson", lines);
    let run = on(&daemon, &["call", "sleep", "-d", &data]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let slept: Vec<f64> = answers(&run)
        .iter()
        .map(|answer| {
            let slept = answer.as_object().unwrap().values().next().unwrap().as_str().unwrap();
            slept.trim_end_matches('s').parse().unwrap()
        })
        .collect();
    assert!(slept[0] >= 1.0 && slept[1] < 1.0 && slept[2] < 1.0, "{slept:?}");
}

#[test]
fn failures_stand_in_the_place_of_their_answers_with_the_line_number() {
    let daemon = Daemon::start();
    let lines = [r#"{"a":6,"b":2}"#, "", r#"{"a":1,"b":0}"#, r#"{"a":8,"b":2}"#];
    let (_file, data) = file(".jsonl", lines);
    let run = on(&daemon, &["call", "divide", "-d", &data, "-o", "json"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    let answers = answers(&run);
    assert_eq!((&answers[0]["value"], &answers[2]["value"]), (&"3".into(), &"4".into()));
    let error = &answers[1]["error"];
    for (name, value) in [
        ("line", json!(3)),
        ("code", json!("INVALID_ARGUMENT")),
        ("outcome", json!("executed")),
        ("exit", json!(1)),
        ("attempts", json!(1)),
    ] {
        assert_eq!(error[name], value, "{error}");
    }
    let summary = summary(&run);
    for (name, count) in [("calls", 3), ("ok", 2), ("executed", 1), ("malformed", 0), ("exit", 1)] {
        assert_eq!(summary[name], count, "{summary}");
    }
}

#[test]
fn a_malformed_line_is_not_sent_and_the_others_are() {
    let daemon = Daemon::start();
    let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(5 << 20));
    let deep = format!(r#"{{"name":{}"#, "[".repeat(100_000));
    let lines = [
        r#"{"by":1}"#,
        r#"{"by":"x"}"#,
        r#"{"by":1"#,
        r#"{"by":1} {"by":-1}"#,
        r#"{"by":1} oops"#,
        &long,
        &deep,
        r#"{"nosuch":1}"#,
        r#"{"by":1}"#,
    ];
    let (_file, data) = file(".jsonl", lines);
    let run = on(&daemon, &["call", "increment", "-d", &data, "-o", "json"]);
    assert_eq!(run.code, 2, "{}", run.stderr);
    let answers = answers(&run);
    assert_eq!((&answers[0]["value"], &answers[8]["value"]), (&"1".into(), &"2".into()));
    for (line, says) in [
        (2, "by: \"x\" is not a uint64 (line 2, column 9)"),
        (3, "not JSON: EOF while parsing an object (line 3, column 7)"),
        (4, "by: -1 does not fit uint64 (line 4, column 17)"),
        (5, "not JSON: trailing characters (line 5, column 10)"),
        (6, "longer than 4 MiB, the limit"),
        (7, "name: a list is not a string"),
        (8, "there is no field \"nosuch\""),
    ] {
        let error = &answers[line - 1]["error"];
        assert_eq!((&error["line"], &error["exit"]), (&line.into(), &2.into()), "{error}");
        assert!(error["message"].as_str().unwrap().starts_with(says), "{error}");
    }
    assert_eq!(summary(&run)["malformed"], 7);
    on(&daemon, &["call", "counter/get"]).expect(0, "2\n");
}

#[test]
fn several_values_are_a_batch_wherever_they_come_from_and_one_is_none() {
    let daemon = Daemon::start();
    let sums = "{\"value\":\"3\"}\n{\"value\":\"7\"}\n";
    on(&daemon, &["call", "add", "-d", r#"{"a":1,"b":2} {"a":3,"b":4}"#]).expect(0, sums);
    let lines = "{\"a\":1,\"b\":2}\n{\"a\":3,\"b\":4}\n";
    on_with_input(&daemon, &["call", "add", "-d", "@-"], lines).expect(0, sums);
    let pretty = "{\n  \"a\": 1,\n  \"b\": 2\n}\n{\n  \"a\": 3,\n  \"b\": 4\n}\n";
    let (_file, data) = file(".json", [pretty]);
    on(&daemon, &["call", "add", "-d", &data]).expect(0, sums);
    // One value is one call, over however many lines; of a file of lines it is a batch of one.
    let one = "{\n  \"a\": 1,\n  \"b\": 2\n}\n";
    on_with_input(&daemon, &["call", "add", "-d", "@-"], one).expect(0, "3\n");
    let (_file, data) = file(".jsonl", [r#"{"a":1,"b":2}"#]);
    on(&daemon, &["call", "add", "-d", &data]).expect(0, "{\"value\":\"3\"}\n");
    let (_file, data) = file(".txt", [r#"{"a":1,"b":2}"#]);
    on(&daemon, &["call", "add", "-d", &data]).expect(0, "3\n");
    let run = on(&daemon, &["call", "add", "--lines", "-d", &data]);
    run.expect(0, "{\"value\":\"3\"}\n");
    let (_file, data) = file(".jsonl", [""]);
    let run = on(&daemon, &["call", "add", "-d", &data]).expect(0, "");
    assert!(run.stderr.starts_with("0 calls in "), "{}", run.stderr);
}

#[test]
fn what_it_took_is_in_the_summary_when_asked_for() {
    let daemon = Daemon::start();
    let run = on(&daemon, &["call", "add", "-d", "{} {}", "-v", "-o", "json"]);
    assert_eq!((run.code, run.stderr.lines().count()), (0, 1), "{}", run.stderr);
    let summary = summary(&run);
    assert_eq!(summary["calls"], 2);
    assert!(summary["sentDatagrams"].as_u64() >= Some(4), "{summary}");
}

#[test]
fn raw_answers_of_many_calls_are_refused() {
    let daemon = Daemon::start();
    let run = on(&daemon, &["call", "increment", "-d", "{} {}", "-o", "raw"]);
    run.fails(2, &["where one ends"]);
    on(&daemon, &["call", "counter/get"]).expect(0, "0\n");
}

#[test]
fn a_bad_path_loses_no_call_and_doubles_none() {
    let daemon = Daemon::start();
    let (_file, data) = file(".jsonl", (0..500).map(|_| "{}"));
    let path = ["--loss", "10%", "--duplicate", "10%"];
    let run = on(&daemon, &[&["call", "increment", "-d", &data][..], &path].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    let mut values: Vec<u64> = answers(&run)
        .iter()
        .map(|answer| answer["value"].as_str().unwrap().parse().unwrap())
        .collect();
    values.sort_unstable();
    assert_eq!(values, (1..=500).collect::<Vec<u64>>());
    on(&daemon, &["call", "counter/get"]).expect(0, "500\n");
}

#[test]
fn as_many_calls_are_in_flight_as_allowed_and_no_more() {
    const AT_ONCE: usize = 3;
    let (server, most) = meeting::server(AT_ONCE);
    let (_file, data) = file(".jsonl", (0..4 * AT_ONCE).map(|_| "{}"));
    let call = ["call", "meet", "-d", &data, "--in-flight", "3"];
    let run = crate::run::at(server.local_addr(), &call);
    run.expect(0, &"{}\n".repeat(4 * AT_ONCE));
    assert_eq!(most.load(Ordering::SeqCst), AT_ONCE);
}

#[test]
fn the_number_in_flight_has_limits_that_are_named() {
    for number in ["0", "4097", "many"] {
        let run = crate::run::udp_rpc(&["call", "add", "-d", "{}", "--in-flight", number]);
        assert_eq!(run.code, 2, "{run:?}");
    }
    let run = crate::run::udp_rpc(&["call", "add", "3", "4", "--in-flight", "3"]);
    assert_eq!(run.code, 2, "{run:?}");
}

/// A batch whose input this test writes and whose output it reads, line by line.
struct Fed {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Fed {
    fn start(server: SocketAddr, arguments: &[&str]) -> Fed {
        let mut child = command(arguments)
            .env("UDP_RPC_SERVER", server.to_string())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Fed { input: child.stdin.take(), output, child }
    }

    fn write(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    #[track_caller]
    fn read(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Ends the input; exit code, what else came on stdout, and stderr.
    fn end(mut self) -> (i32, String, String) {
        self.input = None;
        let (mut out, mut err) = (String::new(), String::new());
        self.output.read_to_string(&mut out).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        (self.child.wait().unwrap().code().unwrap(), out, err)
    }
}

#[test]
fn answers_come_while_the_input_is_still_being_written() {
    let daemon = Daemon::start();
    let mut batch = Fed::start(daemon.address(), &["call", "increment", "--lines", "-d", "@-"]);
    for value in 1..=3 {
        batch.write("{}");
        assert_eq!(batch.read(), json!({"value": value.to_string()}));
    }
    let (code, out, err) = batch.end();
    assert_eq!((code, out.as_str()), (0, ""));
    assert!(err.starts_with("3 calls in "), "{err}");
}

#[test]
fn an_unknown_outcome_is_the_worst_and_each_says_how_to_ask() {
    let daemon = Daemon::start();
    let call = ["call", "increment", "--lines", "-d", "@-", "--timeout", "500ms", "-o", "json"];
    let mut batch = Fed::start(daemon.address(), &call);
    batch.write("{}");
    assert_eq!(batch.read(), json!({"value": "1"}));
    daemon.signal("STOP");
    batch.write("{}");
    batch.write("{\"by\":[]}");
    let error = batch.read()["error"].clone();
    assert_eq!((&error["outcome"], &error["line"]), (&"unknown".into(), &2.into()), "{error}");
    assert!(error["ask"].as_str().unwrap().starts_with("udp-rpc status "), "{error}");
    let (code, _, err) = batch.end();
    daemon.signal("CONT");
    assert_eq!(code, 4, "{err}");
    let summary = json_line(&err)["summary"].clone();
    let counts = ["ok", "unknown", "malformed"].map(|name| summary[name].as_u64().unwrap());
    assert_eq!(counts, [1, 1, 1], "{summary}");
}

#[test]
fn ctrl_c_fences_what_is_in_flight_and_calls_no_more() {
    let daemon = Daemon::start();
    let (_file, data) = file(".jsonl", (0..100).map(|_| r#"{"duration":"30s"}"#));
    let call = ["call", "sleep", "-d", &data, "--in-flight", "4", "--timeout", "40s", "-vv"];
    let mut run = Started::new(daemon.address(), &call);
    run.says("running");
    run.interrupt();
    let run = run.end();
    assert_eq!(run.code, 130, "{run:?}");
    assert!(run.stderr.contains("-> FENCE"), "{}", run.stderr);
    assert!(run.stderr.contains("interrupted, the rest was not called"));
    let answers = answers(&run);
    assert!((1..=4).contains(&answers.len()), "{answers:?}");
    for (line, answer) in (1..).zip(&answers) {
        let error = &answer["error"];
        assert_eq!((&error["line"], &error["interrupted"]), (&line.into(), &true.into()));
    }
    assert!(run.elapsed.as_secs() < 20, "{run:?}");
}

#[test]
fn endless_input_is_read_as_a_stream_and_a_closed_pipe_ends_it_quietly() {
    let daemon = Daemon::start();
    let script = r#"yes '{}' | { "$UDP_RPC" call increment --lines -d @-; echo "exit $?" >&2; } \
                    | head -n 3000 | tail -n 1"#;
    let output = Command::new("sh")
        .args(["-c", script])
        .env("UDP_RPC", env!("CARGO_BIN_EXE_udp-rpc"))
        .env("UDP_RPC_SERVER", daemon.address().to_string())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let last: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(last["value"].is_string(), "{last}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "exit 0\n");
}

#[cfg(target_os = "linux")]
#[test]
fn answers_that_cannot_be_written_stop_the_batch_and_the_summary_says_what_ran() {
    let daemon = Daemon::start();
    let (_file, data) = file(".jsonl", (0..2_000).map(|_| "{}"));
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = command(&["call", "increment", "-d", &data])
        .env("UDP_RPC_SERVER", daemon.address().to_string())
        .stdout(full)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("stopped, the rest was not called"), "{stderr}");
    assert!(stderr.contains("the answer cannot be written: "), "{stderr}");
}

#[test]
fn a_progress_bar_is_on_a_terminal_and_nowhere_else() {
    const TEST: &str = "a_progress_bar_is_on_a_terminal_and_nowhere_else";
    let has_script = Command::new("script").arg("--version").output().is_ok();
    if !has_script {
        return skipped(TEST, "there is no program `script` to make a terminal");
    }
    let daemon = Daemon::start();
    let lines = (0..8).map(|_| r#"{"duration":"400ms"}"#);
    let (_file, data) = file(".jsonl", lines);
    let line = format!(
        "{} call sleep -d {data} --in-flight 2 -s {} > /dev/null",
        env!("CARGO_BIN_EXE_udp-rpc"),
        daemon.address()
    );
    let output = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("50% 4 calls"), "{shown}");
    assert!(shown.contains("8 calls in "), "{shown}");
    let run = on(&daemon, &["call", "sleep", "-d", &data, "--in-flight", "8"]);
    assert!(run.code == 0 && !run.stderr.contains('%'), "{}", run.stderr);
}

#[test]
#[ignore = "takes a minute on a slow machine"]
fn a_hundred_thousand_lines_simply_work() {
    let daemon = Daemon::start();
    let (_file, data) = file(".jsonl", (0..100_000).map(|_| "{}"));
    let run = on(&daemon, &["call", "increment", "-d", &data]);
    assert_eq!((run.code, run.stdout.lines().count()), (0, 100_000), "{}", run.stderr);
    on(&daemon, &["call", "counter/get"]).expect(0, "100000\n");
    eprint!("{}", run.stderr);
}
