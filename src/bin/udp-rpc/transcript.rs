//! The transcript of `-vv`: every datagram, when it passed, which way, what it said.

use serde_json::{Value, json};
use udp_rpc::client::{Direction, Observation};
use udp_rpc::core::fault::Fate;

use crate::args::Format;
use crate::datagram::{self, Shown};
use crate::style::Style;
use crate::units;

/// Columns of a terminal that nobody has widened.
const WIDTH: usize = 80;
/// Where the fields begin.
const INDENT: usize = 16;

/// One line, or a few, on one datagram.
pub(crate) fn entry(seen: &Observation<'_>, format: Format) -> String {
    match format {
        Format::Json => json_entry(seen).to_string(),
        Format::Text | Format::Raw => text_entry(seen, Style::stderr()),
    }
}

fn json_entry(seen: &Observation<'_>) -> Value {
    let mut object = match datagram::decode(seen.datagram) {
        Ok(decoded) => decoded.json(),
        Err(error) => {
            let mut object = serde_json::Map::new();
            object.insert("dropped".into(), error.to_string().into());
            object.insert("length".into(), seen.datagram.len().into());
            object
        }
    };
    object.insert("atMs".into(), units::millis(seen.at).into());
    object.insert("server".into(), seen.server.to_string().into());
    let passage = match seen.direction {
        Direction::Sent => "sent",
        Direction::Received => "received",
    };
    object.insert("passage".into(), passage.into());
    if let Some(fate) = seen.fate {
        let delays: Vec<f64> = fate.copies().map(|copy| units::millis(copy.delay)).collect();
        object.insert("copies".into(), delays.len().into());
        object.insert("delaysMs".into(), delays.into());
    }
    json!({ "datagram": object })
}

/// What the client's own faulty path did to it, if anything.
fn remark(fate: Option<Fate>, style: Style) -> String {
    let Some(fate) = fate else { return String::new() };
    let mut remark = String::new();
    match fate.copies().count() {
        0 => return style.bad("  lost on purpose"),
        1 => {}
        _ => remark.push_str("  doubled on purpose"),
    }
    let delay = fate.copies().map(|copy| copy.delay).min().unwrap_or_default();
    if !delay.is_zero() {
        remark.push_str(&format!("  delayed {}", units::show(delay)));
    }
    style.odd(&remark)
}

fn text_entry(seen: &Observation<'_>, style: Style) -> String {
    let arrow = match seen.direction {
        Direction::Sent => "->",
        Direction::Received => "<-",
    };
    let remark = remark(seen.fate, style);
    let bytes = seen.datagram;
    let head = format!("{:>9.3} ms {arrow}", units::millis(seen.at));
    let decoded = match datagram::decode(bytes) {
        Ok(decoded) => decoded,
        Err(error) => return format!("{head} {} bytes, dropped: {error}{remark}", bytes.len()),
    };
    let mut text = format!(
        "{head} {} attempt {}, {} bytes{remark}",
        style.strong(&format!("{:<9}", decoded.kind.name())),
        decoded.attempt,
        decoded.length
    );
    let mut column = WIDTH;
    for (name, value) in &decoded.fields {
        let word = match value {
            Shown::Bytes(bytes) => format!("{name} {} bytes", bytes.len()),
            value => format!("{name} {value}"),
        };
        let length = word.chars().count() + 2;
        if column + length > WIDTH {
            text.push('\n');
            text.push_str(&" ".repeat(INDENT));
            column = INDENT;
        } else {
            text.push_str("  ");
        }
        text.push_str(&word);
        column += length;
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use udp_rpc::wire::{CallId, Datagram, FromClient, Proofs, SessionId};

    use super::*;

    fn fence() -> Vec<u8> {
        let mut bytes = Vec::new();
        let message = FromClient::Fence {
            session: SessionId(1),
            call: CallId(4096),
            proofs: Proofs::default(),
        };
        Datagram { attempt: 2, message }.emit(&mut bytes);
        bytes
    }

    fn seen<'a>(datagram: &'a [u8], fate: Option<Fate>) -> Observation<'a> {
        Observation {
            at: Duration::from_micros(312),
            direction: Direction::Sent,
            server: "127.0.0.1:5860".parse().unwrap(),
            datagram,
            fate,
        }
    }

    #[test]
    fn an_entry_fits_a_terminal_and_says_what_was_lost() {
        let text = entry(&seen(&fence(), Some(Fate::Lost)), Format::Text);
        assert!(text.contains("0.312 ms -> "), "{text}");
        assert!(text.contains("FENCE") && text.contains("lost on purpose"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
    }

    #[test]
    fn garbage_is_shown_with_the_reason_it_is_dropped_for() {
        let text = entry(&seen(b"hello", None), Format::Text);
        assert!(text.contains("-> 5 bytes, dropped: shorter"), "{text}");
    }

    #[test]
    fn json_entries_are_objects_of_their_own() {
        let text = entry(&seen(&fence(), None), Format::Json);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["datagram"]["kind"], "FENCE");
        assert_eq!(value["datagram"]["passage"], "sent");
    }
}
