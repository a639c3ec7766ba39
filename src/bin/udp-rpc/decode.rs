//! `decode`: hexadecimal datagrams to fields, without a network.

use crate::args::{DecodeArgs, Format};
use crate::datagram::{self, Decoded, Shown};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Reader};

/// What people put between bytes.
const SEPARATORS: [char; 6] = [' ', '\t', '\r', ',', ':', '·'];

/// Bytes of a body shown in a line of text.
const BYTES_PER_LINE: usize = 24;

/// What a line begins with that begins a datagram: the magic number.
const MAGIC: [&str; 3] = ["5552", "55 52", "0x55"];

/// Decodes each argument, or what stdin has; one that is damaged is named and the rest are
/// still decoded.
///
/// # Errors
///
/// stdin cannot be read, stdout cannot be written.
pub(crate) fn run(args: &DecodeArgs, format: Format) -> Result<Exit, Failure> {
    let mut exit = Exit::Ok;
    let mut number = 0;
    let mut one = |text: &str| -> Result<Reader, Failure> {
        number += 1;
        let (rendered, good) = render(text, number, format);
        if !good {
            exit = Exit::Failed;
        }
        Ok(output::line(&rendered)?)
    };
    if args.datagrams.is_empty() {
        let stdin = std::io::read_to_string(std::io::stdin().lock())
            .map_err(|error| Failure::usage(format!("cannot read stdin: {error}")))?;
        for text in split(&stdin) {
            if one(&text)? == Reader::Gone {
                return Ok(Exit::Ok);
            }
        }
    }
    for text in &args.datagrams {
        if one(text)? == Reader::Gone {
            return Ok(Exit::Ok);
        }
    }
    if number == 0 {
        return Err(Failure::usage("nothing to decode".to_owned()));
    }
    Ok(exit)
}

/// The datagrams in a text: a blank line, or a line that begins with the magic number, begins the
/// next.
fn split(text: &str) -> Vec<String> {
    let mut datagrams: Vec<String> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        let begins = MAGIC.iter().any(|magic| line.trim_start().starts_with(magic));
        match (line.trim().is_empty(), datagrams.last_mut()) {
            (true, _) => open = false,
            (false, Some(datagram)) if open && !begins => {
                datagram.push('\n');
                datagram.push_str(line);
            }
            (false, _) => {
                datagrams.push(line.to_owned());
                open = true;
            }
        }
    }
    datagrams
}

/// What to print of one datagram, and whether it is sound.
fn render(text: &str, number: u64, format: Format) -> (String, bool) {
    let decoded = match unhex(text) {
        Ok(bytes) => datagram::decode(&bytes).map_err(|error| (bytes.len(), error.to_string())),
        Err(error) => Err((0, error)),
    };
    let good = decoded.is_ok();
    let rendered = match (decoded, format) {
        (Ok(decoded), Format::Json) => serde_json::Value::Object(decoded.json()).to_string(),
        (Err((length, error)), Format::Json) => {
            serde_json::json!({ "error": error, "length": length }).to_string()
        }
        (Ok(decoded), _) => show(&decoded),
        (Err((length, error)), _) => {
            format!("datagram {number}, {length} bytes: dropped by every receiver: {error}")
        }
    };
    (rendered, good)
}

/// The fields, one a line.
fn show(decoded: &Decoded) -> String {
    let mut lines = vec![format!(
        "{}, from a {}, {} bytes",
        decoded.kind.name(),
        decoded.sender(),
        decoded.length
    )];
    let width =
        decoded.fields.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).max(7);
    lines.push(format!("  {:width$}  {}", "attempt", decoded.attempt));
    for (name, value) in &decoded.fields {
        let Shown::Bytes(bytes) = value else {
            lines.push(format!("  {name:width$}  {value}"));
            continue;
        };
        let mut name = *name;
        let mut count = format!("{} bytes", bytes.len());
        if bytes.is_empty() {
            lines.push(format!("  {name:width$}  {count}"));
        }
        for chunk in bytes.chunks(BYTES_PER_LINE) {
            if !count.is_empty() {
                lines.push(format!("  {name:width$}  {count}"));
                (name, count) = ("", String::new());
            }
            let hex: Vec<String> = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
            lines.push(format!("    {name}{}", hex.join(" ")));
        }
    }
    lines.join("\n")
}

/// Hexadecimal with blanks, commas, colons and `0x` wherever people put them; what follows a `#`
/// in a line is a comment, as in PROTOCOL.md.
///
/// # Errors
///
/// A character that is no digit, or half a byte.
pub(crate) fn unhex(text: &str) -> Result<Vec<u8>, String> {
    let mut digits = String::with_capacity(text.len());
    let lines = text.lines().filter_map(|line| line.split('#').next());
    for word in lines.flat_map(|line| line.split(SEPARATORS)) {
        let word = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")).unwrap_or(word);
        if let Some(other) = word.chars().find(|c| !c.is_ascii_hexdigit()) {
            return Err(format!("{other:?} is no hexadecimal digit"));
        }
        digits.push_str(word);
    }
    if digits.len() % 2 == 1 {
        return Err(format!("{} hexadecimal digits end in half a byte", digits.len()));
    }
    data_encoding::HEXLOWER_PERMISSIVE
        .decode(digits.as_bytes())
        .map_err(|error| format!("not hexadecimal: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_is_read_however_it_is_written() {
        for text in ["5552", "55 52", "0x55 0x52", "0x5552", "55:52", "55,52", " 55\t52\n"] {
            assert_eq!(unhex(text).as_deref(), Ok(&[0x55, 0x52][..]), "{text:?}");
        }
        assert!(unhex("555").is_err());
        assert!(unhex("5g").is_err());
    }

    #[test]
    fn stdin_holds_a_datagram_a_line_or_one_over_several() {
        assert_eq!(split("5552\n5552\n"), ["5552", "5552"]);
        assert_eq!(split("55 52 # a\n 01\n\n02\n03"), ["55 52 # a\n 01", "02\n03"]);
        assert_eq!(unhex("55 52 # a\n 01").as_deref(), Ok(&[0x55, 0x52, 1][..]));
        assert!(split("\n\n").is_empty());
    }

    #[test]
    fn damage_is_named_and_fails() {
        let (text, good) = render("5552", 1, Format::Text);
        assert!(!good && text.contains("shorter than"), "{text}");
        let (text, good) = render("zz", 1, Format::Json);
        assert!(!good && text.starts_with('{'), "{text}");
    }
}
