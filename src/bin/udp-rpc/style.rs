//! Colours, on a terminal and nowhere else.
//!
//! Text that goes into a file or a pipe carries no escape sequence, and `NO_COLOR` is respected
//! (<https://no-color.org>). Meaning is never in the colour alone.

use std::io::IsTerminal;

/// Whether and how to colour one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Style {
    on: bool,
}

impl Style {
    /// For what goes to stdout.
    pub(crate) fn stdout() -> Style {
        Style::when(std::io::stdout().is_terminal())
    }

    /// For what goes to stderr.
    pub(crate) fn stderr() -> Style {
        Style::when(std::io::stderr().is_terminal())
    }

    fn when(terminal: bool) -> Style {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        Style { on: terminal && !plain }
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.on && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// For trouble: lost, failed.
    pub(crate) fn bad(self, text: &str) -> String {
        self.paint("31", text)
    }

    /// For what went well.
    pub(crate) fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// For what deserves a second look: retransmitted, duplicate.
    pub(crate) fn odd(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// For headings and names.
    pub(crate) fn strong(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// For what matters less.
    pub(crate) fn faint(self, text: &str) -> String {
        self.paint("2", text)
    }
}
