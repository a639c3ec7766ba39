//! Negative controls: each rule without which, by the models, a promise breaks, is dropped, and the
//! checker must notice. The same scenario with all rules must break nothing.
//!
//! Each scenario is the counterexample: which datagrams are delivered, which are held back and
//! arrive later, who sleeps, moves, closes or restarts in between.

use std::time::Duration;

use super::stage::Stage;
use crate::core::Rule;
use crate::core::client::{Asked, ClientConfig, Fate};
use crate::core::server::ServerConfig;
use crate::sim::clock::Truth;
use crate::sim::oracle::{Promise, Violation};
use crate::sim::work::Method;
use crate::wire::Kind;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// With every rule the scenario breaks nothing; without this one it breaks that promise.
fn control(rule: Rule, scenario: impl Fn(Option<Rule>) -> Option<Violation>, broken: Promise) {
    if let Some(violation) = scenario(None) {
        panic!("with every rule: {violation}");
    }
    match scenario(Some(rule)) {
        Some(violation) if violation.promise == broken => {}
        Some(violation) => panic!("without {rule:?} another promise breaks: {violation}"),
        None => panic!("without {rule:?} the checker notices nothing"),
    }
}

fn window_of_two() -> ServerConfig {
    ServerConfig { window: 2, ..ServerConfig::default() }
}

/// The queue is full as the call arrives: it is refused. A duplicate arrives when it is not.
#[test]
fn refusal_recorded_before_it_is_said_with_promise() {
    let scenario = |rule| {
        let config = ServerConfig { max_queued: 1, ..ServerConfig::default() };
        let mut stage = Stage::with(rule, config);
        let waiting = stage.call(0, Method::Work, s(30));
        stage.exchange_only(|held| held.kind() != Kind::Request);
        let first = stage.newest(Kind::Request);
        stage.deliver(first);
        stage.call(0, Method::Work, s(30));
        let request = stage.newest(Kind::Request);
        stage.deliver(request);
        let refusal = stage.newest(Kind::Refused);
        stage.deliver(refusal);
        stage.work();
        stage.deliver(request);
        stage.exchange();
        assert!(stage.is_ok(waiting));
        stage.finish()
    };
    control(Rule::RefusalRecorded, scenario, Promise::NotExecutedNeverRuns);
}

/// A call runs, its reply is lost, the server restarts, and the next copy finds a new life.
#[test]
fn no_implicit_sessions() {
    let scenario = |rule| {
        let mut stage = Stage::new(rule);
        stage.call(0, Method::Count, s(30));
        stage.exchange();
        stage.call(0, Method::Count, s(30));
        let request = stage.newest(Kind::Request);
        stage.deliver(request);
        stage.lose_all();
        stage.crash();
        stage.rise();
        stage.pass_fair(s(30));
        stage.finish()
    };
    control(Rule::NoImplicitSessions, scenario, Promise::OneRunPerCall);
}

/// A client whose session is twenty seconds old and unknown to the server: its pings were lost. It
/// calls without pinging first.
fn with_an_unborn_session(rule: Option<Rule>) -> (Stage, usize) {
    let mut stage = Stage::new(rule);
    let config = ClientConfig { ping_after_idle: None, retry: false, ..ClientConfig::default() };
    let client = stage.add_client(config);
    stage.ping(client);
    stage.exchange_only(|held| held.kind() != Kind::Ping);
    stage.pass(s(20));
    stage.lose_all();
    (stage, client)
}

/// The client moves, so that its session is created late in the life of its birth, by a request
/// with a younger path. The session is closed, and a duplicate of that request comes when neither
/// the tombstone nor the birth is there, but the path still is.
#[test]
fn birth_dies_before_its_session_may_end() {
    let scenario = |rule| {
        let (mut stage, client) = with_an_unborn_session(rule);
        stage.move_client(client);
        let call = stage.call(client, Method::Count, s(55));
        let request = stage.newest(Kind::Request);
        stage.deliver(request);
        let challenge = stage.newest(Kind::Challenge);
        stage.deliver(challenge);
        let creates = stage.newest(Kind::Request);
        stage.exchange();
        assert!(stage.is_ok(call), "{:?}", stage.result(call));
        stage.close(client);
        stage.exchange();
        stage.pass_fair(s(45));
        stage.deliver(creates);
        stage.finish()
    };
    control(Rule::BirthDies, scenario, Promise::OneRunPerIdentity);
}

