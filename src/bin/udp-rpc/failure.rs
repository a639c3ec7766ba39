//! What went wrong, told in full: code, message, outcome with its proof, attempts, elapsed, and
//! the way to ask later.
//!
//! The outcome comes first among the details because it decides what the user may do now; the
//! exit code follows it and nothing else.

use std::io;

use serde_json::{Map, Value, json};
use udp_rpc::core::{CallError, Outcome, Proof};
use udp_rpc::wire::{Code, Reason};

use crate::args::Format;
use crate::details;
use crate::exit::Exit;
use crate::metadata;
use crate::output;
use crate::style::Style;
use crate::units;

/// Why a subcommand did not end well.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line asks for what cannot be; the lines that follow help.
    Usage(String, Vec<String>),
    /// Nothing of the call was sent: the name does not resolve, no such function.
    NotSent(Code, String, Vec<String>),
    /// A call ended in an error.
    Call(Box<Ended>),
    /// It ran, but its answer could not be shown.
    Answer(String),
    /// This process could not even ask; nothing new is known of any call.
    Lost(String),
    /// The demo did not show what it must.
    Broken(String),
    /// Nobody reads stdout any more.
    BrokenPipe,
}

/// A call that ended in an error.
#[derive(Debug)]
pub(crate) struct Ended {
    /// How.
    pub(crate) error: CallError,
    /// Ctrl-C ended it.
    pub(crate) interrupted: bool,
    /// The server, for what concerns reaching it.
    pub(crate) server: String,
}

impl Failure {
    /// A usage error without more help than its sentence.
    pub(crate) fn usage(message: impl Into<String>) -> Failure {
        Failure::Usage(message.into(), Vec::new())
    }

    /// A description that cannot be: the call that it was for is not sent.
    pub(crate) fn unsound(name: &str, why: &str) -> Failure {
        let message = format!("the description of {name} is no good: {why}");
        Failure::NotSent(Code::Internal, printable(&message), Vec::new())
    }

    /// The code to exit with.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Failure::Usage(..) => Exit::Usage,
            Failure::NotSent(..) => Exit::NotRun,
            Failure::Call(ended) if ended.interrupted => Exit::Interrupted,
            Failure::Call(ended) => Exit::from(&ended.error.outcome),
            Failure::Answer(_) | Failure::Broken(_) => Exit::Failed,
            Failure::Lost(_) => Exit::Unknown,
            Failure::BrokenPipe => Exit::Ok,
        }
    }

    /// Says it on stderr, and what to exit with.
    pub(crate) fn report(&self, format: Format) -> Exit {
        let exit = self.exit();
        if !matches!(self, Failure::BrokenPipe) {
            match format {
                Format::Json => output::note(&self.json().to_string()),
                Format::Text | Format::Raw => output::note(&self.text(Style::stderr())),
            }
        }
        exit
    }

    fn text(&self, style: Style) -> String {
        let error = style.bad("error:");
        match self {
            Failure::Usage(message, help) => lines(format!("{error} {message}"), help),
            Failure::NotSent(code, message, help) => {
                let mut text = lines(format!("{error} {code}: {message}"), help);
                text.push_str(&format!("\n  outcome: {}", outcome_text(&NEVER_SENT)));
                text
            }
            Failure::Call(ended) => ended.text(style),
            Failure::Answer(message) => format!("{error} it ran, but {message}"),
            Failure::Lost(message) => format!("{error} {message}"),
            Failure::Broken(message) => format!("{} {message}", style.bad("the demo failed:")),
            Failure::BrokenPipe => String::new(),
        }
    }

    /// The error as an object, as `-o json` prints it.
    pub(crate) fn json(&self) -> Value {
        let mut object = match self {
            Failure::Usage(message, help) => {
                object(json!({ "kind": "usage", "message": message, "help": help }))
            }
            Failure::NotSent(code, message, help) => {
                let mut object = object(json!({
                    "code": code.name(), "number": code.to_u8(), "message": message, "help": help,
                    "attempts": 0, "issues": 0,
                }));
                outcome_json(&mut object, &NEVER_SENT);
                object
            }
            Failure::Call(ended) => ended.json(),
            Failure::Answer(message) => {
                object(json!({ "kind": "answer", "message": message, "outcome": "executed" }))
            }
            Failure::Lost(message) => object(json!({ "kind": "lost", "message": message })),
            Failure::Broken(message) => object(json!({ "kind": "broken", "message": message })),
            Failure::BrokenPipe => Map::new(),
        };
        object.insert("exit".into(), self.exit().number().into());
        json!({ "error": object })
    }
}

const NEVER_SENT: Outcome = Outcome::NotExecuted(Proof::NeverSent);

