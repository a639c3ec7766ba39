//! One model of a bad network: loss, duplication, reordering, corruption, delay.
//!
//! The command line's `--loss 30%`, the demo and the simulator all hurt datagrams through this
//! module, so that what a user sees with his own eyes is what the simulator tried a million times.
//! It knows nothing of sockets or of what the datagrams say. The same [`Seed`] and the same pushes
//! give the same faults, whatever the machine.
//!
//! `Faults::roll` decides what becomes of one item. [`FaultyPath`] decides and keeps the items
//! until they are due; it never reads a clock.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::core::{Prf, Seed, Time};

/// The most by which anything may be delayed: an hour. More is a typing error.
const LONGEST_DELAY: Duration = Duration::from_secs(3600);

/// How far a reordered item falls behind when the path itself has no delay.
const SHORTEST_HOLD: Duration = Duration::from_millis(5);

/// The most bits that a corruption flips. CRC-32 finds every damage of up to three bits in a
/// datagram of ours (Hamming distance 4 up to 11,450 bytes), so what is corrupted is always found.
const MOST_BITS: u64 = 3;

/// What a path does to the datagrams that pass it. The probabilities are from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Faults {
    /// Probability that a datagram is lost.
    pub loss: f64,
    /// Probability that a datagram which was not lost arrives twice.
    pub duplicate: f64,
    /// Probability that a copy is held back so that later ones overtake it.
    pub reorder: f64,
    /// Probability that a copy arrives with one to three bits flipped.
    pub corrupt: f64,
    /// Delay of every copy.
    pub delay: Duration,
    /// Further delay of every copy, uniform from zero to this.
    pub jitter: Duration,
}

impl Faults {
    /// A path that delivers everything once, at once and in order.
    pub const NONE: Self = Self {
        loss: 0.0,
        duplicate: 0.0,
        reorder: 0.0,
        corrupt: 0.0,
        delay: Duration::ZERO,
        jitter: Duration::ZERO,
    };

    /// True for a path that does nothing to what passes it.
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    /// Whether every value is in its range.
    ///
    /// # Errors
    ///
    /// Names the first value that is not.
    pub fn check(&self) -> Result<(), FaultError> {
        for (name, value) in [
            ("loss", self.loss),
            ("duplicate", self.duplicate),
            ("reorder", self.reorder),
            ("corrupt", self.corrupt),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return Err(FaultError::Probability { name });
            }
        }
        for (name, value) in [("delay", self.delay), ("jitter", self.jitter)] {
            if value > LONGEST_DELAY {
                return Err(FaultError::Delay { name });
            }
        }
        Ok(())
    }

    /// Decides what becomes of one item.
    ///
    /// The same number of draws is made whatever the values are, so that two paths with one seed
    /// and different values stay comparable.
    pub(crate) fn roll(&self, dice: &mut Prf) -> Fate {
        let lost = chance(dice, self.loss);
        let twice = chance(dice, self.duplicate);
        let first = self.roll_copy(dice);
        let second = self.roll_copy(dice);
        if lost { Fate::Lost } else { Fate::Delivered { first, second: twice.then_some(second) } }
    }

    fn roll_copy(&self, dice: &mut Prf) -> Arrival {
        let jitter = self.jitter.mul_f64(dice.unit());
        let reordered = chance(dice, self.reorder);
        let hold = (self.delay + self.jitter).max(SHORTEST_HOLD).mul_f64(1.0 + 3.0 * dice.unit());
        let damaged = chance(dice, self.corrupt);
        let bits = dice.next_u64();
        let mut delay = self.delay + jitter;
        if reordered {
            delay += hold;
        }
        Arrival { delay, reordered, damage: damaged.then_some(Damage(bits)) }
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self::NONE
    }
}

/// One draw that is true with this probability; it draws even if that is zero.
fn chance(dice: &mut Prf, probability: f64) -> bool {
    dice.unit() < probability
}

/// What was done to one item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It never arrives.
    Lost,
    /// It arrives, once or twice.
    Delivered {
        /// The copy that always arrives.
        first: Arrival,
        /// The duplicate, if there is one. It may arrive before the other.
        second: Option<Arrival>,
    },
}

