//! What is due when: one timer for each thing that waits.
//!
//! Of calls there may be many, and their timers change with every datagram: they lie in a wheel.
//! Invariant: a key has at most one timer, and the queue and the table say the same.

use std::collections::{BTreeMap, BTreeSet};

use super::CallHandle;
use super::flow::FlowId;
use super::wheel::Wheel;
use crate::core::Time;

/// What a timer belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Key {
    /// The handshake: the next HELLO.
    Hello,
    /// A path on which nothing is heard: a copy that asks whether anything is.
    Probe(FlowId),
    /// A call: its next copy, its loss, the end of its pause, or its deadline.
    Call(CallHandle),
    /// A ping: its next copy, or its deadline.
    Ping(CallHandle),
}

/// All timers of a client.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Timers {
    calls: Wheel,
    /// The others.
    queue: BTreeSet<(Time, Key)>,
    table: BTreeMap<Key, Time>,
}

impl Timers {
    /// Sets the timer of `key`, in place of the one it had.
    pub(super) fn set(&mut self, key: Key, at: Time) {
        if let Key::Call(handle) = key {
            return self.calls.set(handle, at);
        }
        match self.table.insert(key, at) {
            Some(before) if before == at => return,
            Some(before) => {
                self.queue.remove(&(before, key));
            }
            None => {}
        }
        self.queue.insert((at, key));
    }

    /// Sets the timer of `key`, which is no call's, to `at`, unless it has one that is due before.
    pub(super) fn hasten(&mut self, key: Key, at: Time) {
        if self.table.get(&key).is_none_or(|before| at < *before) {
            self.set(key, at);
        }
    }

    /// Takes the timer of `key` away.
    pub(super) fn clear(&mut self, key: Key) {
        if let Key::Call(handle) = key {
            self.calls.clear(handle);
        } else if let Some(at) = self.table.remove(&key) {
            self.queue.remove(&(at, key));
        }
    }

    /// When the first timer is due, or somewhat earlier where an earlier one was cleared.
    pub(super) fn next(&self) -> Option<Time> {
        let first = self.queue.first().map(|(at, _)| *at);
        match (self.calls.next(), first) {
            (Some(call), Some(other)) => Some(call.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// Takes a timer that is due. Those of calls come in their order, and so do the others.
    pub(super) fn pop(&mut self, now: Time) -> Option<Key> {
        if let Some((at, key)) = self.queue.first().copied()
            && at <= now
        {
            self.queue.pop_first();
            self.table.remove(&key);
            return Some(key);
        }
        self.calls.pop(now).map(Key::Call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Time {
        Time::from_micros(micros)
    }

    fn call(sequence: u64) -> Key {
        let sequence = std::num::NonZeroU64::new(sequence).unwrap();
        Key::Call(CallHandle { sequence, place: u32::try_from(sequence.get()).unwrap() })
    }

    fn ping(sequence: u64) -> Key {
        let sequence = std::num::NonZeroU64::new(sequence).unwrap();
        Key::Ping(CallHandle { sequence, place: u32::MAX })
    }

    #[test]
    fn timers_come_out_only_when_due() {
        let mut timers = Timers::default();
        timers.set(call(1), at(30));
        timers.set(Key::Hello, at(10));
        timers.set(call(1), at(20));
        assert_eq!(timers.next(), Some(at(10)));
        assert_eq!(timers.pop(at(9)), None);
        assert_eq!(timers.pop(at(20)), Some(Key::Hello));
        assert_eq!(timers.pop(at(20)), Some(call(1)));
        assert_eq!(timers.pop(at(99)), None);
    }

    #[test]
    fn cleared_timer_never_comes() {
        let mut timers = Timers::default();
        for key in [ping(7), call(7)] {
            timers.set(key, at(10));
            timers.clear(key);
            assert_eq!(timers.next(), None);
        }
    }
}
