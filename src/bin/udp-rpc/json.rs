//! JSON into protobuf: prost-reflect's mapping, watched on its way.
//!
//! The mapping reads; what is here knows at each moment which field it is at. So an error can
//! name the field, a duration may be written `1500ms`, two members of a oneof are both named, and
//! what is nested too deep is refused before it takes a stack.

mod trail;
mod watch;

use std::fmt;

use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor, Value};

use trail::{Place, Trail};
use watch::{Alone, Watch};
pub(crate) use watch::{no_such_field, two_members};

/// Deepest nesting of objects and lists, levels: as deep as protobuf's own decoders go, so that
/// nothing is refused here that a server could read.
pub(crate) const NESTING_MAX: usize = 100;

/// What is wrong with a JSON text, and where.
#[derive(Debug)]
pub(crate) struct Wrong {
    /// The field, from the outermost: `.items[2].price`; empty for the whole.
    pub(crate) path: String,
    /// The sentence.
    pub(crate) message: String,
    /// Line and column, from 1, where they mean anything.
    pub(crate) at: Option<(usize, usize)>,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.trim_start_matches('.') {
            "" => f.write_str(&self.message)?,
            path => write!(f, "{path}: {}", self.message)?,
        }
        match self.at {
            Some((line, column)) => write!(f, " (line {line}, column {column})"),
            None => Ok(()),
        }
    }
}

impl Wrong {
    /// Something wrong with all of a value, in which there is no place to point at.
    pub(crate) fn here(message: String) -> Wrong {
        Wrong { path: String::new(), message, at: None }
    }

    fn new(error: &serde_json::Error, trail: &Trail) -> Wrong {
        let (line, column) = (error.line(), error.column());
        let mut message = error.to_string();
        if let Some(bare) = message.strip_suffix(&format!(" at line {line} column {column}")) {
            message = bare.to_owned();
        }
        if error.is_syntax() || error.is_eof() {
            message = format!("not JSON: {message}");
        }
        Wrong { path: trail.to_string(), message, at: (line > 0).then_some((line, column)) }
    }

    /// The same, of a text that begins at another's line `line`, behind `column` bytes of it.
    pub(crate) fn from(mut self, line: u64, column: usize) -> Wrong {
        let before = usize::try_from(line).unwrap_or(usize::MAX).saturating_sub(1);
        self.at = self.at.map(|(own_line, own_column)| {
            let behind = if own_line == 1 { column } else { 0 };
            (before.saturating_add(own_line), behind + own_column)
        });
        self
    }

    /// The sentence with the whole path, where the text was for what is at `base`.
    pub(crate) fn below(mut self, base: &str) -> String {
        self.path.insert_str(0, base);
        self.to_string()
    }
}

/// Reads a message from the whole of a text.
///
/// # Errors
///
/// Where and why the text is no such message.
pub(crate) fn message(descriptor: &MessageDescriptor, text: &str) -> Result<DynamicMessage, Wrong> {
    let trail = Trail::default();
    let mut json = serde_json::Deserializer::from_str(text);
    let watch = Watch::new(&mut json, Place::of_message(descriptor), &trail);
    let message = DynamicMessage::deserialize(descriptor.clone(), watch);
    message
        .and_then(|message| json.end().map(|()| message))
        .map_err(|error| Wrong::new(&error, &trail))
}

/// Reads what one field takes (a whole list or map, where it repeats) from the whole of a text;
/// `None` for `null`.
///
/// # Errors
///
/// As [`message`]; the path is from the field on.
pub(crate) fn field(field: &FieldDescriptor, text: &str) -> Result<Option<Value>, Wrong> {
    let trail = Trail::default();
    let mut json = serde_json::Deserializer::from_str(text);
    let watch = Watch::new(&mut json, Place::of_field(field), &trail);
    let only = Alone::new(field.name(), watch);
    let message = DynamicMessage::deserialize(field.parent_message().clone(), only);
    message
        .and_then(|message| json.end().map(|()| message))
        .map(|mut message| message.take_field(field))
        .map_err(|error| Wrong::new(&error, &trail))
}

#[cfg(test)]
mod tests;
