//! A session's slots: the reply cache. There is no eviction here, no expiry race and no
//! acknowledgement watermark.
//!
//! Records stand in pages of 16 that come into being as slots are used, and grow within as far as
//! they are used, so that a high slot number costs one page and a client with one call at a time
//! one record.
//!
//! Invariant: every call id that was ever recorded is either the id of a record or not above its
//! slot's record, or not above `floor`. So no id is ever new twice.

use std::mem::size_of;

use super::memory::Budget;
use super::slot::Slot;
use crate::wire::CallId;

/// Records of a page.
const PAGE: u32 = 16;

/// What a page costs besides its records, bytes; twice its size, because a vector of them doubles.
const PAGE_COST: usize = 2 * size_of::<Page>();

/// What a record costs, bytes.
const SLOT_COST: usize = size_of::<Slot>();

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Page {
    /// Of the first slot, in pages.
    number: u32,
    /// As many as are needed; a power of two, at most [`PAGE`].
    slots: Vec<Slot>,
}

/// How a call id stands to what its slot has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Smaller than what has been seen there: it never runs, whatever it was.
    Stale,
    /// It is the slot's call.
    Same,
    /// Larger than all that has been seen there.
    New,
}

/// The slots of a session.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Table {
    /// By rising number.
    pages: Vec<Page>,
    /// The highest call id recorded.
    highest: CallId,
    /// Where a slot has no record, all ids up to this one are stale.
    floor: CallId,
}

impl Table {
    pub(super) fn new() -> Self {
        Self { pages: Vec::new(), highest: CallId(0), floor: CallId(0) }
    }

    /// The record of this slot, if it has been used.
    pub(super) fn slot(&self, number: u32) -> Option<&Slot> {
        let page = self.pages.get(self.place(number / PAGE).ok()?)?;
        let slot = page.slots.get((number % PAGE) as usize)?;
        (slot.call.0 != 0).then_some(slot)
    }

    /// The record of this slot, if it has been used.
    pub(super) fn slot_mut(&mut self, number: u32) -> Option<&mut Slot> {
        let place = self.place(number / PAGE).ok()?;
        let page = self.pages.get_mut(place)?;
        let slot = page.slots.get_mut((number % PAGE) as usize)?;
        (slot.call.0 != 0).then_some(slot)
    }

    /// How this id stands to its slot.
    pub(super) fn standing(&self, call: CallId, window: u32) -> Standing {
        match self.slot(call.slot(window)) {
            Some(slot) if call < slot.call => Standing::Stale,
            Some(slot) if call == slot.call => Standing::Same,
            None if call <= self.floor => Standing::Stale,
            _ => Standing::New,
        }
    }

    /// The record of this call's slot, made if need be and if there is memory for it; the call is
    /// to be recorded there.
    pub(super) fn take(
        &mut self,
        call: CallId,
        window: u32,
        records: &mut Budget,
    ) -> Option<&mut Slot> {
        let number = call.slot(window);
        let (page, offset) = (number / PAGE, (number % PAGE) as usize);
        let place = match self.place(page) {
            Ok(place) => place,
            Err(place) => {
                if !records.take(PAGE_COST) {
                    return None;
                }
                let empty = Page { number: page, slots: Vec::new() };
                self.pages.insert(place, empty);
                place
            }
        };
        let slots = &mut self.pages.get_mut(place)?.slots;
        if offset >= slots.len() {
            let wanted = (offset + 1).next_power_of_two();
            let more = wanted - slots.len();
            if !records.take(more * SLOT_COST) {
                return None;
            }
            slots.reserve_exact(more);
            slots.resize_with(wanted, Slot::default);
        }
        self.highest = self.highest.max(call);
        slots.get_mut(offset)
    }

    /// All records, empty ones included.
    pub(super) fn slots_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.pages.iter_mut().flat_map(|page| &mut page.slots)
    }

    /// Whether there are records.
    pub(super) fn has_records(&self) -> bool {
        !self.pages.is_empty()
    }

    /// Replaces all records by the one number below which everything is stale. Only for a session
    /// in which nothing is in progress and all that was ever sent has expired.
    pub(super) fn compact(&mut self, records: &mut Budget, replies: &mut Budget) {
        self.floor = self.highest;
        self.free(records, replies);
    }

    /// Gives all memory back.
    pub(super) fn free(&mut self, records: &mut Budget, replies: &mut Budget) {
        for page in &mut self.pages {
            for slot in &mut page.slots {
                slot.drop_reply(replies);
            }
            records.give(PAGE_COST + page.slots.len() * SLOT_COST);
        }
        self.pages = Vec::new();
    }

    /// Where this page is, or would have to be. Clients take the lowest free slot, so nearly
    /// always a page stands at its own number.
    fn place(&self, page: u32) -> Result<usize, usize> {
        let own = page as usize;
        match self.pages.get(own) {
            Some(found) if found.number == page => Ok(own),
            _ => self.pages.binary_search_by_key(&page, |page| page.number),
        }
    }
}
