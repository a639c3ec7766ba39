//! Finds names that differ in a `.proto` file and would be one in Rust, before the compiler
//! complains about code that nobody wrote.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    ServiceDescriptorProto,
};

use crate::names;

/// Where something is declared: the file's name, and line and column, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) file: String,
    pub(crate) position: Option<(usize, usize)>,
}

/// Two things with one name.
#[derive(Debug)]
pub(crate) struct Collision {
    /// Where the second is.
    pub(crate) at: Origin,
    /// Where the first is.
    pub(crate) other: Origin,
    /// What it is about, but for the place of the first.
    pub(crate) what: String,
}

/// What else would have a name.
#[derive(Debug, Clone)]
struct Declared {
    what: String,
    origin: Origin,
}

/// The module of each service, by its full name: named for the service, with `_service` after it
/// where a package or the types inside a message have that name.
pub(crate) type ServiceModules = BTreeMap<String, String>;

/// Checks all names.
pub(crate) fn check(
    set: &FileDescriptorSet,
    is_extern: &dyn Fn(&str) -> bool,
) -> Result<ServiceModules, Box<Collision>> {
    let mut check = Check { is_extern, taken: BTreeMap::new(), modules: BTreeSet::new() };
    for file in &set.file {
        check.package(file)?;
    }
    for file in &set.file {
        let scope = Scope::of(file);
        for (i, message) in file.message_type.iter().enumerate() {
            check.message(&scope, message, &[4, index(i)])?;
        }
        for (i, item) in file.enum_type.iter().enumerate() {
            check.enumeration(&scope, item, &[5, index(i)])?;
        }
    }
    let mut services = ServiceModules::new();
    for file in &set.file {
        let scope = Scope::of(file);
        for (i, service) in file.service.iter().enumerate() {
            let module = check.service(&scope, service, &[6, index(i)])?;
            services.insert(names::full(file.package(), service.name()), module);
        }
    }
    Ok(services)
}

/// As descriptors count.
fn index(i: usize) -> i32 {
    i32::try_from(i).unwrap_or(i32::MAX)
}

/// Where names are looked at.
struct Scope<'a> {
    file: &'a FileDescriptorProto,
    /// In the file: the package, and the messages around.
    proto: String,
    /// In Rust.
    module: Vec<String>,
}

impl<'a> Scope<'a> {
    fn of(file: &'a FileDescriptorProto) -> Self {
        let proto = file.package().to_owned();
        Self { file, module: names::modules(&proto), proto }
    }

    /// The scope of what is declared inside something.
    fn inside(&self, name: &str) -> Self {
        let mut module = self.module.clone();
        module.push(names::snake(name));
        Self { file: self.file, proto: names::full(&self.proto, name), module }
    }

    fn origin(&self, path: &[i32]) -> Origin {
        let locations = self.file.source_code_info.iter().flat_map(|info| &info.location);
        let span = locations.filter(|l| l.path == path).map(|l| l.span.as_slice()).next();
        let position = match span {
            Some([line, column, ..]) => usize::try_from(*line)
                .ok()
                .zip(usize::try_from(*column).ok())
                .map(|(line, column)| (line + 1, column + 1)),
            _ => None,
        };
        Origin { file: self.file.name().to_owned(), position }
    }
}

struct Check<'a> {
    is_extern: &'a dyn Fn(&str) -> bool,
    /// By what makes a name unique: module, kind, identifier.
    taken: BTreeMap<(Vec<String>, &'static str, String), Declared>,
    /// All modules that hold types or packages.
    modules: BTreeSet<Vec<String>>,
}

type Checked<T = ()> = Result<T, Box<Collision>>;

