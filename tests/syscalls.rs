//! System calls that fail: neither the daemon nor a client ends for it, and outcomes stay true.
//!
//! `strace` makes them fail, in processes of their own.
#![cfg(feature = "cli")]

mod common;

use std::process::{Command, Stdio};
use std::time::Duration;

use common::calls::{count, counted, increment, within};
use common::{Daemon, PATIENCE, selves, skipped};
use udp_rpc::client::BlockingClient;
use udp_rpc::core::{Outcome, Proof};

const INCREMENT: &str = "udprpc.v1.Counter/Increment";

/// Calls that a client process makes.
const CALLS: u64 = 30;

/// Whether this system lets a process make another's system calls fail; says so if not.
fn is_possible(test: &str) -> bool {
    let probe = Command::new("strace")
        .args(["-D", "-f", "-o", "/dev/null", "-e", "inject=sendmsg:error=EPERM:when=1", "true"])
        .stderr(Stdio::null())
        .status();
    let why = match probe {
        Ok(status) if status.success() => return true,
        Ok(_) => "strace is not permitted",
        Err(_) => "there is no strace",
    };
    skipped(test, why);
    false
}

/// The words that run a program with these faults. The tracer is a grandchild, so that the
/// process which is started is the program itself.
fn faulty(faults: &[String]) -> Vec<&str> {
    let mut words = vec!["-D", "-f", "-o", "/dev/null"];
    for fault in faults {
        words.extend(["-e", fault.as_str()]);
    }
    words
}

/// Every third call of each of these fails, from the second on.
fn every_third(calls: &str, error: &str) -> String {
    format!("inject={calls}:error={error}:when=2+3")
}

const SEND: &str = "sendmsg,sendmmsg,sendto";
/// Not `recvfrom`, by which signals are heard of.
const RECEIVE: &str = "recvmsg,recvmmsg";

fn combinations() -> Vec<Vec<String>> {
    let sends =
        ["ENOBUFS", "EAGAIN", "EPERM", "EINTR", "EMSGSIZE", "ECONNREFUSED", "ENETUNREACH", "EIO"];
    let mut all: Vec<_> = sends.iter().map(|error| vec![every_third(SEND, error)]).collect();
    for error in ["EAGAIN", "EINTR", "ECONNREFUSED", "EHOSTUNREACH", "ENOMEM"] {
        all.push(vec![every_third(RECEIVE, error)]);
    }
    all.push(vec![every_third("epoll_wait,epoll_pwait", "EINTR")]);
    all.push(vec![every_third(SEND, "ENOBUFS"), every_third(RECEIVE, "EINTR")]);
    all
}

#[test]
fn daemon_serves_on_whatever_its_system_calls_return() {
    if !is_possible("daemon_serves_on…") {
        return;
    }
    for faults in combinations() {
        let mut daemon = Daemon::builder().under("strace", &faulty(&faults)).start();
        let mut client = BlockingClient::connect(daemon.address()).unwrap();
        let calls: Vec<_> = (0..CALLS)
            .map(|_| client.submit(INCREMENT, &increment("c"), &within(PATIENCE)))
            .collect();
        for call in calls {
            client.wait(call).unwrap_or_else(|error| panic!("{faults:?}: {error}"));
        }
        assert_eq!(counted(&mut client, "c"), CALLS, "{faults:?}");
        assert!(daemon.is_running(), "{faults:?}");
        let said = daemon.said();
        assert!(said.lines().count() <= 2, "one warning a minute at most: {said}");
    }
}

/// Makes increments and says how they ended: OK, not executed, unknown.
#[test]
#[ignore = "the client that other tests start"]
fn client_process() {
    let Some(role) = selves::role() else { return };
    let (server, milliseconds) = role.split_once(' ').unwrap();
    let timeout = within(Duration::from_millis(milliseconds.parse().unwrap()));
    let mut client = BlockingClient::connect(server).unwrap();
    let calls: Vec<_> =
        (0..CALLS).map(|_| client.submit(INCREMENT, &increment("c"), &timeout)).collect();
    let (mut ok, mut never_sent, mut unknown) = (0, 0, 0);
    for call in calls {
        match client.wait(call).map_err(|error| error.outcome) {
            Ok(_) => ok += 1,
            Err(Outcome::NotExecuted(Proof::NeverSent)) => never_sent += 1,
            Err(Outcome::Unknown) => unknown += 1,
            Err(other) => panic!("{other}"),
        }
    }
    println!("ended {ok} {never_sent} {unknown}");
}

/// How the calls of a client with these faults ended: OK, never sent, unknown.
fn run_client(daemon: &Daemon, faults: &[String], timeout_ms: u32) -> [u64; 3] {
    let under: Vec<_> = ["strace"].into_iter().chain(faulty(faults)).collect();
    let role = format!("{} {timeout_ms}", daemon.address());
    let output = selves::command(&under, "client_process", &role).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{faults:?}: {text}");
    let ended = text.lines().find_map(|line| line.split_once("ended ")).unwrap().1;
    let mut numbers = ended.split(' ').map(|number| number.parse().unwrap());
    [(); 3].map(|()| numbers.next().unwrap())
}

#[test]
fn client_goes_on_whatever_its_system_calls_return() {
    if !is_possible("client_goes_on…") {
        return;
    }
    let daemon = Daemon::start();
    let mut auditor = BlockingClient::connect(daemon.address()).unwrap();
    let mut expected = 0;
    for faults in combinations() {
        let ended = run_client(&daemon, &faults, 20_000);
        assert_eq!(ended, [CALLS, 0, 0], "{faults:?}");
        expected += CALLS;
        assert_eq!(counted(&mut auditor, "c"), expected, "{faults:?}");
    }
}

#[test]
fn what_the_kernel_never_took_was_never_sent_and_what_it_may_have_taken_is_unknown() {
    if !is_possible("what_the_kernel_never_took…") {
        return;
    }
    let daemon = Daemon::start();
    let mut auditor = BlockingClient::connect(daemon.address()).unwrap();
    count(&mut auditor, "c").unwrap();
    // The first datagram, HELLO, goes out, and nothing after it.
    for (error, expected) in [
        ("EPERM", [0, CALLS, 0]),
        ("EMSGSIZE", [0, CALLS, 0]),
        ("EAGAIN", [0, CALLS, 0]),
        ("ENETUNREACH", [0, CALLS, 0]),
        ("ENOBUFS", [0, CALLS - 10, 10]),
    ] {
        let fault = format!("inject={SEND}:error={error}:when=2+");
        let ended = run_client(&daemon, &[fault], 300);
        if error == "ENOBUFS" {
            // As many as the path was trusted with, and more after each was declared lost.
            assert_eq!(ended[0], 0);
            assert!(ended[2] >= 10, "{ended:?}");
        } else {
            assert_eq!(ended, expected, "{error}");
        }
    }
    assert_eq!(counted(&mut auditor, "c"), 1);
}
