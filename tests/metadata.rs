//! Metadata from outside: both ways, with every client and every way to serve, over a bad path,
//! past its limits, and as credentials that a hook looks at.
#![cfg(feature = "cli")]

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::calls::{Statistics, within};
use common::{PATIENCE, wait_for};
use udp_rpc::client::{self, BlockingClient, Client, Ended, Options, Response, Starting};
use udp_rpc::core::fault::Faults;
use udp_rpc::core::{CallError, Outcome, Proof};
use udp_rpc::server::{Running, Server};
use udp_rpc::service::{
    self, Context, Executor, Method, Refusal, Registry, ReplyMetadata, Status, Task, Unary, builtin,
};
use udp_rpc::wire::{
    Code, MAX_BODY, MAX_REQUEST_BODY, METADATA_MAX, Metadata, MetadataError, MetadataRef, Reason,
};

const INLINE: Unary<u64, u64> = Unary::new("Test/Inline");
const POOLED: Unary<u64, u64> = Unary::new("Test/Pooled");
const DEFERRED: Unary<u64, u64> = Unary::new("Test/Deferred");
const ASYNCHRONOUS: Unary<u64, u64> = Unary::new("Test/Asynchronous");
const ALL: [Unary<u64, u64>; 4] = [INLINE, POOLED, DEFERRED, ASYNCHRONOUS];

/// An executor with a thread for each task.
fn threads() -> Arc<dyn Executor> {
    Arc::new(|task: Task| {
        std::thread::spawn(move || smol::block_on(task));
    })
}

/// Gives all metadata back, with its keys reversed but for their ends. Even numbers are doubled, and
/// odd ones an error.
fn mirror(metadata: MetadataRef<'_>, reply: &ReplyMetadata, number: u64) -> Result<u64, Status> {
    for (key, value) in metadata.iter() {
        let (name, end) = key.strip_suffix("-bin").map_or((key, ""), |name| (name, "-bin"));
        let name: String = name.chars().rev().collect();
        reply.append(&format!("{name}{end}"), value).unwrap();
    }
    match number % 2 {
        0 => Ok(number * 2),
        _ => Err(Status::invalid_argument("the number is odd")),
    }
}

fn mirrors() -> Registry {
    let mut registry = Registry::new();
    builtin::install_standard(&mut registry).unwrap();
    for method in [
        INLINE.inline(|context, n| mirror(context.metadata, context.reply_metadata, n)),
        POOLED.pooled(|context, n| mirror(context.metadata, context.reply_metadata, n)),
        DEFERRED.deferred(|context, n, responder| {
            std::thread::spawn(move || {
                let (metadata, reply) = (context.metadata.borrow(), &context.reply_metadata);
                responder.respond(mirror(metadata, reply, n));
            });
        }),
        ASYNCHRONOUS.asynchronous(threads(), async |context, n| {
            smol::future::yield_now().await;
            mirror(context.metadata.borrow(), &context.reply_metadata, n)
        }),
    ] {
        registry.add(method).unwrap();
    }
    registry
}

fn metadata(pairs: &[(&str, &[u8])]) -> Metadata {
    let mut metadata = Metadata::new();
    for (key, value) in pairs {
        metadata.append(key, value).unwrap();
    }
    metadata
}

fn with(metadata: Metadata) -> Options {
    Options { metadata, ..within(PATIENCE) }
}

