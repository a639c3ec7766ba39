//! Messages that people write without braces: protobuf's well-known types.
//!
//! Which there are, and how JSON writes them, is protobuf's
//! (<https://protobuf.dev/programming-guides/json/>); here is what a bare word means for one.

use prost_reflect::{DynamicMessage, Kind, MessageDescriptor};

use crate::json::{self, Wrong};
use crate::scalar;

/// Whether this is written like `1500ms`.
pub(crate) fn is_duration(message: &MessageDescriptor) -> bool {
    message.full_name() == "google.protobuf.Duration"
}

/// What a wrapper wraps: `google.protobuf.Int32Value` is written like an int32.
pub(crate) fn wrapped(message: &MessageDescriptor) -> Option<Kind> {
    let name = message.full_name().strip_prefix("google.protobuf.")?;
    let wrapped = match name {
        "DoubleValue" => Kind::Double,
        "FloatValue" => Kind::Float,
        "Int64Value" => Kind::Int64,
        "UInt64Value" => Kind::Uint64,
        "Int32Value" => Kind::Int32,
        "UInt32Value" => Kind::Uint32,
        "BoolValue" => Kind::Bool,
        "StringValue" => Kind::String,
        "BytesValue" => Kind::Bytes,
        _ => return None,
    };
    // What calls itself one and is none gets no special treatment.
    let same = |field: prost_reflect::FieldDescriptor| field.kind() == wrapped && !field.is_list();
    message.get_field_by_name("value").is_some_and(same).then_some(wrapped)
}

/// Any JSON: of these the mapping knows no field names, so nothing about them is checked here.
pub(crate) fn is_free_form(message: &MessageDescriptor) -> bool {
    let name = message.full_name().strip_prefix("google.protobuf.");
    matches!(name, Some("Any" | "Struct" | "Value" | "ListValue" | "Empty"))
}

/// Messages that JSON writes as a string.
pub(crate) fn is_string(message: &MessageDescriptor) -> bool {
    let name = message.full_name().strip_prefix("google.protobuf.");
    matches!(name, Some("Timestamp" | "Duration" | "FieldMask"))
}

/// Reads a message from what stands behind its equals sign.
///
/// # Errors
///
/// What it should have been.
pub(crate) fn message(descriptor: &MessageDescriptor, text: &str) -> Result<DynamicMessage, Wrong> {
    if let Some(kind) = wrapped(descriptor) {
        let mut message = DynamicMessage::new(descriptor.clone());
        message.set_field_by_name("value", scalar::parse(&kind, text).map_err(Wrong::here)?);
        return Ok(message);
    }
    let structured = text.trim_start().starts_with(['{', '[', '"']);
    let json = match descriptor.full_name() {
        "google.protobuf.FieldMask" => json_string(&lower_camel_case(text)),
        // Whatever is JSON, and a string what is not: 3, true, null, {"a":1}, hello.
        "google.protobuf.Value" if structured || is_word_of_json(text) => text.to_owned(),
        "google.protobuf.Value" => json_string(text),
        _ if structured => text.to_owned(),
        _ if is_string(descriptor) => json_string(text),
        name => {
            let text = scalar::quoted(text);
            return Err(Wrong::here(format!(
                "{text} is not a {name}, which is JSON, {{…}}, or given by parts"
            )));
        }
    };
    let written = json == text;
    json::message(descriptor, &json).map_err(|mut wrong| {
        // A column would count in a text that nobody has written.
        wrong.at = wrong.at.filter(|_| written);
        wrong
    })
}

/// Whether this is a number, `true`, `false` or `null`.
fn is_word_of_json(text: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(text).is_ok()
}

fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// `user.display_name` as `user.displayName`: masks are written either way by people, and the
/// latter way in JSON.
fn lower_camel_case(text: &str) -> String {
    let mut camel = String::with_capacity(text.len());
    let mut raise = false;
    for c in text.chars() {
        match c {
            '_' => raise = true,
            c if raise => {
                camel.push(c.to_ascii_uppercase());
                raise = false;
            }
            c => camel.push(c),
        }
    }
    camel
}
