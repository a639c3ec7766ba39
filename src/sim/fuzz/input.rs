//! Fuzz bytes read as small decisions. A script that has run out reads as zeros.

use std::time::Duration;

/// What is left of the bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub(super) fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    /// A number below `bound` (0 for 0), from one byte.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound.max(1)
    }

    /// A 64-bit number: small, near the top of a power of two, or anything.
    pub(super) fn number(&mut self) -> u64 {
        match self.byte() {
            small @ 0..=191 => small.into(),
            shift @ 192..=254 => (1u64 << (shift - 191)).wrapping_sub(u64::from(self.byte() % 4)),
            255 => u64::from_be_bytes(std::array::from_fn(|_| self.byte())),
        }
    }

    /// From nothing to hours; short spans are the more likely.
    pub(super) fn span(&mut self) -> Duration {
        let (size, scale) = (u64::from(self.byte()), self.byte());
        let unit = match scale % 8 {
            0 => 1,
            1 => 100,
            2 | 3 => 1_000,
            4 => 20_000,
            5 => 250_000,
            6 => 1_000_000,
            _ => 20_000_000,
        };
        Duration::from_micros(size * unit)
    }

    /// Up to `most` bytes of the script itself.
    pub(super) fn bytes(&mut self, most: usize) -> &'a [u8] {
        let length = (usize::from(self.byte()) * 5).min(most).min(self.0.len());
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }
}
