//! Servers that are killed and started again while calls run: each call ends with a claim, and the
//! claims agree with what was executed, in whichever life.
#![cfg(feature = "cli")]

mod common;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::calls::{count, counted, within};
use common::{Daemon, PATIENCE, selves, wait_for};
use udp_rpc::client::{Asked, BlockingClient, Fate, Options, inquire};
use udp_rpc::core::Outcome;
use udp_rpc::core::fault::Faults;
use udp_rpc::server::Server;
use udp_rpc::service::{Context, Method, Registry, Status};

/// Where the ledger server writes.
const LEDGER: &str = "UDP_RPC_TEST_LEDGER";

/// Quick, on the event loop.
const QUICK: &str = "Test.Ledger/Quick";

/// On the pool, and takes its time after it has written: it is often running when it is killed.
const SLOW: &str = "Test.Ledger/Slow";

/// A server that writes every execution into a file, which outlives its process: one line with the
/// life and the request for each. The operating system keeps what was written by a process that
/// is killed.
#[test]
#[ignore = "the server that other tests start"]
fn ledger_server() {
    let Some(listen) = selves::role() else { return };
    let path = std::env::var(LEDGER).unwrap();
    let life = std::process::id();
    let write = move |_: &Context<'_>, request: &[u8], reply: &mut Vec<u8>| {
        let line = format!("{life} {}\n", String::from_utf8_lossy(request));
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        file.write_all(line.as_bytes())?;
        reply.extend(request);
        Ok::<(), std::io::Error>(())
    };
    let failed = |error: std::io::Error| Status::internal(error.to_string());
    let (quick, slow) = (write.clone(), write);
    let mut registry = Registry::new();
    registry
        .add(Method::inline(QUICK, move |context, request, reply| {
            quick(context, request, reply).map_err(failed)
        }))
        .unwrap()
        .add(Method::pooled(SLOW, move |context, request, reply| {
            slow(context, request, reply).map_err(failed)?;
            context.cancel.wait_timeout(Duration::from_millis(3));
            Ok(())
        }))
        .unwrap();
    // A short queue, so that some calls are refused.
    let server = Server::builder(registry)
        .listen(listen)
        .workers(2)
        .config(|config| config.max_queued = 2)
        .bind()
        .unwrap();
    selves::listening(server.local_addrs()[0]);
    server.run().unwrap();
}

fn start_ledger(path: &Path) -> Daemon {
    selves::server("ledger_server").environment(LEDGER, path).start()
}

/// How often each request was executed, and in how many lives anything was.
fn executions(path: &Path) -> (BTreeMap<String, usize>, usize) {
    let mut found = BTreeMap::new();
    let mut lives = Vec::new();
    for line in fs::read_to_string(path).unwrap_or_default().lines() {
        let (life, request) = line.split_once(' ').unwrap();
        *found.entry(request.to_owned()).or_default() += 1;
        lives.push(life.to_owned());
    }
    lives.sort();
    lives.dedup();
    (found, lives.len())
}

/// What a client was told of each of its calls: `None` is OK.
type Claims = Vec<(String, Option<Outcome>)>;

/// Calls until `done` says so, with some in flight all the time. Half of the calls are quick, and
/// half are not to be made again if they are refused.
fn call_on(
    name: &str,
    server: SocketAddr,
    faults: Faults,
    ok: &AtomicUsize,
    done: &AtomicUsize,
) -> Claims {
    let mut client = BlockingClient::builder().wait(true).faults(faults).connect(server).unwrap();
    let (mut names, mut claims) = (BTreeMap::new(), Claims::new());
    let mut next = 0;
    loop {
        while names.len() < 8 && done.load(Ordering::Relaxed) == 0 {
            let request = format!("{name}-{next}");
            let method = if next % 2 == 0 { QUICK } else { SLOW };
            let options = Options { retry: Some(next % 4 < 2), ..Options::within(PATIENCE) };
            let handle = client.submit(method, request.as_bytes(), &options);
            names.insert(handle, request);
            next += 1;
        }
        let Some((handle, result)) = client.wait_any() else { return claims };
        let request = names.remove(&handle).unwrap();
        let outcome = match result {
            Ok(reply) => {
                assert_eq!(reply.body, request.as_bytes(), "another call's reply");
                ok.fetch_add(1, Ordering::Relaxed);
                None
            }
            Err(error) => {
                assert_ne!(error.outcome, Outcome::Executed, "{error}");
                Some(error.outcome)
            }
        };
        claims.push((request, outcome));
    }
}

