//! What is due when: one timer for each thing that waits.
//!
//! It must not know what its keys stand for. Invariant: a key has at most one timer, and the
//! queue and the table say the same.

use std::collections::{BTreeMap, BTreeSet};

use super::CallHandle;
use crate::core::Time;

/// What a timer belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Key {
    /// The handshake: the next HELLO.
    Hello,
    /// A call: its next copy, its loss, the end of its pause, or its deadline.
    Call(CallHandle),
    /// A ping: its next copy, or its deadline.
    Ping(CallHandle),
}

/// All timers of a client.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Timers {
    queue: BTreeSet<(Time, Key)>,
    table: BTreeMap<Key, Time>,
}

impl Timers {
    /// Sets the timer of `key`, in place of the one it had.
    pub(super) fn set(&mut self, key: Key, at: Time) {
        match self.table.insert(key, at) {
            Some(before) if before == at => return,
            Some(before) => {
                self.queue.remove(&(before, key));
            }
            None => {}
        }
        self.queue.insert((at, key));
    }

    /// Sets the timer of `key` to `at`, unless it has one that is due before.
    pub(super) fn hasten(&mut self, key: Key, at: Time) {
        if self.table.get(&key).is_none_or(|before| at < *before) {
            self.set(key, at);
        }
    }

    /// Takes the timer of `key` away.
    pub(super) fn clear(&mut self, key: Key) {
        if let Some(at) = self.table.remove(&key) {
            self.queue.remove(&(at, key));
        }
    }

    /// When the first timer is due.
    pub(super) fn next(&self) -> Option<Time> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Takes the first timer that is due.
    pub(super) fn pop(&mut self, now: Time) -> Option<Key> {
        let (at, key) = *self.queue.first()?;
        if at > now {
            return None;
        }
        self.queue.pop_first();
        self.table.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Time {
        Time::from_micros(micros)
    }

    #[test]
    fn timers_come_out_in_order_and_only_when_due() {
        let mut timers = Timers::default();
        timers.set(Key::Call(CallHandle(1)), at(30));
        timers.set(Key::Hello, at(10));
        timers.set(Key::Call(CallHandle(1)), at(20));
        assert_eq!(timers.next(), Some(at(10)));
        assert_eq!(timers.pop(at(9)), None);
        assert_eq!(timers.pop(at(20)), Some(Key::Hello));
        assert_eq!(timers.pop(at(20)), Some(Key::Call(CallHandle(1))));
        assert_eq!(timers.pop(at(99)), None);
    }

    #[test]
    fn cleared_timer_never_comes() {
        let mut timers = Timers::default();
        timers.set(Key::Ping(CallHandle(7)), at(10));
        timers.clear(Key::Ping(CallHandle(7)));
        assert_eq!(timers.next(), None);
    }
}
