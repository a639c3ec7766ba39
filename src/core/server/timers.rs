//! What is due about a call that waits or runs: one PROGRESS unasked, and its expiry. One timer
//! for each call, and none for calls run at once.

use super::common::Common;
use super::counters::Done;
use super::outgoing::{Answer, Say};
use super::pending::NONE;
use super::request::PROGRESS_INTERVAL;
use super::routes::Routes;
use super::session::Session;
use super::slot::{Slot, State};
use super::{CallKey, Server};
use crate::core::{Rule, Time};
use crate::wire::Reason;

/// How long after the first copy PROGRESS goes unasked, µs: SIP's patience before its provisional
/// answer (RFC 3261 section 17.2.1).
const UNASKED: u64 = 200_000;

/// Sets a call's timer to what is due next about it.
pub(super) fn arm(common: &mut Common, slot: &Slot) {
    let Some(entry) = common.pending.get_mut(slot.entry) else { return };
    let expires = match slot.state {
        State::Queued => common.rules.hold(Rule::ExpiryAtStart),
        State::Running { cancelled } => !cancelled,
        _ => false,
    };
    let unasked = (!entry.unasked).then(|| entry.first.saturating_add(UNASKED));
    let expiry = expires.then_some(slot.expiry);
    match unasked.into_iter().chain(expiry).min() {
        Some(due) => common.pending.arm(slot.entry, due),
        None => common.pending.disarm(slot.entry),
    }
}

/// The slot's call waits and runs no more, or nobody wants it: there is nothing due about it.
pub(super) fn leave(common: &mut Common, slot: &mut Slot) {
    if slot.entry != NONE {
        let entry = std::mem::replace(&mut slot.entry, NONE);
        common.pending.remove(entry, &mut common.memory.records);
    }
}

/// A waiting call whose time is over: it never runs, and whoever waits is told.
pub(super) fn expire(common: &mut Common, routes: &Routes, slot: &mut Slot, key: CallKey) {
    leave(common, slot);
    slot.unreserve(&mut common.memory.replies);
    slot.state = State::Refused(Reason::Expired);
    common.counters.count(Done::ExpiredInQueue);
    common.counters.count_refused(Reason::Expired);
    let say = Say::promise(Reason::Expired);
    common.send(Answer::of_call(key, slot, routes, say));
}

/// Does what is due about one call.
fn fire(common: &mut Common, session: &mut Session, key: CallKey, clock: u64) {
    let Session { table, load, routes, .. } = session;
    let number = key.call.slot(common.config.window);
    let Some(slot) = table.slot_mut(number).filter(|slot| slot.call == key.call) else {
        return;
    };
    if clock >= slot.expiry {
        match slot.state {
            State::Queued if common.rules.hold(Rule::ExpiryAtStart) => {
                load.queued -= 1;
                expire(common, routes, slot, key);
                return;
            }
            State::Running { cancelled: false } => {
                slot.state = State::Running { cancelled: true };
                common.cancel(key);
            }
            _ => {}
        }
    }
    let Some(entry) = common.pending.get_mut(slot.entry) else { return };
    if !entry.unasked && clock >= entry.first.saturating_add(UNASKED) {
        entry.unasked = true;
        if let Some(state) = slot.state.progress()
            && slot.may_speak(clock)
        {
            slot.hush(clock, PROGRESS_INTERVAL);
            common.counters.count(Done::Unasked);
            common.send(Answer::of_call(key, slot, routes, Say::Progress(state)));
        }
    }
    arm(common, slot);
}

impl Server {
    /// When [`handle_timeout`](Self::handle_timeout) has something to do; never before then.
    pub fn poll_timeout(&self) -> Option<Time> {
        let call = self.common.pending.next().map(|(due, _)| due);
        let due = call.into_iter().chain(self.sessions.poll_timeout()).min();
        due.map(|due| self.time(due))
    }

    /// Does what is due by now.
    pub fn handle_timeout(&mut self, now: Time) {
        let clock = self.clock(now);
        while let Some((due, number)) = self.common.pending.next()
            && due <= clock
        {
            self.common.pending.disarm(number);
            let Some(key) = self.common.pending.get_mut(number).map(|entry| entry.key) else {
                break;
            };
            if let Some(session) = self.sessions.get_mut(key.session) {
                fire(&mut self.common, session, key, clock);
            }
            self.sessions.end_if_closed(&mut self.common, key.session, clock);
        }
        self.sessions.handle_timeout(&mut self.common, clock);
        self.sessions.sweep_if_short(&mut self.common, clock);
    }
}
