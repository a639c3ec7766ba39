//! One text into one protobuf value, by its type.
//!
//! Numbers, booleans, strings and enums are written as they are; bytes in base64 or as `@FILE`;
//! what protobuf writes as a string in JSON (timestamps, durations, field masks) bare; any other
//! message as JSON. Errors are about the value alone: whoever calls says which field it was for.

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MapKey, Value};

use crate::bytes;
use crate::nearest::nearest;
use crate::units;
use crate::wellknown;

/// A field's type as people read it: `int32`, `repeated string`, `Color`, `duration`.
pub(crate) fn type_name(field: &FieldDescriptor) -> String {
    if field.is_map()
        && let Kind::Message(entry) = field.kind()
    {
        let key = kind_name(&entry.map_entry_key_field().kind());
        let value = kind_name(&entry.map_entry_value_field().kind());
        return format!("map<{key}, {value}>");
    }
    let name = kind_name(&field.kind());
    let optional = field.containing_oneof().is_some_and(|oneof| oneof.is_synthetic());
    match (field.is_list(), optional) {
        (true, _) => format!("repeated {name}"),
        (false, true) => format!("optional {name}"),
        (false, false) => name,
    }
}

/// A type as a .proto file names it, messages and enums in full.
pub(crate) fn full_name(kind: &Kind) -> String {
    match kind {
        Kind::Message(message) => message.full_name().to_owned(),
        other => kind_name(other),
    }
}

/// A type as people read it, without regard to whether it repeats.
pub(crate) fn kind_name(kind: &Kind) -> String {
    match kind {
        Kind::Double => "double".to_owned(),
        Kind::Float => "float".to_owned(),
        Kind::Int32 => "int32".to_owned(),
        Kind::Int64 => "int64".to_owned(),
        Kind::Uint32 => "uint32".to_owned(),
        Kind::Uint64 => "uint64".to_owned(),
        Kind::Sint32 => "sint32".to_owned(),
        Kind::Sint64 => "sint64".to_owned(),
        Kind::Fixed32 => "fixed32".to_owned(),
        Kind::Fixed64 => "fixed64".to_owned(),
        Kind::Sfixed32 => "sfixed32".to_owned(),
        Kind::Sfixed64 => "sfixed64".to_owned(),
        Kind::Bool => "bool".to_owned(),
        Kind::String => "string".to_owned(),
        Kind::Bytes => "bytes".to_owned(),
        Kind::Message(message) if wellknown::is_duration(message) => "duration".to_owned(),
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(values) => values.full_name().to_owned(),
    }
}

/// Most of an enum's values, or of a message's fields, that an error lists.
pub(crate) const LISTED_MAX: usize = 24;

/// Most characters of a wrong value that its error repeats.
const SHOWN_MAX: usize = 60;

/// A value in an error: quoted, and cut where it is long.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
    }
}

/// A list for an error, cut where it is long.
pub(crate) fn listed(names: impl Iterator<Item = String>) -> String {
    let mut names: Vec<String> = names.take(LISTED_MAX + 1).collect();
    if names.len() > LISTED_MAX {
        names.truncate(LISTED_MAX);
        names.push("…".to_owned());
    }
    names.join(", ")
}

/// Reads one value of `kind` (of one element, where the field repeats).
///
/// # Errors
///
/// What the value should have been.
pub(crate) fn parse(kind: &Kind, text: &str) -> Result<Value, String> {
    Ok(match kind {
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(integer(kind, text)?),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(integer(kind, text)?),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(integer(kind, text)?),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(integer(kind, text)?),
        Kind::Float => {
            let value: f32 = text.parse().map_err(|_| wanted(kind, text))?;
            if value.is_infinite() && !says_infinite(text) {
                return Err(does_not_fit(kind, text));
            }
            Value::F32(value)
        }
        Kind::Double => {
            let value: f64 = text.parse().map_err(|_| wanted(kind, text))?;
            if value.is_infinite() && !says_infinite(text) {
                return Err(does_not_fit(kind, text));
            }
            Value::F64(value)
        }
        Kind::Bool => match text {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => return Err(format!("{} is neither true nor false", quoted(text))),
        },
        Kind::String => Value::String(text.to_owned()),
        Kind::Bytes => match text.strip_prefix('@') {
            Some(named) => Value::Bytes(bytes::read(named)?.into()),
            None => match base64(text) {
                Some(bytes) => Value::Bytes(bytes.into()),
                None => {
                    let text = quoted(text);
                    return Err(format!("{text} is not base64 (a file's bytes are @FILE)"));
                }
            },
        },
        Kind::Enum(values) => Value::EnumNumber(enum_number(values, text)?),
        Kind::Message(message) => {
            let message = wellknown::message(message, text).map_err(|wrong| wrong.to_string());
            Value::Message(message?)
        }
    })
}

/// A key of a map, from the text that it is in JSON and in a path.
///
/// # Errors
///
/// What the key should have been.
pub(crate) fn map_key(kind: &Kind, text: &str) -> Result<MapKey, String> {
    match kind {
        Kind::Double | Kind::Float | Kind::Bytes | Kind::Message(_) | Kind::Enum(_) => None,
        kind => parse(kind, text)?.into_map_key(),
    }
    .ok_or_else(|| format!("{} is no type of a map's keys", kind_name(kind)))
}

