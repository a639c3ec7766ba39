//! PING: asked for by the caller, or before a call is risked in a session long unheard.
//!
//! Nothing of a ping ever runs. Invariant: a ping that calls wait for belongs to the session that
//! names it.

use std::net::SocketAddr;

use super::call::{Recent, attempt_number};
use super::flow::{Flow, Jitter, last_chance, wanted_by_call};
use super::handshake::same_place;
use super::{CallHandle, Client, Event, Key, NEVER_SENT, Pong, Transmit};
use crate::core::{CallError, Time};
use crate::wire::{CallId, Code, Datagram, Epoch, FromClient, Metadata, PathProof, SessionId};

/// Its own interval doubles after so many copies.
const COPIES_PER_DOUBLING: u32 = 3;

/// A ping in progress.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Ping {
    /// The caller asked for it: its end is an event. Otherwise calls wait for it.
    pub(super) asked_for: bool,
    begun: Time,
    deadline: Time,
    /// Where it is sent; none while it waits for a session.
    place: Option<(SessionId, CallId)>,
    /// PINGs sent, in all sessions.
    sends: u32,
    last: Time,
    /// The last chance of a call that waits for it.
    wanted: Option<Time>,
    jitter: Jitter,
    recent: Recent,
    challenged: Option<PathProof>,
    /// A copy goes at once.
    due: bool,
}

impl Ping {
    /// A ping asked for by the caller.
    pub(super) fn asked_for(now: Time, deadline: Time) -> Self {
        Self {
            asked_for: true,
            begun: now,
            deadline,
            place: None,
            sends: 0,
            last: now,
            wanted: None,
            jitter: Jitter::default(),
            recent: Recent::default(),
            challenged: None,
            due: false,
        }
    }

    /// PINGs sent.
    pub(super) fn sends(&self) -> u32 {
        self.sends
    }

    fn next_at(&self, flow: &Flow) -> Time {
        let doublings = (self.sends / COPIES_PER_DOUBLING).min(20);
        let next = self.last + self.jitter.lengthen(flow.interval()) * (1 << doublings);
        next.min(self.deadline).min(self.wanted.unwrap_or(Time::MAX))
    }
}

impl Client {
    /// Pings before calls that may have side effects are risked in `session`.
    pub(super) fn ping_before_risk(&mut self, now: Time, session: SessionId) {
        if self.sessions.get(session).is_none_or(|s| s.ping.is_some()) {
            return;
        }
        let handle = self.next_handle();
        let ping = Ping { asked_for: false, ..Ping::asked_for(now, Time::MAX) };
        self.pings.insert(handle, ping);
        self.place_ping(handle, session);
        if let Some(session) = self.sessions.get_mut(session) {
            session.ping = Some(handle);
        }
    }

    fn place_ping(&mut self, handle: CallHandle, session: SessionId) {
        if let Some(made) = self.sessions.get_mut(session)
            && let Some(ping) = self.pings.get_mut(&handle)
        {
            ping.place = Some((session, made.next_ping()));
            ping.challenged = None;
            ping.recent = Recent::default();
            ping.due = true;
        }
    }

    /// Sends a PING if one is due.
    pub(super) fn transmit_ping(&mut self, now: Time, out: &mut Vec<u8>) -> Option<Transmit> {
        if let Some(current) = self.current
            && let Some(handle) = self.waiting_pings.pop_first()
        {
            self.place_ping(handle, current);
        }
        let due = self.pings.iter().find(|(_, ping)| ping.due);
        let handle = due.map(|(handle, _)| *handle)?;
        let jitter = self.jitter();
        let ping = self.pings.get_mut(&handle)?;
        ping.due = false;
        let (session_id, call) = ping.place?;
        let session = self.sessions.get_mut(session_id)?;
        let proofs = session.proofs(&self.rules);
        let server = session.server;
        let flow = self.flows.get(session.flow)?;
        ping.sends += 1;
        ping.last = now;
        ping.wanted = None;
        if session.ping == Some(handle) {
            let waiting = self.waiting_risky.iter(&self.calls);
            let waiting = waiting.filter_map(|handle| self.calls.get(handle));
            let chances = waiting.filter_map(|c| last_chance(now, flow.rto(), c.deadline));
            ping.wanted = chances.min();
        }
        ping.jitter = jitter;
        let attempt = attempt_number(ping.sends);
        ping.recent.note(attempt, now);
        self.counters.pings += 1;
        self.arm_ping(handle);
        let message = FromClient::Ping { session: session_id, call, proofs };
        Some(self.emit(server, Datagram { attempt, message }, out))
    }

    /// A call begins to wait until `deadline` for the current session's ping.
    pub(super) fn hasten_ping(&mut self, deadline: Time) {
        let Some(session) = self.current.and_then(|id| self.sessions.get(id)) else {
            return;
        };
        if let Some(handle) = session.ping
            && let Some(flow) = self.flows.get(session.flow)
            && let Some(ping) = self.pings.get_mut(&handle)
            && ping.sends > 0
        {
            let at = wanted_by_call(ping.last, flow.rto(), deadline);
            ping.wanted = Some(ping.wanted.map_or(at, |wanted| wanted.min(at)));
            self.arm_ping(handle);
        }
    }

