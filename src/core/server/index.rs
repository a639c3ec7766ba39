//! Where things stand that are found by a 64-bit key: open addressing with linear probing.
//!
//! It holds places alone: whoever asks compares the keys. A key is spread by a multiplication with a
//! secret odd number (multiply-shift, Dietzfelbinger et al. 1997), so that nobody can choose keys
//! that crowd: a peer may ask for session ids by the million and use those that it likes.
//!
//! Invariant: from the bucket that a key is spread to, up to the one that holds its place, no bucket
//! is empty.

use std::hint::black_box;

use crate::core::Key;

/// What an entry costs at most, bytes: at least a third of the buckets are in use.
pub(super) const INDEX_COST: usize = 3 * size_of::<Bucket>();

/// Fewest buckets, once there are any.
const BUCKETS_MIN: usize = 8;

/// No place.
const NONE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Bucket {
    hash: u32,
    place: u32,
}

const EMPTY: Bucket = Bucket { hash: 0, place: NONE };

/// The places of things, by key. It is made out of the things, so states are not compared by it.
#[derive(Debug, Clone)]
pub(super) struct Index {
    /// Secret, odd.
    factor: u64,
    /// A power of two, or none.
    buckets: Vec<Bucket>,
    used: usize,
}

impl PartialEq for Index {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Index {}

impl std::hash::Hash for Index {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

impl Index {
    /// An empty one, spread by this secret.
    pub(super) fn new(secret: &Key) -> Self {
        Self { factor: secret.mac(&[]) | 1, buckets: Vec::new(), used: 0 }
    }

    /// The place that this key has, told from others by `is_it`.
    #[inline]
    pub(super) fn find(&self, key: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let hash = self.spread(key);
        let found = |bucket: &Bucket| bucket.hash == hash && is_it(bucket.place);
        let bucket = self.buckets.get(self.bucket(hash, found)?)?;
        (bucket.place != NONE).then_some(bucket.place)
    }

    /// Reads the first bucket where this key may be, for the caches' sake.
    #[inline]
    pub(super) fn touch(&self, key: u64) {
        if !self.buckets.is_empty() {
            black_box(self.buckets.get(self.home(self.spread(key))).map(|bucket| bucket.place));
        }
    }

    /// Notes the place of a key that has none yet. Places are below `u32::MAX`.
    pub(super) fn insert(&mut self, key: u64, place: u32) {
        debug_assert_ne!(place, NONE);
        if (self.used + 1) * 8 > self.buckets.len() * 7 {
            self.resize((self.buckets.len() * 2).max(BUCKETS_MIN));
        }
        let bucket = Bucket { hash: self.spread(key), place };
        self.put(bucket);
        self.used += 1;
    }

    /// Forgets a key's place.
    pub(super) fn remove(&mut self, key: u64, place: u32) {
        let hash = self.spread(key);
        let found = |bucket: &Bucket| bucket.hash == hash && bucket.place == place;
        let Some(mut hole) = self.bucket(hash, found) else { return };
        if self.buckets.get(hole).is_none_or(|bucket| bucket.place == NONE) {
            return;
        }
        let mask = self.buckets.len() - 1;
        let mut at = hole;
        // What was pushed beyond the hole moves up.
        loop {
            at = (at + 1) & mask;
            let Some(&bucket) = self.buckets.get(at).filter(|bucket| bucket.place != NONE) else {
                break;
            };
            let home = self.home(bucket.hash);
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(hole) & mask {
                self.set(hole, bucket);
                hole = at;
            }
        }
        self.set(hole, EMPTY);
        self.used -= 1;
        if self.buckets.len() > BUCKETS_MIN && self.used * 3 < self.buckets.len() {
            self.resize(self.buckets.len() / 2);
        }
    }

