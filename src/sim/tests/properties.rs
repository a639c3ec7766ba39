//! Behaviour shown by hand, datagram by datagram.

use std::time::Duration;

use super::stage::Stage;
use crate::core::client::{Asked, ClientConfig, Fate};
use crate::core::server::ServerConfig;
use crate::core::{Outcome, Proof};
use crate::sim::work::Method;
use crate::wire::{Code, Datagram, FromClient, Kind, Reason, SessionId};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// No promise may be broken by the end.
fn fine(stage: Stage) {
    if let Some(violation) = stage.finish() {
        panic!("{violation}");
    }
}

/// A client that has had its HELLO_ACK for 40 s, all of whose PINGs were lost, and its first call,
/// whose request is held.
fn late_first_call(stage: &mut Stage) -> (usize, u64) {
    let client =
        stage.add_client(ClientConfig { ping_after_idle: None, ..ClientConfig::default() });
    stage.ping(client);
    stage.exchange_only(|held| held.kind() != Kind::Ping);
    stage.pass(s(40));
    stage.lose_all();
    let call = stage.call(client, Method::Count, s(55));
    (client, call)
}

#[test]
fn a_call_is_two_datagrams_once_the_session_lives() {
    let mut stage = Stage::new(None);
    let first = stage.call(0, Method::Count, s(10));
    stage.exchange();
    assert_eq!(stage.sent.len(), 4, "HELLO, HELLO_ACK, REQUEST, REPLY");
    let second = stage.call(0, Method::Count, s(10));
    stage.exchange();
    assert_eq!(stage.sent.len(), 6);
    assert!(stage.is_ok(first) && stage.is_ok(second));
    fine(stage);
}

#[test]
fn client_that_changes_its_port_in_mid_call_gets_its_reply_and_the_call_runs_once() {
    let mut stage = Stage::new(None);
    let call = stage.call(0, Method::Work, s(20));
    stage.exchange_only(|held| held.kind() != Kind::Request);
    let request = stage.newest(Kind::Request);
    stage.deliver(request);
    assert!(stage.claim());
    stage.begin_all();
    stage.move_client(0);
    stage.pass_fair(s(1));
    assert_eq!(stage.count(Kind::Challenge), 1);
    stage.end_job(0);
    stage.exchange();
    assert!(stage.is_ok(call), "{:?}", stage.result(call));
    assert_eq!(stage.oracle.runs_of(call), 1);
    fine(stage);
}

#[test]
fn client_never_sees_the_replies_of_another_that_had_its_address() {
    let mut stage = Stage::new(None);
    let other = stage.add_client(ClientConfig::default());
    let theirs = stage.call(0, Method::Count, s(20));
    stage.exchange_only(|held| held.kind() != Kind::Reply);
    // The other client now has the first one's address, and a call with the same call id.
    let address = stage.actors[0].address;
    stage.move_client(0);
    stage.actors[other].address = address;
    let ours = stage.call(other, Method::Count, s(20));
    stage.exchange_only(|held| held.kind() != Kind::Reply);
    for reply in 0..stage.sent.len() {
        if stage.sent[reply].kind() == Kind::Reply {
            stage.deliver(reply);
            stage.deliver(reply);
        }
    }
    assert!(stage.is_ok(ours));
    assert!(stage.result(theirs).is_none());
    stage.pass_fair(s(5));
    assert!(stage.is_ok(theirs));
    assert_eq!(stage.oracle.runs(), 2);
    fine(stage);
}

#[test]
fn handler_slower_than_the_rto_runs_once_and_its_client_does_not_drum() {
    let mut stage = Stage::new(None);
    let call = stage.call(0, Method::Work, s(55));
    stage.exchange_only(|held| held.kind() != Kind::Request);
    let request = stage.newest(Kind::Request);
    stage.deliver(request);
    assert!(stage.claim());
    stage.begin_all();
    stage.pass_fair(s(50));
    assert!(stage.result(call).is_none());
    assert!(stage.count(Kind::Progress) >= 2, "PROGRESS goes unasked, and to each duplicate");
    let copies = stage.count(Kind::Request);
    assert!((3..45).contains(&copies), "{copies} copies in fifty seconds");
    stage.end_job(0);
    stage.exchange();
    assert!(stage.is_ok(call));
    assert_eq!(stage.oracle.runs_of(call), 1);
    fine(stage);
}

