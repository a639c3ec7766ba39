//! Hooks and metadata, with both clients.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use udp_rpc::client::{BlockingClient, Client, Ended, Hook, Options, Starting};
use udp_rpc::core::{CallError, Outcome, Proof, Reply};
use udp_rpc::server::Running;
use udp_rpc::service::{Method, Status};
use udp_rpc::wire::{Code, METADATA_MAX};

use crate::common::wait_for;
use crate::stage::{DOUBLE, Gate, SLOW, long, serve};

const NEVER_SENT: Outcome = Outcome::NotExecuted(Proof::NeverSent);

/// What a hook was told, a line each.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn add(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }
}

/// Signs each call, refuses to make some, and tells what it sees.
struct Signs(Log);

impl Hook for Signs {
    fn start(&self, call: &mut Starting<'_>) {
        let own = call.metadata.get_text("tenant").unwrap_or("nobody").to_owned();
        self.0.add(format!("{} for {own}", call.method));
        if call.metadata.insert("authorization", "Bearer 7f3a").is_err() || own == "stranger" {
            call.refuse(Status::new(Code::Unauthenticated, "no credentials for a stranger"));
        }
    }

    fn end(&self, call: &Ended<'_>) {
        assert!(call.metadata.get("authorization").is_some());
        self.0.add(match call.result {
            Ok(reply) => format!("{} ok, {} bytes", call.method, reply.body.len()),
            Err(error) => {
                format!("{} {}, {}", call.method, error.code.name(), error.outcome.name())
            }
        });
    }
}

/// Gives back what came with the request, and fails when it is asked to.
const MIRROR: &str = "Test/Mirror";

fn mirror() -> Running {
    serve([Method::inline(MIRROR, |context, request, reply| {
        for (key, value) in context.metadata.iter() {
            context.reply_metadata.append(key, value).unwrap();
        }
        reply.extend_from_slice(request);
        if request == b"fail" { Err(Status::aborted("as asked")) } else { Ok(()) }
    })])
}

/// Makes one call with the client on its own thread and one with the other.
fn both(
    server: &Running,
    hook: impl Fn() -> Option<Signs>,
    request: &[u8],
    options: &Options,
) -> [Result<Reply, CallError>; 2] {
    let mut builder = BlockingClient::builder();
    let mut shared = Client::builder();
    if let (Some(one), Some(other)) = (hook(), hook()) {
        builder = builder.hook(one);
        shared = shared.hook(other);
    }
    let address = server.local_addr();
    let mut blocking = builder.connect(address).unwrap();
    let shared = shared.connect(address).unwrap();
    [blocking.call_raw(MIRROR, request, options), shared.call_raw(MIRROR, request, options).wait()]
}

fn tenant(name: &str) -> Options {
    let mut options = long();
    options.metadata.insert("tenant", name).unwrap();
    options
}

#[test]
fn metadata_goes_there_and_comes_back_with_replies_and_errors() {
    let server = mirror();
    let mut options = tenant("north");
    options.metadata.append("digest-bin", [0, 255]).unwrap();
    options.metadata.append("digest-bin", [1]).unwrap();
    for result in both(&server, || None, b"x", &options) {
        assert_eq!(result.unwrap().metadata, options.metadata);
    }
    for result in both(&server, || None, b"fail", &options) {
        let error = result.unwrap_err();
        assert_eq!((error.code, error.outcome), (Code::Aborted, Outcome::Executed));
        assert_eq!(error.metadata, options.metadata);
    }
}

#[test]
fn response_has_the_metadata_of_its_reply() {
    let server = serve([DOUBLED.inline(|context, number| {
        context.reply_metadata.insert("served-by", "a test").unwrap();
        Ok(2 * number)
    })]);
    let mut blocking = crate::stage::blocking(&server);
    let client = crate::stage::connect(&server);
    for response in [
        blocking.call_with(&DOUBLED, &4, &long()).unwrap(),
        client.call_with(&DOUBLED, &4, &long()).wait().unwrap(),
    ] {
        assert_eq!(response.message, 8);
        assert_eq!(response.metadata.get_text("served-by"), Some("a test"));
        assert_eq!((response.attempts, response.issues), (1, 1));
    }
}

const DOUBLED: udp_rpc::service::Unary<u64, u64> = udp_rpc::service::Unary::new("Test/Doubled");

#[test]
fn metadata_and_message_that_fit_no_datagram_together_are_refused_at_once() {
    let server = mirror();
    let mut options = long();
    options.metadata.insert("filler", "x".repeat(METADATA_MAX - 3 - "filler".len())).unwrap();
    for result in both(&server, || None, &[0; 1000], &options) {
        let error = result.unwrap_err();
        assert_eq!((error.code, error.outcome), (Code::ResourceExhausted, NEVER_SENT));
        assert!(error.message.contains("metadata"), "{error}");
    }
}

