//! What goes out next: what is urgent, then lost copies, then new calls, as far as the path and
//! the window of slots have room.
//!
//! Invariants: an identity is used up as soon as its first copy is handed out; no copy of a request
//! is handed out after its deadline; FENCE, PING, HELLO and CLOSE are outside the window.

use std::net::SocketAddr;

use super::call::{Issue, Phase, Recent, attempt_number};
use super::flow::Jitter;
use super::{CallHandle, Client, Transmit};
use crate::core::{Time, micros};
use crate::wire::{Datagram, Flags, FromClient, SessionId};

impl Client {
    /// Appends the next datagram to `out` and says where it goes; `None` when there is nothing
    /// (more) to send now. To be called until then after every input.
    pub fn poll_transmit(&mut self, now: Time, out: &mut Vec<u8>) -> Option<Transmit> {
        self.advance(now);
        let sent = self
            .transmit_closing(out)
            .or_else(|| self.transmit_hello(now, out))
            .or_else(|| self.transmit_ping(now, out))
            .or_else(|| self.transmit_urgent(now, out))
            .or_else(|| self.transmit_lost(now, out))
            .or_else(|| self.transmit_new(now, out));
        self.counters.sent += u64::from(sent.is_some());
        sent
    }

    /// Says that a datagram was never sent: it went to the kernel alone, and the kernel took none
    /// of it. To be called, if at all, before the next input.
    pub fn handle_unsent(&mut self, _now: Time, sent: &Transmit) {
        self.counters.unsent += 1;
        if sent.hello {
            self.on_unsent_hello();
        }
        let Some((handle, attempt)) = sent.call else {
            return;
        };
        let Some(call) = self.calls.get_mut(&handle) else {
            return;
        };
        if call.issues != sent.issue {
            return;
        }
        let Phase::Issued(issue) = &mut call.phase else {
            return;
        };
        if issue.recent.take(attempt).is_none() {
            return;
        }
        issue.succeeded = issue.succeeded.saturating_sub(1);
        let server = self.sessions.get(&issue.session).map(|session| session.server);
        if issue.in_flight
            && attempt == attempt_number(issue.sends)
            && let Some(flow) = server.and_then(|server| self.flows.get_mut(&server))
        {
            issue.in_flight = false;
            flow.withdrawn();
        }
        self.arm(handle);
    }

    /// Appends a datagram for `server`.
    pub(super) fn emit(
        &self,
        server: SocketAddr,
        datagram: Datagram<FromClient<'_>>,
        out: &mut Vec<u8>,
    ) -> Transmit {
        let before = out.len();
        datagram.emit(out);
        Transmit {
            remote: server,
            size: out.len() - before,
            segment_size: None,
            call: None,
            hello: false,
            issue: 0,
        }
    }

    fn transmit_closing(&mut self, out: &mut Vec<u8>) -> Option<Transmit> {
        let closing = self.closings.pop_front()?;
        let message = FromClient::Close { session: closing.session, proofs: closing.proofs };
        let datagram = Datagram { attempt: 1, message };
        Some(self.emit(closing.server, datagram, out))
    }

    fn transmit_urgent(&mut self, now: Time, out: &mut Vec<u8>) -> Option<Transmit> {
        while let Some(handle) = self.urgent.pop_front() {
            let Some(call) = self.calls.get_mut(&handle) else {
                continue;
            };
            let deadline = call.deadline;
            let Phase::Issued(issue) = &mut call.phase else {
                continue;
            };
            if std::mem::take(&mut issue.urgent)
                && now < deadline
                && let Some(sent) = self.transmit_copy(now, handle, out)
            {
                return Some(sent);
            }
        }
        None
    }

    fn transmit_lost(&mut self, now: Time, out: &mut Vec<u8>) -> Option<Transmit> {
        loop {
            // The oldest call whose lost copy has room on the way to its server.
            let mut flows = self.flows.values_mut().filter(|flow| flow.has_room());
            let handle = flows.find_map(|flow| flow.lost.pop_first())?;
            let deadline = self.calls.get(&handle).map(|call| call.deadline);
            if deadline.is_some_and(|deadline| now < deadline)
                && let Some(sent) = self.transmit_copy(now, handle, out)
            {
                return Some(sent);
            }
        }
    }

