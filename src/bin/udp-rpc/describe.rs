//! `describe`: what a procedure takes, answers and promises, as its .proto file would say it.

use std::collections::BTreeSet;
use std::fmt::Write;

use prost_reflect::{EnumDescriptor, Kind, MessageDescriptor};
use serde_json::json;

use crate::args::{DescribeArgs, Format, Global};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::input;
use crate::output::{self, Reader};
use crate::remote::Remote;
use crate::scalar;
use crate::schema::{self, Method};

/// Describes each method.
///
/// # Errors
///
/// No such method, or how the call ended that did not describe it.
pub(crate) fn run(global: &Global, args: &DescribeArgs) -> Result<Exit, Failure> {
    let mut remote = Remote::open(global)?;
    for (index, name) in args.methods.iter().enumerate() {
        let method = remote.describe(name)?;
        let text = match global.output {
            Format::Json => format!("{}\n", as_json(&method)),
            Format::Text | Format::Raw if index == 0 => as_text(&method),
            Format::Text | Format::Raw => format!("\n{}", as_text(&method)),
        };
        if output::print(text.as_bytes())? == Reader::Gone {
            break;
        }
    }
    Ok(Exit::Ok)
}

fn as_text(method: &Method) -> String {
    let mut text = String::new();
    let (service, short) = method.name.split_once('/').unwrap_or(("", &method.name));
    let (client, server) = method.streaming;
    let stream = |yes| if yes { "stream " } else { "" };
    match &method.types {
        None => text.push_str(&format!("{}\n  takes and answers raw bytes\n", method.name)),
        Some(types) => {
            let (request, reply) = (types.request.full_name(), types.reply.full_name());
            let _ = writeln!(text, "{service}");
            let _ = writeln!(
                text,
                "  rpc {short}({}{request}) returns ({}{reply})",
                stream(client),
                stream(server)
            );
        }
    }
    let _ = writeln!(text, "  {}", schema::promise(method.idempotency));
    if !method.served {
        text.push_str("  declared, and not served here\n");
    }
    if let Some(types) = &method.types {
        let mut told = Told::default();
        told.message(&types.request);
        told.message(&types.reply);
        text.push_str(&told.text);
        if schema::shape(method.streaming).is_none() {
            let _ = writeln!(text, "\n{}", example(&method.name, &types.request));
        }
    }
    text
}

/// The types that have been told, each once.
#[derive(Default)]
struct Told {
    names: BTreeSet<String>,
    text: String,
}

impl Told {
    fn message(&mut self, message: &MessageDescriptor) {
        if message.is_map_entry() || !self.names.insert(message.full_name().to_owned()) {
            return;
        }
        let _ = writeln!(self.text, "\nmessage {} {{", message.full_name());
        let fields = input::in_order(message);
        for field in &fields {
            let oneof = match field.containing_oneof() {
                Some(oneof) if !oneof.is_synthetic() => format!("  // one of {}", oneof.name()),
                _ => String::new(),
            };
            let _ = writeln!(
                self.text,
                "  {} {} = {};{oneof}",
                scalar::type_name(field),
                field.name(),
                field.number()
            );
        }
        self.text.push_str("}\n");
        for field in fields {
            match field.kind() {
                Kind::Message(entry) if entry.is_map_entry() => {
                    self.kind(&entry.map_entry_value_field().kind());
                }
                kind => self.kind(&kind),
            }
        }
    }

    fn kind(&mut self, kind: &Kind) {
        match kind {
            // What everybody knows needs no telling, and has a form of its own on the command line.
            Kind::Message(message) if message.package_name() == "google.protobuf" => {}
            Kind::Message(message) => self.message(message),
            Kind::Enum(values) => self.values(values),
            _ => {}
        }
    }

    fn values(&mut self, values: &EnumDescriptor) {
        if !self.names.insert(values.full_name().to_owned()) {
            return;
        }
        let _ = writeln!(self.text, "\nenum {} {{", values.full_name());
        for value in values.values() {
            let _ = writeln!(self.text, "  {} = {};", value.name(), value.number());
        }
        self.text.push_str("}\n");
    }
}

/// The command that calls it, with the types in the places of the arguments.
fn example(name: &str, request: &MessageDescriptor) -> String {
    let fields = input::in_order(request);
    let arguments: Vec<String> = fields
        .iter()
        .map(|field| {
            format!(
                " {}={}",
                field.name(),
                scalar::type_name(field).to_uppercase().replace(' ', "-")
            )
        })
        .collect();
    format!("udp-rpc call {name}{}", arguments.concat())
}

fn as_json(method: &Method) -> serde_json::Value {
    let fields = |message: &MessageDescriptor| -> serde_json::Value {
        let fields: Vec<_> = input::in_order(message)
            .iter()
            .map(|field| {
                json!({
                    "name": field.name(),
                    "jsonName": field.json_name(),
                    "type": scalar::type_name(field),
                    "number": field.number(),
                })
            })
            .collect();
        json!({ "name": message.full_name(), "fields": fields })
    };
    json!({
        "name": method.name,
        "idempotency": method.idempotency.as_str_name(),
        "clientStreaming": method.streaming.0,
        "serverStreaming": method.streaming.1,
        "served": method.served,
        "request": method.types.as_ref().map(|types| fields(&types.request)),
        "reply": method.types.as_ref().map(|types| fields(&types.reply)),
    })
}