/// Kills and restarts the server while clients call, and compares what they were told with what
/// it wrote.
fn kill_and_restart(rounds: usize, clients: usize, faults: Faults) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let mut server = start_ledger(&path);
    let address = server.address();
    let (ok, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let claims: Claims = thread::scope(|scope| {
        let (ok, done) = (&ok, &done);
        let threads: Vec<_> = (0..clients)
            .map(|i| scope.spawn(move || call_on(&format!("{i}"), address, faults, ok, done)))
            .collect();
        let mut before = 0;
        for _ in 0..rounds {
            // Every client is in the middle of its calls when the server dies.
            wait_for("calls to succeed", || {
                (ok.load(Ordering::Relaxed) >= before + 20 * clients).then_some(())
            });
            server.kill();
            server.restart();
            before = ok.load(Ordering::Relaxed);
        }
        wait_for("calls after the last restart", || {
            (ok.load(Ordering::Relaxed) >= before + 20 * clients).then_some(())
        });
        done.store(1, Ordering::Relaxed);
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });

    let (executed, lives) = executions(&path);
    assert_eq!(lives, rounds + 1);
    let (mut unknown, mut unknown_ran, mut not_executed) = (0, 0, 0);
    for (request, outcome) in &claims {
        let runs = executed.get(request).copied().unwrap_or(0);
        match outcome {
            None => assert_eq!(runs, 1, "{request} was OK"),
            Some(Outcome::NotExecuted(proof)) => {
                assert_eq!(runs, 0, "{request} was not executed: {proof}");
                not_executed += 1;
            }
            Some(_) => {
                assert!(runs <= 1, "{request} was executed {runs} times");
                unknown += 1;
                unknown_ran += runs;
            }
        }
    }
    assert_eq!(
        executed.values().sum::<usize>(),
        claims.len() - not_executed - (unknown - unknown_ran)
    );
    println!(
        "{} calls of {clients} clients in {lives} lives: {} OK, {not_executed} not executed, \
         {unknown} unknown of which {unknown_ran} had been executed",
        claims.len(),
        claims.len() - not_executed - unknown,
    );
    assert!(unknown <= rounds * clients * 8, "only calls in flight at a kill can be unknown");
}

#[test]
fn no_call_runs_in_two_lives_of_a_killed_server_and_every_claim_is_true() {
    kill_and_restart(6, 3, Faults::NONE);
}

#[test]
fn no_call_runs_in_two_lives_when_the_path_is_bad_too() {
    kill_and_restart(3, 2, Faults { loss: 0.2, duplicate: 0.2, ..Faults::NONE });
}

#[test]
fn new_client_is_served_at_once_after_a_restart() {
    let mut daemon = Daemon::start();
    let mut client = BlockingClient::connect(daemon.address()).unwrap();
    assert_eq!(count(&mut client, "c").unwrap(), 1);
    daemon.kill();
    daemon.restart();
    let start = Instant::now();
    let mut other = BlockingClient::connect(daemon.address()).unwrap();
    assert_eq!(count(&mut other, "c").unwrap(), 1, "the counter is of this life");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn first_call_of_an_idle_client_after_a_restart_succeeds() {
    let mut daemon = Daemon::start();
    // As by default, but the client calls itself idle sooner: the test need not wait.
    let mut client = BlockingClient::builder()
        .config(|config| config.ping_after_idle = Some(Duration::from_millis(1)))
        .connect(daemon.address())
        .unwrap();
    for life in 0..3 {
        assert_eq!(count(&mut client, "c").unwrap(), 1, "life {life}");
        assert_eq!(count(&mut client, "c").unwrap(), 2, "life {life}");
        daemon.kill();
        daemon.restart();
    }
    assert_eq!(counted(&mut client, "c"), 0);
}

#[test]
fn first_call_of_a_client_that_was_idle_for_two_seconds_succeeds_after_a_restart() {
    let mut daemon = Daemon::start();
    let mut client = BlockingClient::connect(daemon.address()).unwrap();
    assert_eq!(count(&mut client, "c").unwrap(), 1);
    let heard = Instant::now();
    daemon.kill();
    daemon.restart();
    // What is waited for is the time itself.
    wait_for("two seconds to pass", || {
        (heard.elapsed() > Duration::from_millis(2050)).then_some(())
    });
    assert_eq!(count(&mut client, "c").unwrap(), 1);
}

#[test]
fn call_that_was_running_when_the_server_died_is_unknown_and_so_is_its_token() {
    let mut daemon = Daemon::start();
    let mut client = BlockingClient::connect(daemon.address()).unwrap();
    let asleep = client.submit(
        "udprpc.v1.Sleep/Sleep",
        &common::calls::sleep(Duration::from_secs(60)),
        &within(Duration::from_secs(30)),
    );
    let token = wait_for("the call to be sent", || {
        assert!(client.wait_timeout(asleep, Duration::from_millis(1)).is_none());
        client.token(asleep)
    });
    let fate = inquire(&token, Asked::Status, PATIENCE, Faults::NONE, None).unwrap();
    assert!(matches!(fate, Fate::InProgress(_)), "{fate:?}");

    daemon.kill();
    daemon.restart();
    let start = Instant::now();
    let error = client.wait(asleep).unwrap_err();
    assert_eq!(error.outcome, Outcome::Unknown, "{error}");
    assert!(start.elapsed() < Duration::from_secs(25), "the new life says so before the deadline");
    let fate = inquire(&token, Asked::Status, PATIENCE, Faults::NONE, None).unwrap();
    assert!(matches!(fate, Fate::Unknown(_)), "{fate:?}");
    // The client goes on.
    assert_eq!(count(&mut client, "c").unwrap(), 1);
}

#[test]
fn calls_to_a_server_that_is_gone_end_as_unknown_or_as_never_sent() {
    let mut daemon = Daemon::start();
    let mut client = BlockingClient::connect(daemon.address()).unwrap();
    count(&mut client, "c").unwrap();
    daemon.kill();
    let timeout = within(Duration::from_millis(400));
    let body = common::calls::increment("c");
    let error = client.call_raw("udprpc.v1.Counter/Increment", &body, &timeout).unwrap_err();
    assert_eq!(error.outcome, Outcome::Unknown, "a copy may have arrived: {error}");

    let start = Instant::now();
    let mut fresh = BlockingClient::connect(daemon.address()).unwrap();
    let error = count(&mut fresh, "c").unwrap_err();
    assert!(matches!(error.outcome, Outcome::NotExecuted(_)), "{error}");
    assert!(start.elapsed() < Duration::from_secs(1), "said within milliseconds: {error}");
}
