//! What servers say: each datagram finds its handshake, session, call or ping, or is dropped and
//! counted.
//!
//! Invariant: a datagram is used only if it names a session of this client and comes from that
//! session's server, and a call only by its full id.

use std::net::SocketAddr;
use std::time::Duration;

use super::call::{Phase, attempt_number};
use super::handshake::same_place;
use super::{CallHandle, Client, FlowId};
use crate::core::Time;
use crate::wire::{
    CallId, Code, Datagram, Epoch, Flags, FromServer, MetadataRef, PathProof, SessionId, SlotState,
    parse_from_server,
};

/// The ids, clock and attempt that every answer within a session has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    pub(super) session: SessionId,
    pub(super) call: CallId,
    pub(super) attempt: u8,
    pub(super) clock: u64,
    /// How long it was held, µs; `None` where the kind does not say.
    pub(super) hold_us: Option<u32>,
}

impl Client {
    /// Takes a datagram that was received from `from`.
    pub fn handle_datagram(&mut self, now: Time, from: SocketAddr, datagram: &[u8]) {
        self.counters.received += 1;
        match parse_from_server(datagram) {
            Ok(datagram) => self.take(now, from, datagram),
            Err(_) => self.counters.dropped_malformed += 1,
        }
        for flow in self.flows.ids() {
            self.look_at_overtaken(now, flow);
        }
        self.advance(now);
    }

    fn take(&mut self, now: Time, from: SocketAddr, datagram: Datagram<FromServer<'_>>) {
        let Datagram { attempt, message } = datagram;
        let answer =
            |session, call, clock, hold_us| Answer { session, call, attempt, clock, hold_us };
        match message {
            FromServer::Version { session, call, lowest, highest } => {
                self.on_version(now, from, (session, call), (lowest, highest))
            }
            FromServer::HelloAck { session, nonce, clock, ack } => {
                self.on_hello_ack(now, from, attempt, session, (nonce, clock), &ack)
            }
            FromServer::Reply {
                session,
                call,
                clock,
                hold_us,
                status,
                flags,
                cell,
                metadata,
                body,
                ..
            } => {
                let answer = answer(session, call, clock, Some(hold_us));
                if !flags.contains(Flags::WHOLE) || flags.contains(Flags::META) || cell != 0 {
                    // A part of a longer reply, which nothing here has asked for.
                    self.counters.dropped_foreign += 1;
                } else if self.admit(now, from, &answer, None) {
                    self.on_reply(now, &answer, status, metadata, body);
                }
            }
            FromServer::Progress { session, call, clock, hold_us, state, .. } => {
                let answer = answer(session, call, clock, Some(hold_us));
                if self.admit(now, from, &answer, None) {
                    self.on_progress(now, &answer, state);
                }
            }
            FromServer::Challenge { session, call, clock, path } => {
                let answer = answer(session, call, clock, None);
                if self.admit(now, from, &answer, None) {
                    self.on_challenge(&answer, path);
                }
            }
            FromServer::Pong { session, call, clock, epoch, hold_us } => {
                let answer = answer(session, call, clock, Some(hold_us));
                if self.admit(now, from, &answer, Some(epoch)) {
                    self.on_pong_datagram(now, &answer, epoch);
                }
            }
            FromServer::Goaway { session, call, clock, epoch, hold_us, reason: _ } => {
                let answer = answer(session, call, clock, Some(hold_us));
                if self.admit(now, from, &answer, Some(epoch)) {
                    self.on_goaway(now, &answer);
                }
            }
            FromServer::Refused { session, call, clock, epoch, hold_us, reason, promise } => {
                let answer = answer(session, call, clock, Some(hold_us));
                self.on_refused(now, from, &answer, epoch, (reason, promise));
            }
        }
    }

    /// Whether an answer is for a session of ours, from its server and, where it says, of its
    /// epoch; if so, its clock counts, and the server has been heard.
    pub(super) fn admit(
        &mut self,
        now: Time,
        from: SocketAddr,
        answer: &Answer,
        epoch: Option<Epoch>,
    ) -> bool {
        let Some(session) = self.sessions.get_mut(answer.session) else {
            self.counters.dropped_stray += 1;
            return false;
        };
        if !same_place(session.server, from) {
            self.counters.dropped_source += 1;
            return false;
        }
        if epoch.is_some_and(|epoch| epoch != session.epoch) {
            self.counters.dropped_foreign += 1;
            return false;
        }
        session.clock.update(answer.clock, now);
        let flow = session.flow;
        self.heard(now, flow);
        true
    }

