//! What handlers do, and what their callers are told: slow ones, panicking ones, late ones,
//! cancelled ones, ones that answer from elsewhere.
#![cfg(feature = "cli")]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::calls::{Statistics, within};
use common::{PATIENCE, wait_for};
use udp_rpc::client::{BlockingClient, CallHandle, Direction, Options};
use udp_rpc::core::fault::Faults;
use udp_rpc::core::{Outcome, Proof};
use udp_rpc::server::{Running, Server};
use udp_rpc::service::{Method, Registry, Responder, Status, builtin};
use udp_rpc::wire::{Code, FromServer, Kind, Reason, SlotState, parse_from_server};

const SLOW: &str = "Test/Slow";

/// A handler that runs until the test lets it go on, and tells what it sees.
struct Gate {
    server: Running,
    /// A word for each execution that begins.
    started: Receiver<Vec<u8>>,
    /// A word lets one execution end.
    release: Sender<()>,
    /// Executions that ended, and of those how many saw their cancel token set.
    ended: Arc<AtomicUsize>,
    cancelled: Arc<AtomicUsize>,
}

impl Gate {
    fn new(workers: usize) -> Self {
        let (starting, started) = channel();
        let (release, released) = channel();
        let released = Mutex::new(released);
        let (ended, cancelled) = (Arc::default(), Arc::default());
        let (ends, cancels): (Arc<AtomicUsize>, Arc<AtomicUsize>) =
            (Arc::clone(&ended), Arc::clone(&cancelled));
        let mut registry = Registry::new();
        builtin::install(&mut registry).unwrap();
        registry
            .add(Method::pooled(SLOW, move |context, request, reply| {
                starting.send(request.to_vec()).unwrap();
                while released.lock().unwrap().try_recv().is_err() {
                    if context.cancel.wait_timeout(Duration::from_millis(1)) {
                        cancels.fetch_add(1, Ordering::SeqCst);
                        break;
                    }
                }
                reply.extend(request);
                ends.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }))
            .unwrap();
        let server =
            Server::builder(registry).listen("127.0.0.1:0").workers(workers).bind().unwrap();
        Self { server: server.spawn().unwrap(), started, release, ended, cancelled }
    }

    fn client(&self) -> BlockingClient {
        BlockingClient::connect(self.server.local_addr()).unwrap()
    }

    /// Drives the client until a handler has begun, which is not yet the end of `call`.
    fn wait_until_started(&self, client: &mut BlockingClient, call: CallHandle) -> Vec<u8> {
        wait_for("the handler to begin", || {
            assert!(client.wait_timeout(call, Duration::from_millis(1)).is_none());
            self.started.try_recv().ok()
        })
    }
}

/// Every datagram that a client saw, and which way it went.
type Tally = Arc<Mutex<Vec<(Direction, Vec<u8>)>>>;

fn tallying(builder: udp_rpc::client::Builder) -> (udp_rpc::client::Builder, Tally) {
    let tally = Tally::default();
    let told = Arc::clone(&tally);
    let builder = builder.observer(move |observation| {
        told.lock().unwrap().push((observation.direction, observation.datagram.to_vec()));
    });
    (builder, tally)
}

fn tallied(tally: &Tally, kind: Kind) -> usize {
    let tally = tally.lock().unwrap();
    tally.iter().filter(|(_, datagram)| datagram[3] == kind.to_u8()).count()
}

#[test]
fn handler_slower_than_the_rto_runs_once_and_is_asked_for_seldom() {
    let gate = Gate::new(2);
    let (builder, tally) = tallying(BlockingClient::builder());
    let mut client = builder.connect(gate.server.local_addr()).unwrap();
    let handle = client.submit(SLOW, b"slow", &within(PATIENCE));
    // Two hundred times the RTO of a loopback.
    let asked = Instant::now();
    while asked.elapsed() < Duration::from_millis(1000) {
        assert!(client.wait_timeout(handle, Duration::from_millis(50)).is_none());
    }
    let rto = client.info().unwrap().rto;
    gate.release.send(()).unwrap();
    let reply = client.wait(handle).unwrap();

    assert_eq!(reply.body, b"slow");
    assert_eq!(gate.ended.load(Ordering::SeqCst), 1);
    let copies = tallied(&tally, Kind::Request);
    assert_eq!(copies, reply.attempts as usize);
    // Each waits for a quarter of the time since the first: log 200 / log 1.25 of them.
    assert!(copies <= 30, "{copies} copies in {:?}, the RTO being {rto:?}", asked.elapsed());
    let running = tally.lock().unwrap().iter().any(|(_, datagram)| {
        parse_from_server(datagram).is_ok_and(|answer| {
            matches!(answer.message, FromServer::Progress { state: SlotState::Running, .. })
        })
    });
    assert!(running, "no PROGRESS said that the call runs");
    assert_eq!(tallied(&tally, Kind::Reply), 1);
    println!("a call of 1 s took {copies} copies at an RTO of {rto:?}");
}

