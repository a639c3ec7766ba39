//! What goes out next: what is urgent, then lost copies, then new calls, as far as the path and
//! the window of slots have room; copies for one server go together, as a run.
//!
//! Invariants: an identity is used up as soon as its first copy is handed out; no copy of a request
//! is handed out after its deadline; FENCE, PING, HELLO and CLOSE are outside the window.

use std::net::SocketAddr;

use super::call::{Issue, Phase, Recent, attempt_number};
use super::flow::Jitter;
use super::run::{Copied, Run};
use super::{CallHandle, Client, FlowId, Transmit};
use crate::core::{Time, micros};
use crate::wire::{Datagram, Flags, FromClient, HEADER_LEN, SessionId};

/// A copy that may go next.
#[derive(Debug, Clone, Copy)]
struct Next {
    handle: CallHandle,
    from: From,
}

/// Where a copy waits for its turn.
#[derive(Debug, Clone, Copy)]
enum From {
    /// Among those that go whatever the window says.
    Urgent,
    /// Among the lost copies of this path.
    Lost(FlowId),
    /// Among the calls without an identity; this session is to give it one.
    Waiting(SessionId),
}

impl Client {
    /// Appends to `out` the next datagram, or a run: up to 64 copies of requests, of one size and
    /// at most 60 kB, for one server ([`Transmit::segment_size`]). Says where it goes; `None` when
    /// there is nothing (more) to send now. To be called until then after every input.
    pub fn poll_transmit(&mut self, now: Time, out: &mut Vec<u8>) -> Option<Transmit> {
        self.advance(now);
        let alone = self
            .transmit_closing(out)
            .or_else(|| self.transmit_hello(now, out))
            .or_else(|| self.transmit_ping(now, out));
        if alone.is_some() {
            self.counters.sent += 1;
            return alone;
        }
        self.transmit_run(now, out)
    }

