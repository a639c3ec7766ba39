//! A request that is filled by `path=value`, one by one.
//!
//! What a path may be is decided by the types that it meets: a field by its name, an element of a
//! list by its index (the next one, or `[]`), an entry of a map by its key. Everything is given
//! once: a field whole or by its parts, never both, so that no argument silently loses to another.

use std::collections::BTreeMap;

use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage, Value,
};

use crate::json;
use crate::path::{self, Step};
use crate::scalar;
use crate::wellknown;

/// How something was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Given {
    /// With one value for all of it.
    Whole,
    /// Some of what is in it.
    Parts,
}

/// A request under construction.
#[derive(Debug)]
pub(crate) struct Filling {
    message: DynamicMessage,
    given: BTreeMap<String, Given>,
}

/// One value on its way to its place.
struct Setting<'a> {
    given: &'a mut BTreeMap<String, Given>,
    /// The way so far, as errors show it.
    at: String,
    text: &'a str,
}

impl Filling {
    /// Nothing given yet.
    pub(crate) fn new(descriptor: &MessageDescriptor) -> Filling {
        Filling { message: DynamicMessage::new(descriptor.clone()), given: BTreeMap::new() }
    }

    /// Gives one value.
    ///
    /// # Errors
    ///
    /// The path leads nowhere, the value does not fit, or the place is taken.
    pub(crate) fn set(&mut self, steps: &[Step], text: &str) -> Result<(), String> {
        let mut setting = Setting { given: &mut self.given, at: String::new(), text };
        setting.message(&mut self.message, steps)
    }

    /// Whether anything of this field of the request was given.
    pub(crate) fn has(&self, field: &FieldDescriptor) -> bool {
        self.given.contains_key(field.name())
    }

    /// The request.
    pub(crate) fn finish(self) -> DynamicMessage {
        self.message
    }
}

