//! Secrets and randomness out of one seed: SipHash-2-4 (Aumasson, Bernstein 2012), keyed.
//!
//! One primitive serves the MACs, the permutation that mints session ids, the fingerprints, the
//! nonces and the jitter. Whoever knows neither seed nor key can predict none of them.

use std::hash::Hasher;

use siphasher::sip::SipHasher24;

/// What all secrets and all randomness of one state machine come from: from the operating
/// system's generator in earnest, from a number in a simulation.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seed(pub [u8; 32]);

impl Seed {
    /// A seed for simulations: nothing drawn from it is secret.
    pub fn from_number(number: u64) -> Self {
        let mut seed = [0; 32];
        for (place, byte) in seed.iter_mut().zip(number.to_le_bytes()) {
            *place = byte;
        }
        Self(seed)
    }
}

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// A 128-bit key for one purpose.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key(u64, u64);

impl Key {
    /// The key for the purpose called `label`.
    pub(crate) fn new(seed: &Seed, label: &str) -> Self {
        let (left, right) = seed.0.split_at(16);
        let half = |number: u8| {
            let mut hasher = SipHasher24::new_with_key(left.try_into().unwrap_or(&[0; 16]));
            hasher.write(label.as_bytes());
            hasher.write(&[number]);
            let inner = hasher.finish();
            let mut hasher = SipHasher24::new_with_key(right.try_into().unwrap_or(&[0; 16]));
            hasher.write(label.as_bytes());
            hasher.write(&[number]);
            hasher.write_u64(inner);
            hasher.finish()
        };
        Self(half(0), half(1))
    }

    /// A hasher under this key.
    pub(crate) fn hasher(&self) -> SipHasher24 {
        SipHasher24::new_with_keys(self.0, self.1)
    }

    /// The MAC of these numbers.
    pub(crate) fn mac(&self, numbers: &[u64]) -> u64 {
        let mut hasher = self.hasher();
        for number in numbers {
            hasher.write(&number.to_be_bytes());
        }
        hasher.finish()
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

/// A generator: the MACs of 0, 1, 2, …
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Prf {
    key: Key,
    drawn: u64,
}

impl Prf {
    /// The generator for the purpose called `label`.
    pub(crate) fn new(seed: &Seed, label: &str) -> Self {
        Self { key: Key::new(seed, label), drawn: 0 }
    }

    /// 64 random bits.
    pub(crate) fn next_u64(&mut self) -> u64 {
        self.drawn += 1;
        self.key.mac(&[self.drawn])
    }

    /// 128 random bits.
    pub(crate) fn next_u128(&mut self) -> u128 {
        u128::from(self.next_u64()) << 64 | u128::from(self.next_u64())
    }

    /// A number from 0 to `bound` less 1 (0 for a bound of 0).
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.next_u64()) * u128::from(bound);
        u64::try_from(product >> 64).unwrap_or(0)
    }

    /// A number from 0 up to, but not, 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}
