//! REQUEST: a new call is judged once, and what was decided is recorded before it is said; a
//! duplicate is answered from its slot.

use super::common::{Arrival, Common};
use super::config::Execution;
use super::counters::{Done, Received};
use super::outgoing::Say;
use super::session::{Load, Session};
use super::slot::{Slot, State};
use super::table::Standing;
use super::{CallKey, Start, timers};
use crate::core::{Rule, Time};
use crate::wire::{CallId, Flags, MetadataRef, MethodId, Reason};

/// At most one PROGRESS for the duplicates of a call in this time, µs.
pub(super) const PROGRESS_INTERVAL: u64 = 5_000;

/// At most one replay of a call's reply in this time, µs.
pub(super) const REPLAY_INTERVAL: u64 = 1_000;

/// What a REQUEST says, its ids apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) expiry: u64,
    pub(super) method: MethodId,
    pub(super) flags: Flags,
    pub(super) cell: u32,
    pub(super) metadata: MetadataRef<'a>,
    pub(super) unknown_critical: bool,
    pub(super) options: &'a [u8],
    pub(super) body: &'a [u8],
}

/// Handles a REQUEST from a proved address, the one with the number `via`.
pub(super) fn request<'a>(
    common: &mut Common,
    session: &mut Session,
    arrival: &Arrival<'_>,
    via: u8,
    request: &Request<'a>,
    server_start: Time,
) -> (Received, Option<Start<'a>>) {
    let window = common.config.window;
    let fingerprint = common.identity.fingerprint(request.method, request.options, request.body);
    match session.table.standing(arrival.call, window) {
        Standing::Same => {
            let slot = session.table.slot_mut(arrival.call.slot(window));
            let fate = match slot {
                Some(slot) => duplicate(common, slot, arrival, via, fingerprint),
                None => Received::Stale,
            };
            (fate, None)
        }
        Standing::Stale if common.rules.hold(Rule::SmallerIsStale) => {
            common.answer(arrival, Say::refusal(Reason::Stale));
            (Received::Stale, None)
        }
        // The client has given the session up: it waits for nothing, so nothing new begins.
        _ if session.closing => {
            common.answer(arrival, Say::refusal(Reason::UnknownSession));
            (Received::UnknownSession, None)
        }
        _ => {
            let (fate, method) = new_call(common, session, arrival, via, request, fingerprint);
            let start = method.map(|method| Start {
                key: arrival.key(),
                method,
                metadata: request.metadata,
                body: request.body,
                expiry: super::time_of(server_start, request.expiry),
                route: *arrival.route,
            });
            (fate, start)
        }
    }
}

/// A copy of a call that is known: answered by what has become of it.
fn duplicate(
    common: &mut Common,
    slot: &mut Slot,
    arrival: &Arrival<'_>,
    via: u8,
    fingerprint: u64,
) -> Received {
    if slot.state != State::Fenced && slot.fingerprint != fingerprint {
        common.answer(arrival, Say::refusal(Reason::IdReused));
        return Received::IdReused;
    }
    let may_speak = slot.hear(arrival.clock, arrival.attempt, via);
    let (say, fate) = match slot.state {
        State::Queued | State::Running { .. } if !may_speak => {
            return Received::ProgressHeld;
        }
        State::Done(_) if !may_speak => return Received::ReplayHeld,
        State::Done(_) => {
            slot.hush(arrival.clock, REPLAY_INTERVAL);
            (Say::reply(slot), Received::Replayed)
        }
        State::Gone => (Say::refusal(Reason::ReplyGone), Received::ReplyGone),
        State::Refused(reason) => (Say::promise(reason), Received::RefusedAgain),
        State::Fenced => (Say::promise(Reason::Fenced), Received::RefusedAgain),
        // Not EMPTY: a record in use has a state.
        State::Queued | State::Running { .. } | State::Empty => {
            slot.hush(arrival.clock, PROGRESS_INTERVAL);
            let state = slot.state.progress();
            let state = state.unwrap_or(crate::wire::SlotState::Empty);
            (Say::Progress(state), Received::Progress)
        }
    };
    common.answer(arrival, say);
    fate
}

