//! What becomes of calls whose callers go away, and of clients that nobody has any more.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use udp_rpc::core::{Outcome, Proof};
use udp_rpc::wire::{Code, Reason};

use crate::common::calls::Statistics;
use crate::common::{PATIENCE, wait_for};
use crate::stage::{ECHO, Gate, SLOW, blocking, connect, long, serve};

/// A server both of whose workers are busy, and calls that keep them so.
fn busy() -> (udp_rpc::server::Running, Gate, udp_rpc::client::Client, [udp_rpc::client::Call; 2]) {
    let (method, gate) = Gate::new();
    let server = serve([method]);
    let client = connect(&server);
    let calls = [(); 2].map(|()| {
        let call = client.call_raw(SLOW, b"busy", &long());
        assert_eq!(gate.started(), b"busy");
        call
    });
    (server, gate, client, calls)
}

#[test]
fn dropped_call_that_has_not_started_never_runs() {
    let (server, gate, client, busy) = busy();
    let queued: Vec<_> = (0..10).map(|_| client.call_raw(SLOW, b"dropped", &long())).collect();
    let mut other = blocking(&server);
    wait_for("the calls to be queued", || {
        (Statistics::read(&mut other).of("received.queued") == 12).then_some(())
    });
    drop(queued);
    wait_for("the calls to be fenced", || {
        (Statistics::read(&mut other).of("received.fence.fenced") == 10).then_some(())
    });
    // Either word may let either go on.
    gate.release.send(()).unwrap();
    gate.release.send(()).unwrap();
    for call in busy {
        assert_eq!(call.wait().unwrap().body, b"busy");
    }
    assert_eq!(gate.others(), 0);
}

#[test]
fn dropped_call_that_runs_sees_its_cancel_token() {
    let (_server, gate, _client, busy) = busy();
    drop(busy);
    gate.wait_until_cancelled(2);
}

#[test]
fn dropped_future_that_was_polled_is_fenced_too() {
    let (method, gate) = Gate::new();
    let server = serve([method]);
    let client = connect(&server);
    {
        let mut call = pin!(client.call_raw(SLOW, b"", &long()));
        let mut context = Context::from_waker(Waker::noop());
        assert!(call.as_mut().poll(&mut context).is_pending());
        gate.started();
    }
    gate.wait_until_cancelled(1);
}

#[test]
fn call_dropped_right_after_it_was_made_may_have_run_but_is_never_stuck() {
    let server = serve([]);
    let client = connect(&server);
    for _ in 0..1000 {
        drop(client.call_raw(ECHO, b"x", &long()));
    }
    assert_eq!(client.call_raw(ECHO, b"y", &long()).wait().unwrap().body, b"y");
}

#[test]
fn detached_call_goes_on_without_its_caller() {
    let (method, gate) = Gate::new();
    let server = serve([method]);
    let client = connect(&server);
    client.call_raw(SLOW, b"on its own", &long()).detach();
    drop(client);
    assert_eq!(gate.started(), b"on its own");
    gate.release.send(()).unwrap();
    let mut other = blocking(&server);
    wait_for("the handler to end", || {
        (Statistics::read(&mut other).of("workers.idle") == 2).then_some(())
    });
    assert_eq!(Statistics::read(&mut other).of("calls.cancelled"), 0);
}

#[test]
fn cancelled_call_ends_as_the_server_says() {
    let (_server, gate, client, [running, other]) = busy();
    let queued = client.call_raw(SLOW, b"queued", &long());
    // It has arrived when a later datagram of the same client has been answered.
    client.ping(PATIENCE).wait().unwrap();
    queued.cancel();
    let error = queued.wait().unwrap_err();
    assert_eq!(error.code, Code::Cancelled);
    assert_eq!(error.outcome, Outcome::NotExecuted(Proof::Promised(Reason::Fenced)));
    running.cancel();
    assert_eq!(running.wait().unwrap().body, b"busy", "it ended as its handler ended it");
    gate.wait_until_cancelled(1);
    drop(other);
}

#[test]
fn sessions_are_closed_and_the_thread_ends_when_nobody_has_the_client() {
    let server = serve([]);
    let client = connect(&server);
    assert_eq!(client.call_raw(ECHO, b"x", &long()).wait().unwrap().body, b"x");
    let clone = client.clone();
    drop(client);
    assert_eq!(clone.call_raw(ECHO, b"y", &long()).wait().unwrap().body, b"y");
    let mut other = blocking(&server);
    assert_eq!(Statistics::read(&mut other).of("sessions.closed"), 0);
    drop(clone);
    wait_for("the session to be closed", || {
        (Statistics::read(&mut other).of("sessions.closed") == 1).then_some(())
    });
}

#[test]
fn closing_is_told_when_it_is_done_and_later_calls_open_a_session_anew() {
    let server = serve([]);
    let client = connect(&server);
    for sessions in 1..=3 {
        assert_eq!(client.call_raw(ECHO, b"x", &long()).wait().unwrap().body, b"x");
        client.close().wait();
        assert_eq!(client.info().wait(), None);
        let mut other = blocking(&server);
        wait_for("the session to be closed", || {
            let statistics = Statistics::read(&mut other);
            (statistics.of("sessions.closed") == sessions * 2 - 1).then_some(())
        });
    }
}

#[test]
fn last_fence_is_sent_though_the_client_is_dropped_with_its_call() {
    let (method, gate) = Gate::new();
    let server = serve([method]);
    let client = connect(&server);
    let call = client.call_raw(SLOW, b"", &long());
    gate.started();
    drop((client, call));
    gate.wait_until_cancelled(1);
    let mut other = blocking(&server);
    wait_for("the session to be closed", || {
        (Statistics::read(&mut other).of("sessions.closed") == 1).then_some(())
    });
    // Long before the call's deadline.
    assert!(other.ping(Duration::from_secs(5)).is_ok());
}
