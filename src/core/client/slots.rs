//! The slots of a session: which call is in which, and which is the lowest that is free.
//!
//! It must not know what a session is. Invariant: a slot has one call at a time, and is free,
//! doubtful or taken.

use super::CallHandle;

/// A set of numbers of which the lowest is found fast: a bit for each, and a bit for each word of
/// those that is not empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct Lowest {
    words: Vec<u64>,
    summary: Vec<u64>,
}

impl Lowest {
    fn insert(&mut self, number: u32) {
        let word = set(&mut self.words, index(number));
        set(&mut self.summary, word);
    }

    /// Takes the lowest out.
    fn pop(&mut self) -> Option<u32> {
        let number = self.first()?;
        let word = index(number) / 64;
        if let Some(bits) = self.words.get_mut(word) {
            *bits &= *bits - 1;
            if *bits == 0
                && let Some(bits) = self.summary.get_mut(word / 64)
            {
                *bits &= !(1 << (word % 64));
            }
        }
        Some(number)
    }

    fn first(&self) -> Option<u32> {
        let lowest = |words: &[u64], place: usize| Some(words.get(place)?.trailing_zeros());
        // Numbers are below 2³², so this looks at one word for each 4096 slots in use.
        let place = self.summary.iter().position(|bits| *bits != 0)?;
        let word = place * 64 + index(lowest(&self.summary, place)?);
        u32::try_from(word * 64).ok().zip(lowest(&self.words, word)).map(|(base, bit)| base + bit)
    }
}

/// Sets a bit, and says in which word.
fn set(words: &mut Vec<u64>, bit: usize) -> usize {
    let word = bit / 64;
    if word >= words.len() {
        words.resize(word + 1, 0);
    }
    if let Some(bits) = words.get_mut(word) {
        *bits |= 1 << (bit % 64);
    }
    word
}

/// The slots of a session.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Slots {
    /// How many there may be.
    window: u32,
    /// The call in each slot used so far.
    calls: Vec<Option<CallHandle>>,
    /// Slots without a call whose last call's outcome is known, and those where it is not.
    free: Lowest,
    doubtful: Lowest,
}

impl Slots {
    pub(super) fn new(window: u32) -> Self {
        Self { window, calls: Vec::new(), free: Lowest::default(), doubtful: Lowest::default() }
    }

    /// Whether a new call would find one.
    pub(super) fn has_free(&self) -> bool {
        self.fresh().is_some() || self.free.first().is_some() || self.doubtful.first().is_some()
    }

    fn fresh(&self) -> Option<u32> {
        let fresh = u32::try_from(self.calls.len()).ok()?;
        (fresh < self.window).then_some(fresh)
    }

    /// Gives `handle` the lowest free slot. Slots whose last call ended as unknown come last: that
    /// call may still run there.
    pub(super) fn allocate(&mut self, handle: CallHandle) -> Option<u32> {
        if let Some(slot) = self.free.pop() {
            *self.calls.get_mut(index(slot))? = Some(handle);
            Some(slot)
        } else if let Some(slot) = self.fresh() {
            self.calls.push(Some(handle));
            Some(slot)
        } else {
            let slot = self.doubtful.pop()?;
            *self.calls.get_mut(index(slot))? = Some(handle);
            Some(slot)
        }
    }

    /// The call in a slot.
    pub(super) fn occupant(&self, slot: u32) -> Option<CallHandle> {
        self.calls.get(index(slot)).copied().flatten()
    }

    /// The call in this slot has ended; `known` tells whether its outcome is.
    pub(super) fn release(&mut self, slot: u32, known: bool) {
        if let Some(place) = self.calls.get_mut(index(slot)) {
            *place = None;
            if known { self.free.insert(slot) } else { self.doubtful.insert(slot) }
        }
    }
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lowest_comes_out_first(
            steps in prop::collection::vec((prop::option::of(0u32..20_000), 0..3), 1..300),
        ) {
            let mut lowest = Lowest::default();
            let mut model = BTreeSet::new();
            for (number, pops) in steps {
                if let Some(number) = number {
                    lowest.insert(number);
                    model.insert(number);
                }
                prop_assert_eq!(lowest.first(), model.first().copied());
                for _ in 0..pops {
                    prop_assert_eq!(lowest.pop(), model.pop_first());
                }
            }
        }
    }
}
