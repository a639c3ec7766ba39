//! `describe`: what a procedure takes, answers and promises, or what a service, message or enum is,
//! as its .proto file would say it; with `--template`, a request to fill in.

use serde_json::{Map, Value, json};
use udp_rpc::service::generated::v1::{DescribeRequest, MethodSummary};

use crate::args::{DescribeArgs, Format, Global};
use crate::call;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::guard;
use crate::list;
use crate::local::Local;
use crate::model::{Description, Enum, Field, Message, Method};
use crate::output::{self, Reader};
use crate::proto_text;
use crate::remote::Remote;
use crate::schema;
use crate::template;

/// Describes each of what is named.
///
/// # Errors
///
/// Nothing of that name, or how the call ended that did not describe it.
pub(crate) fn run(global: &Global, args: &DescribeArgs) -> Result<Exit, Failure> {
    let mut source = match Local::open(&args.protos)? {
        Some(local) => Source::Local(local),
        None => Source::Remote(Box::new(Remote::open(global)?)),
    };
    for (index, name) in args.names.iter().enumerate() {
        let text = if args.template {
            source.template(name, global.output)?
        } else {
            let description = source.describe(name)?;
            match global.output {
                Format::Json => format!("{}\n", as_json(&description)),
                Format::Text | Format::Raw => {
                    let between = if index == 0 { "" } else { "\n" };
                    format!("{between}{}", proto_text::describe(&description))
                }
            }
        };
        if output::print(text.as_bytes())? == Reader::Gone {
            break;
        }
    }
    Ok(Exit::Ok)
}

/// Who knows what a name stands for.
enum Source {
    /// `.proto` files.
    Local(Local),
    /// A server's reflection.
    Remote(Box<Remote>),
}

impl Source {
    fn describe(&mut self, name: &str) -> Result<Description, Failure> {
        let (summary, symbol, pool) = match self {
            Source::Local(local) => {
                let found = local.find(name)?;
                (found.summary, found.symbol, Some(local.pool().clone()))
            }
            Source::Remote(remote) => {
                let (name, comments) = (name.to_owned(), true);
                let request = DescribeRequest { name, comments, symbols: true, offset: 0 };
                let described = remote.fetch(request)?;
                (described.summary, described.symbol, described.pool)
            }
        };
        if let Some(summary) = summary {
            let method = schema::Method::new(summary.clone(), pool.as_ref())
                .map_err(|error| Failure::unsound(name, &error))?;
            let method = method.types.map(|types| types.method);
            return guard::quietly(|| {
                Description::of_method(summary, method.as_ref(), pool.as_ref())
            })
            .ok_or_else(|| Failure::unsound(name, "it makes no sense"));
        }
        let pool = pool.ok_or_else(|| Failure::unsound(name, "it is empty"))?;
        let summaries = match self {
            Source::Remote(remote) if pool.get_service_by_name(&symbol).is_some() => {
                list::methods_of(remote, &symbol)?
            }
            _ => Vec::new(),
        };
        let described = guard::quietly(|| Description::of_symbol(&symbol, &summaries, &pool));
        described.flatten().ok_or_else(|| Failure::unsound(name, "what it describes is missing"))
    }

    /// A request to fill in; what is to be known about it goes to stderr.
    fn template(&mut self, name: &str, format: Format) -> Result<String, Failure> {
        let method = match self {
            Source::Local(local) => local.method(name)?,
            Source::Remote(remote) => remote.describe(name)?,
        };
        let types = call::typed(&method)?;
        let template = guard::quietly(|| template::of(&types.request));
        let template = template.ok_or_else(|| Failure::unsound(name, "it makes no sense"))?;
        for note in &template.notes {
            match format {
                Format::Json => output::note(&json!({ "note": note }).to_string()),
                Format::Text | Format::Raw => output::note(&format!("note: {note}")),
            }
        }
        Ok(match format {
            Format::Json => format!("{}\n", template.request.line()),
            Format::Text | Format::Raw => format!("{}\n", template.request.lines()),
        })
    }
}

/// The object of `-o json`, as `udp-rpc describe --help` documents it.
fn as_json(description: &Description) -> Value {
    let messages: Map<String, Value> =
        description.messages.iter().map(|m| (m.name.clone(), message(m))).collect();
    let enums: Map<String, Value> =
        description.enums.iter().map(|e| (e.name.clone(), enumeration(e))).collect();
    let (comment, deprecated) = of_itself(description);
    json!({
        "kind": description.kind,
        "name": description.name,
        "comment": comment,
        "deprecated": deprecated,
        "methods": description.methods.iter().map(method).collect::<Vec<_>>(),
        "messages": messages,
        "enums": enums,
    })
}

/// What is said of the thing that is described, and whether it is deprecated.
fn of_itself(description: &Description) -> (&str, bool) {
    let first = match description.kind {
        "service" => Some((&description.comment, description.deprecated)),
        "method" => description.methods.first().map(|m| (&m.comment, m.summary.deprecated)),
        "message" => description.messages.first().map(|m| (&m.comment, m.deprecated)),
        _ => description.enums.first().map(|e| (&e.comment, e.deprecated)),
    };
    first.map_or(("", false), |(comment, deprecated)| (comment, deprecated))
}

fn method(method: &Method) -> Value {
    let summary: &MethodSummary = &method.summary;
    let mut object = schema::json(summary);
    if let Some(object) = object.as_object_mut() {
        object.insert("comment".into(), method.comment.as_str().into());
        let types = method.types.as_ref();
        object.insert("request".into(), types.map(|(request, _)| request.as_str()).into());
        object.insert("reply".into(), types.map(|(_, reply)| reply.as_str()).into());
    }
    object
}

fn message(message: &Message) -> Value {
    let oneofs: Vec<Value> = message
        .oneofs
        .iter()
        .map(|(name, comment)| json!({ "name": name, "comment": comment }))
        .collect();
    json!({
        "comment": message.comment,
        "deprecated": message.deprecated,
        "fields": message.fields.iter().map(field).collect::<Vec<_>>(),
        "oneofs": oneofs,
    })
}

fn field(field: &Field) -> Value {
    json!({
        "name": field.name,
        "jsonName": field.json_name,
        "number": field.number,
        "comment": field.comment,
        "label": field.label,
        "keyType": field.key,
        "type": field.kind,
        "oneof": field.oneof,
        "default": field.default,
        "deprecated": field.deprecated,
    })
}

fn enumeration(item: &Enum) -> Value {
    let value = |value: &crate::model::Value| {
        json!({
            "name": value.name,
            "number": value.number,
            "comment": value.comment,
            "deprecated": value.deprecated,
        })
    };
    json!({
        "comment": item.comment,
        "deprecated": item.deprecated,
        "values": item.values.iter().map(value).collect::<Vec<_>>(),
    })
}
