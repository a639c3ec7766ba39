//! What became of all calls of a batch: the counts, the exit code, the summary.

use std::time::Duration;

use serde_json::{Map, Value};
use udp_rpc::core::{CallError, Outcome, Reply};

use crate::exit::Exit;
use crate::units;

/// The counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) ok: u64,
    /// Ran and answered an error, or an answer that cannot be shown.
    pub(crate) executed: u64,
    pub(crate) not_executed: u64,
    pub(crate) unknown: u64,
    /// Lines that are no request; nothing was sent for them.
    pub(crate) malformed: u64,
    /// Transmissions of all calls together.
    pub(crate) attempts: u64,
}

impl Tally {
    /// A call was answered.
    pub(crate) fn answered(&mut self, reply: &Reply, is_shown: bool) {
        self.attempts += u64::from(reply.attempts);
        if is_shown { self.ok += 1 } else { self.executed += 1 }
    }

    /// A call ended in an error.
    pub(crate) fn failed(&mut self, error: &CallError) {
        self.attempts += u64::from(error.attempts);
        match error.outcome {
            Outcome::Executed => self.executed += 1,
            Outcome::NotExecuted(_) => self.not_executed += 1,
            Outcome::Unknown => self.unknown += 1,
        }
    }

    /// The counts of two.
    pub(crate) fn and(self, other: Tally) -> Tally {
        Tally {
            ok: self.ok + other.ok,
            executed: self.executed + other.executed,
            not_executed: self.not_executed + other.not_executed,
            unknown: self.unknown + other.unknown,
            malformed: self.malformed + other.malformed,
            attempts: self.attempts + other.attempts,
        }
    }

    /// All calls that were made.
    pub(crate) fn calls(&self) -> u64 {
        self.ok + self.executed + self.not_executed + self.unknown
    }

    /// The exit code: that of the worst there was, and the worst is what is known least of. A
    /// malformed line is like a call that did not run, but for what has to be mended.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Tally { unknown: 1.., .. } => Exit::Unknown,
            Tally { not_executed: 1.., .. } => Exit::NotRun,
            Tally { malformed: 1.., .. } => Exit::Usage,
            Tally { executed: 1.., .. } => Exit::Failed,
            _ => Exit::Ok,
        }
    }

    fn rate(&self, elapsed: Duration) -> u64 {
        let rate = self.calls() as f64 / elapsed.as_secs_f64().max(1e-6);
        rate.round() as u64
    }

    /// The summary as a line.
    pub(crate) fn text(&self, elapsed: Duration) -> String {
        let mut text = format!(
            "{} in {}, {} calls/s: {} ok, {} executed with an error, {} not executed, {} unknown; {}",
            units::count(self.calls(), "call"),
            units::show(elapsed),
            self.rate(elapsed),
            self.ok,
            self.executed,
            self.not_executed,
            self.unknown,
            units::count(self.attempts, "attempt"),
        );
        if self.malformed > 0 {
            text.push_str(&format!("; {} malformed", units::count(self.malformed, "line")));
        }
        text
    }

    /// The same for programs.
    pub(crate) fn json(&self, elapsed: Duration) -> Map<String, Value> {
        let fields = [
            ("calls", self.calls()),
            ("ok", self.ok),
            ("executed", self.executed),
            ("notExecuted", self.not_executed),
            ("unknown", self.unknown),
            ("malformed", self.malformed),
            ("attempts", self.attempts),
            ("callsPerSecond", self.rate(elapsed)),
        ];
        let mut object: Map<String, Value> =
            fields.into_iter().map(|(name, count)| (name.to_owned(), count.into())).collect();
        object.insert("elapsedMs".to_owned(), units::millis(elapsed).into());
        object
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_the_outcomes_is_the_exit_code() {
        let mut tally = Tally { ok: 9, ..Tally::default() };
        assert_eq!(tally.exit(), Exit::Ok);
        tally.executed = 1;
        assert_eq!(tally.exit(), Exit::Failed);
        tally.malformed = 1;
        assert_eq!(tally.exit(), Exit::Usage);
        tally.not_executed = 1;
        assert_eq!(tally.exit(), Exit::NotRun);
        tally.unknown = 1;
        assert_eq!(tally.exit(), Exit::Unknown);
    }

    #[test]
    fn the_summary_says_how_many_and_how_fast() {
        let tally =
            Tally { ok: 999, executed: 1, attempts: 1_003, malformed: 2, ..Tally::default() };
        assert_eq!(
            tally.text(Duration::from_millis(500)),
            "1000 calls in 500 ms, 2000 calls/s: 999 ok, 1 executed with an error, \
             0 not executed, 0 unknown; 1003 attempts; 2 lines malformed"
        );
        assert_eq!(tally.json(Duration::from_secs(1))["callsPerSecond"], 1000);
        assert_eq!(Tally::default().rate(Duration::ZERO), 0);
    }
}
