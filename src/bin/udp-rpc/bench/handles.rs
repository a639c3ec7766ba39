//! What is kept of each call in flight, found by its handle in as few instructions as can be: every
//! one of them is missing from the load.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use udp_rpc::client::CallHandle;

/// A map from handles.
pub(super) type ByHandle<T> = HashMap<CallHandle, T, BuildHasherDefault<Spread>>;

/// A map with room for so many.
pub(super) fn with_capacity<T>(calls: usize) -> ByHandle<T> {
    ByHandle::with_capacity_and_hasher(calls, BuildHasherDefault::default())
}

/// Spreads numbers by a multiplication (Knuth, "The Art of Computer Programming", 6.4). No peer
/// chooses a handle: this process counts them.
#[derive(Default)]
pub(super) struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn finish(&self) -> u64 {
        // The best bits are the upper ones, and the map looks at the lower ones too.
        self.0 ^ (self.0 >> 32)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn numbers_in_a_row_fall_into_different_places() {
        let place = |number: u64| {
            let mut hasher = Spread::default();
            hasher.write_u64(number);
            hasher.finish() % 4_096
        };
        let places: BTreeSet<u64> = (1 << 40..(1 << 40) + 2_048).map(place).collect();
        assert!(places.len() > 1_500, "{}", places.len());
    }
}
