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
/// By which a lone datagram goes, such as HELLO, and by which a run does.
const SEND_ONE: &str = "sendto";
const SEND_RUN: &str = "sendmsg,sendmmsg";
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

/// Makes increments, all together, and says how they ended: OK, not executed, unknown.
#[test]
#[ignore = "the client that other tests start"]
fn client_process() {
    let Some(role) = selves::role() else { return };
    let [server, milliseconds, calls] = role.split(' ').collect::<Vec<_>>()[..] else { return };
    let timeout = within(Duration::from_millis(milliseconds.parse().unwrap()));
    let calls: u64 = calls.parse().unwrap();
    let mut client = BlockingClient::connect(server).unwrap();
    let calls: Vec<_> =
        (0..calls).map(|_| client.submit(INCREMENT, &increment("c"), &timeout)).collect();
    let (mut ok, mut never_sent, mut unknown, mut attempts) = (0, 0, 0, 0);
    for call in calls {
        match client.wait(call).map_err(|error| error.outcome) {
            Ok(reply) => {
                ok += 1;
                attempts += reply.attempts;
            }
            Err(Outcome::NotExecuted(Proof::NeverSent)) => never_sent += 1,
            Err(Outcome::Unknown) => unknown += 1,
            Err(other) => panic!("{other}"),
        }
    }
    println!("ended {ok} {never_sent} {unknown} {attempts}");
}

/// How so many calls of a client with these faults ended: OK, never sent, unknown; and how often
/// those that ended well were sent.
fn run_client(daemon: &Daemon, faults: &[String], timeout_ms: u32, calls: u64) -> [u64; 4] {
    let under: Vec<_> = ["strace"].into_iter().chain(faulty(faults)).collect();
    let role = format!("{} {timeout_ms} {calls}", daemon.address());
    let output = selves::command(&under, "client_process", &role).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{faults:?}: {text}");
    let ended = text.lines().find_map(|line| line.split_once("ended ")).unwrap().1;
    let mut numbers = ended.split(' ').map(|number| number.parse().unwrap());
    [(); 4].map(|()| numbers.next().unwrap())
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
        let ended = run_client(&daemon, &faults, 20_000, CALLS);
        assert_eq!(ended[..3], [CALLS, 0, 0], "{faults:?}");
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
    for (error, lone) in [
        ("EPERM", [0, 1, 0, 0]),
        ("EMSGSIZE", [0, 1, 0, 0]),
        ("EAGAIN", [0, 1, 0, 0]),
        ("ENETUNREACH", [0, 1, 0, 0]),
        ("ENOBUFS", [0, 0, 1, 0]),
    ] {
        let faults = [
            format!("inject={SEND_ONE}:error={error}:when=2+"),
            format!("inject={SEND_RUN}:error={error}"),
        ];
        assert_eq!(run_client(&daemon, &faults, 300, 1), lone, "{error}");
        // As many as the path was trusted with went out in a run, of which nothing is told apart.
        let [ok, never_sent, unknown, _] = run_client(&daemon, &faults, 300, CALLS);
        assert_eq!((ok, never_sent + unknown), (0, CALLS), "{error}");
        assert!(unknown >= 10 && never_sent > 0, "{error}: {never_sent} {unknown}");
    }
    assert_eq!(counted(&mut auditor, "c"), 1);
}

#[test]
fn run_for_which_there_was_no_room_is_sent_once_when_there_is() {
    if !is_possible("run_for_which_there_was_no_room…") {
        return;
    }
    let daemon = Daemon::start();
    // After HELLO, the first calls that the path is trusted with.
    let faults = [format!("inject={SEND_RUN}:error=EAGAIN:when=1")];
    assert_eq!(run_client(&daemon, &faults, 20_000, 10), [10, 0, 0, 10]);
}
