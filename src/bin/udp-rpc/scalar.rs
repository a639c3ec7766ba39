//! One argument into one protobuf value, by the field's type.
//!
//! Numbers, booleans, strings and enums are written as they are; bytes in base64; a
//! `google.protobuf.Duration` as `1500ms`; any other message, list or map as JSON.

use std::time::Duration;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};

use crate::units;

/// The protobuf type that is written as a duration.
const DURATION: &str = "google.protobuf.Duration";

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

fn kind_name(kind: &Kind) -> String {
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
        Kind::Message(message) if message.full_name() == DURATION => "duration".to_owned(),
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(values) => values.full_name().to_owned(),
    }
}

/// An enum's values, for the error that names them.
fn value_names(values: &prost_reflect::EnumDescriptor) -> String {
    let names: Vec<String> = values.values().map(|value| value.name().to_owned()).collect();
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
                return Err(format!("{text:?} does not fit a float"));
            }
            Value::F32(value)
        }
        Kind::Double => {
            let value: f64 = text.parse().map_err(|_| wanted(kind, text))?;
            if value.is_infinite() && !says_infinite(text) {
                return Err(format!("{text:?} does not fit a double"));
            }
            Value::F64(value)
        }
        Kind::Bool => match text {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => return Err(format!("{text:?} is neither true nor false")),
        },
        Kind::String => Value::String(text.to_owned()),
        Kind::Bytes => Value::Bytes(base64(text)?.into()),
        Kind::Enum(values) => {
            let by_name = values.get_value_by_name(text);
            let number = match by_name {
                Some(value) => Some(value.number()),
                None => text.parse().ok(),
            };
            Value::EnumNumber(
                number.ok_or_else(|| format!("{text:?} is none of {}", value_names(values)))?,
            )
        }
        Kind::Message(message) => Value::Message(self::message(message, text)?),
    })
}

fn says_infinite(text: &str) -> bool {
    text.to_ascii_lowercase().contains("inf")
}

fn wanted(kind: &Kind, text: &str) -> String {
    let name = kind_name(kind);
    let article = if name.starts_with('i') { "an" } else { "a" };
    format!("{text:?} is not {article} {name}")
}

/// An integer, telling what is none from what does not fit.
fn integer<N: std::str::FromStr>(kind: &Kind, text: &str) -> Result<N, String> {
    text.parse().map_err(|_| {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            format!("{text} does not fit {}", kind_name(kind))
        } else {
            wanted(kind, text)
        }
    })
}

/// Standard or URL-safe base64, padded or not, as protobuf's JSON mapping reads it.
fn base64(text: &str) -> Result<Vec<u8>, String> {
    let digits = text.trim_end_matches('=').replace('-', "+").replace('_', "/");
    data_encoding::BASE64_NOPAD
        .decode(digits.as_bytes())
        .map_err(|_| format!("{text:?} is not base64"))
}

/// A message: a duration as people write it, JSON, or the string that its JSON form is.
fn message(descriptor: &MessageDescriptor, text: &str) -> Result<DynamicMessage, String> {
    let json = if descriptor.full_name() == DURATION {
        serde_json::Value::String(json_duration(text)?)
    } else if text.trim_start().starts_with(['{', '[', '"']) {
        serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?
    } else {
        serde_json::Value::String(text.to_owned())
    };
    DynamicMessage::deserialize(descriptor.clone(), json)
        .map_err(|error| format!("{text:?} is not a {}: {error}", descriptor.full_name()))
}

/// `1500ms` in the form of protobuf's JSON mapping, `1.500000000s`.
///
/// # Errors
///
/// As [`units::duration`].
pub(crate) fn json_duration(text: &str) -> Result<String, String> {
    let (sign, size) = match text.strip_prefix('-') {
        Some(size) => ("-", size),
        None => ("", text),
    };
    let duration: Duration = units::duration(size)?;
    Ok(format!("{sign}{}.{:09}s", duration.as_secs(), duration.subsec_nanos()))
}

/// Rewrites the durations of a JSON request into the form of protobuf's mapping, so that
/// `{"duration": "1500ms"}` is understood like the argument `1500ms`. What is no duration, or no
/// JSON form of its type, is left for the mapping to judge.
pub(crate) fn rewrite_durations(descriptor: &MessageDescriptor, json: &mut serde_json::Value) {
    let Some(fields) = json.as_object_mut() else { return };
    for (name, value) in fields {
        let field =
            descriptor.get_field_by_json_name(name).or_else(|| descriptor.get_field_by_name(name));
        let Some(field) = field else { continue };
        let mut kind = field.kind();
        if field.is_map()
            && let Kind::Message(entry) = &kind
        {
            kind = entry.map_entry_value_field().kind();
        }
        let Kind::Message(inner) = kind else { continue };
        match value {
            serde_json::Value::Array(items) if field.is_list() => {
                items.iter_mut().for_each(|item| rewrite_one(&inner, item));
            }
            serde_json::Value::Object(entries) if field.is_map() => {
                entries.values_mut().for_each(|item| rewrite_one(&inner, item));
            }
            other => rewrite_one(&inner, other),
        }
    }
}

fn rewrite_one(descriptor: &MessageDescriptor, json: &mut serde_json::Value) {
    match json {
        serde_json::Value::String(text) if descriptor.full_name() == DURATION => {
            if let Ok(rewritten) = json_duration(text) {
                *text = rewritten;
            }
        }
        other => rewrite_durations(descriptor, other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_told_apart_from_what_does_not_fit() {
        assert_eq!(parse(&Kind::Int32, "-3"), Ok(Value::I32(-3)));
        assert!(parse(&Kind::Int32, "3000000000").unwrap_err().contains("does not fit int32"));
        assert!(parse(&Kind::Uint64, "-1").unwrap_err().contains("does not fit uint64"));
        assert_eq!(parse(&Kind::Int64, "x").unwrap_err(), "\"x\" is not an int64");
        assert_eq!(parse(&Kind::Sint32, "1.5").unwrap_err(), "\"1.5\" is not a sint32");
    }

    #[test]
    fn bytes_are_base64_of_either_alphabet() {
        let bytes = |text| parse(&Kind::Bytes, text).unwrap();
        assert_eq!(bytes("+/8="), bytes("-_8"));
        assert!(parse(&Kind::Bytes, "?").is_err());
    }

    #[test]
    fn durations_keep_their_sign_and_nanoseconds() {
        assert_eq!(json_duration("1500ms").as_deref(), Ok("1.500000000s"));
        assert_eq!(json_duration("-250us").as_deref(), Ok("-0.000250000s"));
        assert!(json_duration("1500").is_err());
    }

    #[test]
    fn floats_that_overflow_are_refused_unless_infinity_is_meant() {
        assert!(parse(&Kind::Float, "1e300").is_err());
        assert_eq!(parse(&Kind::Double, "-inf"), Ok(Value::F64(f64::NEG_INFINITY)));
    }
}
