//! The calls that wait for a worker, first come, first served.
//!
//! A waiting call leaves by being claimed, fenced, superseded or expired, whichever comes first:
//! all of these take it out of here, and whoever does not find it does nothing.

use std::collections::BTreeMap;
use std::mem::size_of;

use super::CallKey;
use super::memory::Budget;
use crate::core::Uncompared;
use crate::wire::{Metadata, MetadataRef};

/// What a waiting call costs besides its body and metadata, bytes: its place in a B-tree, and its
/// timer.
const WAITING_COST: usize = 2 * (size_of::<Waiting>() + size_of::<(u64, CallKey)>());

/// Buffers kept for requests to come, at most.
const SPARE_MAX: usize = 256;

/// Buffers longer than this are not kept, bytes.
const SPARE_LEN_MAX: usize = 4096;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Waiting {
    pub(super) key: CallKey,
    pub(super) metadata: Metadata,
    pub(super) body: Vec<u8>,
}

impl Waiting {
    /// What it costs, bytes.
    fn cost(&self) -> usize {
        WAITING_COST + self.metadata.borrow().as_bytes().len() + self.body.len()
    }
}

/// The calls that wait.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Queue {
    waiting: BTreeMap<u64, Waiting>,
    /// Tickets given out.
    tickets: u64,
    spare: Uncompared<Vec<Vec<u8>>>,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Puts a call at the end. `None` if there is no memory.
    pub(super) fn push(
        &mut self,
        key: CallKey,
        metadata: MetadataRef<'_>,
        body: &[u8],
        records: &mut Budget,
    ) -> Option<u64> {
        if !records.take(WAITING_COST + metadata.as_bytes().len() + body.len()) {
            return None;
        }
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(body);
        self.tickets += 1;
        let waiting = Waiting { key, metadata: metadata.to_owned(), body: buffer };
        self.waiting.insert(self.tickets, waiting);
        Some(self.tickets)
    }

    /// Takes out the first.
    pub(super) fn pop(&mut self, records: &mut Budget) -> Option<(u64, Waiting)> {
        let (ticket, waiting) = self.waiting.pop_first()?;
        records.give(waiting.cost());
        Some((ticket, waiting))
    }

    /// Takes one out that will not run.
    pub(super) fn remove(&mut self, ticket: u64, records: &mut Budget) {
        if let Some(waiting) = self.waiting.remove(&ticket) {
            records.give(waiting.cost());
            self.recycle(waiting.body);
        }
    }

    /// Takes back a request's buffer.
    pub(super) fn recycle(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        if self.spare.len() < SPARE_MAX && buffer.capacity() <= SPARE_LEN_MAX {
            self.spare.push(buffer);
        }
    }
}
