//! Calls over a network that loses and duplicates: each runs once, and its caller gets that run's
//! reply.
#![cfg(feature = "cli")]

mod common;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use common::Daemon;
use common::calls::{Statistics, counted, increment, within};
use udp_rpc::client::BlockingClient;
use udp_rpc::core::fault::Faults;
use udp_rpc::service::generated::v1::counter::INCREMENT;
use udp_rpc::service::generated::v1::echo::ECHO;

/// Calls in flight.
const IN_FLIGHT: usize = 64;

/// What the caller grants each call.
const DEADLINE: Duration = Duration::from_secs(60);

fn faults() -> Faults {
    Faults { loss: 0.3, duplicate: 0.2, ..Faults::NONE }
}

/// Makes this many increments through a path with these faults, all of which must succeed and be
/// counted once. When the increments run out, echoes keep as many calls in flight: the last of
/// them would else be alone with a backoff that doubles in every silence, and at half of all
/// round trips lost one in some hundred runs would see a minute go by.
fn increments(calls: usize, faults: Faults) {
    let daemon = Daemon::start();
    let start = Instant::now();
    let mut client = BlockingClient::builder().faults(faults).connect(daemon.address()).unwrap();
    let mut values = BTreeSet::new();
    let mut echoes = BTreeSet::new();
    let (mut submitted, mut attempts, mut most) = (0, 0, 0);
    while values.len() < calls {
        while submitted - values.len() + echoes.len() < IN_FLIGHT {
            if submitted < calls {
                client.submit(&INCREMENT, &increment("all"), &within(DEADLINE));
                submitted += 1;
            } else {
                echoes.insert(client.submit(&ECHO, &[], &within(DEADLINE)));
            }
        }
        let (handle, result) = client.wait_any().unwrap();
        if echoes.remove(&handle) {
            continue;
        }
        let reply = result.unwrap_or_else(|error| panic!("call {}: {error}", values.len()));
        assert!(!reply.at_least_once && reply.issues == 1);
        attempts += reply.attempts;
        most = most.max(reply.attempts);
        let value = INCREMENT.decode_reply(&reply.body).unwrap().value;
        assert!(values.insert(value), "two increments were answered {value}");
    }
    let took = start.elapsed();
    client.close();

    let mut auditor = BlockingClient::connect(daemon.address()).unwrap();
    assert_eq!(counted(&mut auditor, "all"), calls as u64);
    let statistics = Statistics::read(&mut auditor);
    statistics.check_sum();
    println!(
        "{calls} increments in {took:.1?}, {:.0} a second; {attempts} attempts, {:.2} a call, at \
         most {most}; the server suppressed {} duplicates",
        calls as f64 / took.as_secs_f64(),
        f64::from(attempts) / calls as f64,
        statistics.sum("received.duplicate."),
    );
}

#[test]
fn increments_over_a_lossy_duplicating_path_are_each_counted_once() {
    increments(1_000, faults());
}

/// The whole of it; the simulator makes the same in virtual time in every test run.
#[test]
#[ignore = "takes half a minute"]
fn ten_thousand_increments_over_a_lossy_duplicating_path_are_each_counted_once() {
    increments(10_000, faults());
}

#[test]
fn increments_over_a_clean_path_take_one_attempt_each_or_little_more() {
    increments(2_000, Faults::NONE);
}
