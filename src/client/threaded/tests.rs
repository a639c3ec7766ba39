//! The client with a thread of its own, where what is to be seen cannot be seen from outside:
//! forks, panics, what is left behind.

use std::net::{SocketAddr, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;
use std::{future::Future, pin::Pin};

use super::*;
use crate::client::hook::{Ended, Hook, Starting};
use crate::client::prepare::Common;
use crate::core::{Outcome, Proof};
use crate::net::Process;
use crate::service::{CancelToken, Scope};
use crate::wire::MetadataRef;

const PATIENCE: Duration = Duration::from_secs(20);
const INCREMENT: &str = "test.Counter/Increment";
const NEVER_SENT: Outcome = Outcome::NotExecuted(Proof::NeverSent);

/// A server that never answers.
fn silent() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

#[track_caller]
fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited for {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn long() -> Options {
    Options::within(Duration::from_secs(60))
}

/// What a client is made of when there is no I/O thread.
fn without_thread(process: Process, max_waiting: usize) -> Client {
    let (_core, link, _common) = Setup::default().build().unwrap();
    let common = Common { timeout: PATIENCE, hook: None };
    let mut shared = Shared::new(link.interrupter(), link.clock(), common, max_waiting);
    shared.process = process;
    Client { handle: Arc::new(Handle { shared: Arc::new(shared) }) }
}

/// As the client's memory is in a process that was forked from another.
fn forked() -> Client {
    without_thread(Process::parent(), 10)
}

/// What is left of a client once nobody has it.
fn rest(client: &Client) -> Weak<Shared> {
    Arc::downgrade(&client.handle.shared)
}

#[test]
fn clients_and_calls_go_to_any_thread() {
    fn goes<T: Send + Sync>() {}
    goes::<Client>();
    goes::<Call>();
    goes::<Pending<Option<SessionInfo>>>();
    #[cfg(feature = "protobuf")]
    goes::<crate::client::TypedCall<u64>>();
}

#[test]
fn call_made_in_a_forked_process_ends_at_once_as_never_sent() {
    let child = forked();
    let mut call = child.call_raw(INCREMENT, b"", &long());
    assert!(call.is_finished());
    let error = call.wait_timeout(Duration::ZERO).unwrap().unwrap_err();
    assert_eq!((error.code, error.outcome), (Code::FailedPrecondition, NEVER_SENT));
    assert!(error.message.contains("forked"), "{error}");
    assert_eq!(child.ping(PATIENCE).wait().unwrap_err().outcome, NEVER_SENT);
    assert_eq!(child.info().wait(), None);
    child.close().wait();
}

#[test]
fn call_of_the_parent_is_unknown_to_a_forked_process_and_touches_no_lock() {
    let child = forked();
    let place = Place::new();
    let mut call = Call::new(Arc::clone(&place), Arc::clone(&child.handle.shared));
    // A thread that was not copied held them.
    let _locks = (child.handle.shared.lock_for_ever(), place.end.lock_for_ever());
    let error = call.wait_timeout(PATIENCE).unwrap().unwrap_err();
    assert_eq!(error.outcome, Outcome::Unknown);
    let context = &mut Context::from_waker(Waker::noop());
    assert!(matches!(Pin::new(&mut call).poll(context), Poll::Ready(Err(_))));
    assert_eq!(call.token().wait(), None);
    drop(call);
    drop(child.clone());
}

#[test]
fn queue_takes_so_many_calls_and_names_the_limit_to_the_next() {
    let client = without_thread(Process::this(), 3);
    let mut calls: Vec<_> = (0..4).map(|_| client.call_raw(INCREMENT, b"", &long())).collect();
    let error = calls.pop().unwrap().wait().unwrap_err();
    assert_eq!((error.code, error.outcome), (Code::ResourceExhausted, NEVER_SENT));
    assert_eq!(error.message, "3 calls wait to be sent already, which is the limit");
    assert!(calls.iter().all(|call| !call.is_finished()));
}

#[test]
fn client_that_nobody_has_and_nobody_waits_for_is_no_more() {
    let (_server, address) = silent();
    let client = Client::connect(address).unwrap();
    let rest = rest(&client);
    let clone = client.clone();
    let mut call = client.call_raw(INCREMENT, b"", &long());
    drop(client);
    clone.info().wait();
    drop(clone);
    assert!(call.wait_timeout(Duration::from_millis(10)).is_none(), "the call goes on");
    assert!(rest.upgrade().is_some());
    drop(call);
    wait_for("the thread to end", || rest.upgrade().is_none());
}

#[test]
fn detached_call_keeps_the_thread_until_it_ends() {
    let (server, address) = silent();
    let client = Client::connect(address).unwrap();
    let rest = rest(&client);
    client.call_raw(INCREMENT, b"", &Options::within(Duration::from_millis(300))).detach();
    drop(client);
    let mut buffer = [0; 2048];
    server.recv_from(&mut buffer).unwrap();
    wait_for("the thread to end", || rest.upgrade().is_none());
}

#[test]
fn calls_end_when_the_thread_panics_with_what_is_true_of_each() {
    let (server, address) = silent();
    let client = Client::connect(address).unwrap();
    let handed = client.call_raw(INCREMENT, b"", &long());
    server.recv_from(&mut [0; 2048]).unwrap();
    let (entered, wait) = std::sync::mpsc::channel();
    let (go_on, told) = std::sync::mpsc::channel::<()>();
    let panic: Pending<()> = Pending::ask(
        &client.handle.shared,
        || (),
        move |_, _answer| {
            entered.send(()).unwrap();
            told.recv().unwrap();
            panic!("a mistake of the library's");
        },
    );
    wait.recv().unwrap();
    let queued = client.call_raw(INCREMENT, b"", &long());
    go_on.send(()).unwrap();
    panic.wait();
    assert_eq!(handed.wait().unwrap_err().outcome, Outcome::Unknown);
    assert_eq!(queued.wait().unwrap_err().outcome, NEVER_SENT);
    let late = client.call_raw(INCREMENT, b"", &long()).wait().unwrap_err();
    assert_eq!((late.code, late.outcome), (Code::Unavailable, NEVER_SENT));
}

#[test]
fn panics_of_observers_hooks_and_wakers_end_no_thread_and_lose_no_call() {
    struct Panics;
    impl Hook for Panics {
        fn end(&self, _: &Ended<'_>) {
            panic!("the hook");
        }
    }
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("the waker");
        }
    }
    let (server, address) = silent();
    let client = Client::builder()
        .hook(Panics)
        .observer(|_| panic!("the observer"))
        .connect(address)
        .unwrap();
    let waker = Waker::from(Arc::new(Panics));
    for _ in 0..3 {
        let mut call = client.call_raw(INCREMENT, b"", &long());
        server.recv_from(&mut [0; 2048]).unwrap();
        assert!(Pin::new(&mut call).poll(&mut Context::from_waker(&waker)).is_pending());
        call.cancel();
        assert_eq!(call.wait().unwrap_err().outcome, NEVER_SENT);
    }
}