    /// Something valid was heard by this path.
    pub(super) fn heard(&mut self, now: Time, flow: FlowId) {
        if self.flows.get_mut(flow).is_some_and(|flow| flow.heard(now)) {
            self.rearm(flow);
        }
    }

    /// A sample of the round-trip time. One that is shorter than what clocks that differ by
    /// 1000 ppm make of the hold time is none.
    pub(super) fn sample(&mut self, now: Time, flow: FlowId, sent: Time, hold_us: u32) {
        let hold = Duration::from_micros(u64::from(hold_us));
        let Some(rtt) = now.since(sent).checked_sub(hold) else {
            return;
        };
        let Some(path) = self.flows.get_mut(flow) else { return };
        if rtt >= hold / 1000 && path.sample(now, rtt) {
            self.rearm(flow);
        }
    }

    /// Works out anew the timers of everything that was sent by this path. It looks at every call,
    /// and is needed only where the intervals have become much shorter.
    fn rearm(&mut self, flow: FlowId) {
        let there = |id| self.sessions.get(id).is_some_and(|session| session.flow == flow);
        let calls = self.calls.iter().filter(|(_, call)| match &call.phase {
            Phase::Issued(issue) => there(issue.session),
            _ => false,
        });
        let calls: Vec<CallHandle> = calls.map(|(handle, _)| handle).collect();
        for handle in calls {
            self.arm(handle);
        }
        for handle in self.pings.keys().copied().collect::<Vec<_>>() {
            self.arm_ping(handle);
        }
    }

    /// The call in progress that an answer names.
    pub(super) fn find_call(&self, answer: &Answer) -> Option<CallHandle> {
        let handle = self.sessions.get(answer.session)?.occupant(answer.call)?;
        match &self.calls.get(handle)?.phase {
            Phase::Issued(issue) if issue.session == answer.session && issue.id == answer.call => {
                Some(handle)
            }
            _ => None,
        }
    }

    /// When the copy was sent that is answered; its round trip is a sample.
    fn asked(&mut self, now: Time, answer: &Answer) -> Option<Time> {
        let flow = self.sessions.get(answer.session)?.flow;
        let sent = if let Some(handle) = self.find_call(answer) {
            let Phase::Issued(issue) = &mut self.calls.get_mut(handle)?.phase else { return None };
            let sent = issue.recent.take(answer.attempt)?;
            let path = self.flows.get_mut(flow)?;
            if answer.attempt == attempt_number(issue.sends) {
                path.order.answered(issue.order);
            } else if let Some(declared) = issue.doubted.take() {
                // An earlier copy is answered: it was late, not lost.
                path.was_not_lost(declared);
            }
            sent
        } else {
            let ping = self.find_ping(answer.session, answer.call)?;
            self.ping_sent(ping, answer.attempt)?
        };
        if let Some(hold_us) = answer.hold_us {
            self.sample(now, flow, sent, hold_us);
        }
        Some(sent)
    }

    /// An answer came from inside the session: it exists, and this address is proved. Returns when
    /// the copy was sent that it answers.
    pub(super) fn answered_inside(&mut self, now: Time, answer: &Answer) -> Option<Time> {
        let asked = self.asked(now, answer);
        if let Some(session) = self.sessions.get_mut(answer.session) {
            session.answered_inside(now, asked);
        }
        asked
    }

    /// The call's copy in flight has been answered.
    pub(super) fn leave_flight(&mut self, handle: CallHandle) {
        let Some(call) = self.calls.get_mut(handle) else {
            return;
        };
        let Phase::Issued(issue) = &mut call.phase else {
            return;
        };
        let session = self.sessions.get(issue.session);
        if issue.in_flight
            && let Some(flow) = session.and_then(|session| self.flows.get_mut(session.flow))
        {
            issue.in_flight = false;
            flow.answered();
        }
    }

