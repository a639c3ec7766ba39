//! Handlers that are futures, on every executor, however they end.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use udp_rpc::core::Outcome;
use udp_rpc::service::{Executor, Method, OwnedContext, Status, Task};
use udp_rpc::wire::Code;

use super::common::calls::{Statistics, within};
use super::common::{PATIENCE, wait_for};
use super::{connect, one_thread, serve};

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
