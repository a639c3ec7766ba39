//! Durations and counts as people write and read them: `250ms`, `1.5s`, "2 calls".

use std::time::Duration;

/// The longest duration taken from the command line: a day. Longer is a typing error, and sums
/// of such durations cannot overflow anything.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// A duration such as `250ms`, `1.5s` or `1m 30s`.
///
/// # Errors
///
/// Says what is wrong: no unit, an unknown unit, longer than a day.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let parsed = any_duration(text)?;
    if parsed > LONGEST { Err("longer than a day".to_owned()) } else { Ok(parsed) }
}

/// A duration however long, for what is not ours to judge.
///
/// # Errors
///
/// As [`duration`].
pub(crate) fn any_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    humantime::parse_duration(text).map_err(|error| {
        if text.parse::<f64>().is_ok() {
            format!("a unit is missing, as in {text}ms or {text}s")
        } else {
            format!("{error}, expected something like 250ms, 1.5s or 2m")
        }
    })
}

/// A duration that is not zero.
pub(crate) fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be longer than zero".to_owned()),
        other => Ok(other),
    }
}

/// The highest rate taken from the command line, a second: far above what one host can do.
const FASTEST: f64 = 1e9;

/// So many a second: `5000`, `20k`, `1.5M`.
///
/// # Errors
///
/// Says what is wrong: no number, not above zero, more than anybody can do.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let (number, factor) = match text.trim().strip_suffix(['k', 'M']) {
        Some(number) if text.ends_with('k') => (number, 1e3),
        Some(number) => (number, 1e6),
        None => (text.trim(), 1.0),
    };
    let rate: f64 =
        number.parse().map_err(|_| "expected something like 5000, 20k or 1.5M".to_owned())?;
    match rate * factor {
        rate if rate > 0.0 && rate <= FASTEST => Ok(rate),
        _ => Err("must be above zero, and 1000M at most".to_owned()),
    }
}

/// A duration in the unit that suits it, three digits or so: `870 µs`, `12.4 ms`, `2.003 s`.
pub(crate) fn show(duration: Duration) -> String {
    let us = duration.as_micros();
    if us < 1_000 {
        format!("{us} µs")
    } else if us < 99_950 {
        format!("{:.1} ms", duration.as_secs_f64() * 1e3)
    } else if us < 999_500 {
        format!("{:.0} ms", duration.as_secs_f64() * 1e3)
    } else if us < 100_000_000 {
        format!("{:.3} s", duration.as_secs_f64())
    } else {
        humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string()
    }
}

/// Milliseconds with three decimals, for columns and for JSON.
pub(crate) fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// "1 call", "2 calls".
pub(crate) fn count(n: u64, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_want_a_unit_and_say_so() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert!(duration("250").unwrap_err().contains("250ms"));
        assert!(duration("soon").is_err());
        assert!(duration("2days").is_err());
        assert!(positive_duration("0s").is_err());
    }

    #[test]
    fn rates_are_numbers_above_zero_with_k_or_m_behind_them() {
        let taken = [("5000", 5e3), ("20k", 2e4), ("1.5M", 1.5e6), ("0.5", 0.5), ("1000M", 1e9)];
        for (text, value) in taken {
            assert_eq!(rate(text), Ok(value), "{text}");
        }
        for text in ["", "k", "fast", "0", "-1", "inf", "NaN", "1G", "1001M"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shown_durations_keep_about_three_digits() {
        assert_eq!(show(Duration::from_micros(870)), "870 µs");
        assert_eq!(show(Duration::from_micros(12_440)), "12.4 ms");
        assert_eq!(show(Duration::from_millis(250)), "250 ms");
        assert_eq!(show(Duration::from_millis(2_003)), "2.003 s");
        assert_eq!(show(Duration::from_secs(3_723)), "1h 2m 3s");
    }
}
