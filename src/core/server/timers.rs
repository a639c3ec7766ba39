//! What is due about a call that waits or runs: one PROGRESS unasked, and its expiry. One timer
//! for each call, and none for calls run at once.

use super::common::Common;
use super::counters::Done;
use super::outgoing::{Answer, Say};
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
pub(super) fn arm(common: &mut Common, slot: &mut Slot, key: CallKey) {
    disarm(common, slot, key);
    let expires = match slot.state {
        State::Queued { .. } => common.rules.hold(Rule::ExpiryAtStart),
        State::Running { cancelled } => !cancelled,
        _ => return,
    };
    let unasked = (!slot.unasked).then(|| slot.first.saturating_add(UNASKED));
    let expiry = expires.then_some(slot.expiry);
    if let Some(due) = unasked.into_iter().chain(expiry).min() {
        slot.timer = due.max(1);
        common.timers.insert((slot.timer, key));
    }
}

/// Stops a call's timer.
pub(super) fn disarm(common: &mut Common, slot: &mut Slot, key: CallKey) {
    if slot.timer != 0 {
        common.timers.remove(&(slot.timer, key));
        slot.timer = 0;
    }
}

/// A waiting call whose time is over: it never runs, and whoever waits is told.
pub(super) fn expire(common: &mut Common, routes: &Routes, slot: &mut Slot, key: CallKey) {
    disarm(common, slot, key);
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
    slot.timer = 0;
    if clock >= slot.expiry {
        match slot.state {
            State::Queued { ticket } if common.rules.hold(Rule::ExpiryAtStart) => {
                common.queue.remove(ticket, &mut common.memory.records);
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
    if !slot.unasked && clock >= slot.first.saturating_add(UNASKED) {
        slot.unasked = true;
        if let Some(state) = slot.state.progress()
            && clock >= slot.hush
        {
            slot.hush = clock.saturating_add(PROGRESS_INTERVAL);
            common.counters.count(Done::Unasked);
            common.send(Answer::of_call(key, slot, routes, Say::Progress(state)));
        }
    }
    arm(common, slot, key);
}

impl Server {
    /// When [`handle_timeout`](Self::handle_timeout) has something to do; never before then.
    pub fn poll_timeout(&self) -> Option<Time> {
        let call = self.common.timers.first().map(|(due, _)| *due);
        let due = call.into_iter().chain(self.sessions.poll_timeout()).min();
        due.map(|due| self.time(due))
    }

    /// Does what is due by now.
    pub fn handle_timeout(&mut self, now: Time) {
        let clock = self.clock(now);
        while let Some(&(due, key)) = self.common.timers.first()
            && due <= clock
        {
            self.common.timers.remove(&(due, key));
            if let Some(session) = self.sessions.get_mut(key.session) {
                fire(&mut self.common, session, key, clock);
            }
            self.sessions.end_if_closed(&mut self.common, key.session, clock);
        }
        self.sessions.handle_timeout(&mut self.common, clock);
        self.sessions.sweep_if_short(&mut self.common, clock);
    }
}
