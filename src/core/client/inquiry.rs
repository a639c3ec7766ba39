//! Asking later, from any process, what became of a call, with nothing but its token.
//!
//! A small machine of its own with the same shape as the client: datagrams and the time in,
//! transmits, timeouts and one fate out. Invariant: what it says is proved; all else is unknown.

use std::net::SocketAddr;
use std::time::Duration;

use super::Transmit;
use super::call::attempt_number;
use super::config::ClientConfig;
use super::flow::Jitter;
use super::handshake::same_place;
use super::session::{Judged, Verdict};
use crate::core::{CallToken, Prf, Proof, Rules, Seed, Time};
use crate::wire::{
    Code, Datagram, FromClient, FromServer, Metadata, PathProof, Proofs, Reason, SlotState,
    parse_from_server,
};

/// Most doublings of the interval between copies: beyond any deadline.
const DOUBLINGS_MAX: u32 = 20;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Asked {
    /// STATUS: what became of it? Changes nothing.
    Status,
    /// FENCE: and if it has not started, it shall never.
    Fence,
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It ran, and answered this.
    Executed {
        /// Its status.
        status: Code,
        /// What came with its reply.
        metadata: Metadata,
        /// Its reply if the status is OK, otherwise a [`StatusBody`](crate::wire::StatusBody).
        body: Vec<u8>,
    },
    /// It ran; its reply is no longer kept.
    ReplyGone,
    /// It has not run and never will.
    NotExecuted(Proof),
    /// It has not ended yet.
    InProgress(SlotState),
    /// The server has not seen it, which proves nothing: a copy may still be on its way.
    NotSeen,
    /// Nobody can say, and why.
    Unknown(String),
}

/// A question about one call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Inquiry {
    token: CallToken,
    asked: Asked,
    deadline: Time,
    rto: Duration,
    rules: Rules,
    random: Prf,
    path: Option<PathProof>,
    challenged: Option<PathProof>,
    sends: u32,
    /// Doublings of the interval: one with each copy that went unanswered.
    doublings: u32,
    due: bool,
    next: Time,
    fate: Option<Fate>,
    /// What was last said that decided nothing.
    undecided: Option<Reason>,
}

impl Inquiry {
    /// Asks about the call of `token` until `deadline`.
    pub fn new(now: Time, token: CallToken, asked: Asked, deadline: Time, seed: Seed) -> Self {
        Self {
            token,
            asked,
            deadline,
            rto: ClientConfig::default().initial_rto(token.server),
            rules: Rules::default(),
            random: Prf::new(&seed, "inquiry"),
            path: None,
            challenged: None,
            sends: 0,
            doublings: 0,
            due: true,
            next: now,
            fate: None,
            undecided: None,
        }
    }

    /// Drops a rule, to show that it is needed.
    #[cfg(test)]
    pub(crate) fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// What became of the call, once that is known or the deadline has passed.
    pub fn fate(&self) -> Option<Fate> {
        self.fate.clone()
    }

    /// Datagrams sent.
    pub fn attempts(&self) -> u32 {
        self.sends
    }

    /// Appends the next datagram to `out` and says where it goes, if one is due.
    pub fn poll_transmit(&mut self, now: Time, out: &mut Vec<u8>) -> Option<Transmit> {
        if !self.due || self.fate.is_some() {
            return None;
        }
        self.due = false;
        self.sends = self.sends.saturating_add(1);
        let jitter = Jitter(u16::try_from(self.random.below(Jitter::BOUND)).unwrap_or(0));
        let interval = self.rto * (1 << self.doublings.min(DOUBLINGS_MAX));
        self.next = now + jitter.lengthen(interval);
        let (session, call) = (self.token.session, self.token.call);
        let proofs = Proofs { birth: None, path: self.path };
        let message = match self.asked {
            Asked::Status => FromClient::Status { session, call, proofs },
            Asked::Fence => FromClient::Fence { session, call, proofs },
        };
        let attempt = attempt_number(self.sends);
        let before = out.len();
        Datagram { attempt, message }.emit(out);
        Some(Transmit {
            remote: self.token.server,
            size: out.len() - before,
            segment_size: None,
            until: Time::MAX,
            call: None,
            hello: false,
            issue: 0,
        })
    }

