//! Times as protobuf has them, from whoever sent them.

use std::time::Duration;

/// The same as a [`Duration`], if it is not negative.
///
/// The conversion of `prost-types` overflows on the least number of seconds, which is a panic where
/// overflows are checked.
pub(crate) fn of_protobuf(duration: prost_types::Duration) -> Option<Duration> {
    let duration = duration.normalized();
    Some(Duration::new(duration.seconds.try_into().ok()?, duration.nanos.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(seconds: i64, nanos: i32) -> Option<Duration> {
        of_protobuf(prost_types::Duration { seconds, nanos })
    }

    #[test]
    fn only_what_is_not_negative_is_a_duration() {
        assert_eq!(read(1, 2), Some(Duration::new(1, 2)));
        assert_eq!(read(2, -1), Some(Duration::new(1, 999_999_999)));
        assert_eq!(read(0, i32::MAX), Some(Duration::new(2, 147_483_647)));
        assert!(read(i64::MAX, i32::MAX).is_some());
        for (seconds, nanos) in [(-1, 0), (0, -1), (i64::MIN, 0), (i64::MIN, i32::MIN), (-1, 5)] {
            assert_eq!(read(seconds, nanos), None, "{seconds} s {nanos} ns");
        }
    }
}
