//! Thousands of calls at once.

use std::collections::BTreeMap;
use std::net::UdpSocket;

use udp_rpc::client::Client;
use udp_rpc::core::fault::Faults;
use udp_rpc::core::{Outcome, Proof};
use udp_rpc::wire::Code;

use crate::common::calls::{counted, increment};
use crate::common::{Daemon, PATIENCE, wait_for};
use crate::stage::{ECHO, blocking, connect, long, serve};

#[test]
fn ten_thousand_calls_are_in_flight_from_one_thread() {
    let server = serve([]);
    let client = connect(&server);
    let calls: Vec<_> =
        (0..10_000u32).map(|n| client.call_raw(ECHO, &n.to_be_bytes(), &long())).collect();
    for (n, call) in (0..10_000u32).zip(calls) {
        let reply = call.wait().unwrap();
        assert_eq!((reply.body.as_slice(), reply.issues), (n.to_be_bytes().as_slice(), 1));
    }
}

#[test]
fn calls_that_wait_are_bounded_and_the_next_one_is_told_so() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let builder = Client::builder().config(|config| config.max_waiting = 100);
    let client = builder.connect(silent.local_addr().unwrap()).unwrap();
    let mut calls: Vec<_> = (0..1000).map(|_| client.call_raw(ECHO, b"", &long())).collect();
    // Those that fit wait in the queue, or behind it in the core, each of which takes a hundred.
    let error = calls.pop().unwrap().wait().unwrap_err();
    assert_eq!(error.code, Code::ResourceExhausted);
    assert_eq!(error.outcome, Outcome::NotExecuted(Proof::NeverSent));
    assert_eq!(error.message, "100 calls wait to be sent already, which is the limit");
    wait_for("the ends of all but a hundred", || {
        (calls.iter().filter(|call| !call.is_finished()).count() == 100).then_some(())
    });
}

#[test]
fn every_increment_of_many_threads_over_a_bad_path_is_counted_once() {
    let daemon = Daemon::start();
    let faults = Faults { loss: 0.1, duplicate: 0.2, ..Faults::NONE };
    let client = Client::builder().faults(faults).connect(daemon.address()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let client = client.clone();
            scope.spawn(move || {
                let body = increment("many");
                let method = "udprpc.v1.Counter/Increment";
                let calls: Vec<_> =
                    (0..250).map(|_| client.call_raw(method, &body, &long())).collect();
                for call in calls {
                    call.wait().unwrap();
                }
            });
        }
    });
    let mut other = udp_rpc::client::BlockingClient::connect(daemon.address()).unwrap();
    assert_eq!(counted(&mut other, "many"), 1000);
}

#[test]
fn replies_go_to_the_calls_that_asked_for_them_whatever_the_order() {
    let server = serve([]);
    let client = connect(&server);
    let mut calls: BTreeMap<u32, _> =
        (0..3000).map(|n: u32| (n, client.call_raw(ECHO, &n.to_be_bytes(), &long()))).collect();
    while let Some((n, call)) =
        if calls.len() % 2 == 0 { calls.pop_last() } else { calls.pop_first() }
    {
        assert_eq!(call.wait().unwrap().body, n.to_be_bytes());
    }
    assert!(blocking(&server).ping(PATIENCE).is_ok());
}
