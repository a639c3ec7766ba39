//! One slot: the highest call id seen there, how far that call has come, and its reply.
//!
//! Invariants: `call` never decreases while the session lives. A reply is kept from the moment
//! that the handler ends, and its room is reserved from before the handler starts. What the
//! slot holds of the reply budget is `held + reserved`, always.

use super::memory::Budget;
use crate::wire::{CallId, Code, MetadataRef, Reason, SlotState};

/// How far a call has come. RECEIVING is missing: a request of one datagram goes through at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) enum State {
    /// No call has used this slot yet.
    #[default]
    Empty,
    /// It waits for a worker, under this number in the queue.
    Queued { ticket: u64 },
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
            State::Queued { .. } => Some(SlotState::Queued),
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
    /// Arrival of the first copy.
    pub(super) first: u64,
    /// Arrival of the latest copy from a proved address, to which answers refer.
    pub(super) latest: u64,
    /// No duplicate is answered before this.
    pub(super) hush: u64,
    /// When the call's timer goes off; zero for none.
    pub(super) timer: u64,
    /// The reply, when DONE: its metadata as they are kept, then its body; with all that they
    /// take in a datagram. The buffer is kept for the slot's next call.
    reply: Vec<u8>,
    /// Bytes that `reply` may hold without asking for more.
    held: u32,
    /// Bytes reserved beyond `held`, while a reply is yet to come.
    reserved: u32,
    /// Index of the method.
    pub(super) method: u32,
    /// Attempt of the latest copy.
    pub(super) attempt: u8,
    /// Which of the session's addresses the latest copy came from.
    pub(super) route: u8,
    /// PROGRESS has gone unasked.
    pub(super) unasked: bool,
    /// What of `reply` is metadata, in units of four bytes.
    metadata_units: u8,
}

/// Replies are kept in steps of this many bytes, so that replies which differ by a few bytes
/// do not make a buffer grow each time.
const STEP: usize = 64;

impl Default for Slot {
    fn default() -> Self {
        Self {
            call: CallId(0),
            state: State::Empty,
            fingerprint: 0,
            expiry: 0,
            first: 0,
            latest: 0,
            hush: 0,
            timer: 0,
            reply: Vec::new(),
            held: 0,
            reserved: 0,
            method: 0,
            attempt: 0,
            route: 0,
            unasked: false,
            metadata_units: 0,
        }
    }
}

impl Slot {
    /// Makes room for a reply of `room` bytes.
    #[must_use]
    pub(super) fn reserve(&mut self, room: usize, replies: &mut Budget) -> bool {
        debug_assert_eq!(self.reserved, 0);
        let more = room.saturating_sub(self.held as usize);
        let Ok(reserved) = u32::try_from(more) else {
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
        replies.give(std::mem::take(&mut self.reserved) as usize);
    }

    /// Keeps the reply, in the room reserved for it. One that is longer is cut: callers see to it
    /// that none is.
    pub(super) fn keep(&mut self, metadata: MetadataRef<'_>, body: &[u8], replies: &mut Budget) {
        let room = (self.held + self.reserved) as usize;
        let size = metadata.option_len() + body.len();
        debug_assert!(size <= room);
        self.clear_reply();
        let wanted = size.next_multiple_of(STEP).min(room);
        let held = wanted.max(self.held as usize);
        self.reply.reserve_exact(held);
        metadata.keep(&mut self.reply);
        self.metadata_units = u8::try_from(self.reply.len() / 4).unwrap_or(u8::MAX);
        self.reply.extend_from_slice(body);
        self.reply.truncate(room);
        replies.give(room - held);
        self.held = u32::try_from(held).unwrap_or(u32::MAX);
        self.reserved = 0;
    }

    /// The reply.
    pub(super) fn reply(&self) -> (MetadataRef<'_>, &[u8]) {
        let (metadata, body) =
            self.reply.split_at_checked(self.metadata_len()).unwrap_or((&[], &self.reply));
        (MetadataRef::kept(metadata), body)
    }

    /// Bytes that the reply takes in a datagram behind the header.
    pub(super) fn reply_size(&self) -> usize {
        self.reply.len()
    }

    /// What of that are options.
    pub(super) fn metadata_len(&self) -> usize {
        usize::from(self.metadata_units) * 4
    }

    /// Forgets the reply, and keeps its memory.
    pub(super) fn clear_reply(&mut self) {
        self.reply.clear();
        self.metadata_units = 0;
    }

    /// Gives up the reply and its memory.
    pub(super) fn drop_reply(&mut self, replies: &mut Budget) {
        self.reply = Vec::new();
        self.metadata_units = 0;
        replies.give(std::mem::take(&mut self.held) as usize);
        self.unreserve(replies);
    }

    /// Cells of 128 bytes that the reply's body takes; an empty one takes one.
    pub(super) fn reply_cells(&self) -> usize {
        self.reply.len().saturating_sub(self.metadata_len()).div_ceil(128).max(1)
    }
}
