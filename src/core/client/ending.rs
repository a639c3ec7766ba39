//! How calls end, and in which words.
//!
//! It must not send anything. Invariant: the outcome of a call is that of all its issues
//! together, NotExecuted only if each of them is.

use super::call::{Call, Issue, Phase};
use super::{CallHandle, Client, Event, Key, NEVER_SENT};
use crate::core::{CallError, Outcome, Reply, Time};
use crate::wire::{Code, Metadata, MetadataRef, SessionId};

impl Client {
    /// Takes a call's identity away: its slot is free again, its copies are nobody's.
    pub(super) fn finish_issue(&mut self, now: Time, handle: CallHandle, known: bool) {
        let Some(call) = self.calls.get_mut(handle) else {
            return;
        };
        if !matches!(call.phase, Phase::Issued(_)) {
            return;
        }
        let Phase::Issued(issue) = std::mem::replace(&mut call.phase, Phase::Unplaced) else {
            return;
        };
        if !known && let Some(session) = self.sessions.get(issue.session) {
            call.past_mut().token = Some(super::leaving::token_of(session, &issue));
            call.doubtful = true;
        }
        self.release(now, handle, &issue, known);
    }

    fn release(&mut self, now: Time, handle: CallHandle, issue: &Issue, known: bool) {
        let Some(session) = self.sessions.get_mut(issue.session) else {
            return;
        };
        session.release(issue.id, known);
        let flow = session.flow;
        let retire = session.live == 0 && (session.left || session.dead || session.closed);
        if let Some(flow) = self.flows.get_mut(flow) {
            if issue.queued {
                flow.lost.remove(&handle);
            }
            if issue.in_flight {
                flow.withdrawn();
            }
        }
        if retire {
            self.retire(now, issue.session);
        }
    }

    /// Ends a call, whatever it is doing, with what the issue in progress came to.
    pub(super) fn end(
        &mut self,
        now: Time,
        handle: CallHandle,
        mut result: Result<Reply, CallError>,
    ) {
        if self.config.tokens
            && let Some(token) = self.token(handle)
        {
            match &mut result {
                Ok(reply) => reply.token = Some(token),
                // Where an earlier issue may have run, that is the one to ask about.
                Err(error) => error.token = error.token.take().or(Some(Box::new(token))),
            }
        }
        if let Some(call) = self.calls.remove(handle) {
            match &call.phase {
                Phase::Unplaced => {}
                Phase::Waiting if call.no_side_effects => self.waiting_safe.ended(&self.calls),
                Phase::Waiting => self.waiting_risky.ended(&self.calls),
                Phase::Paused(_) => self.paused = self.paused.saturating_sub(1),
                Phase::Issued(issue) => {
                    let known = !matches!(&result, Err(error) if error.outcome == Outcome::Unknown);
                    self.release(now, handle, issue, known);
                }
            }
        }
        self.timers.clear(Key::Call(handle));
        self.events.push_back(Event::Ended { handle, result });
    }

    /// Ends a call that has no identity in progress, or one under which nothing was ever sent:
    /// what its earlier issues came to is what it comes to.
    pub(super) fn end_unissued(&mut self, now: Time, handle: CallHandle, code: Code, text: String) {
        let past = self.calls.get(handle).and_then(|call| call.past.as_deref());
        let proof = past.and_then(|past| past.proof);
        let outcome = proof.map_or(NEVER_SENT, Outcome::NotExecuted);
        self.end_with(now, handle, code, text, outcome);
    }

    /// Ends a call with an error. `outcome` is that of the issue in progress.
    pub(super) fn end_with(
        &mut self,
        now: Time,
        handle: CallHandle,
        code: Code,
        text: String,
        outcome: Outcome,
    ) {
        if outcome == Outcome::Unknown {
            self.finish_issue(now, handle, false);
        }
        let Some(call) = self.calls.get(handle) else {
            return;
        };
        let error = error_of(now, call, code, text, outcome);
        self.end(now, handle, Err(error));
    }

    /// Ends a call whose procedure has answered.
    pub(super) fn end_answered(
        &mut self,
        now: Time,
        handle: CallHandle,
        status: Code,
        metadata: MetadataRef<'_>,
        body: &[u8],
    ) {
        let Some(call) = self.calls.get_mut(handle) else {
            return;
        };
        let result = if status == Code::Ok {
            // The request's memory serves its reply.
            let mut reply = std::mem::take(&mut call.body);
            reply.clear();
            reply.extend_from_slice(body);
            Ok(Reply {
                metadata: metadata.to_owned(),
                body: reply,
                attempts: call.attempts,
                issues: call.issues,
                elapsed: now.since(call.submitted),
                at_least_once: call.doubtful,
                token: None,
            })
        } else {
            let said = crate::wire::StatusBody::parse(body);
            let text = said.message.into_owned();
            let error = error_of(now, call, status, text, Outcome::Executed);
            let (details, metadata) = (said.details.to_vec(), metadata.to_owned());
            Err(CallError { details, metadata, ..error })
        };
        self.end(now, handle, result);
    }

