//! Metadata of calls and of their ends.

use super::*;
use crate::wire::{MAX_REQUEST_BODY, StatusBody};

fn metadata(pairs: &[(&str, &str)]) -> Metadata {
    let mut metadata = Metadata::new();
    for (key, value) in pairs {
        metadata.append(key, value).expect("a pair that can be sent");
    }
    metadata
}

/// Metadata whose option takes this many bytes, a multiple of four.
fn of_length(option: usize) -> Metadata {
    metadata(&[("a", &"x".repeat(option - 6))])
}

fn told(sent: &Sent) -> &Metadata {
    let What::Request { metadata, .. } = &sent.what else { panic!("{sent:?}") };
    metadata
}

fn answer(bench: &mut Bench, to: &Sent, status: Code, metadata: &Metadata, body: &[u8]) {
    let (session, call) = to.ids();
    let message = FromServer::Reply {
        session,
        call,
        clock: bench.clock(),
        hold_us: 0,
        credit: 0,
        status,
        flags: Flags::WHOLE,
        cell: 0,
        metadata: metadata.borrow(),
        body,
    };
    bench.deliver(to.to, to.attempt, message);
}

#[test]
fn every_copy_carries_the_metadata_of_the_call() {
    let mut bench = Bench::new(ClientConfig::default());
    let tenant = metadata(&[("tenant", "north")]);
    let call = bench.make(10 * SECOND, |call| call.metadata = tenant.clone());
    bench.shake();
    let first = bench.one();
    bench.challenge(&first, PathProof { issued: 2000, mac: 9 });
    let challenged = bench.one();
    let late = bench.next_sent();
    for sent in [&first, &challenged, &late] {
        assert_eq!(told(sent), &tenant);
    }
    // A new issue after a refusal that proves it never runs, too.
    bench.refuse(&late, Reason::Overloaded, true);
    let again = bench.next_sent();
    assert_ne!(again.ids(), first.ids());
    assert_eq!(told(&again), &tenant);
    bench.reply(&again, b"");
    assert_eq!(bench.ended(call).unwrap().metadata, Metadata::new());
}

#[test]
fn reply_and_executed_error_come_with_their_metadata() {
    let mut bench = Bench::settled();
    let cost = metadata(&[("cost", "7"), ("cost", "8")]);
    let call = bench.call(10 * SECOND);
    let request = bench.one();
    answer(&mut bench, &request, Code::Ok, &cost, b"body");
    let reply = bench.ended(call).unwrap();
    assert_eq!((reply.metadata, &reply.body[..]), (cost.clone(), &b"body"[..]));

    let call = bench.call(10 * SECOND);
    let request = bench.one();
    let mut body = Vec::new();
    StatusBody { message: "no".into(), details: b"d" }.emit(&mut body, 100);
    answer(&mut bench, &request, Code::Aborted, &cost, &body);
    let error = bench.failed(call);
    assert_eq!((error.outcome, error.metadata), (Outcome::Executed, cost));
    assert_eq!((&error.message[..], &error.details[..]), ("no", &b"d"[..]));
}

#[test]
fn errors_that_no_run_has_answered_have_no_metadata() {
    let mut bench = Bench::settled();
    let call = bench.make(10 * SECOND, |call| call.metadata = metadata(&[("tenant", "north")]));
    let request = bench.one();
    bench.refuse(&request, Reason::Unauthenticated, true);
    let error = bench.failed(call);
    assert_eq!(
        (error.code, error.outcome),
        (Code::Unauthenticated, promised(Reason::Unauthenticated))
    );
    assert_eq!(error.metadata, Metadata::new());
}

#[test]
fn request_too_long_with_its_metadata_is_refused_at_once_by_name() {
    let mut bench = Bench::settled();
    let mut made = |option: usize, body: usize| {
        let call = bench.make(10 * SECOND, |call| {
            call.metadata = of_length(option);
            call.body = vec![0; body];
        });
        (call, bench.sent().len(), bench.end_of(call))
    };
    let (_, sent, end) = made(900, MAX_REQUEST_BODY - 900);
    assert_eq!((sent, end), (1, None));
    let (_, sent, end) = made(900, MAX_REQUEST_BODY - 899);
    let error = end.unwrap().unwrap_err();
    assert_eq!((sent, error.outcome), (0, Outcome::NotExecuted(Proof::NeverSent)));
    assert_eq!(error.code, Code::ResourceExhausted);
    assert_eq!(
        error.message,
        "the request is 253 bytes long, with 900 of metadata; one datagram takes 1152"
    );
}

#[test]
fn servers_limit_for_a_datagram_is_for_metadata_and_message_together() {
    let mut bench = Bench::new(ClientConfig::default());
    bench.limits.longest_datagram = 580;
    bench.limits.longest_request = 400;
    bench.settle();
    let mut made = |option: usize, body: usize| {
        let call = bench.make(10 * SECOND, |call| {
            call.metadata = of_length(option);
            call.body = vec![0; body];
        });
        bench.sent();
        bench.end_of(call).map(|end| end.unwrap_err().message)
    };
    assert_eq!(made(100, 400), None, "the limit for a message is for the message");
    let refused = "the request is 401 bytes long, with 100 of metadata; the server takes 400";
    assert_eq!(made(100, 401).as_deref(), Some(refused));
    let refused = "the request is 400 bytes long, with 104 of metadata; the server takes 500";
    assert_eq!(made(104, 400).as_deref(), Some(refused));
}

#[test]
fn inquiry_brings_the_metadata_of_the_reply() {
    let mut bench = Bench::settled();
    let call = bench.call(10 * SECOND);
    let request = bench.one();
    let token = bench.client.token(call).expect("it has been sent");
    let deadline = bench.now + SECOND;
    let mut inquiry = Inquiry::new(bench.now, token, Asked::Status, deadline, Seed::from_number(1));
    let (session, call) = request.ids();
    let cost = metadata(&[("cost", "7")]);
    let message = FromServer::Reply {
        session,
        call,
        clock: bench.clock(),
        hold_us: 0,
        credit: 0,
        status: Code::Ok,
        flags: Flags::WHOLE,
        cell: 0,
        metadata: cost.borrow(),
        body: b"seven",
    };
    let mut out = Vec::new();
    Datagram { attempt: 1, message }.emit(&mut out);
    inquiry.handle_datagram(bench.now, request.to, &out);
    let fate = Fate::Executed { status: Code::Ok, metadata: cost, body: b"seven".to_vec() };
    assert_eq!(inquiry.fate(), Some(fate));
}