    /// When [`Inquiry::handle_timeout`] is to be called, if nothing else happens before.
    pub fn poll_timeout(&self) -> Option<Time> {
        match self.fate {
            Some(_) => None,
            None => Some(self.next.min(self.deadline)),
        }
    }

    /// To be called when [`Inquiry::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now: Time) {
        if self.fate.is_some() {
            return;
        }
        if now >= self.deadline {
            let sends = self.sends;
            let server = self.token.server;
            let why = match self.undecided {
                Some(reason) => format!("{server} says: {reason}, which decides nothing"),
                None => format!("no answer from {server} to {sends} datagrams"),
            };
            self.fate = Some(Fate::Unknown(why));
        } else if now >= self.next {
            self.doublings += 1;
            self.due = true;
        }
    }

    /// The network says that nothing listens at `server` (ICMP, ECONNREFUSED). That proves nothing
    /// about the call, and nobody is there to be asked.
    pub fn handle_refused(&mut self, _now: Time, server: SocketAddr) {
        if self.fate.is_none() && same_place(server, self.token.server) && self.sends > 0 {
            let why = format!("nothing listens at {}", self.token.server);
            self.fate = Some(Fate::Unknown(why));
        }
    }

    /// Says that a datagram was never sent. It counts as lost: the next one goes by its timer.
    pub fn handle_unsent(&mut self, _now: Time, _sent: &Transmit) {}

    /// Takes a datagram that was received from `from`.
    pub fn handle_datagram(&mut self, _now: Time, from: SocketAddr, datagram: &[u8]) {
        let Ok(Datagram { message, .. }) = parse_from_server(datagram) else {
            return;
        };
        if self.fate.is_some() || !same_place(from, self.token.server) {
            return;
        }
        let ours = (self.token.session, self.token.call);
        match message {
            FromServer::Reply { session, call, status, metadata, body, .. }
                if (session, call) == ours =>
            {
                let (metadata, body) = (metadata.to_owned(), body.to_vec());
                self.fate = Some(Fate::Executed { status, metadata, body });
            }
            FromServer::Progress { session, call, state, .. } if (session, call) == ours => {
                self.fate = Some(match state {
                    SlotState::Empty => Fate::NotSeen,
                    state => Fate::InProgress(state),
                });
            }
            FromServer::Challenge { session, call, path, .. } if (session, call) == ours => {
                self.path = Some(path);
                if self.challenged != Some(path) {
                    self.challenged = Some(path);
                    self.due = true;
                }
            }
            FromServer::Refused { session, call, clock, epoch, reason, promise, .. }
                if (session, call) == ours =>
            {
                let same_life = epoch == self.token.epoch;
                self.fate = match reason {
                    Reason::UnknownSession => {
                        let judged = Judged {
                            epoch: self.token.epoch,
                            minted: self.token.minted,
                            known_until: self.token.known_until,
                            closed: false,
                        };
                        match judged.judge(&self.rules, epoch, clock) {
                            Verdict::Proved => Some(Fate::NotExecuted(Proof::UnknownSession)),
                            Verdict::Nothing => None,
                            Verdict::Unknown if same_life => {
                                Some(Fate::Unknown("its session has ended".to_owned()))
                            }
                            Verdict::Unknown => {
                                Some(Fate::Unknown("the server has restarted since".to_owned()))
                            }
                        }
                    }
                    _ if !same_life => None,
                    Reason::ReplyGone => Some(Fate::ReplyGone),
                    Reason::Stale => Some(Fate::Unknown(
                        "its client has gone on to later calls in its slot".to_owned(),
                    )),
                    Reason::NoRoomForSession
                    | Reason::NoRoomForRecord
                    | Reason::IdReused
                    | Reason::Later => None,
                    promised if promise => Some(Fate::NotExecuted(Proof::Promised(promised))),
                    _ => None,
                };
                if self.fate.is_none() {
                    self.undecided = Some(reason);
                }
            }
            _ => {}
        }
    }
}
