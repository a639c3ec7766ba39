//! The client on its caller's thread, where what is to be seen cannot be seen from outside: what
//! has been sent when, and forks.

use super::*;
use crate::client::hook::{Ended, Hook, Starting};
use crate::service::{CancelToken, Scope, Status};
use crate::wire::MetadataRef;

#[test]
fn calls_of_the_parent_do_not_go_on_in_a_forked_child() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    silent.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut client = BlockingClient::connect(silent.local_addr().unwrap()).unwrap();
    let options = Options::within(Duration::from_secs(60));
    let parents = client.submit("test.Counter/Increment", b"", &options);
    client.flush();
    let mut buffer = [0; 128];
    let (_, parent) = silent.recv_from(&mut buffer).unwrap();
    // As after a fork: the process is another one.
    client.process = Process::parent();
    assert_eq!(client.wait_any(), None);
    assert_eq!(client.token(parents), None);
    let childs = client.submit("test.Counter/Increment", b"", &options);
    assert_ne!(parents, childs);
    client.flush();
    let (_, child) = silent.recv_from(&mut buffer).unwrap();
    assert_ne!(parent, child, "a socket of its own");
}

#[test]
fn call_that_ended_before_its_client_was_dropped_is_told_as_it_ended() {
    struct Refuses(std::sync::mpsc::Sender<CallError>);
    impl Hook for Refuses {
        fn start(&self, call: &mut Starting<'_>) {
            let status = Status::new(Code::Unauthenticated, "no credentials");
            call.refuse(Status { details: vec![7], ..status });
        }
        fn end(&self, call: &Ended<'_>) {
            self.0.send(call.result.unwrap_err().clone()).unwrap();
        }
    }
    let (tell, told) = std::sync::mpsc::channel();
    let builder = BlockingClient::builder().hook(Refuses(tell));
    let mut client = builder.connect("127.0.0.1:9").unwrap();
    client.submit("test.Counter/Increment", b"", &Options::default());
    drop(client);
    let error = told.recv().unwrap();
    assert_eq!(error.code, Code::Unauthenticated, "{error}");
    let expected = CallError::never_sent(Code::Unauthenticated, "no credentials");
    assert_eq!(error, CallError { details: vec![7], ..expected });
    assert!(told.recv().is_err(), "told once");
}

#[test]
fn forked_child_touches_no_lock_of_the_call_inside_which_the_parent_called() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for uses_it in [true, false] {
        let mut client = BlockingClient::connect(silent.local_addr().unwrap()).unwrap();
        let cancel = CancelToken::new();
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        let scope = Scope::new(deadline, cancel.clone(), MetadataRef::EMPTY);
        scope.enter(|| client.submit("test.Counter/Increment", b"", &Options::default()));
        client.flush();
        client.process = Process::parent();
        // A thread that was not copied held it.
        let _lock = cancel.lock_for_ever();
        if uses_it {
            assert_eq!(client.wait_any(), None);
        }
        drop(client);
    }
}

/// A server that never answers, and a client of it.
fn silent() -> (std::net::UdpSocket, BlockingClient) {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    silent.set_nonblocking(true).unwrap();
    let client = BlockingClient::connect(silent.local_addr().unwrap()).unwrap();
    (silent, client)
}

/// Datagrams that have come: what is sent on a loopback has arrived.
fn arrived(silent: &std::net::UdpSocket) -> usize {
    std::iter::from_fn(|| silent.recv_from(&mut [0; 2048]).ok()).count()
}

#[test]
fn calls_are_sent_when_there_are_64_at_a_flush_and_before_a_wait() {
    let submit = |client: &mut BlockingClient| {
        client.submit("test.Counter/Increment", b"", &Options::default())
    };
    let (server, mut client) = silent();
    for _ in 1..SENT_TOGETHER {
        submit(&mut client);
    }
    assert_eq!(arrived(&server), 0);
    submit(&mut client);
    assert_eq!(arrived(&server), 1, "the HELLO that all of them need");

    let sending: [fn(&mut BlockingClient, CallHandle); 6] = [
        |client, _| client.flush(),
        |client, call| assert_eq!(client.wait_timeout(call, Duration::ZERO), None),
        |client, _| assert_eq!(client.wait_any_timeout(Duration::ZERO), None),
        |client, call| assert_eq!(client.token(call), None),
        |client, _| client.rebind(),
        |client, _| client.close(),
    ];
    for send in sending {
        let (server, mut client) = silent();
        let call = submit(&mut client);
        assert_eq!(arrived(&server), 0);
        send(&mut client, call);
        assert_eq!(arrived(&server), 1);
    }
}

#[test]
fn call_that_was_not_sent_before_a_fork_is_for_the_parent_to_send() {
    let (server, mut client) = silent();
    let submit = |client: &mut BlockingClient| {
        client.submit("test.Counter/Increment", b"", &Options::within(Duration::from_secs(60)))
    };
    submit(&mut client);
    client.process = Process::parent();
    client.flush();
    assert_eq!(client.wait_any(), None);
    assert_eq!(arrived(&server), 0);
    let childs = submit(&mut client);
    client.cancel(childs);
    assert_eq!(client.wait_any().map(|(call, _)| call), Some(childs));
    assert_eq!(client.wait_any(), None);
}

#[test]
fn ends_come_in_any_order_that_they_are_asked_for() {
    let (_server, mut client) = silent();
    let refused = Options::within(Duration::ZERO);
    let calls: Vec<_> = (0..10).map(|_| client.submit("Test/Echo", b"", &refused)).collect();
    for call in calls.iter().rev().take(5) {
        client.wait(*call).unwrap_err();
    }
    for call in &calls[..5] {
        assert_eq!(client.wait_any().map(|(call, _)| call), Some(*call));
    }
    assert_eq!(client.wait_any(), None);
}
