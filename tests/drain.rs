//! The end of a server, by a signal or from code: it finishes what runs, refuses what is new, and
//! ends.
#![cfg(feature = "cli")]

mod common;

use std::time::{Duration, Instant};

use common::calls::{Statistics, count, increment, sleep, within};
use common::{Daemon, PATIENCE, wait_for};
use udp_rpc::client::{BlockingClient, CallHandle, Options};
use udp_rpc::core::{Outcome, Proof};
use udp_rpc::wire::Reason;

const SLEEP: &str = "udprpc.v1.Sleep/Sleep";
const INCREMENT: &str = "udprpc.v1.Counter/Increment";

/// A daemon in which a call of this length runs.
fn with_call_running(daemon: &Daemon, length: Duration) -> (BlockingClient, CallHandle) {
    let mut client = BlockingClient::connect(daemon.address()).unwrap();
    let call = client.submit(SLEEP, &sleep(length), &within(PATIENCE));
    let mut other = BlockingClient::connect(daemon.address()).unwrap();
    wait_for("the call to run", || {
        assert!(client.wait_timeout(call, Duration::from_millis(1)).is_none());
        // The reading runs too.
        (Statistics::read(&mut other).of("received.queued") == 1).then_some(())
    });
    (client, call)
}

/// Signals the daemon, and waits until it refuses new calls, as the outcomes say.
fn drain(daemon: &Daemon, client: &mut BlockingClient) {
    daemon.signal("TERM");
    let once = Options { retry: Some(false), ..Options::within(PATIENCE) };
    wait_for("the daemon to drain", || {
        let error = client.call_raw(INCREMENT, &increment("c"), &once).err()?;
        assert_eq!(error.outcome, Outcome::NotExecuted(Proof::Promised(Reason::Draining)));
        assert_eq!(error.issues, 1);
        Some(())
    });
}

#[test]
fn running_call_is_finished_and_new_ones_are_refused_as_not_executed() {
    let mut daemon = Daemon::start();
    let (mut client, call) = with_call_running(&daemon, Duration::from_millis(700));
    // A client that is there already, and one that comes later.
    drain(&daemon, &mut client);
    let mut late = BlockingClient::builder().retry(false).connect(daemon.address()).unwrap();
    let error = count(&mut late, "c").unwrap_err();
    assert_eq!(error.outcome, Outcome::NotExecuted(Proof::Promised(Reason::Draining)), "{error}");

    client.wait(call).unwrap();
    assert!(daemon.wait().success());
    assert_eq!(daemon.said(), "", "an orderly end is nothing to warn of");
}

#[test]
fn call_refused_by_a_draining_daemon_is_made_again_and_succeeds_at_the_next() {
    let mut daemon = Daemon::start();
    let (mut client, running) = with_call_running(&daemon, Duration::from_millis(500));
    drain(&daemon, &mut client);
    let again = client.submit(INCREMENT, &increment("c"), &within(PATIENCE));
    client.wait(running).unwrap();
    // The client meets the daemon's end, nobody at all, and the next daemon.
    wait_for("the daemon to end", || {
        assert!(client.wait_timeout(again, Duration::from_millis(1)).is_none());
        (!daemon.is_running()).then_some(())
    });
    daemon.restart();
    let reply = client.wait(again).unwrap();
    assert!(reply.issues >= 2 && !reply.at_least_once, "{reply:?}");
    assert_eq!(count(&mut client, "c").unwrap(), 2, "it ran once");
}

#[test]
fn idle_daemon_ends_at_once_on_either_signal() {
    for signal in ["TERM", "INT"] {
        let mut daemon = Daemon::start();
        let mut client = BlockingClient::connect(daemon.address()).unwrap();
        count(&mut client, "c").unwrap();
        let told = Instant::now();
        daemon.signal(signal);
        assert!(daemon.wait().success());
        // A second for those whose last reply was lost.
        assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
    }
}

