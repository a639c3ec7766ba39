//! Where in a message the mapping is, and of what type that place is.

use std::cell::{Cell, RefCell};
use std::fmt;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::NESTING_MAX;
use crate::scalar;
use crate::wellknown;

/// What a place in the JSON is for.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// An object of fields.
    Message(MessageDescriptor),
    /// A list of these.
    List(Kind),
    /// An object of keys; its entry's type.
    Map(MessageDescriptor),
    /// A single value: a scalar, an enum, or a message that JSON writes as a string.
    Value(Kind),
    /// Whatever: the mapping takes any JSON.
    Free,
}

impl Place {
    pub(super) fn of_field(field: &FieldDescriptor) -> Place {
        match field.kind() {
            Kind::Message(entry) if field.is_map() => Place::Map(entry),
            kind if field.is_list() => Place::List(kind),
            kind => Place::of_kind(&kind),
        }
    }

    pub(super) fn of_kind(kind: &Kind) -> Place {
        match kind {
            Kind::Message(message) => Place::of_message(message),
            Kind::Enum(values) if values.full_name() == "google.protobuf.NullValue" => Place::Free,
            kind => Place::Value(kind.clone()),
        }
    }

    pub(super) fn of_message(message: &MessageDescriptor) -> Place {
        if wellknown::is_free_form(message) {
            Place::Free
        } else if wellknown::is_string(message) {
            Place::Value(Kind::Message(message.clone()))
        } else if let Some(kind) = wellknown::wrapped(message) {
            Place::Value(kind)
        } else {
            Place::Message(message.clone())
        }
    }

    /// Why a value does not fit here, in the words in which the same is said of an argument.
    /// `shown` is the value as JSON, or what it is; `why` is what the mapping says.
    pub(super) fn refusal(&self, shown: &str, why: &dyn fmt::Display) -> String {
        let string = shown.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        let quoted = string.map_or_else(|| shown.to_owned(), scalar::quoted);
        let text = string.unwrap_or(shown);
        match self {
            Place::Message(message) => {
                format!("{quoted} is not a {}, an object", message.full_name())
            }
            Place::Map(_) => format!("{quoted} is not a map, an object"),
            Place::List(_) => format!("{quoted} is not a list"),
            Place::Free => why.to_string(),
            Place::Value(Kind::Enum(values)) => {
                scalar::enum_number(values, text).err().unwrap_or_else(|| why.to_string())
            }
            Place::Value(Kind::Bool) => format!("{quoted} is neither true nor false"),
            Place::Value(kind @ (Kind::String | Kind::Bytes)) if string.is_none() => {
                format!("{shown} is not {}, which JSON writes in quotes", scalar::one(kind))
            }
            Place::Value(Kind::Bytes) => format!("{quoted} is not base64"),
            Place::Value(kind @ Kind::Message(message)) => {
                let own = wellknown::is_duration(message).then(|| scalar::json_duration(text));
                let why = own.and_then(Result::err).unwrap_or_else(|| why.to_string());
                format!("{quoted} is not {}: {why}", scalar::one(kind))
            }
            Place::Value(kind) => {
                let told = scalar::parse(kind, text).err();
                told.filter(|told| told.contains("does not fit"))
                    .unwrap_or_else(|| format!("{quoted} is not {}", scalar::one(kind)))
            }
        }
    }
}

/// One step from a place to one within it.
#[derive(Debug)]
pub(super) enum Step {
    Field(String),
    Key(String),
    Index(usize),
}

/// The way from the whole to where the mapping is. After an error it stays as it was there.
#[derive(Debug, Default)]
pub(super) struct Trail {
    steps: RefCell<Vec<Step>>,
    depth: Cell<usize>,
    /// How many steps deep the last null was.
    null: Cell<Option<usize>>,
}

impl Trail {
    /// Goes a step down.
    pub(super) fn push(&self, step: Step) {
        self.steps.borrow_mut().push(step);
        self.null.set(None);
    }

    /// Goes back up; whether what was there is null.
    pub(super) fn pop(&self) -> bool {
        let mut steps = self.steps.borrow_mut();
        let null = self.null.get() == Some(steps.len());
        steps.pop();
        null
    }

    /// Notes that there is a null here.
    pub(super) fn note_null(&self) {
        self.null.set(Some(self.steps.borrow().len()));
    }

    /// Enters an object or a list.
    ///
    /// # Errors
    ///
    /// It is too deep.
    pub(super) fn enter(&self) -> Result<(), String> {
        if self.depth.get() == NESTING_MAX {
            // Where exactly says nothing, and takes a page.
            self.steps.borrow_mut().truncate(1);
            return Err(format!("nested deeper than {NESTING_MAX} levels, the limit"));
        }
        self.depth.set(self.depth.get() + 1);
        Ok(())
    }

    /// Leaves it.
    pub(super) fn leave(&self) {
        self.depth.set(self.depth.get().saturating_sub(1));
    }
}

impl fmt::Display for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in self.steps.borrow().iter() {
            match step {
                Step::Field(name) => write!(f, ".{name}")?,
                Step::Key(key) => write!(f, "[{}]", scalar::quoted(key).trim_matches('"'))?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}
