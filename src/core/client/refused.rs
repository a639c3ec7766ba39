//! REFUSED, case by case: what each reason proves, and whether the call goes on, ends, or is
//! issued again.
//!
//! Invariant: NotExecuted is claimed only for a promise, or for an unknown session under the
//! inequality of `session`; and a call that may have side effects gets a new identity only then.

use std::net::SocketAddr;
use std::time::Duration;

use super::answers::Answer;
use super::call::Phase;
use super::session::Verdict;
use super::{CallHandle, Client, Key};
use crate::core::{Outcome, Proof, Rule, Time};
use crate::wire::{Code, Epoch, Reason};

/// Least pause before a new issue.
const PAUSE_LEAST: Duration = Duration::from_millis(100);

/// Most doublings of that pause: beyond any deadline.
const DOUBLINGS_MAX: u32 = 20;

/// What a refusal makes of a call.
enum Then {
    /// The same identity goes on: nothing was said about it.
    GoesOn,
    /// It ends.
    Ends(Outcome),
    /// Its issue has this outcome; it is worth another issue.
    Again(Outcome),
}

impl Client {
    pub(super) fn on_refused(
        &mut self,
        now: Time,
        from: SocketAddr,
        answer: &Answer,
        epoch: Epoch,
        (reason, promise): (Reason, bool),
    ) {
        let unknown = reason == Reason::UnknownSession;
        let said_by = (!unknown).then_some(epoch);
        let own = self.sessions.get(answer.session).map(|session| session.epoch);
        if own == Some(epoch) || !unknown {
            if !self.admit(now, from, answer, said_by) {
                return;
            }
        } else if !self.admit_other_life(now, from, answer) {
            return;
        }
        if !unknown && reason != Reason::NoRoomForSession {
            self.answered_inside(now, answer);
        }
        if let Some(handle) = self.find_call(answer) {
            self.counters.used += 1;
            self.leave_flight(handle);
            self.refuse_call(now, handle, answer, epoch, reason, promise);
        } else if self.find_ping(answer.session, answer.call).is_some() {
            self.counters.used += 1;
            if unknown {
                self.declare_dead(now, answer.session);
            }
        } else {
            self.counters.dropped_late += 1;
        }
    }

    /// As `admit`, for an unknown session of which another life of the server speaks: its clock
    /// says nothing about ours.
    fn admit_other_life(&mut self, now: Time, from: SocketAddr, answer: &Answer) -> bool {
        let clock = match self.sessions.get(answer.session) {
            Some(session) => session.clock.at(now),
            None => 0,
        };
        self.admit(now, from, &Answer { clock, ..*answer }, None)
    }

    fn refuse_call(
        &mut self,
        now: Time,
        handle: CallHandle,
        answer: &Answer,
        epoch: Epoch,
        reason: Reason,
        promise: bool,
    ) {
        let then = match reason {
            Reason::UnknownSession => self.on_unknown_session(handle, answer, epoch),
            Reason::Stale => Then::Again(Outcome::Unknown),
            Reason::IdReused => Then::Ends(Outcome::Unknown),
            Reason::ReplyGone => Then::Ends(Outcome::Executed),
            Reason::NoRoomForRecord if !self.rules.hold(Rule::NoRoomIsNoRefusal) => {
                Then::Ends(Outcome::NotExecuted(Proof::Promised(reason)))
            }
            Reason::NoRoomForSession | Reason::NoRoomForRecord | Reason::Later => {
                self.put_off(handle, reason)
            }
            promised if promise => {
                let outcome = Outcome::NotExecuted(Proof::Promised(promised));
                if promised.is_passing() { Then::Again(outcome) } else { Then::Ends(outcome) }
            }
            // A reason that would be a promise, without one: later.
            _ => self.put_off(handle, reason),
        };
        let text = self.refusal_text(answer, epoch, reason);
        // What the reason says about the session.
        match (reason, &then) {
            (Reason::UnknownSession, Then::GoesOn) => {}
            (Reason::UnknownSession, _) => self.declare_dead(now, answer.session),
            (Reason::Stale | Reason::IdReused | Reason::Draining, _) => {
                self.leave(now, answer.session);
            }
            _ => {}
        }
        match then {
            Then::GoesOn => self.arm(handle),
            Then::Ends(outcome) => self.end_refused(now, handle, reason.code(), text, outcome),
            Then::Again(outcome) => self.issue_again(now, handle, reason, text, outcome),
        }
    }

    /// The refusal, for people.
    fn refusal_text(&self, answer: &Answer, epoch: Epoch, reason: Reason) -> String {
        let session = self.sessions.get(answer.session);
        let same_life = session.is_none_or(|session| session.epoch == epoch);
        match reason {
            Reason::UnknownSession if !same_life => {
                "the server has restarted since the call was sent".to_owned()
            }
            _ => format!("refused: {reason}"),
        }
    }

