//! The request from the command line: arguments in order or by name, or JSON.
//!
//! Everything wrong here is a usage error that names the fields and their types; nothing has been
//! sent of the call by then.

use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor};

use crate::batch::chunks::Chunk;
use crate::fill::Filling;
use crate::json::{self, Wrong};
use crate::path::{self, Step};
use crate::scalar;

/// A request's fields and their types, as usage errors show them: `a int64, b int64`.
pub(crate) fn fields(descriptor: &MessageDescriptor) -> String {
    let typed = |field: &FieldDescriptor| format!("{} {}", field.name(), scalar::type_name(field));
    let fields = scalar::listed(in_order(descriptor).iter().map(typed));
    if fields.is_empty() { "no fields".to_owned() } else { fields }
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

/// Builds the request out of arguments. Those without a name fill the fields in order; if no
/// argument has a name, no field without a presence of its own may be left out.
///
/// # Errors
///
/// The sentence for the user: too few, too many, ill-typed, unknown name, given twice.
pub(crate) fn from_arguments(
    descriptor: &MessageDescriptor,
    arguments: &[String],
) -> Result<DynamicMessage, String> {
    let mut request = Filling::new(descriptor);
    let mut positional = Vec::new();
    for argument in arguments {
        match named(descriptor, argument)? {
            None => positional.push(argument.as_str()),
            Some((steps, text)) => request.set(&steps, text)?,
        }
    }
    let by_name = positional.len() < arguments.len();
    let order = in_order(descriptor);
    let open: Vec<_> = order.iter().filter(|field| !request.has(field)).collect();
    let mut left = positional.iter().copied().peekable();
    let mut missing = Vec::new();
    for field in open {
        let step = [Step::Word(field.name().to_owned())];
        match left.next() {
            Some(text) => request.set(&step, text)?,
            None if by_name || may_be_left_out(field) => {}
            None => missing.push(field.name().to_owned()),
        }
        if order.last() == Some(field) && field.is_list() {
            for text in left.by_ref() {
                request.set(&step, text)?;
            }
        }
    }
    if let Some(text) = left.next() {
        return Err(format!("{} is one argument too many", scalar::quoted(text)));
    }
    if !missing.is_empty() {
        return Err(format!("missing: {}", missing.join(", ")));
    }
    Ok(request.finish())
}

/// Whether a field may be left out where nothing is named: what is optional or repeats.
fn may_be_left_out(field: &FieldDescriptor) -> bool {
    field.is_list() || field.is_map() || field.containing_oneof().is_some()
}

/// Takes `path=value` apart. An argument that merely contains an equals sign, or ends in base64's
/// padding, is no named one; a name that the request does not have is an error, lest a typing
/// error become a value.
fn named<'a>(
    descriptor: &MessageDescriptor,
    argument: &'a str,
) -> Result<Option<(Vec<Step>, &'a str)>, String> {
    let hint = || match in_order(descriptor).first() {
        Some(first) => {
            let short: String = argument.chars().take(40).collect();
            let cut = if short.len() < argument.len() { "…" } else { "" };
            format!("; as a value it is written {}={short}{cut}", first.name())
        }
        None => String::new(),
    };
    let Some((steps, value)) = path::split(argument).map_err(|why| why + &hint())? else {
        return Ok(None);
    };
    let Some(Step::Word(name)) = steps.first() else { return Ok(None) };
    let known = descriptor.get_field_by_name(name).is_some()
        || descriptor.get_field_by_json_name(name).is_some();
    match known {
        true => Ok(Some((steps, value))),
        false if steps.len() == 1 && matches!(value, "" | "=") => Ok(None),
        false => Err(json::no_such_field(descriptor, name) + &hint()),
    }
}

/// Builds the request out of JSON in protobuf's mapping.
///
/// # Errors
///
/// Where and why the JSON is not such a request.
pub(crate) fn from_json(
    descriptor: &MessageDescriptor,
    text: &str,
) -> Result<DynamicMessage, Wrong> {
    json::message(descriptor, text)
}

/// Builds the request out of what `-d` named.
///
/// # Errors
///
/// As [`from_json`], with lines counted from the beginning of the input; or why there is no text.
pub(crate) fn from_chunk(
    descriptor: &MessageDescriptor,
    chunk: &Chunk,
) -> Result<DynamicMessage, String> {
    let text = chunk.text.as_ref().map_err(|why| format!("the data is {why}"))?;
    from_json(descriptor, text.trim_end()).map_err(|wrong| wrong.from(chunk.line, 0).to_string())
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
    fn what_is_named_may_leave_the_rest_out() {
        assert_eq!(built(&["colour=RED"]).unwrap(), serde_json::json!({"colour": "RED"}));
        let mixed = built(&["colour=RED", "Ada"]).unwrap();
        assert_eq!(mixed, serde_json::json!({"name": "Ada", "colour": "RED"}));
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
    fn where_nothing_is_named_only_what_is_optional_may_be_left_out() {
        assert!(with_plain(&[]).is_ok());
        assert_eq!(built(&[]).unwrap_err(), "missing: name, colour, data, inner, wait");
        assert_eq!(built(&["Ada"]).unwrap_err(), "missing: colour, data, inner, wait");
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
        assert!(with_plain(&["waits=a"]).unwrap_err().starts_with("waits: \"a\" is not a map"));
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
            ("wait=5", "wait: \"5\" is not a duration: a unit is missing"),
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
        assert!(
            from_json(&message("Every"), r#"{"nosuch":1}"#).unwrap_err().message.contains("nosuch")
        );
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