/// A client moves, so that a request carries a challenge's path and no birth. When the session has
/// been closed, a duplicate of that request arrives.
#[test]
fn only_a_birth_creates_never_a_path() {
    let scenario = |rule| {
        let mut stage = Stage::new(rule);
        stage.call(0, Method::Count, s(30));
        stage.exchange();
        stage.pass_fair(s(59));
        stage.call(0, Method::Count, s(30));
        stage.exchange();
        stage.move_client(0);
        let call = stage.call(0, Method::Count, s(30));
        stage.exchange();
        let request = stage.newest(Kind::Request);
        assert!(stage.is_ok(call), "{:?}", stage.result(call));
        stage.close(0);
        stage.exchange();
        stage.pass_fair(s(5));
        stage.deliver(request);
        stage.finish()
    };
    control(Rule::OnlyBirthCreates, scenario, Promise::OneRunPerIdentity);
}

/// Two copies of a HELLO are answered far apart. If both answers offer the same session, the late
/// one gives it a second birth, which outlives the first's tombstone.
#[test]
fn every_hello_ack_mints_a_new_session() {
    let scenario = |rule| {
        let (mut stage, client) = with_an_unborn_session(rule);
        let hello = stage.newest(Kind::Hello);
        let call = stage.call(client, Method::Count, s(55));
        let request = stage.newest(Kind::Request);
        stage.deliver(request);
        stage.lose_all();
        stage.deliver(hello);
        let late = stage.newest(Kind::HelloAck);
        stage.deliver(late);
        stage.pass_until_sent(Kind::Request);
        let request = stage.newest(Kind::Request);
        stage.exchange();
        assert!(stage.is_ok(call), "{:?}", stage.result(call));
        stage.close(client);
        stage.exchange();
        stage.pass_fair(s(45));
        stage.deliver(request);
        stage.finish()
    };
    control(Rule::HelloAckMints, scenario, Promise::OneRunPerIdentity);
}

/// The first copy is lost. If the next ones carry no proofs, nothing ever creates the session, and
/// the call of a fair world does not end Ok.
#[test]
fn proofs_travel_until_answered_from_inside() {
    let scenario = |rule| {
        let mut stage = Stage::new(rule);
        stage.oracle.fair_from = Some(Truth(0));
        stage.call(0, Method::Count, s(30));
        stage.exchange_only(|held| held.kind() != Kind::Request);
        stage.lose_all();
        stage.pass_fair(s(30));
        stage.finish()
    };
    control(Rule::ProofsUntilAnswered, scenario, Promise::FairWorldIsOk);
}

/// The first copy is slow. Somebody with the token asks, is told that the session is unknown, and
/// must not conclude that the call never runs: the copy that creates the session is under way.
#[test]
fn unknown_session_proves_nothing_while_the_birth_lives() {
    let scenario = |rule| {
        let mut stage = Stage::new(rule);
        let call = stage.call(0, Method::Count, s(30));
        stage.exchange_only(|held| held.kind() != Kind::Request);
        let request = stage.newest(Kind::Request);
        let token = stage.token(0, call);
        stage.inquire(token, Asked::Status);
        stage.deliver(request);
        stage.exchange();
        assert!(stage.is_ok(call));
        stage.finish()
    };
    control(Rule::UnknownProvesAfterBirth, scenario, Promise::NotExecutedNeverRuns);
}

/// A call runs, everybody sleeps for longer than the lease, and somebody with the token asks.
#[test]
fn unknown_session_proves_nothing_once_the_lease_could_have_ended() {
    let scenario = |rule| {
        let mut stage = Stage::new(rule);
        let call = stage.call(0, Method::Count, s(30));
        stage.exchange_only(|held| held.kind() != Kind::Request);
        let token = stage.token(0, call);
        stage.exchange_only(|held| held.kind() != Kind::Reply);
        stage.lose_all();
        stage.sleep(s(400));
        stage.inquire(token, Asked::Status);
        stage.finish()
    };
    control(Rule::UnknownProvesWithinLease, scenario, Promise::NotExecutedNeverRuns);
}

/// A call runs and its reply is lost. A minute later a copy of it goes astray and comes to another
/// thread of the server, which does not know the session.
#[test]
fn of_another_shards_session_nothing_is_said() {
    let scenario = |rule| {
        let config = ServerConfig::default().of_shard(0, 2);
        let mut stage = Stage::with(rule, config);
        stage.call(0, Method::Count, s(30));
        stage.exchange();
        stage.pass_fair(s(50));
        let call = stage.call(0, Method::Count, s(30));
        stage.exchange_only(|held| held.kind() != Kind::Reply);
        stage.lose_all();
        while stage.now < stage.minted() + s(61) {
            stage.lose_all();
            stage.pass_until_sent(Kind::Request);
        }
        let astray = stage.newest(Kind::Request);
        stage.deliver_astray(astray);
        stage.exchange();
        assert_eq!(stage.oracle.runs_of(call), 1);
        stage.finish()
    };
    control(Rule::OwnShardAnswers, scenario, Promise::NotExecutedNeverRuns);
}

