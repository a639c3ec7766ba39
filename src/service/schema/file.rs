//! A `.proto` file as descriptors tell it: of `google.protobuf.FileDescriptorProto` and what it is
//! made of, the fields that matter for calling methods.
//!
//! Options stay bytes, because what this library knows of them is not all that there is: features
//! of editions change what a field means. What only steers a code generator is left out, and so
//! are extensions and reserved names, which no message needs in order to be read or written.

use prost::Message as _;
use prost::encoding::{DecodeContext, decode_key, skip_field};
use prost_types::{MethodOptions, SourceCodeInfo, method_options::IdempotencyLevel};

use crate::service::Idempotency;

/// `google.protobuf.FileDescriptorSet`
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct FileSet {
    #[prost(message, repeated, tag = "1")]
    pub(super) file: Vec<File>,
}

/// `google.protobuf.FileDescriptorProto`
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct File {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) package: String,
    #[prost(string, repeated, tag = "3")]
    pub(super) dependency: Vec<String>,
    #[prost(message, repeated, tag = "4")]
    pub(super) message: Vec<MessageType>,
    #[prost(message, repeated, tag = "5")]
    pub(super) enumeration: Vec<EnumType>,
    #[prost(message, repeated, tag = "6")]
    pub(super) service: Vec<Service>,
    #[prost(bytes = "vec", tag = "8")]
    pub(super) options: Vec<u8>,
    #[prost(message, optional, tag = "9")]
    pub(super) source_code_info: Option<SourceCodeInfo>,
    #[prost(string, tag = "12")]
    pub(super) syntax: String,
    #[prost(int32, tag = "14")]
    pub(super) edition: i32,
}

/// `google.protobuf.DescriptorProto`
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct MessageType {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, repeated, tag = "2")]
    pub(super) field: Vec<Field>,
    #[prost(message, repeated, tag = "3")]
    pub(super) message: Vec<MessageType>,
    #[prost(message, repeated, tag = "4")]
    pub(super) enumeration: Vec<EnumType>,
    #[prost(bytes = "vec", tag = "7")]
    pub(super) options: Vec<u8>,
    #[prost(message, repeated, tag = "8")]
    pub(super) oneof: Vec<Oneof>,
}

/// `google.protobuf.FieldDescriptorProto`
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Field {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(int32, tag = "3")]
    pub(super) number: i32,
    #[prost(int32, tag = "4")]
    pub(super) label: i32,
    #[prost(int32, tag = "5")]
    pub(super) kind: i32,
    #[prost(string, tag = "6")]
    pub(super) type_name: String,
    #[prost(string, optional, tag = "7")]
    pub(super) default_value: Option<String>,
    #[prost(bytes = "vec", tag = "8")]
    pub(super) options: Vec<u8>,
    #[prost(int32, optional, tag = "9")]
    pub(super) oneof_index: Option<i32>,
    #[prost(string, optional, tag = "10")]
    pub(super) json_name: Option<String>,
    #[prost(bool, tag = "17")]
    pub(super) proto3_optional: bool,
}

/// `google.protobuf.OneofDescriptorProto`
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Oneof {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) options: Vec<u8>,
}

/// `google.protobuf.EnumDescriptorProto`
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct EnumType {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, repeated, tag = "2")]
    pub(super) value: Vec<EnumValue>,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) options: Vec<u8>,
}

/// `google.protobuf.EnumValueDescriptorProto`
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct EnumValue {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    // Said even where it is 0, as the language's own compilers do.
    #[prost(int32, optional, tag = "2")]
    pub(super) number: Option<i32>,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) options: Vec<u8>,
}

/// `google.protobuf.ServiceDescriptorProto`
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Service {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, repeated, tag = "2")]
    pub(super) method: Vec<Method>,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) options: Vec<u8>,
}

/// `google.protobuf.MethodDescriptorProto`
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Method {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) input_type: String,
    #[prost(string, tag = "3")]
    pub(super) output_type: String,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) options: Vec<u8>,
    #[prost(bool, tag = "5")]
    pub(super) client_streaming: bool,
    #[prost(bool, tag = "6")]
    pub(super) server_streaming: bool,
}

