//! `status` and `fence`: what became of a call, asked by its token, from any process.

use std::time::Instant;

use serde_json::{Map, Value};
use udp_rpc::client::{self, Asked, Fate};
use udp_rpc::core::Outcome;
use udp_rpc::wire::{Code, Metadata, SlotState, StatusBody};

use crate::address::Address;
use crate::args::{Format, Global, TokenArgs};
use crate::call;
use crate::details;
use crate::exit::Exit;
use crate::failure::{self, Failure};
use crate::local::Local;
use crate::metadata;
use crate::output;
use crate::remote::{self, Remote};
use crate::schema::Types;
use crate::traffic::{self, Meter};
use crate::units;

/// Asks, and prints what became of the call.
///
/// # Errors
///
/// No socket; an answer that cannot be shown. That nobody knows is no error but exit code 4.
pub(crate) fn run(global: &Global, args: &TokenArgs, asked: Asked) -> Result<Exit, Failure> {
    let types = match &args.method {
        None => None,
        Some(name) => types(global, args, name)?,
    };
    let began = Instant::now();
    let meter = Meter::default();
    let observer = Box::new(meter.observer(global));
    let timeout = global.timeout.unwrap_or(client::DEFAULT_TIMEOUT);
    let faults = remote::faults(&global.hurt);
    let fate = client::inquire(&args.token, asked, timeout, faults, Some(observer))
        .map_err(|error| Failure::Lost(format!("cannot ask: {error}")))?;
    if global.verbose > 0 {
        let elapsed = began.elapsed();
        let mut object = Map::new();
        object.insert("elapsedMs".into(), units::millis(elapsed).into());
        meter.read().json(&mut object);
        let line = format!("{}, {}", units::show(elapsed), meter.read().text());
        traffic::summary(global.output, object, line);
    }
    let verdict = Verdict::of(&fate);
    output::print(&verdict.render(types.as_ref(), global.output)?)?;
    Ok(verdict.exit)
}

/// The types of the method that the user says was called.
fn types(global: &Global, args: &TokenArgs, name: &str) -> Result<Option<Types>, Failure> {
    if let Some(local) = Local::open(&args.protos)? {
        return Ok(local.method(name)?.types);
    }
    let mut global = global.clone();
    let server = args.token.server.to_string();
    global.server = Address::parse(&server).map_err(Failure::Lost)?;
    Ok(Remote::open(&global)?.describe(name)?.types)
}

/// What is known of a call now.
struct Verdict<'a> {
    /// In a word or two, for programs.
    name: &'static str,
    /// In a sentence.
    sentence: String,
    /// The proof, where it did not run.
    outcome: Option<Outcome>,
    /// How it ended, where it ran and the answer is there.
    answer: Option<(Code, &'a [u8])>,
    /// What came with the answer.
    metadata: Option<&'a Metadata>,
    exit: Exit,
}

