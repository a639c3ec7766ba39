//! STATUS and FENCE with nothing but a token.

use super::*;
use crate::core::CallToken;

struct Asking {
    inquiry: Inquiry,
    token: CallToken,
    now: Time,
}

/// A question about a call of a session minted at 1000 s, known until 1300 s.
fn ask(asked: Asked) -> Asking {
    let token = CallToken {
        server: server(),
        epoch: EPOCH,
        session: SessionId(5),
        call: CallId(70),
        minted: 1000,
        known_until: 1_300_000_000,
        expiry: 1_010_000_000,
    };
    let now = Time::from_micros(1);
    let inquiry = Inquiry::new(now, token, asked, now + 10 * SECOND, Seed::from_number(1));
    Asking { inquiry, token, now }
}

impl Asking {
    /// What is sent now.
    fn sent(&mut self) -> Option<(u8, Proofs, bool)> {
        let mut out = Vec::new();
        self.inquiry.poll_transmit(self.now, &mut out)?;
        let Datagram { attempt, message } = parse_from_client(&out).unwrap();
        let (ids, proofs, fence) = match message {
            FromClient::Status { session, call, proofs } => ((session, call), proofs, false),
            FromClient::Fence { session, call, proofs } => ((session, call), proofs, true),
            other => panic!("{other:?}"),
        };
        assert_eq!(ids, (self.token.session, self.token.call));
        Some((attempt, proofs, fence))
    }

    fn deliver(&mut self, message: FromServer<'_>) {
        let mut out = Vec::new();
        Datagram { attempt: 1, message }.emit(&mut out);
        self.inquiry.handle_datagram(self.now, server(), &out);
    }

    fn refuse(&mut self, reason: Reason, promise: bool, epoch: Epoch, clock: u64) -> Option<Fate> {
        let (session, call) = (self.token.session, self.token.call);
        self.deliver(FromServer::Refused {
            session,
            call,
            clock,
            epoch,
            hold_us: 0,
            reason,
            promise,
        });
        self.inquiry.fate()
    }

    fn progress(&mut self, state: SlotState) -> Option<Fate> {
        let (session, call) = (self.token.session, self.token.call);
        let (clock, hold_us, credit, cell) = (1, 0, 0, 0);
        self.deliver(FromServer::Progress { session, call, clock, hold_us, credit, cell, state });
        self.inquiry.fate()
    }
}

#[test]
fn question_is_repeated_with_backoff_until_the_deadline() {
    let mut asking = ask(Asked::Status);
    let mut times = Vec::new();
    while asking.inquiry.fate().is_none() {
        if let Some((attempt, proofs, fence)) = asking.sent() {
            times.push(asking.now.as_micros() / 1000);
            assert_eq!((usize::from(attempt), fence), (times.len(), false));
            assert_eq!(proofs, Proofs::default());
        }
        asking.now = asking.inquiry.poll_timeout().unwrap();
        asking.inquiry.handle_timeout(asking.now);
    }
    assert_eq!(times.len(), 4, "{times:?}");
    let Some(Fate::Unknown(why)) = asking.inquiry.fate() else { panic!() };
    assert!(why.contains("no answer"), "{why}");
    assert_eq!(asking.inquiry.poll_timeout(), None);
}

#[test]
fn challenge_is_met_with_its_path_at_once() {
    let mut asking = ask(Asked::Fence);
    assert!(asking.sent().unwrap().2, "FENCE");
    let path = PathProof { issued: 1100, mac: 9 };
    let (session, call) = (asking.token.session, asking.token.call);
    asking.deliver(FromServer::Challenge { session, call, clock: 1, path });
    assert_eq!(asking.sent().unwrap().1.path, Some(path));
    asking.deliver(FromServer::Challenge { session, call, clock: 1, path });
    assert_eq!(asking.sent(), None);
}

#[test]
fn states_say_how_far_it_has_come() {
    assert_eq!(ask(Asked::Status).progress(SlotState::Empty), Some(Fate::NotSeen));
    let running = Fate::InProgress(SlotState::Running);
    assert_eq!(ask(Asked::Fence).progress(SlotState::Running), Some(running));
}

#[test]
fn reply_promise_and_reply_gone_say_how_it_ended() {
    let mut asking = ask(Asked::Status);
    let (session, call) = (asking.token.session, asking.token.call);
    asking.deliver(FromServer::Reply {
        session,
        call,
        clock: 1,
        hold_us: 0,
        credit: 0,
        status: Code::Ok,
        flags: Flags::WHOLE,
        cell: 0,
        metadata: MetadataRef::EMPTY,
        body: b"seven",
    });
    let ran =
        Fate::Executed { status: Code::Ok, metadata: Metadata::new(), body: b"seven".to_vec() };
    assert_eq!(asking.inquiry.fate(), Some(ran));
    let refused = |reason, promise| ask(Asked::Fence).refuse(reason, promise, EPOCH, 1);
    let fenced = Fate::NotExecuted(Proof::Promised(Reason::Fenced));
    assert_eq!(refused(Reason::Fenced, true), Some(fenced));
    assert_eq!(refused(Reason::ReplyGone, false), Some(Fate::ReplyGone));
    assert!(matches!(refused(Reason::Stale, false), Some(Fate::Unknown(_))));
    assert_eq!(refused(Reason::NoRoomForRecord, false), None);
    assert_eq!(refused(Reason::Fenced, false), None, "no promise");
}

#[test]
fn unknown_session_proves_not_executed_only_under_the_inequality() {
    let unknown = |epoch, seconds: u64| {
        ask(Asked::Status).refuse(Reason::UnknownSession, false, epoch, seconds * 1_000_000)
    };
    assert_eq!(unknown(EPOCH, 1059), None, "the birth lives");
    let proved = Fate::NotExecuted(Proof::UnknownSession);
    assert_eq!(unknown(EPOCH, 1060), Some(proved.clone()));
    assert_eq!(unknown(EPOCH, 1299), Some(proved));
    assert!(matches!(unknown(EPOCH, 1300), Some(Fate::Unknown(_))), "the lease may have ended");
    assert!(matches!(unknown(Epoch(1), 1100), Some(Fate::Unknown(_))), "another life");
    assert_eq!(ask(Asked::Fence).refuse(Reason::Fenced, true, Epoch(1), 1), None);
}

#[test]
fn without_its_rules_an_unknown_session_proves_too_much() {
    for (rule, seconds) in
        [(Rule::UnknownProvesAfterBirth, 1059), (Rule::UnknownProvesWithinLease, 1300)]
    {
        let mut asking = ask(Asked::Status);
        asking.inquiry.set_rules(Rules::dropping(rule));
        let clock = seconds * 1_000_000;
        let fate = asking.refuse(Reason::UnknownSession, false, EPOCH, clock);
        assert_eq!(fate, Some(Fate::NotExecuted(Proof::UnknownSession)));
    }
}

#[test]
fn question_at_a_port_where_nothing_listens_ends_at_once() {
    let mut asking = ask(Asked::Status);
    asking.sent();
    asking.inquiry.handle_refused(asking.now, server());
    assert!(matches!(asking.inquiry.fate(), Some(Fate::Unknown(_))));
}
