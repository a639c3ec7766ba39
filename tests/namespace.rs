//! The kernel's own bad network: loss, refusals and filters by nftables, in a network namespace that
//! goes when its processes do.
#![cfg(feature = "cli")]

mod common;

use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use common::calls::{Statistics, count, counted, increment, within};
use common::{Daemon, PATIENCE, selves, skipped};
use udp_rpc::client::BlockingClient;
use udp_rpc::core::{Outcome, Proof};
use udp_rpc::wire::Code;

const INCREMENT: &str = "udprpc.v1.Counter/Increment";

/// A user namespace makes us root in the network namespace, where that is allowed.
const UNSHARE: [&str; 4] = ["unshare", "--map-root-user", "--net", "--"];

/// Runs an ignored test of this program in a network namespace, if that is possible here.
fn in_namespace(test: &str) {
    let probe = "ip link set lo up && nft add table ip probe";
    let probe = Command::new(UNSHARE[0])
        .args(&UNSHARE[1..])
        .args(["sh", "-c", probe])
        .stderr(Stdio::null())
        .status();
    if !probe.is_ok_and(|status| status.success()) {
        return skipped(test, "no namespaces, or no ip or nft");
    }
    let output = selves::command(&UNSHARE, test, "inside").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{errors}");
    print!("{said}");
}

/// Whether this process was started in a namespace to act there. Brings its loopback up.
fn is_inside() -> bool {
    let inside = selves::role().is_some();
    if inside {
        assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
    }
    inside
}

/// Makes these the namespace's only rules: lines of the chains `input` and `output`.
fn rules(input: &str, output: &str) {
    let ruleset = format!(
        "flush ruleset
         table ip faults {{
           chain input {{
             type filter hook input priority 0
             {input}
           }}
           chain output {{
             type filter hook output priority 0
             {output}
           }}
         }}
        "
    );
    let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    nft.stdin.take().unwrap().write_all(ruleset.as_bytes()).unwrap();
    assert!(nft.wait().unwrap().success(), "{ruleset}");
}

#[test]
fn increments_through_a_kernel_that_drops_are_each_counted_once() {
    in_namespace("inside_a_kernel_that_drops");
}

#[test]
#[ignore = "runs in a namespace"]
fn inside_a_kernel_that_drops() {
    if !is_inside() {
        return;
    }
    let daemon = Daemon::start();
    // Three in ten of what arrives, each way; one in ten of what is sent is refused to its sender.
    rules(
        "meta l4proto udp numgen random mod 10 < 3 drop",
        "meta l4proto udp numgen random mod 10 < 1 drop",
    );
    let mut client = BlockingClient::connect(daemon.address()).unwrap();
    let calls: Vec<_> =
        (0..300).map(|_| client.submit(INCREMENT, &increment("c"), &within(PATIENCE))).collect();
    let mut attempts = 0;
    for call in calls {
        attempts += client.wait(call).unwrap().attempts;
    }
    rules("", "");
    assert_eq!(counted(&mut client, "c"), 300);
    let statistics = Statistics::read(&mut client);
    statistics.check_sum();
    assert!(statistics.of("socket.send_errors") > 0, "the daemon met EPERM");
    println!("300 increments took {attempts} attempts");
}

#[test]
fn calls_outlive_a_filter_that_forbids_sending_and_are_never_sent_behind_one_that_stays() {
    in_namespace("inside_a_filter");
}

