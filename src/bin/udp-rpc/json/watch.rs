//! A serde deserializer around another, which watches what passes.
//!
//! Everything is handed on as it is, but for durations, which are rewritten, and errors, which are
//! said in our words. Types do not grow with the nesting: each level wraps what the inner
//! deserializer gives, never a wrapper.

use std::collections::BTreeSet;
use std::fmt;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde::de::{
    DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::trail::{Place, Step, Trail};
use crate::nearest::nearest;
use crate::scalar;
use crate::wellknown;

/// The deserializer for one place.
pub(super) struct Watch<'t, D> {
    inner: D,
    place: Place,
    trail: &'t Trail,
}

impl<'t, D> Watch<'t, D> {
    pub(super) fn new(inner: D, place: Place, trail: &'t Trail) -> Self {
        Watch { inner, place, trail }
    }
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Watch<'_, D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let Watch { inner, place, trail } = self;
        inner.deserialize_any(Watched { visitor, place, trail })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let Watch { inner, place, trail } = self;
        inner.deserialize_option(Watched { visitor, place, trail })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// The mapping's visitor, watched.
struct Watched<'t, V> {
    visitor: V,
    place: Place,
    trail: &'t Trail,
}

impl<V> Watched<'_, V> {
    /// What became of a bare value, with the refusal in our words.
    fn bare<T, E: Error>(self, shown: &str, visit: impl FnOnce(V) -> Result<T, E>) -> Result<T, E> {
        let Watched { visitor, place, .. } = self;
        visit(visitor).map_err(|why| E::custom(place.refusal(shown, &why)))
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Watched<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<V::Value, E> {
        self.bare(if value { "true" } else { "false" }, |visitor| visitor.visit_bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<V::Value, E> {
        self.bare(&value.to_string(), |visitor| visitor.visit_i64(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<V::Value, E> {
        self.bare(&value.to_string(), |visitor| visitor.visit_u64(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<V::Value, E> {
        self.bare(&value.to_string(), |visitor| visitor.visit_f64(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<V::Value, E> {
        let shown = format!("\"{value}\"");
        if let Place::Value(Kind::Message(message)) = &self.place
            && wellknown::is_duration(message)
            && let Ok(rewritten) = scalar::json_duration(value)
        {
            return self.bare(&shown, |visitor| visitor.visit_str(&rewritten));
        }
        self.bare(&shown, |visitor| visitor.visit_str(value))
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.trail.note_null();
        self.bare("null", Visitor::visit_unit)
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.trail.note_null();
        self.visitor.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        let Watched { visitor, place, trail } = self;
        visitor.visit_some(Watch { inner: deserializer, place, trail })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<V::Value, A::Error> {
        let Watched { visitor, place, trail } = self;
        trail.enter().map_err(A::Error::custom)?;
        let element = match &place {
            Place::List(kind) => Place::of_kind(kind),
            Place::Free => Place::Free,
            other => return Err(A::Error::custom(other.refusal("a list", &""))),
        };
        let value = visitor.visit_seq(Elements { inner: list, element, next: 0, trail })?;
        trail.leave();
        Ok(value)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        let Watched { visitor, place, trail } = self;
        trail.enter().map_err(A::Error::custom)?;
        if let Place::List(_) | Place::Value(_) = &place {
            return Err(A::Error::custom(place.refusal("an object", &"")));
        }
        let value = visitor.visit_map(Entries {
            inner: map,
            place,
            value: Place::Free,
            names: BTreeSet::new(),
            members: Vec::new(),
            is_member: false,
            trail,
        })?;
        trail.leave();
        Ok(value)
    }
}

/// The elements of a list.
struct Elements<'t, A> {
    inner: A,
    element: Place,
    next: usize,
    trail: &'t Trail,
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Elements<'_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.trail.push(Step::Index(self.next));
        self.next += 1;
        let seed = Inside { seed, place: self.element.clone(), trail: self.trail };
        let element = self.inner.next_element_seed(seed)?;
        self.trail.pop();
        Ok(element)
    }
}

/// The entries of an object.
struct Entries<'t, A> {
    inner: A,
    place: Place,
    /// What the value of the key that was read last is for.
    value: Place,
    /// The keys so far, fields by their names in the .proto.
    names: BTreeSet<String>,
    /// The members of oneofs that were given so far.
    members: Vec<FieldDescriptor>,
    /// Whether the last of them is what is read now.
    is_member: bool,
    trail: &'t Trail,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Entries<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let Some(key) = self.inner.next_key::<String>()? else { return Ok(None) };
        self.key(&key).map_err(A::Error::custom)?;
        seed.deserialize(key.into_deserializer()).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let place = std::mem::replace(&mut self.value, Place::Free);
        let value = self.inner.next_value_seed(Inside { seed, place, trail: self.trail })?;
        if self.trail.pop() && self.is_member {
            // Null is as if it had not been there.
            self.members.pop();
        }
        Ok(value)
    }
}

impl<A> Entries<'_, A> {
    /// Judges a key, and goes to its value.
    fn key(&mut self, key: &str) -> Result<(), String> {
        let (step, name, value) = match &self.place {
            Place::Message(message) => match field(message, key) {
                Some(field) => {
                    let name = field.name().to_owned();
                    (Step::Field(name.clone()), name, Place::of_field(&field))
                }
                // An extension; the mapping knows it, or says that nobody does.
                None if key.starts_with('[') => {
                    (Step::Field(key.to_owned()), key.to_owned(), Place::Free)
                }
                None => return Err(no_such_field(message, key)),
            },
            Place::Map(entry) => {
                let kind = entry.map_entry_value_field().kind();
                (Step::Key(key.to_owned()), key.to_owned(), Place::of_kind(&kind))
            }
            _ => (Step::Field(key.to_owned()), key.to_owned(), Place::Free),
        };
        self.trail.push(step);
        self.value = value;
        self.is_member = false;
        if let Place::Map(entry) = &self.place {
            scalar::map_key(&entry.map_entry_key_field().kind(), key)?;
        }
        if self.names.contains(&name) {
            return Err("is given twice".to_owned());
        }
        if let Place::Message(message) = &self.place
            && let Some(field) = message.get_field_by_name(&name)
        {
            self.member(field)?;
        }
        self.names.insert(name);
        Ok(())
    }

    /// Judges a member of a oneof.
    fn member(&mut self, field: FieldDescriptor) -> Result<(), String> {
        let Some(oneof) = field.containing_oneof() else { return Ok(()) };
        let same = |other: &&FieldDescriptor| other.containing_oneof().as_ref() == Some(&oneof);
        if let Some(other) = self.members.iter().find(same) {
            return Err(two_members(other, &field));
        }
        self.members.push(field);
        self.is_member = true;
        Ok(())
    }
}

fn field(message: &MessageDescriptor, key: &str) -> Option<FieldDescriptor> {
    message.get_field_by_json_name(key).or_else(|| message.get_field_by_name(key))
}

/// That a message has no field of this name, what it has, and which is nearest.
pub(crate) fn no_such_field(message: &MessageDescriptor, name: &str) -> String {
    let fields: Vec<FieldDescriptor> = message.fields().collect();
    let meant = match nearest(name, fields.iter().map(FieldDescriptor::name)) {
        Some(name) => format!("; did you mean {name}?"),
        None => String::new(),
    };
    let has = match scalar::listed(fields.iter().map(|field| field.name().to_owned())) {
        none if none.is_empty() => "no fields".to_owned(),
        names => names,
    };
    let name = scalar::quoted(name);
    format!("there is no field {name} ({} has {has}){meant}", message.full_name())
}

/// That two members of one oneof are given.
pub(crate) fn two_members(first: &FieldDescriptor, second: &FieldDescriptor) -> String {
    format!("only one of {} and {} may be given", first.name(), second.name())
}

/// A seed whose deserializer is watched.
struct Inside<'t, S> {
    seed: S,
    place: Place,
    trail: &'t Trail,
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Inside<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        let Inside { seed, place, trail } = self;
        seed.deserialize(Watch { inner: deserializer, place, trail })
    }
}

/// An object of one entry: so a field's value alone goes through the mapping, which knows whole
/// messages only.
pub(super) struct Alone<'n, D> {
    entry: Option<(&'n str, D)>,
    value: Option<D>,
}

impl<'n, D> Alone<'n, D> {
    pub(super) fn new(name: &'n str, value: D) -> Self {
        Alone { entry: Some((name, value)), value: None }
    }
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Alone<'_, D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        visitor.visit_map(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
        option
    }
}

impl<'de, D: Deserializer<'de>> MapAccess<'de> for Alone<'_, D> {
    type Error = D::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, D::Error> {
        let Some((name, value)) = self.entry.take() else { return Ok(None) };
        self.value = Some(value);
        seed.deserialize(name.into_deserializer()).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, D::Error> {
        match self.value.take() {
            Some(value) => seed.deserialize(value),
            None => Err(D::Error::custom("a value without a key")),
        }
    }
}