impl<'a> Verdict<'a> {
    fn of(fate: &'a Fate) -> Verdict<'a> {
        let verdict = |name, sentence: &str, outcome, exit| Verdict {
            name,
            sentence: sentence.to_owned(),
            outcome,
            answer: None,
            metadata: None,
            exit,
        };
        match fate {
            Fate::Executed { status, metadata, body } => {
                let (sentence, exit) = match status {
                    Code::Ok => ("executed: it ran once and answered", Exit::Ok),
                    _ => ("executed: it ran once and answered an error", Exit::Failed),
                };
                let answer = Some((*status, body.as_slice()));
                let metadata = Some(metadata);
                let executed = verdict("executed", sentence, Some(Outcome::Executed), exit);
                Verdict { answer, metadata, ..executed }
            }
            Fate::ReplyGone => verdict(
                "replyGone",
                "executed: it ran once; its answer is no longer kept",
                Some(Outcome::Executed),
                Exit::Failed,
            ),
            Fate::NotExecuted(proof) => {
                let outcome = Outcome::NotExecuted(*proof);
                let sentence = failure::outcome_text(&outcome);
                verdict("notExecuted", &sentence, Some(outcome), Exit::NotRun)
            }
            Fate::InProgress(state) => {
                let sentence = match state {
                    SlotState::Running => "in progress: it has started and not ended; ask again",
                    _ => "in progress: it has not started yet; ask again, or fence it",
                };
                verdict("inProgress", sentence, None, Exit::Unknown)
            }
            Fate::NotSeen => verdict(
                "notSeen",
                "not seen: the server has not received it yet, and still may; ask again, or \
                 fence it",
                None,
                Exit::Unknown,
            ),
            Fate::Unknown(why) => {
                let sentence = format!("unknown: it ran at most once; {why}");
                verdict("unknown", &sentence, Some(Outcome::Unknown), Exit::Unknown)
            }
        }
    }

    fn render(&self, types: Option<&Types>, format: Format) -> Result<Vec<u8>, Failure> {
        let lines = match (format, self.answer) {
            (Format::Raw, Some((_, body))) => return Ok(body.to_vec()),
            (Format::Json, _) => vec![self.json(types)?.to_string()],
            (_, None) => vec![self.sentence.clone()],
            (_, Some((Code::Ok, body))) => {
                vec![format!("{}:", self.sentence), answer_text(types, body)?]
            }
            (_, Some((code, body))) => {
                let error = StatusBody::parse(body);
                let message = failure::printable(&error.message);
                let details = details::text(error.details);
                vec![self.sentence.clone(), format!("{code}: {message}{details}")]
            }
        };
        Ok((lines.join("\n") + "\n").into_bytes())
    }

    fn json(&self, types: Option<&Types>) -> Result<Value, Failure> {
        let mut object = Map::new();
        object.insert("fate".into(), self.name.into());
        if let Some(outcome) = &self.outcome {
            failure::outcome_json(&mut object, outcome);
        }
        if let Some((code, body)) = self.answer {
            object.insert("code".into(), code.name().into());
            object.insert("number".into(), code.to_u8().into());
            if code == Code::Ok {
                let reply = match types {
                    Some(types) => {
                        let text =
                            call::render(types, body, Format::Json).map_err(Failure::Answer)?;
                        serde_json::from_slice(&text)
                            .map_err(|error| Failure::Answer(error.to_string()))?
                    }
                    None => Value::from(data_encoding::BASE64.encode(body)),
                };
                let name = if types.is_some() { "reply" } else { "replyBytes" };
                object.insert(name.into(), reply);
            } else {
                let error = StatusBody::parse(body);
                object.insert("message".into(), error.message.as_ref().into());
                details::json(&mut object, error.details);
            }
        }
        if let Some(metadata) = self.metadata {
            object.insert("metadata".into(), metadata::json(metadata));
        }
        object.insert("exit".into(), self.exit.number().into());
        Ok(Value::Object(object))
    }
}

/// An answer as `call` prints it, or its bytes where the type is not known.
fn answer_text(types: Option<&Types>, body: &[u8]) -> Result<String, Failure> {
    let Some(types) = types else {
        return Ok(format!(
            "{} of protobuf, {} (--method NAME reads them)",
            units::count(body.len() as u64, "byte"),
            if body.is_empty() { "empty".into() } else { data_encoding::HEXLOWER.encode(body) },
        ));
    };
    let text = call::render(types, body, Format::Text).map_err(Failure::Answer)?;
    Ok(String::from_utf8_lossy(&text).trim_end_matches('\n').to_owned())
}

#[cfg(test)]
mod tests {
    use udp_rpc::core::Proof;
    use udp_rpc::wire::Reason;

    use super::*;

    fn shown(fate: &Fate) -> (String, Exit) {
        let verdict = Verdict::of(fate);
        let text = verdict.render(None, Format::Text).unwrap();
        (String::from_utf8(text).unwrap(), verdict.exit)
    }

    #[test]
    fn for_programs_there_is_what_came_with_the_answer() {
        let mut metadata = Metadata::new();
        metadata.insert("queue", "17").unwrap();
        let fate = Fate::Executed { status: Code::Internal, metadata, body: vec![0, 1, b'x', 9] };
        let json = Verdict::of(&fate).json(None).unwrap();
        assert_eq!(json["metadata"], serde_json::json!({"queue": ["17"]}));
        assert_eq!((&json["message"], &json["detailsBytes"]), (&"x".into(), &"CQ==".into()));
    }

    #[test]
    fn fates_exit_by_the_table_of_outcomes() {
        let ran = Fate::Executed { status: Code::Ok, metadata: Metadata::new(), body: vec![8, 7] };
        assert_eq!(shown(&ran).1, Exit::Ok);
        assert!(shown(&ran).0.contains("0807"));
        let failed = Fate::Executed {
            status: Code::Internal,
            metadata: Metadata::new(),
            body: vec![0, 1, b'x'],
        };
        assert_eq!(shown(&failed).1, Exit::Failed);
        assert!(shown(&failed).0.contains("INTERNAL: x"));
        let fenced = Fate::NotExecuted(Proof::Promised(Reason::Fenced));
        assert_eq!(shown(&fenced).1, Exit::NotRun);
        assert!(shown(&fenced).0.contains("fenced"));
        assert_eq!(shown(&Fate::InProgress(SlotState::Running)).1, Exit::Unknown);
        assert_eq!(shown(&Fate::NotSeen).1, Exit::Unknown);
        assert_eq!(shown(&Fate::Unknown(String::new())).1, Exit::Unknown);
    }
}
