//! Calls as futures, on runtimes that know nothing of them, and as calls that are waited for.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use udp_rpc::client::{Client, Options};
use udp_rpc::core::{Outcome, Proof};
use udp_rpc::service::{Method, Status};
use udp_rpc::wire::{Code, Metadata, Reason};

use crate::common::PATIENCE;
use crate::stage::{DOUBLE, ECHO, Gate, SLOW, connect, long, serve};

/// The least runtime that there can be.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

/// Calls one after the other and side by side, well and badly ended.
async fn some_calls(client: Client) {
    for number in 0..20 {
        assert_eq!(client.call(&DOUBLE, &number).await, Ok(2 * number));
    }
    let calls: Vec<_> = (0..20u8).map(|byte| client.call_raw(ECHO, &[byte], &long())).collect();
    for (byte, call) in (0..).zip(calls) {
        assert_eq!(call.await.unwrap().body, [byte]);
    }
    let response = client.call_with(&DOUBLE, &21, &long()).await.unwrap();
    assert_eq!((response.message, response.issues, response.at_least_once), (42, 1, false));
    let error = client.call_raw("Test/Nothing", b"", &long()).await.unwrap_err();
    assert_eq!(error.outcome, Outcome::NotExecuted(Proof::Promised(Reason::UnknownMethod)));
    assert!(client.ping(PATIENCE).await.is_ok());
    assert!(client.info().await.is_some());
}

#[test]
fn calls_are_futures_on_tokio_with_many_threads() {
    let server = serve([]);
    let client = connect(&server);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..8).map(|_| tokio::spawn(some_calls(client.clone()))).collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[test]
fn calls_are_futures_on_smol() {
    let server = serve([]);
    let client = connect(&server);
    smol::block_on(async {
        let tasks: Vec<_> = (0..8).map(|_| smol::spawn(some_calls(client.clone()))).collect();
        for task in tasks {
            task.await;
        }
    });
}

#[test]
fn calls_are_futures_without_a_runtime() {
    let server = serve([]);
    block_on(some_calls(connect(&server)));
}

#[test]
fn calls_can_be_waited_for_from_many_threads() {
    let server = serve([]);
    let client = connect(&server);
    thread::scope(|scope| {
        for start in 0..4 {
            let client = client.clone();
            scope.spawn(move || {
                for number in (start..400).step_by(4) {
                    assert_eq!(client.call(&DOUBLE, &number).wait(), Ok(2 * number));
                }
            });
        }
    });
}

#[test]
fn wait_that_ends_early_leaves_the_call_to_be_waited_for_again() {
    let (method, gate) = Gate::new();
    let server = serve([method]);
    let client = connect(&server);
    let mut call = client.call_raw(crate::stage::SLOW, b"slow", &long());
    gate.started();
    assert!(call.wait_timeout(Duration::from_millis(20)).is_none());
    assert!(!call.is_finished());
    gate.release.send(()).unwrap();
    assert_eq!(block_on(&mut call).unwrap().body, b"slow");
    assert!(call.is_finished());
}

#[test]
fn token_of_a_call_that_can_be_sent_is_told_before_anything_else_happens() {
    let (slow, gate) = Gate::new();
    let server = serve([slow]);
    let client = connect(&server);
    // With a session, a call is sent as soon as it is taken in.
    client.call_raw(ECHO, b"", &long()).wait().unwrap();
    let call = client.call_raw(SLOW, b"", &long());
    let mut token = call.token();
    // Answered after all that was handed over before, and without a turn between.
    client.info().wait();
    let told = token.wait_timeout(Duration::ZERO);
    assert!(told.expect("told by now").is_some(), "it was sent");
    gate.release.send(()).unwrap();
    call.wait().unwrap();
}

#[test]
fn token_comes_when_the_call_has_been_sent_and_names_it() {
    let (method, gate) = Gate::new();
    let server = serve([method]);
    let client = connect(&server);
    let call = client.call_raw(crate::stage::SLOW, b"", &long());
    // Asked for before the handshake has ended.
    let token = call.token().wait().expect("a token of a call in flight");
    assert_eq!(token.server, server.local_addr());
    gate.started();
    gate.release.send(()).unwrap();
    call.wait().unwrap();
    let asked = udp_rpc::client::inquire(
        &token,
        udp_rpc::client::Asked::Status,
        PATIENCE,
        udp_rpc::core::fault::Faults::NONE,
        None,
    );
    let (status, metadata, body) = (Code::Ok, Metadata::new(), Vec::new());
    let executed = udp_rpc::client::Fate::Executed { status, metadata, body };
    assert_eq!(asked.unwrap(), executed);
}

#[test]
fn reply_that_does_not_decode_is_an_executed_internal_error_for_both_clients() {
    let broken = Method::inline("Test/Broken", |_, _, reply| {
        reply.push(0xff);
        Ok::<(), Status>(())
    });
    let server = serve([broken]);
    let method = udp_rpc::service::Unary::<u64, u64>::new("Test/Broken");
    let mut blocking = crate::stage::blocking(&server);
    for error in [
        connect(&server).call(&method, &1).wait().unwrap_err(),
        blocking.call(&method, &1).unwrap_err(),
    ] {
        assert_eq!((error.code, error.outcome), (Code::Internal, Outcome::Executed));
        assert!(error.message.contains("Test/Broken"), "{error}");
    }
}

#[test]
fn address_that_changes_leaves_calls_in_flight_what_they_are() {
    let (method, gate) = Gate::new();
    let server = serve([method]);
    let client = connect(&server);
    let call = client.call_raw(crate::stage::SLOW, b"roaming", &long());
    gate.started();
    client.rebind();
    gate.release.send(()).unwrap();
    let reply = call.wait().unwrap();
    assert_eq!((reply.body.as_slice(), reply.issues), (b"roaming".as_slice(), 1));
}

#[test]
fn call_to_a_port_on_which_nothing_listens_is_never_sent() {
    let address = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = Client::connect(address).unwrap();
    let error = client.call_raw(ECHO, b"", &Options::default()).wait().unwrap_err();
    assert_eq!(error.outcome, Outcome::NotExecuted(Proof::NeverSent));
    assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::ConnectionRefused);
}
