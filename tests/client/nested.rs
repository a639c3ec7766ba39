//! Calls that handlers make on behalf of those that they serve: what passes on, to three kinds of
//! handlers with two clients.

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use udp_rpc::client::{BlockingClient, Client, Options};
use udp_rpc::core::{CallError, Outcome, Proof, Reply};
use udp_rpc::server::Running;
use udp_rpc::service::{CancelToken, Executor, Method, Scope, Status, Task};
use udp_rpc::wire::{Code, Metadata, MetadataRef};

use crate::common::PATIENCE;
use crate::stage::{Gate, LONG, SLOW, blocking, connect, long, serve};

/// How a handler makes its call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// On the pool, with a client on its own thread.
    Blocking,
    /// On the pool, with a shared client.
    Waiting,
    /// In a future, with a shared client.
    Awaiting,
}

const KINDS: [Kind; 3] = [Kind::Blocking, Kind::Waiting, Kind::Awaiting];

type Ended = Result<Reply, CallError>;

fn smol() -> Arc<dyn Executor> {
    Arc::new(|task: Task| smol::spawn(task).detach())
}

/// A method that passes its request on to `next`, the same method of another server; how that
/// ended is told too, unless the handler was dropped before.
fn relay(kind: Kind, next: SocketAddr, options: Options) -> (Method, Receiver<Ended>) {
    let (tell, told) = channel::<Ended>();
    let pass_back = |ended: Ended, reply: &mut Vec<u8>| {
        reply.extend(ended.map_err(|error| Status::new(error.code, error.message))?.body);
        Ok(())
    };
    let shared = Client::connect(next).unwrap();
    let method = match kind {
        Kind::Blocking => Method::pooled(SLOW, move |_, request, reply| {
            let mut client = BlockingClient::connect(next).unwrap();
            let ended = client.call_raw(SLOW, request, &options);
            tell.send(ended.clone()).unwrap();
            pass_back(ended, reply)
        }),
        Kind::Waiting => Method::pooled(SLOW, move |_, request, reply| {
            let ended = shared.call_raw(SLOW, request, &options).wait();
            tell.send(ended.clone()).unwrap();
            pass_back(ended, reply)
        }),
        Kind::Awaiting => Method::asynchronous(SLOW, smol(), move |_, request| {
            let (shared, options, tell) = (shared.clone(), options.clone(), tell.clone());
            async move {
                let ended = shared.call_raw(SLOW, &request, &options).await;
                tell.send(ended.clone()).unwrap();
                let mut reply = Vec::new();
                pass_back(ended, &mut reply)?;
                Ok(reply)
            }
        }),
    };
    (method, told)
}

/// A server that relays to `next`.
fn relaying(kind: Kind, next: SocketAddr, options: Options) -> (Running, Receiver<Ended>) {
    let (method, told) = relay(kind, next, options);
    (serve([method]), told)
}

/// A server whose method tells how long its caller still waits, µs.
fn clock() -> Running {
    serve([Method::pooled(SLOW, |context, _, reply| {
        let left = u64::try_from(context.remaining().as_micros()).unwrap();
        reply.extend(left.to_be_bytes());
        Ok(())
    })])
}

#[test]
fn call_on_behalf_of_another_waits_no_longer_than_that_one_has_left() {
    let inner = clock();
    for kind in KINDS {
        let patient = Options::within(Duration::from_secs(60));
        let (outer, _told) = relaying(kind, inner.local_addr(), patient);
        let mut client = blocking(&outer);
        let timeout = Duration::from_secs(15);
        let reply = client.call_raw(SLOW, b"", &Options::within(timeout)).unwrap();
        let left = Duration::from_micros(u64::from_be_bytes(reply.body.try_into().unwrap()));
        assert!(left <= timeout, "{kind:?}: {left:?}");
        assert!(left > Duration::ZERO);
    }
}

#[test]
fn call_on_behalf_of_another_may_wait_shorter() {
    let inner = clock();
    for kind in KINDS {
        let own = Duration::from_secs(5);
        let (outer, _told) = relaying(kind, inner.local_addr(), Options::within(own));
        let reply = blocking(&outer).call_raw(SLOW, b"", &long()).unwrap();
        let left = Duration::from_micros(u64::from_be_bytes(reply.body.try_into().unwrap()));
        assert!(left <= own, "{kind:?}: {left:?}");
    }
}

#[test]
fn detached_call_takes_its_own_deadline() {
    let inner = clock();
    for kind in KINDS {
        let own = Options { detached: true, ..Options::within(Duration::from_secs(60)) };
        let (outer, _told) = relaying(kind, inner.local_addr(), own);
        let reply = blocking(&outer).call_raw(SLOW, b"", &long()).unwrap();
        let left = Duration::from_micros(u64::from_be_bytes(reply.body.try_into().unwrap()));
        assert!(left > LONG, "{kind:?}: {left:?}");
    }
}