/// A call runs and its reply is lost. If its client may close the session all the same, and then
/// believes that it is unknown, an executed call is reported as not executed.
#[test]
fn unknown_session_proves_nothing_after_the_client_closed_it() {
    let scenario = |rule| {
        let mut stage = Stage::new(rule);
        stage.call(0, Method::Count, s(30));
        stage.exchange();
        stage.pass_fair(Duration::from_millis(1500));
        let call = stage.call(0, Method::Count, s(59));
        let request = stage.newest(Kind::Request);
        stage.deliver(request);
        stage.lose_all();
        stage.close(0);
        stage.exchange_only(|held| held.kind() == Kind::Close);
        if stage.count(Kind::Close) == 0 {
            stage.exchange();
            stage.pass_fair(s(60));
            assert!(stage.is_ok(call), "{:?}", stage.result(call));
        } else {
            stage.pass(s(58));
            stage.lose_all();
            stage.pass_until_sent(Kind::Request);
            stage.exchange();
        }
        stage.finish()
    };
    control(Rule::UnknownProvesWhileOpen, scenario, Promise::NotExecutedNeverRuns);
}

/// A call runs, its reply is lost, the server restarts: nobody knows. It must not be sent again.
#[test]
fn never_issued_again_unless_proved_not_executed() {
    let scenario = |rule| {
        let mut stage = Stage::new(rule);
        let call = stage.call_again(0, Method::Count, s(30));
        stage.exchange_only(|held| held.kind() != Kind::Reply);
        stage.lose_all();
        stage.crash();
        stage.rise();
        stage.pass_fair(s(30));
        assert!(stage.result(call).is_some());
        stage.finish()
    };
    control(Rule::ReissueOnlyProved, scenario, Promise::OneRunPerCall);
}

/// Two calls have run one after the other in the same slot; a duplicate of the first arrives.
#[test]
fn smaller_id_in_a_slot_is_stale() {
    let scenario = |rule| {
        let mut stage = Stage::with(rule, window_of_two());
        stage.call(0, Method::Count, s(30));
        stage.exchange();
        let first = stage.newest(Kind::Request);
        stage.call(0, Method::Count, s(30));
        stage.exchange();
        stage.deliver(first);
        stage.finish()
    };
    control(Rule::SmallerIsStale, scenario, Promise::OneRunPerIdentity);
}

/// A call has run; the server makes room by forgetting it; a duplicate arrives.
#[test]
fn nothing_is_evicted_from_a_live_slot() {
    let scenario = |rule| {
        let mut stage = Stage::new(rule);
        let (one, two) = (stage.call(0, Method::Work, s(30)), stage.call(0, Method::Work, s(30)));
        stage.exchange_only(|held| held.kind() != Kind::Request);
        let last = stage.newest(Kind::Request);
        stage.exchange();
        assert!(stage.is_ok(one) && stage.is_ok(two));
        stage.deliver(last - 1);
        stage.deliver(last);
        stage.work();
        stage.finish()
    };
    control(Rule::NothingEvicted, scenario, Promise::OneRunPerIdentity);
}

/// A call is cancelled, and the FENCE overtakes the request.
#[test]
fn fence_is_recorded() {
    let scenario = |rule| {
        let mut stage = Stage::new(rule);
        stage.call(0, Method::Count, s(30));
        stage.exchange();
        let call = stage.call(0, Method::Count, s(30));
        let request = stage.newest(Kind::Request);
        stage.cancel(0, call);
        let fence = stage.newest(Kind::Fence);
        stage.deliver(fence);
        let refusal = stage.newest(Kind::Refused);
        stage.deliver(refusal);
        stage.deliver(request);
        stage.finish()
    };
    control(Rule::FenceRecorded, scenario, Promise::NotExecutedNeverRuns);
}

/// A call waits for a worker and is fenced; then the worker comes.
#[test]
fn one_atomic_claim_leaves_the_queue() {
    let scenario = |rule| {
        let mut stage = Stage::new(rule);
        let call = stage.call(0, Method::Work, s(30));
        stage.exchange_only(|held| held.kind() != Kind::Request);
        let request = stage.newest(Kind::Request);
        stage.deliver(request);
        stage.cancel(0, call);
        let fence = stage.newest(Kind::Fence);
        stage.deliver(fence);
        let refusal = stage.newest(Kind::Refused);
        stage.deliver(refusal);
        stage.work();
        stage.finish()
    };
    control(Rule::OneClaim, scenario, Promise::NotExecutedNeverRuns);
}

