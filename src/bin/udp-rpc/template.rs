//! A request to fill in: every field with a value that says its type, in the JSON that `call -d`
//! takes as it is.
//!
//! The descriptors may be a peer's: types that need themselves are cut where they begin again, and
//! depth and size are bounded.

use std::collections::BTreeSet;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::Value;

use crate::input;

/// The most levels of messages: a JSON reader takes 128, and a list and a message are two of them.
const DEEPEST: usize = 40;

/// The most fields: nobody fills in more. What is past them is left out, and said.
const MOST_FIELDS: usize = 2_000;

/// The most members of a oneof that are named beside the one that is shown.
const NAMED_MAX: usize = 20;

/// A template, and what is to be known about it.
#[derive(Debug)]
pub(crate) struct Template {
    /// The request.
    pub(crate) request: Json,
    /// Of which fields there can be one only, and where something is left out.
    pub(crate) notes: Vec<String>,
}

/// JSON whose fields stay in the order of the file.
#[derive(Debug)]
pub(crate) enum Json {
    /// An object.
    Object(Vec<(String, Json)>),
    /// A list.
    List(Vec<Json>),
    /// Anything else.
    Leaf(Value),
}

/// The template of a request.
pub(crate) fn of(request: &MessageDescriptor) -> Template {
    let mut maker = Maker {
        way: Vec::new(),
        place: Vec::new(),
        left: MOST_FIELDS,
        cut: false,
        notes: Vec::new(),
    };
    let request = maker.message(request);
    if maker.cut {
        maker.notes.push(format!("cut at {MOST_FIELDS} fields"));
    }
    Template { request, notes: maker.notes }
}

struct Maker {
    /// The messages around the one that is being made.
    way: Vec<String>,
    /// The fields that lead to it.
    place: Vec<String>,
    /// Fields that may still be made.
    left: usize,
    /// There were more.
    cut: bool,
    notes: Vec<String>,
}

impl Maker {
    fn message(&mut self, message: &MessageDescriptor) -> Json {
        if let Some(known) = well_known(message.full_name()) {
            return known;
        }
        self.way.push(message.full_name().to_owned());
        let mut fields = Vec::new();
        let mut oneofs = BTreeSet::new();
        for field in input::in_order(message) {
            if let Some(oneof) = field.containing_oneof().filter(|oneof| !oneof.is_synthetic()) {
                if !oneofs.insert(oneof.name().to_owned()) {
                    continue;
                }
                let others = oneof.fields().filter(|other| other.number() != field.number());
                let others: Vec<String> =
                    others.take(NAMED_MAX).map(|other| other.json_name().to_owned()).collect();
                if !others.is_empty() {
                    let (place, others) = (self.place_of(&field), others.join(" or "));
                    self.notes.push(format!("{place}: in its place there may be {others}"));
                }
            }
            if self.left == 0 {
                self.cut = true;
                break;
            }
            self.left -= 1;
            self.place.push(field.json_name().to_owned());
            let value = self.field(&field);
            self.place.pop();
            fields.push((field.json_name().to_owned(), value));
        }
        self.way.pop();
        Json::Object(fields)
    }

    fn field(&mut self, field: &FieldDescriptor) -> Json {
        if field.is_map()
            && let Kind::Message(entry) = field.kind()
        {
            let key = match entry.map_entry_key_field().kind() {
                Kind::String => "key",
                Kind::Bool => "true",
                _ => "0",
            };
            let value = self.one(&entry.map_entry_value_field().kind());
            return Json::Object(value.map(|value| (key.to_owned(), value)).into_iter().collect());
        }
        let one = self.one(&field.kind());
        if field.is_list() {
            return Json::List(one.into_iter().collect());
        }
        one.unwrap_or(Json::Leaf(Value::Null))
    }

