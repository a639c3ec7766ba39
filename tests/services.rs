//! Services as a library's user makes them: methods that run inline, on the pool, with a responder
//! or as futures, and what each of them is told about its call.
#![cfg(feature = "cli")]

mod common;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use common::calls::{Statistics, within};
use common::{PATIENCE, wait_for};
use udp_rpc::client::BlockingClient;
use udp_rpc::core::Outcome;
use udp_rpc::server::{Running, Server};
use udp_rpc::service::{
    Executor, Method, OwnedContext, Registry, Scope, Service, Status, Task, builtin,
};
use udp_rpc::wire::Code;

fn serve(methods: impl IntoIterator<Item = Method>) -> Running {
    let mut registry = Registry::new();
    builtin::install_standard(&mut registry).unwrap();
    for method in methods {
        registry.add(method).unwrap();
    }
    Server::builder(registry).listen("127.0.0.1:0").workers(2).bind().unwrap().spawn().unwrap()
}

fn connect(server: &Running) -> BlockingClient {
    BlockingClient::connect(server.local_addr()).unwrap()
}

/// An executor with one thread, so that a thread lost to a panic is noticed.
fn one_thread() -> Arc<dyn Executor> {
    let (tasks, queue) = smol::channel::unbounded::<Task>();
    thread::spawn(move || {
        let local = smol::LocalExecutor::new();
        smol::block_on(local.run(async {
            while let Ok(task) = queue.recv().await {
                local.spawn(task).detach();
            }
        }));
    });
    Arc::new(move |task: Task| tasks.try_send(task).unwrap())
}

/// Tells when it is dropped.
struct Told(Sender<()>);

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

/// A method whose future never ends by itself; words arrive when one begins and when one is gone.
fn endless(executor: Arc<dyn Executor>) -> (Method, Receiver<()>, Receiver<()>) {
    let (starting, started) = channel();
    let (going, gone) = channel();
    let method = Method::asynchronous("Test/Endless", executor, move |_, _| {
        let (starting, told) = (starting.clone(), Told(going.clone()));
        async move {
            let _told = told;
            starting.send(()).unwrap();
            std::future::pending().await
        }
    });
    (method, started, gone)
}

async fn double(context: OwnedContext, request: Vec<u8>) -> Result<Vec<u8>, Status> {
    context.check()?;
    Ok(request.repeat(2))
}

#[test]
fn asynchronous_handlers_run_on_any_executor() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let handle = runtime.handle().clone();
    let tokio: Arc<dyn Executor> = Arc::new(move |task: Task| drop(handle.spawn(task)));
    let smol: Arc<dyn Executor> = Arc::new(|task: Task| smol::spawn(task).detach());
    let bare: Arc<dyn Executor> = Arc::new(|task: Task| {
        thread::spawn(|| smol::block_on(task));
    });
    let methods = [("Test/Tokio", tokio), ("Test/Smol", smol), ("Test/Bare", bare)];
    let names = methods.each_ref().map(|(name, _)| *name);
    let server = serve(methods.map(|(name, on)| Method::asynchronous(name, on, double)));
    let mut client = connect(&server);
    let mut calls = Vec::new();
    for i in 0..30u8 {
        for name in names {
            calls.push((i, client.submit(name, &[i], &within(PATIENCE))));
        }
    }
    for (i, call) in calls {
        assert_eq!(client.wait(call).unwrap().body, [i, i]);
    }
}

#[test]
fn cancelled_call_drops_its_future_and_its_caller_hears_so() {
    let (method, started, gone) = endless(one_thread());
    let server = serve([method]);
    let mut client = connect(&server);
    let call = client.submit("Test/Endless", b"", &within(PATIENCE));
    wait_for("the future to begin", || {
        assert!(client.wait_timeout(call, Duration::from_millis(1)).is_none());
        started.try_recv().ok()
    });
    client.cancel(call);
    let error = client.wait(call).unwrap_err();
    assert_eq!((error.code, error.outcome), (Code::Cancelled, Outcome::Executed));
    // It was dropped before the answer was sent.
    gone.try_recv().unwrap();
}

