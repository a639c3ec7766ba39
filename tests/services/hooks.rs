//! The hook of a server: told of every call, and able to refuse it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use udp_rpc::client::{BlockingClient, Options};
use udp_rpc::core::{CallError, Outcome, Proof};
use udp_rpc::server::{Running, Server};
use udp_rpc::service::{Context, Hook, Method, Refusal, Registry, Scope, Status};
use udp_rpc::wire::{Code, FromServer, MethodId, Reason};

use super::common::PATIENCE;
use super::common::calls::within;
use super::common::raw::Peer;
use super::{connect, one_thread};

/// A server of these methods that has this hook.
fn serve(hook: impl Hook + 'static, methods: impl IntoIterator<Item = Method>) -> Running {
    let mut registry = Registry::new();
    for method in methods {
        registry.add(method).unwrap();
    }
    Server::builder(registry).workers(2).hook(hook).spawn_local().unwrap()
}

/// A method of each kind, by the same name but for its end; none is ever to run.
fn of_every_kind() -> [Method; 4] {
    [
        Method::inline("Test/Inline", |_, _, _| unreachable!()),
        Method::pooled("Test/Pooled", |_, _, _| unreachable!()),
        Method::deferred("Test/Deferred", |_, _, _| unreachable!()),
        Method::asynchronous("Test/Asynchronous", one_thread(), |_, _| async { unreachable!() }),
    ]
}

fn once() -> Options {
    Options { retry: Some(false), ..within(PATIENCE) }
}

fn error_of(client: &mut BlockingClient, method: &str) -> CallError {
    client.call_raw(method, b"", &once()).unwrap_err()
}

/// Writes down what it is told.
#[derive(Default)]
struct Recorder {
    told: Mutex<Vec<String>>,
}

impl Recorder {
    fn tell(&self, context: &Context<'_>, what: &str) {
        let scope = Scope::current().expect("it is told in the call's scope");
        assert_eq!(scope.deadline, context.deadline);
        self.told.lock().unwrap().push(format!("{} {what}", context.method));
    }
}

impl Hook for Recorder {
    fn start(&self, context: &Context<'_>) -> Result<(), Refusal> {
        self.tell(context, "starts");
        Ok(())
    }

    fn end(&self, context: &Context<'_>, code: Code, took: Duration) {
        assert!(took < PATIENCE, "{took:?}");
        self.tell(context, code.name());
    }
}

#[test]
fn each_call_that_starts_ends_once_however_its_handler_ends() {
    let recorder = Arc::new(Recorder::default());
    let (executor, panics) = (one_thread(), one_thread());
    let server = serve(
        Arc::clone(&recorder),
        [
            Method::inline("Inline/Answers", |_, _, _| Ok(())),
            Method::inline("Inline/Fails", |_, _, _| Err(Status::aborted(""))),
            Method::inline("Inline/Panics", |_, _, _| panic!("on the event loop")),
            Method::inline("Inline/SaysTooMuch", |_, _, reply| {
                reply.resize(2000, 0);
                Ok(())
            }),
            Method::pooled("Pooled/Answers", |_, _, _| Ok(())),
            Method::pooled("Pooled/Panics", |_, _, _| panic!("on the pool")),
            Method::deferred("Deferred/Answers", |_, _, responder| {
                std::thread::spawn(|| responder.respond(Ok(vec![])));
            }),
            Method::deferred("Deferred/Forgets", |_, _, _| ()),
            Method::deferred("Deferred/Panics", |_, _, _| panic!("with a responder")),
            Method::asynchronous("Asynchronous/Answers", executor, |_, _| async { Ok(vec![]) }),
            Method::asynchronous("Asynchronous/Panics", panics, |_, _| async { panic!("future") }),
        ],
    );
    let mut client = connect(&server);
    for (method, code) in [
        ("Inline/Answers", Code::Ok),
        ("Inline/Fails", Code::Aborted),
        ("Inline/Panics", Code::Internal),
        ("Inline/SaysTooMuch", Code::ResourceExhausted),
        ("Pooled/Answers", Code::Ok),
        ("Pooled/Panics", Code::Internal),
        ("Deferred/Answers", Code::Ok),
        ("Deferred/Forgets", Code::Internal),
        ("Deferred/Panics", Code::Internal),
        ("Asynchronous/Answers", Code::Ok),
        ("Asynchronous/Panics", Code::Internal),
    ] {
        let result = client.call_raw(method, b"", &once());
        assert_eq!(result.map_or_else(|error| error.code, |_| Code::Ok), code, "{method}");
        // Its end is told before its answer is sent.
        let told = std::mem::take(&mut *recorder.told.lock().unwrap());
        assert_eq!(told, [format!("{method} starts"), format!("{method} {}", code.name())]);
    }
}

#[test]
fn call_past_its_deadline_ends_for_the_hook_when_its_future_is_dropped() {
    let recorder = Arc::new(Recorder::default());
    let endless = Method::asynchronous("Test/Endless", one_thread(), |_, _| std::future::pending());
    let server = serve(Arc::clone(&recorder), [endless]);
    let brief = within(Duration::from_millis(300));
    connect(&server).call_raw("Test/Endless", b"", &brief).unwrap_err();
    super::common::wait_for("the end of the call", || {
        let told = recorder.told.lock().unwrap();
        (*told == ["Test/Endless starts", "Test/Endless DEADLINE_EXCEEDED"]).then_some(())
    });
}

/// Refuses every call.
struct Refuses(Refusal, AtomicUsize);

impl Hook for Refuses {
    fn start(&self, _: &Context<'_>) -> Result<(), Refusal> {
        self.1.fetch_add(1, Ordering::SeqCst);
        Err(self.0)
    }

