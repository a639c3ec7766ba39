//! One slot: the highest call id seen there, how far that call has come, and its reply.
//!
//! Invariants: `call` never decreases while the session lives. A reply is kept from the moment
//! that the handler ends, and its room is reserved from before the handler starts. What the
//! slot holds of the reply budget is what `reply` holds and what is reserved, always.

use std::hint::black_box;

use super::kept::Kept;
use super::memory::Budget;
use super::pending::NONE;
use crate::wire::{CallId, Code, MetadataRef, Reason, SlotState};

/// How far a call has come. RECEIVING is missing: a request of one datagram goes through at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) enum State {
    /// No call has used this slot yet.
    #[default]
    Empty,
    /// It waits for a worker.
    Queued,
    /// Its handler runs; `cancelled` once that was told that nobody waits.
    Running { cancelled: bool },
    /// It ran; the slot has the reply.
    Done(Code),
    /// It ran; the reply is no longer kept.
    Gone,
    /// It never runs, for this reason.
    Refused(Reason),
    /// It never runs: the fence came first, and perhaps the request has never been seen.
    Fenced,
}

impl State {
    /// QUEUED or RUNNING, and which of the two.
    pub(super) fn progress(self) -> Option<SlotState> {
        match self {
            State::Queued => Some(SlotState::Queued),
            State::Running { .. } => Some(SlotState::Running),
            _ => None,
        }
    }
}

/// One slot of a session. Times are µs of the server's clock.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Slot {
    /// The highest call id seen in this slot; zero while it is empty.
    pub(super) call: CallId,
    pub(super) state: State,
    /// Of the request; means nothing when FENCED.
    pub(super) fingerprint: u64,
    /// When the call may no longer start.
    pub(super) expiry: u64,
    /// Arrival of the latest copy from a proved address, to which answers refer.
    pub(super) latest: u64,
    /// The reply, when DONE: its metadata as they are kept, then its body; with all that they
    /// take in a datagram. Its memory is kept for the slot's next call.
    reply: Kept,
    /// Its entry among the calls that wait for a worker or are run by one.
    pub(super) entry: u32,
    /// No duplicate is answered so soon after `latest`, µs.
    quiet: u32,
    /// Bytes reserved beyond what `reply` holds, while one is yet to come.
    reserved: u16,
    /// Index of the method.
    pub(super) method: u16,
    /// Attempt of the latest copy.
    pub(super) attempt: u8,
    /// Which of the session's addresses the latest copy came from.
    pub(super) route: u8,
}

const _: () = assert!(size_of::<Slot>() == 72);

impl Default for Slot {
    fn default() -> Self {
        Self {
            call: CallId(0),
            state: State::Empty,
            fingerprint: 0,
            expiry: 0,
            latest: 0,
            reply: Kept::default(),
            entry: NONE,
            quiet: 0,
            reserved: 0,
            method: 0,
            attempt: 0,
            route: 0,
        }
    }
}

impl Slot {
    /// Reads something of both ends of it, which may be in different cache lines.
    #[inline]
    pub(super) fn touch(&self) {
        black_box((self.call, self.route));
    }

    /// Another call begins here with this copy; no answer of it has gone.
    pub(super) fn begin(&mut self, call: CallId, clock: u64, attempt: u8, route: u8) {
        self.call = call;
        self.quiet = 0;
        self.clear_reply();
        self.hear(clock, attempt, route);
    }

    /// Notes a copy of its call. Whether a duplicate may be answered again.
    pub(super) fn hear(&mut self, clock: u64, attempt: u8, route: u8) -> bool {
        let quiet = self.latest.saturating_add(self.quiet.into()).saturating_sub(clock);
        self.quiet = u32::try_from(quiet).unwrap_or(u32::MAX);
        self.latest = clock;
        self.attempt = attempt;
        self.route = route;
        self.quiet == 0
    }

    /// Whether a duplicate may be answered again.
    pub(super) fn may_speak(&self, clock: u64) -> bool {
        clock >= self.latest.saturating_add(self.quiet.into())
    }

    /// It has been answered: no duplicate is for so long, µs.
    pub(super) fn hush(&mut self, clock: u64, long: u64) {
        let quiet = clock.saturating_add(long).saturating_sub(self.latest);
        self.quiet = u32::try_from(quiet).unwrap_or(u32::MAX);
    }

    /// Makes room for a reply of `room` bytes.
    #[must_use]
    pub(super) fn reserve(&mut self, room: usize, replies: &mut Budget) -> bool {
        debug_assert_eq!(self.reserved, 0);
        let more = room.saturating_sub(self.reply.held());
        let Ok(reserved) = u16::try_from(more) else {
            return false;
        };
        let taken = replies.take(more);
        if taken {
            self.reserved = reserved;
        }
        taken
    }

    /// Gives back what was reserved for a reply that will not come.
    pub(super) fn unreserve(&mut self, replies: &mut Budget) {
        replies.give(usize::from(std::mem::take(&mut self.reserved)));
    }

    /// Keeps the reply, in the room reserved for it. One that is longer is cut: callers see to it
    /// that none is.
    pub(super) fn keep(&mut self, metadata: MetadataRef<'_>, body: &[u8], replies: &mut Budget) {
        let room = self.reply.held() + usize::from(std::mem::take(&mut self.reserved));
        let option = metadata.option_len();
        let size = option + body.len();
        debug_assert!(size <= room);
        let place = self.reply.make(size.min(room), option, room);
        if let Some((kept, rest)) = place.split_at_mut_checked(option) {
            metadata.keep(kept);
            let body = body.get(..rest.len()).unwrap_or_default();
            rest.copy_from_slice(body);
        }
        replies.give(room - self.reply.held());
    }

    /// The reply.
    pub(super) fn reply(&self) -> (MetadataRef<'_>, &[u8]) {
        let bytes = self.reply.bytes();
        let (metadata, body) = bytes.split_at_checked(self.metadata_len()).unwrap_or((&[], bytes));
        (MetadataRef::kept(metadata), body)
    }

    /// Bytes that the reply takes in a datagram behind the header.
    pub(super) fn reply_size(&self) -> usize {
        self.reply.bytes().len()
    }

    /// What of that are options.
    pub(super) fn metadata_len(&self) -> usize {
        self.reply.metadata_len()
    }

    /// Forgets the reply, and keeps its memory.
    pub(super) fn clear_reply(&mut self) {
        self.reply.clear();
    }

    /// Gives up the reply and its memory.
    pub(super) fn drop_reply(&mut self, replies: &mut Budget) {
        replies.give(self.reply.held());
        self.reply = Kept::default();
        self.unreserve(replies);
    }

    /// Cells of 128 bytes that the reply's body takes; an empty one takes one.
    pub(super) fn reply_cells(&self) -> usize {
        self.reply_size().saturating_sub(self.metadata_len()).div_ceil(128).max(1)
    }
}
