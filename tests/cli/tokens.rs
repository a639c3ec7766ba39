//! `status` and `fence`: asking later, from another process, by a token.

use std::time::Duration;

use udp_rpc::client::{BlockingClient, Options};
use udp_rpc::core::CallToken;
use udp_rpc::service::generated::v1::SleepRequest;
use udp_rpc::service::generated::v1::sleep::SLEEP;

use crate::common::{Daemon, wait_for};
use crate::run::{json_line, on, udp_rpc};

/// The token that `-v` shows for a call.
fn token_of(daemon: &Daemon, arguments: &[&str]) -> String {
    let run = on(daemon, &[&["-v", "-o", "json"], arguments].concat());
    let summary = run.stderr.lines().find(|line| line.contains("summary")).unwrap_or_default();
    json_line(summary)["summary"]["token"].as_str().unwrap_or_default().to_owned()
}

/// A token of a call that was never made, in the session of one that was.
fn unseen(daemon: &Daemon) -> String {
    let token: CallToken = token_of(daemon, &["call", "increment"]).parse().unwrap();
    let call = udp_rpc::wire::CallId(token.call.0 + 1);
    CallToken { call, ..token }.to_string()
}

#[test]
fn verbose_says_time_attempts_rto_bytes_and_token_on_one_line() {
    let daemon = Daemon::start();
    let run = on(&daemon, &["call", "add", "3", "4", "-v"]).expect(0, "7\n");
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    for word in [" in 1 attempt", "RTO ", "sent ", " datagrams (", "received ", " bytes)", "token "]
    {
        assert!(run.stderr.contains(word), "no {word:?} in {}", run.stderr);
    }
}

#[test]
fn status_tells_what_became_of_a_call_and_exits_by_the_table() {
    let daemon = Daemon::start();
    let ran = token_of(&daemon, &["call", "add", "3", "4"]);
    udp_rpc(&["status", &ran]).expect(0, "executed: it ran once and answered:\n2 bytes of protobuf, 0807 (--method NAME reads them)\n");
    udp_rpc(&["status", &ran, "--method", "add"])
        .expect(0, "executed: it ran once and answered:\n7\n");
    let told = udp_rpc(&["status", &ran, "-m", "add", "-o", "json"]);
    assert_eq!(json_line(&told.stdout)["reply"]["value"], "7");
    let failed = token_of(&daemon, &["call", "divide", "1", "0"]);
    let told = udp_rpc(&["status", &failed]);
    assert_eq!(told.code, 1, "{told:?}");
    assert!(told.stdout.contains("INVALID_ARGUMENT"), "{told:?}");
}

#[test]
fn a_call_under_way_can_be_asked_for_and_told_to_stop() {
    let daemon = Daemon::start();
    let mut client = BlockingClient::connect(daemon.address()).unwrap();
    let duration = Some(prost_types::Duration { seconds: 30, nanos: 0 });
    let request = SLEEP.encode_request(&SleepRequest { duration });
    let options = Options { timeout: Some(Duration::from_secs(40)), ..Options::default() };
    let call = client.submit(&SLEEP, &request, &options);
    let token = wait_for("the call to be sent", || {
        assert!(client.wait_timeout(call, Duration::from_millis(1)).is_none());
        client.token(call)
    });
    let token = token.to_string();
    let told = wait_for("the call to be received", || {
        let told = udp_rpc(&["status", &token]);
        (!told.stdout.contains("not seen")).then_some(told)
    });
    assert_eq!(told.code, 4, "{told:?}");
    assert!(told.stdout.contains("in progress"), "{told:?}");
    // The fence tells the handler to stop; it answers CANCELLED, and so the call is known.
    udp_rpc(&["fence", &token]);
    let told = wait_for("the call to end", || {
        let told = udp_rpc(&["status", &token]);
        (told.code != 4).then_some(told)
    });
    // On a busy machine the fence may come between the hand-over to a worker and the handler's
    // first instruction; then the call never ran, and that is what is said.
    let end = if told.code == 3 { "fenced" } else { "CANCELLED" };
    assert!(matches!(told.code, 1 | 3) && told.stdout.contains(end), "{told:?}");
}

#[test]
fn fence_keeps_a_call_that_was_not_seen_from_ever_running() {
    let daemon = Daemon::start();
    let token = unseen(&daemon);
    let told = udp_rpc(&["status", &token]);
    assert_eq!(told.code, 4, "{told:?}");
    assert!(told.stdout.contains("not seen"), "{told:?}");
    for command in ["fence", "status", "fence"] {
        let told = udp_rpc(&[command, &token]);
        assert_eq!(told.code, 3, "{told:?}");
        assert!(told.stdout.contains("not executed") && told.stdout.contains("fenced"), "{told:?}");
    }
}

#[test]
fn after_a_restart_nobody_knows() {
    let mut daemon = Daemon::start();
    let token = token_of(&daemon, &["call", "increment"]);
    daemon.kill();
    daemon.restart();
    for command in ["status", "fence"] {
        let told = udp_rpc(&[command, &token, "--timeout", "500ms"]);
        assert_eq!(told.code, 4, "{told:?}");
        assert!(told.stdout.contains("unknown"), "{told:?}");
    }
}

#[test]
fn a_mistyped_token_is_a_usage_error() {
    let daemon = Daemon::start();
    let token = token_of(&daemon, &["call", "increment"]);
    let cut = &token[..token.len() - 2];
    udp_rpc(&["status", cut]).fails(2, &["call token"]);
}

#[test]
fn sessions_are_closed_unless_a_token_was_shown() {
    let daemon = Daemon::start();
    let open = || {
        let run = on(&daemon, &["stats", "sessions.open", "-a", "-o", "json"]);
        json_line(&run.stdout)["value"].as_u64().unwrap()
    };
    on(&daemon, &["call", "add", "3", "4"]).expect(0, "7\n");
    // The one that asks is open itself.
    assert_eq!(open(), 1);
    on(&daemon, &["call", "add", "3", "4", "-v"]).expect(0, "7\n");
    assert_eq!(open(), 2);
}