/// Where a thing is in its file, as `SourceCodeInfo.Location.path` says it: numbers of fields of the
/// descriptors, and indices.
pub(super) mod path {
    /// A message of a file.
    pub(in super::super) const FILE_MESSAGE: i32 = 4;
    /// An enum of a file.
    pub(in super::super) const FILE_ENUM: i32 = 5;
    /// A service of a file.
    pub(in super::super) const FILE_SERVICE: i32 = 6;
    /// A field of a message.
    pub(in super::super) const FIELD: i32 = 2;
    /// A message in a message.
    pub(in super::super) const NESTED_MESSAGE: i32 = 3;
    /// An enum in a message.
    pub(in super::super) const NESTED_ENUM: i32 = 4;
    /// A oneof of a message.
    pub(in super::super) const ONEOF: i32 = 8;
    /// A value of an enum.
    pub(in super::super) const VALUE: i32 = 2;
    /// A method of a service.
    pub(in super::super) const METHOD: i32 = 2;
}

impl File {
    /// The scope of what the file declares: its package with a leading dot, or nothing.
    pub(super) fn scope(&self) -> String {
        if self.package.is_empty() { String::new() } else { format!(".{}", self.package) }
    }

    /// Leaves out what does not change what the file means, and says the rest in one way.
    pub(super) fn normalise(&mut self) {
        const DEPRECATED: u32 = 23;
        const FEATURES: u32 = 50;
        self.options = filter(&self.options, |number| matches!(number, DEPRECATED | FEATURES));
        if self.syntax == "proto2" {
            self.syntax.clear();
        }
        self.dependency.sort_unstable();
        self.message.iter_mut().for_each(MessageType::normalise);
        self.enumeration.iter_mut().for_each(EnumType::normalise);
        for service in &mut self.service {
            service.options = own_options(&service.options);
            for method in &mut service.method {
                method.options = own_options(&method.options);
            }
        }
        if let Some(info) = &mut self.source_code_info {
            info.location.retain(|location| {
                location.leading_comments.is_some()
                    || location.trailing_comments.is_some()
                    || !location.leading_detached_comments.is_empty()
            });
            info.location.sort_by(|a, b| a.path.cmp(&b.path));
        }
    }
}

impl MessageType {
    fn normalise(&mut self) {
        self.options = own_options(&self.options);
        for field in &mut self.field {
            field.options = own_options(&field.options);
            // What follows from the name.
            if field.json_name.as_deref() == Some(&json_name(&field.name)) {
                field.json_name = None;
            }
        }
        for oneof in &mut self.oneof {
            oneof.options = own_options(&oneof.options);
        }
        self.message.iter_mut().for_each(MessageType::normalise);
        self.enumeration.iter_mut().for_each(EnumType::normalise);
    }
}

impl EnumType {
    fn normalise(&mut self) {
        self.options = own_options(&self.options);
        for value in &mut self.value {
            value.options = own_options(&value.options);
            value.number.get_or_insert(0);
        }
    }
}

impl Method {
    /// What a second run would do.
    pub(super) fn idempotency(&self) -> Idempotency {
        match self.decoded_options().idempotency_level() {
            IdempotencyLevel::NoSideEffects => Idempotency::NoSideEffects,
            IdempotencyLevel::Idempotent => Idempotency::Idempotent,
            IdempotencyLevel::IdempotencyUnknown => Idempotency::Unknown,
        }
    }

    /// Whether the schema advises against it.
    pub(super) fn deprecated(&self) -> bool {
        self.decoded_options().deprecated()
    }

    fn decoded_options(&self) -> MethodOptions {
        MethodOptions::decode(&*self.options).unwrap_or_default()
    }
}

/// Protobuf's own options: those of others are extensions, whose definitions a description lacks.
fn own_options(options: &[u8]) -> Vec<u8> {
    const UNINTERPRETED: u32 = 999;
    filter(options, |number| number < UNINTERPRETED)
}

/// The fields of an encoded message whose numbers `keep` takes; nothing of one that is damaged.
fn filter(message: &[u8], keep: impl Fn(u32) -> bool) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut rest = message;
    while !rest.is_empty() {
        let field = rest;
        let Ok((number, wire_type)) = decode_key(&mut rest) else { return Vec::new() };
        if skip_field(wire_type, number, &mut rest, DecodeContext::default()).is_err() {
            return Vec::new();
        }
        if keep(number) {
            kept.extend_from_slice(&field[..field.len() - rest.len()]);
        }
    }
    kept
}

/// The JSON name of a field that says none (protobuf's lowerCamelCase).
fn json_name(name: &str) -> String {
    let mut json = String::new();
    let mut raise = false;
    for letter in name.chars() {
        if letter == '_' {
            raise = true;
        } else if std::mem::take(&mut raise) {
            json.push(letter.to_ascii_uppercase());
        } else {
            json.push(letter);
        }
    }
    json
}