#[test]
fn hook_signs_calls_and_is_told_each_start_and_each_end_once() {
    let server = mirror();
    let log = Log::default();
    let hook = || Some(Signs(log.clone()));
    for result in both(&server, hook, b"abc", &tenant("north")) {
        assert_eq!(result.unwrap().metadata.get_text("authorization"), Some("Bearer 7f3a"));
    }
    for result in both(&server, hook, b"fail", &long()) {
        assert_eq!(result.unwrap_err().outcome, Outcome::Executed);
    }
    let expected = ["Test/Mirror for north", "Test/Mirror ok, 3 bytes"].repeat(2);
    let failed = ["Test/Mirror for nobody", "Test/Mirror ABORTED, executed"].repeat(2);
    assert_eq!(log.lines(), [expected, failed].concat());
}

#[test]
fn call_that_a_hook_refuses_is_never_sent() {
    let server = mirror();
    let log = Log::default();
    for result in both(&server, || Some(Signs(log.clone())), b"abc", &tenant("stranger")) {
        let error = result.unwrap_err();
        assert_eq!((error.code, error.outcome), (Code::Unauthenticated, NEVER_SENT));
        assert_eq!(error.message, "no credentials for a stranger");
    }
    let expected = ["Test/Mirror for stranger", "Test/Mirror UNAUTHENTICATED, not executed"];
    assert_eq!(log.lines(), expected.repeat(2));
    let mut other = crate::stage::blocking(&server);
    let statistics = crate::common::calls::Statistics::read(&mut other);
    assert_eq!(statistics.of("sessions.created"), 1, "nobody but who asks this");
}

#[test]
fn hook_is_told_the_end_of_calls_that_nobody_waits_for() {
    let (method, gate) = Gate::new();
    let server = serve([method]);
    let log = Log::default();
    let client = Client::builder().hook(Signs(log.clone())).connect(server.local_addr()).unwrap();
    drop(client.call_raw(SLOW, b"never sent, or fenced", &long()));
    let first = wait_for("the end of the call", || log.lines().get(1).cloned());
    assert!(first.starts_with("Test/Slow "), "{first}");
    client.call_raw(SLOW, b"detached", &long()).detach();
    while gate.started() != b"detached" {}
    gate.release.send(()).unwrap();
    let last = wait_for("the end of the other", || log.lines().get(3).cloned());
    assert_eq!(last, "Test/Slow ok, 8 bytes");
}

#[test]
fn hook_is_told_of_calls_that_a_dropped_client_leaves_behind() {
    let (method, gate) = Gate::new();
    let server = serve([method]);
    let log = Log::default();
    let hook = Signs(log.clone());
    let mut client = BlockingClient::builder().hook(hook).connect(server.local_addr()).unwrap();
    let call = client.submit(SLOW, b"", &long());
    wait_for("the handler to begin", || {
        assert!(client.wait_timeout(call, Duration::from_millis(1)).is_none());
        gate.try_started()
    });
    drop(client);
    assert_eq!(log.lines(), ["Test/Slow for nobody", "Test/Slow CANCELLED, unknown"]);
    gate.release.send(()).unwrap();
}

#[test]
fn hook_that_panics_at_the_end_changes_nothing() {
    struct Panics;
    impl Hook for Panics {
        fn end(&self, _: &Ended<'_>) {
            panic!("at the end");
        }
    }
    let server = serve([]);
    let mut blocking = BlockingClient::builder().hook(Panics).connect(server.local_addr()).unwrap();
    let client = Client::builder().hook(Panics).connect(server.local_addr()).unwrap();
    for number in 0..3 {
        assert_eq!(blocking.call(&DOUBLE, &number), Ok(2 * number));
        assert_eq!(client.call(&DOUBLE, &number).wait(), Ok(2 * number));
    }
}

#[test]
fn observer_of_a_client_sees_the_datagrams_of_its_calls() {
    let server = serve([]);
    let seen: Arc<Mutex<usize>> = Arc::default();
    let counts = Arc::clone(&seen);
    let client = Client::builder()
        .observer(move |_| *counts.lock().unwrap() += 1)
        .connect(server.local_addr())
        .unwrap();
    assert_eq!(client.call(&DOUBLE, &1).wait(), Ok(2));
    // HELLO, HELLO_ACK, REQUEST, REPLY at least.
    assert!(*seen.lock().unwrap() >= 4);
}
