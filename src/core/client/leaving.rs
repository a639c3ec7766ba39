//! Leaving sessions, closing them, and tokens for those who ask later.
//!
//! Invariant: a CLOSE goes out only for a session in which every call's outcome is known and of
//! which no token was given out.

use std::net::SocketAddr;

use super::call::Issue;
use super::session::Session;
use super::{Client, Key};
use crate::core::{CallToken, Prf, Rule, Seed, Time};
use crate::wire::{Proofs, SessionId};

/// A CLOSE to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Closing {
    pub(super) server: SocketAddr,
    pub(super) session: SessionId,
    pub(super) proofs: Proofs,
}

/// What another process needs to ask about a call.
pub(super) fn token_of(session: &Session, issue: &Issue) -> CallToken {
    CallToken {
        server: session.server,
        epoch: session.epoch,
        session: session.id,
        call: issue.id,
        minted: session.minted(),
        known_until: issue.known_until,
        expiry: issue.expiry,
    }
}

impl Client {
    /// New calls go to another session from now on; calls in progress stay.
    pub(super) fn leave(&mut self, now: Time, id: SessionId) {
        if self.current == Some(id) {
            self.current = None;
        }
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        session.left = true;
        let idle = session.live == 0;
        if let Some(ping) = session.ping.take() {
            self.drop_ping(ping);
        }
        self.pings_need_session(id);
        if idle {
            self.retire(now, id);
        }
    }

    /// The server does not know this session any more.
    pub(super) fn declare_dead(&mut self, now: Time, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.dead = true;
        }
        self.leave(now, id);
    }

    /// Forgets a session in which nothing is in progress, with a CLOSE if that may be sent.
    pub(super) fn retire(&mut self, _now: Time, id: SessionId) {
        self.queue_close(id);
        if self.current == Some(id) {
            self.current = None;
        }
        self.sessions.remove(id);
    }

    fn queue_close(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        if session.may_close(&self.rules) {
            let proofs = session.proofs(&self.rules);
            session.closed = true;
            let server = session.server;
            self.closings.push_back(Closing { server, session: id, proofs });
        }
    }

    /// Leaves all sessions: queues a CLOSE for each that may be closed, now or when its last call
    /// ends.
    pub fn close(&mut self, now: Time) {
        for id in self.sessions.ids().collect::<Vec<_>>() {
            self.queue_close(id);
            self.leave(now, id);
        }
        self.advance(now);
    }

    /// To be called in the new process after a fork, with a new seed: the sessions stay with the
    /// old process, and so do its calls, which end here without an event.
    pub fn forked(&mut self, seed: Seed) {
        self.random = Prf::new(&seed, "client");
        if !self.rules.hold(Rule::OneProcess) {
            return;
        }
        let fresh = Self::new(self.config.clone(), self.servers.clone(), seed);
        let old = std::mem::replace(self, fresh);
        self.rules = old.rules;
        self.bound = old.bound;
        self.last_sequence = old.last_sequence;
    }

    /// Forgets a ping that nobody waits for any more.
    pub(super) fn drop_ping(&mut self, ping: super::CallHandle) {
        self.pings.remove(&ping);
        self.waiting_pings.remove(&ping);
        self.timers.clear(Key::Ping(ping));
    }
}
