//! What `.proto` files say about methods and types, and the smallest part of it that describes one
//! of them.
//!
//! A description holds every type that is reached from what it describes, and nothing else; it
//! means what the files mean, and where it is asked for it says what their comments say.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;

use super::{Idempotency, RegistryError};
use file::{EnumType, File, FileSet, MessageType, path};

mod file;
mod slice;

/// All that is known of files, types and methods.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    files: Vec<File>,
    /// Where in `files` a file of this name is.
    by_name: BTreeMap<String, usize>,
    /// By full name with a leading dot, as fields refer to them.
    types: BTreeMap<String, Type>,
    /// By full name, `package.Service`.
    services: BTreeMap<String, Place>,
    /// By full name, `package.Service/Method`.
    methods: BTreeMap<String, Declared>,
}

/// Where a thing is declared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// Index of its file.
    file: usize,
    /// Where in the file, in the manner of source code info.
    path: Vec<i32>,
}

/// A message or an enum.
#[derive(Debug)]
struct Type {
    place: Place,
    /// The types of its fields.
    needs: Vec<String>,
}

/// A method as the schema declares it.
#[derive(Debug)]
pub(crate) struct Declared {
    place: Place,
    /// The types of its request and its reply.
    types: [String; 2],
    pub(crate) idempotency: Idempotency,
    pub(crate) client_streaming: bool,
    pub(crate) server_streaming: bool,
    pub(crate) deprecated: bool,
}

impl Schema {
    /// Adds the files of a serialised `FileDescriptorSet`.
    pub(crate) fn add(&mut self, file_descriptor_set: &[u8]) -> Result<(), RegistryError> {
        decode(file_descriptor_set)?.into_iter().try_for_each(|file| self.merge(file))
    }

    /// Adds one file of a serialised `FileDescriptorSet`, and what that imports.
    pub(crate) fn add_file_of(
        &mut self,
        file_descriptor_set: &[u8],
        name: &str,
    ) -> Result<(), RegistryError> {
        let mut files: BTreeMap<String, File> = decode(file_descriptor_set)?
            .into_iter()
            .map(|file| (file.name.clone(), file))
            .collect();
        let mut open = vec![name.to_owned()];
        while let Some(name) = open.pop() {
            if let Some(file) = files.remove(&name) {
                open.extend(file.dependency.iter().cloned());
                self.merge(file)?;
            }
        }
        Ok(())
    }

    /// Adds the file of a serialised `FileDescriptorSet` that declares this service, and what that
    /// imports; all files when none declares it.
    pub(crate) fn add_file_with(
        &mut self,
        file_descriptor_set: &[u8],
        service: &str,
    ) -> Result<(), RegistryError> {
        let files = decode(file_descriptor_set)?;
        let declares = |file: &&File| {
            let scope = file.scope();
            file.service.iter().any(|found| format!("{scope}.{}", found.name)[1..] == *service)
        };
        match files.iter().find(declares) {
            Some(file) => self.add_file_of(file_descriptor_set, &file.name),
            None => files.into_iter().try_for_each(|file| self.merge(file)),
        }
    }

    /// Adds a file, unless one of its name is there: then it must mean the same, and may add
    /// comments.
    fn merge(&mut self, mut file: File) -> Result<(), RegistryError> {
        file.normalise();
        let known = self.by_name.get(&file.name).and_then(|&known| self.files.get_mut(known));
        let Some(known) = known else { return self.add_file(file) };
        let first = known.source_code_info.take();
        let second = file.source_code_info.take();
        if *known != file {
            known.source_code_info = first;
            let why = format!("there are two files {} that do not mean the same", file.name);
            return Err(RegistryError::Schema(why));
        }
        let told = [first, second].into_iter().flatten().find(|info| !info.location.is_empty());
        known.source_code_info = told;
        Ok(())
    }

