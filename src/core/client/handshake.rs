//! The handshake: HELLO until somebody answers, at one address after the other.
//!
//! It must not know calls beyond that some wait. Invariants: one nonce per handshake, and only the
//! first answer to it is kept; a refusal by the network is a hint, and ends only calls of which
//! nothing was ever sent.

use std::net::SocketAddr;
use std::time::Duration;

use super::call::attempt_number;
use super::flow::{last_chance, wanted_by_call};
use super::session::{ClockBound, Session};
use super::{Client, Key, Transmit};
use crate::core::{Rule, Time};
use crate::wire::{CallId, Code, Datagram, FromClient, HELLO_LEN, HelloAck, SessionId, VERSION};

/// Longest pause before addresses that refuse are tried again: a server that comes up is found
/// soon, and a datagram a second is what RFC 8085 section 3.1.3 allows without knowing anything.
const REFUSED_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Most doublings of the interval between HELLOs: beyond any deadline.
const DOUBLINGS_MAX: u32 = 20;

/// One address that may answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Candidate {
    server: SocketAddr,
    tried: Tried,
    /// HELLOs sent there.
    sends: u32,
}

/// What is known of an address in this round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Tried {
    NotYet,
    Sent,
    Refused,
}

/// A handshake in progress.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Handshake {
    nonce: u128,
    /// The random bytes in the place of the session id.
    salt: SessionId,
    candidates: Vec<Candidate>,
    /// HELLOs sent.
    sends: u32,
    /// The first one's time.
    first: Option<Time>,
    /// When each of the last few went where.
    recent: [Option<(u8, Time, SocketAddr)>; 4],
    /// Rounds in which nobody answered, and rounds in which everybody refused.
    silent_rounds: u32,
    refused_rounds: u32,
    /// The last HELLO's time, and the RTO of the path that it took.
    last: Option<(Time, Duration)>,
    /// When the current interval is over: a HELLO that goes sooner is no sign of silence.
    interval_ends: Time,
    /// A HELLO goes at once.
    due: bool,
    /// HELLOs that the kernel refused to send.
    unsent: u32,
}

impl Handshake {
    fn new(nonce: u128, salt: SessionId, servers: impl Iterator<Item = SocketAddr>) -> Self {
        let candidate = |server| Candidate { server, tried: Tried::NotYet, sends: 0 };
        Self {
            nonce,
            salt,
            candidates: servers.map(candidate).collect(),
            sends: 0,
            first: None,
            recent: [None; 4],
            silent_rounds: 0,
            refused_rounds: 0,
            last: None,
            interval_ends: Time::ZERO,
            due: true,
            unsent: 0,
        }
    }

    /// The next address not tried in this round.
    fn next(&mut self) -> Option<&mut Candidate> {
        self.candidates.iter_mut().find(|candidate| candidate.tried == Tried::NotYet)
    }

    fn new_round(&mut self) {
        for candidate in &mut self.candidates {
            candidate.tried = Tried::NotYet;
        }
    }

    fn addresses(&self) -> String {
        let servers: Vec<String> = self.candidates.iter().map(|c| c.server.to_string()).collect();
        servers.join(" or ")
    }

    /// What has kept calls waiting for it.
    pub(super) fn why_waiting(&self) -> String {
        let HellosText(hellos) = HellosText::new(self.sends);
        if self.sends > 0 && self.unsent >= self.sends {
            format!("the kernel refused to send {hellos} to {}", self.addresses())
        } else if self.refused_rounds > 0 {
            format!("nothing listened at {} until the deadline, {hellos}", self.addresses())
        } else {
            format!("deadline exceeded: no answer from {} to {hellos}", self.addresses())
        }
    }
}

/// "1 HELLO", "2 HELLOs".
struct HellosText(String);

impl HellosText {
    fn new(count: u32) -> Self {
        Self(format!("{count} HELLO{}", if count == 1 { "" } else { "s" }))
    }
}

/// Whether two addresses are the same place; an IPv6 address's flow label and scope may differ
/// between what was sent to and what an answer is said to come from.
pub(super) fn same_place(left: SocketAddr, right: SocketAddr) -> bool {
    left.port() == right.port() && left.ip().to_canonical() == right.ip().to_canonical()
}

