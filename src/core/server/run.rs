//! Calls that leave the queue, and calls that end.
//!
//! Invariants: a call leaves QUEUED once, and starts only from there or at once. A completion
//! names its call: what a handler brings after its slot has moved on is dropped.

use super::common::Common;
use super::config::{MethodSpec, STATUS_ROOM};
use super::counters::Done;
use super::outgoing::{Answer, Say};
use super::pending::NONE;
use super::request::{REPLAY_INTERVAL, run};
use super::routes::Routes;
use super::slot::{Slot, State};
use super::{CallKey, End, Job, Server, timers};
use crate::core::{Rule, Time};
use crate::wire::{CallId, Code, MetadataRef, Reason, StatusBody};

impl Server {
    /// The next call that waits, if there is one: it is RUNNING from here on, and the caller owes
    /// a [`complete`](Self::complete).
    pub fn claim(&mut self, now: Time) -> Option<Job> {
        let clock = self.clock(now);
        loop {
            let records = &mut self.common.memory.records;
            let (entry, key, metadata, body) = self.common.pending.pop(records)?;
            match self.claim_one(clock, entry, key) {
                Some((method, expiry, route)) => {
                    let expiry = self.time(expiry);
                    return Some(Job { key, method, metadata, body, expiry, route });
                }
                None => {
                    self.common.pending.recycle(body);
                    self.sessions.end_if_closed(&mut self.common, key.session, clock);
                }
            }
        }
    }

    /// Makes a call that has left the queue RUNNING, if it still may.
    fn claim_one(
        &mut self,
        clock: u64,
        entry: u32,
        key: CallKey,
    ) -> Option<(usize, u64, super::Route)> {
        let common = &mut self.common;
        let session = self.sessions.get_mut(key.session)?;
        let number = key.call.slot(common.config.window);
        let slot = session.table.slot_mut(number)?;
        if slot.call == key.call && slot.state == State::Queued && slot.entry == entry {
            session.load.queued -= 1;
            if common.rules.hold(Rule::ExpiryAtStart) && clock >= slot.expiry {
                timers::expire(common, &session.routes, slot, key);
                return None;
            }
            run(common, &mut session.load, slot);
        } else if !common.rules.hold(Rule::OneClaim) {
            common.pending.remove(entry, &mut common.memory.records);
            slot.entry = if slot.entry == entry { NONE } else { slot.entry };
            session.load.running += 1;
            common.running += 1;
            common.orphans.insert(key);
        } else {
            debug_assert!(false, "whoever takes a call out of QUEUED takes it out of the queue");
            return None;
        }
        let route = session.routes.get(slot.route);
        Some((slot.method.into(), slot.expiry, route))
    }

    /// Takes back the body of a [`Job`], for requests to come.
    pub fn recycle(&mut self, body: Vec<u8>) {
        self.common.pending.recycle(body);
    }

    /// The end of a call that was started. Of a call that is not running, nothing is kept.
    pub fn complete(&mut self, now: Time, call: CallKey, end: End<'_>) {
        let clock = self.clock(now);
        let common = &mut self.common;
        let Some(session) = self.sessions.get_mut(call.session) else {
            common.counters.count(Done::StrayCompletion);
            return;
        };
        let number = call.call.slot(common.config.window);
        let (load, routes) = (&mut session.load, &session.routes);
        let slot = session.table.slot_mut(number);
        let mut running = slot.filter(|slot| matches!(slot.state, State::Running { .. }));
        let is_here = running.as_ref().is_some_and(|slot| slot.call == call.call);
        match &mut running {
            Some(slot) if is_here => finish(common, routes, slot, call, clock, &end),
            running if common.orphans.remove(&call) => {
                common.counters.count(Done::LateCompletion);
                if let Some(slot) = running
                    && !common.rules.hold(Rule::CompletionNamesCall)
                {
                    let other = CallKey { call: slot.call, ..call };
                    common.orphans.insert(other);
                    finish(common, routes, slot, other, clock, &end);
                }
            }
            _ => {
                common.counters.count(Done::StrayCompletion);
                return;
            }
        }
        if let End::Done { .. } = end {
            common.counters.count(Done::Executed);
        }
        load.running -= 1;
        common.running -= 1;
        session.contact = session.contact.max(clock);
        if !common.rules.hold(Rule::NothingEvicted) {
            evict(common, session, call.call);
        }
        self.sessions.end_if_closed(&mut self.common, call.session, clock);
    }
}

/// Records the end of the slot's call, and answers.
fn finish(
    common: &mut Common,
    routes: &Routes,
    slot: &mut Slot,
    key: CallKey,
    clock: u64,
    end: &End<'_>,
) {
    timers::leave(common, slot);
    match *end {
        End::Done { status, metadata, body } => {
            let status = keep(common, slot, status, metadata, body);
            slot.state = State::Done(status);
            slot.hush(clock, REPLAY_INTERVAL);
            common.counters.count(match status {
                Code::Ok => Done::Ok,
                _ => Done::Failed,
            });
            common.send(Answer::of_call(key, slot, routes, Say::reply(slot)));
        }
        End::NotStarted(reason) => {
            slot.unreserve(&mut common.memory.replies);
            slot.state = State::Refused(reason);
            if reason == Reason::Expired {
                common.counters.count(Done::ExpiredInQueue);
            }
            common.counters.count_refused(reason);
            common.send(Answer::of_call(key, slot, routes, Say::promise(reason)));
        }
    }
}

/// Puts the reply into the slot, or, if it is longer than its method declares, an error.
fn keep(
    common: &mut Common,
    slot: &mut Slot,
    status: Code,
    metadata: MetadataRef<'_>,
    body: &[u8],
) -> Code {
    let spec = common.methods.get(usize::from(slot.method));
    let longest = spec.map_or(0, |spec| spec.longest_reply);
    let room = spec.map_or(0, MethodSpec::reply_room);
    let replies = &mut common.memory.replies;
    let option = metadata.option_len();
    let size = option + body.len();
    if status != Code::Ok && size > room {
        // What went wrong comes before what goes with it.
        let metadata = if option + STATUS_ROOM <= room { metadata } else { MetadataRef::EMPTY };
        let room = room - metadata.option_len();
        let mut cut = Vec::with_capacity(room);
        StatusBody::parse(body).emit(&mut cut, room);
        slot.keep(metadata, &cut, replies);
        return status;
    }
    if status == Code::Ok && size > longest {
        let mut error = Vec::with_capacity(room);
        let with = match option {
            0 => String::new(),
            bytes => format!(", {bytes} of them metadata,"),
        };
        let message = format!(
            "the reply of {size} bytes{with} is longer than the {longest} that the method declares",
        );
        StatusBody { message: message.into(), details: &[] }.emit(&mut error, room);
        slot.keep(MetadataRef::EMPTY, &error, replies);
        common.counters.count(Done::ReplyTooLong);
        return Code::ResourceExhausted;
    }
    slot.keep(metadata, body, replies);
    status
}

/// What must never be done: forgets all calls of a session that have ended but the last. Only
/// where a test has dropped the rule.
fn evict(common: &mut Common, session: &mut super::session::Session, last: CallId) {
    for slot in session.table.slots_mut() {
        if slot.call != last && matches!(slot.state, State::Done(_)) {
            slot.drop_reply(&mut common.memory.replies);
            *slot = Slot::default();
        }
    }
}
