//! The calls of methods that workers run: those that wait, first come, first served, and those that
//! run; each with a timer.
//!
//! A waiting call leaves by being claimed, fenced, superseded or expired, whichever comes first: all
//! of these take it out of the line, and whoever does not find it there does nothing. A claimed one
//! keeps its entry, for its timer, until it ends or its slot moves on.
//!
//! Entries are used again, and so in a steady state nothing is allocated. The line is threaded
//! through them; the timers are a binary heap whose entries know their places in it.

use super::CallKey;
use super::memory::Budget;
use crate::core::Uncompared;
use crate::wire::{CallId, Metadata, MetadataRef, SessionId};

/// What an entry costs besides body and metadata, bytes: itself, and its places in the heap and among
/// the free ones; twice their size, because vectors double.
const ENTRY_COST: usize = 2 * (size_of::<Entry>() + 2 * size_of::<u32>());

/// Buffers kept for requests to come, at most.
const SPARE_MAX: usize = 256;

/// Buffers longer than this are not kept, bytes.
const SPARE_LEN_MAX: usize = 4096;

/// No entry, or no place.
pub(super) const NONE: u32 = u32::MAX;

/// A call that waits or runs. Times are µs of the server's clock.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Entry {
    pub(super) key: CallKey,
    /// Arrival of the first copy.
    pub(super) first: u64,
    /// PROGRESS has gone unasked.
    pub(super) unasked: bool,
    /// It stands in the line.
    is_waiting: bool,
    /// When its timer goes off, if `heaped` says that it has one.
    due: u64,
    /// Its place in the heap.
    heaped: u32,
    /// Its neighbours in the line.
    before: u32,
    after: u32,
    metadata: Metadata,
    body: Vec<u8>,
}

/// An entry that is not in use.
const FREE: Entry = Entry {
    key: CallKey { session: SessionId(0), call: CallId(0) },
    first: 0,
    unasked: false,
    is_waiting: false,
    due: 0,
    heaped: NONE,
    before: NONE,
    after: NONE,
    metadata: Metadata::new(),
    body: Vec::new(),
};

/// The calls that wait, or run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Pending {
    entries: Vec<Entry>,
    free: Vec<u32>,
    /// The line's ends.
    first: u32,
    last: u32,
    waiting: usize,
    /// Entries with a timer: none is due before the one at half its place.
    heap: Vec<u32>,
    spare: Uncompared<Vec<Vec<u8>>>,
}

impl Default for Pending {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            first: NONE,
            last: NONE,
            waiting: 0,
            heap: Vec::new(),
            spare: Uncompared::default(),
        }
    }
}

impl Pending {
    /// Calls that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Puts a call at the end of the line. `None` if there is no memory.
    pub(super) fn push(
        &mut self,
        key: CallKey,
        first: u64,
        metadata: MetadataRef<'_>,
        body: &[u8],
        records: &mut Budget,
    ) -> Option<u32> {
        if !records.take(ENTRY_COST + metadata.as_bytes().len() + body.len()) {
            return None;
        }
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.extend_from_slice(body);
        let entry = Entry {
            key,
            first,
            is_waiting: true,
            before: self.last,
            metadata: metadata.to_owned(),
            body: buffer,
            ..FREE
        };
        let number = match self.free.pop() {
            Some(number) => {
                if let Some(place) = self.entries.get_mut(number as usize) {
                    *place = entry;
                }
                number
            }
            None => {
                self.entries.push(entry);
                u32::try_from(self.entries.len() - 1).unwrap_or(NONE)
            }
        };
        match self.get_mut(self.last) {
            Some(last) => last.after = number,
            None => self.first = number,
        }
        self.last = number;
        self.waiting += 1;
        Some(number)
    }

    /// Takes the first out of the line, with what its caller sent. Its entry stays.
    pub(super) fn pop(
        &mut self,
        records: &mut Budget,
    ) -> Option<(u32, CallKey, Metadata, Vec<u8>)> {
        let number = self.first;
        self.unlink(number);
        let entry = self.get_mut(number)?;
        let key = entry.key;
        let (metadata, body) =
            (std::mem::take(&mut entry.metadata), std::mem::take(&mut entry.body));
        records.give(metadata.borrow().as_bytes().len() + body.len());
        Some((number, key, metadata, body))
    }

    /// Gives up the entry of a call that has ended or never runs, if it has one.
    pub(super) fn remove(&mut self, number: u32, records: &mut Budget) {
        self.unlink(number);
        self.disarm(number);
        let Some(entry) = self.get_mut(number) else { return };
        let Entry { metadata, body, .. } = std::mem::replace(entry, FREE);
        records.give(ENTRY_COST + metadata.borrow().as_bytes().len() + body.len());
        self.recycle(body);
        self.free.push(number);
    }