#[test]
#[ignore = "runs in a namespace"]
fn inside_a_filter() {
    if !is_inside() {
        return;
    }
    let daemon = Daemon::start();
    let port = daemon.address().port();
    let mut client = BlockingClient::connect(daemon.address()).unwrap();
    count(&mut client, "c").unwrap();

    // The client may not send (EPERM).
    rules("", &format!("udp dport {port} drop"));
    let brief = within(Duration::from_millis(300));
    let error = client.call_raw(INCREMENT, &increment("c"), &brief).unwrap_err();
    assert_eq!(error.outcome, Outcome::NotExecuted(Proof::NeverSent), "{error}");
    assert_eq!(error.code, Code::Unavailable, "{error}");
    let mut fresh = BlockingClient::connect(daemon.address()).unwrap();
    let error = fresh.call_raw(INCREMENT, &increment("c"), &brief).unwrap_err();
    assert_eq!(error.outcome, Outcome::NotExecuted(Proof::NeverSent), "{error}");
    let waiting = client.submit(INCREMENT, &increment("c"), &within(PATIENCE));
    assert!(client.wait_timeout(waiting, Duration::from_millis(50)).is_none());
    rules("", "");
    client.wait(waiting).unwrap();

    // The daemon may not.
    rules("", &format!("udp sport {port} drop"));
    let waiting = client.submit(INCREMENT, &increment("c"), &within(PATIENCE));
    assert!(client.wait_timeout(waiting, Duration::from_millis(50)).is_none());
    rules("", "");
    client.wait(waiting).unwrap();

    let value = count(&mut client, "c").unwrap();
    assert_eq!(value, 4, "what was never sent was never counted");
    assert!(Statistics::read(&mut client).of("socket.send_errors") > 0);
}

#[test]
fn calls_outlive_refusals_of_the_network() {
    in_namespace("inside_a_refusing_network");
}

#[test]
#[ignore = "runs in a namespace"]
fn inside_a_refusing_network() {
    if !is_inside() {
        return;
    }
    let mut daemon = Daemon::start();
    let port = daemon.address().port();
    let mut client = BlockingClient::connect(daemon.address()).unwrap();
    count(&mut client, "c").unwrap();
    for kind in ["port-unreachable", "host-unreachable", "net-unreachable", "admin-prohibited"] {
        for side in ["dport", "sport"] {
            rules(&format!("udp {side} {port} reject with icmp type {kind}"), "");
            let body = increment(kind);
            let waiting = client.submit(INCREMENT, &body, &within(PATIENCE));
            let early = client.wait_timeout(waiting, Duration::from_millis(40));
            assert!(early.is_none(), "{kind} is a hint, and no proof: {early:?}");
            rules("", "");
            client.wait(waiting).unwrap();
        }
        assert_eq!(counted(&mut client, kind), 2, "{kind}");
    }
    assert!(daemon.is_running());
}

#[test]
fn datagrams_that_the_kernel_duplicates_are_suppressed() {
    in_namespace("inside_a_kernel_that_duplicates");
}

#[test]
#[ignore = "runs in a namespace"]
fn inside_a_kernel_that_duplicates() {
    if !is_inside() {
        return;
    }
    let daemon = Daemon::start();
    rules("", "meta l4proto udp numgen random mod 10 < 5 dup to 127.0.0.1 device lo");
    let mut client = BlockingClient::connect(daemon.address()).unwrap();
    for value in 1..=200 {
        assert_eq!(count(&mut client, "c").unwrap(), value);
    }
    rules("", "");
    let statistics = Statistics::read(&mut client);
    let duplicates = statistics.sum("received.duplicate.");
    assert!(duplicates > 20, "{duplicates} duplicates");
    println!("200 increments, {duplicates} duplicates suppressed");
}

#[test]
fn client_follows_a_server_that_is_cut_off_for_a_while() {
    in_namespace("inside_an_outage");
}

#[test]
#[ignore = "runs in a namespace"]
fn inside_an_outage() {
    if !is_inside() {
        return;
    }
    let daemon = Daemon::start();
    let address = daemon.address();
    let mut client = BlockingClient::connect(address).unwrap();
    count(&mut client, "c").unwrap();
    rules("meta l4proto udp drop", "");
    let calls: Vec<_> =
        (0..50).map(|_| client.submit(INCREMENT, &increment("c"), &within(PATIENCE))).collect();
    let healing = thread::spawn(|| {
        // The outage's length is what is tested.
        thread::sleep(Duration::from_millis(600));
        rules("", "");
    });
    for call in calls {
        let reply = client.wait(call).unwrap();
        assert!(reply.attempts <= 12, "{} attempts in an outage", reply.attempts);
    }
    healing.join().unwrap();
    assert_eq!(counted(&mut client, "c"), 51);
}