#[test]
fn handler_that_calls_a_silent_server_is_back_by_its_own_deadline() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    for kind in [Kind::Blocking, Kind::Waiting] {
        let patient = Options::within(Duration::from_secs(3600));
        let (outer, told) = relaying(kind, silent.local_addr().unwrap(), patient);
        let options = Options::within(Duration::from_millis(200));
        blocking(&outer).call_raw(SLOW, b"", &options).unwrap_err();
        let error = told.recv_timeout(PATIENCE).unwrap().unwrap_err();
        assert_eq!(error.outcome, Outcome::NotExecuted(Proof::NeverSent), "{kind:?}: {error}");
        assert!(matches!(error.code, Code::DeadlineExceeded | Code::Cancelled), "{error}");
    }
}

#[test]
fn cancellation_goes_down_a_chain_of_servers() {
    for kind in KINDS {
        let (method, gate) = Gate::new();
        let inner = serve([method]);
        let (middle, _) = relaying(kind, inner.local_addr(), long());
        let (outer, _) = relaying(kind, middle.local_addr(), long());
        let client = connect(&outer);
        let call = client.call_raw(SLOW, b"down", &long());
        assert_eq!(gate.started(), b"down");
        drop(call);
        gate.wait_until_cancelled(1);
    }
}

#[test]
fn handler_that_waits_for_another_server_is_told_of_its_cancellation() {
    for kind in [Kind::Blocking, Kind::Waiting] {
        let (method, gate) = Gate::new();
        let inner = serve([method]);
        let (outer, told) = relaying(kind, inner.local_addr(), long());
        let client = connect(&outer);
        let call = client.call_raw(SLOW, b"x", &long());
        gate.started();
        call.cancel();
        // It ran, and ended as its handler ended it, here and there.
        assert_eq!(told.recv_timeout(PATIENCE).unwrap().unwrap().body, b"x", "{kind:?}");
        assert_eq!(call.wait().unwrap().body, b"x");
        gate.wait_until_cancelled(1);
    }
}

#[test]
fn handler_waits_not_long_for_a_callee_that_does_not_hear_of_cancellation() {
    for kind in [Kind::Blocking, Kind::Waiting] {
        let (starting, started) = channel::<()>();
        let (release, released) = channel::<()>();
        let (starting, released) = (Mutex::new(starting), Mutex::new(released));
        let inner = serve([Method::pooled(SLOW, move |_, _, _| {
            starting.lock().unwrap().send(()).unwrap();
            released.lock().unwrap().recv().unwrap();
            Ok(())
        })]);
        let (outer, told) = relaying(kind, inner.local_addr(), long());
        let client = connect(&outer);
        let call = client.call_raw(SLOW, b"", &long());
        started.recv_timeout(PATIENCE).unwrap();
        drop(call);
        // The callee is let go on only after this has been told.
        let error = told.recv_timeout(PATIENCE).unwrap().unwrap_err();
        assert_eq!((error.code, error.outcome), (Code::Cancelled, Outcome::Unknown), "{kind:?}");
        assert!(error.message.starts_with("cancellation not confirmed"), "{error}");
        assert!(error.token.is_some());
        release.send(()).unwrap();
    }
}

#[test]
fn detached_call_goes_on_when_the_one_that_made_it_is_cancelled() {
    for kind in [Kind::Blocking, Kind::Waiting] {
        let (method, gate) = Gate::new();
        let inner = serve([method]);
        let options = Options { detached: true, ..long() };
        let (outer, told) = relaying(kind, inner.local_addr(), options);
        let client = connect(&outer);
        let call = client.call_raw(SLOW, b"on its own", &long());
        gate.started();
        call.cancel();
        // It has been told when a later datagram of the same client has been answered.
        client.ping(PATIENCE).wait().unwrap();
        gate.release.send(()).unwrap();
        assert_eq!(told.recv_timeout(PATIENCE).unwrap().unwrap().body, b"on its own", "{kind:?}");
        gate.wait_until_cancelled(0);
    }
}

/// A method that makes a call once nobody waits for it any more: a word when it begins, and how
/// that call ended.
fn too_late(next: SocketAddr, kind: Kind) -> (Method, Receiver<()>, Receiver<Ended>) {
    let (starting, started) = channel();
    let (tell, told): (Sender<Ended>, _) = channel();
    let shared = Client::connect(next).unwrap();
    let method = Method::pooled("Test/Late", move |context, _, _| {
        starting.send(()).unwrap();
        assert!(context.cancel.wait_timeout(PATIENCE), "cancelled, or past its deadline");
        let ended = match kind {
            Kind::Blocking => BlockingClient::connect(next).unwrap().call_raw(SLOW, b"", &long()),
            _ => shared.call_raw(SLOW, b"", &long()).wait(),
        };
        tell.send(ended).unwrap();
        Ok(())
    });
    (method, started, told)
}