    /// One value; `None` where the template is cut.
    fn one(&mut self, kind: &Kind) -> Option<Json> {
        let value = match kind {
            Kind::Double | Kind::Float => Value::from(0.0),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 | Kind::Uint32 | Kind::Fixed32 => {
                Value::from(0)
            }
            // In protobuf's JSON, integers of 64 bits are strings.
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint64 | Kind::Fixed64 => {
                Value::from("0")
            }
            Kind::Bool => Value::from(false),
            Kind::String | Kind::Bytes => Value::from(""),
            Kind::Enum(values) => {
                if values.full_name() == "google.protobuf.NullValue" {
                    Value::Null
                } else {
                    Value::from(values.values().next()?.name())
                }
            }
            Kind::Message(message) => {
                let name = message.full_name();
                if name == ANY {
                    const FORM: &str = r#"{"@type": "type.googleapis.com/PACKAGE.TYPE", …}"#;
                    self.notes.push(format!("{}: any message, as {FORM}", self.place.join(".")));
                    return None;
                }
                if self.way.iter().any(|around| around == name) || self.way.len() >= DEEPEST {
                    let place = self.place.join(".");
                    self.notes.push(format!("{place}: left out, it is a {name} again"));
                    return None;
                }
                return Some(self.message(message));
            }
        };
        Some(Json::Leaf(value))
    }

    fn place_of(&self, field: &FieldDescriptor) -> String {
        let names = self.place.iter().map(String::as_str).chain([field.json_name()]);
        names.collect::<Vec<_>>().join(".")
    }
}

const ANY: &str = "google.protobuf.Any";

/// Whether everybody knows a type: its JSON has a form of its own.
pub(crate) fn is_well_known(name: &str) -> bool {
    name == ANY || well_known(name).is_some()
}

/// The JSON form of a type that has one of its own.
fn well_known(name: &str) -> Option<Json> {
    let leaf = |value| Some(Json::Leaf(value));
    match name.strip_prefix("google.protobuf.")? {
        "Duration" => leaf("0s".into()),
        "Timestamp" => leaf("1970-01-01T00:00:00Z".into()),
        "FieldMask" | "StringValue" | "BytesValue" => leaf("".into()),
        "Int64Value" | "UInt64Value" => leaf("0".into()),
        "Int32Value" | "UInt32Value" => leaf(0.into()),
        "DoubleValue" | "FloatValue" => leaf(Value::from(0.0)),
        "BoolValue" => leaf(false.into()),
        "Value" => leaf("".into()),
        "Struct" => Some(Json::Object(vec![("key".to_owned(), Json::Leaf("".into()))])),
        "ListValue" => Some(Json::List(vec![Json::Leaf("".into())])),
        "Empty" => Some(Json::Object(Vec::new())),
        _ => None,
    }
}

impl Json {
    /// On one line.
    pub(crate) fn line(&self) -> String {
        match self {
            Json::Leaf(value) => value.to_string(),
            Json::List(items) => {
                let items: Vec<String> = items.iter().map(Json::line).collect();
                format!("[{}]", items.join(","))
            }
            Json::Object(fields) => {
                let fields: Vec<String> = fields
                    .iter()
                    .map(|(name, value)| format!("{}:{}", quoted(name), value.line()))
                    .collect();
                format!("{{{}}}", fields.join(","))
            }
        }
    }

    /// Over several lines.
    pub(crate) fn lines(&self) -> String {
        let mut text = String::new();
        self.write(&mut text, 0);
        text
    }

    fn write(&self, text: &mut String, indent: usize) {
        let parts: Vec<(String, &Json)> = match self {
            Json::Object(fields) if !fields.is_empty() => {
                text.push('{');
                fields.iter().map(|(name, value)| (format!("{}: ", quoted(name)), value)).collect()
            }
            Json::List(items) if !items.is_empty() => {
                text.push('[');
                items.iter().map(|item| (String::new(), item)).collect()
            }
            other => return text.push_str(&other.line()),
        };
        let last = parts.len() - 1;
        for (index, (name, value)) in parts.into_iter().enumerate() {
            text.push_str(&format!("\n{:1$}{name}", "", indent + 2));
            value.write(text, indent + 2);
            if index < last {
                text.push(',');
            }
        }
        let close = if matches!(self, Json::Object(_)) { '}' } else { ']' };
        text.push_str(&format!("\n{:indent$}{close}", ""));
    }
}