    fn transmit_new(&mut self, now: Time, out: &mut Vec<u8>) -> Option<Transmit> {
        loop {
            let current = self.current?;
            let session = self.sessions.get(&current)?;
            if !session.has_slot() || !self.flows.get(&session.server)?.has_room() {
                return None;
            }
            let safe = self.waiting_safe.first().copied();
            let risky = match self.is_unheard(now, current) {
                true => None,
                false => self.waiting_risky.first().copied(),
            };
            let handle = match (safe, risky) {
                (Some(safe), Some(risky)) => safe.min(risky),
                (one, other) => one.or(other)?,
            };
            if self.calls.get(&handle).is_none_or(|call| now >= call.deadline) {
                self.end_at_deadline(now, handle);
                continue;
            }
            if !self.begin_issue(now, handle, current) {
                // No id is left: the next call needs another session.
                self.leave(now, current);
                self.advance(now);
                return self.transmit_hello(now, out);
            }
            if let Some(sent) = self.transmit_copy(now, handle, out) {
                return Some(sent);
            }
        }
    }

    /// Gives a waiting call an identity in `session`.
    fn begin_issue(&mut self, now: Time, handle: CallHandle, id: SessionId) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else {
            return false;
        };
        let Some(call) = self.calls.get_mut(&handle) else {
            return false;
        };
        let Some(call_id) = session.allocate(handle) else {
            return false;
        };
        let known_until = session.clock.at(now).saturating_add(micros(session.lease()));
        call.issues += 1;
        call.phase = Phase::Issued(Issue {
            session: id,
            id: call_id,
            expiry: session.clock.at(call.deadline),
            known_until,
            first: now,
            last: now,
            jitter: Jitter::default(),
            sends: 0,
            succeeded: 0,
            reckoned_from: 0,
            recent: Recent::default(),
            in_flight: false,
            queued: false,
            urgent: false,
            progress: None,
            put_off: None,
            retry_at: None,
            challenged: None,
            fencing: false,
        });
        self.waiting_risky.remove(&handle);
        self.waiting_safe.remove(&handle);
        true
    }

    /// Appends the next copy of a call, or a FENCE in its place.
    fn transmit_copy(
        &mut self,
        now: Time,
        handle: CallHandle,
        out: &mut Vec<u8>,
    ) -> Option<Transmit> {
        let jitter = self.jitter();
        let call = self.calls.get_mut(&handle)?;
        let Phase::Issued(issue) = &mut call.phase else {
            return None;
        };
        let session = self.sessions.get_mut(&issue.session)?;
        let flow = self.flows.get_mut(&session.server)?;
        let proofs = session.proofs(&self.rules);
        let server = session.server;
        issue.sends = issue.sends.saturating_add(1);
        issue.succeeded = issue.succeeded.saturating_add(1);
        issue.last = now;
        issue.jitter = jitter;
        issue.retry_at = None;
        if std::mem::take(&mut issue.queued) {
            flow.lost.remove(&handle);
        }
        let attempt = attempt_number(issue.sends);
        issue.recent.note(attempt, now);
        let (id, session_id) = (issue.id, issue.session);
        let message = if issue.fencing {
            FromClient::Fence { session: session_id, call: id, proofs }
        } else {
            call.attempts = call.attempts.saturating_add(1);
            if issue.sends > 1 {
                self.counters.0.retransmitted += 1;
            }
            if !issue.in_flight {
                issue.in_flight = true;
                flow.sent();
            }
            FromClient::Request {
                session: session_id,
                call: id,
                expiry: issue.expiry,
                method: call.method,
                flags: Flags::WHOLE,
                cell: 0,
                proofs,
                metadata: call.metadata.borrow(),
                unknown_critical: false,
                options: &[],
                body: &call.body,
            }
        };
        let before = out.len();
        Datagram { attempt, message }.emit(out);
        let sent = Transmit {
            remote: server,
            size: out.len() - before,
            segment_size: None,
            call: (!issue.fencing).then_some((handle, attempt)),
            hello: false,
            issue: call.issues,
        };
        self.arm(handle);
        Some(sent)
    }
}