    fn end(&self, context: &Context<'_>, _: Code, _: Duration) {
        panic!("{} never started", context.method);
    }
}

#[test]
fn refused_call_is_proved_not_executed_and_no_copy_of_it_runs() {
    for (refusal, reason, code) in [
        (Refusal::Unauthenticated, Reason::Unauthenticated, Code::Unauthenticated),
        (Refusal::PermissionDenied, Reason::Unauthorised, Code::PermissionDenied),
        (Refusal::RateLimited, Reason::RateLimited, Code::ResourceExhausted),
    ] {
        let hook = Arc::new(Refuses(refusal, AtomicUsize::new(0)));
        let server = serve(Arc::clone(&hook), of_every_kind());
        let mut client = connect(&server);
        for method in of_every_kind() {
            let error = error_of(&mut client, &method.name);
            assert_eq!(error.outcome, Outcome::NotExecuted(Proof::Promised(reason)), "{error}");
            assert_eq!(error.code, code);
        }

        // Nor does a duplicate, which is not even asked about again.
        let asked = hook.1.load(Ordering::SeqCst);
        let peer = Peer::new(server.local_addr());
        let offer = peer.open(1);
        let window = u64::from(offer.ack.limits.window);
        let request = offer.request(window, MethodId::of("Test/Pooled"), b"");
        for _ in 0..3 {
            let said = peer.ask(&request, |answer| match answer.message {
                FromServer::Refused { reason, promise, .. } => Some((reason, promise)),
                _ => None,
            });
            assert_eq!(said, (reason, true));
        }
        assert_eq!(hook.1.load(Ordering::SeqCst), asked + 1);
    }
}

#[test]
fn call_that_comes_too_soon_is_issued_again_and_runs_once() {
    /// Lets in every third call.
    struct Third(AtomicUsize);
    impl Hook for Third {
        fn start(&self, _: &Context<'_>) -> Result<(), Refusal> {
            match self.0.fetch_add(1, Ordering::SeqCst) % 3 {
                2 => Ok(()),
                _ => Err(Refusal::RateLimited),
            }
        }
    }
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let method = Method::inline("Test/Count", move |_, _, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        Ok(())
    });
    let server = serve(Third(AtomicUsize::new(0)), [method]);
    let reply = connect(&server).call_raw("Test/Count", b"", &within(PATIENCE)).unwrap();
    assert_eq!((reply.issues, reply.at_least_once), (3, false));
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[test]
fn call_whose_deadline_passes_in_the_hook_never_runs_and_ends_for_it_once() {
    /// Takes its time.
    struct Late(Mutex<Vec<(String, Code)>>);
    impl Hook for Late {
        fn start(&self, context: &Context<'_>) -> Result<(), Refusal> {
            while Instant::now() < context.deadline + Duration::from_millis(20) {
                std::thread::sleep(Duration::from_millis(5));
            }
            Ok(())
        }

        fn end(&self, context: &Context<'_>, code: Code, _: Duration) {
            self.0.lock().unwrap().push((context.method.to_owned(), code));
        }
    }
    let hook = Arc::new(Late(Mutex::default()));
    let server = serve(Arc::clone(&hook), of_every_kind());
    let mut client = connect(&server);
    for method in of_every_kind() {
        let brief = Options { timeout: Some(Duration::from_millis(200)), ..once() };
        let error = client.call_raw(&*method.name, b"", &brief).unwrap_err();
        assert_ne!(error.outcome, Outcome::Executed, "{error}");
        // A handler that ran would have panicked, and ended with INTERNAL.
        let end = super::common::wait_for("the end of the call", || hook.0.lock().unwrap().pop());
        assert_eq!(end, (method.name.to_string(), Code::DeadlineExceeded));
    }
    assert!(hook.0.lock().unwrap().is_empty());
}

#[test]
fn hook_that_panics_at_the_start_keeps_the_handler_from_running() {
    struct Panics;
    impl Hook for Panics {
        fn start(&self, _: &Context<'_>) -> Result<(), Refusal> {
            panic!("in a hook");
        }

        fn end(&self, context: &Context<'_>, _: Code, _: Duration) {
            panic!("{} never started", context.method);
        }
    }
    let server = serve(Panics, of_every_kind());
    let mut client = connect(&server);
    for method in of_every_kind() {
        let error = error_of(&mut client, &method.name);
        assert_eq!(
            (error.code, error.message.as_str()),
            (Code::Internal, "the server's hook panicked")
        );
    }
}

#[test]
fn hook_that_panics_at_the_end_changes_nothing() {
    struct Panics;
    impl Hook for Panics {
        fn end(&self, _: &Context<'_>, _: Code, _: Duration) {
            panic!("in a hook");
        }
    }
    let server = serve(
        Panics,
        [
            Method::inline("Test/Inline", |_, _, _| Ok(())),
            Method::pooled("Test/Pooled", |_, _, _| Ok(())),
            Method::deferred("Test/Deferred", |_, _, responder| responder.respond(Ok(vec![]))),
            // The responder is dropped in one panic, and the hook's is another.
            Method::deferred("Test/Panics", |_, _, _responder| panic!("with a responder")),
            Method::asynchronous("Test/Asynchronous", one_thread(), |_, _| async { Ok(vec![]) }),
        ],
    );
    let mut client = connect(&server);
    for _ in 0..3 {
        for method in ["Test/Inline", "Test/Pooled", "Test/Deferred", "Test/Asynchronous"] {
            client.call_raw(method, b"", &once()).unwrap();
        }
        let error = error_of(&mut client, "Test/Panics");
        assert_eq!((error.code, error.outcome), (Code::Internal, Outcome::Executed));
    }
}