/// A call's caller gives up while it runs; the next call takes its slot, and runs too as the first
/// one's handler ends.
#[test]
fn completion_names_its_call() {
    let scenario = |rule| {
        let mut stage = Stage::with(rule, window_of_two());
        let abandoned = stage.call(0, Method::Work, s(2));
        stage.exchange_only(|held| held.kind() != Kind::Request);
        let request = stage.newest(Kind::Request);
        stage.deliver(request);
        assert!(stage.claim());
        stage.begin_all();
        // This one keeps the other slot; it never arrives.
        stage.call(0, Method::Work, s(50));
        stage.pass(s(3));
        assert!(stage.result(abandoned).is_some());
        let next = stage.call(0, Method::Work, s(30));
        stage.exchange_only(|held| matches!(held.kind(), Kind::Ping | Kind::Pong));
        let request = stage.newest(Kind::Request);
        stage.deliver(request);
        assert!(stage.claim(), "the next call waits for a worker");
        stage.begin_all();
        stage.end_job(0);
        stage.exchange_only(|held| held.kind() == Kind::Reply);
        stage.end_job(0);
        stage.pass_fair(s(60));
        assert!(stage.result(next).is_some());
        stage.finish()
    };
    control(Rule::CompletionNamesCall, scenario, Promise::OkIsThatReply);
}

/// There is no room for the call's record as it arrives; a duplicate arrives when there is.
#[test]
fn no_room_for_a_record_is_no_refusal() {
    let scenario = |rule| {
        let config = ServerConfig { record_memory: 3_000, ..ServerConfig::default() };
        let mut stage = Stage::with(rule, config);
        let mut calls = Vec::new();
        // Each call of the queue takes memory for its body, until there is none for a record.
        while stage.count(Kind::Refused) == 0 {
            assert!(calls.len() < 1_000, "memory without end");
            calls.push(stage.call(0, Method::Work, s(30)));
            stage.exchange_without_work();
        }
        let refused = stage.sent.iter().rposition(|held| held.kind() == Kind::Request);
        stage.work();
        stage.deliver(refused.expect("it was sent"));
        stage.work();
        stage.pass_fair(s(31));
        stage.finish()
    };
    control(Rule::NoRoomIsNoRefusal, scenario, Promise::NotExecutedNeverRuns);
}

/// A call waits in the network, or for a worker, until its caller has given up.
#[test]
fn expiry_is_checked_as_the_handler_starts() {
    let in_the_network = |rule| {
        let mut stage = Stage::new(rule);
        stage.call(0, Method::Count, s(10));
        stage.exchange_only(|held| held.kind() != Kind::Request);
        let request = stage.newest(Kind::Request);
        stage.sleep(s(11));
        stage.deliver(request);
        stage.finish()
    };
    control(Rule::ExpiryAtStart, in_the_network, Promise::NoStartAfterDeadline);
    let in_the_queue = |rule| {
        let mut stage = Stage::new(rule);
        stage.call(0, Method::Work, s(10));
        stage.exchange_only(|held| held.kind() != Kind::Request);
        let request = stage.newest(Kind::Request);
        stage.deliver(request);
        stage.sleep(s(11));
        stage.work();
        stage.finish()
    };
    control(Rule::ExpiryAtStart, in_the_queue, Promise::NoStartAfterDeadline);
    let in_the_hands_of_a_worker = |rule| {
        let mut stage = Stage::new(rule);
        stage.call(0, Method::Work, s(10));
        stage.exchange_only(|held| held.kind() != Kind::Request);
        let request = stage.newest(Kind::Request);
        stage.deliver(request);
        assert!(stage.claim());
        stage.sleep(s(11));
        stage.work();
        stage.finish()
    };
    control(Rule::ExpiryAtStart, in_the_hands_of_a_worker, Promise::NoStartAfterDeadline);
}

/// A process forks, and parent and child make the same call each.
#[test]
fn a_session_belongs_to_one_process() {
    let scenario = |rule| {
        let mut stage = Stage::new(rule);
        stage.call(0, Method::Count, s(30));
        stage.exchange();
        let child = stage.fork(0);
        let one = stage.call(0, Method::Count, s(30));
        let other = stage.call_like(child, one, s(30));
        stage.pass_fair(s(30));
        assert!(stage.is_ok(one) && stage.is_ok(other));
        stage.finish()
    };
    control(Rule::OneProcess, scenario, Promise::OkRan);
}

/// A call's token is given out, the call ends Ok, the client closes, and somebody asks later.
#[test]
fn a_session_whose_token_was_given_out_is_never_closed() {
    let scenario = |rule| {
        let mut stage = Stage::new(rule);
        let call = stage.call(0, Method::Count, s(30));
        stage.exchange_only(|held| held.kind() != Kind::Request);
        let token = stage.token(0, call);
        stage.exchange();
        assert!(stage.is_ok(call));
        stage.close(0);
        stage.exchange();
        stage.pass_fair(s(70));
        let fate = stage.inquire(token, Asked::Status);
        assert!(rule.is_some() || matches!(fate, Fate::Executed { .. }), "{fate:?}");
        stage.finish()
    };
    control(Rule::TokenKeepsOpen, scenario, Promise::NotExecutedNeverRuns);
}
