//! A timing wheel: timers of calls, set and cleared in one step however many there are.
//!
//! Varghese and Lauck's hierarchical wheel (SOSP 1987, scheme 7): at level `n` a slot is 64ⁿ µs
//! wide, and the 64 slots of a level are one slot of the next. A timer lies at the lowest level at
//! which it shares the slot above with the present, and comes down as that draws near.
//!
//! Invariants: a place has at most one timer; a slot's bit is set if and only if it has a timer;
//! timers come out in the order of their times, and none before its time.

use super::CallHandle;
use crate::core::Time;

/// Slots of a level: as many as a word has bits.
const SLOTS: usize = 64;

/// Bits of a time that a level stands for.
const BITS: u32 = 6;

/// Levels: 11 × 6 bits hold every time.
const LEVELS: usize = 11;

/// No place.
const NONE: u32 = u32::MAX;

/// The timer of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Timer {
    handle: CallHandle,
    at: u64,
    /// Where it lies, level × 64 + slot.
    slot: u16,
    before: u32,
    after: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Slot {
    first: u32,
    /// No timer in it is due before this.
    earliest: u64,
}

const EMPTY: Slot = Slot { first: NONE, earliest: u64::MAX };

/// The timers of calls.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Wheel {
    timers: Vec<Option<Timer>>,
    slots: Vec<Slot>,
    /// Which slots of each level have timers, and which levels have any.
    occupied: [u64; LEVELS],
    levels: u16,
    /// All before it has come out, µs.
    present: u64,
}

impl Default for Wheel {
    fn default() -> Self {
        Self {
            timers: Vec::new(),
            slots: vec![EMPTY; LEVELS * SLOTS],
            occupied: [0; LEVELS],
            levels: 0,
            present: 0,
        }
    }
}

impl Wheel {
    /// Sets the timer of a call, in place of the one it had.
    pub(super) fn set(&mut self, handle: CallHandle, at: Time) {
        let at = at.as_micros();
        let place = index(handle.place);
        if place >= self.timers.len() {
            self.timers.resize(place + 1, None);
        }
        if let Some(Some(timer)) = self.timers.get(place) {
            if timer.handle == handle && timer.at == at {
                return;
            }
            self.unlink(handle.place);
        }
        self.link(handle, at);
    }

    /// Takes the timer of a call away.
    pub(super) fn clear(&mut self, handle: CallHandle) {
        if let Some(Some(timer)) = self.timers.get(index(handle.place))
            && timer.handle == handle
        {
            self.unlink(handle.place);
        }
    }

    /// When the first timer is due, or somewhat earlier where an earlier one was cleared.
    pub(super) fn next(&self) -> Option<Time> {
        let slot = self.slots.get(self.first_slot()?)?;
        Some(Time::from_micros(slot.earliest))
    }

    /// Takes the first timer that is due.
    pub(super) fn pop(&mut self, now: Time) -> Option<CallHandle> {
        let now = now.as_micros();
        while let Some(number) = self.first_slot() {
            let begins = self.begins(number);
            if begins > now {
                break;
            }
            self.present = self.present.max(begins);
            if number < SLOTS {
                let first = self.slots.get(number)?.first;
                let timer = self.timers.get(index(first)).copied().flatten()?;
                self.unlink(first);
                return Some(timer.handle);
            }
            self.come_down(number);
        }
        // No slot with a timer has begun, so nothing has to be moved.
        self.present = self.present.max(now);
        None
    }

    /// When a slot begins that lies ahead.
    fn begins(&self, number: usize) -> u64 {
        let (level, place) = (number / SLOTS, number % SLOTS);
        let shift = BITS * u32::try_from(level).unwrap_or(0);
        let above = self.present.checked_shr(shift + BITS).unwrap_or(0);
        let above = above.checked_shl(shift + BITS).unwrap_or(0);
        above | u64::try_from(place).unwrap_or(0) << shift
    }

    /// Puts the timers of a slot where they belong now that it has begun.
    fn come_down(&mut self, number: usize) {
        let Some(slot) = self.slots.get_mut(number) else { return };
        let mut next = std::mem::replace(slot, EMPTY).first;
        self.mark(number, false);
        while let Some(timer) = self.timers.get(index(next)).copied().flatten() {
            next = timer.after;
            self.link(timer.handle, timer.at);
        }
    }

    /// The slot with the first timer: the lowest level's first.
    fn first_slot(&self) -> Option<usize> {
        if self.levels == 0 {
            return None;
        }
        let level = index(self.levels.trailing_zeros());
        let slot = self.occupied.get(level)?.trailing_zeros();
        Some(level * SLOTS + index(slot))
    }

