//! A daemon with several threads: what is seen from outside is one server.
#![cfg(all(feature = "cli", target_os = "linux"))]

mod common;

use std::collections::BTreeSet;
use std::process::{Command, Output};
use std::time::Duration;

use common::calls::{Statistics, count, increment, sleep, within};
use common::raw::{Offer, Peer, emit};
use common::{Daemon, PATIENCE, wait_for};
use udp_rpc::client::{BlockingClient, Client};
use udp_rpc::core::Outcome;
use udp_rpc::wire::{CallId, Code, FromClient, FromServer, MethodId, parse_from_server};

const SLEEP: &str = "udprpc.v1.Sleep/Sleep";
const INCREMENT: &str = "udprpc.v1.Counter/Increment";

fn daemon(threads: &str) -> Daemon {
    Daemon::builder().arguments(&["--threads", threads]).start()
}

/// A session of every shard, opened from one address each: a HELLO comes to the shard that its
/// byte 8 names.
fn one_of_each(daemon: &Daemon, shards: u8) -> Vec<(Peer, Offer)> {
    (0..shards)
        .map(|shard| {
            let peer = Peer::new(daemon.address());
            let offer = peer.open(u128::from(shard) << 56 | 1);
            assert_eq!(offer.session.shard(), shard);
            (peer, offer)
        })
        .collect()
}

/// The status of the reply to a REQUEST that adds one to a counter.
fn increment_as(peer: &Peer, offer: &Offer, call: u64) -> Code {
    let request = offer.request(call, MethodId::of(INCREMENT), &increment("c"));
    peer.ask(&request, |answer| match answer.message {
        FromServer::Reply { session, status, .. } if session == offer.session => Some(status),
        _ => None,
    })
}

#[test]
fn threads_are_one_server_with_one_epoch_one_state_and_one_set_of_numbers() {
    let daemon = daemon("4");
    let sessions = one_of_each(&daemon, 4);
    let epochs: BTreeSet<_> = sessions.iter().map(|(_, offer)| offer.ack.epoch.0).collect();
    assert_eq!(epochs.len(), 1);
    for (peer, offer) in &sessions {
        assert_eq!(increment_as(peer, offer, offer.ack.limits.window.into()), Code::Ok);
    }
    let mut client = BlockingClient::connect(daemon.address()).unwrap();
    assert_eq!(count(&mut client, "c").unwrap(), 5);
    let statistics = Statistics::read(&mut client);
    statistics.check_sum();
    assert_eq!(statistics.of("server.threads"), 4);
    assert_eq!(statistics.of("sessions.open"), 5);
    assert_eq!(statistics.of("received.dropped.wrong_shard"), 0);
    assert_eq!(statistics.of("calls.started"), 6, "the reading too");
}

#[test]
fn datagrams_of_a_session_come_to_its_thread_from_whatever_address() {
    let daemon = daemon("3");
    for (_, offer) in one_of_each(&daemon, 3) {
        for _ in 0..8 {
            // Known there, so what it hears is a challenge, never that the session is unknown.
            let elsewhere = Peer::new(daemon.address());
            let ping = FromClient::Ping {
                session: offer.session,
                call: CallId(1),
                proofs: udp_rpc::wire::Proofs::default(),
            };
            let path = elsewhere.ask(&emit(ping), |answer| match answer.message {
                FromServer::Challenge { path, .. } => Some(path),
                FromServer::Refused { reason, .. } => panic!("{reason:?}"),
                _ => None,
            });
            let mut moved = offer;
            moved.ack.path = path;
            elsewhere.ask(&moved.ping(), |answer| {
                matches!(answer.message, FromServer::Pong { .. }).then_some(())
            });
        }
    }
}