#[test]
fn handler_that_runs_past_its_expiry_or_is_fenced_sees_its_cancel_token() {
    let mut stage = Stage::new(None);
    let (late, fenced) = (stage.call(0, Method::Work, s(2)), stage.call(0, Method::Work, s(20)));
    stage.exchange_without_work();
    while stage.claim() {}
    let keys: Vec<_> = stage.jobs.iter().map(|job| job.key).collect();
    stage.begin_all();
    assert!(stage.cancelled.is_empty());
    stage.pass(s(3));
    assert_eq!(stage.cancelled, [keys[0]]);
    stage.cancel(0, fenced);
    stage.exchange_without_work();
    assert_eq!(stage.cancelled, keys);
    assert!(stage.result(fenced).is_none(), "it runs, so nobody can say that it does not");
    stage.end_job(0);
    stage.end_job(0);
    stage.exchange();
    let outcome = stage.result(late).and_then(|result| result.as_ref().err()).map(|e| e.outcome);
    assert_eq!(outcome, Some(Outcome::Unknown));
    assert!(stage.is_ok(fenced), "{:?}", stage.result(fenced));
    fine(stage);
}

#[test]
fn impatient_caller_hears_in_time_and_what_it_hears_stays_true() {
    let mut stage = Stage::new(None);
    let (runs, waits) = (stage.call(0, Method::Work, s(20)), stage.call(0, Method::Work, s(20)));
    stage.exchange_without_work();
    assert!(stage.claim());
    stage.begin_all();
    stage.cancel_within(0, runs, s(1));
    // The server never hears that the other one is not wanted, and runs it later.
    stage.cancel_within(0, waits, s(1));
    stage.exchange_only(|held| held.kind() != Kind::Fence);
    stage.lose_all();
    stage.pass(s(2));
    stage.lose_all();
    for call in [runs, waits] {
        let error = stage.result(call).and_then(|result| result.as_ref().err());
        assert_eq!(error.map(|error| error.outcome), Some(Outcome::Unknown));
    }
    assert!(stage.claim());
    stage.begin_all();
    stage.end_job(0);
    stage.end_job(0);
    stage.exchange();
    assert_eq!((stage.oracle.runs_of(runs), stage.oracle.runs_of(waits)), (1, 1));
    fine(stage);
}

#[test]
fn one_progress_goes_unasked_after_two_hundred_milliseconds() {
    let mut stage = Stage::new(None);
    stage.call(0, Method::Work, s(20));
    stage.exchange_only(|held| held.kind() != Kind::Request);
    let request = stage.newest(Kind::Request);
    stage.deliver(request);
    stage.pass(ms(199));
    assert_eq!(stage.count(Kind::Progress), 0);
    stage.pass(ms(1));
    assert_eq!(stage.count(Kind::Progress), 1);
    stage.pass(s(10));
    assert_eq!(stage.count(Kind::Progress), 1);
    stage.exchange();
    fine(stage);
}

#[test]
fn idle_client_greets_a_restarted_server_with_ok() {
    let mut stage = Stage::new(None);
    stage.call(0, Method::Count, s(10));
    stage.pass_fair(s(10));
    stage.crash();
    stage.rise();
    let call = stage.call(0, Method::Count, s(10));
    stage.exchange();
    assert!(stage.is_ok(call), "{:?}", stage.result(call));
    fine(stage);
}

#[test]
fn call_that_the_server_never_received_is_proved_not_executed_by_the_unknown_session() {
    let mut stage = Stage::new(None);
    let (_, call) = late_first_call(&mut stage);
    while stage.now < stage.minted() + s(61) {
        stage.lose_all();
        stage.pass_until_sent(Kind::Request);
    }
    stage.exchange();
    let outcome = stage.result(call).and_then(|result| result.as_ref().err()).map(|e| e.outcome);
    assert_eq!(outcome, Some(Outcome::NotExecuted(Proof::UnknownSession)));
    fine(stage);
}