impl Fate {
    /// The copies that arrive: none, one or two.
    pub fn copies(self) -> impl Iterator<Item = Arrival> {
        let (first, second) = match self {
            Self::Lost => (None, None),
            Self::Delivered { first, second } => (Some(first), second),
        };
        first.into_iter().chain(second)
    }
}

/// One copy that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// How long it is on its way.
    pub delay: Duration,
    /// True if it was held back so that others overtake it.
    pub reordered: bool,
    /// How it is damaged; `None` if it arrives as it was.
    pub damage: Option<Damage>,
}

impl Arrival {
    /// True if it arrives with flipped bits.
    pub fn is_corrupted(&self) -> bool {
        self.damage.is_some()
    }
}

/// Which bits of a copy are flipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage(u64);

impl Damage {
    /// Flips one to three different bits; an empty slice stays as it is.
    pub fn apply(self, bytes: &mut [u8]) {
        let length = u64::try_from(bytes.len()).unwrap_or(0) * 8;
        if length == 0 {
            return;
        }
        let flips = (1 + self.0 % MOST_BITS).min(length);
        let mut flipped = Vec::with_capacity(3);
        let mut state = self.0;
        for _ in 0..flips {
            // The steps of a 64-bit linear congruential generator (Knuth's MMIX constants).
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let mut bit = (state >> 16) % length;
            while flipped.contains(&bit) {
                bit = (bit + 1) % length;
            }
            flipped.push(bit);
            let place = usize::try_from(bit / 8).unwrap_or(usize::MAX);
            if let Some(byte) = bytes.get_mut(place) {
                *byte ^= 1 << (bit % 8);
            }
        }
    }
}

/// Something that can pass a [`FaultyPath`]: bytes, and whatever belongs to them.
pub trait Item: Clone {
    /// The bytes that corruption damages.
    fn bytes_mut(&mut self) -> &mut [u8];
}

impl Item for Vec<u8> {
    fn bytes_mut(&mut self) -> &mut [u8] {
        self
    }
}

impl<T: Clone> Item for (Vec<u8>, T) {
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

/// One direction of a bad path: what is pushed comes out later, never, twice, or damaged.
///
/// ```
/// use std::time::Duration;
/// use udp_rpc::core::fault::{Faults, FaultyPath};
/// use udp_rpc::core::{Seed, Time};
///
/// let faults = Faults { delay: Duration::from_millis(50), ..Faults::NONE };
/// let mut path = FaultyPath::new(faults, &Seed([7; 32]));
/// let start = Time::from_micros(0);
/// path.push(start, b"hello".to_vec());
/// assert_eq!(path.poll(start), None);
/// assert_eq!(path.poll_timeout(), Some(start + Duration::from_millis(50)));
/// assert_eq!(path.poll(start + Duration::from_millis(50)), Some(b"hello".to_vec()));
/// ```
#[derive(Clone, Debug)]
pub struct FaultyPath<T> {
    faults: Faults,
    dice: Prf,
    /// What is under way, by the time when it is due, then by the order of pushing.
    under_way: BTreeMap<(Time, u64), T>,
    pushed: u64,
}

impl<T: Item> FaultyPath<T> {
    /// A path with these faults. Values out of range act as the nearest one in range would.
    pub fn new(faults: Faults, seed: &Seed) -> Self {
        Self { faults, dice: Prf::new(seed, "path"), under_way: BTreeMap::new(), pushed: 0 }
    }

    /// Sends an item into the path, and tells what the path does to it.
    pub fn push(&mut self, now: Time, item: T) -> Fate {
        let fate = self.faults.roll(&mut self.dice);
        if let Fate::Delivered { first, second } = fate {
            if let Some(second) = second {
                self.insert(now, item.clone(), second);
            }
            self.insert(now, item, first);
        }
        fate
    }

    fn insert(&mut self, now: Time, mut item: T, copy: Arrival) {
        if let Some(damage) = copy.damage {
            damage.apply(item.bytes_mut());
        }
        self.pushed += 1;
        self.under_way.insert((now + copy.delay, self.pushed), item);
    }

    /// The next item that has arrived by `now`, in the order of arrival.
    pub fn poll(&mut self, now: Time) -> Option<T> {
        let first = self.under_way.first_entry()?;
        if first.key().0 > now {
            return None;
        }
        Some(first.remove())
    }

