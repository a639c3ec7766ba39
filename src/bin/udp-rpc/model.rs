//! What `describe` tells: one method, service, message or enum, and every type that it needs, taken
//! out of descriptors once and printed as text or as JSON.
//!
//! The descriptors may be a peer's, with types that need each other in rings or in long chains, so
//! nothing here recurses from type to type.

use std::collections::{BTreeSet, VecDeque};

use prost_reflect::{
    DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor,
    OneofDescriptor, ServiceDescriptor,
};
use prost_types::field_descriptor_proto::Label;
use udp_rpc::service::generated::v1::MethodSummary;

use crate::comments::Comments;
use crate::input;
use crate::scalar;
use crate::template;

/// A description.
#[derive(Debug, Default)]
pub(crate) struct Description {
    /// What is described: "method", "service", "message" or "enum".
    pub(crate) kind: &'static str,
    /// Its full name.
    pub(crate) name: String,
    /// What the file says of the service.
    pub(crate) comment: String,
    /// The schema advises against the service.
    pub(crate) deprecated: bool,
    /// The method, or those of the service, in the order of the file.
    pub(crate) methods: Vec<Method>,
    /// The messages, each before those that it needs first.
    pub(crate) messages: Vec<Message>,
    /// The enums.
    pub(crate) enums: Vec<Enum>,
}

/// A method.
#[derive(Debug)]
pub(crate) struct Method {
    pub(crate) summary: MethodSummary,
    pub(crate) comment: String,
    /// The full names of request and reply; `None` for a method of raw bytes.
    pub(crate) types: Option<(String, String)>,
}

/// A message.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) name: String,
    pub(crate) comment: String,
    pub(crate) deprecated: bool,
    /// In the order of the file.
    pub(crate) fields: Vec<Field>,
    /// Name and comment, without those that stand for `optional`.
    pub(crate) oneofs: Vec<(String, String)>,
}

/// A field.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) json_name: String,
    pub(crate) number: u32,
    pub(crate) comment: String,
    /// "optional", "repeated", "required", "map", or nothing.
    pub(crate) label: &'static str,
    /// Of the key, in a map.
    pub(crate) key: Option<String>,
    /// A scalar's name, or a message's or enum's full one; of the value, in a map.
    pub(crate) kind: String,
    pub(crate) oneof: Option<String>,
    pub(crate) deprecated: bool,
    /// The default that proto2 lets a file choose.
    pub(crate) default: Option<String>,
}

/// An enum.
#[derive(Debug)]
pub(crate) struct Enum {
    pub(crate) name: String,
    pub(crate) comment: String,
    pub(crate) deprecated: bool,
    pub(crate) values: Vec<Value>,
}

/// A value of an enum.
#[derive(Debug)]
pub(crate) struct Value {
    pub(crate) name: String,
    pub(crate) number: i32,
    pub(crate) comment: String,
    pub(crate) deprecated: bool,
}

impl Description {
    /// A method, with its types if it has any.
    pub(crate) fn of_method(
        summary: MethodSummary,
        method: Option<&MethodDescriptor>,
        pool: Option<&DescriptorPool>,
    ) -> Description {
        let mut types = Types::new(pool);
        let (name, told) = (summary.name.clone(), types.method(summary, method));
        let service = method.map(|method| types.service(method.parent_service()));
        let (comment, deprecated) = service.unwrap_or_default();
        let methods = vec![told];
        Description { kind: "method", name, comment, deprecated, methods, ..types.gather() }
    }

    /// The service, message or enum of this full name; `None` if the pool has none. Of the methods
    /// of a service, `summaries` says what a server says; those that it does not name are taken as
    /// the schema has them.
    pub(crate) fn of_symbol(
        name: &str,
        summaries: &[MethodSummary],
        pool: &DescriptorPool,
    ) -> Option<Description> {
        let mut types = Types::new(Some(pool));
        let name = name.to_owned();
        if let Some(service) = pool.get_service_by_name(&name) {
            let summary = |method: &MethodDescriptor| {
                let of_schema = crate::schema::summary(method);
                let said = summaries.iter().find(|summary| summary.name == of_schema.name);
                said.cloned().unwrap_or(of_schema)
            };
            let methods = service.methods();
            let methods = methods.map(|method| types.method(summary(&method), Some(&method)));
            let methods = methods.collect();
            let (comment, deprecated) = types.service(&service);
            let kind = "service";
            return Some(Description {
                kind,
                name,
                comment,
                deprecated,
                methods,
                ..types.gather()
            });
        }
        let kind = if let Some(message) = pool.get_message_by_name(&name) {
            types.open.push_back(Kind::Message(message));
            "message"
        } else {
            types.open.push_back(Kind::Enum(pool.get_enum_by_name(&name)?));
            "enum"
        };
        types.named = true;
        Some(Description { kind, name, ..types.gather() })
    }
}

/// The types that a description needs, as they are found.
struct Types {
    comments: Option<Comments>,
    /// The next type was asked for by its name.
    named: bool,
    /// Those that are still to be told.
    open: VecDeque<Kind>,
}