/// An enum's value, by its name or its number.
///
/// # Errors
///
/// Which names there are, and which is nearest.
pub(crate) fn enum_number(values: &EnumDescriptor, text: &str) -> Result<i32, String> {
    if let Some(value) = values.get_value_by_name(text) {
        return Ok(value.number());
    }
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    let known: Vec<_> = values.values().collect();
    let all = listed(known.iter().map(|value| value.name().to_owned()));
    let meant = match nearest(text, known.iter().map(|value| value.name())) {
        Some(name) => format!("; did you mean {name}?"),
        None => String::new(),
    };
    Err(format!("{} is none of {all}{meant}", quoted(text)))
}

fn says_infinite(text: &str) -> bool {
    text.to_ascii_lowercase().contains("inf")
}

/// A type with its article: "an int32".
pub(crate) fn one(kind: &Kind) -> String {
    let name = kind_name(kind);
    let article = if name.starts_with('i') { "an" } else { "a" };
    format!("{article} {name}")
}

fn wanted(kind: &Kind, text: &str) -> String {
    format!("{} is not {}", quoted(text), one(kind))
}

fn does_not_fit(kind: &Kind, text: &str) -> String {
    format!("{} does not fit {}", quoted(text).replace('"', ""), kind_name(kind))
}

/// An integer, telling what is none from what does not fit.
fn integer<N: std::str::FromStr>(kind: &Kind, text: &str) -> Result<N, String> {
    text.parse().map_err(|_| {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            does_not_fit(kind, text)
        } else {
            wanted(kind, text)
        }
    })
}

/// Standard or URL-safe base64, padded or not, as protobuf's JSON mapping reads it.
pub(crate) fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').replace('-', "+").replace('_', "/");
    data_encoding::BASE64_NOPAD.decode(digits.as_bytes()).ok()
}

/// `1500ms` in the form of protobuf's JSON mapping, `1.500000000s`.
///
/// # Errors
///
/// As [`units::any_duration`].
pub(crate) fn json_duration(text: &str) -> Result<String, String> {
    let (sign, size) = match text.strip_prefix('-') {
        Some(size) => ("-", size),
        None => ("", text),
    };
    let duration = units::any_duration(size)?;
    Ok(format!("{sign}{}.{:09}s", duration.as_secs(), duration.subsec_nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_told_apart_from_what_does_not_fit() {
        assert_eq!(parse(&Kind::Int32, "-3"), Ok(Value::I32(-3)));
        assert_eq!(parse(&Kind::Int32, "3000000000").unwrap_err(), "3000000000 does not fit int32");
        assert_eq!(parse(&Kind::Uint64, "-1").unwrap_err(), "-1 does not fit uint64");
        assert_eq!(parse(&Kind::Int64, "x").unwrap_err(), "\"x\" is not an int64");
        assert_eq!(parse(&Kind::Sint32, "1.5").unwrap_err(), "\"1.5\" is not a sint32");
    }

    #[test]
    fn bytes_are_base64_of_either_alphabet_or_a_file() {
        let bytes = |text| parse(&Kind::Bytes, text).unwrap();
        assert_eq!(bytes("+/8="), bytes("-_8"));
        assert!(parse(&Kind::Bytes, "?").unwrap_err().contains("is not base64"));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, [0, 255, b'\n']).unwrap();
        let named = format!("@{}", file.path().display());
        assert_eq!(bytes(&named), Value::Bytes(vec![0, 255, b'\n'].into()));
        assert!(parse(&Kind::Bytes, "@/nowhere").unwrap_err().contains("cannot read /nowhere"));
        // To a string an at sign is nothing special.
        assert_eq!(parse(&Kind::String, "@x"), Ok(Value::String("@x".into())));
    }

    #[test]
    fn durations_keep_their_sign_and_nanoseconds() {
        assert_eq!(json_duration("1500ms").as_deref(), Ok("1.500000000s"));
        assert_eq!(json_duration("-250us").as_deref(), Ok("-0.000250000s"));
        assert_eq!(json_duration("7days").as_deref(), Ok("604800.000000000s"));
        assert!(json_duration("1500").is_err());
    }

    #[test]
    fn floats_that_overflow_are_refused_unless_infinity_is_meant() {
        assert_eq!(parse(&Kind::Float, "1e300").unwrap_err(), "1e300 does not fit float");
        assert_eq!(parse(&Kind::Double, "-inf"), Ok(Value::F64(f64::NEG_INFINITY)));
    }

    #[test]
    fn keys_of_maps_are_of_the_types_that_keys_have() {
        assert_eq!(map_key(&Kind::Int32, "-7"), Ok(MapKey::I32(-7)));
        assert_eq!(map_key(&Kind::Bool, "true"), Ok(MapKey::Bool(true)));
        assert_eq!(map_key(&Kind::String, ""), Ok(MapKey::String(String::new())));
        assert_eq!(map_key(&Kind::Fixed64, "-1").unwrap_err(), "-1 does not fit fixed64");
        assert!(map_key(&Kind::Bytes, "").is_err());
    }

    #[test]
    fn a_long_value_is_cut_in_its_error() {
        let error = parse(&Kind::Int64, &"x".repeat(100_000)).unwrap_err();
        assert!(error.len() < 100, "{error}");
    }
}
