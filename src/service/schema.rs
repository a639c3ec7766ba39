//! What `.proto` files say about methods and types, and the smallest part of it that one method
//! needs.
//!
//! A description holds every type that the method's request and reply reach, and nothing else: no
//! comments, no options of files, no JSON names that follow from the field's name.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    FileDescriptorSet, ServiceDescriptorProto, method_options,
};

use super::{Idempotency, RegistryError};

/// All that is known of files, types and methods.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    /// By file name.
    files: BTreeMap<String, FileDescriptorProto>,
    /// By full name with a leading dot, as fields refer to them.
    types: BTreeMap<String, Type>,
    /// By full name, `package.Service/Method`.
    methods: BTreeMap<String, Declared>,
}

/// A message or an enum.
#[derive(Debug)]
struct Type {
    /// Name of the file that defines it.
    file: String,
    /// The types of its fields.
    needs: Vec<String>,
}

/// A method as the schema declares it.
#[derive(Debug)]
pub(crate) struct Declared {
    /// Name of the file that defines its service.
    file: String,
    /// The types of its request and its reply.
    types: [String; 2],
    pub(crate) idempotency: Idempotency,
    pub(crate) client_streaming: bool,
    pub(crate) server_streaming: bool,
}

impl Schema {
    /// Adds the files of a serialised `FileDescriptorSet`.
    pub(crate) fn add(&mut self, file_descriptor_set: &[u8]) -> Result<(), RegistryError> {
        let set = FileDescriptorSet::decode(file_descriptor_set)
            .map_err(|error| RegistryError::Schema(error.to_string()))?;
        for file in set.file {
            match self.files.get(file.name()) {
                None => self.add_file(file)?,
                Some(known) if *known == file => {}
                Some(_) => {
                    let name = file.name();
                    return Err(RegistryError::Schema(format!("there are two files {name}")));
                }
            }
        }
        Ok(())
    }

    fn add_file(&mut self, file: FileDescriptorProto) -> Result<(), RegistryError> {
        let scope = match file.package() {
            "" => String::new(),
            package => format!(".{package}"),
        };
        self.index(file.name(), &scope, &file.message_type, &file.enum_type)?;
        for service in &file.service {
            for method in &service.method {
                let name = format!("{scope}.{}/{}", service.name(), method.name());
                let declared = Declared {
                    file: file.name().to_owned(),
                    types: [method.input_type().to_owned(), method.output_type().to_owned()],
                    idempotency: idempotency(
                        method.options.as_ref().map(|options| options.idempotency_level()),
                    ),
                    client_streaming: method.client_streaming(),
                    server_streaming: method.server_streaming(),
                };
                if self.methods.insert(name[1..].to_owned(), declared).is_some() {
                    return Err(RegistryError::Schema(format!("{} is there twice", &name[1..])));
                }
            }
        }
        self.files.insert(file.name().to_owned(), file);
        Ok(())
    }

    /// Notes where the types of a scope, and those within them, are and what they need.
    fn index(
        &mut self,
        file: &str,
        scope: &str,
        messages: &[DescriptorProto],
        enums: &[EnumDescriptorProto],
    ) -> Result<(), RegistryError> {
        for message in messages {
            let name = format!("{scope}.{}", message.name());
            self.index(file, &name, &message.nested_type, &message.enum_type)?;
            let needs = message.field.iter().filter_map(|field| field.type_name.clone()).collect();
            self.index_type(file, name, needs)?;
        }
        for item in enums {
            self.index_type(file, format!("{scope}.{}", item.name()), Vec::new())?;
        }
        Ok(())
    }

    fn index_type(
        &mut self,
        file: &str,
        name: String,
        needs: Vec<String>,
    ) -> Result<(), RegistryError> {
        if self.types.contains_key(&name) {
            return Err(RegistryError::Schema(format!("type {} is there twice", &name[1..])));
        }
        self.types.insert(name, Type { file: file.to_owned(), needs });
        Ok(())
    }

    /// The method of this full name.
    pub(crate) fn method(&self, name: &str) -> Option<&Declared> {
        self.methods.get(name)
    }

    /// All methods of a service (`package.Service`), by their full names.
    pub(crate) fn methods_of(&self, service: &str) -> impl Iterator<Item = (&str, &Declared)> {
        let prefix = format!("{service}/");
        let from = self.methods.range(prefix.clone()..);
        from.take_while(move |(name, _)| name.starts_with(&prefix))
            .map(|(name, declared)| (name.as_str(), declared))
    }

    /// The least set of files that describes a method, imported ones first; `None` when nothing is
    /// known of it.
    pub(crate) fn slice(&self, name: &str) -> Result<Option<FileDescriptorSet>, RegistryError> {
        let (Some(declared), Some((service, method))) =
            (self.methods.get(name), name.rsplit_once('/'))
        else {
            return Ok(None);
        };
        let needed = self.reach(&declared.types)?;
        let mut slice = Slice { schema: self, needed, done: BTreeSet::new(), files: Vec::new() };
        slice.visit(&declared.file, Some((service, method)));
        Ok(Some(FileDescriptorSet { file: slice.files }))
    }

