//! Numbers drawn in place of ranges: `1..1000` in an argument, `"1..1000"` in JSON.
//!
//! They are drawn from one seed, so that two runs make the same requests.

use std::ops::RangeInclusive;

/// Where all numbers come from.
const SEED: u64 = 1;

/// The smallest and the largest whole number that a field of protobuf holds.
const NUMBERS: RangeInclusive<i128> = i64::MIN as i128..=u64::MAX as i128;

/// A generator of random numbers: SplitMix64 (Steele, Lea, Flood 2014).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new() -> Dice {
        Dice(SEED)
    }

    fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number of the range, each as likely as any other to one part in 2⁶⁴.
    fn draw(&mut self, range: Range) -> i128 {
        let span = (range.high - range.low) as u128 + 1;
        let place = if span > u128::from(u64::MAX) {
            u128::from(self.throw()) % span
        } else {
            (u128::from(self.throw()) * span) >> 64
        };
        range.low + place as i128
    }
}

/// Whole numbers from low to high, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    low: i128,
    high: i128,
}

impl Range {
    fn parse(text: &str) -> Option<Range> {
        let (low, high) = text.split_once("..")?;
        let range = Range { low: low.parse().ok()?, high: high.parse().ok()? };
        let is_sound = NUMBERS.contains(&range.low) && NUMBERS.contains(&range.high);
        (is_sound && range.low <= range.high).then_some(range)
    }
}

/// A text with ranges in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Piece>);

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Range(Range),
}

impl Pattern {
    /// An argument: a value, or `name=value`; the value is a range, or JSON.
    pub(super) fn of_argument(argument: &str) -> Pattern {
        let (name, value) = match argument.rsplit_once('=') {
            Some((name, value)) => (format!("{name}="), value),
            None => (String::new(), argument),
        };
        match Range::parse(value) {
            Some(range) => Pattern(vec![Piece::Text(name), Piece::Range(range)]),
            None => Pattern::of_json(argument),
        }
    }

    /// JSON: each string that is a range, its quotes kept, which protobuf's mapping allows around
    /// a number.
    pub(super) fn of_json(text: &str) -> Pattern {
        let mut pieces = Vec::new();
        let mut pending = String::new();
        // A string that is a range has nothing in it that JSON escapes.
        for (number, part) in text.split('"').enumerate() {
            if number > 0 {
                pending.push('"');
            }
            match Range::parse(part) {
                Some(range) => {
                    pieces.push(Piece::Text(std::mem::take(&mut pending)));
                    pieces.push(Piece::Range(range));
                }
                None => pending.push_str(part),
            }
        }
        pieces.push(Piece::Text(pending));
        Pattern(pieces)
    }

    /// Whether there is anything to draw.
    pub(super) fn has_range(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Range(_)))
    }

    /// The text with a number in place of each range.
    pub(super) fn fill(&self, dice: &mut Dice) -> String {
        let mut filled = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Range(range) => filled.push_str(&dice.draw(*range).to_string()),
            }
        }
        filled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_whole_values_and_all_else_is_text() {
        let mut dice = Dice::new();
        for (argument, filled) in [
            ("7..7", "7"),
            ("a=-3..-3", "a=-3"),
            ("items[0].count=2..2", "items[0].count=2"),
            (r#"inner={"n":"5..5","t":"5..5x"}"#, r#"inner={"n":"5","t":"5..5x"}"#),
        ] {
            let pattern = Pattern::of_argument(argument);
            assert!(pattern.has_range(), "{argument}");
            assert_eq!(pattern.fill(&mut dice), filled);
        }
        for text in ["..", "1..", "2..1", "a..b", "1..2..3", "text=see 1..2", "1...2", ""] {
            let pattern = Pattern::of_argument(text);
            assert!(!pattern.has_range(), "{text}");
            assert_eq!(pattern.fill(&mut dice), text);
        }
    }

    #[test]
    fn numbers_of_all_of_a_range_are_drawn_and_none_beside_it() {
        let (mut dice, die) = (Dice::new(), Range { low: -1, high: 4 });
        let mut seen = [0_u32; 6];
        for _ in 0..6_000 {
            seen[usize::try_from(dice.draw(die) + 1).unwrap()] += 1;
        }
        assert!(seen.iter().all(|times| (800..1_200).contains(times)), "{seen:?}");
    }

    #[test]
    fn whatever_a_field_holds_can_be_drawn_from() {
        let mut dice = Dice::new();
        let everything = format!("{}..{}", i64::MIN, u64::MAX);
        for text in [everything.as_str(), "0..18446744073709551615"] {
            let range = Range::parse(text).unwrap();
            let drawn = dice.draw(range);
            assert!((range.low..=range.high).contains(&drawn), "{text}: {drawn}");
        }
        assert_eq!(Range::parse("0..18446744073709551616"), None);
    }
}
