//! Cutting a description out of the files: the types that are needed, shells around those that are
//! nested, the comments on what is left under their new places.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use prost_types::{SourceCodeInfo, source_code_info::Location};

use super::file::{EnumType, File, FileSet, MessageType, Service, path};
use super::{RegistryError, Schema};

impl Schema {
    /// The least set of files that describes a method, a service, a message or an enum, imported
    /// ones first, serialised; `None` when nothing is known of it.
    pub(crate) fn describe(
        &self,
        name: &str,
        comments: bool,
    ) -> Result<Option<Vec<u8>>, RegistryError> {
        let mut wanted = BTreeSet::new();
        let roots: Vec<&String> = if let Some(declared) = self.methods.get(name) {
            wanted.insert(&declared.place);
            declared.types.iter().collect()
        } else if self.services.contains_key(name) {
            let methods: Vec<_> = self.methods_of(name).map(|(_, declared)| declared).collect();
            wanted.extend(methods.iter().map(|declared| &declared.place));
            wanted.extend(self.services.get(name));
            methods.into_iter().flat_map(|declared| &declared.types).collect()
        } else if let Some((name, _)) = self.types.get_key_value(&format!(".{name}")) {
            vec![name]
        } else {
            return Ok(None);
        };
        let reached = self.reach(roots)?;
        wanted.extend(reached.iter().filter_map(|name| Some(&self.types.get(*name)?.place)));

        let mut wanted_of: BTreeMap<usize, BTreeSet<&[i32]>> = BTreeMap::new();
        for place in wanted {
            wanted_of.entry(place.file).or_default().insert(&place.path);
        }
        let mut slice = Slice { schema: self, comments, wanted: wanted_of, files: Vec::new() };
        let files: Vec<usize> = slice.wanted.keys().copied().collect();
        for file in files {
            slice.visit(file);
        }
        Ok(Some(FileSet { file: slice.files }.encode_to_vec()))
    }
}

/// A description as it grows.
struct Slice<'a> {
    schema: &'a Schema,
    comments: bool,
    /// What is needed of each file, by place. A file that has been visited is gone.
    wanted: BTreeMap<usize, BTreeSet<&'a [i32]>>,
    files: Vec<File>,
}

impl<'a> Slice<'a> {
    /// Appends what is needed of a file, after what that needs of others.
    fn visit(&mut self, index: usize) {
        let schema = self.schema;
        let (Some(wanted), Some(file)) = (self.wanted.remove(&index), schema.files.get(index))
        else {
            return;
        };
        let mut cut = Cut { file, wanted, locations: Vec::new(), needs: BTreeSet::new() };
        let message = cut.messages(&[], path::FILE_MESSAGE, &[], &file.message);
        let enumeration = cut.enums(&[], path::FILE_ENUM, &[], &file.enumeration);
        let service = cut.services();

        let types = cut.needs.iter().filter_map(|name| schema.types.get(*name));
        let imports: BTreeSet<usize> = types.map(|found| found.place.file).collect();
        let imports: Vec<usize> = imports.into_iter().filter(|&import| import != index).collect();
        let locations = cut.locations;
        for &import in &imports {
            self.visit(import);
        }
        let name = |&import: &usize| schema.files.get(import).map(|file| file.name.clone());
        self.files.push(File {
            name: file.name.clone(),
            package: file.package.clone(),
            dependency: imports.iter().filter_map(name).collect(),
            message,
            enumeration,
            service,
            options: file.options.clone(),
            source_code_info: (self.comments && !locations.is_empty())
                .then_some(SourceCodeInfo { location: locations }),
            syntax: file.syntax.clone(),
            edition: file.edition,
        });
    }
}

/// What is left of one file.
struct Cut<'a> {
    file: &'a File,
    /// What is needed of it.
    wanted: BTreeSet<&'a [i32]>,
    /// The comments on what is left.
    locations: Vec<Location>,
    /// The types to which what is left refers.
    needs: BTreeSet<&'a str>,
}