    /// All types that `roots` need, themselves included.
    fn reach(&self, roots: &[String]) -> Result<BTreeSet<String>, RegistryError> {
        let mut reached = BTreeSet::new();
        let mut open: Vec<&String> = roots.iter().collect();
        while let Some(name) = open.pop() {
            if reached.contains(name) {
                continue;
            }
            let found = self.types.get(name).ok_or_else(|| {
                RegistryError::Schema(format!("type {name} is needed and not there"))
            })?;
            reached.insert(name.clone());
            open.extend(&found.needs);
        }
        Ok(reached)
    }
}

fn idempotency(level: Option<method_options::IdempotencyLevel>) -> Idempotency {
    match level {
        Some(method_options::IdempotencyLevel::NoSideEffects) => Idempotency::NoSideEffects,
        Some(method_options::IdempotencyLevel::Idempotent) => Idempotency::Idempotent,
        Some(method_options::IdempotencyLevel::IdempotencyUnknown) | None => Idempotency::Unknown,
    }
}

/// The description of one method as it grows.
struct Slice<'a> {
    schema: &'a Schema,
    /// The types that it needs.
    needed: BTreeSet<String>,
    /// Files that are in `files` or about to be.
    done: BTreeSet<String>,
    files: Vec<FileDescriptorProto>,
}

impl Slice<'_> {
    /// Appends what is needed of a file, after what that needs of others.
    fn visit(&mut self, name: &str, method: Option<(&str, &str)>) {
        let Some(file) = self.schema.files.get(name) else { return };
        if !self.done.insert(name.to_owned()) {
            return;
        }
        let scope = match file.package() {
            "" => String::new(),
            package => format!(".{package}"),
        };
        let service = method.and_then(|(service, method)| {
            file.service
                .iter()
                .find(|candidate| format!("{scope}.{}", candidate.name())[1..] == *service)
                .map(|found| only_method(found, method))
        });
        let message_type = self.messages(&scope, &file.message_type);
        let enum_type = self.enums(&scope, &file.enum_type);
        let imports = self.imports(name, &service);
        for import in &imports {
            self.visit(import, None);
        }
        self.files.push(FileDescriptorProto {
            name: file.name.clone(),
            package: file.package.clone(),
            syntax: file.syntax.clone(),
            dependency: imports.into_iter().collect(),
            message_type,
            enum_type,
            service: service.into_iter().collect(),
            ..Default::default()
        });
    }

    /// The files of the types to which what is left of a file refers.
    fn imports(&self, name: &str, service: &Option<ServiceDescriptorProto>) -> BTreeSet<String> {
        let types = &self.schema.types;
        let of_messages = self
            .needed
            .iter()
            .filter_map(|needed| types.get(needed))
            .filter(|found| found.file == name)
            .flat_map(|found| found.needs.iter().map(String::as_str));
        let of_service = service
            .iter()
            .flat_map(|service| &service.method)
            .flat_map(|method| [method.input_type(), method.output_type()]);
        of_messages
            .chain(of_service)
            .filter_map(|needed| types.get(needed))
            .filter(|found| found.file != name)
            .map(|found| found.file.clone())
            .collect()
    }

    /// What is needed of these messages: whole ones, and empty shells around needed nested types.
    fn messages(&self, scope: &str, messages: &[DescriptorProto]) -> Vec<DescriptorProto> {
        let mut kept = Vec::new();
        for message in messages {
            let name = format!("{scope}.{}", message.name());
            let mut slim = DescriptorProto {
                name: message.name.clone(),
                nested_type: self.messages(&name, &message.nested_type),
                enum_type: self.enums(&name, &message.enum_type),
                ..Default::default()
            };
            if self.needed.contains(&name) {
                slim.field = message.field.iter().map(slim_field).collect();
                slim.oneof_decl.clone_from(&message.oneof_decl);
                slim.options.clone_from(&message.options);
            } else if slim.nested_type.is_empty() && slim.enum_type.is_empty() {
                continue;
            }
            kept.push(slim);
        }
        kept
    }

    fn enums(&self, scope: &str, enums: &[EnumDescriptorProto]) -> Vec<EnumDescriptorProto> {
        enums
            .iter()
            .filter(|item| self.needed.contains(&format!("{scope}.{}", item.name())))
            .map(|item| EnumDescriptorProto {
                name: item.name.clone(),
                value: item.value.clone(),
                options: item.options.clone(),
                ..Default::default()
            })
            .collect()
    }
}

/// A service with one of its methods alone.
fn only_method(service: &ServiceDescriptorProto, method: &str) -> ServiceDescriptorProto {
    ServiceDescriptorProto {
        name: service.name.clone(),
        method: service.method.iter().filter(|m| m.name() == method).cloned().collect(),
        options: None,
    }
}

/// A field without the JSON name that follows from its name.
fn slim_field(field: &FieldDescriptorProto) -> FieldDescriptorProto {
    let mut slim = field.clone();
    if slim.json_name() == json_name(slim.name()) {
        slim.json_name = None;
    }
    slim
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

#[cfg(test)]
mod tests;