impl Setting<'_> {
    /// An error at the place that was reached.
    fn wrong(&self, why: impl std::fmt::Display) -> String {
        if self.at.is_empty() { why.to_string() } else { format!("{}: {why}", self.at) }
    }

    /// Notes that what is here is given: all of it, or parts.
    fn give(&mut self, given: Given) -> Result<(), String> {
        match self.given.insert(self.at.clone(), given) {
            None => Ok(()),
            Some(Given::Parts) if given == Given::Parts => Ok(()),
            Some(before) if before == given => Err(format!("{} is given twice", self.at)),
            Some(_) => Err(format!("{} is given whole and by its parts", self.at)),
        }
    }

    /// The text as a value of this type.
    fn value(&self, kind: &Kind) -> Result<Value, String> {
        match kind {
            Kind::Message(message) => wellknown::message(message, self.text)
                .map(Value::Message)
                .map_err(|wrong| wrong.below(&self.at)),
            kind => scalar::parse(kind, self.text).map_err(|why| self.wrong(why)),
        }
    }

    /// Goes into a message, by a field's name.
    fn message(&mut self, message: &mut DynamicMessage, steps: &[Step]) -> Result<(), String> {
        let descriptor = message.descriptor();
        if let Some(field) = free_form(&descriptor, steps) {
            return self.free(message, &field, steps);
        }
        let (name, rest) = match steps {
            [Step::Word(name) | Step::Bracket(name), rest @ ..] => (name, rest),
            _ => return Err(self.wrong(format!("{} is no list", descriptor.full_name()))),
        };
        let field = descriptor
            .get_field_by_name(name)
            .or_else(|| descriptor.get_field_by_json_name(name))
            .ok_or_else(|| self.wrong(json::no_such_field(&descriptor, name)))?;
        if let Some(oneof) = field.containing_oneof() {
            let mut members = oneof.fields();
            if let Some(other) = members.find(|o| *o != field && message.has_field(o)) {
                return Err(self.wrong(json::two_members(&other, &field)));
            }
        }
        if !self.at.is_empty() {
            self.at.push('.');
        }
        self.at.push_str(field.name());
        self.field(message, &field, rest)
    }

    /// Goes into a field.
    fn field(
        &mut self,
        message: &mut DynamicMessage,
        field: &FieldDescriptor,
        steps: &[Step],
    ) -> Result<(), String> {
        if field.is_map() || field.is_list() {
            self.give(Given::Parts)?;
            return if field.is_map() {
                self.map(message, field, steps)
            } else {
                self.list(message, field, steps)
            };
        }
        if steps.is_empty() {
            self.give(Given::Whole)?;
            let value = self.value(&field.kind())?;
            message.set_field(field, value);
            return Ok(());
        }
        self.give(Given::Parts)?;
        self.has_parts(&field.kind(), steps)?;
        match message.get_field_mut(field) {
            Value::Message(inner) => self.message(inner, steps),
            _ => Ok(()),
        }
    }

    /// That there can be something inside of a single value of this type.
    fn has_parts(&self, kind: &Kind, steps: &[Step]) -> Result<(), String> {
        match kind {
            Kind::Message(_) => Ok(()),
            kind => {
                let name = scalar::one(kind);
                Err(self.wrong(format!("{name} has no parts, so no {}", path::shown(steps))))
            }
        }
    }

    /// Goes to an element of a list, or appends what the text says.
    fn list(
        &mut self,
        message: &mut DynamicMessage,
        field: &FieldDescriptor,
        steps: &[Step],
    ) -> Result<(), String> {
        let kind = field.kind();
        let base = self.at.len();
        if steps.is_empty() && self.text.trim_start().starts_with('[') {
            return self.append(message, field);
        }
        let Value::List(items) = message.get_field_mut(field) else { return Ok(()) };
        let (index, rest) = match steps {
            [] => (items.len(), steps),
            [Step::Append, rest @ ..] => (items.len(), rest),
            [Step::Bracket(index), rest @ ..] => match index.parse() {
                Ok(index) if index <= items.len() => (index, rest),
                Ok(_) => {
                    let next = items.len();
                    return Err(self.wrong(format!("there is no [{index}], the next is [{next}]")));
                }
                Err(_) => return Err(self.wrong(format!("[{index}] is no element's number"))),
            },
            [Step::Word(word), ..] => {
                return Err(self.wrong(format!(
                    "it is a list, so [0].{word} is of the first, [].{word} of a new element"
                )));
            }
        };
        self.at.push_str(&format!("[{index}]"));
        if rest.is_empty() {
            self.give(Given::Whole)?;
            if steps.is_empty() {
                // An element that was not numbered is not shown with a number.
                self.at.truncate(base);
            }
            let value = self.value(&kind)?;
            items.push(value);
            return Ok(());
        }
        self.give(Given::Parts)?;
        self.has_parts(&kind, rest)?;
        if index == items.len() {
            items.push(Value::default_value(&kind));
        }
        match items.get_mut(index) {
            Some(Value::Message(inner)) => self.message(inner, rest),
            _ => Ok(()),
        }
    }

    /// Appends a list that is written as JSON.
    fn append(
        &mut self,
        message: &mut DynamicMessage,
        field: &FieldDescriptor,
    ) -> Result<(), String> {
        let value = json::field(field, self.text).map_err(|wrong| match field.kind() {
            Kind::String => {
                let name = field.name();
                let hint = format!("; text that begins with a bracket goes in by {name}[]=…");
                wrong.below(&self.at) + &hint
            }
            _ => wrong.below(&self.at),
        })?;
        let (Some(Value::List(more)), Value::List(items)) = (value, message.get_field_mut(field))
        else {
            return Ok(());
        };
        let base = self.at.len();
        for item in more {
            self.at.push_str(&format!("[{}]", items.len()));
            self.give(Given::Whole)?;
            self.at.truncate(base);
            items.push(item);
        }
        Ok(())
    }

    /// Goes to an entry of a map, or adds those that the text says.
    fn map(
        &mut self,
        message: &mut DynamicMessage,
        field: &FieldDescriptor,
        steps: &[Step],
    ) -> Result<(), String> {
        let Kind::Message(entry) = field.kind() else { return Ok(()) };
        let (key, rest) = match steps {
            [] => return self.add(message, field, &entry),
            [Step::Word(key) | Step::Bracket(key), rest @ ..] => (key, rest),
            [Step::Append, ..] => {
                return Err(self.wrong("a map's key is missing between the brackets"));
            }
        };
        let key_kind = entry.map_entry_key_field().kind();
        let value_kind = entry.map_entry_value_field().kind();
        let map_key = scalar::map_key(&key_kind, key)
            .map_err(|why| self.wrong(format!("as a key, {why}")))?;
        self.at.push_str(&format!("[{}]", shown_key(&map_key)));
        let Value::Map(entries) = message.get_field_mut(field) else { return Ok(()) };
        if rest.is_empty() {
            self.give(Given::Whole)?;
            let value = self.value(&value_kind)?;
            entries.insert(map_key, value);
            return Ok(());
        }
        self.give(Given::Parts)?;
        self.has_parts(&value_kind, rest)?;
        match entries.entry(map_key).or_insert_with(|| Value::default_value(&value_kind)) {
            Value::Message(inner) => self.message(inner, rest),
            _ => Ok(()),
        }
    }

    /// Adds entries that are written as JSON.
    fn add(
        &mut self,
        message: &mut DynamicMessage,
        field: &FieldDescriptor,
        entry: &MessageDescriptor,
    ) -> Result<(), String> {
        if !self.text.trim_start().starts_with('{') {
            let key = entry.map_entry_key_field().kind();
            let key = scalar::kind_name(&key);
            return Err(self.wrong(format!(
                "{} is not a map, which is JSON, {{…}}, or given by keys ([{key}]=…)",
                scalar::quoted(self.text)
            )));
        }
        let value = json::field(field, self.text).map_err(|wrong| wrong.below(&self.at))?;
        let (Some(Value::Map(more)), Value::Map(entries)) = (value, message.get_field_mut(field))
        else {
            return Ok(());
        };
        let base = self.at.len();
        for (key, value) in more {
            self.at.push_str(&format!("[{}]", shown_key(&key)));
            self.give(Given::Whole)?;
            self.at.truncate(base);
            entries.insert(key, value);
        }
        Ok(())
    }

    /// Goes into a `google.protobuf.Struct`, `Value` or `ListValue` as into the JSON that it is:
    /// by way of the field that holds it, which is not named.
    fn free(
        &mut self,
        message: &mut DynamicMessage,
        field: &FieldDescriptor,
        steps: &[Step],
    ) -> Result<(), String> {
        if let Some(oneof) = field.containing_oneof()
            && oneof.fields().any(|other| other != *field && message.has_field(&other))
        {
            return Err(self.wrong("is an object and a list at once"));
        }
        if field.is_map() {
            return self.map(message, field, steps);
        }
        if field.is_list() {
            return self.list(message, field, steps);
        }
        match message.get_field_mut(field) {
            Value::Message(inner) => self.message(inner, steps),
            _ => Ok(()),
        }
    }
}

/// The field by which a step goes into a message that is any JSON.
fn free_form(descriptor: &MessageDescriptor, steps: &[Step]) -> Option<FieldDescriptor> {
    let name = match (descriptor.full_name(), steps) {
        ("google.protobuf.Struct", _) => "fields",
        ("google.protobuf.ListValue", _) => "values",
        ("google.protobuf.Value", [Step::Append, ..]) => "list_value",
        ("google.protobuf.Value", [Step::Bracket(index), ..])
            if index.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            "list_value"
        }
        ("google.protobuf.Value", _) => "struct_value",
        _ => return None,
    };
    descriptor.get_field_by_name(name)
}

fn shown_key(key: &prost_reflect::MapKey) -> String {
    use prost_reflect::MapKey;
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}

#[cfg(test)]
mod tests;
