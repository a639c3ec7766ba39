//! What all sessions of one server share: limits, methods, secrets, queues, memory.
//!
//! It stands apart from the sessions so that one of these and all of this can be changed at the
//! same time.

use std::collections::{BTreeSet, VecDeque};

use super::config::{ConfigError, MethodSpec, ServerConfig};
use super::counters::{Counters, Done};
use super::identity::Identity;
use super::index::Index;
use super::memory::{Budget, Memory};
use super::outgoing::{Answer, Outgoing, Say};
use super::pending::Pending;
use super::{CallKey, Event, Route};
use crate::core::{Key, Rules, Seed, Uncompared};
use crate::wire::{CallId, MAX_BODY, MethodId, SessionId};

/// Where, when and in whose name a datagram came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival<'r> {
    /// The server's clock, µs.
    pub(super) clock: u64,
    pub(super) route: &'r Route,
    pub(super) session: SessionId,
    pub(super) call: CallId,
    pub(super) attempt: u8,
}

impl Arrival<'_> {
    pub(super) fn key(&self) -> CallKey {
        CallKey { session: self.session, call: self.call }
    }
}

/// What all sessions share.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Common {
    pub(super) config: ServerConfig,
    pub(super) methods: Vec<MethodSpec>,
    /// Where each method is in `methods`.
    index: Index,
    pub(super) identity: Identity,
    pub(super) rules: Rules,
    /// New calls are refused. Irrevocable.
    pub(super) draining: bool,
    pub(super) pending: Pending,
    /// Handlers that run, of all sessions.
    pub(super) running: usize,
    /// Calls whose handlers run, but whose slots have moved on. Each counts as running in its session,
    /// and so there are at most as many as handlers run.
    pub(super) orphans: BTreeSet<CallKey>,
    pub(super) outgoing: Outgoing,
    pub(super) events: VecDeque<Event>,
    pub(super) memory: Memory,
    pub(super) counters: Uncompared<Counters>,
}

impl Common {
    pub(super) fn new(
        config: ServerConfig,
        methods: Vec<MethodSpec>,
        seed: &Seed,
    ) -> Result<Self, ConfigError> {
        config.check()?;
        let mut index = Index::new(&Key::new(seed, "server methods"));
        for (place, method) in (0..).zip(&methods) {
            if method.longest_reply > MAX_BODY {
                return Err(ConfigError::ReplyTooLong(method.id));
            }
            if find(&index, &methods, method.id).is_some() {
                return Err(ConfigError::DuplicateMethod(method.id));
            }
            index.insert(method.id.0, place);
        }
        Ok(Self {
            identity: Identity::new(seed, config.shard),
            rules: Rules::default(),
            draining: false,
            pending: Pending::default(),
            running: 0,
            orphans: BTreeSet::new(),
            outgoing: Outgoing::new(config.max_answers),
            events: VecDeque::new(),
            memory: Memory {
                records: Budget::new(config.record_memory),
                replies: Budget::new(config.reply_memory),
            },
            counters: Uncompared(Counters::default()),
            config,
            methods,
            index,
        })
    }

    /// The method with this id.
    pub(super) fn method(&self, id: MethodId) -> Option<(usize, &MethodSpec)> {
        let place = find(&self.index, &self.methods, id)?;
        Some((place, self.methods.get(place)?))
    }

    /// Answers what just came.
    pub(super) fn answer(&mut self, arrival: &Arrival<'_>, say: Say) {
        self.send(Answer::to(arrival, say));
    }

    /// Puts an answer in line; drops it if too many wait.
    pub(super) fn send(&mut self, answer: Answer) {
        if !self.outgoing.push(answer) {
            self.counters.count(Done::AnswerDropped);
        }
    }

    /// Tells the driver that nobody waits for this call any more.
    pub(super) fn cancel(&mut self, key: CallKey) {
        self.counters.count(Done::Cancelled);
        self.events.push_back(Event::Cancel(key));
    }
}

/// Where the method with this id is.
fn find(index: &Index, methods: &[MethodSpec], id: MethodId) -> Option<usize> {
    let is_it = |place| methods.get(place as usize).is_some_and(|method| method.id == id);
    index.find(id.0, is_it).map(|place| place as usize)
}
