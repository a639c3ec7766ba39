//! The open calls, each found by its handle in one step.
//!
//! It must not know what a call is doing. Invariant: a handle finds its own call or none: places
//! are used again, sequence numbers never.

use std::num::NonZeroU64;

use super::CallHandle;
use super::call::Call;

/// The open calls of a client.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Calls {
    places: Vec<Option<(CallHandle, Call)>>,
    /// Places without a call; the one left last is used first, while it is still in the cache.
    free: Vec<u32>,
}

impl Calls {
    /// Takes a call in, under this number in the order of all calls.
    pub(super) fn insert(&mut self, sequence: NonZeroU64, call: Call) -> CallHandle {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            // There is no memory for so many calls that the number would not fit.
            u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
        });
        let handle = CallHandle { sequence, place };
        if let Some(entry) = self.places.get_mut(index(place)) {
            *entry = Some((handle, call));
        }
        handle
    }

    pub(super) fn get(&self, handle: CallHandle) -> Option<&Call> {
        match self.places.get(index(handle.place))? {
            Some((of, call)) if *of == handle => Some(call),
            _ => None,
        }
    }

    pub(super) fn get_mut(&mut self, handle: CallHandle) -> Option<&mut Call> {
        match self.places.get_mut(index(handle.place))? {
            Some((of, call)) if *of == handle => Some(call),
            _ => None,
        }
    }

    pub(super) fn contains(&self, handle: CallHandle) -> bool {
        self.get(handle).is_some()
    }

    pub(super) fn remove(&mut self, handle: CallHandle) -> Option<Call> {
        let entry = self.places.get_mut(index(handle.place))?;
        let (_, call) = entry.take_if(|(of, _)| *of == handle)?;
        self.free.push(handle.place);
        Some(call)
    }

    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// All of them, in no order that means anything.
    pub(super) fn iter(&self) -> impl Iterator<Item = (CallHandle, &Call)> {
        self.places.iter().flatten().map(|(handle, call)| (*handle, call))
    }
}

fn index(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}
