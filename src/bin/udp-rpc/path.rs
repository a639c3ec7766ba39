//! The name in `name=value`: a path from the request down to what the value is for.
//!
//! `address.city`, `items[0].name`, `items[].name`, `labels.colour`, `labels[a.b]`. What a step
//! means (a field, an element, a map's key) depends on the type that it meets; here is only the
//! writing.

use crate::json::NESTING_MAX;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A word: the first, or one behind a dot.
    Word(String),
    /// What stands in brackets.
    Bracket(String),
    /// Empty brackets: a new element.
    Append,
}

/// Takes an argument apart into the path before its equals sign and the value behind it; `None`
/// where it is no named argument at all.
///
/// A path begins with an identifier, and behind that come a dot, a bracket or the equals sign, so
/// `http://host/?a=b` and `a b=c` are values.
///
/// # Errors
///
/// It begins like a path, and then is none.
pub(crate) fn split(argument: &str) -> Result<Option<(Vec<Step>, &str)>, String> {
    let word_end = argument
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|end| *end > 0 && !argument.starts_with(|c: char| c.is_ascii_digit()));
    let Some(end) = word_end else { return Ok(None) };
    let (first, rest) = argument.split_at(end);
    if !rest.starts_with(['.', '[', '=']) || !rest.contains('=') {
        return Ok(None);
    }
    let mut steps = vec![Step::Word(first.to_owned())];
    let mut rest = rest;
    loop {
        if let Some(value) = rest.strip_prefix('=') {
            return Ok(Some((steps, value)));
        }
        if steps.len() == NESTING_MAX {
            let start: String = argument.chars().take(24).collect();
            return Err(format!("{start}… goes deeper than {NESTING_MAX} levels, the limit"));
        }
        let (step, after) = match rest.strip_prefix('[') {
            Some(inside) => bracket(inside)?,
            None => word(rest.strip_prefix('.').unwrap_or(rest))?,
        };
        steps.push(step);
        rest = after;
        if !rest.starts_with(['.', '[', '=']) {
            return Err(format!("after {} a dot, a bracket or = is missing", shown(&steps)));
        }
    }
}

/// The word up to a dot, a bracket or the equals sign, and what follows it.
fn word(text: &str) -> Result<(Step, &str), String> {
    let (word, rest) = unescaped(text, &['.', '[', '=']);
    if word.is_empty() {
        return Err("a name is missing behind a dot".to_owned());
    }
    Ok((Step::Word(word), rest))
}

/// What is in a bracket, and what follows it.
fn bracket(text: &str) -> Result<(Step, &str), String> {
    let (inside, rest) = unescaped(text, &[']']);
    let Some(rest) = rest.strip_prefix(']') else {
        return Err("a bracket is not closed".to_owned());
    };
    Ok((if inside.is_empty() { Step::Append } else { Step::Bracket(inside) }, rest))
}

/// The text up to one of `ends` without its backslashes, and the rest from there.
fn unescaped<'a>(text: &'a str, ends: &[char]) -> (String, &'a str) {
    let mut word = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => word.extend(chars.next().map(|(_, c)| c)),
            c if ends.contains(&c) => return (word, text.get(at..).unwrap_or_default()),
            c => word.push(c),
        }
    }
    (word, "")
}

/// A path as it is written.
pub(crate) fn shown(steps: &[Step]) -> String {
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Word(word) if path.is_empty() => path.push_str(word),
            Step::Word(word) => path.extend([".", word]),
            Step::Bracket(inside) => path.extend(["[", inside, "]"]),
            Step::Append => path.push_str("[]"),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(argument: &str) -> (String, &str) {
        let (steps, value) = split(argument).unwrap().unwrap();
        (shown(&steps), value)
    }

    #[test]
    fn steps_are_words_behind_dots_and_brackets() {
        let (steps, value) = split("items[0].labels[a.b=c].x=y=z").unwrap().unwrap();
        let words = [
            Step::Word("items".into()),
            Step::Bracket("0".into()),
            Step::Word("labels".into()),
            Step::Bracket("a.b=c".into()),
            Step::Word("x".into()),
        ];
        assert_eq!((steps.as_slice(), value), (&words[..], "y=z"));
        assert_eq!(path("name="), ("name".into(), ""));
        assert_eq!(path("items[].n=1"), ("items[].n".into(), "1"));
    }

    #[test]
    fn a_backslash_takes_the_next_character_as_it_is() {
        let (steps, value) = split(r"m.a\.b\=c[\]\\]=v").unwrap().unwrap();
        let keys = [Step::Word("a.b=c".into()), Step::Bracket(r"]\".into())];
        assert_eq!((&steps[1..], value), (&keys[..], "v"));
    }

    #[test]
    fn what_does_not_begin_like_a_path_is_a_value() {
        for value in ["3", "-3=4", "a b=c", "http://x/?a=b", "=x", "x", "a.b", "1a=b", "[0]=x"] {
            assert_eq!(split(value), Ok(None), "{value}");
        }
    }

    #[test]
    fn a_broken_path_says_what_is_missing() {
        for (argument, says) in [
            ("a..b=c", "a name is missing"),
            ("a[0=c", "a bracket is not closed"),
            ("a[0]b=c", "after a[0] a dot, a bracket or = is missing"),
            ("a.b\\=c", "after a.b=c a dot, a bracket or = is missing"),
        ] {
            assert_eq!(split(argument).unwrap_err().find(says), Some(0), "{argument}");
        }
    }

    #[test]
    fn a_path_thousands_of_levels_deep_names_the_limit() {
        let error = split(&format!("{}=1", "a.".repeat(50_000) + "a")).unwrap_err();
        assert!(error.contains("100 levels, the limit") && error.len() < 100, "{error}");
        let deepest = format!("a{}=1", ".a".repeat(NESTING_MAX - 1));
        assert_eq!(split(&deepest).unwrap().unwrap().0.len(), NESTING_MAX);
    }
}