    /// Says that a datagram was never sent: it went to the kernel alone, and the kernel took none
    /// of it. Not for a run, which counts as sent whatever became of it. To be called, if at all,
    /// before the next input.
    pub fn handle_unsent(&mut self, _now: Time, sent: &Transmit) {
        self.counters.unsent += 1;
        if sent.hello {
            self.on_unsent_hello();
        }
        let Some((handle, attempt)) = sent.call else {
            return;
        };
        let Some(call) = self.calls.get_mut(handle) else {
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
        let session = self.sessions.get(issue.session);
        if issue.in_flight
            && attempt == attempt_number(issue.sends)
            && let Some(flow) = session.and_then(|session| self.flows.get_mut(session.flow))
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
            until: Time::MAX,
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

    /// Gathers a run of copies, and appends them to `out`.
    fn transmit_run(&mut self, now: Time, out: &mut Vec<u8>) -> Option<Transmit> {
        let mut run = Run::default();
        let mut handles = std::mem::take(&mut self.run.0);
        handles.clear();
        while let Some(next) = self.next_copy(now) {
            let Some(copy) = self.copied(&next) else { break };
            if !run.join(&copy) || !self.take_copy(now, &next, copy.session) {
                break;
            }
            handles.push(next.handle);
        }
        let sent = self.emit_run(&handles, run.size(), out);
        self.expect_word(&handles);
        self.run.0 = handles;
        sent
    }

    /// The copy that is to go next, if anything is and has room.
    fn next_copy(&mut self, now: Time) -> Option<Next> {
        let urgent = self.next_urgent(now).map(|handle| Next { handle, from: From::Urgent });
        urgent.or_else(|| self.next_lost(now)).or_else(|| self.next_new(now))
    }

    fn next_urgent(&mut self, now: Time) -> Option<CallHandle> {
        while let Some(handle) = self.urgent.front().copied() {
            if let Some(call) = self.calls.get_mut(handle)
                && let Phase::Issued(issue) = &mut call.phase
                && issue.urgent
            {
                if now < call.deadline {
                    return Some(handle);
                }
                issue.urgent = false;
            }
            self.urgent.pop_front();
        }
        None
    }

    /// The oldest call whose lost copy has room on the way to its server.
    fn next_lost(&mut self, now: Time) -> Option<Next> {
        for (id, flow) in self.flows.iter_mut().filter(|(_, flow)| flow.has_room()) {
            while let Some(handle) = flow.lost.first().copied() {
                if self.calls.get(handle).is_some_and(|call| now < call.deadline) {
                    return Some(Next { handle, from: From::Lost(id) });
                }
                flow.lost.pop_first();
            }
        }
        None
    }

    fn next_new(&mut self, now: Time) -> Option<Next> {
        loop {
            let current = self.current?;
            let session = self.sessions.get(current)?;
            if !session.has_slot() || !self.flows.get(session.flow)?.has_room() {
                return None;
            }
            let safe = self.waiting_safe.first(&self.calls);
            let risky = match self.is_unheard(now, current) {
                true => None,
                false => self.waiting_risky.first(&self.calls),
            };
            let handle = match (safe, risky) {
                (Some(safe), Some(risky)) => safe.min(risky),
                (one, other) => one.or(other)?,
            };
            if self.calls.get(handle).is_some_and(|call| now < call.deadline) {
                return Some(Next { handle, from: From::Waiting(current) });
            }
            self.end_at_deadline(now, handle);
        }
    }

    /// What a run has to know of a copy.
    fn copied(&self, next: &Next) -> Option<Copied> {
        let call = self.calls.get(next.handle)?;
        let (id, fencing) = match (next.from, &call.phase) {
            (From::Waiting(session), _) => (session, false),
            (_, Phase::Issued(issue)) => (issue.session, issue.fencing),
            _ => return None,
        };
        let session = self.sessions.get(id)?;
        let proofs = session.carried().len();
        let metadata = call.metadata.borrow().option_len();
        let (options, body) =
            if fencing { (proofs, 0) } else { (proofs + metadata, call.body.len()) };
        Some(Copied {
            session: id,
            len: HEADER_LEN + options + body,
            options,
            longest: usize::from(session.limits.longest_datagram),
        })
    }

    /// Takes a copy from where it waited, and counts it as sent; false if its session has no id
    /// left to give it.
    fn take_copy(&mut self, now: Time, next: &Next, session: SessionId) -> bool {
        match next.from {
            From::Urgent => {
                self.urgent.pop_front();
            }
            From::Lost(flow) => {
                if let Some(flow) = self.flows.get_mut(flow) {
                    flow.lost.remove(&next.handle);
                }
            }
            From::Waiting(_) => {
                if !self.begin_issue(now, next.handle, session) {
                    return false;
                }
            }
        }
        self.begin_copy(now, next.handle);
        true
    }

    /// Gives a waiting call an identity in `session`.
    fn begin_issue(&mut self, now: Time, handle: CallHandle, id: SessionId) -> bool {
        let Some(session) = self.sessions.get_mut(id) else {
            return false;
        };
        let Some(call) = self.calls.get_mut(handle) else {
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
            order: 0,
            overdue_at: None,
            doubted: None,
            probed: false,
            retry_at: None,
            challenged: None,
            fencing: false,
        });
        let waiting = match call.no_side_effects {
            true => &mut self.waiting_safe,
            false => &mut self.waiting_risky,
        };
        waiting.pop(handle);
        true
    }

    /// Counts the next copy of a call, or a FENCE in its place.
    fn begin_copy(&mut self, now: Time, handle: CallHandle) {
        let jitter = self.jitter();
        let Some(call) = self.calls.get_mut(handle) else { return };
        let Phase::Issued(issue) = &mut call.phase else { return };
        let session = self.sessions.get(issue.session);
        let flow = session.and_then(|session| self.flows.get_mut(session.flow));
        let Some(flow) = flow else { return };
        issue.sends = issue.sends.saturating_add(1);
        issue.succeeded = issue.succeeded.saturating_add(1);
        issue.last = now;
        issue.jitter = jitter;
        issue.retry_at = None;
        issue.overdue_at = None;
        issue.urgent = false;
        if std::mem::take(&mut issue.queued) {
            flow.lost.remove(&handle);
        }
        issue.recent.note(attempt_number(issue.sends), now);
        if !issue.fencing {
            call.attempts = call.attempts.saturating_add(1);
            if issue.sends > 1 {
                self.counters.0.retransmitted += 1;
            }
            issue.order = flow.order.sent(handle);
            if !issue.in_flight {
                issue.in_flight = true;
                flow.sent();
            }
            flow.went(now);
        }
        self.arm(handle);
    }

    /// Appends the copies of these calls to `out`, each `size` bytes long.
    fn emit_run(
        &mut self,
        handles: &[CallHandle],
        size: usize,
        out: &mut Vec<u8>,
    ) -> Option<Transmit> {
        let before = out.len();
        let (mut first, mut until) = (None, Time::MAX);
        for handle in handles {
            let sent = self.emit_copy(*handle, size, out)?;
            until = until.min(sent.until);
            first.get_or_insert(sent);
        }
        let sent = first?;
        let alone = handles.len() == 1;
        self.counters.sent += u64::try_from(handles.len()).unwrap_or(0);
        Some(Transmit {
            size: out.len() - before,
            segment_size: (!alone).then_some(size),
            until,
            call: sent.call.filter(|_| alone),
            ..sent
        })
    }

    /// Appends the copy of a call that was begun last, padded to `size` bytes.
    fn emit_copy(
        &mut self,
        handle: CallHandle,
        size: usize,
        out: &mut Vec<u8>,
    ) -> Option<Transmit> {
        let call = self.calls.get(handle)?;
        let Phase::Issued(issue) = &call.phase else { return None };
        let &Issue { session: id, id: call_id, fencing, .. } = issue;
        let attempt = attempt_number(issue.sends);
        let session = self.sessions.get_mut(id)?;
        let proofs = session.proofs(&self.rules);
        let message = if fencing {
            FromClient::Fence { session: id, call: call_id, proofs }
        } else {
            FromClient::Request {
                session: id,
                call: call_id,
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
        Datagram { attempt, message }.emit_padded(out, size);
        let (sent, until) = match fencing {
            true => (None, Time::MAX),
            false => (Some((handle, attempt)), call.deadline),
        };
        Some(Transmit {
            remote: session.server,
            size,
            segment_size: None,
            until,
            call: sent,
            hello: false,
            issue: call.issues,
        })
    }
}