#[test]
fn call_on_behalf_of_one_that_nobody_waits_for_is_never_sent() {
    for kind in [Kind::Blocking, Kind::Waiting] {
        let (method, gate) = Gate::new();
        let inner = serve([method]);
        let (method, started, told) = too_late(inner.local_addr(), kind);
        let outer = serve([method]);
        let client = connect(&outer);
        let check = |ended: Ended| {
            let error = ended.unwrap_err();
            assert_eq!(error.outcome, Outcome::NotExecuted(Proof::NeverSent), "{kind:?}: {error}");
            assert_eq!((error.attempts, error.issues), (0, 0));
            assert!(error.message.contains("on whose behalf"), "{error}");
        };

        let call = client.call_raw("Test/Late", b"", &long());
        started.recv_timeout(PATIENCE).unwrap();
        call.cancel();
        check(told.recv_timeout(PATIENCE).unwrap());

        // A deadline that passes while the handler runs, however long it takes to begin.
        let mut patience = Duration::from_millis(100);
        while client.call_raw("Test/Late", b"", &Options::within(patience)).wait().is_ok()
            || started.try_recv().is_err()
        {
            patience *= 2;
        }
        check(told.recv_timeout(PATIENCE).unwrap());
        assert_eq!(gate.others(), 0);
    }
}

#[test]
fn cancellation_of_a_call_ends_no_wait_for_another() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut client = BlockingClient::connect(silent.local_addr().unwrap()).unwrap();
    let cancel = CancelToken::new();
    let scope = Scope::new(Instant::now() + PATIENCE, cancel.clone(), MetadataRef::EMPTY);
    let nested = scope.enter(|| client.submit(SLOW, b"", &long()));
    let other = client.submit(SLOW, b"", &long());
    client.flush();
    cancel.cancel();
    let (begun, patience) = (Instant::now(), Duration::from_millis(100));
    assert!(client.wait_timeout(other, patience).is_none());
    assert!(begun.elapsed() >= patience);
    assert_eq!(client.wait(nested).unwrap_err().code, Code::Cancelled);
    // What does end it is asked for.
    client.interrupter().interrupt();
    assert!(client.wait_timeout(other, PATIENCE).is_none());
    assert!(begun.elapsed() < PATIENCE);
}

/// Keys and values of metadata, as text.
fn pairs(metadata: &Metadata) -> BTreeSet<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    metadata.iter().map(|(key, value)| (key.to_owned(), text(value))).collect()
}

/// A server whose method tells what came with its call, as its reply's metadata.
fn mirror() -> Running {
    serve([Method::inline(SLOW, |context, _, _| {
        for (key, value) in context.metadata.iter() {
            context.reply_metadata.append(key, value).unwrap();
        }
        Ok(())
    })])
}

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const OTHER: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";

#[test]
fn trace_context_passes_on_and_credentials_do_not() {
    let inner = mirror();
    let mut asked = long();
    asked.metadata.insert("traceparent", PARENT).unwrap();
    asked.metadata.insert("tracestate", "rojo=00f067aa0ba902b7").unwrap();
    asked.metadata.insert("authorization", "Bearer secret").unwrap();
    let mut own = long();
    own.metadata.insert("traceparent", OTHER).unwrap();
    own.metadata.insert("tenant", "north").unwrap();
    let detached = Options { detached: true, ..long() };
    for kind in KINDS {
        let seen = |options: &Options| {
            let (outer, told) = relaying(kind, inner.local_addr(), options.clone());
            blocking(&outer).call_raw(SLOW, b"", &asked).unwrap();
            pairs(&told.recv_timeout(PATIENCE).unwrap().unwrap().metadata)
        };
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let state = pair("tracestate", "rojo=00f067aa0ba902b7");
        assert_eq!(seen(&long()), [pair("traceparent", PARENT), state.clone()].into(), "{kind:?}");
        let expected = [pair("traceparent", OTHER), pair("tenant", "north"), state];
        assert_eq!(seen(&own), expected.into(), "{kind:?}");
        assert_eq!(seen(&detached), [].into(), "{kind:?}");
    }
}

#[test]
fn call_that_fills_its_datagram_is_made_without_a_trace_context() {
    let inner = serve([Method::inline(SLOW, |context, request, reply| {
        assert!(context.metadata.is_empty());
        reply.extend(request.len().to_be_bytes());
        Ok(())
    })]);
    let client = connect(&inner);
    let outer = serve([Method::pooled(SLOW, move |_, _, reply| {
        let full = vec![0; udp_rpc::wire::MAX_REQUEST_BODY];
        let ended = client.call_raw(SLOW, &full, &long()).wait();
        reply.extend(ended.map_err(|error| Status::internal(error.message))?.body);
        Ok(())
    })]);
    let mut asked = long();
    asked.metadata.insert("traceparent", PARENT).unwrap();
    let reply = blocking(&outer).call_raw(SLOW, b"", &asked).unwrap();
    assert_eq!(reply.body, udp_rpc::wire::MAX_REQUEST_BODY.to_be_bytes());
}