fn lines(first: String, more: &[String]) -> String {
    more.iter().fold(first, |text, line| text + "\n  " + line)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

impl Ended {
    fn text(&self, style: Style) -> String {
        let CallError { code, message, details, outcome, attempts, issues, elapsed, token, .. } =
            &self.error;
        let mut text = format!("{} {code}: {}", style.bad("error:"), told(message));
        if self.interrupted {
            text = format!("{} {}", style.bad("interrupted:"), told(message));
        }
        text.push_str(&details::text(details));
        text.push_str(&format!("\n  outcome: {}", style.strong(&outcome_text(outcome))));
        let issued = if *issues > 1 { format!(" in {issues} issues") } else { String::new() };
        let attempts = units::count(u64::from(*attempts), "attempt");
        text.push_str(&format!("\n  {attempts}{issued} in {}", units::show(*elapsed)));
        text.push_str(&format!(", server {}", self.server));
        if let (Outcome::Unknown, Some(token)) = (outcome, token) {
            text.push_str(&format!("\n  ask later: udp-rpc status {token}"));
        }
        text
    }

    fn json(&self) -> Map<String, Value> {
        let CallError {
            code,
            message,
            details,
            metadata,
            outcome,
            attempts,
            issues,
            elapsed,
            token,
        } = &self.error;
        let mut object = object(json!({
            "code": code.name(),
            "number": code.to_u8(),
            "message": message,
            "attempts": attempts,
            "issues": issues,
            "elapsedMs": units::millis(*elapsed),
            "server": self.server,
            "interrupted": self.interrupted,
        }));
        details::json(&mut object, details);
        object.insert("metadata".into(), metadata::json(metadata));
        outcome_json(&mut object, outcome);
        if let (Outcome::Unknown, Some(token)) = (outcome, token) {
            object.insert("token".into(), token.to_string().into());
            object.insert("ask".into(), format!("udp-rpc status {token}").into());
        }
        object
    }
}

/// An outcome with its proof, in words.
pub(crate) fn outcome_text(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Executed => "executed (it ran once)".to_owned(),
        Outcome::NotExecuted(proof) => {
            let proof = match proof {
                Proof::NeverSent => "it was never sent".to_owned(),
                Proof::Promised(reason) => format!("the server has recorded it: {reason}"),
                Proof::UnknownSession => "the server never received it".to_owned(),
            };
            format!("not executed, and never will be ({proof})")
        }
        Outcome::Unknown => "unknown (it ran at most once; nobody can say more now)".to_owned(),
    }
}

/// An outcome with its proof, for programs.
pub(crate) fn outcome_json(object: &mut Map<String, Value>, outcome: &Outcome) {
    let name = match outcome {
        Outcome::Executed => "executed",
        Outcome::NotExecuted(_) => "notExecuted",
        Outcome::Unknown => "unknown",
    };
    object.insert("outcome".into(), name.into());
    let Outcome::NotExecuted(proof) = outcome else { return };
    let name = match proof {
        Proof::NeverSent => "neverSent",
        Proof::Promised(_) => "promised",
        Proof::UnknownSession => "unknownSession",
    };
    object.insert("proof".into(), name.into());
    if let Proof::Promised(reason) = proof {
        object.insert("reason".into(), reason_text(*reason).into());
        object.insert("reasonNumber".into(), reason.to_u8().into());
    }
}

fn reason_text(reason: Reason) -> String {
    reason.to_string()
}

/// A message of a peer, without what would play with the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c })
        .collect()
}

/// A peer's message above lines of this program's own, which none of its lines can be taken for.
fn told(message: &str) -> String {
    printable(message).replace('\n', "\n    ")
}

/// Only stdout is written with `?`: a closed pipe is success, anything else loses an answer.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Failure::BrokenPipe
        } else {
            Failure::Answer(format!("the answer cannot be written: {error}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use udp_rpc::wire::Metadata;

    use super::*;

    fn ended(outcome: Outcome, interrupted: bool) -> Failure {
        let error = CallError {
            code: Code::DeadlineExceeded,
            message: "no answer".into(),
            details: vec![1],
            metadata: Metadata::new(),
            outcome,
            attempts: 3,
            issues: 2,
            elapsed: Duration::from_millis(250),
            token: None,
        };
        Failure::Call(Box::new(Ended { error, interrupted, server: "here".into() }))
    }

    #[test]
    fn exit_codes_follow_the_outcome_and_an_interrupt_goes_before() {
        let promised = Outcome::NotExecuted(Proof::Promised(Reason::Draining));
        assert_eq!(ended(Outcome::Executed, false).exit(), Exit::Failed);
        assert_eq!(ended(promised, false).exit(), Exit::NotRun);
        assert_eq!(ended(Outcome::Unknown, false).exit(), Exit::Unknown);
        assert_eq!(ended(Outcome::Executed, true).exit(), Exit::Interrupted);
        assert_eq!(Failure::usage("x").exit(), Exit::Usage);
        assert_eq!(Failure::BrokenPipe.exit(), Exit::Ok);
    }

    #[test]
    fn json_errors_name_outcome_proof_and_exit_code() {
        let promised = Outcome::NotExecuted(Proof::Promised(Reason::Draining));
        let error = ended(promised, false).json()["error"].clone();
        assert_eq!(error["outcome"], "notExecuted");
        assert_eq!(error["proof"], "promised");
        assert_eq!(error["reason"], "draining");
        assert_eq!(error["exit"], 3);
        assert_eq!(error["detailsBytes"], "AQ==");
        assert_eq!(error["elapsedMs"], 250.0);
    }

    #[test]
    fn a_peer_cannot_play_with_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\n"), "a\u{fffd}[2Jb\n");
        assert_eq!(told("no\n  outcome: executed"), "no\n      outcome: executed");
    }
}