    fn link(&mut self, handle: CallHandle, at: u64) {
        let due = at.max(self.present);
        // The highest bit in which it differs from the present.
        let level = (u64::BITS - 1 - (due ^ self.present | 1).leading_zeros()) / BITS;
        let place = due >> (level * BITS) & 63;
        let number = index(level) * SLOTS + usize::try_from(place).unwrap_or(0);
        let Some(slot) = self.slots.get_mut(number) else { return };
        let after = std::mem::replace(&mut slot.first, handle.place);
        slot.earliest = slot.earliest.min(due);
        if let Some(Some(follower)) = self.timers.get_mut(index(after)) {
            follower.before = handle.place;
        }
        if let Some(entry) = self.timers.get_mut(index(handle.place)) {
            let slot = u16::try_from(number).unwrap_or(0);
            *entry = Some(Timer { handle, at, slot, before: NONE, after });
        }
        self.mark(number, true);
    }

    fn unlink(&mut self, place: u32) {
        let Some(timer) = self.timers.get_mut(index(place)).and_then(Option::take) else { return };
        let number = usize::from(timer.slot);
        if let Some(Some(follower)) = self.timers.get_mut(index(timer.after)) {
            follower.before = timer.before;
        }
        if let Some(Some(leader)) = self.timers.get_mut(index(timer.before)) {
            leader.after = timer.after;
            return;
        }
        if let Some(slot) = self.slots.get_mut(number) {
            slot.first = timer.after;
            if timer.after == NONE {
                *slot = EMPTY;
                self.mark(number, false);
            }
        }
    }

    fn mark(&mut self, number: usize, occupied: bool) {
        let (level, place) = (number / SLOTS, number % SLOTS);
        let Some(word) = self.occupied.get_mut(level) else { return };
        if occupied {
            *word |= 1 << place;
            self.levels |= 1 << level;
        } else {
            *word &= !(1 << place);
            if *word == 0 {
                self.levels &= !(1 << level);
            }
        }
    }
}

fn index(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::num::NonZeroU64;

    use proptest::prelude::*;

    use super::*;

    fn handle(place: u32) -> CallHandle {
        CallHandle { sequence: NonZeroU64::MIN, place }
    }

    fn at(micros: u64) -> Time {
        Time::from_micros(micros)
    }

    #[test]
    fn first_timer_is_told_to_the_microsecond() {
        let mut wheel = Wheel::default();
        wheel.set(handle(0), at(5_000_123));
        wheel.set(handle(1), at(9_999_999_999));
        assert_eq!(wheel.next(), Some(at(5_000_123)));
        assert_eq!(wheel.pop(at(5_000_122)), None);
        assert_eq!(wheel.next(), Some(at(5_000_123)));
        assert_eq!(wheel.pop(at(5_000_123)), Some(handle(0)));
        assert_eq!(wheel.next(), Some(at(9_999_999_999)));
    }

    #[test]
    fn timer_of_the_next_call_in_a_place_is_not_cleared_by_the_last_one() {
        let mut wheel = Wheel::default();
        let next = CallHandle { sequence: NonZeroU64::MAX, place: 0 };
        wheel.set(next, at(10));
        wheel.clear(handle(0));
        assert_eq!(wheel.pop(at(10)), Some(next));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Set(u32, u64),
        Clear(u32),
        Pass(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let span = (0u32..40, any::<u64>()).prop_map(|(bits, random)| random & ((1 << bits) - 1));
        prop_oneof![
            3 => (0u32..40, span.clone()).prop_map(|(place, span)| Step::Set(place, span)),
            1 => (0u32..40).prop_map(Step::Clear),
            1 => span.prop_map(Step::Pass),
        ]
    }

    proptest! {
        #[test]
        fn wheel_does_what_a_sorted_set_does(
            start in any::<u32>(),
            steps in prop::collection::vec(step(), 1..300),
        ) {
            let mut wheel = Wheel::default();
            let mut table = BTreeMap::new();
            let mut now = u64::from(start);
            for step in steps {
                match step {
                    Step::Set(place, span) => {
                        // Some lie in the past.
                        let due = (now + span).saturating_sub(1000);
                        wheel.set(handle(place), at(due));
                        table.insert(place, due);
                    }
                    Step::Clear(place) => {
                        wheel.clear(handle(place));
                        table.remove(&place);
                    }
                    Step::Pass(span) => {
                        now += span;
                        let mut last = 0;
                        let mut popped = BTreeSet::new();
                        while let Some(handle) = wheel.pop(at(now)) {
                            let due = table.remove(&handle.place);
                            prop_assert!(due.is_some_and(|due| due <= now));
                            popped.insert(handle.place);
                            let due = due.unwrap_or(0);
                            prop_assert!(due >= last || due <= now.saturating_sub(span));
                            last = last.max(due);
                        }
                        prop_assert!(table.values().all(|due| *due > now), "{table:?} {now}");
                    }
                }
                let first = table.values().min().map(|due| at(*due));
                let told = wheel.next();
                prop_assert_eq!(told.is_some(), first.is_some());
                // It may come too early, where one was cleared, but never too late.
                prop_assert!(told <= first.map(|first| first.max(at(now))));
            }
        }
    }
}
