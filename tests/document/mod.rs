//! Documents as programs: what a page tells its reader to do, taken from its Markdown, so that a
//! test does it and sees what the page shows.
//!
//! - A block whose paragraph ends with a name in backquotes and a colon (`` … `src/lib.rs`: ``) is
//!   that file; fenced as `diff` it is a change of that file.
//! - A block fenced as `console` is a terminal: lines that begin with `$ ` are typed, a line `^C`
//!   is Ctrl-C, a line `^\` is Ctrl-\, everything else is what it shows. A paragraph that names the *first* or *second
//!   terminal* says which; until another is named, it stays that one.
//! - In what a terminal shows, `…` stands for any text within a line, and alone for any lines.
//! - Any other block is there to be read.

#![allow(dead_code, reason = "each test uses a part of it")]

pub(crate) mod workshop;

mod session;
mod terminal;

use std::ops::RangeInclusive;

pub(crate) use session::Session;

/// What a block of a page asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// This file is to be there.
    File { path: String, text: String },
    /// Lines of this file are to be replaced.
    Change { path: String, diff: String },
    /// A terminal, counted from 1, and what happens in it.
    Console { terminal: usize, lines: Vec<Line> },
    /// It is there to be read.
    Aside { language: String },
}

/// A line in a terminal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// It is typed.
    Typed(String),
    /// Keys are pressed that send this signal.
    Signal(&'static str),
    /// It is shown.
    Shown(String),
}

/// By what words a paragraph names a terminal, in the languages of the pages.
const TERMINALS: [(&str, usize); 4] =
    [("first terminal", 1), ("second terminal", 2), ("첫 번째 터미널", 1), ("두 번째 터미널", 2)];

/// The steps of a page, each with the number of the line where its block begins.
pub(crate) fn steps(page: &str) -> Vec<(usize, Step)> {
    let mut steps = Vec::new();
    let mut terminal = 1;
    let mut paragraph = String::new();
    // The open block: its first line's number, its language and its text.
    let mut block: Option<(usize, &str, String)> = None;
    for (number, line) in (1..).zip(page.lines()) {
        match (&mut block, line.strip_prefix("```")) {
            (Some(_), Some(_)) => {
                let (number, language, text) = block.take().expect("it is open");
                if let Some(named) = terminal_of(&paragraph) {
                    terminal = named;
                }
                steps.push((number, step(language, text, &paragraph, terminal)));
                paragraph.clear();
            }
            (Some((_, _, text)), None) => *text += &format!("{line}\n"),
            (None, Some(language)) => block = Some((number, language, String::new())),
            // A blank line ends a paragraph; the next one replaces it.
            (None, None) if line.is_empty() => paragraph += "\n",
            (None, None) => {
                if paragraph.ends_with('\n') {
                    paragraph.clear();
                }
                paragraph += &format!(" {line}");
            }
        }
    }
    assert!(block.is_none(), "a block is not closed");
    steps
}

fn step(language: &str, text: String, paragraph: &str, terminal: usize) -> Step {
    if language == "console" {
        return Step::Console { terminal, lines: text.lines().map(line).collect() };
    }
    let named = paragraph.trim_end().strip_suffix("`:");
    match named.and_then(|rest| rest.rsplit_once('`')) {
        Some((_, path)) if language == "diff" => Step::Change { path: path.into(), diff: text },
        Some((_, path)) => Step::File { path: path.into(), text },
        None => Step::Aside { language: language.into() },
    }
}

fn line(line: &str) -> Line {
    match line {
        "^C" => Line::Signal("INT"),
        r"^\" => Line::Signal("QUIT"),
        _ => match line.strip_prefix("$ ") {
            Some(command) => Line::Typed(command.into()),
            None => Line::Shown(line.into()),
        },
    }
}

/// The terminal that a paragraph names, the last one if several.
fn terminal_of(paragraph: &str) -> Option<usize> {
    let named = |(words, number): &(&str, usize)| Some((paragraph.rfind(words)?, *number));
    TERMINALS.iter().filter_map(named).max().map(|(_, number)| number)
}

