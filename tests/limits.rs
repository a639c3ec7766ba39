//! What is full or too large: a clear error with its true outcome.
#![cfg(feature = "cli")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::calls::{Statistics, count, within};
use common::raw::Peer;
use common::{PATIENCE, wait_for};
use udp_rpc::client::{BlockingClient, Options};
use udp_rpc::core::server::ServerConfig;
use udp_rpc::core::{CallError, Outcome, Proof};
use udp_rpc::server::{Running, Server};
use udp_rpc::service::{Method, Registry, builtin};
use udp_rpc::wire::{Code, FromServer, MAX_BODY, MAX_REQUEST_BODY, MethodId, Reason, SlotState};

/// Runs until the test lets all of them go, or nobody waits for it any more.
const HELD: &str = "Test/Held";

/// Runs until the test lets all of them go.
const STUBBORN: &str = "Test/Stubborn";

/// A server with small limits.
struct Small {
    server: Running,
    release: Arc<AtomicBool>,
}

fn small(workers: usize, change: impl FnOnce(&mut ServerConfig)) -> Small {
    let release = Arc::new(AtomicBool::new(false));
    let (held, stubborn) = (Arc::clone(&release), Arc::clone(&release));
    let mut registry = Registry::new();
    builtin::install(&mut registry).unwrap();
    registry
        .add(Method::pooled(HELD, move |context, _, _| {
            while !held.load(Ordering::Relaxed) && !context.cancel.is_cancelled() {
                context.cancel.wait_timeout(Duration::from_millis(1));
            }
            Ok(())
        }))
        .unwrap()
        .add(Method::pooled(STUBBORN, move |_, _, _| {
            while !stubborn.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(())
        }))
        .unwrap()
        .add(
            Method::inline("Test/Long", |_, request, reply| {
                reply.resize(usize::from(request[0]) * 10, 7);
                Ok(())
            })
            .longest_reply(300),
        )
        .unwrap()
        .add(Method::inline("Test/Endless", |_, _, reply| {
            reply.resize(MAX_BODY + 1, 7);
            Ok(())
        }))
        .unwrap()
        .add(Method::inline("Test/Short", |_, _, _| Ok(())).longest_request(100))
        .unwrap();
    let builder = Server::builder(registry).listen("127.0.0.1:0").workers(workers).config(change);
    Small { server: builder.bind().unwrap().spawn().unwrap(), release }
}

impl Small {
    fn client(&self) -> BlockingClient {
        BlockingClient::connect(self.server.local_addr()).unwrap()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        self.release.store(true, Ordering::Relaxed);
    }
}

/// Options of a call that is not issued again.
fn once(timeout: Duration) -> Options {
    Options { retry: Some(false), ..Options::within(timeout) }
}

#[track_caller]
fn assert_refused(error: &CallError, reason: Reason) {
    assert_eq!(error.outcome, Outcome::NotExecuted(Proof::Promised(reason)), "{error}");
    assert_eq!(error.code, reason.code(), "{error}");
    assert!(error.message.contains(reason.text()), "{error}");
}

#[test]
fn full_queue_refuses_and_what_was_refused_is_issued_again_if_wanted() {
    let small = small(1, |config| config.max_queued = 2);
    let mut client = small.client();
    // One runs, two wait.
    let running = client.submit(HELD, b"", &within(PATIENCE));
    wait_for("the worker to be busy", || {
        (Statistics::read(&mut client).of("workers.idle") == 0).then_some(())
    });
    let waiting = [(); 2].map(|()| client.submit(HELD, b"", &within(PATIENCE)));
    wait_for("the queue to be full", || {
        (Statistics::read(&mut client).of("received.queued") == 3).then_some(())
    });

    let error = client.call_raw(HELD, b"", &once(PATIENCE)).unwrap_err();
    assert_refused(&error, Reason::Overloaded);
    // Calls that do not queue are served.
    count(&mut client, "c").unwrap();

    let patient = client.submit(HELD, b"", &within(PATIENCE));
    wait_for("a second refusal", || {
        (Statistics::read(&mut client).of("refused.queue_full") >= 2).then_some(())
    });
    small.release.store(true, Ordering::Relaxed);
    let reply = client.wait(patient).unwrap();
    assert!(reply.issues >= 2 && !reply.at_least_once);
    for call in waiting.into_iter().chain([running]) {
        client.wait(call).unwrap();
    }
}

