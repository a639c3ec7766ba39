//! A session's slots: the reply cache. There is no eviction here, no expiry race and no
//! acknowledgement watermark.
//!
//! Records stand in pages of 16 that come into being as slots are used, and grow within as far as
//! they are used, so that a high slot number costs one page and a client with one call at a time
//! one record.
//!
//! Invariant: every call id that was ever recorded is either the id of a record or not above its
//! slot's record, or not above `floor`. So no id is ever new twice.

use super::memory::{BLOCK_COST, Budget};
use super::slot::Slot;
use crate::wire::CallId;

/// Records of a page.
const PAGE: u32 = 16;

/// What a page beyond the first costs besides its records, bytes; twice its size, because a vector of
/// them doubles.
const PAGE_COST: usize = 2 * (size_of::<Page>() + BLOCK_COST);

/// What a record costs, bytes.
const SLOT_COST: usize = size_of::<Slot>();

/// Records of a page: as many as are needed, a power of two, at most [`PAGE`].
type Records = Box<[Slot]>;

/// What a page's records cost, bytes.
fn cost(records: usize) -> usize {
    if records == 0 { 0 } else { records * SLOT_COST + BLOCK_COST }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Page {
    /// Of the first slot, in pages.
    number: u32,
    records: Records,
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
    /// Page 0, which is all that most clients ever use.
    first: Records,
    /// The others, by rising number.
    #[expect(clippy::box_collection, reason = "most sessions have none")]
    far: Option<Box<Vec<Page>>>,
    /// Where a slot has no record, all ids up to this one are stale.
    floor: CallId,
}

impl Table {
    pub(super) fn new() -> Self {
        Self { first: Records::default(), far: None, floor: CallId(0) }
    }

    /// The record of this slot, if it has been used.
    #[inline]
    pub(super) fn slot(&self, number: u32) -> Option<&Slot> {
        let records = match number / PAGE {
            0 => &self.first,
            page => {
                let far = self.far.as_ref()?;
                &far.get(place(far, page).ok()?)?.records
            }
        };
        let slot = records.get((number % PAGE) as usize)?;
        (slot.call.0 != 0).then_some(slot)
    }

    /// The record of this slot, if it has been used.
    #[inline]
    pub(super) fn slot_mut(&mut self, number: u32) -> Option<&mut Slot> {
        let records = match number / PAGE {
            0 => &mut self.first,
            page => {
                let far = self.far.as_mut()?;
                let place = place(far, page).ok()?;
                &mut far.get_mut(place)?.records
            }
        };
        let slot = records.get_mut((number % PAGE) as usize)?;
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
        let page = match number / PAGE {
            0 => &mut self.first,
            page => {
                let far = self.far.get_or_insert_default();
                let place = match place(far, page) {
                    Ok(place) => place,
                    Err(place) => {
                        if !records.take(PAGE_COST) {
                            return None;
                        }
                        far.insert(place, Page { number: page, records: Records::default() });
                        place
                    }
                };
                &mut far.get_mut(place)?.records
            }
        };
        let offset = (number % PAGE) as usize;
        if offset >= page.len() {
            let wanted = (offset + 1).next_power_of_two();
            if !records.take(cost(wanted) - cost(page.len())) {
                return None;
            }
            let mut slots = std::mem::take(page).into_vec();
            slots.reserve_exact(wanted - slots.len());
            slots.resize_with(wanted, Slot::default);
            *page = slots.into_boxed_slice();
        }
        page.get_mut(offset)
    }

    /// All records, empty ones included.
    pub(super) fn slots_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        let far = self.far.iter_mut().flat_map(|far| far.iter_mut());
        self.first.iter_mut().chain(far.flat_map(|page| &mut page.records))
    }

    /// How many records there are, about: a page beyond the first is reckoned as full.
    pub(super) fn records(&self) -> usize {
        self.first.len() + self.far.as_ref().map_or(0, |far| far.len() * PAGE as usize)
    }

    /// Whether there are records.
    pub(super) fn has_records(&self) -> bool {
        !self.first.is_empty() || self.far.is_some()
    }

    /// Replaces all records by the one number below which everything is stale. Only for a session
    /// in which nothing is in progress and all that was ever sent has expired.
    pub(super) fn compact(&mut self, records: &mut Budget, replies: &mut Budget) {
        let highest = self.slots_mut().map(|slot| slot.call).max();
        self.floor = highest.map_or(self.floor, |highest| highest.max(self.floor));
        self.free(records, replies);
    }

    /// Gives all memory back.
    pub(super) fn free(&mut self, records: &mut Budget, replies: &mut Budget) {
        self.slots_mut().for_each(|slot| slot.drop_reply(replies));
        records.give(cost(self.first.len()));
        for page in self.far.iter().flat_map(|far| far.iter()) {
            records.give(PAGE_COST + cost(page.records.len()));
        }
        (self.first, self.far) = (Records::default(), None);
    }
}

/// Where this page is among those beyond the first, or would have to be. Clients take the lowest
/// free slot, so nearly always a page stands at its own number.
fn place(far: &[Page], page: u32) -> Result<usize, usize> {
    let own = (page as usize).wrapping_sub(1);
    match far.get(own) {
        Some(found) if found.number == page => Ok(own),
        _ => far.binary_search_by_key(&page, |page| page.number),
    }
}
