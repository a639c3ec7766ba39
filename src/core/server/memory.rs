//! How much memory is in use, counted before it is taken, so that a flood is refused and never
//! starves what is there.

/// What a block of its own costs the allocator beside its bytes: its head, and what rounding adds.
pub(super) const BLOCK_COST: usize = 16;

/// Bytes in use of a fixed number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Budget {
    used: usize,
    limit: usize,
    /// From here on it is short.
    brim: usize,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Self {
        Self { used: 0, limit, brim: limit - limit / 8 }
    }

    /// Takes these bytes, or nothing if they are not to be had.
    #[must_use]
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        match self.used.checked_add(bytes) {
            Some(used) if used <= self.limit => {
                self.used = used;
                true
            }
            _ => false,
        }
    }

    /// Gives bytes back that were taken.
    pub(super) fn give(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.used, "more given back than was taken");
        self.used = self.used.saturating_sub(bytes);
    }

    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// Less than an eighth is left: time to look for what can be given up.
    pub(super) fn is_short(&self) -> bool {
        self.used >= self.brim
    }
}

/// The budgets of one server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Memory {
    /// Sessions, slot records, tombstones, waiting requests.
    pub(super) records: Budget,
    /// Replies, kept and reserved.
    pub(super) replies: Budget,
}