impl Client {
    /// Begins a handshake unless one is in progress.
    pub(super) fn shake_hands(&mut self, now: Time) {
        if self.handshake.is_some() {
            return;
        }
        let nonce = self.random.next_u128();
        let salt = SessionId(self.random.next_u64());
        let first = self.bound.iter().copied();
        let others = self.servers.iter().copied();
        let servers = first.chain(others.filter(|server| Some(*server) != self.bound));
        let handshake = Handshake::new(nonce, salt, servers);
        let nobody = handshake.candidates.is_empty();
        self.handshake = Some(handshake);
        if nobody {
            self.end_unsent(now, "there is no address to call");
        }
    }

    /// Nobody waits for the handshake any more.
    pub(super) fn give_up_handshake(&mut self) {
        if self.handshake.take().is_some() {
            self.timers.clear(Key::Hello);
        }
    }

    /// Sends a HELLO if one is due.
    pub(super) fn transmit_hello(&mut self, now: Time, out: &mut Vec<u8>) -> Option<Transmit> {
        if !self.handshake.as_ref()?.due {
            return None;
        }
        let jitter = self.jitter();
        let handshake = self.handshake.as_mut()?;
        handshake.due = false;
        let (nonce, salt) = (handshake.nonce, handshake.salt);
        let sends = handshake.sends + 1;
        let candidate = handshake.next()?;
        candidate.tried = Tried::Sent;
        candidate.sends += 1;
        let server = candidate.server;
        handshake.sends = sends;
        handshake.first.get_or_insert(now);
        let attempt = attempt_number(sends);
        let place = usize::from(attempt) % handshake.recent.len();
        if let Some(entry) = handshake.recent.get_mut(place) {
            *entry = Some((attempt, now, server));
        }
        let doublings = handshake.silent_rounds.min(DOUBLINGS_MAX);
        let rto = self.rto(server);
        let interval_ends = now + jitter.lengthen(rto * (1 << doublings));
        if let Some(handshake) = &mut self.handshake {
            handshake.last = Some((now, rto));
            handshake.interval_ends = interval_ends;
        }
        self.timers.set(Key::Hello, interval_ends);
        let waiting = self.waiting().filter_map(|handle| self.calls.get(handle));
        let deadlines = waiting.map(|call| call.deadline);
        if let Some(at) = deadlines.filter_map(|end| last_chance(now, rto, end)).min() {
            self.timers.hasten(Key::Hello, at);
        }
        self.counters.hellos += 1;
        let hello = FromClient::Hello {
            session: salt,
            nonce,
            lowest: VERSION,
            highest: VERSION,
            length: HELLO_LEN,
        };
        let datagram = Datagram { attempt, message: hello };
        Some(Transmit { hello: true, ..self.emit(server, datagram, out) })
    }

    /// A HELLO was never sent: the next address, if one is left, is tried at once.
    pub(super) fn on_unsent_hello(&mut self) {
        if let Some(handshake) = &mut self.handshake {
            handshake.unsent += 1;
            handshake.due |= handshake.next().is_some();
        }
    }

    /// A call begins to wait until `deadline`.
    pub(super) fn hasten_hello(&mut self, deadline: Time) {
        if let Some((last, rto)) = self.handshake.as_ref().and_then(|handshake| handshake.last) {
            self.timers.hasten(Key::Hello, wanted_by_call(last, rto, deadline));
        }
    }

    /// No answer in time, or the last chance of a call that waits, or the pause after a round of
    /// refusals is over.
    pub(super) fn on_hello_timer(&mut self, now: Time) {
        if let Some(handshake) = &mut self.handshake {
            handshake.due = true;
            if handshake.next().is_none() {
                handshake.silent_rounds += u32::from(now >= handshake.interval_ends);
                handshake.new_round();
            }
        }
    }

    /// The network says that nothing listens at `server` (ICMP, ECONNREFUSED): a hint. A handshake
    /// goes on at the next address; with none left, calls of which nothing was ever sent end,
    /// unless they are to wait for a server. Calls in progress are not touched.
    pub fn handle_refused(&mut self, now: Time, server: SocketAddr) {
        self.counters.refused_by_network += 1;
        self.refuse_ping(now, server);
        self.refuse_candidate(now, server);
        self.advance(now);
    }

    fn refuse_candidate(&mut self, now: Time, server: SocketAddr) {
        let Some(handshake) = &mut self.handshake else {
            return;
        };
        let refused = |c: &&mut Candidate| c.tried == Tried::Sent && same_place(c.server, server);
        let Some(candidate) = handshake.candidates.iter_mut().find(refused) else {
            return;
        };
        candidate.tried = Tried::Refused;
        let place = candidate.server;
        if handshake.next().is_some() {
            handshake.due = true;
            return;
        }
        if handshake.candidates.iter().any(|c| c.tried == Tried::Sent) {
            return;
        }
        let rounds = handshake.refused_rounds.min(DOUBLINGS_MAX);
        handshake.refused_rounds += 1;
        handshake.new_round();
        handshake.due = false;
        let text = format!("nothing listens at {}", handshake.addresses());
        let pause = (self.rto(place) * (1 << rounds)).min(REFUSED_PAUSE_MAX);
        let pause = self.jitter().lengthen(pause);
        self.timers.set(Key::Hello, now + pause);
        if !self.config.wait_for_server {
            self.end_unsent(now, &text);
        }
    }

