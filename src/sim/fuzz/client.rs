//! The client core: what a server might say and time steps out of fuzz bytes, watched from the
//! socket.
//!
//! What must hold whatever comes (`checks`): every call ends once, and by its deadline; no copy of
//! a request is sent after it; all copies of an identity are the same; another identity is used
//! only once the earlier one is proved never to run, or the method has no side effects; Ok,
//! Executed and NotExecuted are claimed only after an answer that proves them.

mod checks;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::input::Input;
use super::metadata_of;
#[cfg(test)]
use crate::core::Rules;
use crate::core::client::{CallHandle, Client, ClientConfig, Event, NewCall};
use crate::core::{CallError, Rule, Seed, Time};
use crate::sim::net::SERVER;
use crate::wire::{
    Birth, CallId, Code, Datagram, Epoch, Flags, FromServer, HelloAck, Limits, Metadata, MethodId,
    PathProof, Reason, SessionId, SlotState, parse_from_server, seal,
};

/// Steps of a script at most, so that no input takes long.
const STEPS_MAX: usize = 400;

/// How late a call may end.
const SLACK: Duration = Duration::from_millis(1);

/// Runs a client through the script `data`.
///
/// # Panics
///
/// If a promise is broken.
pub fn client(data: &[u8]) {
    client_without(None, data);
}

/// The same with a client that does not keep one of the rules, where tests drop one.
pub(in crate::sim) fn client_without(dropped: Option<Rule>, data: &[u8]) {
    let mut input = Input::new(data);
    let mut probe = Probe::new(&mut input);
    #[cfg(test)]
    dropped.into_iter().for_each(|rule| probe.client.set_rules(Rules::dropping(rule)));
    let _ = dropped;
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        probe.step(&mut input);
    }
    probe.run_dry();
}

type Identity = (SessionId, CallId);

/// A call as its caller sees it.
struct Call {
    deadline: Time,
    no_side_effects: bool,
    ended: bool,
    identities: Vec<Identity>,
}

/// One identity as the socket sees it.
struct Issue {
    tag: u8,
    expiry: u64,
    /// Copies that may have left.
    sent: u32,
    /// At most the server's clock as the first copy left, µs.
    clock_at_first: u64,
    proved: bool,
    answers: Vec<(Code, Metadata, Vec<u8>)>,
    reply_gone: bool,
}

struct Session {
    epoch: Epoch,
    minted: u32,
    lease_us: u64,
    /// The latest of the server's clock as heard, and when.
    clock: (u64, Time),
    closed: bool,
    token_given: bool,
}

struct Probe {
    client: Client,
    now: Time,
    calls: BTreeMap<CallHandle, Call>,
    tags: Vec<CallHandle>,
    issues: BTreeMap<Identity, Issue>,
    sessions: BTreeMap<SessionId, Session>,
    offered: Vec<(SessionId, u128, Vec<u8>)>,
    nonces: Vec<u128>,
    /// What the client sent: session, call, attempt.
    sent: Vec<(SessionId, CallId, u8)>,
    history: Vec<Vec<u8>>,
    unsent: bool,
}

