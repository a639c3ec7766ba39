//! What the client sends and how it says that its calls end, held against what it was told.

use super::{Identity, Issue, Probe, SLACK};
use crate::core::Outcome;
use crate::core::client::CallHandle;
use crate::sim::fuzz::metadata_of;
use crate::wire::{
    CallId, Code, Datagram, FromClient, MAX_DATAGRAM, Metadata, SessionId, parse_from_client,
};

impl Probe {
    pub(super) fn sending(&mut self, datagram: &[u8], unsent: bool) {
        assert!(datagram.len() <= MAX_DATAGRAM, "{} bytes sent", datagram.len());
        let Datagram { attempt, message } = match parse_from_client(datagram) {
            Ok(parsed) => parsed,
            Err(error) => panic!("the client sent what is no datagram: {error}"),
        };
        match message {
            FromClient::Hello { nonce, .. } => self.nonces.push(nonce),
            FromClient::Request { session, call, expiry, metadata, body, .. } => {
                self.sent.push((session, call, attempt));
                let tag = body.first().copied().unwrap_or(0);
                assert_eq!(metadata, metadata_of(tag.into()).borrow(), "call {tag}");
                self.requested((session, call), tag, expiry, unsent);
            }
            FromClient::Fence { session, call, .. }
            | FromClient::Status { session, call, .. }
            | FromClient::Ping { session, call, .. } => self.sent.push((session, call, attempt)),
            FromClient::Close { session, .. } => {
                self.sent.push((session, CallId(0), attempt));
                self.closing(session);
                if let Some(session) = self.sessions.get_mut(&session) {
                    session.closed = true;
                }
            }
            FromClient::Ack { .. } => {}
        }
    }

    /// CLOSE goes out only when the outcome of every call of the session is known, and nobody may
    /// ask later.
    fn closing(&self, session: SessionId) {
        let of_session = self.issues.iter().filter(|((of, _), _)| *of == session);
        for (identity, issue) in of_session {
            let answered = !issue.answers.is_empty() || issue.reply_gone;
            assert!(answered || issue.proved || issue.sent == 0, "{identity:?} is closed");
        }
        let given = self.sessions.get(&session).is_some_and(|session| session.token_given);
        assert!(!given, "{session:?} is closed, and a token of it was given out");
    }

    fn requested(&mut self, identity: Identity, tag: u8, expiry: u64, unsent: bool) {
        let handle = self.tags[usize::from(tag)];
        let bound = self.sessions.get(&identity.0).map_or(0, |session| self.bound(session));
        let Some(call) = self.calls.get_mut(&handle) else { panic!("no call {handle:?}") };
        assert!(!call.ended, "{handle:?} is sent after its end");
        assert!(self.now <= call.deadline, "{handle:?} is sent after its deadline");
        let left = u64::try_from(call.deadline.since(self.now).as_micros()).unwrap_or(u64::MAX);
        if !call.identities.contains(&identity) {
            if !call.no_side_effects {
                for earlier in &call.identities {
                    let issue = &self.issues[earlier];
                    assert!(issue.proved || issue.sent == 0, "{handle:?} is sent under another id");
                }
            }
            call.identities.push(identity);
            assert!(
                expiry <= bound.saturating_add(left),
                "{handle:?} may start after its deadline"
            );
        }
        let issue = self.issues.entry(identity).or_insert(Issue {
            tag,
            expiry,
            sent: 0,
            clock_at_first: bound,
            proved: false,
            answers: Vec::new(),
            reply_gone: false,
        });
        assert_eq!((issue.tag, issue.expiry), (tag, expiry), "two requests with one identity");
        issue.sent += u32::from(!unsent);
    }

    pub(super) fn ended(
        &mut self,
        handle: CallHandle,
        result: Result<(Metadata, Vec<u8>), (Outcome, Code, Metadata)>,
    ) {
        let Some(call) = self.calls.get_mut(&handle) else { panic!("no call {handle:?}") };
        assert!(!call.ended, "{handle:?} ended twice");
        assert!(self.now <= call.deadline + SLACK, "{handle:?} ended late");
        call.ended = true;
        let issues: Vec<&Issue> = call.identities.iter().map(|id| &self.issues[id]).collect();
        let holds = match &result {
            Ok((metadata, body)) => {
                let answer = (Code::Ok, metadata.clone(), body.clone());
                issues.iter().any(|issue| issue.answers.contains(&answer))
            }
            Err((Outcome::Executed, code, metadata)) => issues.iter().any(|issue| {
                let mut answers = issue.answers.iter();
                issue.reply_gone && metadata.is_empty()
                    || answers.any(|(status, told, _)| (status, told) == (code, metadata))
            }),
            Err((Outcome::NotExecuted(_), _, metadata)) => {
                let never = |issue: &&Issue| issue.proved || issue.sent == 0;
                metadata.is_empty() && issues.iter().all(never)
            }
            Err((Outcome::Unknown, _, metadata)) => metadata.is_empty(),
        };
        assert!(holds, "{handle:?} ended {result:?} without an answer that says so");
    }
}
