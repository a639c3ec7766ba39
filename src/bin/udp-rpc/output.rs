//! Replies on stdout, and stdout itself.
//!
//! A broken pipe is success: whoever closed it has read enough.

use std::io::{self, Write};

use prost_reflect::{DynamicMessage, SerializeOptions};

use crate::args::Format;

/// Protobuf's JSON mapping with every field shown, also those that hold their default.
const MAPPING: SerializeOptions = SerializeOptions::new().skip_default_fields(false);

/// A reply as text: bare where it has one field, JSON otherwise.
///
/// # Errors
///
/// What protobuf's mapping cannot express (a NaN duration, a type that the server left out).
pub(crate) fn text(reply: &DynamicMessage) -> serde_json::Result<String> {
    use prost_reflect::ReflectMessage;
    if reply.descriptor().fields().len() != 1 {
        let mut json = Vec::new();
        reply.serialize_with_options(&mut serde_json::Serializer::pretty(&mut json), &MAPPING)?;
        return Ok(lossy(json));
    }
    let value = reply.serialize_with_options(serde_json::value::Serializer, &MAPPING)?;
    let only = value.as_object().and_then(|fields| fields.values().next());
    Ok(match only {
        None | Some(serde_json::Value::Null) => String::new(),
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    })
}

/// A reply as one line of JSON in protobuf's mapping.
///
/// # Errors
///
/// As [`text`].
pub(crate) fn json(reply: &DynamicMessage) -> serde_json::Result<String> {
    let mut json = Vec::new();
    reply.serialize_with_options(&mut serde_json::Serializer::new(&mut json), &MAPPING)?;
    Ok(lossy(json))
}

/// A reply in the format asked for, as the bytes for stdout.
///
/// # Errors
///
/// As [`text`].
pub(crate) fn render(
    reply: &DynamicMessage,
    bytes: &[u8],
    format: Format,
) -> serde_json::Result<Vec<u8>> {
    let mut line = match format {
        Format::Raw => return Ok(bytes.to_vec()),
        Format::Json => json(reply)?,
        Format::Text => text(reply)?,
    };
    line.push('\n');
    Ok(line.into_bytes())
}

fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether anybody still reads stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// It was written.
    Listening,
    /// The pipe is closed: stop, and call it success.
    Gone,
}

/// Writes `bytes` to stdout and flushes.
///
/// # Errors
///
/// Any but a broken pipe: a full disk, a closed descriptor.
pub(crate) fn print(bytes: &[u8]) -> io::Result<Reader> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Reader::Listening),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(error),
    }
}

/// Writes a line to stdout.
///
/// # Errors
///
/// As [`print`].
pub(crate) fn line(text: &str) -> io::Result<Reader> {
    let mut line = String::with_capacity(text.len() + 1);
    line.push_str(text);
    line.push('\n');
    print(line.as_bytes())
}

/// Writes a line to stderr. That nobody reads there is nobody's error.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::message;

    fn reply(name: &str, bytes: &[u8]) -> DynamicMessage {
        DynamicMessage::decode(message(name), bytes).unwrap()
    }

    #[test]
    fn a_reply_of_one_field_is_bare_and_zero_is_shown() {
        assert_eq!(text(&reply("One", &[8, 7])).unwrap(), "7");
        assert_eq!(text(&reply("One", &[])).unwrap(), "0");
        let largest = [8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1];
        assert_eq!(text(&reply("One", &largest)).unwrap(), u64::MAX.to_string());
    }

    #[test]
    fn any_other_reply_is_json_with_defaults_shown() {
        assert_eq!(text(&reply("None", &[])).unwrap(), "{}");
        let both = json(&reply("Two", &[])).unwrap();
        assert!(both.contains("\"share\":0"), "{both}");
        assert!(
            serde_json::from_str::<serde_json::Value>(&text(&reply("Two", &[])).unwrap()).is_ok()
        );
    }

    #[test]
    fn json_is_one_line_and_raw_is_the_bytes() {
        let one = reply("One", &[8, 7]);
        assert_eq!(render(&one, &[8, 7], Format::Json).unwrap(), b"{\"value\":\"7\"}\n");
        assert_eq!(render(&one, &[8, 7], Format::Raw).unwrap(), [8, 7]);
    }
}