#[test]
fn panicking_handler_is_an_executed_internal_error_and_the_server_lives() {
    let mut registry = Registry::new();
    builtin::install(&mut registry).unwrap();
    registry
        .add(Method::inline("Test/Inline", |_, _, _| panic!("on the event loop")))
        .unwrap()
        .add(Method::pooled("Test/Pooled", |_, _, _| panic!("on the pool")))
        .unwrap()
        .add(Method::deferred("Test/Deferred", |_, _, _: Responder| panic!("with a responder")))
        .unwrap();
    let server = Server::builder(registry).listen("127.0.0.1:0").workers(2).bind().unwrap();
    let server = server.spawn().unwrap();
    let mut client = BlockingClient::connect(server.local_addr()).unwrap();
    // More often than there are workers: none of them is lost to a panic.
    for _ in 0..4 {
        for method in ["Test/Inline", "Test/Pooled", "Test/Deferred"] {
            let error = client.call_raw(method, b"", &Options::default()).unwrap_err();
            assert_eq!((error.code, error.outcome), (Code::Internal, Outcome::Executed));
            assert!(error.message.contains("panicked"), "{error}");
        }
    }
    let statistics = Statistics::read(&mut client);
    assert_eq!(statistics.of("handlers.panicked"), 12);
    wait_for("the workers to be idle", || {
        (Statistics::read(&mut client).of("workers.idle") == 2).then_some(())
    });
}

#[test]
fn call_that_waits_for_a_worker_past_its_deadline_never_runs() {
    let gate = Gate::new(1);
    let mut client = gate.client();
    let busy = client.submit(SLOW, b"busy", &within(PATIENCE));
    assert_eq!(gate.wait_until_started(&mut client, busy), b"busy");

    let late: Vec<_> =
        (0..8).map(|_| client.submit(SLOW, b"late", &within(Duration::from_millis(150)))).collect();
    for handle in late {
        let error = client.wait(handle).unwrap_err();
        assert_eq!(error.code, Code::DeadlineExceeded, "{error}");
        assert!(
            matches!(
                error.outcome,
                Outcome::Unknown | Outcome::NotExecuted(Proof::Promised(Reason::Expired))
            ),
            "{error}"
        );
    }
    gate.release.send(()).unwrap();
    assert_eq!(client.wait(busy).unwrap().body, b"busy");
    // The worker is free: whatever still waited would begin before this one does.
    let next = client.submit(SLOW, b"next", &within(PATIENCE));
    assert_eq!(gate.wait_until_started(&mut client, next), b"next");
    gate.release.send(()).unwrap();
    client.wait(next).unwrap();
    assert_eq!(gate.ended.load(Ordering::SeqCst), 2);
    let statistics = Statistics::read(&mut client);
    assert_eq!(statistics.of("calls.expired_in_queue"), 8);
}

#[test]
fn handler_that_runs_past_its_deadline_sees_its_cancel_token() {
    let gate = Gate::new(1);
    let mut client = gate.client();
    // The handler ends when it sees its token. The server's clock is not ahead of the deadline, but
    // a caller that was kept waiting may find the answer there.
    if let Err(error) = client.call_raw(SLOW, b"", &within(Duration::from_millis(300))) {
        assert_eq!((error.code, error.outcome), (Code::DeadlineExceeded, Outcome::Unknown));
    }
    gate.started.recv_timeout(PATIENCE).unwrap();
    wait_for("the handler to be cancelled", || {
        (gate.cancelled.load(Ordering::SeqCst) == 1).then_some(())
    });
}

#[test]
fn cancelled_call_that_waits_never_runs_and_one_that_runs_sees_its_token() {
    let gate = Gate::new(1);
    let mut client = gate.client();
    let running = client.submit(SLOW, b"running", &within(PATIENCE));
    assert_eq!(gate.wait_until_started(&mut client, running), b"running");
    let queued = client.submit(SLOW, b"queued", &within(PATIENCE));
    wait_for("the call to be queued", || {
        (Statistics::read(&mut client).of("received.queued") == 2).then_some(())
    });

    client.cancel(queued);
    let error = client.wait(queued).unwrap_err();
    assert_eq!(error.code, Code::Cancelled);
    assert_eq!(error.outcome, Outcome::NotExecuted(Proof::Promised(Reason::Fenced)));

    client.cancel(running);
    // It ended as its handler ended it: the caller hears that it ran.
    assert_eq!(client.wait(running).unwrap().body, b"running");
    assert_eq!(gate.cancelled.load(Ordering::SeqCst), 1);
    assert_eq!(gate.ended.load(Ordering::SeqCst), 1);
}

