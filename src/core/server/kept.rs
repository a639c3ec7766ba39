//! The bytes of a reply as they are kept: a few in the record itself, more in a block of their own.
//!
//! Most replies are short, and what is short then costs neither a block nor a walk to it.

use std::hash::{Hash, Hasher};

/// Longest reply that is kept in the record, bytes: what fits where a block's address would stand.
const SHORT: usize = 21;

/// Blocks come in steps of this many bytes, so that replies which differ by a few bytes do not make
/// one grow each time.
const STEP: usize = 64;

/// A reply's bytes.
#[derive(Debug, Clone)]
pub(super) enum Kept {
    Short {
        /// How many of the bytes are metadata, in units of four.
        metadata: u8,
        len: u8,
        bytes: [u8; SHORT],
    },
    /// The block is kept for the slot's next call.
    Long {
        /// As above.
        metadata: u8,
        len: u16,
        block: Box<[u8]>,
    },
}

const _: () = assert!(size_of::<Kept>() == 24);

impl Default for Kept {
    fn default() -> Self {
        Kept::Short { metadata: 0, len: 0, bytes: [0; SHORT] }
    }
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        let parts = |kept: &Self| (kept.held(), kept.metadata_len());
        parts(self) == parts(other) && self.bytes() == other.bytes()
    }
}

impl Eq for Kept {}

impl Hash for Kept {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.held(), self.metadata_len()).hash(state);
        self.bytes().hash(state);
    }
}

impl Kept {
    /// Bytes that it holds of the budget for replies.
    pub(super) fn held(&self) -> usize {
        match self {
            Kept::Short { .. } => 0,
            Kept::Long { block, .. } => block.len(),
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Kept::Short { len, bytes, .. } => bytes.get(..usize::from(*len)),
            Kept::Long { len, block, .. } => block.get(..usize::from(*len)),
        }
        .unwrap_or_default()
    }

    /// How many of the bytes are metadata.
    pub(super) fn metadata_len(&self) -> usize {
        let (Kept::Short { metadata, .. } | Kept::Long { metadata, .. }) = self;
        usize::from(*metadata) * 4
    }

    /// Forgets the bytes, and keeps a block.
    pub(super) fn clear(&mut self) {
        self.make(0, 0, 0);
    }

    /// Makes place for so many bytes, of which these are metadata: a block of at most `room` if there
    /// is none that is long enough, and they are no few.
    pub(super) fn make(&mut self, size: usize, metadata_len: usize, room: usize) -> &mut [u8] {
        if size > SHORT && size > self.held() {
            let block = vec![0; size.next_multiple_of(STEP).min(room)].into_boxed_slice();
            *self = Kept::Long { metadata: 0, len: 0, block };
        }
        let units = u8::try_from(metadata_len / 4).unwrap_or(u8::MAX);
        match self {
            Kept::Short { metadata, len, bytes } => {
                *metadata = units;
                *len = u8::try_from(size).unwrap_or(u8::MAX);
                bytes.get_mut(..size)
            }
            Kept::Long { metadata, len, block } => {
                *metadata = units;
                *len = u16::try_from(size).unwrap_or(u16::MAX);
                block.get_mut(..size)
            }
        }
        .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_bytes_take_no_block_and_a_block_serves_again() {
        let mut kept = Kept::default();
        for (size, held) in [(0, 0), (21, 0), (22, 64), (64, 64), (3, 64), (65, 128), (1184, 1184)]
        {
            let bytes: Vec<u8> = (0..size).map(|n| n as u8).collect();
            kept.make(size, 0, 1184).copy_from_slice(&bytes);
            assert_eq!((kept.bytes(), kept.held()), (&bytes[..], held), "{size}");
        }
        let mut other = Kept::default();
        other.make(1184, 0, 1184).fill(7);
        assert_ne!(kept, other);
        kept.clear();
        other.clear();
        assert_eq!(kept, other, "what has been there does not count");
        assert_ne!(kept, Kept::default(), "its room does");
    }
}