impl Types {
    fn new(pool: Option<&DescriptorPool>) -> Types {
        Types { comments: pool.map(Comments::of), named: false, open: VecDeque::new() }
    }

    fn comment(&self, file: &prost_reflect::FileDescriptor, path: &[i32]) -> String {
        self.comments.as_ref().map_or("", |comments| comments.on(file, path)).to_owned()
    }

    /// What is said of a service, and whether it is deprecated.
    fn service(&self, service: &ServiceDescriptor) -> (String, bool) {
        let comment = self.comment(&service.parent_file(), service.path());
        let options = service.service_descriptor_proto().options.as_ref();
        (comment, options.is_some_and(|options| options.deprecated()))
    }

    fn method(&mut self, summary: MethodSummary, method: Option<&MethodDescriptor>) -> Method {
        let types = method.map(|method| {
            let types = [method.input(), method.output()];
            let names = types.each_ref().map(|message| message.full_name().to_owned());
            self.open.extend(types.map(Kind::Message));
            names.into()
        });
        let comment = method
            .map(|method| self.comment(&method.parent_file(), method.path()))
            .unwrap_or_default();
        Method { summary, comment, types }
    }

    /// Tells every type that is open, and those that these need, each once.
    fn gather(mut self) -> Description {
        let mut told = Description::default();
        let mut names = BTreeSet::new();
        while let Some(kind) = self.open.pop_front() {
            match kind {
                Kind::Message(message) if self.skips(&message) => {}
                Kind::Message(message) if names.insert(message.full_name().to_owned()) => {
                    told.messages.push(self.message(&message));
                }
                Kind::Enum(values) if names.insert(values.full_name().to_owned()) => {
                    told.enums.push(self.enumeration(&values));
                }
                _ => {}
            }
        }
        told
    }

    /// What everybody knows needs no telling, unless it is what was asked for.
    fn skips(&mut self, message: &MessageDescriptor) -> bool {
        let asked_for = std::mem::take(&mut self.named);
        template::is_well_known(message.full_name()) && !asked_for
    }

    fn message(&mut self, message: &MessageDescriptor) -> Message {
        let mut oneofs = Vec::new();
        for oneof in message.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            let comment = self.comment(&oneof.parent_file(), oneof.path());
            oneofs.push((oneof.name().to_owned(), comment));
        }
        let fields = input::in_order(message);
        let options = message.descriptor_proto().options.as_ref();
        Message {
            name: message.full_name().to_owned(),
            comment: self.comment(&message.parent_file(), message.path()),
            deprecated: options.is_some_and(|options| options.deprecated()),
            fields: fields.iter().map(|field| self.field(field)).collect(),
            oneofs,
        }
    }

    fn field(&mut self, field: &FieldDescriptor) -> Field {
        let proto = field.field_descriptor_proto();
        let (mut kind, mut key) = (field.kind(), None);
        if field.is_map()
            && let Kind::Message(entry) = &kind
        {
            key = Some(scalar::full_name(&entry.map_entry_key_field().kind()));
            kind = entry.map_entry_value_field().kind();
        }
        let oneof = field.containing_oneof();
        let optional = oneof.as_ref().is_some_and(OneofDescriptor::is_synthetic);
        let proto2 = field.parent_file().syntax() == prost_reflect::Syntax::Proto2;
        let told = Field {
            name: field.name().to_owned(),
            json_name: field.json_name().to_owned(),
            number: field.number(),
            comment: self.comment(&field.parent_file(), field.path()),
            label: match proto.label() {
                _ if key.is_some() => "map",
                Label::Repeated => "repeated",
                Label::Required => "required",
                Label::Optional if optional || (proto2 && oneof.is_none()) => "optional",
                Label::Optional => "",
            },
            key,
            kind: scalar::full_name(&kind),
            oneof: oneof.filter(|oneof| !oneof.is_synthetic()).map(|oneof| oneof.name().to_owned()),
            deprecated: proto.options.as_ref().is_some_and(|options| options.deprecated()),
            default: proto.default_value.as_deref().map(crate::failure::printable),
        };
        if matches!(kind, Kind::Message(_) | Kind::Enum(_)) {
            self.open.push_back(kind);
        }
        told
    }

    fn enumeration(&self, values: &EnumDescriptor) -> Enum {
        let file = values.parent_file();
        let told = values.values().map(|value| Value {
            name: value.name().to_owned(),
            number: value.number(),
            comment: self.comment(&file, value.path()),
            deprecated: value
                .enum_value_descriptor_proto()
                .options
                .clone()
                .unwrap_or_default()
                .deprecated(),
        });
        Enum {
            name: values.full_name().to_owned(),
            comment: self.comment(&file, values.path()),
            deprecated: values
                .enum_descriptor_proto()
                .options
                .clone()
                .unwrap_or_default()
                .deprecated(),
            values: told.collect(),
        }
    }
}
