//! The body of a REPLY whose status is not OK: a message and details.

use std::borrow::Cow;

/// Message and details of a status that is not OK.
///
/// On the wire: the message's length in bytes (u16), the message in UTF-8, then the details to
/// the end of the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusBody<'a> {
    /// What went wrong, for people. Bytes that are not UTF-8 arrive as U+FFFD.
    pub message: Cow<'a, str>,
    /// What went wrong, for programs; opaque here.
    pub details: &'a [u8],
}

impl<'a> StatusBody<'a> {
    /// Reads a body. One that is cut short gives what is there: an error must never be lost
    /// because its text is damaged.
    pub fn parse(body: &'a [u8]) -> Self {
        let (message, details) = match body {
            [high, low, rest @ ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                rest.split_at_checked(length).unwrap_or((rest, &[]))
            }
            _ => (&[][..], &[][..]),
        };
        Self { message: String::from_utf8_lossy(message), details }
    }

    /// Appends the body to `out`, in at most `room` bytes (at least 2): the message is cut at a
    /// character, and details that do not fit whole are left out.
    pub fn emit(&self, out: &mut Vec<u8>, room: usize) {
        let room = room.saturating_sub(2).min(usize::from(u16::MAX));
        let mut length = self.message.len().min(room);
        while !self.message.is_char_boundary(length) {
            length -= 1;
        }
        let (message, _) = self.message.split_at(length);
        out.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(message.as_bytes());
        if self.details.len() <= room - length {
            out.extend_from_slice(self.details);
        }
    }
}