#[test]
fn deadline_drops_a_future_that_nobody_waits_for() {
    let (method, started, gone) = endless(one_thread());
    let server = serve([method]);
    let mut client = connect(&server);
    let call = client.submit("Test/Endless", b"", &within(Duration::from_millis(300)));
    let error = client.wait(call).unwrap_err();
    assert_eq!(error.code, Code::DeadlineExceeded, "{error}");
    started.recv_timeout(PATIENCE).unwrap();
    gone.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn server_that_stops_drops_the_futures_of_calls_that_run() {
    let (method, started, gone) = endless(one_thread());
    let server = serve([method]);
    let mut client = connect(&server);
    let call = client.submit("Test/Endless", b"", &within(PATIENCE));
    wait_for("the future to begin", || {
        assert!(client.wait_timeout(call, Duration::from_millis(1)).is_none());
        started.try_recv().ok()
    });
    drop(server);
    gone.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn panic_in_a_future_is_an_executed_internal_error_and_its_thread_lives() {
    let executor = one_thread();
    let panics = Method::asynchronous("Test/Panics", Arc::clone(&executor), |_, _| async {
        panic!("in a future")
    });
    // Before there is a future, that is.
    let at_once = Method::asynchronous("Test/PanicsAtOnce", Arc::clone(&executor), |_, _| {
        if true {
            panic!("in the function that gives one");
        }
        async { Ok(vec![]) }
    });
    let server = serve([panics, at_once, Method::asynchronous("Test/Double", executor, double)]);
    let mut client = connect(&server);
    for method in ["Test/Panics", "Test/PanicsAtOnce"] {
        let error = client.call_raw(method, b"", &within(PATIENCE)).unwrap_err();
        assert_eq!((error.code, error.outcome), (Code::Internal, Outcome::Executed));
        assert!(error.message.contains("panicked"), "{error}");
    }
    let reply = client.call_raw("Test/Double", b"ab", &within(PATIENCE)).unwrap();
    assert_eq!(reply.body, b"abab");
    assert_eq!(Statistics::read(&mut client).of("handlers.panicked"), 2);
}

#[test]
fn methods_run_where_their_service_says() {
    let thread_name = || thread::current().name().unwrap_or_default().as_bytes().to_vec();
    let pooled = |name: &str| {
        Method::pooled(name, move |_, _, reply| {
            reply.extend(thread_name());
            Ok(())
        })
    };
    let service = Service::new("Test", &[])
        .method(pooled("Test/Quick"))
        .method(pooled("Test/Slow"))
        .method(pooled("Test/Elsewhere"))
        .inline(&["Quick"])
        .replace(Method::deferred("Test/Elsewhere", move |_, _, responder| {
            let builder = thread::Builder::new().name("elsewhere".into());
            builder.spawn(move || responder.respond(Ok(thread_name()))).unwrap();
        }));
    let mut registry = Registry::new();
    registry.add_service(service).unwrap();
    let server = Server::builder(registry).listen("127.0.0.1:0").bind().unwrap().spawn().unwrap();
    let mut client = connect(&server);
    for (method, thread) in [
        ("Test/Quick", "udp-rpc-server"),
        ("Test/Slow", "udp-rpc-worker"),
        ("Test/Elsewhere", "elsewhere"),
    ] {
        let reply = client.call_raw(method, b"", &within(PATIENCE)).unwrap();
        let name = String::from_utf8(reply.body).unwrap();
        assert!(name.starts_with(thread), "{method} ran on {name}");
    }
}

#[test]
fn handlers_of_every_kind_run_in_the_scope_of_their_call() {
    /// Milliseconds that the scope of this thread has left, if it is in one.
    fn left() -> Result<Vec<u8>, Status> {
        let scope = Scope::current().ok_or_else(|| Status::internal("in no scope"))?;
        let left = scope.deadline.saturating_duration_since(Instant::now());
        Ok(u32::try_from(left.as_millis()).unwrap().to_be_bytes().to_vec())
    }
    let answer = |reply: &mut Vec<u8>| left().map(|left| reply.extend(left));
    let server = serve([
        Method::inline("Test/Inline", move |_, _, reply| answer(reply)),
        Method::pooled("Test/Pooled", move |_, _, reply| answer(reply)),
        Method::deferred("Test/Deferred", |_, _, responder| responder.respond(left())),
        Method::deferred("Test/Elsewhere", |context, _, responder| {
            thread::spawn(move || {
                let outside = left().is_err();
                let inside = context.scope().enter(left);
                responder.respond(if outside { inside } else { Err(Status::internal("inside")) });
            });
        }),
        Method::asynchronous("Test/Asynchronous", one_thread(), |_, _| {
            let before = left();
            async { before.and(left()) }
        }),
    ]);
    let mut client = connect(&server);
    for method in
        ["Test/Inline", "Test/Pooled", "Test/Deferred", "Test/Elsewhere", "Test/Asynchronous"]
    {
        let reply = client.call_raw(method, b"", &within(PATIENCE)).unwrap();
        let left = u32::from_be_bytes(reply.body.try_into().unwrap());
        let left = Duration::from_millis(left.into());
        assert!(left <= PATIENCE && !left.is_zero(), "{method}: {left:?}");
    }
    assert!(Scope::current().is_none());
}