#[test]
fn responder_may_answer_from_any_thread_and_in_any_order() {
    let kept: Arc<Mutex<Vec<(u8, Responder)>>> = Arc::default();
    let keep = Arc::clone(&kept);
    let mut registry = Registry::new();
    registry
        .add(Method::deferred("Test/Later", move |_, request, responder| {
            keep.lock().unwrap().push((request[0], responder));
        }))
        .unwrap();
    // Two workers are not held by ten calls that wait.
    let server = Server::builder(registry).listen("127.0.0.1:0").workers(2).bind().unwrap();
    let server = server.spawn().unwrap();
    let mut client = BlockingClient::connect(server.local_addr()).unwrap();
    let handles: Vec<_> =
        (0..10u8).map(|i| client.submit("Test/Later", &[i], &within(PATIENCE))).collect();
    let answering = thread::spawn(move || {
        wait_for("ten responders", || (kept.lock().unwrap().len() == 10).then_some(()));
        for (request, responder) in kept.lock().unwrap().drain(..).rev() {
            responder.respond(match request {
                5 => Err(Status::aborted("not this one")),
                _ => Ok(vec![request + 100]),
            });
        }
    });
    for (i, handle) in (0..).zip(handles) {
        match client.wait(handle) {
            Ok(reply) => assert_eq!(reply.body, [i + 100]),
            Err(error) => {
                assert_eq!((i, error.code, error.outcome), (5, Code::Aborted, Outcome::Executed));
            }
        }
    }
    answering.join().unwrap();
}

#[test]
fn call_goes_on_as_the_same_call_when_its_client_changes_port() {
    let gate = Gate::new(2);
    let mut client = gate.client();
    let handle = client.submit(SLOW, b"roaming", &within(PATIENCE));
    gate.wait_until_started(&mut client, handle);
    client.rebind();
    gate.release.send(()).unwrap();
    let reply = client.wait(handle).unwrap();
    assert_eq!((reply.body.as_slice(), reply.issues), (b"roaming".as_slice(), 1));
    assert_eq!(gate.ended.load(Ordering::SeqCst), 1);

    let statistics = Statistics::read(&mut client);
    assert_eq!(statistics.of("sessions.created"), 1);
    assert!(statistics.of("received.challenged") >= 1, "the new address was proved");
    statistics.check_sum();
}

#[test]
fn client_that_changes_port_all_the_time_on_a_bad_path_has_every_increment_counted_once() {
    let daemon = common::Daemon::start();
    let faults = Faults { loss: 0.2, duplicate: 0.2, ..Faults::NONE };
    let mut client = BlockingClient::builder().faults(faults).connect(daemon.address()).unwrap();
    let body = common::calls::increment("c");
    for _ in 0..20 {
        let calls = (0..10)
            .map(|_| client.submit("udprpc.v1.Counter/Increment", &body, &within(PATIENCE)))
            .collect::<Vec<_>>();
        client.rebind();
        for call in calls {
            client.wait(call).unwrap();
        }
    }
    assert_eq!(common::calls::counted(&mut client, "c"), 200);
}

#[test]
fn two_clients_on_one_machine_never_get_each_others_replies() {
    let daemon = common::Daemon::start();
    let address = daemon.address();
    thread::scope(|scope| {
        for name in ["one", "two", "three"] {
            scope.spawn(move || {
                let faults = Faults { loss: 0.1, duplicate: 0.3, ..Faults::NONE };
                let mut client = BlockingClient::builder().faults(faults).connect(address).unwrap();
                for round in 0..20 {
                    let mut asked = std::collections::BTreeMap::new();
                    for i in 0..10 {
                        let text = format!("{name} {round} {i}").into_bytes();
                        // A protobuf message with this text as its field 1.
                        let body = [&[0x0a, text.len() as u8], text.as_slice()].concat();
                        let handle = client.submit("udprpc.v1.Echo/Echo", &body, &within(PATIENCE));
                        asked.insert(handle, body);
                    }
                    while let Some((handle, reply)) = client.wait_any() {
                        assert_eq!(reply.unwrap().body, asked.remove(&handle).unwrap());
                    }
                    assert!(asked.is_empty());
                }
            });
        }
    });
}
