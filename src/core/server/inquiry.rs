//! FENCE, STATUS, PING and ACK: what a client asks and says about calls that are known, or not.
//!
//! Answers go to whoever asked, and move no call's answer address.

use super::common::{Arrival, Common};
use super::counters::{Done, Received};
use super::outgoing::Say;
use super::request::{REPLAY_INTERVAL, begin, no_room_for_record};
use super::session::Session;
use super::slot::{Slot, State};
use super::table::Standing;
use super::timers;
use crate::core::Rule;
use crate::wire::{Reason, SlotState};

/// FENCE: the call, if it has not started, never will.
pub(super) fn fence(common: &mut Common, session: &mut Session, arrival: &Arrival<'_>) -> Received {
    let window = common.config.window;
    let records = common.rules.hold(Rule::FenceRecorded);
    let Session { table, load, closing, .. } = session;
    match table.standing(arrival.call, window) {
        Standing::Stale => stale(common, arrival),
        Standing::New if *closing => {
            common.answer(arrival, Say::refusal(Reason::UnknownSession));
            Received::UnknownSession
        }
        Standing::New => {
            if records {
                let Some(slot) = table.take(arrival.call, window, &mut common.memory.records)
                else {
                    return no_room_for_record(common, arrival);
                };
                begin(common, load, slot, arrival, 0);
                slot.state = State::Fenced;
            }
            common.counters.count_refused(Reason::Fenced);
            common.answer(arrival, Say::promise(Reason::Fenced));
            Received::Fenced
        }
        Standing::Same => {
            let Some(slot) = table.slot_mut(arrival.call.slot(window)) else {
                return stale(common, arrival);
            };
            match slot.state {
                State::Queued => {
                    if records {
                        if common.rules.hold(Rule::OneClaim) {
                            timers::leave(common, slot);
                        }
                        load.queued -= 1;
                        slot.unreserve(&mut common.memory.replies);
                        slot.state = State::Fenced;
                    }
                    common.counters.count_refused(Reason::Fenced);
                    common.answer(arrival, Say::promise(Reason::Fenced));
                    Received::Fenced
                }
                State::Running { cancelled } => {
                    if !cancelled {
                        slot.state = State::Running { cancelled: true };
                        common.cancel(arrival.key());
                    }
                    common.answer(arrival, Say::Progress(SlotState::Running));
                    Received::FenceRunning
                }
                _ => tell(common, slot, arrival, Received::FenceEnded),
            }
        }
    }
}

/// STATUS: what became of the call. Nothing is recorded.
pub(super) fn status(
    common: &mut Common,
    session: &mut Session,
    arrival: &Arrival<'_>,
) -> Received {
    let window = common.config.window;
    match session.table.standing(arrival.call, window) {
        Standing::Stale => stale(common, arrival),
        Standing::New => {
            common.answer(arrival, Say::Progress(SlotState::Empty));
            Received::Status
        }
        Standing::Same => match session.table.slot_mut(arrival.call.slot(window)) {
            Some(slot) => tell(common, slot, arrival, Received::Status),
            None => stale(common, arrival),
        },
    }
}

/// Says what the slot holds.
fn tell(common: &mut Common, slot: &mut Slot, arrival: &Arrival<'_>, fate: Received) -> Received {
    let say = match slot.state {
        State::Empty => Say::Progress(SlotState::Empty),
        State::Queued => Say::Progress(SlotState::Queued),
        State::Running { .. } => Say::Progress(SlotState::Running),
        State::Done(_) if !slot.may_speak(arrival.clock) => return Received::ReplayHeld,
        State::Done(_) => {
            slot.hush(arrival.clock, REPLAY_INTERVAL);
            Say::reply(slot)
        }
        State::Gone => Say::refusal(Reason::ReplyGone),
        State::Refused(reason) => Say::promise(reason),
        State::Fenced => Say::promise(Reason::Fenced),
    };
    common.answer(arrival, say);
    fate
}

/// A smaller id than the slot has seen: nothing is known of it, and nothing promised.
fn stale(common: &mut Common, arrival: &Arrival<'_>) -> Received {
    common.answer(arrival, Say::refusal(Reason::Stale));
    Received::Stale
}

/// PING: the session lives.
pub(super) fn ping(common: &mut Common, session: &Session, arrival: &Arrival<'_>) -> Received {
    if session.closing {
        common.answer(arrival, Say::refusal(Reason::UnknownSession));
        return Received::UnknownSession;
    }
    let say = if common.draining { Say::Goaway } else { Say::Pong };
    common.answer(arrival, say);
    Received::Ping
}

/// ACK: a reply that has arrived whole need not be kept.
pub(super) fn ack(
    common: &mut Common,
    session: &mut Session,
    arrival: &Arrival<'_>,
    cell: u32,
) -> Received {
    let number = arrival.call.slot(common.config.window);
    if let Some(slot) = session.table.slot_mut(number)
        && slot.call == arrival.call
        && matches!(slot.state, State::Done(_))
        && cell as usize >= slot.reply_cells()
    {
        slot.state = State::Gone;
        slot.drop_reply(&mut common.memory.replies);
        common.counters.count(Done::ReplyAcknowledged);
    }
    Received::Ack
}