/// A text with a change made, whose lines begin with ` ` (there already), `-` (to go) or `+`
/// (new); lines that begin with `@@` separate changes.
///
/// # Panics
///
/// When the place is not there, or there are several.
pub(crate) fn changed(text: &str, diff: &str) -> String {
    let mut text = text.to_owned();
    let hunks: Vec<Vec<&str>> = diff
        .lines()
        .collect::<Vec<_>>()
        .split(|line| line.starts_with("@@"))
        .map(<[_]>::to_vec)
        .filter(|hunk| !hunk.is_empty())
        .collect();
    for hunk in hunks {
        let side = |without: char| -> String {
            let kept = hunk.iter().filter(|line| !line.starts_with(without));
            kept.map(|line| format!("{}\n", line.get(1..).unwrap_or_default())).collect()
        };
        let (old, new) = (side('+'), side('-'));
        assert_eq!(text.matches(&old).count(), 1, "the place of this change:\n{old}\nin:\n{text}");
        text = text.replace(&old, &new);
    }
    text
}

/// Whether a terminal shows what the page shows.
pub(crate) fn is_as_shown(page: &str, terminal: &str) -> bool {
    let page: Vec<&str> = page.lines().collect();
    let terminal: Vec<&str> = terminal.lines().collect();
    lines_match(&page, &terminal)
}

fn lines_match(page: &[&str], terminal: &[&str]) -> bool {
    let skipping = |mut skipped: RangeInclusive<usize>, rest: &[&str]| {
        skipped.any(|lines| lines_match(rest, &terminal[lines..]))
    };
    match page {
        [] => terminal.is_empty(),
        ["…", rest @ ..] => skipping(0..=terminal.len(), rest),
        [first, rest @ ..] => terminal.split_first().is_some_and(|(line, others)| {
            pieces_match(&first.split('…').collect::<Vec<_>>(), line) && lines_match(rest, others)
        }),
    }
}

/// Whether a line consists of these pieces, with any text between them.
fn pieces_match(pieces: &[&str], line: &str) -> bool {
    let [first, others @ ..] = pieces else { return line.is_empty() };
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let Some((last, middle)) = others.split_last() else { return rest.is_empty() };
    for piece in middle {
        match rest.split_once(piece) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_changes_and_terminals_are_told_apart_by_their_paragraphs() {
        let page = "\
Put this\ninto `a/b.rs`:\n\n```rust\nfn main() {}\n```\n\nNow change `a/b.rs`:\n\n```diff\n-x\n+y\n```
\nIn the second terminal, `c`:\n\n```console\n$ a b\none\n$ c\n```\n\nStill there:\n\n```console\n^C\n```
\nAs in gRPC:\n\n```python\nx = 1\n```\n";
        let steps: Vec<Step> = steps(page).into_iter().map(|(_, step)| step).collect();
        let typed = |text: &str| Line::Typed(text.into());
        let lines = vec![typed("a b"), Line::Shown("one".into()), typed("c")];
        let expected = [
            Step::File { path: "a/b.rs".into(), text: "fn main() {}\n".into() },
            Step::Change { path: "a/b.rs".into(), diff: "-x\n+y\n".into() },
            Step::Console { terminal: 2, lines },
            Step::Console { terminal: 2, lines: vec![Line::Signal("INT")] },
            Step::Aside { language: "python".into() },
        ];
        assert_eq!(steps, expected);
    }

    #[test]
    fn change_replaces_what_it_shows_and_nothing_else() {
        let text = "one\ntwo\nthree\n\nfour\n";
        let diff = " two\n-three\n+3\n+and\n\n@@\n-four\n+4\n";
        assert_eq!(changed(text, diff), "one\ntwo\n3\nand\n\n4\n");
    }

    #[test]
    #[should_panic(expected = "the place of this change")]
    fn change_of_what_is_not_there_is_an_error() {
        changed("one\n", "-two\n+2\n");
    }

    #[test]
    fn ellipsis_stands_for_any_text_in_a_line_or_any_lines() {
        assert!(is_as_shown("a\n…\nd in … s, …!\n", "a\nb\nc\nd in 1.2 s, or so!\n"));
        assert!(is_as_shown("…\na\n", "a\n"));
        assert!(is_as_shown("", ""));
        assert!(!is_as_shown("a\n", "a\nb\n"));
        assert!(!is_as_shown("a\nb\n", "a\n"));
        assert!(!is_as_shown("d in … s\n", "d in 1.2 ms!\n"));
        assert!(!is_as_shown("a…a\n", "a\n"));
        assert!(!is_as_shown("a\n", ""));
    }
}
