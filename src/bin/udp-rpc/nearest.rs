//! What somebody may have meant who wrote a name that there is not.

/// Longest name for which others are compared, characters: comparing takes the product of both.
const COMPARED_MAX: usize = 64;

/// The one of `names` that is most like `wanted`, if any is so like it that a slip of the finger
/// explains it: in other case, as a part of it, or with a third of the letters changed.
pub(crate) fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let length = wanted.chars().count();
    if length == 0 || length > COMPARED_MAX {
        return None;
    }
    let wanted = wanted.to_lowercase();
    let distance = |name: &str| {
        let name = name.to_lowercase();
        let part = length > 2 && (name.ends_with(&wanted) || name.starts_with(&wanted));
        if part { 1 } else { strsim::osa_distance(&name, &wanted) }
    };
    names
        .filter(|name| name.len() <= 4 * COMPARED_MAX)
        .map(|name| (distance(name), name))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= 1 + length / 3)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_understood_and_another_word_is_not() {
        let names = ["STATUS_ACTIVE", "STATUS_CLOSED", "city", "country"];
        let meant = |wanted| nearest(wanted, names.into_iter());
        assert_eq!(meant("ctiy"), Some("city"));
        assert_eq!(meant("City"), Some("city"));
        assert_eq!(meant("active"), Some("STATUS_ACTIVE"));
        assert_eq!(meant("zebra crossing"), None);
        assert_eq!(meant(""), None);
        assert_eq!(meant(&"city".repeat(50_000)), None);
    }
}