    /// Ends a call whose deadline has come.
    pub(super) fn end_at_deadline(&mut self, now: Time, handle: CallHandle) {
        let Some(call) = self.calls.get(handle) else {
            return;
        };
        let unsent_code = if call.cancelled { Code::Cancelled } else { Code::Unavailable };
        match &call.phase {
            Phase::Issued(issue) if issue.succeeded == 0 => {
                let text = "the kernel refused to send each of its copies".to_owned();
                self.end_unissued(now, handle, unsent_code, text);
            }
            Phase::Issued(issue) => {
                let server = self.server_of(issue.session);
                if let (Some(reason), None, false) = (issue.put_off, issue.progress, call.cancelled)
                {
                    let text = format!("deadline exceeded: {server} says: {reason}");
                    return self.end_with(now, handle, reason.code(), text, Outcome::Unknown);
                }
                let heard = if issue.progress.is_some() {
                    format!("{server} said that the call was in progress, not how it ended")
                } else {
                    format!("no answer from {server}")
                };
                let (code, what) = if call.cancelled {
                    (Code::Cancelled, "cancellation not confirmed")
                } else {
                    (Code::DeadlineExceeded, "deadline exceeded")
                };
                let text = format!("{what}: {heard}");
                self.end_with(now, handle, code, text, Outcome::Unknown);
            }
            Phase::Unplaced | Phase::Waiting | Phase::Paused(_) => {
                let (code, text) = match call.past.as_ref().and_then(|past| past.last.as_ref()) {
                    Some((code, text)) => (*code, format!("{text}; then the deadline passed")),
                    None => self.why_waiting(now),
                };
                self.end_unissued(now, handle, code, text);
            }
        }
    }

    /// What kept a call from being sent until its deadline.
    fn why_waiting(&self, now: Time) -> (Code, String) {
        if let Some(handshake) = &self.handshake {
            return (Code::DeadlineExceeded, handshake.why_waiting());
        }
        let session = self.current.and_then(|id| self.sessions.get(id));
        if let Some(session) = session {
            let window = session.limits.window;
            if !session.has_slot() {
                let text = format!("window of {window} calls full until the deadline");
                return (Code::ResourceExhausted, text);
            }
            if let Some(ping) = session.ping.and_then(|ping| self.pings.get(&ping)) {
                let text = format!(
                    "deadline exceeded: no answer from {} to {} PINGs",
                    session.server,
                    ping.sends(),
                );
                return (Code::DeadlineExceeded, text);
            }
            if !self.is_unheard(now, session.id)
                && let Some(flow) = self.flows.get(session.flow)
            {
                let text = format!(
                    "deadline exceeded: no room to send, {} calls unanswered of the {} that the \
                     path to {} bears",
                    flow.in_flight(),
                    flow.window(),
                    session.server,
                );
                return (Code::DeadlineExceeded, text);
            }
        }
        (Code::DeadlineExceeded, "the call could not be sent in time".to_owned())
    }

    fn server_of(&self, session: SessionId) -> String {
        self.sessions.get(session).map_or_else(|| "the server".to_owned(), |s| s.server.to_string())
    }

    /// Ends a waiting call at once if it breaks a limit of the current session.
    pub(super) fn ended_by_limits(&mut self, now: Time, handle: CallHandle) -> bool {
        let Some(session) = self.current.and_then(|id| self.sessions.get(id)) else {
            return false;
        };
        let Some(call) = self.calls.get(handle) else {
            return true;
        };
        let limits = &session.limits;
        let room = usize::from(limits.longest_datagram)
            .saturating_sub(crate::wire::HEADER_LEN + crate::wire::PROOFS_LEN);
        let message = usize::try_from(limits.longest_request).unwrap_or(usize::MAX);
        let length = call.length();
        let timeout = call.deadline.since(now);
        let longest = session.longest_deadline();
        let (code, text) = if let Some(fits) = length.beyond(message, room) {
            let text = format!("{length}; the server takes {fits}");
            (Code::ResourceExhausted, text)
        } else if timeout > longest {
            let text = format!(
                "the timeout of {timeout:?} is longer than the server's limit, {longest:?}"
            );
            (Code::InvalidArgument, text)
        } else {
            return false;
        };
        self.end_unissued(now, handle, code, text);
        true
    }

    /// Ends at once every waiting call that breaks a limit of the new current session.
    pub(super) fn end_by_limits(&mut self, now: Time) {
        for handle in self.waiting().collect::<Vec<_>>() {
            self.ended_by_limits(now, handle);
        }
    }
}

/// The error that `call` ends with when its last issue came to `outcome`.
fn error_of(
    now: Time,
    call: &Call,
    code: Code,
    mut message: String,
    outcome: Outcome,
) -> CallError {
    let outcome = match outcome {
        Outcome::NotExecuted(_) if call.doubtful => Outcome::Unknown,
        other => other,
    };
    if call.issues > 1 {
        message = format!("{message}; issued {} times", call.issues);
    }
    CallError {
        code,
        message,
        details: Vec::new(),
        metadata: Metadata::new(),
        outcome,
        attempts: call.attempts,
        issues: call.issues,
        elapsed: now.since(call.submitted),
        token: match outcome {
            Outcome::Unknown => call.past.as_ref().and_then(|past| past.token).map(Box::new),
            _ => None,
        },
    }
}