    /// Sets the timer of a ping.
    pub(super) fn arm_ping(&mut self, handle: CallHandle) {
        let Some(ping) = self.pings.get(&handle) else {
            return;
        };
        let session = ping.place.and_then(|(id, _)| self.sessions.get(id));
        let flow = session.and_then(|session| self.flows.get(session.flow));
        let at = flow.map_or(ping.deadline, |flow| ping.next_at(flow));
        self.timers.set(Key::Ping(handle), at);
    }

    pub(super) fn on_ping_timer(&mut self, now: Time, handle: CallHandle) {
        let Some(ping) = self.pings.get(&handle) else {
            return;
        };
        if now >= ping.deadline {
            let text = match (&self.handshake, ping.place) {
                (Some(handshake), None) => handshake.why_waiting(),
                _ => format!("deadline exceeded: no answer to {} PINGs", ping.sends),
            };
            self.end_ping(now, handle, Code::DeadlineExceeded, text);
            return;
        }
        let (last, place, asked_for) = (ping.last, ping.place, ping.asked_for);
        if let Some((session, _)) = place
            && !asked_for
            && (self.waiting_risky.is_empty() || !self.is_unheard(now, session))
        {
            // Nobody waits for it any more.
            if let Some(session) = self.sessions.get_mut(session) {
                session.ping = None;
            }
            self.drop_ping(handle);
            return;
        }
        let session = place.and_then(|(id, _)| self.sessions.get(id));
        if let Some(session) = session
            && let Some(flow) = self.flows.get_mut(session.flow)
            && let Some(ping) = self.pings.get_mut(&handle)
            && ping.next_at(flow) <= now
        {
            ping.due = true;
            flow.back_off(now, last);
            return;
        }
        self.arm_ping(handle);
    }

    /// The ping of `session` with this id.
    pub(super) fn find_ping(&self, session: SessionId, call: CallId) -> Option<CallHandle> {
        let found = self.pings.iter().find(|(_, ping)| ping.place == Some((session, call)));
        found.map(|(handle, _)| *handle)
    }

    /// When the copy numbered `attempt` was sent.
    pub(super) fn ping_sent(&mut self, handle: CallHandle, attempt: u8) -> Option<Time> {
        self.pings.get_mut(&handle)?.recent.take(attempt)
    }

    /// The session answered: calls may be risked in it, and a caller who asked is told.
    pub(super) fn on_pong(
        &mut self,
        now: Time,
        handle: CallHandle,
        session: SessionId,
        sample: Option<(Time, u32)>,
        (epoch, clock): (Epoch, u64),
    ) {
        let Some(known) = self.sessions.get_mut(session) else {
            return;
        };
        if known.ping == Some(handle) {
            known.ping = None;
        }
        let software = known.software.clone();
        let Some(ping) = self.pings.get(&handle) else {
            return;
        };
        let (sent, hold_us) = sample.unwrap_or((ping.last, 0));
        let hold = std::time::Duration::from_micros(u64::from(hold_us));
        let pong = Pong {
            rtt: now.since(sent).saturating_sub(hold),
            epoch,
            clock,
            software,
            attempts: ping.sends,
        };
        if ping.asked_for {
            let result = Ok(pong);
            self.events.push_back(Event::Ponged { handle, result });
        }
        self.drop_ping(handle);
    }

    /// Ends a ping that the caller asked for, with an error.
    pub(super) fn end_ping(&mut self, now: Time, handle: CallHandle, code: Code, message: String) {
        if let Some(ping) = self.pings.get(&handle)
            && ping.asked_for
        {
            let error = CallError {
                code,
                message,
                details: Vec::new(),
                metadata: Metadata::new(),
                outcome: NEVER_SENT,
                attempts: ping.sends,
                issues: 0,
                elapsed: now.since(ping.begun),
                token: None,
            };
            let result = Err(error);
            self.events.push_back(Event::Ponged { handle, result });
        }
        self.drop_ping(handle);
    }

    /// Pings of a session that is left go to the next one.
    pub(super) fn pings_need_session(&mut self, id: SessionId) {
        for (handle, ping) in &mut self.pings {
            if ping.place.is_some_and(|(session, _)| session == id) {
                ping.place = None;
                ping.due = false;
                self.waiting_pings.insert(*handle);
                self.timers.set(Key::Ping(*handle), ping.deadline);
            }
        }
    }

    /// CHALLENGE answered a ping: it goes again at once, once per path.
    pub(super) fn challenge_ping(&mut self, handle: CallHandle, path: PathProof) {
        if let Some(ping) = self.pings.get_mut(&handle)
            && ping.challenged != Some(path)
        {
            ping.challenged = Some(path);
            ping.due = true;
        }
    }

    /// The network refused something while calls wait for a ping: the session is left, so that a
    /// handshake, of which every refusal is told, says whether anything listens.
    pub(super) fn refuse_ping(&mut self, now: Time, server: SocketAddr) {
        let Some(session) = self.current.and_then(|id| self.sessions.get(id)) else {
            return;
        };
        let pinged = self
            .pings
            .values()
            .any(|ping| ping.sends > 0 && ping.place.is_some_and(|(id, _)| id == session.id));
        if pinged && same_place(session.server, server) {
            let id = session.id;
            self.leave(now, id);
        }
    }
}