    /// When the next item arrives; `None` if nothing is under way.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.under_way.keys().next().map(|(due, _)| *due)
    }

    /// True if nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }
}

/// Reads a probability: `30%`, `0.3`, `2.5 %`.
///
/// # Errors
///
/// Says what is wrong with the text.
///
/// ```
/// use udp_rpc::core::fault::parse_probability;
///
/// assert_eq!(parse_probability("30%"), Ok(0.3));
/// assert_eq!(parse_probability("0.3"), Ok(0.3));
/// assert!(parse_probability("30").unwrap_err().to_string().contains("30%"));
/// ```
pub fn parse_probability(text: &str) -> Result<f64, FaultError> {
    let text = text.trim();
    let (digits, unit) = match text.strip_suffix('%') {
        Some(digits) => (digits.trim_end(), 100.0),
        None => (text, 1.0),
    };
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let value: f64 = match digits.parse() {
        Ok(value) if plain => value,
        _ => {
            return Err(FaultError::NotAProbability { text: text.to_owned() });
        }
    };
    let probability = value / unit;
    if (0.0..=1.0).contains(&probability) {
        Ok(probability)
    } else {
        let percent = (unit == 1.0 && value <= 100.0).then(|| format!("{digits}%"));
        Err(FaultError::OutOfRange { text: text.to_owned(), meant: percent })
    }
}

/// Why a fault setting cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultError {
    /// The text is no number.
    NotAProbability {
        /// What was given.
        text: String,
    },
    /// The number is no probability.
    OutOfRange {
        /// What was given.
        text: String,
        /// What was probably meant.
        meant: Option<String>,
    },
    /// A probability of [`Faults`] is not from 0 to 1.
    Probability {
        /// The field.
        name: &'static str,
    },
    /// A delay of [`Faults`] is longer than an hour.
    Delay {
        /// The field.
        name: &'static str,
    },
}

impl fmt::Display for FaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAProbability { text } => {
                write!(f, "'{text}' is no probability: write it as 30% or 0.3")
            }
            Self::OutOfRange { text, meant: Some(meant) } => {
                write!(
                    f,
                    "'{text}' is no probability: it is from 0% to 100% (did you mean {meant}?)"
                )
            }
            Self::OutOfRange { text, meant: None } => {
                write!(f, "'{text}' is no probability: it is from 0% to 100%")
            }
            Self::Probability { name } => write!(f, "{name} is not from 0 to 1"),
            Self::Delay { name } => write!(f, "{name} is longer than an hour"),
        }
    }
}