#[test]
fn reply_longer_than_declared_is_an_executed_error() {
    let small = small(1, |_| ());
    let mut client = small.client();
    assert_eq!(client.call_raw("Test/Long", &[30], &Options::default()).unwrap().body.len(), 300);
    for (method, length) in [("Test/Long", "310"), ("Test/Endless", "1185")] {
        let error = client.call_raw(method, &[31], &Options::default()).unwrap_err();
        assert_eq!((error.code, error.outcome), (Code::ResourceExhausted, Outcome::Executed));
        assert!(error.message.contains(length), "{error}");
    }
}

#[test]
fn request_that_is_too_large_is_never_sent_or_refused_and_says_so() {
    let small = small(1, |_| ());
    let mut client = small.client();
    let longest = vec![1; MAX_REQUEST_BODY];
    let reply = client.call_raw("Test/Endless", &longest, &Options::default());
    assert_eq!(reply.unwrap_err().outcome, Outcome::Executed, "the longest is served");

    let error =
        client.call_raw("Test/Endless", &vec![1; MAX_REQUEST_BODY + 1], &Options::default());
    let error = error.unwrap_err();
    assert_eq!(error.outcome, Outcome::NotExecuted(Proof::NeverSent), "{error}");
    assert_eq!((error.code, error.attempts), (Code::ResourceExhausted, 0), "{error}");
    assert!(error.message.contains(&(MAX_REQUEST_BODY + 1).to_string()), "{error}");

    client.call_raw("Test/Short", &[1; 100], &Options::default()).unwrap();
    let error = client.call_raw("Test/Short", &[1; 101], &Options::default()).unwrap_err();
    assert_refused(&error, Reason::RequestTooLarge);
}

#[test]
fn deadline_farther_than_the_server_allows_is_an_error_at_once() {
    let small = small(1, |config| config.longest_deadline = Duration::from_secs(5));
    let mut client = small.client();
    let error = client.call_raw(HELD, b"", &within(Duration::from_secs(6))).unwrap_err();
    assert_eq!(error.code, Code::InvalidArgument, "{error}");
    assert_eq!(error.outcome, Outcome::NotExecuted(Proof::NeverSent), "{error}");
}

#[test]
fn calls_beyond_the_window_wait_for_a_slot_and_say_so_at_their_deadline() {
    let small = small(8, |config| config.window = 4);
    let mut client = small.client();
    let held = [(); 4].map(|()| client.submit(HELD, b"", &within(PATIENCE)));
    wait_for("four handlers to run", || {
        (Statistics::read(&mut small.client()).of("workers.idle") == 4
            || client.wait_timeout(held[0], Duration::from_millis(1)).is_some())
        .then_some(())
    });
    let error = client.call_raw(HELD, b"", &within(Duration::from_millis(200))).unwrap_err();
    assert_eq!(error.code, Code::ResourceExhausted, "{error}");
    assert_eq!(error.outcome, Outcome::NotExecuted(Proof::NeverSent), "{error}");
    assert!(error.message.contains("window of 4 calls full"), "{error}");

    let patient = client.submit(HELD, b"", &within(PATIENCE));
    small.release.store(true, Ordering::Relaxed);
    for call in held.into_iter().chain([patient]) {
        client.wait(call).unwrap();
    }
}

