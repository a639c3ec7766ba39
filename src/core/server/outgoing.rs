//! Answers that wait to be sent. A reply stays in its slot until the moment that it is written
//! out, so that clock and hold time are fresh and a full queue loses nothing: the next duplicate
//! fetches it.

use std::collections::VecDeque;

use super::batch;
use super::common::{Arrival, Common};
use super::counters::Done;
use super::sessions::Sessions;
use super::slot::{Slot, State};
use super::{Route, Transmit};
use crate::core::{Rule, Time};
use crate::wire::{
    CallId, Datagram, Flags, FromServer, HEADER_LEN, HELLO_LEN, HelloAck, Limits, MAX_BODY,
    MAX_DATAGRAM, MAX_REQUEST_BODY, Reason, SessionId, SlotState, VERSION,
};

/// What an answer says; the rest is looked up as it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Say {
    HelloAck {
        nonce: u128,
    },
    Version,
    Challenge,
    Pong,
    Goaway,
    Progress(SlotState),
    Refused {
        reason: Reason,
        promise: bool,
    },
    /// `size` is what the reply takes behind the header, `options` what of it are options.
    Reply {
        size: usize,
        options: usize,
    },
}

impl Say {
    /// A refusal that is recorded: the call never runs.
    pub(super) fn promise(reason: Reason) -> Self {
        Say::Refused { reason, promise: true }
    }

    /// A refusal of which nothing is recorded.
    pub(super) fn refusal(reason: Reason) -> Self {
        Say::Refused { reason, promise: false }
    }

    /// The reply that the slot holds.
    pub(super) fn reply(slot: &Slot) -> Self {
        Say::Reply { size: slot.reply_size(), options: slot.metadata_len() }
    }

    /// Length of the datagram, bytes, unless it is padded.
    pub(super) fn len(self) -> usize {
        match self {
            Say::HelloAck { .. } => HELLO_LEN,
            Say::Reply { size, .. } => HEADER_LEN + size,
            _ => HEADER_LEN,
        }
    }

    /// Bytes of options, where it may be padded. Replies may: they go to proved addresses alone, and
    /// they are what comes in numbers and in different lengths.
    pub(super) fn paddable(self) -> Option<usize> {
        match self {
            Say::Reply { options, .. } => Some(options),
            _ => None,
        }
    }
}

/// An answer that waits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Answer {
    route: Route,
    session: SessionId,
    call: CallId,
    /// The attempt that it answers.
    attempt: u8,
    /// When that arrived, µs of the server's clock.
    arrived: u64,
    say: Say,
}

impl Answer {
    /// An answer to what just came, to where it came from.
    pub(super) fn to(arrival: &Arrival<'_>, say: Say) -> Self {
        Self {
            route: *arrival.route,
            session: arrival.session,
            call: arrival.call,
            attempt: arrival.attempt,
            arrived: arrival.clock,
            say,
        }
    }

    /// An answer to the latest copy of a call, to where that came from.
    pub(super) fn of_call(
        key: super::CallKey,
        slot: &super::slot::Slot,
        routes: &super::routes::Routes,
        say: Say,
    ) -> Self {
        Self {
            route: routes.get(slot.route),
            session: key.session,
            call: key.call,
            attempt: slot.attempt,
            arrived: slot.latest,
            say,
        }
    }
}

/// The answers that wait, in the order in which they go.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Outgoing {
    answers: VecDeque<Answer>,
    max: usize,
}

impl Outgoing {
    pub(super) fn new(max: usize) -> Self {
        Self { answers: VecDeque::new(), max }
    }

    /// Whether there was room.
    pub(super) fn push(&mut self, answer: Answer) -> bool {
        let fits = self.answers.len() < self.max;
        if fits {
            self.answers.push_back(answer);
        }
        fits
    }

    pub(super) fn len(&self) -> usize {
        self.answers.len()
    }

    /// What goes next, and in which size: how many answers of those at the front.
    fn batch(&self) -> batch::Batch {
        let mut answers = self.answers.iter();
        let Some(first) = answers.next() else { return batch::Batch::default() };
        let mut batch = batch::Batch::of(first.say);
        while answers.next().is_some_and(|next| next.route == first.route && batch.take(next.say)) {
        }
        batch
    }
}