impl std::error::Error for FaultError {}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Time = Time::from_micros(1_000_000);

    fn path(faults: Faults, seed: u8) -> FaultyPath<Vec<u8>> {
        FaultyPath::new(faults, &Seed([seed; 32]))
    }

    fn drain(path: &mut FaultyPath<Vec<u8>>) -> Vec<Vec<u8>> {
        let end = START + LONGEST_DELAY * 20;
        std::iter::from_fn(|| path.poll(end)).collect()
    }

    #[test]
    fn path_without_faults_delivers_all_once_at_once_and_in_order() {
        let mut path = path(Faults::NONE, 1);
        for n in 0..100u8 {
            path.push(START, vec![n]);
        }
        let arrived: Vec<_> = std::iter::from_fn(|| path.poll(START)).collect();
        assert_eq!(arrived, (0..100u8).map(|n| vec![n]).collect::<Vec<_>>());
        assert!(path.is_empty());
    }

    #[test]
    fn rates_are_those_asked_for() {
        let faults =
            Faults { loss: 0.3, duplicate: 0.2, corrupt: 0.1, reorder: 0.4, ..Faults::NONE };
        let mut path = path(faults, 2);
        let (mut lost, mut twice, mut corrupted, mut late, mut copies) = (0, 0, 0, 0, 0);
        for _ in 0..10_000 {
            let fate = path.push(START, vec![0; 16]);
            lost += u32::from(fate == Fate::Lost);
            twice += u32::from(fate.copies().count() == 2);
            copies += fate.copies().count() as u32;
            corrupted += fate.copies().filter(Arrival::is_corrupted).count() as u32;
            late += fate.copies().filter(|copy| copy.reordered).count() as u32;
        }
        assert!((2_850..3_150).contains(&lost), "lost {lost}");
        assert!((1_280..1_520).contains(&twice), "twice {twice}");
        assert!((720..960).contains(&corrupted), "corrupted {corrupted} of {copies}");
        assert!((3_100..3_620).contains(&late), "late {late} of {copies}");
        assert_eq!(drain(&mut path).len() as u32, copies);
    }

    #[test]
    fn same_seed_gives_the_same_faults_and_another_seed_others() {
        let faults = Faults {
            loss: 0.3,
            duplicate: 0.3,
            reorder: 0.3,
            corrupt: 0.3,
            delay: Duration::from_millis(10),
            jitter: Duration::from_millis(10),
        };
        let run = |seed| {
            let mut path = path(faults, seed);
            let fates: Vec<_> = (0..200u8).map(|n| path.push(START, vec![n; 32])).collect();
            (fates, drain(&mut path))
        };
        assert_eq!(run(3), run(3));
        assert_ne!(run(3), run(4));
    }

    #[test]
    fn delay_and_jitter_bound_the_time_under_way() {
        let (delay, jitter) = (Duration::from_millis(50), Duration::from_millis(20));
        let mut path = path(Faults { delay, jitter, ..Faults::NONE }, 5);
        for _ in 0..1_000 {
            path.push(START, vec![1]);
        }
        assert!(path.poll_timeout().is_some_and(|due| due >= START + delay));
        assert_eq!(path.poll(START + (delay - Duration::from_micros(1))), None);
        let end = START + delay + jitter;
        assert_eq!(std::iter::from_fn(|| path.poll(end)).count(), 1_000);
    }

    #[test]
    fn reordered_item_is_overtaken() {
        let mut path = path(Faults { reorder: 0.5, ..Faults::NONE }, 6);
        for n in 0..50u8 {
            path.push(START, vec![n]);
        }
        let arrived = drain(&mut path);
        assert_eq!(arrived.len(), 50);
        assert!(!arrived.is_sorted());
    }

    #[test]
    fn damage_flips_one_to_three_bits() {
        for n in 0..2_000u64 {
            for length in [1usize, 2, 48, 128] {
                let mut bytes = vec![0u8; length];
                Damage(n.wrapping_mul(0x9E37_79B9_7F4A_7C15)).apply(&mut bytes);
                let ones: u32 = bytes.iter().map(|b| b.count_ones()).sum();
                assert!((1..=3).contains(&ones), "{ones} bits of {length} bytes");
            }
        }
        Damage(5).apply(&mut []);
    }

    #[test]
    fn probabilities_are_read_as_percent_or_fraction() {
        assert_eq!(parse_probability("0"), Ok(0.0));
        assert_eq!(parse_probability("1"), Ok(1.0));
        assert_eq!(parse_probability("100%"), Ok(1.0));
        assert_eq!(parse_probability(" 2.5 % "), Ok(0.025));
        for wrong in ["", "%", "x", "-0.1", "1e-3", "nan", "inf", "0.3%%", "0,3", "+0.5"] {
            let error = parse_probability(wrong).unwrap_err();
            assert!(matches!(error, FaultError::NotAProbability { .. }), "{wrong}: {error}");
        }
        assert!(parse_probability("101%").unwrap_err().to_string().contains("100%"));
        let error = parse_probability("30").unwrap_err().to_string();
        assert!(error.contains("did you mean 30%?"), "{error}");
    }

    #[test]
    fn values_out_of_range_are_named() {
        assert_eq!(Faults::NONE.check(), Ok(()));
        let wrong = Faults { loss: 1.5, ..Faults::NONE };
        assert_eq!(wrong.check(), Err(FaultError::Probability { name: "loss" }));
        let wrong = Faults { corrupt: f64::NAN, ..Faults::NONE };
        assert_eq!(wrong.check(), Err(FaultError::Probability { name: "corrupt" }));
        let wrong = Faults { delay: Duration::from_secs(3601), ..Faults::NONE };
        assert_eq!(wrong.check(), Err(FaultError::Delay { name: "delay" }));
    }
}
