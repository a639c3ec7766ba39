//! Calls that wait to be sent, the oldest first.
//!
//! It must not know for what they wait. A call that ends while it waits stays where it is until
//! its turn comes, or until such have become many. Invariant: a call is in it once at most, and
//! those in it are in the order in which they were made.

use std::collections::VecDeque;

use super::CallHandle;
use super::calls::Calls;

/// So many that have ended are always suffered, so that few are not sifted at each end.
const ENDED_MAX: usize = 64;

/// Calls in phase `Waiting`, and some that have ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Waiting {
    queue: VecDeque<CallHandle>,
    /// Those of them that wait.
    len: usize,
}

impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A call begins to wait. One that has waited before goes before those made later.
    pub(super) fn insert(&mut self, handle: CallHandle) {
        self.len += 1;
        if self.queue.back().is_none_or(|last| *last < handle) {
            self.queue.push_back(handle);
        } else {
            let place = self.queue.partition_point(|other| *other < handle);
            self.queue.insert(place, handle);
        }
    }

    /// The oldest.
    pub(super) fn first(&mut self, calls: &Calls) -> Option<CallHandle> {
        while let Some(handle) = self.queue.front().copied() {
            if calls.contains(handle) {
                return Some(handle);
            }
            self.queue.pop_front();
        }
        None
    }

    /// The oldest, which `first` has told, waits no longer.
    pub(super) fn pop(&mut self, handle: CallHandle) {
        if self.queue.front() == Some(&handle) {
            self.queue.pop_front();
            self.len = self.len.saturating_sub(1);
        }
    }

    /// A call in it has ended, and is open no longer.
    pub(super) fn ended(&mut self, calls: &Calls) {
        self.len = self.len.saturating_sub(1);
        if self.queue.len() > 2 * self.len + ENDED_MAX {
            self.queue.retain(|handle| calls.contains(*handle));
        }
    }

    /// All that wait.
    pub(super) fn iter(&self, calls: &Calls) -> impl Iterator<Item = CallHandle> {
        self.queue.iter().copied().filter(|handle| calls.contains(*handle))
    }
}