impl Check<'_> {
    /// Takes a name, unless something has it. What is declared is described by `what` and its name
    /// in the file, `proto`.
    fn take(
        &mut self,
        module: &[String],
        kind: &'static str,
        name: String,
        what: String,
        origin: Origin,
    ) -> Checked {
        match self.taken.entry((module.to_vec(), kind, name.clone())) {
            Entry::Vacant(entry) => {
                entry.insert(Declared { what, origin });
                Ok(())
            }
            Entry::Occupied(entry) => {
                let Declared { what: other, origin: place } = entry.get().clone();
                let what = format!("{what} and {other} would both be the {kind} `{name}` in Rust");
                Err(Box::new(Collision { at: origin, other: place, what }))
            }
        }
    }

    fn package(&mut self, file: &FileDescriptorProto) -> Checked {
        let scope = Scope::of(file);
        for depth in 1..=scope.module.len() {
            self.modules.insert(scope.module[..depth].to_vec());
        }
        let key = (Vec::new(), "package", scope.module.join("::"));
        let what = format!("package {}", file.package());
        if self.taken.get(&key).is_some_and(|known| known.what == what) {
            return Ok(());
        }
        let origin = scope.origin(&[2]);
        self.take(&[], "package", scope.module.join("::"), what, origin)
    }

    fn message(&mut self, scope: &Scope<'_>, message: &DescriptorProto, path: &[i32]) -> Checked {
        let name = names::full(&scope.proto, message.name());
        if (self.is_extern)(&name) || message.options.as_ref().is_some_and(|o| o.map_entry()) {
            return Ok(());
        }
        let what = format!("message {name}");
        self.take(&scope.module, "type", names::camel(message.name()), what, scope.origin(path))?;

        let inside = scope.inside(message.name());
        let child = |field: i32, i: usize| [path, &[field, index(i)]].concat();
        // Fields and oneofs are members of the struct; fields of a oneof are variants of its enum.
        let mut own: Vec<String> = inside.module.clone();
        own.push("{}".into());
        let mut has_module = false;
        for (i, oneof) in message.oneof_decl.iter().enumerate() {
            let mut fields = message
                .field
                .iter()
                .filter(|field| field.oneof_index == Some(index(i)) && !field.proto3_optional());
            if fields.next().is_some() {
                has_module = true;
                let origin = inside.origin(&child(8, i));
                let what = format!("oneof {name}.{}", oneof.name());
                self.take(&own, "field", names::snake(oneof.name()), what, origin)?;
            }
        }
        for (i, field) in message.field.iter().enumerate() {
            let origin = inside.origin(&child(2, i));
            let what = format!("field {name}.{}", field.name());
            match field.oneof_index {
                Some(oneof) if !field.proto3_optional() => {
                    let mut of = own.clone();
                    of.push(oneof.to_string());
                    self.take(&of, "variant", names::camel(field.name()), what, origin)?;
                }
                _ => self.take(&own, "field", names::snake(field.name()), what, origin)?,
            }
        }
        self.accessors(&inside, &own, message, path)?;
        for (i, nested) in message.nested_type.iter().enumerate() {
            has_module |= !nested.options.as_ref().is_some_and(|o| o.map_entry());
            self.message(&inside, nested, &child(3, i))?;
        }
        for (i, nested) in message.enum_type.iter().enumerate() {
            has_module = true;
            self.enumeration(&inside, nested, &child(4, i))?;
        }
        if has_module {
            self.modules.insert(inside.module);
        }
        Ok(())
    }

    /// The functions that the struct has beside its fields: one that reads, for what is an enum or
    /// may be absent, and for an enum one that writes.
    fn accessors(
        &mut self,
        scope: &Scope<'_>,
        own: &[String],
        message: &DescriptorProto,
        path: &[i32],
    ) -> Checked {
        for (i, field) in message.field.iter().enumerate() {
            if field.oneof_index.is_some() && !field.proto3_optional() {
                continue;
            }
            let repeated = field.label() == Label::Repeated;
            let proto2 = scope.file.syntax() != "proto3";
            let may_be_absent =
                field.proto3_optional() || proto2 && field.label() == Label::Optional;
            let writes = match field.r#type() {
                Type::Message | Type::Group => continue,
                Type::Enum if repeated => Some("push"),
                Type::Enum => Some("set"),
                _ if may_be_absent => None,
                _ => continue,
            };
            let word = names::snake(field.name());
            let word = word.trim_start_matches("r#");
            let functions = [Some(word.to_owned()), writes.map(|verb| format!("{verb}_{word}"))];
            for function in functions.into_iter().flatten() {
                let origin = scope.origin(&[path, &[2, index(i)]].concat());
                let what = format!("field {}.{}", scope.proto, field.name());
                self.take(own, "function", function, what, origin)?;
            }
        }
        Ok(())
    }

    fn enumeration(
        &mut self,
        scope: &Scope<'_>,
        item: &EnumDescriptorProto,
        path: &[i32],
    ) -> Checked {
        let name = names::full(&scope.proto, item.name());
        if (self.is_extern)(&name) {
            return Ok(());
        }
        let what = format!("enum {name}");
        self.take(&scope.module, "type", names::camel(item.name()), what, scope.origin(path))?;
        let mut own = scope.module.clone();
        own.push(format!("{{}}{}", item.name()));
        let mut numbers = BTreeSet::new();
        for (i, value) in item.value.iter().enumerate() {
            // An alias is left out.
            if numbers.insert(value.number()) {
                let origin = scope.origin(&[path, &[2, index(i)]].concat());
                let what = format!("value {name}.{}", value.name());
                let variant = names::variant(item.name(), value.name());
                self.take(&own, "variant", variant, what, origin)?;
            }
        }
        Ok(())
    }

    fn service(
        &mut self,
        scope: &Scope<'_>,
        service: &ServiceDescriptorProto,
        path: &[i32],
    ) -> Checked<String> {
        let name = names::full(&scope.proto, service.name());
        let mut module = scope.module.clone();
        module.push(names::snake(service.name()));
        if self.modules.contains(&module) {
            // `r#type_service` would be wrong.
            let word = names::snake(service.name());
            module.pop();
            module.push(format!("{}_service", word.trim_start_matches("r#").trim_end_matches('_')));
        }
        let own = module.last().cloned().unwrap_or_default();
        let what = format!("service {name}");
        self.take(&scope.module, "module", own.clone(), what, scope.origin(path))?;
        for (i, method) in service.method.iter().enumerate() {
            let origin = scope.origin(&[path, &[2, index(i)]].concat());
            let what = format!("method {name}/{}", method.name());
            self.take(&module, "method", names::snake(method.name()), what, origin)?;
        }
        if self.modules.contains(&module) {
            let what = format!(
                "service {name} needs the module `{own}`, and so does a package or a message"
            );
            let origin = scope.origin(path);
            return Err(Box::new(Collision { at: origin.clone(), other: origin, what }));
        }
        Ok(own)
    }
}
