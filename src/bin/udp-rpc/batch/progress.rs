//! How far a batch is, on a terminal and nowhere else.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::tally::Tally;

/// Times a second that the bar is drawn at most.
const DRAWS: u8 = 10;

/// The bar; hidden where stderr is no terminal.
pub(crate) struct Progress {
    bar: ProgressBar,
    /// Lines of stdout go to the same terminal, and have to go around the bar.
    shares: bool,
}

impl Progress {
    /// A bar for an input of this many bytes, if anybody knows.
    pub(crate) fn new(bytes: Option<u64>, wanted: bool) -> Progress {
        if !wanted || !std::io::stderr().is_terminal() {
            return Progress { bar: ProgressBar::hidden(), shares: false };
        }
        let target = ProgressDrawTarget::stderr_with_hz(DRAWS);
        let bar = ProgressBar::with_draw_target(bytes, target);
        let template = match bytes {
            Some(_) => "{bar:30} {percent}% {msg}, {eta} left",
            None => "{spinner} {msg} in {elapsed}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_secs(1) / u32::from(DRAWS));
        Progress { bar, shares: std::io::stdout().is_terminal() }
    }

    /// Says how far it is: bytes of the input whose answers are out, and the counts.
    pub(crate) fn show(&self, bytes: u64, tally: &Tally) {
        if self.bar.is_hidden() {
            return;
        }
        let failed = tally.calls() - tally.ok + tally.malformed;
        let failures = if failed > 0 { format!(", {failed} failed") } else { String::new() };
        self.bar.set_message(format!("{} calls{failures}", tally.calls()));
        self.bar.set_position(bytes);
    }

    /// Writes to stdout, where the bar is not in the way.
    pub(crate) fn print(&self, bytes: &[u8]) -> std::io::Result<()> {
        let write = || {
            let mut stdout = std::io::stdout().lock();
            stdout.write_all(bytes).and_then(|()| stdout.flush())
        };
        if self.shares { self.bar.suspend(write) } else { write() }
    }

    /// Takes the bar away.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
