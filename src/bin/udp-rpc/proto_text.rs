//! A description as text: what a .proto file would say, in 80 columns, and how to call it.

use std::fmt::Write;

use crate::comments::wrap;
use crate::model::{Description, Enum, Field, Message, Method};
use crate::schema;

/// Columns of a terminal that nobody has made wider.
const WIDTH: usize = 80;

/// The whole description.
pub(crate) fn describe(description: &Description) -> String {
    let mut page = Page::default();
    page.methods(description);
    for message in &description.messages {
        page.message(message);
    }
    for item in &description.enums {
        page.enumeration(item);
    }
    if let ("method", [method]) = (description.kind, description.methods.as_slice()) {
        page.example(method, description);
    }
    page.text
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    /// The service, or what is described of it.
    fn methods(&mut self, description: &Description) {
        let Some(first) = description.methods.first() else {
            if description.kind == "service" {
                self.open(&description.comment, "service", &description.name, false);
                self.text.push_str("}\n");
            }
            return;
        };
        let service = first.summary.name.rsplit_once('/').map_or("", |(service, _)| service);
        self.open(&description.comment, "service", service, description.deprecated);
        for (index, method) in description.methods.iter().enumerate() {
            if index > 0 && !method.comment.is_empty() {
                self.text.push('\n');
            }
            self.comment(2, &method.comment);
            self.method(method);
        }
        self.text.push_str("}\n");
    }

    fn method(&mut self, method: &Method) {
        let summary = &method.summary;
        let short = summary.name.rsplit_once('/').map_or(summary.name.as_str(), |(_, name)| name);
        let remarks = schema::remarks(summary);
        let Some((request, reply)) = &method.types else {
            return self.line(2, &format!("rpc {short};"), &remarks);
        };
        let stream = |yes| if yes { "stream " } else { "" };
        let takes = format!("({}{request})", stream(summary.client_streaming));
        let gives = format!("returns ({}{reply});", stream(summary.server_streaming));
        let whole = format!("rpc {short}{takes} {gives}");
        if whole.len() + 2 <= WIDTH {
            return self.line(2, &whole, &remarks);
        }
        let _ = writeln!(self.text, "  rpc {short}{takes}");
        self.line(6, &gives, &remarks);
    }

    fn message(&mut self, message: &Message) {
        self.open(&message.comment, "message", &message.name, message.deprecated);
        let mut within: Option<&str> = None;
        for (index, field) in message.fields.iter().enumerate() {
            if within.is_some() && within != field.oneof.as_deref() {
                self.text.push_str("  }\n");
                within = None;
            }
            if index > 0 && !field.comment.is_empty() {
                self.text.push('\n');
            }
            if let (Some(oneof), None) = (field.oneof.as_deref(), within) {
                let comment = message.oneofs.iter().find(|(name, _)| name == oneof);
                self.comment(2, comment.map_or("", |(_, comment)| comment));
                let _ = writeln!(self.text, "  oneof {oneof} {{");
                within = Some(oneof);
            }
            self.field(if within.is_some() { 4 } else { 2 }, field);
        }
        if within.is_some() {
            self.text.push_str("  }\n");
        }
        self.text.push_str("}\n");
    }

    fn field(&mut self, indent: usize, field: &Field) {
        self.comment(indent, &field.comment);
        let kind = kind(field);
        let mut remarks = Vec::new();
        if field.deprecated {
            remarks.push("deprecated".to_owned());
        }
        if let Some(default) = &field.default {
            remarks.push(format!("{default:?} unless given"));
        }
        let (name, number) = (&field.name, field.number);
        let whole = format!("{kind} {name} = {number};");
        if indent + whole.len() <= WIDTH {
            return self.line(indent, &whole, &remarks.join(", "));
        }
        let _ = writeln!(self.text, "{:indent$}{kind}", "");
        self.line(indent + 4, &format!("{name} = {number};"), &remarks.join(", "));
    }

    fn enumeration(&mut self, item: &Enum) {
        self.open(&item.comment, "enum", &item.name, item.deprecated);
        for (index, value) in item.values.iter().enumerate() {
            if index > 0 && !value.comment.is_empty() {
                self.text.push('\n');
            }
            self.comment(2, &value.comment);
            let remark = if value.deprecated { "deprecated" } else { "" };
            self.line(2, &format!("{} = {};", value.name, value.number), remark);
        }
        self.text.push_str("}\n");
    }

    /// The command that calls it, with the types in the places of the arguments.
    fn example(&mut self, method: &Method, description: &Description) {
        let Some((request, _)) = &method.types else { return };
        let (name, summary) = (&method.summary.name, &method.summary);
        if summary.client_streaming || summary.server_streaming || !summary.served {
            return;
        }
        let fields = description.messages.iter().find(|message| message.name == *request);
        let fields = fields.map(|message| message.fields.as_slice()).unwrap_or_default();
        let mut example = format!("udp-rpc call {name}");
        let mut oneofs = Vec::new();
        for field in fields {
            // One of each oneof is enough.
            if field.oneof.is_some() && oneofs.contains(&&field.oneof) {
                continue;
            }
            oneofs.push(&field.oneof);
            let kind = field.kind.rsplit('.').next().unwrap_or_default().to_uppercase();
            let kind = if field.label == "map" { "JSON".to_owned() } else { kind };
            let _ = write!(example, " {}={kind}", field.name);
        }
        if example.len() > WIDTH {
            example = format!(
                "udp-rpc describe --template {name} > request.json\n\
                 udp-rpc call {name} -d @request.json"
            );
        }
        let _ = writeln!(self.text, "\n{example}");
    }

    /// The first line of a block, what is said of it before that, and a blank line before both.
    fn open(&mut self, comment: &str, word: &str, name: &str, deprecated: bool) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.comment(0, comment);
        let remark = if deprecated { "deprecated" } else { "" };
        self.line(0, &format!("{word} {name} {{"), remark);
    }

    fn comment(&mut self, indent: usize, comment: &str) {
        for line in wrap(comment, WIDTH - indent - 3) {
            let line = format!("{:indent$}// {line}", "");
            let _ = writeln!(self.text, "{}", line.trim_end());
        }
    }

    /// A line with a remark after it, on the next line where it does not fit.
    fn line(&mut self, indent: usize, code: &str, remark: &str) {
        let fits = indent + code.len() + 5 + remark.chars().count() <= WIDTH;
        if remark.is_empty() {
            let _ = writeln!(self.text, "{:indent$}{code}", "");
        } else if fits {
            let _ = writeln!(self.text, "{:indent$}{code}  // {remark}", "");
        } else {
            let _ = writeln!(self.text, "{:indent$}{code}", "");
            self.comment(indent + 4, remark);
        }
    }
}

/// A field's type with its label.
fn kind(field: &Field) -> String {
    match (&field.key, field.label) {
        (Some(key), _) => format!("map<{key}, {}>", field.kind),
        (None, "") => field.kind.clone(),
        (None, label) => format!("{label} {}", field.kind),
    }
}
