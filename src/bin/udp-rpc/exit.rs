//! What the process says when it ends: the exit codes, as a type.
//!
//! The table is the promise to shell scripts. It follows a call's outcome and nothing else, so
//! that `case $?` can tell "it ran" from "it did not run" from "nobody knows".

use std::process::ExitCode;

use udp_rpc::core::Outcome;

/// How a run of the command line ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The procedure ran, and its answer is on stdout.
    Ok,
    /// It ran and answered an error; or a check of this program failed (`demo`, lost pings).
    Failed,
    /// The command line was wrong; nothing was sent.
    Usage,
    /// It did not run and never will.
    NotRun,
    /// It ran at most once; nobody can say more now.
    Unknown,
    /// Ctrl-C ended it (128 + SIGINT, as shells have it). What became of the call is on stderr.
    Interrupted,
}

impl Exit {
    /// The number that the shell sees.
    pub(crate) fn number(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::NotRun => 3,
            Exit::Unknown => 4,
            Exit::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.number())
    }
}

/// The exit code of a call that ended in an error with this outcome.
impl From<&Outcome> for Exit {
    fn from(outcome: &Outcome) -> Exit {
        match outcome {
            Outcome::Executed => Exit::Failed,
            Outcome::NotExecuted(_) => Exit::NotRun,
            Outcome::Unknown => Exit::Unknown,
        }
    }
}