impl Probe {
    fn new(input: &mut Input<'_>) -> Self {
        let choice = input.byte();
        let config = ClientConfig {
            retry: choice & 1 == 0,
            wait_for_server: choice & 2 != 0,
            ping_after_idle: (choice & 4 == 0).then_some(Duration::from_secs(2)),
            max_waiting: if choice & 8 == 0 { 1000 } else { 2 },
            ..ClientConfig::default()
        };
        Self {
            client: Client::new(config, vec![SERVER], Seed::from_number(2)),
            now: Time::from_micros(1_000_000),
            calls: BTreeMap::new(),
            tags: Vec::new(),
            issues: BTreeMap::new(),
            sessions: BTreeMap::new(),
            offered: Vec::new(),
            nonces: Vec::new(),
            sent: Vec::new(),
            history: Vec::new(),
            unsent: false,
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let choice = input.byte();
        match choice % 24 {
            0..=3 if choice >= 240 => self.refuse(),
            0..=3 => self.call(input),
            4 if choice >= 128 => {
                if let Some(handle) = self.tags.get(input.below(self.tags.len())).copied() {
                    self.cancel_by(handle, Duration::from_millis(u64::from(choice) * 4));
                }
            }
            4 => {
                if let Some(handle) = self.tags.get(input.below(self.tags.len())) {
                    self.client.cancel(self.now, *handle);
                }
            }
            5 => {
                if let Some(handle) = self.tags.get(input.below(self.tags.len()))
                    && let Some(token) = self.client.token(*handle)
                    && let Some(session) = self.sessions.get_mut(&token.session)
                {
                    session.token_given = true;
                }
            }
            6 => {
                let deadline = self.now + input.span();
                let _ = self.client.ping(self.now, deadline);
            }
            7 if input.byte() > 200 => self.client.close(self.now),
            8 => self.client.handle_refused(self.now, SERVER),
            9 => self.unsent = input.byte().is_multiple_of(2),
            10..=12 => self.pass(input.span()),
            13 => {
                let bytes = input.bytes(1400).to_vec();
                self.receive(SERVER, bytes);
            }
            14 => {
                if let Some(bytes) = self.history.get(input.below(self.history.len())).cloned() {
                    self.receive(SERVER, bytes);
                }
            }
            15 => self.offer(input),
            _ => self.answer(input),
        }
        self.settle();
    }

    /// A call that its own side refuses: it has no deadline to miss, and nothing to be sent.
    fn refuse(&mut self) {
        let handle = self.client.refuse(CallError::never_sent(Code::Unauthenticated, "refused"));
        let (deadline, no_side_effects, identities) = (self.now, false, Vec::new());
        self.calls.insert(handle, Call { deadline, no_side_effects, ended: false, identities });
    }

    fn cancel_by(&mut self, handle: CallHandle, patience: Duration) {
        let until = self.now + patience;
        self.client.cancel_by(self.now, handle, until);
        if let Some(call) = self.calls.get_mut(&handle).filter(|call| !call.ended) {
            call.deadline = call.deadline.min(until);
        }
    }

    fn call(&mut self, input: &mut Input<'_>) {
        let Ok(tag) = u8::try_from(self.tags.len()) else { return };
        let no_side_effects = input.byte().is_multiple_of(4);
        let deadline = self.now + input.span();
        let handle = self.client.call(
            self.now,
            NewCall {
                method: MethodId::of("f/M"),
                metadata: metadata_of(tag.into()),
                body: vec![tag; 1 + input.below(200)],
                deadline,
                no_side_effects,
                retry: None,
            },
        );
        let identities = Vec::new();
        self.calls.insert(handle, Call { deadline, no_side_effects, ended: false, identities });
        self.tags.push(handle);
    }

    /// Answers the latest HELLO: with a new session, or with an old answer again.
    fn offer(&mut self, input: &mut Input<'_>) {
        let choice = input.byte();
        if choice & 1 != 0 && !self.offered.is_empty() {
            let (_, _, bytes) = &self.offered[input.below(self.offered.len())];
            let bytes = bytes.clone();
            return self.receive(SERVER, bytes);
        }
        let Some(&nonce) = self.nonces.last() else { return };
        let session = SessionId(0x0100 + self.offered.len() as u64);
        let clock = self.now.as_micros() * u64::from(1 + choice % 2);
        let minted = u32::try_from(clock / 1_000_000).unwrap_or(0);
        let extreme = choice & 2 != 0;
        let limits = Limits {
            window: if extreme { u32::try_from(input.number()).unwrap_or(0) } else { 4 },
            longest_deadline_ms: if extreme { u32::from(input.byte()) } else { 60_000 },
            lease_ms: if extreme { u32::from(input.byte()) * 2_000 } else { 300_000 },
            longest_datagram: if extreme { u16::from(input.byte()) * 8 } else { 1232 },
            longest_request: 1000,
            longest_reply: 1000,
        };
        let epoch = Epoch(u64::from(choice >> 6));
        let lease_us = u64::from(limits.lease_ms) * 1000;
        let ack = HelloAck {
            epoch,
            birth: Birth { minted, mac: 1 },
            path: PathProof { issued: minted, mac: 2 },
            limits,
            version: 1,
            software: *b"fuzz\0\0\0\0\0\0\0\0\0\0\0\0",
        };
        let message = FromServer::HelloAck { session, nonce, clock, ack };
        let mut bytes = Vec::new();
        Datagram { attempt: 1, message }.emit(&mut bytes);
        self.offered.push((session, nonce, bytes.clone()));
        let clock = (clock, self.now);
        self.sessions.insert(
            session,
            Session { epoch, minted, lease_us, clock, closed: false, token_given: false },
        );
        self.receive(SERVER, bytes);
    }

    /// Answers something that the client sent, in any way.
    fn answer(&mut self, input: &mut Input<'_>) {
        let back = input.below(8).min(self.sent.len().saturating_sub(1));
        let Some(&(session, call, attempt)) = self.sent.iter().rev().nth(back) else { return };
        let choice = input.byte();
        let (epoch, base) = match self.sessions.get(&session) {
            Some(session) if choice & 0x80 == 0 => (session.epoch, self.bound(session)),
            Some(session) => (Epoch(77), session.clock.0),
            None => (Epoch(0), 0),
        };
        let clock = base.saturating_add(input.number().saturating_mul(1_000));
        let (hold_us, credit, cell) = (u32::from(input.byte()), 0, 0);
        let with_metadata = choice % 8 < 2 && choice & 0x40 != 0;
        let metadata = metadata_of(if with_metadata { input.number() } else { 0 });
        let message = match choice % 8 {
            0 | 1 => FromServer::Reply {
                session,
                call,
                clock,
                hold_us,
                credit,
                status: if choice & 0x10 == 0 { Code::Ok } else { Code::from_u8(input.byte()) },
                flags: if choice & 0x20 == 0 { Flags::WHOLE } else { Flags::from_u8(input.byte()) },
                cell,
                metadata: metadata.borrow(),
                body: input.bytes(300),
            },
            2 => {
                let state = SlotState::from_u8(input.byte() % 6);
                FromServer::Progress { session, call, clock, hold_us, credit, cell, state }
            }
            3 | 4 => FromServer::Refused {
                session,
                call,
                clock,
                epoch,
                hold_us,
                reason: Reason::from_u8(if choice & 0x40 == 0 { 1 } else { input.byte() % 32 }),
                promise: choice & 0x20 != 0,
            },
            5 => {
                let issued = u32::from(input.byte());
                let path = PathProof { issued, mac: input.number() };
                FromServer::Challenge { session, call, clock, path }
            }
            6 => FromServer::Pong { session, call, clock, epoch, hold_us },
            _ => {
                let reason = Reason::Draining;
                FromServer::Goaway { session, call, clock, epoch, hold_us, reason }
            }
        };
        let mut bytes = Vec::new();
        Datagram { attempt, message }.emit(&mut bytes);
        if choice & 0x08 != 0 && input.byte() > 200 {
            // Some field changed at will.
            let place = input.below(bytes.len());
            bytes[place] = input.byte();
            seal(&mut bytes);
        }
        self.receive(SERVER, bytes);
    }

    /// At most what the client may believe of the server's clock.
    fn bound(&self, session: &Session) -> u64 {
        let (clock, heard) = session.clock;
        clock.saturating_add(u64::try_from(self.now.since(heard).as_micros()).unwrap_or(u64::MAX))
    }

    /// Notes what a datagram proves, and hands it over.
    fn receive(&mut self, from: SocketAddr, bytes: Vec<u8>) {
        if let Ok(Datagram { message, .. }) = parse_from_server(&bytes) {
            self.note(&message);
        }
        self.history.push(bytes.clone());
        self.client.handle_datagram(self.now, from, &bytes);
        self.settle();
    }

    fn note(&mut self, message: &FromServer<'_>) {
        let (named, heard) = match *message {
            FromServer::Reply { session, call, clock, status, metadata, body, .. } => {
                if let Some(issue) = self.issues.get_mut(&(session, call)) {
                    issue.answers.push((status, metadata.to_owned(), body.to_vec()));
                }
                (session, Some(clock))
            }
            FromServer::Refused { session, call, clock, epoch, reason, promise, .. } => {
                if let Some(issue) = self.issues.get_mut(&(session, call)) {
                    let unknown = reason == Reason::UnknownSession
                        && self.sessions.get(&session).is_some_and(|session| {
                            epoch == session.epoch
                                && clock >= (u64::from(session.minted) + 60) * 1_000_000
                                && clock < issue.clock_at_first.saturating_add(session.lease_us)
                                && !session.closed
                        });
                    issue.proved |= promise || unknown;
                    issue.reply_gone |= reason == Reason::ReplyGone;
                }
                (session, Some(clock))
            }
            FromServer::Progress { session, clock, .. }
            | FromServer::Challenge { session, clock, .. }
            | FromServer::Pong { session, clock, .. }
            | FromServer::Goaway { session, clock, .. } => (session, Some(clock)),
            FromServer::HelloAck { session, clock, .. } => (session, Some(clock)),
            FromServer::Version { session, .. } => (session, None),
        };
        let now = self.now;
        if let (Some(clock), Some(session)) = (heard, self.sessions.get(&named))
            && clock > self.bound(session)
            && let Some(session) = self.sessions.get_mut(&named)
        {
            session.clock = (clock, now);
        }
    }

    /// Time passes, and each timer goes off when it should.
    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        for turn in 0.. {
            assert!(turn < 100_000, "the timer never rests");
            match self.client.poll_timeout() {
                Some(at) if at <= end => {
                    self.now = self.now.max(at);
                    self.client.handle_timeout(self.now);
                    self.settle();
                }
                _ => break,
            }
        }
        self.now = end;
    }

    fn settle(&mut self) {
        let mut out = Vec::new();
        for turn in 0.. {
            assert!(turn < 10_000, "it never stops sending");
            let Some(transmit) = self.client.poll_transmit(self.now, &mut out) else { break };
            let segment = transmit.segment_size.unwrap_or(transmit.size).max(1);
            let unsent = self.unsent && transmit.size <= segment;
            for datagram in out[..transmit.size].chunks(segment) {
                self.sending(datagram, unsent);
            }
            out.clear();
            if unsent {
                self.client.handle_unsent(self.now, &transmit);
            }
        }
        while let Some(event) = self.client.poll_event() {
            if let Event::Ended { handle, result } = event {
                let result = match result {
                    Ok(reply) => Ok((reply.metadata, reply.body)),
                    Err(error) => Err((error.outcome, error.code, error.metadata)),
                };
                self.ended(handle, result);
            }
        }
    }

    fn run_dry(&mut self) {
        self.settle();
        self.pass(Duration::from_secs(6_000));
        for (handle, call) in &self.calls {
            assert!(call.ended, "{handle:?} never ended");
        }
    }
}