/// Every way in which a call can be made.
fn every_way(
    server: &Running,
    method: &Unary<u64, u64>,
    request: u64,
    options: &Options,
) -> [Result<Response<u64>, CallError>; 4] {
    let mut blocking = BlockingClient::connect(server.local_addr()).unwrap();
    let client = Client::connect(server.local_addr()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    [
        blocking.call_with(method, &request, options),
        client.call_with(method, &request, options).wait(),
        smol::block_on(client.call_with(method, &request, options)),
        runtime.block_on(async { client.call_with(method, &request, options).await }),
    ]
}

#[test]
fn text_and_bytes_go_both_ways_with_replies_and_with_errors() {
    let server = Server::spawn_local(mirrors()).unwrap();
    let all_bytes: Vec<u8> = (0..=255).collect();
    let asked = metadata(&[
        ("tenant", b"north"),
        ("raw-bin", &all_bytes),
        ("tenant", b"south ~!"),
        ("empty", b""),
        ("empty-bin", b""),
        ("x.y_z-1", b"v"),
    ]);
    let expected = metadata(&[
        ("tnanet", b"north"),
        ("war-bin", &all_bytes),
        ("tnanet", b"south ~!"),
        ("ytpme", b""),
        ("ytpme-bin", b""),
        ("1-z_y.x", b"v"),
    ]);
    for method in ALL {
        for response in every_way(&server, &method, 4, &with(asked.clone())) {
            let response = response.unwrap();
            assert_eq!((response.message, &response.metadata), (8, &expected), "{method:?}");
        }
        for error in every_way(&server, &method, 3, &with(asked.clone())) {
            let error = error.unwrap_err();
            assert_eq!((error.code, error.outcome), (Code::InvalidArgument, Outcome::Executed));
            assert_eq!((error.message.as_str(), &error.metadata), ("the number is odd", &expected));
        }
        for response in every_way(&server, &method, 4, &within(PATIENCE)) {
            assert!(response.unwrap().metadata.is_empty());
        }
    }
}

/// Counts what it is told.
#[derive(Default)]
struct Tally {
    started: AtomicUsize,
    ended: AtomicUsize,
}

impl Tally {
    fn read(&self) -> (usize, usize) {
        (self.started.load(Ordering::SeqCst), self.ended.load(Ordering::SeqCst))
    }
}

impl service::Hook for Tally {
    fn start(&self, _: &Context<'_>) -> Result<(), Refusal> {
        self.started.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn end(&self, _: &Context<'_>, _: Code, _: Duration) {
        self.ended.fetch_add(1, Ordering::SeqCst);
    }
}

/// A client's hook that a test can look at.
#[derive(Clone, Default)]
struct Shared(Arc<Tally>);

impl client::Hook for Shared {
    fn start(&self, call: &mut Starting<'_>) {
        self.0.started.fetch_add(1, Ordering::SeqCst);
        call.metadata.append("hook", "was here").unwrap();
    }

    fn end(&self, call: &Ended<'_>) {
        assert_eq!(call.metadata.get_text("hook"), Some("was here"));
        self.0.ended.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn every_call_keeps_its_own_metadata_over_a_bad_path_and_hooks_see_each_once() {
    const CALLS: u64 = 240;
    let hook = Arc::new(Tally::default());
    let runs: Arc<Mutex<BTreeMap<Vec<u8>, usize>>> = Arc::default();
    let counted = Arc::clone(&runs);
    let mut registry = mirrors();
    registry
        .add(Method::pooled("Test/Count", move |context, request, reply| {
            let name = context.metadata.get("name").unwrap_or_default();
            *counted.lock().unwrap().entry(name.to_vec()).or_default() += 1;
            assert_eq!(context.metadata.get_text("hook"), Some("was here"));
            context.reply_metadata.insert("name", name).unwrap();
            reply.extend(request);
            Ok(())
        }))
        .unwrap();
    let server = Server::builder(registry).hook(Arc::clone(&hook)).spawn_local().unwrap();

    let faults = Faults { loss: 0.2, duplicate: 0.3, ..Faults::NONE };
    let told = Shared::default();
    let client = Client::builder().faults(faults).hook(told.clone());
    let client = client.connect(server.local_addr()).unwrap();
    let mut blocking = BlockingClient::builder().faults(faults).hook(told.clone());
    blocking = blocking.fault_seed(7);
    let mut blocking = blocking.connect(server.local_addr()).unwrap();

    let named = |n: u64| with(metadata(&[("name", format!("call {n}").as_bytes())]));
    let body = |n: u64| n.to_be_bytes();
    let mut pending = Vec::new();
    for n in 0..CALLS / 2 {
        pending.push((n, client.call_raw("Test/Count", &body(n), &named(n))));
    }
    let handles: Vec<_> = (CALLS / 2..CALLS)
        .map(|n| (n, blocking.submit("Test/Count", &body(n), &named(n))))
        .collect();
    let mut attempts = 0;
    let mut check = |n: u64, reply: udp_rpc::core::Reply| {
        assert_eq!(reply.body, body(n));
        let name = format!("call {n}");
        assert_eq!(reply.metadata.iter().collect::<Vec<_>>(), [("name", name.as_bytes())]);
        attempts += reply.attempts;
    };
    for (n, handle) in handles {
        check(n, blocking.wait(handle).unwrap());
    }
    for (n, call) in pending {
        check(n, call.wait().unwrap());
    }

    let runs = runs.lock().unwrap();
    assert_eq!(runs.len() as u64, CALLS);
    assert!(runs.values().all(|times| *times == 1), "{runs:?}");
    assert!(u64::from(attempts) > CALLS, "the path did lose datagrams");
    let calls = CALLS as usize;
    assert_eq!(hook.read(), (calls, calls));
    wait_for("the ends of all calls", || (told.0.read() == (calls, calls)).then_some(()));
}

#[test]
fn request_with_more_than_a_datagram_holds_is_refused_at_once_and_the_limit_is_named() {
    let server = Server::spawn_local(mirrors()).unwrap();
    // Metadata alone: the last pair that fits, and one byte more.
    let mut full = Metadata::new();
    let longest = METADATA_MAX - "k".len() - 3;
    let error = full.insert("k", "x".repeat(longest + 1)).unwrap_err();
    assert_eq!(error, MetadataError::TooLong { bytes: METADATA_MAX + 1 });
    assert!(error.to_string().contains(&METADATA_MAX.to_string()), "{error}");
    full.insert("k", "x".repeat(longest)).unwrap();

    // With the message beside it.
    let room = MAX_REQUEST_BODY - full.borrow().option_len();
    let mut blocking = BlockingClient::connect(server.local_addr()).unwrap();
    let client = Client::connect(server.local_addr()).unwrap();
    for (length, fits) in [(room, true), (room + 1, false)] {
        let body = vec![0xff; length];
        let options = with(full.clone());
        for result in [
            blocking.call_raw(INLINE.name(), &body, &options),
            client.call_raw(INLINE.name(), &body, &options).wait(),
        ] {
            let error = result.unwrap_err();
            if fits {
                // The server had it, and could make nothing of the message.
                assert_eq!(error.outcome, Outcome::Executed, "{error}");
            } else {
                assert_eq!(error.outcome, Outcome::NotExecuted(Proof::NeverSent), "{error}");
                assert_eq!((error.code, error.attempts), (Code::ResourceExhausted, 0), "{error}");
                for number in [length, full.borrow().option_len(), MAX_REQUEST_BODY] {
                    assert!(error.message.contains(&number.to_string()), "{error}");
                }
            }
        }
    }
}

#[test]
fn reply_with_more_than_a_datagram_holds_is_an_executed_error_that_names_the_limit() {
    let mut registry = Registry::new();
    // Says in metadata, and in the body or in an error's text, as many bytes as it is asked for.
    let answer = |context: &Context<'_>, request: &[u8], reply: &mut Vec<u8>| {
        let number = |at: usize| usize::from(u16::from_be_bytes([request[at], request[at + 1]]));
        let value = "x".repeat(number(1));
        if let Err(error) = context.reply_metadata.insert("k", value) {
            return Err(Status::out_of_range(error.to_string()));
        }
        match request[0] {
            0 => {
                reply.resize(number(3), 0);
                Ok(())
            }
            _ => Err(Status::aborted("e".repeat(number(3)))),
        }
    };
    registry.add(Method::inline("Test/Answer", answer)).unwrap();
    registry.add(Method::pooled("Test/Pooled", answer)).unwrap();
    let server = Server::spawn_local(registry).unwrap();
    let mut client = BlockingClient::connect(server.local_addr()).unwrap();

    for method in ["Test/Answer", "Test/Pooled"] {
        let mut ask = |fail: u8, metadata: usize, body: usize| {
            let numbers = [metadata, body].map(|n| u16::try_from(n).unwrap().to_be_bytes());
            let request = [&[fail], numbers.as_flattened()].concat();
            client.call_raw(method, &request, &within(PATIENCE))
        };
        // 500 bytes and their key take 504 and the option's head, rounded up.
        let option = 508;
        let reply = ask(0, 500, MAX_BODY - option).unwrap();
        assert_eq!(reply.metadata.get("k").unwrap().len(), 500);
        assert_eq!(reply.body.len(), MAX_BODY - option);

        let error = ask(0, 500, MAX_BODY - option + 1).unwrap_err();
        assert_eq!((error.code, error.outcome), (Code::ResourceExhausted, Outcome::Executed));
        assert!(error.message.contains(&MAX_BODY.to_string()), "{error}");

        let error = ask(0, METADATA_MAX, 0).unwrap_err();
        assert_eq!((error.code, error.outcome), (Code::OutOfRange, Outcome::Executed));
        assert!(error.message.contains(&METADATA_MAX.to_string()), "{error}");

        // An error's text is cut to make room for metadata, unless that would leave it hardly any:
        // then it goes without metadata.
        for (metadata, text, told) in [(500, 600, 600), (500, 1000, MAX_BODY - option - 2)] {
            let error = ask(1, metadata, text).unwrap_err();
            assert_eq!((error.code, error.message.len()), (Code::Aborted, told));
            assert_eq!(error.metadata.get("k").unwrap().len(), metadata);
        }
        let error = ask(1, 960, 600).unwrap_err();
        assert_eq!((error.code, error.message.len()), (Code::Aborted, 600));
        assert!(error.metadata.is_empty());
    }
}

/// Lets in who says the word, and counts whom it was asked about.
#[derive(Default)]
struct Doorman(AtomicUsize);

impl service::Hook for Doorman {
    fn start(&self, context: &Context<'_>) -> Result<(), Refusal> {
        if context.method.starts_with("udprpc.") {
            return Ok(());
        }
        self.0.fetch_add(1, Ordering::SeqCst);
        match context.metadata.get_text("authorization") {
            Some("Bearer sesame") => Ok(()),
            Some(_) => Err(Refusal::PermissionDenied),
            None => Err(Refusal::Unauthenticated),
        }
    }
}

/// Says a word with every call.
struct Credentials(&'static str);

impl client::Hook for Credentials {
    fn start(&self, call: &mut Starting<'_>) {
        call.metadata.insert("authorization", self.0).unwrap();
    }
}

#[test]
fn call_without_credentials_is_promised_not_to_run_and_so_are_its_duplicates() {
    let doorman = Arc::new(Doorman::default());
    let ran = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&ran);
    let mut registry = Registry::new();
    builtin::install_standard(&mut registry).unwrap();
    registry
        .add(Method::inline("Test/Run", move |_, _, _| {
            counted.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }))
        .unwrap();
    let server = Server::builder(registry).hook(Arc::clone(&doorman)).spawn_local().unwrap();
    // Every datagram arrives twice.
    let faults = Faults { duplicate: 1.0, ..Faults::NONE };
    let stranger = Client::builder().faults(faults).connect(server.local_addr()).unwrap();
    let impostor = Client::builder().faults(faults).hook(Credentials("Bearer simsim"));
    let impostor = impostor.connect(server.local_addr()).unwrap();
    let guest = Client::builder().faults(faults).hook(Credentials("Bearer sesame"));
    let guest = guest.connect(server.local_addr()).unwrap();

    for _ in 0..10 {
        for (client, reason, code) in [
            (&stranger, Reason::Unauthenticated, Code::Unauthenticated),
            (&impostor, Reason::Unauthorised, Code::PermissionDenied),
        ] {
            let error = client.call_raw("Test/Run", b"", &within(PATIENCE)).wait().unwrap_err();
            assert_eq!(error.outcome, Outcome::NotExecuted(Proof::Promised(reason)), "{error}");
            // Another attempt would be refused too: the client makes none by itself.
            assert_eq!((error.code, error.issues), (code, 1), "{error}");
        }
        guest.call_raw("Test/Run", b"", &within(PATIENCE)).wait().unwrap();
    }
    assert_eq!(ran.load(Ordering::SeqCst), 10);
    let mut client = BlockingClient::connect(server.local_addr()).unwrap();
    // The second copy of the last may still be on its way.
    let statistics = wait_for("the duplicates", || {
        let statistics = Statistics::read(&mut client);
        (statistics.of("received.duplicate.refused") >= 20).then_some(statistics)
    });
    // The doorman was asked once about each call, however often it came.
    assert_eq!(doorman.0.load(Ordering::SeqCst), 30);
    statistics.check_sum();
    assert_eq!(ran.load(Ordering::SeqCst), 10);
}

#[test]
fn credentials_stay_with_their_call_and_the_trace_goes_on_to_the_next() {
    type Heard = Arc<Mutex<Vec<Metadata>>>;
    let heard = Heard::default();
    let mut registry = Registry::new();
    let hearing = Arc::clone(&heard);
    registry
        .add(Method::inline("Test/Last", move |context, _, _| {
            hearing.lock().unwrap().push(context.metadata.to_owned());
            Ok(())
        }))
        .unwrap();
    let last = Server::spawn_local(registry).unwrap();

    let onward = Client::connect(last.local_addr()).unwrap();
    let pass_on = |onward: Client, detached: bool| {
        let options = Options { detached, ..within(PATIENCE) };
        move |_: &Context<'_>, _: &[u8], _: &mut Vec<u8>| {
            let result = onward.call_raw("Test/Last", b"", &options).wait();
            result.map(drop).map_err(|error| Status::new(error.code, error.message))
        }
    };
    let mut registry = Registry::new();
    registry.add(Method::pooled("Test/First", pass_on(onward.clone(), false))).unwrap();
    registry.add(Method::pooled("Test/Alone", pass_on(onward, true))).unwrap();
    let first = Server::spawn_local(registry).unwrap();

    let asked = metadata(&[
        ("authorization", b"Bearer sesame"),
        ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("tracestate", b"one=1"),
        ("tracestate", b"two=2"),
        ("tenant", b"north"),
    ]);
    let mut client = BlockingClient::connect(first.local_addr()).unwrap();
    for method in ["Test/First", "Test/Alone"] {
        client.call_raw(method, b"", &with(asked.clone())).unwrap();
    }
    let heard = heard.lock().unwrap();
    let passed_on = metadata(&[
        ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("tracestate", b"one=1"),
        ("tracestate", b"two=2"),
    ]);
    assert_eq!(*heard, [passed_on, Metadata::new()]);
}