impl<'a> Cut<'a> {
    /// What is needed of the messages of a scope, which was at `old` and is at `new`: whole ones,
    /// and empty shells around needed nested types.
    fn messages(
        &mut self,
        old: &[i32],
        step: i32,
        new: &[i32],
        messages: &'a [MessageType],
    ) -> Vec<MessageType> {
        let mut kept = Vec::new();
        for (at, message) in (0..).zip(messages) {
            let (old, new) = ([old, &[step, at]].concat(), child(new, step, kept.len()));
            if !self.wants_below(&old) {
                continue;
            }
            let mut slim = MessageType {
                name: message.name.clone(),
                message: self.messages(&old, path::NESTED_MESSAGE, &new, &message.message),
                enumeration: self.enums(&old, path::NESTED_ENUM, &new, &message.enumeration),
                ..Default::default()
            };
            if self.wanted.contains(&old[..]) {
                slim.field.clone_from(&message.field);
                slim.oneof.clone_from(&message.oneof);
                slim.options.clone_from(&message.options);
                let needs = message.field.iter().map(|field| field.type_name.as_str());
                self.needs.extend(needs.filter(|name| !name.is_empty()));
                self.comment(&old, &new, &[path::FIELD, path::ONEOF]);
            }
            kept.push(slim);
        }
        kept
    }

    fn enums(
        &mut self,
        old: &[i32],
        step: i32,
        new: &[i32],
        enums: &'a [EnumType],
    ) -> Vec<EnumType> {
        let mut kept = Vec::new();
        for (at, item) in (0..).zip(enums) {
            let old = [old, &[step, at]].concat();
            if self.wanted.contains(&old[..]) {
                self.comment(&old, &child(new, step, kept.len()), &[path::VALUE]);
                kept.push(item.clone());
            }
        }
        kept
    }

    /// Services with the methods that are needed of them.
    fn services(&mut self) -> Vec<Service> {
        let mut kept = Vec::new();
        for (at, service) in (0..).zip(&self.file.service) {
            let old = [path::FILE_SERVICE, at];
            if !self.wants_below(&old) {
                continue;
            }
            let new = child(&[], path::FILE_SERVICE, kept.len());
            self.comment(&old, &new, &[]);
            let mut slim = Service { method: Vec::new(), ..service.clone() };
            for (at, method) in (0..).zip(&service.method) {
                let old = [&old[..], &[path::METHOD, at]].concat();
                if self.wanted.contains(&old[..]) {
                    self.comment(&old, &child(&new, path::METHOD, slim.method.len()), &[]);
                    self.needs.extend([method.input_type.as_str(), method.output_type.as_str()]);
                    slim.method.push(method.clone());
                }
            }
            kept.push(slim);
        }
        kept
    }

    /// Whether the thing at `place`, or anything within it, is needed.
    fn wants_below(&self, place: &[i32]) -> bool {
        self.wanted.range(place..).next().is_some_and(|wanted| wanted.starts_with(place))
    }

    /// Takes over the comments on what was at `old` and is at `new`, and those on its parts of the
    /// given kinds, all of which are left where they were.
    fn comment(&mut self, old: &[i32], new: &[i32], parts: &[i32]) {
        let Some(info) = &self.file.source_code_info else { return };
        let from = info.location.partition_point(|location| location.path[..] < *old);
        for location in &info.location[from..] {
            let part = match location.path.strip_prefix(old) {
                Some(part @ [kind, _]) if parts.contains(kind) => part,
                Some([]) => &[],
                Some(_) => continue,
                None => break,
            };
            self.locations.push(Location { path: [new, part].concat(), ..location.clone() });
        }
    }
}

/// The place of the next thing of a list of which `before` are there.
fn child(scope: &[i32], step: i32, before: usize) -> Vec<i32> {
    let index = i32::try_from(before).unwrap_or(i32::MAX);
    [scope, &[step, index]].concat()
}