fn quoted(name: &str) -> String {
    Value::from(name).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, message};

    fn accepted(request: &MessageDescriptor) -> Template {
        let template = of(request);
        for text in [template.request.line(), template.request.lines()] {
            let read = input::from_json(request, &text);
            assert!(read.is_ok(), "{text}: {read:?}");
        }
        template
    }

    #[test]
    fn every_field_is_there_in_the_order_of_the_file_and_it_is_accepted_as_it_is() {
        let template = accepted(&message("Every"));
        assert_eq!(
            template.request.line(),
            r#"{"name":"","colour":"COLOUR_UNKNOWN","data":"","maybe":false,"#.to_owned()
                + r#""inner":{"n":0,"pause":"0s"},"wait":"0s","left":0,"waits":{"key":"0s"},"#
                + r#""numbers":["0"]}"#
        );
        assert_eq!(template.notes, ["left: in its place there may be right"]);
        assert_eq!(of(&message("None")).request.lines(), "{}");
        assert_eq!(of(&message("Many")).request.lines(), "{\n  \"words\": [\n    \"\"\n  ]\n}");
    }

    #[test]
    fn well_known_types_have_their_json_form_and_types_in_themselves_are_cut() {
        let pool = testing::compiled(
            r#"
            syntax = "proto3";
            package test;
            import "google/protobuf/any.proto";
            import "google/protobuf/struct.proto";
            import "google/protobuf/field_mask.proto";
            import "google/protobuf/wrappers.proto";
            import "google/protobuf/timestamp.proto";
            import "google/protobuf/empty.proto";
            message Tree {
                Tree parent = 1;
                repeated Tree children = 2;
                map<string, Tree> named = 3;
                google.protobuf.Any any = 4;
                repeated google.protobuf.Any anys = 5;
                google.protobuf.Struct object = 6;
                google.protobuf.Value value = 7;
                google.protobuf.ListValue list = 8;
                google.protobuf.FieldMask mask = 9;
                google.protobuf.Timestamp at = 10;
                google.protobuf.Empty empty = 11;
                google.protobuf.Int64Value wide = 12;
                google.protobuf.BoolValue flag = 13;
                google.protobuf.BytesValue data = 14;
                google.protobuf.DoubleValue share = 15;
                repeated google.protobuf.NullValue nothing = 16;
                map<bool, int32> flags = 17;
                map<int64, bytes> blobs = 18;
            }
        "#,
        );
        let template = accepted(&pool.get_message_by_name("test.Tree").unwrap());
        let line = template.request.line();
        for part in [
            r#""parent":null,"children":[],"named":{},"any":null,"anys":[],"#,
            r#""object":{"key":""},"value":"","list":[""],"mask":"","at":"1970-01-01T00:00:00Z","#,
            r#""wide":"0","flag":false,"data":"","share":0.0,"nothing":[null],"#,
            r#""flags":{"true":0},"blobs":{"0":""}"#,
        ] {
            assert!(line.contains(part), "{part} in {line}");
        }
        assert!(template.notes.contains(&"parent: left out, it is a test.Tree again".to_owned()));
    }

    #[test]
    fn a_template_that_would_never_end_is_cut() {
        // Each message has two of the next: 2^100 fields.
        let chain: String = (0..100)
            .map(|i| format!("message M{i} {{ M{0} a = 1; M{0} b = 2; }}\n", i + 1))
            .collect();
        let source = format!("syntax = \"proto3\"; {chain} message M100 {{}}");
        let template = accepted(&testing::compiled(&source).get_message_by_name("M0").unwrap());
        assert!(template.notes.contains(&"cut at 2000 fields".to_owned()));
    }
}