    fn add_file(&mut self, file: File) -> Result<(), RegistryError> {
        let index = self.files.len();
        let scope = file.scope();
        let within = |step| Place { file: index, path: vec![step] };
        self.index_messages(&within(path::FILE_MESSAGE), &scope, &file.message)?;
        self.index_enums(&within(path::FILE_ENUM), &scope, &file.enumeration)?;
        for (at, service) in (0..).zip(&file.service) {
            let place = Place { file: index, path: vec![path::FILE_SERVICE, at] };
            let name = format!("{scope}.{}", service.name)[1..].to_owned();
            if self.services.insert(name.clone(), place.clone()).is_some() {
                return Err(RegistryError::Schema(format!("{name} is there twice")));
            }
            for (at, method) in (0..).zip(&service.method) {
                let name = format!("{name}/{}", method.name);
                let declared = Declared {
                    place: place.below(path::METHOD, at),
                    types: [method.input_type.clone(), method.output_type.clone()],
                    idempotency: method.idempotency(),
                    client_streaming: method.client_streaming,
                    server_streaming: method.server_streaming,
                    deprecated: method.deprecated(),
                };
                if self.methods.insert(name.clone(), declared).is_some() {
                    return Err(RegistryError::Schema(format!("{name} is there twice")));
                }
            }
        }
        self.by_name.insert(file.name.clone(), index);
        self.files.push(file);
        Ok(())
    }

    /// Notes where the messages of a scope, and what is within them, are and what they need.
    fn index_messages(
        &mut self,
        within: &Place,
        scope: &str,
        messages: &[MessageType],
    ) -> Result<(), RegistryError> {
        for (at, message) in (0..).zip(messages) {
            let name = format!("{scope}.{}", message.name);
            let place = within.at(at);
            let nested = |step| Place { path: [&place.path[..], &[step]].concat(), ..place };
            self.index_messages(&nested(path::NESTED_MESSAGE), &name, &message.message)?;
            self.index_enums(&nested(path::NESTED_ENUM), &name, &message.enumeration)?;
            let needs = message.field.iter().map(|field| &field.type_name);
            let needs = needs.filter(|name| !name.is_empty()).cloned().collect();
            self.index_type(name, Type { place, needs })?;
        }
        Ok(())
    }

    fn index_enums(
        &mut self,
        within: &Place,
        scope: &str,
        enums: &[EnumType],
    ) -> Result<(), RegistryError> {
        for (at, item) in (0..).zip(enums) {
            let found = Type { place: within.at(at), needs: Vec::new() };
            self.index_type(format!("{scope}.{}", item.name), found)?;
        }
        Ok(())
    }

    fn index_type(&mut self, name: String, found: Type) -> Result<(), RegistryError> {
        if self.types.contains_key(&name) {
            return Err(RegistryError::Schema(format!("type {} is there twice", &name[1..])));
        }
        self.types.insert(name, found);
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

    /// The full names of all services, messages and enums.
    pub(crate) fn symbols(&self) -> impl Iterator<Item = &str> + Clone {
        let types = self.types.keys().map(|name| &name[1..]);
        self.services.keys().map(String::as_str).chain(types)
    }

    /// All types that `roots` need, themselves included.
    ///
    /// # Errors
    ///
    /// One of them is not there.
    fn reach<'a>(
        &'a self,
        roots: impl IntoIterator<Item = &'a String>,
    ) -> Result<BTreeSet<&'a str>, RegistryError> {
        let mut reached = BTreeSet::new();
        let mut open: Vec<&String> = roots.into_iter().collect();
        while let Some(name) = open.pop() {
            if !reached.insert(name.as_str()) {
                continue;
            }
            let found = self.types.get(name).ok_or_else(|| {
                RegistryError::Schema(format!("type {name} is needed and not there"))
            })?;
            open.extend(&found.needs);
        }
        Ok(reached)
    }

    /// Checks that every type is there which any method needs.
    pub(crate) fn check(&self) -> Result<(), RegistryError> {
        self.reach(self.methods.values().flat_map(|declared| &declared.types)).map(drop)
    }
}

impl Place {
    /// The thing of this index, where `self` is the list.
    fn at(&self, index: i32) -> Place {
        Place { file: self.file, path: [&self.path[..], &[index]].concat() }
    }

    /// A part of what is here.
    fn below(&self, step: i32, index: i32) -> Place {
        Place { file: self.file, path: [&self.path[..], &[step, index]].concat() }
    }
}

fn decode(file_descriptor_set: &[u8]) -> Result<Vec<File>, RegistryError> {
    let set = FileSet::decode(file_descriptor_set);
    set.map(|set| set.file).map_err(|error| RegistryError::Schema(error.to_string()))
}

#[cfg(test)]
mod tests;