#[test]
fn second_signal_ends_the_daemon_at_once_and_what_ran_is_unknown() {
    let mut daemon = Daemon::start();
    let (mut client, call) = with_call_running(&daemon, Duration::from_secs(60));
    drain(&daemon, &mut client);
    let told = Instant::now();
    daemon.signal("TERM");
    assert!(daemon.wait().code().is_some(), "it ended by itself");
    assert!(told.elapsed() < Duration::from_secs(2), "{:?}", told.elapsed());
    daemon.restart();
    assert_eq!(client.wait(call).unwrap_err().outcome, Outcome::Unknown);
}

#[test]
fn drain_is_over_when_its_grace_is() {
    let mut daemon = Daemon::builder().arguments(&["--grace", "300ms"]).start();
    let (mut client, call) = with_call_running(&daemon, Duration::from_secs(60));
    let told = Instant::now();
    drain(&daemon, &mut client);
    daemon.wait();
    let took = told.elapsed();
    assert!(took >= Duration::from_millis(300), "{took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    daemon.restart();
    assert_eq!(client.wait(call).unwrap_err().outcome, Outcome::Unknown);
}

#[test]
fn duplicates_of_finished_calls_are_answered_while_the_daemon_drains() {
    use common::raw::Peer;
    use udp_rpc::wire::{Code, FromServer, MethodId};

    let daemon = Daemon::start();
    let (mut client, call) = with_call_running(&daemon, Duration::from_millis(700));
    let peer = Peer::new(daemon.address());
    let offer = peer.open(1);
    let window = u64::from(offer.ack.limits.window);
    let request = offer.request(window, MethodId::of(INCREMENT), &increment("d"));
    let answer = || {
        peer.ask(&request, |answer| match answer.message {
            FromServer::Reply { status: Code::Ok, body, .. } => Some(body.to_vec()),
            _ => None,
        })
    };
    let first = answer();
    drain(&daemon, &mut client);
    assert_eq!(answer(), first);
    client.wait(call).unwrap();
}

#[test]
fn server_shut_down_from_code_finishes_what_runs_and_refuses_what_is_new() {
    use std::sync::Mutex;
    use std::sync::mpsc::channel;
    use udp_rpc::server::Server;
    use udp_rpc::service::{Method, Registry};

    let (holding, held) = channel();
    let holding = Mutex::new(holding);
    let mut registry = Registry::new();
    registry
        .add(Method::deferred("Test/Held", move |_, _, responder| {
            holding.lock().unwrap().send(responder).unwrap();
        }))
        .unwrap()
        .add(Method::inline("Test/New", |_, _, _| Ok(())))
        .unwrap();
    let server = Server::spawn_local(registry).unwrap();
    let mut client = BlockingClient::connect(server.local_addr()).unwrap();
    let mut other = BlockingClient::connect(server.local_addr()).unwrap();
    let call = client.submit("Test/Held", b"", &within(PATIENCE));
    let responder = wait_for("the call to run", || {
        assert!(client.wait_timeout(call, Duration::from_millis(1)).is_none());
        held.try_recv().ok()
    });

    let ended = std::thread::spawn(move || server.shutdown(PATIENCE));
    let once = Options { retry: Some(false), ..within(PATIENCE) };
    wait_for("the server to drain", || {
        let error = other.call_raw("Test/New", b"", &once).err()?;
        assert_eq!(error.outcome, Outcome::NotExecuted(Proof::Promised(Reason::Draining)));
        Some(())
    });
    assert!(!ended.is_finished(), "a call still runs");
    responder.respond(Ok(b"done".to_vec()));
    assert_eq!(client.wait(call).unwrap().body, b"done");
    ended.join().unwrap().unwrap();
}

#[test]
fn server_on_a_thread_can_be_waited_for_and_ended_by_another() {
    use udp_rpc::server::Server;
    use udp_rpc::service::Registry;

    let server = Server::spawn_local(Registry::new()).unwrap();
    let handle = server.handle();
    let waiting = std::thread::spawn(move || server.wait());
    handle.stop();
    waiting.join().unwrap().unwrap();
}