/// Writes out the answers at the front of the queue that go together.
pub(super) fn poll_transmit(
    sessions: &Sessions,
    common: &mut Common,
    clock: u64,
    out: &mut Vec<u8>,
) -> Option<Transmit> {
    let start = out.len();
    loop {
        let batch = common.outgoing.batch();
        let route = common.outgoing.answers.front()?.route;
        let mut segments = 0;
        for _ in 0..batch.count() {
            let Some(answer) = common.outgoing.answers.pop_front() else { break };
            let size = out.len();
            if write(sessions, common, clock, &answer, batch.size(), out) {
                debug_assert_eq!(out.len() - size, batch.size());
                segments += 1;
                common.counters.count(Done::Sent);
            } else {
                common.counters.count(Done::AnswerOutdated);
            }
        }
        if segments > 0 {
            let segment_size = (segments > 1).then_some(batch.size());
            return Some(Transmit { route, size: out.len() - start, segment_size });
        }
    }
}

/// Appends one answer to `out`, in this size, unless it has been overtaken.
fn write(
    sessions: &Sessions,
    common: &mut Common,
    clock: u64,
    answer: &Answer,
    padded: usize,
    out: &mut Vec<u8>,
) -> bool {
    let &Answer { session, call, arrived, attempt, .. } = answer;
    let epoch = common.identity.epoch();
    let hold_us = u32::try_from(clock.saturating_sub(arrived)).unwrap_or(u32::MAX);
    let message = match answer.say {
        Say::HelloAck { nonce } => {
            return hello_ack(common, clock, nonce, answer, out);
        }
        Say::Version => FromServer::Version { session, call, lowest: VERSION, highest: VERSION },
        Say::Challenge => FromServer::Challenge {
            session,
            call,
            clock,
            path: common.identity.path(&answer.route.remote, session, clock),
        },
        Say::Pong => FromServer::Pong { session, call, clock, epoch, hold_us },
        Say::Goaway => {
            FromServer::Goaway { session, call, clock, epoch, hold_us, reason: Reason::Draining }
        }
        Say::Progress(state) => {
            FromServer::Progress { session, call, clock, hold_us, credit: 0, cell: 0, state }
        }
        Say::Refused { reason, promise } => {
            // "Unknown session" was true when it was decided, and proves something only by that
            // time: by now the session may have been created, and this birth have died.
            let clock = if reason == Reason::UnknownSession { arrived } else { clock };
            FromServer::Refused { session, call, clock, epoch, hold_us, reason, promise }
        }
        Say::Reply { size, .. } => {
            let slot = sessions
                .get(session)
                .and_then(|found| found.table.slot(call.slot(common.config.window)));
            let Some(slot) = slot.filter(|slot| slot.call == call && slot.reply_size() == size)
            else {
                return false;
            };
            let State::Done(status) = slot.state else {
                return false;
            };
            let (metadata, body) = slot.reply();
            FromServer::Reply {
                session,
                call,
                clock,
                hold_us,
                credit: 0,
                status,
                flags: Flags::WHOLE,
                cell: 0,
                metadata,
                body,
            }
        }
    };
    Datagram { attempt, message }.emit_padded(out, padded)
}

/// HELLO_ACK: every one mints a session id of its own, and nothing is kept of it.
fn hello_ack(
    common: &mut Common,
    clock: u64,
    nonce: u128,
    answer: &Answer,
    out: &mut Vec<u8>,
) -> bool {
    let session = common.mint(nonce);
    let config = &common.config;
    let milliseconds = |us: u64| u32::try_from(us / 1000).unwrap_or(u32::MAX);
    let limits = Limits {
        window: config.window,
        longest_deadline_ms: milliseconds(config.longest_deadline_us()),
        lease_ms: milliseconds(config.lease_us()),
        longest_datagram: u16::try_from(MAX_DATAGRAM).unwrap_or(u16::MAX),
        longest_request: u32::try_from(MAX_REQUEST_BODY).unwrap_or(u32::MAX),
        longest_reply: u32::try_from(MAX_BODY).unwrap_or(u32::MAX),
    };
    let ack = HelloAck {
        epoch: common.identity.epoch(),
        birth: common.identity.birth(session, clock),
        path: common.identity.path(&answer.route.remote, session, clock),
        limits,
        version: VERSION,
        software: config.software,
    };
    let message = FromServer::HelloAck { session, nonce, clock, ack };
    Datagram { attempt: answer.attempt, message }.emit(out);
    true
}

impl Common {
    fn mint(&mut self, nonce: u128) -> SessionId {
        if self.rules.hold(Rule::HelloAckMints) {
            self.identity.mint()
        } else {
            self.identity.mint_for_nonce(nonce)
        }
    }
}

impl super::Server {
    /// Datagrams to send: appends to `out` one, or several of one size that go the same way (at
    /// most 64, and 60 kB), and says where they go. Replies of nearly one size are padded to one. To
    /// be called until there is none, after every other call.
    pub fn poll_transmit(&mut self, now: Time, out: &mut Vec<u8>) -> Option<Transmit> {
        let clock = self.clock(now);
        poll_transmit(&self.sessions, &mut self.common, clock, out)
    }
}