/// A call that is new to its slot. The method, if it is to be run at once.
fn new_call(
    common: &mut Common,
    session: &mut Session,
    arrival: &Arrival<'_>,
    via: u8,
    request: &Request<'_>,
    fingerprint: u64,
) -> (Received, Option<usize>) {
    let Session { table, load, was_used, .. } = session;
    let window = common.config.window;
    let Some(slot) = table.take(arrival.call, window, &mut common.memory.records) else {
        return (no_room_for_record(common, arrival), None);
    };
    begin(common, load, slot, arrival, via);
    slot.fingerprint = fingerprint;
    slot.expiry = request.expiry;
    let admitted = judge(common, load, arrival, request)
        .and_then(|(method, execution)| place(common, slot, arrival, request, method, execution));
    match admitted {
        Err(reason) => {
            if common.rules.hold(Rule::RefusalRecorded) {
                slot.state = State::Refused(reason);
            } else {
                slot.call = CallId(arrival.call.0.saturating_sub(window.into()));
                slot.state = State::Fenced;
            }
            common.counters.count_refused(reason);
            common.answer(arrival, Say::promise(reason));
            (Received::Refused, None)
        }
        Ok((method, Execution::Inline)) => {
            *was_used = true;
            run(common, load, slot);
            (Received::Started, Some(method))
        }
        Ok((_, Execution::Queued)) => {
            *was_used = true;
            load.queued += 1;
            timers::arm(common, slot);
            (Received::Queued, None)
        }
    }
}

/// Says that there is no memory for a slot's record. That is no refusal: nothing can be recorded,
/// and the same call may run later.
pub(super) fn no_room_for_record(common: &mut Common, arrival: &Arrival<'_>) -> Received {
    let say = if common.rules.hold(Rule::NoRoomIsNoRefusal) {
        Say::refusal(Reason::NoRoomForRecord)
    } else {
        Say::promise(Reason::NoRoomForRecord)
    };
    common.answer(arrival, say);
    Received::NoRoomForRecord
}

/// Gives a slot to a larger call id. The smaller call is acknowledged and fenced for ever by it:
/// one that waits never runs, and one that runs is told that nobody waits, and counts against
/// its session until it ends.
pub(super) fn begin(
    common: &mut Common,
    load: &mut Load,
    slot: &mut Slot,
    arrival: &Arrival<'_>,
    via: u8,
) {
    let old = CallKey { session: arrival.session, call: slot.call };
    timers::leave(common, slot);
    match slot.state {
        State::Queued => {
            load.queued -= 1;
            common.counters.count(Done::Superseded);
        }
        State::Running { cancelled } => {
            common.orphans.insert(old);
            if !cancelled {
                common.cancel(old);
            }
        }
        _ => {}
    }
    slot.unreserve(&mut common.memory.replies);
    slot.begin(arrival.call, arrival.clock, arrival.attempt, via);
}

/// Whether a call may run, memory and queue apart.
fn judge(
    common: &Common,
    load: &Load,
    arrival: &Arrival<'_>,
    request: &Request<'_>,
) -> Result<(usize, Execution), Reason> {
    let config = &common.config;
    if common.draining {
        return Err(Reason::Draining);
    }
    if common.rules.hold(Rule::ExpiryAtStart) && arrival.clock >= request.expiry {
        return Err(Reason::Expired);
    }
    if request.flags != Flags::WHOLE || request.cell != 0 {
        return Err(Reason::UnsupportedShape);
    }
    if request.unknown_critical {
        return Err(Reason::UnknownOption);
    }
    let Some((place, method)) = common.method(request.method) else {
        return Err(Reason::UnknownMethod);
    };
    if request.body.len() > method.longest_request {
        return Err(Reason::RequestTooLarge);
    }
    if request.expiry > arrival.clock.saturating_add(config.longest_deadline_us()) {
        return Err(Reason::DeadlineTooFar);
    }
    if load.running >= config.window {
        return Err(Reason::TooManyRunning);
    }
    if method.execution == Execution::Queued && common.pending.waiting() >= config.max_queued {
        return Err(Reason::Overloaded);
    }
    Ok((place, method.execution))
}

/// Reserves room for the reply, and puts a call in the queue that belongs there.
fn place(
    common: &mut Common,
    slot: &mut Slot,
    arrival: &Arrival<'_>,
    request: &Request<'_>,
    method: usize,
    execution: Execution,
) -> Result<(usize, Execution), Reason> {
    let spec = common.methods.get(method).ok_or(Reason::UnknownMethod)?;
    let room = spec.reply_room();
    slot.method = u16::try_from(method).map_err(|_| Reason::UnknownMethod)?;
    if !slot.reserve(room, &mut common.memory.replies) {
        return Err(Reason::NoRoomForReply);
    }
    if execution == Execution::Queued {
        let records = &mut common.memory.records;
        let (key, Request { metadata, body, .. }) = (arrival.key(), *request);
        let entry = common.pending.push(key, arrival.clock, metadata, body, records);
        let Some(entry) = entry else {
            slot.unreserve(&mut common.memory.replies);
            return Err(Reason::Overloaded);
        };
        (slot.state, slot.entry) = (State::Queued, entry);
    }
    Ok((method, execution))
}

/// RUNNING, before the handler's first instruction.
pub(super) fn run(common: &mut Common, load: &mut Load, slot: &mut Slot) {
    slot.state = State::Running { cancelled: false };
    load.running += 1;
    common.running += 1;
    common.counters.count(Done::Started);
}