    fn on_reply(
        &mut self,
        now: Time,
        answer: &Answer,
        status: Code,
        metadata: MetadataRef<'_>,
        body: &[u8],
    ) {
        self.answered_inside(now, answer);
        let Some(handle) = self.find_call(answer) else {
            self.counters.dropped_late += 1;
            return;
        };
        self.counters.used += 1;
        self.leave_flight(handle);
        if !self.slow.is_empty() {
            self.note_taken(now, handle);
        }
        self.end_answered(now, handle, status, metadata, body);
    }

    /// How long a call took, for those of its method that follow.
    fn note_taken(&mut self, now: Time, handle: CallHandle) {
        if let Some(call) = self.calls.get(handle)
            && let Phase::Issued(issue) = &call.phase
            && let Some(session) = self.sessions.get(issue.session)
            && let Some(rtt) = self.flows.get(session.flow).and_then(|flow| flow.overdue())
        {
            self.slow.note(call.method, now.since(issue.first), rtt);
        }
    }

    fn on_progress(&mut self, now: Time, answer: &Answer, state: SlotState) {
        self.answered_inside(now, answer);
        let Some(handle) = self.find_call(answer) else {
            self.counters.dropped_late += 1;
            return;
        };
        self.counters.used += 1;
        if !matches!(state, SlotState::Queued | SlotState::Running) {
            return;
        }
        self.leave_flight(handle);
        let Some(call) = self.calls.get_mut(handle) else {
            return;
        };
        let Phase::Issued(issue) = &mut call.phase else {
            return;
        };
        issue.progress = Some(now);
        issue.retry_at = None;
        issue.overdue_at = None;
        let doubted = issue.doubted.take();
        if std::mem::take(&mut issue.probed) {
            self.slow.add(call.method, now.since(issue.first));
        }
        if let Some(declared) = doubted {
            // The server had the call already: it takes its time.
            self.slow.add(call.method, now.since(issue.first));
            if let Some(session) = self.sessions.get(issue.session)
                && let Some(flow) = self.flows.get_mut(session.flow)
            {
                flow.was_not_lost(declared);
            }
        }
        if std::mem::take(&mut issue.queued)
            && let Some(session) = self.sessions.get(issue.session)
            && let Some(flow) = self.flows.get_mut(session.flow)
        {
            flow.lost.remove(&handle);
        }
        self.arm(handle);
    }

    fn on_challenge(&mut self, answer: &Answer, path: PathProof) {
        let session = self.sessions.get_mut(answer.session);
        let newer = session.is_some_and(|session| session.challenged(path));
        if let Some(handle) = self.find_call(answer) {
            self.counters.used += 1;
            self.leave_flight(handle);
            if let Some(call) = self.calls.get_mut(handle)
                && let Phase::Issued(issue) = &mut call.phase
                && newer
                && issue.challenged != Some(path)
            {
                issue.challenged = Some(path);
                self.hurry(handle);
            }
            self.arm(handle);
        } else if let Some(ping) = self.find_ping(answer.session, answer.call) {
            self.counters.used += 1;
            if newer {
                self.challenge_ping(ping, path);
            }
        } else {
            self.counters.dropped_late += 1;
        }
    }

    fn on_pong_datagram(&mut self, now: Time, answer: &Answer, epoch: Epoch) {
        let asked = self.answered_inside(now, answer);
        let Some(ping) = self.find_ping(answer.session, answer.call) else {
            self.counters.dropped_late += 1;
            return;
        };
        self.counters.used += 1;
        let sample = asked.zip(answer.hold_us);
        self.on_pong(now, ping, answer.session, sample, (epoch, answer.clock));
    }

    /// The server takes no new calls: the session is left, and calls that wait go on waiting.
    fn on_goaway(&mut self, now: Time, answer: &Answer) {
        self.answered_inside(now, answer);
        self.counters.used += 1;
        if let Some(ping) = self.find_ping(answer.session, answer.call) {
            let text = "the server is draining".to_owned();
            if let Some(session) = self.sessions.get_mut(answer.session)
                && session.ping == Some(ping)
            {
                session.ping = None;
            }
            self.end_ping(now, ping, Code::Unavailable, text);
        }
        self.leave(now, answer.session);
    }
}
