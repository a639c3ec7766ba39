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
    if let Some(oneof) = field.containing_oneof()
        && let Some(other) = oneof.fields().find(|other| request.has_field(other))
    {
        return Err(format!("only one of {} and {} may be given", other.name(), field.name()));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output;
    use crate::testing::message;

    /// The request that arguments build, as JSON.
    fn built(arguments: &[&str]) -> Result<serde_json::Value, String> {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let request = from_arguments(&message("Every"), &arguments)?;
        Ok(serde_json::to_value(&request).unwrap())
    }

    /// All fields that have no presence of their own, in the order of the file.
    const PLAIN: [&str; 5] = ["Ada", "GREEN", "AQI=", r#"{"n":3}"#, "1500ms"];

    fn with_plain(more: &[&str]) -> Result<serde_json::Value, String> {
        let mut named: Vec<String> = ["name", "colour", "data", "inner", "wait"]
            .iter()
            .zip(PLAIN)
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        named.extend(more.iter().map(ToString::to_string));
        built(&named.iter().map(String::as_str).collect::<Vec<_>>())
    }

    #[test]
    fn arguments_follow_the_order_of_the_file_not_of_the_numbers() {
        let names: Vec<_> =
            in_order(&message("Every")).iter().map(|f| f.name().to_owned()).collect();
        assert_eq!(names[..3], ["name", "colour", "data"]);
        let request = built(&["Ada", "2", "AQI=", "true", r#"{"n":3}"#, "1500ms"]).unwrap();
        assert_eq!(request["name"], "Ada");
        assert_eq!(request["colour"], "GREEN");
        assert_eq!(request["data"], "AQI=");
        assert_eq!(request["maybe"], true);
        assert_eq!(request["inner"]["n"], 3);
        assert_eq!(request["wait"], "1.500s");
    }

    #[test]
    fn what_has_a_presence_may_be_left_out_and_nothing_else() {
        assert!(with_plain(&[]).is_ok());
        assert_eq!(built(&[]).unwrap_err(), "missing: name, colour, data, inner, wait");
    }

    #[test]
    fn a_repeated_field_takes_what_is_left_or_is_named_again_or_is_json() {
        let numbers = serde_json::json!(["1", "2", "3"]);
        let again = with_plain(&["numbers=1", "numbers=2", "numbers=3"]).unwrap();
        assert_eq!(again["numbers"], numbers);
        assert_eq!(with_plain(&["numbers=[1,2,3]"]).unwrap()["numbers"], numbers);
        let many = from_arguments(&message("Many"), &["a".into(), "b".into()]).unwrap();
        assert_eq!(output::text(&many).unwrap(), r#"["a","b"]"#);
        let none = from_arguments(&message("Many"), &[]).unwrap();
        assert_eq!(output::text(&none).unwrap(), "[]");
    }

    #[test]
    fn maps_are_json_and_durations_in_them_are_as_anywhere() {
        let request = with_plain(&[r#"waits={"a":"2ms"}"#]).unwrap();
        assert_eq!(request["waits"]["a"], "0.002s");
        assert!(with_plain(&["waits=a"]).unwrap_err().starts_with("waits: not JSON"));
    }

    #[test]
    fn one_member_of_a_oneof_is_enough_and_two_are_too_many() {
        assert_eq!(with_plain(&["right=x"]).unwrap()["right"], "x");
        assert!(with_plain(&["right=x", "left=1"]).is_err());
    }

    #[test]
    fn ill_typed_values_name_field_and_type() {
        for (argument, says) in [
            ("maybe=1", "maybe: \"1\" is neither true nor false"),
            ("numbers=x", "numbers: \"x\" is not an int64"),
            ("colour=BLUE", "colour: \"BLUE\" is none of COLOUR_UNKNOWN, RED, GREEN"),
            ("data=?", "data: \"?\" is not base64"),
            ("wait=5", "wait: a unit is missing"),
            ("inner={\"x\":1}", "inner: "),
        ] {
            let error = built(&[argument]).unwrap_err();
            assert!(error.starts_with(says), "{argument}: {error}");
        }
    }

    #[test]
    fn a_mistyped_name_is_no_value_and_base64s_padding_no_name() {
        let error = built(&["nmae=Ada"]).unwrap_err();
        assert!(error.contains("no field \"nmae\"") && error.contains("name=nmae=Ada"), "{error}");
        let request = built(&["a b=c", "RED", "YQ==", "inner={}", "wait=0s"]).unwrap();
        assert_eq!((&request["name"], &request["data"]), (&"a b=c".into(), &"YQ==".into()));
    }

    #[test]
    fn durations_in_json_are_as_people_write_them_at_any_depth() {
        let text = r#"{"wait":"250ms","inner":{"pause":"1m"},"waits":{"x":"3s"}}"#;
        let request = from_json(&message("Every"), text).unwrap();
        let json = serde_json::to_value(&request).unwrap();
        assert_eq!(json["wait"], "0.250s");
        assert_eq!(json["inner"]["pause"], "60s");
        assert_eq!(json["waits"]["x"], "3s");
        assert!(from_json(&message("Every"), r#"{"nosuch":1}"#).unwrap_err().contains("nosuch"));
    }

    #[test]
    fn fields_are_listed_with_their_types() {
        let listed = fields(&message("Every"));
        for part in [
            "name string",
            "colour test.Colour",
            "maybe optional bool",
            "wait duration",
            "waits map<string, duration>",
            "numbers repeated int64",
        ] {
            assert!(listed.contains(part), "{part} in {listed}");
        }
        assert_eq!(fields(&message("None")), "no fields");
    }
}
