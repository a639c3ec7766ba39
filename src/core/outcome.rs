//! How a call ends, and what proves it.

use std::fmt;
use std::time::Duration;

use super::CallToken;
use crate::wire::{Code, Metadata, Reason};

/// What proves that a call has not run and never will. There are exactly three such proofs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Proof {
    /// No transmission of the call ever left this host.
    NeverSent,
    /// The server says that it has recorded that the call never runs, and why.
    Promised(Reason),
    /// The life of the server that minted the call's session does not know the session, at a
    /// time at which it would if it had ever received the call.
    UnknownSession,
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Proof::NeverSent => f.write_str("it was never sent"),
            Proof::Promised(reason) => write!(f, "the server promised never to run it: {reason}"),
            Proof::UnknownSession => f.write_str("the server never received it"),
        }
    }
}

/// What became of a call that did not end well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It ran once, and answered with a status that is not OK.
    Executed,
    /// It has not run and never will.
    NotExecuted(Proof),
    /// It ran at most once; nobody can say more now.
    Unknown,
}

impl Outcome {
    /// One word, as the command line and logs write it.
    pub const fn name(&self) -> &'static str {
        match self {
            Outcome::Executed => "executed",
            Outcome::NotExecuted(_) => "not executed",
            Outcome::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::NotExecuted(proof) => write!(f, "not executed ({proof})"),
            other => f.write_str(other.name()),
        }
    }
}

/// A reply: the procedure ran exactly once, and this is that run's reply.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reply {
    /// What came with the reply message.
    pub metadata: Metadata,
    /// The reply message.
    pub body: Vec<u8>,
    /// Transmissions of all issues together.
    pub attempts: u32,
    /// How often the call was issued, each time under a new identity: 1 unless an earlier issue
    /// was proved not executed or the method has no side effects.
    pub issues: u32,
    /// From the call to its reply.
    pub elapsed: Duration,
    /// An earlier issue of a method without side effects may have run too: it ran at least once.
    pub at_least_once: bool,
    /// With which any process can ask later for the same; there when the client was told to.
    pub token: Option<CallToken>,
}

/// A call that did not end well: what went wrong, and what became of it.
///
/// It is small enough to be returned by value, as clippy's `result_large_err` has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CallError {
    /// gRPC's status code.
    pub code: Code,
    /// What went wrong, for people.
    pub message: String,
    /// What went wrong, for programs; as the server sent it.
    pub details: Vec<u8>,
    /// What came with the answer of a call that ran; empty for any other.
    pub metadata: Metadata,
    /// Whether it ran.
    pub outcome: Outcome,
    /// Transmissions of all issues together.
    pub attempts: u32,
    /// How often the call was issued, each time under a new identity.
    pub issues: u32,
    /// From the call to its end.
    pub elapsed: Duration,
    /// With which any process can ask later what became of it; there when the outcome is unknown,
    /// or when the client was told to.
    pub token: Option<Box<CallToken>>,
}

impl CallError {
    /// The end of a call of which nothing was ever sent.
    pub fn never_sent(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            details: Vec::new(),
            metadata: Metadata::new(),
            outcome: Outcome::NotExecuted(Proof::NeverSent),
            attempts: 0,
            issues: 0,
            elapsed: Duration::ZERO,
            token: None,
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, message, outcome, attempts, issues, elapsed, .. } = self;
        write!(f, "{code}: {message}; {outcome}, attempts {attempts}")?;
        if *issues > 1 {
            write!(f, " in {issues} issues")?;
        }
        write!(f, ", after {elapsed:.1?}")
    }
}

impl std::error::Error for CallError {}
