//! The checker notices metadata of another call, and of another run.

use std::time::Duration;

use crate::core::server::CallKey;
use crate::core::{Reply, Time};
use crate::sim::clock::{Clock, Truth};
use crate::sim::oracle::{Oracle, Promise};
use crate::sim::work::{Method, Request};
use crate::wire::{CallId, Metadata, SessionId};

const CLOCK: Clock = Clock { start: Time::ZERO, error_ppm: 0 };
const AT: Truth = Truth(0);

/// Two calls, each of which has metadata.
fn two_calls(oracle: &mut Oracle) -> [Request; 2] {
    let request =
        Request { tag: 0, service: Duration::ZERO, reply_len: 20, metadata: 5, reply_metadata: 5 };
    let deadline = Time::from_micros(1_000);
    [(); 2].map(|()| oracle.called(AT, Method::Count, CLOCK, deadline, request))
}

/// Runs a call with this metadata; gives the number of the run.
fn run(oracle: &mut Oracle, request: Request, metadata: &Metadata) -> u64 {
    let key = CallKey { session: SessionId(1), call: CallId(request.tag) };
    let run = oracle.started(AT, (0, key), Method::Count, request.tag, metadata.borrow());
    oracle.finished(run);
    run
}

fn reply(request: Request, run: u64, metadata: Metadata) -> Reply {
    Reply {
        metadata,
        body: request.reply(Method::Count, run),
        attempts: 1,
        issues: 1,
        elapsed: Duration::ZERO,
        at_least_once: false,
        token: None,
    }
}

fn broken(oracle: &Oracle) -> Option<Promise> {
    oracle.violation().map(|violation| violation.promise)
}

#[test]
fn handler_with_the_metadata_of_another_call_is_noticed() {
    let mut oracle = Oracle::default();
    let [one, other] = two_calls(&mut oracle);
    run(&mut oracle, one, &one.metadata());
    assert_eq!(broken(&oracle), None);
    run(&mut oracle, other, &one.metadata());
    assert_eq!(broken(&oracle), Some(Promise::RunHasItsMetadata));
}

#[test]
fn reply_with_the_metadata_of_another_run_is_noticed() {
    let mut oracle = Oracle::default();
    let [one, other] = two_calls(&mut oracle);
    let first = run(&mut oracle, one, &one.metadata());
    let second = run(&mut oracle, other, &other.metadata());
    let right = reply(one, first, one.reply_metadata(first));
    oracle.ended(AT, one.tag, &Ok(right), AT);
    assert_eq!(broken(&oracle), None);
    let wrong = reply(other, second, one.reply_metadata(first));
    oracle.ended(AT, other.tag, &Ok(wrong), AT);
    assert_eq!(broken(&oracle), Some(Promise::OkIsThatReply));
}