#[test]
fn full_session_table_turns_new_clients_away_until_there_is_room() {
    let small = small(2, |config| config.max_sessions = 2);
    let (mut one, mut two) = (small.client(), small.client());
    count(&mut one, "c").unwrap();
    count(&mut two, "c").unwrap();

    let mut three = small.client();
    let body = common::calls::increment("c");
    let error = three
        .call_raw("udprpc.v1.Counter/Increment", &body, &within(Duration::from_millis(300)))
        .unwrap_err();
    // Nothing could be recorded, so nothing was promised.
    assert_eq!(error.outcome, Outcome::Unknown, "{error}");
    assert_eq!(error.code, Code::ResourceExhausted, "{error}");
    assert!(error.message.contains("no room for a session"), "{error}");
    assert_eq!(count(&mut one, "c").unwrap(), 3, "those who are in are served");

    let waiting = three.submit("udprpc.v1.Counter/Increment", &body, &within(PATIENCE));
    wait_for("it to be turned away", || {
        let _ = three.wait_timeout(waiting, Duration::from_millis(1));
        (Statistics::read(&mut one).of("received.no_room_for_session") >= 2).then_some(())
    });
    two.close();
    three.wait(waiting).unwrap();
    assert_eq!(count(&mut one, "c").unwrap(), 5);
}

#[test]
fn sessions_of_one_source_are_capped() {
    let small = small(1, |config| config.max_sessions_per_source = 3);
    let address = small.server.local_addr();
    let peers: Vec<_> = (0..3).map(|i| (Peer::new(address), i)).collect();
    for (peer, nonce) in &peers {
        peer.open(*nonce);
    }
    let peer = Peer::new(address);
    let offer = peer.hello(9);
    peer.ask(&offer.ping(), |answer| {
        matches!(
            answer.message,
            FromServer::Refused { reason: Reason::NoRoomForSession, promise: false, .. }
        )
        .then_some(())
    });
}

#[test]
fn reply_for_which_there_is_no_memory_is_refused_before_the_run() {
    let small = small(1, |config| config.reply_memory = 64 * 1024);
    let peer = Peer::new(small.server.local_addr());
    let offer = peer.open(1);
    let echo = MethodId::of("udprpc.v1.Echo/Echo");
    let text = [b'x'; 1000];
    let body = [&[0x0a, 0xe8, 0x07], text.as_slice()].concat();
    let window = u64::from(offer.ack.limits.window);
    // Each in a slot of its own, so that every reply is kept.
    let (mut served, mut refused) = (0, 0);
    for call in window..window + 100 {
        let request = offer.request(call, echo, &body);
        peer.ask(&request, |answer| match answer.message {
            FromServer::Reply { status: Code::Ok, body: said, .. } => {
                assert_eq!(said, body);
                served += 1;
                Some(())
            }
            FromServer::Refused { reason: Reason::NoRoomForReply, promise: true, .. } => {
                refused += 1;
                Some(())
            }
            _ => None,
        });
    }
    assert!((40..=64).contains(&served), "{served} replies of a kilobyte in 64 KiB");
    assert_eq!(served + refused, 100);
    // What is kept is kept: its duplicate is answered by the reply.
    peer.ask(&offer.request(window, echo, &body), |answer| {
        matches!(answer.message, FromServer::Reply { status: Code::Ok, .. }).then_some(())
    });
}

#[test]
fn handlers_of_superseded_calls_count_against_their_session() {
    let small = small(4, |config| config.window = 2);
    let peer = Peer::new(small.server.local_addr());
    let offer = peer.open(1);
    let stubborn = MethodId::of(STUBBORN);
    let runs = |call: u64| {
        peer.ask(&offer.request(call, stubborn, b""), |answer| {
            matches!(
                answer.message,
                FromServer::Progress { state: SlotState::Running, .. }
                    | FromServer::Reply { status: Code::Ok, .. }
            )
            .then_some(())
        });
    };
    // The two slots' calls run; larger ids in the same slots ask for more.
    runs(2);
    runs(3);
    for call in [4, 5] {
        peer.ask(&offer.request(call, stubborn, b""), |answer| {
            matches!(
                answer.message,
                FromServer::Refused { reason: Reason::TooManyRunning, promise: true, .. }
            )
            .then_some(())
        });
    }
    // Their end makes room.
    small.release.store(true, Ordering::Relaxed);
    wait_for("room", || {
        let idle = Statistics::read(&mut small.client()).of("workers.idle");
        (idle == 4).then_some(())
    });
    runs(6);
    peer.ask(&offer.request(4, stubborn, b""), |answer| {
        matches!(answer.message, FromServer::Refused { reason: Reason::Stale, promise: false, .. })
            .then_some(())
    });
}
