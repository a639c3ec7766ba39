//! A session as its client sees it: identity, proofs, clock, slots.
//!
//! It must not know what travels in its calls, nor time other than by argument. Invariants: call
//! ids rise over the whole session and none is given out twice; a slot has one call at a time;
//! proofs are carried until an answer came from inside.

use std::net::SocketAddr;
use std::time::Duration;

use super::CallHandle;
use super::flow::FlowId;
use super::slots::Slots;
use crate::core::{Rule, Rules, Time, micros};
use crate::wire::{
    Birth, CallId, Epoch, HelloAck, Limits, PathProof, Proofs, SessionId, proof_dies,
};

/// A session in which nothing was sent yet is not begun later than this after its minting, s: its
/// first datagram would come too late for its birth.
const BIRTH_USABLE_S: u64 = 50;

/// Beyond this id a session is left. Ids rise by less than 2^32 with each call, so it is far beyond
/// any use.
const IDS_MAX: u64 = 1 << 63;

/// The greatest lower bound known of the server's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ClockBound {
    /// What the server's clock showed in some datagram, µs …
    server_us: u64,
    /// … and when that was received.
    received: Time,
}

impl ClockBound {
    pub(super) fn new(server_us: u64, received: Time) -> Self {
        Self { server_us, received }
    }

    /// The bound at `now`: s + (now − r)(1 − 1/1000). Clocks may differ in rate by 1000 ppm.
    pub(super) fn at(&self, now: Time) -> u64 {
        let passed = micros(now.since(self.received));
        self.server_us.saturating_add(passed - passed.div_ceil(1000))
    }

    /// Takes a newer datagram's clock if it gives a greater bound.
    pub(super) fn update(&mut self, server_us: u64, now: Time) {
        if server_us > self.at(now) {
            *self = Self::new(server_us, now);
        }
    }
}

/// What "unknown session" says about a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It has not run and never will.
    Proved,
    /// Nothing: the session may still come to be.
    Nothing,
    /// Nobody can say any more.
    Unknown,
}

/// What judging an "unknown session" needs to know of the call and its session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judged {
    /// The life of the server that minted the session.
    pub(super) epoch: Epoch,
    /// When it did, whole seconds of its clock.
    pub(super) minted: u32,
    /// Lower bound of the server's clock at the call's first transmission, plus the lease, µs.
    pub(super) known_until: u64,
    /// Whether the client has closed the session.
    pub(super) closed: bool,
}

impl Judged {
    /// The inequality of `PROTOCOL.md`: `epoch` and `clock` are those of the refusal.
    pub(super) fn judge(&self, rules: &Rules, epoch: Epoch, clock: u64) -> Verdict {
        if epoch != self.epoch {
            return Verdict::Unknown;
        }
        if self.closed && rules.hold(Rule::UnknownProvesWhileOpen) {
            return Verdict::Unknown;
        }
        if clock < proof_dies(self.minted) && rules.hold(Rule::UnknownProvesAfterBirth) {
            return Verdict::Nothing;
        }
        if clock >= self.known_until && rules.hold(Rule::UnknownProvesWithinLease) {
            return Verdict::Unknown;
        }
        Verdict::Proved
    }
}

/// A session and its slots.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) server: SocketAddr,
    pub(super) flow: FlowId,
    pub(super) epoch: Epoch,
    pub(super) limits: Limits,
    pub(super) software: String,
    /// The handshake's nonce.
    pub(super) nonce: u128,
    pub(super) clock: ClockBound,
    birth: Birth,
    path: PathProof,
    carry_birth: bool,
    carry_path: bool,
    /// Whether an answer ever came from inside, and whether anything was ever sent.
    inside: bool,
    used: bool,
    /// When it was last heard from inside (or was offered).
    pub(super) heard: Time,
    /// When that was sent which was last answered: the lease runs at least from there.
    contact: Time,
    slots: Slots,
    /// The highest id given out; below the window at first.
    highest: u64,
    /// Calls in progress.
    pub(super) live: u32,
    /// A call's token was given out: it must stay open.
    pub(super) token_given: bool,
    /// No new calls: they go to another session.
    pub(super) left: bool,
    /// The server does not know it any more.
    pub(super) dead: bool,
    /// A CLOSE was sent.
    pub(super) closed: bool,
    /// The ping that calls wait for.
    pub(super) ping: Option<CallHandle>,
    /// The last ping's id, 1 to the window less 1.
    last_ping: u64,
}

impl Session {
    /// The session that `ack` offers, received at `now`, in answer to a HELLO sent at `asked`.
    pub(super) fn new(
        id: SessionId,
        (server, flow): (SocketAddr, FlowId),
        nonce: u128,
        clock: ClockBound,
        ack: &HelloAck,
        asked: Time,
    ) -> Self {
        Self {
            id,
            server,
            flow,
            epoch: ack.epoch,
            limits: ack.limits,
            software: ack.software(),
            nonce,
            clock,
            birth: ack.birth,
            path: ack.path,
            carry_birth: true,
            carry_path: true,
            inside: false,
            used: false,
            heard: clock.received,
            contact: asked,
            slots: Slots::new(ack.limits.window),
            highest: u64::from(ack.limits.window).saturating_sub(1),
            live: 0,
            token_given: false,
            left: false,
            dead: false,
            closed: false,
            ping: None,
            last_ping: 0,
        }
    }