    /// Keeps why the server has said *later*, for the case that the deadline comes first.
    fn put_off(&mut self, handle: CallHandle, reason: Reason) -> Then {
        let call = self.calls.get_mut(handle);
        if let Some(Phase::Issued(issue)) = call.map(|call| &mut call.phase) {
            issue.put_off = Some(reason);
        }
        Then::GoesOn
    }

    fn on_unknown_session(&self, handle: CallHandle, answer: &Answer, epoch: Epoch) -> Then {
        let session = self.sessions.get(answer.session);
        let call = self.calls.get(handle);
        let (Some(session), Some(call)) = (session, call) else {
            return Then::GoesOn;
        };
        let Phase::Issued(issue) = &call.phase else {
            return Then::GoesOn;
        };
        let judged = session.judged(issue.known_until);
        match judged.judge(&self.rules, epoch, answer.clock) {
            Verdict::Nothing => Then::GoesOn,
            Verdict::Proved => Then::Again(Outcome::NotExecuted(Proof::UnknownSession)),
            Verdict::Unknown => Then::Again(Outcome::Unknown),
        }
    }

    /// Ends a call that a refusal ends; the caller who cancelled it is told so.
    fn end_refused(
        &mut self,
        now: Time,
        handle: CallHandle,
        code: Code,
        text: String,
        outcome: Outcome,
    ) {
        let cancelled = self.calls.get(handle).is_some_and(|call| call.cancelled);
        let (code, text) = match outcome {
            Outcome::NotExecuted(_) if cancelled => {
                (Code::Cancelled, format!("cancelled by the caller; {text}"))
            }
            _ => (code, text),
        };
        self.end_with(now, handle, code, text, outcome);
    }

    /// Issues a call again under a new identity, after a pause where one is due, if its outcome
    /// allows that, its caller wants it, and the deadline leaves room.
    fn issue_again(
        &mut self,
        now: Time,
        handle: CallHandle,
        reason: Reason,
        text: String,
        outcome: Outcome,
    ) {
        let code = reason.code();
        let Some(call) = self.calls.get(handle) else {
            return;
        };
        // Only what is proved never to run, or may run twice, is ever sent under another identity.
        let proved = matches!(outcome, Outcome::NotExecuted(_));
        let allowed = proved || call.no_side_effects || !self.rules.hold(Rule::ReissueOnlyProved);
        // Whoever asks by a token of this issue is told that the call did not run.
        let told = proved && call.token_given;
        let wanted = call.retry && !call.cancelled && !told;
        let pause = self.pause(handle, reason);
        let Some(call) = self.calls.get_mut(handle) else {
            return;
        };
        if !allowed || !wanted || now + pause >= call.deadline {
            self.end_refused(now, handle, code, text, outcome);
            return;
        }
        if let Outcome::NotExecuted(proof) = outcome {
            call.past_mut().proof = Some(proof);
        }
        call.past_mut().last = Some((code, text));
        if reason == Reason::UnknownSession {
            call.past_mut().sessions_lost += 1;
        }
        if !pause.is_zero() {
            call.past_mut().pauses += 1;
        }
        self.finish_issue(now, handle, proved);
        if pause.is_zero() {
            self.wait(handle);
        } else if let Some(call) = self.calls.get_mut(handle) {
            call.phase = Phase::Paused(now + pause);
            self.paused += 1;
            self.timers.set(Key::Call(handle), now + pause);
        }
    }

    /// The pause before a new issue: jittered, doubling, from max(RTO, 100 ms); none for a session
    /// that the server has lost, unless that repeats.
    fn pause(&mut self, handle: CallHandle, reason: Reason) -> Duration {
        let jitter = self.jitter();
        let Some(call) = self.calls.get(handle) else {
            return Duration::ZERO;
        };
        let past = call.past.as_deref();
        let sessions_lost = past.map_or(0, |past| past.sessions_lost);
        if reason == Reason::UnknownSession && sessions_lost == 0 {
            return Duration::ZERO;
        }
        let rto = match &call.phase {
            Phase::Issued(issue) => self
                .sessions
                .get(issue.session)
                .and_then(|session| self.flows.get(session.flow))
                .map_or(PAUSE_LEAST, |flow| flow.rto()),
            _ => PAUSE_LEAST,
        };
        let doublings = past.map_or(0, |past| past.pauses).min(DOUBLINGS_MAX);
        jitter.lengthen(rto.max(PAUSE_LEAST) * (1 << doublings))
    }
}