#[test]
fn datagram_that_reaches_the_wrong_thread_is_counted_and_never_answered() {
    let daemon = daemon("2");
    let sessions = one_of_each(&daemon, 2);
    // One run of segmentation offload takes one way through the kernel: that of its first
    // datagram.
    let requests: Vec<_> = sessions
        .iter()
        .map(|(_, offer)| {
            let call = u64::from(offer.ack.limits.window);
            offer.request_with(call, MethodId::of(INCREMENT), &increment("c"), offer.proofs())
        })
        .collect();
    let (peer, _) = &sessions[0];
    if !peer.send_run(&requests.concat(), requests[0].len()) {
        return common::skipped("datagram_that_reaches…", "no segmentation offload here");
    }
    let mut client = BlockingClient::connect(daemon.address()).unwrap();
    wait_for("the stray datagram to be counted", || {
        let strayed = Statistics::read(&mut client).of("received.dropped.wrong_shard");
        (strayed == 1).then_some(())
    });
    assert_eq!(count(&mut client, "c").unwrap(), 2, "the first thread's ran, and no other");
}

#[test]
fn thousands_of_calls_of_many_clients_are_each_counted_once() {
    let daemon = daemon("4");
    let clients: Vec<_> = (0..16).map(|_| Client::connect(daemon.address()).unwrap()).collect();
    let calls: Vec<_> = (0..4000)
        .map(|number| {
            let client = &clients[number % clients.len()];
            client.call_raw(INCREMENT, &increment("c"), &within(PATIENCE))
        })
        .collect();
    for call in calls {
        call.wait().unwrap();
    }
    let mut client = BlockingClient::connect(daemon.address()).unwrap();
    assert_eq!(count(&mut client, "c").unwrap(), 4001);
    let statistics = Statistics::read(&mut client);
    statistics.check_sum();
    assert_eq!(statistics.of("received.dropped.wrong_shard"), 0);
}

#[test]
fn workers_are_there_for_all_threads() {
    let daemon = Daemon::builder().arguments(&["--threads", "3", "--workers", "1"]).start();
    // One worker, wanted by all threads at once: each is given it in turn.
    let clients: Vec<_> = (0..12).map(|_| Client::connect(daemon.address()).unwrap()).collect();
    let request = sleep(Duration::from_millis(1));
    let calls: Vec<_> = (0..5)
        .flat_map(|_| {
            clients.iter().map(|client| client.call_raw(SLEEP, &request, &within(PATIENCE)))
        })
        .collect();
    for call in calls {
        call.wait().unwrap();
    }
    let mut client = BlockingClient::connect(daemon.address()).unwrap();
    let idle = wait_for("the worker to have nothing to do", || {
        let statistics = Statistics::read(&mut client);
        (statistics.of("workers.idle") > 0).then(|| statistics.of("workers.total"))
    });
    assert_eq!(idle, 1);
}

#[test]
fn drain_reaches_all_threads_and_each_answers_until_all_are_done() {
    // The call ends when all threads have refused one, not at a time of its own.
    let mut daemon = Daemon::builder().arguments(&["--threads", "4", "--grace", "60s"]).start();
    let sessions = one_of_each(&daemon, 4);
    let mut client = BlockingClient::connect(daemon.address()).unwrap();
    let running = client.submit(SLEEP, &sleep(Duration::from_secs(60)), &within(PATIENCE));
    wait_for("the call to run", || {
        assert!(client.wait_timeout(running, Duration::from_millis(1)).is_none());
        let mut other = BlockingClient::connect(daemon.address()).unwrap();
        (Statistics::read(&mut other).of("received.queued") == 1).then_some(())
    });
    daemon.signal("TERM");
    for (peer, offer) in &sessions {
        let mut calls = u64::from(offer.ack.limits.window)..;
        let mut request = || {
            let call = calls.next().unwrap();
            offer.request(call, MethodId::of(INCREMENT), &increment("c"))
        };
        wait_for("the thread to refuse", || {
            peer.ask(&request(), |answer| match answer.message {
                FromServer::Refused { promise, .. } => Some(promise.then_some(())),
                FromServer::Reply { .. } => Some(None),
                _ => None,
            })
        });
    }
    client.cancel(running);
    // Its thread still tells what became of it; which of both depends on whether a worker had begun.
    assert_ne!(client.wait(running).unwrap_err().outcome, Outcome::Unknown);
    assert!(daemon.wait().success());
}