    /// Takes back a request's buffer.
    pub(super) fn recycle(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        if self.spare.len() < SPARE_MAX && (1..=SPARE_LEN_MAX).contains(&buffer.capacity()) {
            self.spare.push(buffer);
        }
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Entry> {
        self.entries.get_mut(number as usize)
    }

    /// Takes an entry out of the line, if it stands there.
    fn unlink(&mut self, number: u32) {
        let Some(entry) = self.get_mut(number).filter(|entry| entry.is_waiting) else { return };
        let (before, after) = (entry.before, entry.after);
        entry.is_waiting = false;
        match self.get_mut(before) {
            Some(entry) => entry.after = after,
            None => self.first = after,
        }
        match self.get_mut(after) {
            Some(entry) => entry.before = before,
            None => self.last = before,
        }
        self.waiting -= 1;
    }

    /// When the first timer goes off, and whose.
    pub(super) fn next(&self) -> Option<(u64, u32)> {
        let number = *self.heap.first()?;
        Some((self.due(number), number))
    }

    /// Sets a call's timer.
    pub(super) fn arm(&mut self, number: u32, due: u64) {
        let end = self.heap.len();
        let Some(entry) = self.get_mut(number) else { return };
        entry.due = due;
        if entry.heaped == NONE {
            self.heap.push(number);
            self.put(end, number);
        }
        self.settle(number);
    }

    /// Stops a call's timer.
    pub(super) fn disarm(&mut self, number: u32) {
        let Some(entry) = self.get_mut(number).filter(|entry| entry.heaped != NONE) else { return };
        let place = std::mem::replace(&mut entry.heaped, NONE) as usize;
        let Some(last) = self.heap.pop().filter(|last| *last != number) else { return };
        self.put(place, last);
        self.settle(last);
    }

    fn due(&self, number: u32) -> u64 {
        self.entries.get(number as usize).map_or(u64::MAX, |entry| entry.due)
    }

    /// Puts an entry into a place of the heap.
    fn put(&mut self, place: usize, number: u32) {
        if let Some(slot) = self.heap.get_mut(place) {
            *slot = number;
        }
        if let Some(entry) = self.get_mut(number) {
            entry.heaped = u32::try_from(place).unwrap_or(NONE);
        }
    }

    /// Moves an entry up or down the heap, to where it belongs.
    fn settle(&mut self, number: u32) {
        let Some(mut place) = self.entries.get(number as usize).map(|e| e.heaped as usize) else {
            return;
        };
        let due = self.due(number);
        while place > 0
            && let Some(&above) = self.heap.get((place - 1) / 2)
            && due < self.due(above)
        {
            self.put(place, above);
            place = (place - 1) / 2;
        }
        loop {
            let below = [2 * place + 1, 2 * place + 2].into_iter();
            let below = below.filter_map(|place| Some((self.due(*self.heap.get(place)?), place)));
            let Some((_, least)) = below.min().filter(|(least, _)| *least < due) else { break };
            let Some(&lifted) = self.heap.get(least) else { break };
            self.put(place, lifted);
            place = least;
        }
        self.put(place, number);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, VecDeque};

    use super::*;
    use crate::core::{Prf, Seed};

    fn key(call: u64) -> CallKey {
        CallKey { session: SessionId(1), call: CallId(call) }
    }

    #[test]
    fn line_and_timers_are_those_of_a_queue_and_a_sorted_set() {
        let mut dice = Prf::new(&Seed::from_number(3), "pending");
        let mut records = Budget::new(1 << 20);
        let mut pending = Pending::default();
        let (mut line, mut timers) = (VecDeque::new(), BTreeSet::new());
        let mut live: Vec<(u32, u64)> = Vec::new();
        for step in 0..20_000u64 {
            let which = usize::try_from(dice.below(live.len().max(1) as u64)).unwrap();
            let chosen = live.get(which).copied();
            match (dice.below(5), chosen) {
                (0, _) | (_, None) if live.len() < 200 => {
                    let body = step.to_be_bytes();
                    let number =
                        pending.push(key(step), step, MetadataRef::EMPTY, &body, &mut records);
                    live.push((number.unwrap(), step));
                    line.push_back(step);
                }
                (1, _) => {
                    let popped = pending.pop(&mut records);
                    let expected = line.pop_front();
                    assert_eq!(popped.as_ref().map(|popped| popped.1), expected.map(key));
                    if let Some((_, key, _, body)) = popped {
                        assert_eq!(body, key.call.0.to_be_bytes());
                        pending.recycle(body);
                    }
                }
                (2, Some((number, call))) => {
                    pending.remove(number, &mut records);
                    live.swap_remove(which);
                    line.retain(|other| *other != call);
                    timers.retain(|(_, other)| *other != call);
                }
                (_, Some((number, call))) => {
                    let due = dice.below(500);
                    pending.arm(number, due);
                    timers.retain(|(_, other)| *other != call);
                    timers.insert((due, call));
                }
                (_, None) => {}
            }
            assert_eq!(pending.waiting(), line.len());
            assert_eq!(pending.heap.len(), timers.len());
            let next = pending.next().map(|(due, _)| due);
            assert_eq!(next, timers.first().map(|(due, _)| *due));
        }
        for (number, _) in live {
            pending.remove(number, &mut records);
        }
        assert_eq!((records.used(), pending.waiting(), pending.next()), (0, 0, None));
        assert!(pending.entries.len() <= 200 && pending.entries.iter().all(|entry| *entry == FREE));
    }
}