/// The answer is decided while the birth lives, and sent when it is dead; in between the request
/// creates the session.
#[test]
fn refusal_that_waits_to_be_sent_says_when_it_was_decided() {
    let mut stage = Stage::new(None);
    let (client, call) = late_first_call(&mut stage);
    let request = stage.newest(Kind::Request);
    let token = stage.token(client, call);
    let until = stage.minted() + s(60);
    stage.sleep(until.since(stage.now) - ms(1));
    stage.block_server(true);
    let asked = stage.ask(token, Asked::Status);
    stage.deliver(request);
    stage.sleep(ms(10));
    stage.block_server(false);
    let fate = stage.answer(asked);
    assert!(!matches!(fate, Fate::NotExecuted(_)), "{fate:?}");
    assert_eq!(stage.oracle.runs_of(call), 1);
    fine(stage);
}

#[test]
fn draining_server_finishes_what_it_has_and_refuses_the_rest_for_ever() {
    let mut stage = Stage::new(None);
    let accepted = stage.call(0, Method::Work, s(30));
    stage.exchange_only(|held| held.kind() != Kind::Request);
    let request = stage.newest(Kind::Request);
    stage.deliver(request);
    let now = stage.now;
    stage.server().drain(now);
    let refused = stage.call(0, Method::Count, s(30));
    let newer = stage.add_client(ClientConfig { retry: false, ..ClientConfig::default() });
    let refused_newer = stage.call(newer, Method::Count, s(30));
    stage.exchange();
    assert!(stage.is_ok(accepted));
    let draining = Outcome::NotExecuted(Proof::Promised(Reason::Draining));
    for call in [refused, refused_newer] {
        let error = stage.result(call).and_then(|result| result.as_ref().err());
        assert_eq!(error.map(|e| (e.outcome, e.code)), Some((draining, Code::Unavailable)));
    }
    assert!(stage.server().is_drained());
    fine(stage);
}

#[test]
fn full_session_table_says_later_and_the_same_call_runs_when_there_is_room() {
    let config = ServerConfig { max_sessions: 1, ..ServerConfig::default() };
    let mut stage = Stage::with(None, config);
    let first = stage.call(0, Method::Count, s(20));
    stage.exchange();
    let other = stage.add_client(ClientConfig::default());
    let call = stage.call(other, Method::Count, s(30));
    stage.exchange();
    assert!(stage.is_ok(first) && stage.result(call).is_none());
    stage.close(0);
    stage.pass_fair(s(20));
    assert!(stage.is_ok(call), "{:?}", stage.result(call));
    let Ok(reply) = stage.result(call).expect("it has ended") else { panic!() };
    assert_eq!(reply.issues, 1, "the same identity");
    fine(stage);
}

#[test]
fn flood_of_hellos_and_of_garbage_leaves_nothing_behind() {
    let mut stage = Stage::new(None);
    let call = stage.call(0, Method::Count, s(20));
    stage.exchange();
    let (memory, sessions) = (stage.server().memory(), stage.server().sessions());
    let mut bytes = Vec::new();
    for n in 0..50_000u32 {
        bytes.clear();
        let session = SessionId(n.into());
        let (nonce, length) = (n.into(), 128);
        let message = FromClient::Hello { session, nonce, lowest: 1, highest: 1, length };
        Datagram { attempt: 1, message }.emit(&mut bytes);
        if n % 2 == 0 {
            bytes.iter_mut().skip(4).for_each(|byte| *byte ^= 0x5A);
        }
        let from = std::net::SocketAddr::from(([10, 9, (n >> 8) as u8, n as u8], 1000));
        stage.serve(from, &bytes);
        stage.sent.truncate(100);
    }
    assert_eq!((stage.server().memory(), stage.server().sessions()), (memory, sessions));
    assert!(stage.is_ok(call));
    fine(stage);
}
