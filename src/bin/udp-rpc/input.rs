//! The request from the command line: arguments in order or by name, or JSON.
//!
//! Everything wrong here is a usage error that names the fields and their types; nothing has been
//! sent of the call by then.

use std::io::Read;

use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor, Value};

use crate::scalar;

/// The longest request read from a file or stdin, in bytes: far above what a datagram holds, so
/// that the server's own limit is what is reported, and far below what hurts this process.
const LONGEST_INPUT: u64 = 64 << 20;

/// A request's fields and their types, as usage errors show them: `a int64, b int64`.
pub(crate) fn fields(descriptor: &MessageDescriptor) -> String {
    let fields: Vec<String> = in_order(descriptor)
        .iter()
        .map(|field| format!("{} {}", field.name(), scalar::type_name(field)))
        .collect();
    if fields.is_empty() { "no fields".to_owned() } else { fields.join(", ") }
}

/// The fields in the order in which the .proto file declares them.
pub(crate) fn in_order(descriptor: &MessageDescriptor) -> Vec<FieldDescriptor> {
    descriptor
        .descriptor_proto()
        .field
        .iter()
        .filter_map(|field| descriptor.get_field_by_name(field.name()))
        .collect()
}

/// Builds the request out of arguments.
///
/// # Errors
///
/// The sentence for the user: too few, too many, ill-typed, unknown name, given twice.
pub(crate) fn from_arguments(
    descriptor: &MessageDescriptor,
    arguments: &[String],
) -> Result<DynamicMessage, String> {
    let mut request = DynamicMessage::new(descriptor.clone());
    let mut given: Vec<String> = Vec::new();
    let mut positional = Vec::new();
    for argument in arguments {
        match named(descriptor, argument)? {
            None => positional.push(argument.as_str()),
            Some((field, text)) => {
                if given.iter().any(|name| name == field.name()) && !field.is_list() {
                    return Err(format!("{} is given twice", field.name()));
                }
                set(&mut request, &field, text)?;
                given.push(field.name().to_owned());
            }
        }
    }
    let order = in_order(descriptor);
    let mut open = order.iter().filter(|field| !given.iter().any(|name| name == field.name()));
    let mut left = positional.iter().copied().peekable();
    let mut missing = Vec::new();
    for field in open.by_ref() {
        let last = order.last() == Some(field);
        match left.next() {
            Some(text) => set(&mut request, field, text)?,
            None if may_be_left_out(field) => {}
            None => missing.push(field.name().to_owned()),
        }
        if last && field.is_list() {
            for text in left.by_ref() {
                set(&mut request, field, text)?;
            }
        }
    }
    if let Some(text) = left.next() {
        return Err(format!("{text:?} is one argument too many"));
    }
    if !missing.is_empty() {
        return Err(format!("missing: {}", missing.join(", ")));
    }
    Ok(request)
}

/// Whether a field may be left out on the command line: what has a presence of its own or repeats.
fn may_be_left_out(field: &FieldDescriptor) -> bool {
    field.is_list() || field.is_map() || field.containing_oneof().is_some()
}

/// Takes `name=value` apart. An argument that merely contains an equals sign, or ends in base64's
/// padding, is no named one; a name that the request does not have is an error, lest a typing
/// error become a value.
fn named<'a>(
    descriptor: &MessageDescriptor,
    argument: &'a str,
) -> Result<Option<(FieldDescriptor, &'a str)>, String> {
    let Some((name, value)) = argument.split_once('=') else { return Ok(None) };
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Ok(None);
    }
    let field =
        descriptor.get_field_by_name(name).or_else(|| descriptor.get_field_by_json_name(name));
    match field {
        Some(field) => Ok(Some((field, value))),
        None if matches!(value, "" | "=") => Ok(None),
        None => {
            let hint = match in_order(descriptor).first() {
                Some(first) => format!("; as a value it is written {}={argument}", first.name()),
                None => String::new(),
            };
            Err(format!("there is no field {name:?}{hint}"))
        }
    }
}

/// Sets, or for a repeated field appends, one value.
fn set(request: &mut DynamicMessage, field: &FieldDescriptor, text: &str) -> Result<(), String> {
    let whole = text.trim_start();
    let wrong = |error: String| format!("{}: {error}", field.name());
    if field.is_map() || (field.is_list() && whole.starts_with('[')) {
        return set_json(request, field, whole).map_err(wrong);
    }
    let value = scalar::parse(&field.kind(), text).map_err(wrong)?;
    if field.is_list() {
        if let Value::List(items) = request.get_field_mut(field) {
            items.push(value);
        }
        return Ok(());
    }
    if let Some(oneof) = field.containing_oneof() {
        if let Some(other) = oneof.fields().find(|other| request.has_field(other)) {
            return Err(format!("only one of {} and {} may be given", other.name(), field.name()));
        }
    }
    request.set_field(field, value);
    Ok(())
}

/// Sets a list or a map from its JSON form, by way of a message that has nothing else.
fn set_json(
    request: &mut DynamicMessage,
    field: &FieldDescriptor,
    text: &str,
) -> Result<(), String> {
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    let mut json =
        serde_json::Value::Object([(field.name().to_owned(), value)].into_iter().collect());
    let descriptor = field.parent_message().clone();
    scalar::rewrite_durations(&descriptor, &mut json);
    let mut only =
        DynamicMessage::deserialize(descriptor, json).map_err(|error| error.to_string())?;
    if let Some(value) = only.take_field(field) {
        request.set_field(field, value);
    }
    Ok(())
}

/// Builds the request out of JSON in protobuf's mapping.
///
/// # Errors
///
/// Where and why the JSON is not such a request.
pub(crate) fn from_json(
    descriptor: &MessageDescriptor,
    text: &str,
) -> Result<DynamicMessage, String> {
    let mut json: serde_json::Value =
        serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    scalar::rewrite_durations(descriptor, &mut json);
    DynamicMessage::deserialize(descriptor.clone(), json).map_err(|error| error.to_string())
}

/// What `-d` names: the text itself, `@FILE`, or `@-` for stdin.
///
/// # Errors
///
/// The file cannot be read, or is too long.
pub(crate) fn data(argument: &str) -> Result<Vec<u8>, String> {
    let read = |source: &mut dyn Read, name: &str| {
        let mut bytes = Vec::new();
        source
            .take(LONGEST_INPUT + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| format!("cannot read {name}: {error}"))?;
        if bytes.len() as u64 > LONGEST_INPUT {
            return Err(format!("{name} is longer than {} MiB", LONGEST_INPUT >> 20));
        }
        Ok(bytes)
    };
    match argument.strip_prefix('@') {
        None => Ok(argument.as_bytes().to_vec()),
        Some("-") => read(&mut std::io::stdin().lock(), "stdin"),
        Some(path) => {
            let mut file = std::fs::File::open(path)
                .map_err(|error| format!("cannot read {path}: {error}"))?;
            read(&mut file, path)
        }
    }
}
