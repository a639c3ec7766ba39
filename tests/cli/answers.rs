//! Calls that are answered: arguments in, answers out.

use crate::common::Daemon;
use crate::run::{on, on_with_input, udp_rpc};

#[test]
fn the_tutorials_first_calls_are_answered() {
    let daemon = Daemon::start();
    on(&daemon, &["call", "add", "3", "4"]).expect(0, "7\n");
    on(&daemon, &["call", "multiply", "2", "5"]).expect(0, "10\n");
    on(&daemon, &["call", "SayHello", "Annie", "Hi"]).expect(0, "Hi Annie\n");
}

#[test]
fn an_answer_is_all_that_stdout_and_stderr_carry() {
    let daemon = Daemon::start();
    let run = on(&daemon, &["call", "add", "3", "4"]).expect(0, "7\n");
    assert_eq!(run.stderr, "");
}

#[test]
fn negative_numbers_are_arguments() {
    let daemon = Daemon::start();
    on(&daemon, &["call", "add", "-3", "4"]).expect(0, "1\n");
    on(&daemon, &["call", "add", "-3", "-4"]).expect(0, "-7\n");
    on(&daemon, &["call", "subtract", "-o", "json", "1", "-1"]).expect(0, "{\"value\":\"2\"}\n");
    on(&daemon, &["call", "add", "--", "-3", "4"]).expect(0, "1\n");
}

#[test]
fn zero_and_empty_answers_are_printed() {
    let daemon = Daemon::start();
    on(&daemon, &["call", "add", "3", "-3"]).expect(0, "0\n");
    on(&daemon, &["call", "echo", ""]).expect(0, "\n");
    on(&daemon, &["call", "add", "3", "-3", "-o", "json"]).expect(0, "{\"value\":\"0\"}\n");
    on(&daemon, &["call", "add", "3", "-3", "-o", "raw"]).expect(0, "");
}

#[test]
fn arguments_go_by_name_in_any_order() {
    let daemon = Daemon::start();
    on(&daemon, &["call", "subtract", "b=4", "a=3"]).expect(0, "-1\n");
    on(&daemon, &["call", "subtract", "b=4", "10"]).expect(0, "6\n");
    on(&daemon, &["call", "SayHello", "greeting=Hi", "name=a=b"]).expect(0, "Hi a=b\n");
}

#[test]
fn json_goes_in_from_argument_file_and_stdin() {
    let daemon = Daemon::start();
    on(&daemon, &["call", "add", "-d", r#"{"a":3,"b":"4"}"#]).expect(0, "7\n");
    on(&daemon, &["call", "add", "-d", r#"{"a":3}"#]).expect(0, "3\n");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, r#"{"a":30,"b":4}"#).unwrap();
    let data = format!("@{}", file.path().display());
    on(&daemon, &["call", "add", "-d", &data]).expect(0, "34\n");
    let run = on_with_input(&daemon, &["call", "add", "-d", "@-"], r#"{"b":5}"#);
    run.expect(0, "5\n");
}

#[test]
fn json_comes_out_in_protobufs_mapping_with_defaults_shown() {
    let daemon = Daemon::start();
    on(&daemon, &["call", "add", "3", "4", "-o", "json"]).expect(0, "{\"value\":\"7\"}\n");
    let run = on(&daemon, &["call", "describe", "-d", r#"{"name":"add"}"#]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let reply: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(reply["method"]["idempotency"], "NO_SIDE_EFFECTS");
    assert_eq!(reply["method"]["clientStreaming"], false);
}

#[test]
fn raw_output_is_the_replys_bytes() {
    let daemon = Daemon::start();
    let run = on(&daemon, &["call", "add", "3", "4", "-o", "raw"]);
    assert_eq!((run.code, run.bytes.as_slice()), (0, &[0x08, 0x07][..]));
}

#[test]
fn durations_are_written_as_people_write_them() {
    let daemon = Daemon::start();
    for request in [&["20ms"][..], &["duration=0.02s"], &["-d", r#"{"duration":"20ms"}"#]] {
        let run = on(&daemon, &[&["call", "sleep"], request].concat());
        let slept = run.stdout.trim_end().strip_suffix('s').and_then(|text| text.parse().ok());
        assert!(run.code == 0 && slept >= Some(0.02), "{request:?} {run:?}");
    }
}

#[test]
fn fields_with_a_presence_of_their_own_may_be_left_out() {
    let daemon = Daemon::start();
    on(&daemon, &["call", "increment"]).expect(0, "1\n");
    on(&daemon, &["call", "increment", "5"]).expect(0, "6\n");
    on(&daemon, &["call", "increment", "name=other"]).expect(0, "1\n");
    on(&daemon, &["call", "counter/get"]).expect(0, "6\n");
}

#[test]
fn names_are_any_unambiguous_end_of_the_full_one() {
    let daemon = Daemon::start();
    for name in ["udprpc.v1.Calculator/Add", "Calculator/Add", "calculator.add", "ADD"] {
        on(&daemon, &["call", name, "3", "4"]).expect(0, "7\n");
    }
}

#[test]
fn name_and_types_are_found_in_one_round_trip_of_the_same_session() {
    let daemon = Daemon::start();
    let run = on(&daemon, &["call", "add", "3", "4", "-vv"]).expect(0, "7\n");
    let passed = |kind: &str| run.stderr.matches(kind).count();
    // A slow machine may see more attempts, of these three all the same.
    let firsts = (passed("-> HELLO     attempt 1"), passed("-> REQUEST   attempt 1"));
    assert_eq!(firsts, (1, 2), "{}", run.stderr);
}

#[test]
fn the_server_is_named_by_option_or_environment() {
    let daemon = Daemon::start();
    let port = daemon.address().port();
    for server in [format!("127.0.0.1:{port}"), format!("localhost:{port}"), format!(":{port}")] {
        udp_rpc(&["call", "add", "3", "4", "-s", &server]).expect(0, "7\n");
    }
    // The option goes before the environment.
    let nobody = crate::run::nobody().to_string();
    on(&daemon, &["-s", &nobody, "call", "add", "3", "4"]).fails(3, &["UNAVAILABLE"]);
}