    /// Ends every waiting call that was never given an identity, and every waiting ping.
    fn end_unsent(&mut self, now: Time, text: &str) {
        self.end_waiting(now, Code::Unavailable, text, false);
    }

    /// Ends waiting calls and pings: all, or only those of which nothing was ever sent.
    fn end_waiting(&mut self, now: Time, code: Code, text: &str, all: bool) {
        for handle in self.waiting().collect::<Vec<_>>() {
            let never_issued = self.calls.get(handle).is_some_and(|call| call.issues == 0);
            if all || never_issued {
                self.end_unissued(now, handle, code, text.to_owned());
            }
        }
        for handle in self.waiting_pings.iter().copied().collect::<Vec<_>>() {
            self.end_ping(now, handle, code, text.to_owned());
        }
    }

    /// VERSION came, in answer to a HELLO: this server and this client have no version in common.
    pub(super) fn on_version(
        &mut self,
        now: Time,
        from: SocketAddr,
        (session, call): (SessionId, CallId),
        (lowest, highest): (u8, u8),
    ) {
        let Some(handshake) = &self.handshake else {
            self.counters.dropped_stray += 1;
            return;
        };
        let first_half = u64::try_from(handshake.nonce >> 64).unwrap_or(0);
        let asked = handshake.candidates.iter().any(|c| c.sends > 0 && same_place(c.server, from));
        let ours = session == handshake.salt && call.0 == first_half;
        if !asked || !ours || (lowest..=highest).contains(&VERSION) {
            self.counters.dropped_stray += 1;
            return;
        }
        self.counters.used += 1;
        let text = format!(
            "{from} speaks versions {lowest} to {highest} of the protocol, this client {VERSION}"
        );
        self.end_waiting(now, Code::Unimplemented, &text, true);
    }

    /// HELLO_ACK came: the first answer to the nonce makes the session.
    pub(super) fn on_hello_ack(
        &mut self,
        now: Time,
        from: SocketAddr,
        attempt: u8,
        session: SessionId,
        (nonce, clock): (u128, u64),
        ack: &HelloAck,
    ) {
        let Some(handshake) = self.handshake.as_ref().filter(|h| h.nonce == nonce) else {
            self.on_late_hello_ack(session, nonce, ack);
            return;
        };
        let asked = |c: &&_| {
            let c: &Candidate = c;
            c.sends > 0 && same_place(c.server, from)
        };
        let Some(server) = handshake.candidates.iter().find(asked).map(|c| c.server) else {
            self.counters.dropped_source += 1;
            return;
        };
        let sent = handshake.recent.iter().flatten().find_map(|(number, sent, place)| {
            (*number == attempt && *place == server).then_some(*sent)
        });
        let asked_at = sent.or(handshake.first).unwrap_or(now);
        let clock = ClockBound::new(clock, now);
        let flow = self.flow(server);
        let made = Session::new(session, (server, flow), nonce, clock, ack, asked_at);
        // One that was offered too long ago, or whose times contradict each other, is none.
        if ack.version != VERSION || self.sessions.contains(session) || !made.usable(now) {
            self.counters.dropped_foreign += 1;
            return;
        }
        self.counters.used += 1;
        self.give_up_handshake();
        self.bound = Some(server);
        if let Some(flow) = self.flows.get_mut(flow) {
            flow.set_window_max(ack.limits.window);
        }
        self.heard(now, flow);
        if let Some(sent) = sent {
            self.sample(now, flow, sent, 0);
        }
        self.sessions.insert(made);
        self.current = Some(session);
        self.end_by_limits(now);
    }

    /// An answer to a nonce that has been answered: dropped, because the session that it offers
    /// is another one.
    fn on_late_hello_ack(&mut self, session: SessionId, nonce: u128, ack: &HelloAck) {
        self.counters.dropped_stray += 1;
        if !self.rules.hold(Rule::HelloAckMints)
            && let Some(known) = self.sessions.get_mut(session)
            && known.nonce == nonce
        {
            known.offered_again(ack);
        }
    }
}