#[test]
fn second_signal_ends_all_threads_at_once() {
    let mut daemon = daemon("4");
    let mut client = BlockingClient::connect(daemon.address()).unwrap();
    let call = client.submit(SLEEP, &sleep(Duration::from_secs(60)), &within(PATIENCE));
    let mut other = BlockingClient::connect(daemon.address()).unwrap();
    wait_for("the call to run", || {
        assert!(client.wait_timeout(call, Duration::from_millis(1)).is_none());
        (Statistics::read(&mut other).of("received.queued") == 1).then_some(())
    });
    daemon.signal("TERM");
    daemon.signal("INT");
    wait_for("the daemon to end", || {
        daemon.signal("TERM");
        (!daemon.is_running()).then_some(())
    });
    daemon.restart();
    assert_eq!(client.wait(call).unwrap_err().outcome, Outcome::Unknown);
}

/// What a further daemon says that is to listen there.
fn another(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_udp-rpcd")).args(arguments).output().unwrap()
}

#[test]
fn second_daemon_on_an_address_is_refused_and_told_which() {
    let daemon = daemon("2");
    let address = daemon.address().to_string();
    for threads in ["1", "2"] {
        let output = another(&["--listen", &address, "--threads", threads]);
        assert!(!output.status.success());
        assert!(output.stdout.is_empty());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(&format!("cannot listen on {address}")), "{said}");
    }
    let mut client = BlockingClient::connect(daemon.address()).unwrap();
    assert_eq!(count(&mut client, "c").unwrap(), 1);
}

#[test]
fn number_of_threads_is_one_byte_and_not_none() {
    for threads in ["0", "257", "many"] {
        let output = another(&["--threads", threads]);
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("from 1 to 256"), "{said}");
    }
}

#[test]
fn where_sockets_cannot_be_shared_one_thread_serves_and_a_warning_says_why() {
    // Files for the sockets of some threads, or for those of all, but not for their selectors.
    for files in [24, 100] {
        one_thread_serves_with(files);
    }
}

fn one_thread_serves_with(files: u32) {
    let script = format!("ulimit -n {files}; exec \"$0\" \"$@\"");
    let mut daemon =
        Daemon::builder().arguments(&["--threads", "64"]).under("sh", &["-c", &script]).start();
    let mut client = BlockingClient::connect(daemon.address()).unwrap();
    assert_eq!(count(&mut client, "c").unwrap(), 1);
    assert_eq!(Statistics::read(&mut client).of("server.threads"), 1);
    let said = daemon.said();
    assert!(said.contains("one thread serves, not 64"), "{said}");
    assert!(said.contains("Too many open files"), "{said}");
    // And the address is its own again.
    let address = daemon.address().to_string();
    assert!(!another(&["--listen", &address]).status.success());
    daemon.signal("TERM");
    assert!(daemon.wait().success());
}

#[test]
fn server_that_polls_busily_answers_works_and_ends_like_any_other() {
    let mut daemon = Daemon::builder().arguments(&["--busy-poll", "--threads", "1"]).start();
    let mut client = BlockingClient::connect(daemon.address()).unwrap();
    assert_eq!(count(&mut client, "c").unwrap(), 1);
    // On the pool, and long enough for a PROGRESS, which a timer sends unasked.
    let peer = Peer::new(daemon.address());
    let offer = peer.open(1);
    let call = u64::from(offer.ack.limits.window);
    let request = sleep(Duration::from_millis(300));
    peer.send(&offer.request(call, MethodId::of(SLEEP), &request));
    let heard = || peer.receive(PATIENCE).expect("an answer");
    let (progress, reply) = (heard(), heard());
    let message = |datagram| parse_from_server(datagram).unwrap().message;
    assert!(matches!(message(&progress), FromServer::Progress { .. }));
    assert!(matches!(message(&reply), FromServer::Reply { status: Code::Ok, .. }));
    assert_eq!(count(&mut client, "c").unwrap(), 2);
    daemon.signal("TERM");
    assert!(daemon.wait().success());
    assert_eq!(daemon.said(), "");
}