    /// How long it lives without contact.
    pub(super) fn lease(&self) -> Duration {
        Duration::from_millis(u64::from(self.limits.lease_ms))
    }

    /// How far in the future a call's deadline may lie.
    pub(super) fn longest_deadline(&self) -> Duration {
        Duration::from_millis(u64::from(self.limits.longest_deadline_ms))
    }

    /// Whether new calls may be risked in it: it is left after 3/4 of the lease without contact,
    /// and, while its birth alone speaks for it, in time before that dies.
    pub(super) fn usable(&self, now: Time) -> bool {
        let young = self.clock.at(now)
            < (u64::from(self.birth.minted) + BIRTH_USABLE_S).saturating_mul(1_000_000);
        !self.left
            && !self.dead
            && !self.closed
            && now.since(self.contact) < self.lease() * 3 / 4
            && (self.inside || young)
            && self.highest < IDS_MAX
    }

    /// The proofs that the next datagram is to carry.
    pub(super) fn carried(&self) -> Proofs {
        Proofs {
            birth: self.carry_birth.then_some(self.birth),
            path: self.carry_path.then_some(self.path),
        }
    }

    /// The proofs that a datagram carries which is sent now.
    pub(super) fn proofs(&mut self, rules: &Rules) -> Proofs {
        let proofs = self.carried();
        self.used = true;
        if !rules.hold(Rule::ProofsUntilAnswered) {
            self.carry_birth = false;
            self.carry_path = false;
        }
        proofs
    }

    /// An answer came from inside the session, to a copy sent at `asked`.
    pub(super) fn answered_inside(&mut self, now: Time, asked: Option<Time>) {
        self.inside = true;
        self.carry_birth = false;
        self.carry_path = false;
        self.heard = now;
        if let Some(asked) = asked {
            self.contact = self.contact.max(asked);
        }
    }

    /// A CHALLENGE came: its path replaces the one carried, unless it is an older one, late.
    /// Whether it does.
    pub(super) fn challenged(&mut self, path: PathProof) -> bool {
        self.carry_path = true;
        let newer = path.issued >= self.path.issued;
        if newer {
            self.path = path;
        }
        newer
    }

    /// Another answer to the handshake's nonce offers this very session again.
    pub(super) fn offered_again(&mut self, ack: &HelloAck) {
        self.birth = ack.birth;
        self.path = ack.path;
        self.carry_birth = true;
        self.carry_path = true;
    }

    /// Whether a new call would find a slot.
    pub(super) fn has_slot(&self) -> bool {
        self.slots.has_free()
    }

    /// Gives `handle` the lowest free slot and the smallest id above all used that names it.
    pub(super) fn allocate(&mut self, handle: CallHandle) -> Option<CallId> {
        let slot = u64::from(self.slots.allocate(handle)?);
        let window = u64::from(self.limits.window.max(1));
        let next = self.highest.checked_add(1)?;
        let id = next.checked_add((slot + window - next % window) % window)?;
        self.highest = id;
        self.live += 1;
        Some(CallId(id))
    }

    /// The call in the slot that `call` names; whether it has that id is the caller's to check.
    pub(super) fn occupant(&self, call: CallId) -> Option<CallHandle> {
        self.slots.occupant(call.slot(self.limits.window))
    }

    /// The call ended; `known` tells whether its outcome is.
    pub(super) fn release(&mut self, call: CallId, known: bool) {
        self.slots.release(call.slot(self.limits.window), known);
        // Of one that is not known, the token goes to the caller.
        self.token_given |= !known;
        self.live = self.live.saturating_sub(1);
    }

    /// An id for the next ping.
    pub(super) fn next_ping(&mut self) -> CallId {
        let most = u64::from(self.limits.window).saturating_sub(1).max(1);
        self.last_ping = self.last_ping % most + 1;
        CallId(self.last_ping)
    }

    /// Whether CLOSE may be sent: never once a token was given out, and only when every call has
    /// a known outcome.
    pub(super) fn may_close(&self, rules: &Rules) -> bool {
        let asked_later = self.token_given && rules.hold(Rule::TokenKeepsOpen);
        let in_progress = self.live > 0 && rules.hold(Rule::UnknownProvesWhileOpen);
        self.used && !self.dead && !self.closed && !asked_later && !in_progress
    }

    /// What judging "unknown session" for a call needs.
    pub(super) fn judged(&self, known_until: u64) -> Judged {
        Judged { epoch: self.epoch, minted: self.birth.minted, known_until, closed: self.closed }
    }

    /// When it was minted, whole seconds of the server's clock.
    pub(super) fn minted(&self) -> u32 {
        self.birth.minted
    }
}