#[test]
fn waiting_on_the_clients_own_thread_is_refused_and_not_for_ever() {
    type Seen = Arc<Mutex<Vec<bool>>>;
    struct Nested(Arc<Mutex<Option<Client>>>, Seen);
    impl Hook for Nested {
        fn end(&self, _: &Ended<'_>) {
            if let Some(client) = self.0.lock().unwrap().take() {
                let call = client.call_raw(INCREMENT, b"", &long());
                let waited = catch_unwind(AssertUnwindSafe(|| call.wait()));
                self.1.lock().unwrap().push(waited.is_err());
            }
        }
    }
    let (_server, address) = silent();
    let (place, seen) = (Arc::default(), Seen::default());
    let hook = Nested(Arc::clone(&place), Arc::clone(&seen));
    let client = Client::builder().hook(hook).connect(address).unwrap();
    *place.lock().unwrap() = Some(client.clone());
    let call = client.call_raw(INCREMENT, b"", &long());
    call.cancel();
    call.wait().unwrap_err();
    assert_eq!(*seen.lock().unwrap(), [true]);
}

#[test]
fn cancellation_that_comes_while_the_call_is_being_made_is_not_lost() {
    struct Sets(CancelToken);
    impl Hook for Sets {
        fn start(&self, _: &mut Starting<'_>) {
            self.0.cancel();
        }
    }
    let (_server, address) = silent();
    let cancel = CancelToken::new();
    let client = Client::builder().hook(Sets(cancel.clone())).connect(address).unwrap();
    let scope = Scope::new(Instant::now() + PATIENCE, cancel, MetadataRef::EMPTY);
    let call = scope.enter(|| client.call_raw(INCREMENT, b"", &long()));
    let error = call.wait().unwrap_err();
    assert_eq!((error.code, error.outcome), (Code::Cancelled, NEVER_SENT), "{error}");
}

#[test]
fn token_outlives_thousands_of_calls_made_on_its_behalf_without_a_trace_of_them() {
    let (_server, address) = silent();
    let client = Client::connect(address).unwrap();
    let mut blocking = crate::client::BlockingClient::connect(address).unwrap();
    let cancel = CancelToken::new();
    let scope = Scope::new(Instant::now() + PATIENCE, cancel.clone(), MetadataRef::EMPTY);
    scope.enter(|| {
        let kept = client.call_raw(INCREMENT, b"", &long());
        for _ in 0..2000 {
            drop(client.call_raw(INCREMENT, b"", &long()));
            let handle = blocking.submit(INCREMENT, b"", &long());
            blocking.cancel(handle);
            blocking.wait(handle).unwrap_err();
        }
        // Answered after all that was handed over before.
        client.info().wait();
        wait_for("the ends of all but one", || cancel.listeners() == 1);
        drop(kept);
    });
    wait_for("the end of the last", || cancel.listeners() == 0);
}