    /// A key has moved.
    pub(super) fn moved(&mut self, key: u64, from: u32, to: u32) {
        let hash = self.spread(key);
        let found = |bucket: &Bucket| bucket.hash == hash && bucket.place == from;
        if let Some(at) = self.bucket(hash, found)
            && let Some(bucket) = self.buckets.get_mut(at).filter(|bucket| bucket.place == from)
        {
            bucket.place = to;
        }
    }

    fn spread(&self, key: u64) -> u32 {
        (key.wrapping_mul(self.factor) >> 32) as u32
    }

    /// The bucket that a hash belongs to: its upper bits, so that growing keeps the order.
    fn home(&self, hash: u32) -> usize {
        let mask = self.buckets.len().wrapping_sub(1) as u64;
        let scaled = (u64::from(hash) * (mask + 1)) >> 32;
        usize::try_from(scaled).unwrap_or(0)
    }

    /// The bucket that is found, or the empty one where it would be; `None` if there are none.
    #[inline]
    fn bucket(&self, hash: u32, found: impl Fn(&Bucket) -> bool) -> Option<usize> {
        let mask = self.buckets.len().checked_sub(1)?;
        let mut at = self.home(hash);
        loop {
            let bucket = self.buckets.get(at)?;
            if bucket.place == NONE || found(bucket) {
                return Some(at);
            }
            at = (at + 1) & mask;
        }
    }

    fn put(&mut self, bucket: Bucket) {
        if let Some(at) = self.bucket(bucket.hash, |_| false) {
            self.set(at, bucket);
        }
    }

    fn set(&mut self, at: usize, bucket: Bucket) {
        if let Some(place) = self.buckets.get_mut(at) {
            *place = bucket;
        }
    }

    fn resize(&mut self, buckets: usize) {
        let old = std::mem::replace(&mut self.buckets, vec![EMPTY; buckets]);
        old.into_iter().filter(|bucket| bucket.place != NONE).for_each(|bucket| self.put(bucket));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::core::{Prf, Seed};

    /// Keys of which many crowd, in a few buckets.
    fn key(dice: &mut Prf) -> u64 {
        dice.below(64) << dice.below(3).saturating_mul(29)
    }

    #[test]
    fn it_finds_what_an_ordered_map_finds_whatever_comes_and_goes() {
        let seed = Seed::from_number(8);
        let mut dice = Prf::new(&seed, "index");
        let mut index = Index::new(&Key::new(&seed, "index"));
        let (mut map, mut keys) = (BTreeMap::new(), Vec::<u64>::new());
        for step in 0..20_000 {
            let (key, grows) = (key(&mut dice), step / 2_000 % 2 == 0);
            match (map.get(&key).copied(), grows) {
                (None, _) => {
                    let place = keys.len() as u32;
                    keys.push(key);
                    index.insert(key, place);
                    map.insert(key, place);
                }
                (Some(place), true) if step % 3 == 0 => {
                    let to = keys.len() as u32;
                    keys.push(key);
                    index.moved(key, place, to);
                    map.insert(key, to);
                }
                (Some(place), _) => {
                    index.remove(key, place);
                    map.remove(&key);
                }
            }
            let probe = self::key(&mut dice);
            let found = index.find(probe, |place| keys[place as usize] == probe);
            assert_eq!(found, map.get(&probe).copied(), "step {step}");
            assert_eq!(index.used, map.len());
        }
    }

    #[test]
    fn at_least_a_third_of_the_buckets_are_in_use_and_never_all() {
        let mut index = Index::new(&Key::new(&Seed::from_number(1), "index"));
        assert_eq!(index.find(1, |_| true), None);
        let check = |index: &Index| {
            let (used, buckets) = (index.used, index.buckets.len());
            assert!(used < buckets && (buckets == BUCKETS_MIN || used * 3 >= buckets), "{used}");
        };
        for key in 0..1000 {
            index.insert(key, key as u32);
            check(&index);
        }
        for key in 0..1000 {
            index.remove(key, key as u32);
            check(&index);
        }
    }
}
