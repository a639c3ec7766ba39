//! How a call fails: a code, a message for people and details for programs.
//!
//! A handler returns `Result<_, Status>`. On the wire a status that is not OK is the REPLY's code
//! and body; [`Status::emit`] writes that body and never more than there is room for.

use std::borrow::Cow;
use std::fmt;

use crate::wire::{Code, StatusBody};

/// Why a procedure failed. The caller sees it as an *executed* error: the procedure ran.
///
/// ```
/// use udp_rpc::service::Status;
///
/// fn half(n: i64) -> Result<i64, Status> {
///     if n % 2 == 0 { Ok(n / 2) } else { Err(Status::invalid_argument("n is odd")) }
/// }
/// assert_eq!(half(3).unwrap_err().to_string(), "INVALID_ARGUMENT: n is odd");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// What kind of failure, in gRPC's numbers. Never [`Code::Ok`] once it is sent: see
    /// [`Status::new`].
    pub code: Code,
    /// What went wrong, for people.
    pub message: String,
    /// What went wrong, for programs: a serialised `google.rpc.Status` with nothing but its
    /// `details`. [`with_detail`](Self::with_detail) and [`details`](super::details) write and read
    /// them.
    pub details: Vec<u8>,
}

impl Status {
    /// A failure without details. [`Code::Ok`] is no failure and becomes [`Code::Unknown`].
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let code = if code == Code::Ok { Code::Unknown } else { code };
        Self { code, message: message.into(), details: Vec::new() }
    }

    /// The same failure with these bytes for its details, in place of what was there.
    #[must_use]
    pub fn with_details(mut self, details: Vec<u8>) -> Self {
        self.details = details;
        self
    }

    /// Appends the body of the REPLY that carries this status, in at most `room` bytes: the
    /// message is cut at a character, and details that do not fit whole are left out.
    pub fn emit(&self, room: usize, out: &mut Vec<u8>) {
        StatusBody { message: Cow::Borrowed(&self.message), details: &self.details }
            .emit(out, room);
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.message)
    }
}

impl std::error::Error for Status {}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $code:ident,)*) => {
        impl Status {
            $($(#[$doc])*
            pub fn $name(message: impl Into<String>) -> Self {
                Self::new(Code::$code, message)
            })*
        }
    };
}

constructors! {
    /// The caller gave up, or a newer call took this one's place.
    cancelled => Cancelled,
    /// A failure of which no more is known.
    unknown => Unknown,
    /// The arguments are wrong whatever the state of the system.
    invalid_argument => InvalidArgument,
    /// The deadline passed before the work was done.
    deadline_exceeded => DeadlineExceeded,
    /// Something asked for is not there.
    not_found => NotFound,
    /// Something to be made is there already.
    already_exists => AlreadyExists,
    /// The caller may not do this.
    permission_denied => PermissionDenied,
    /// A limit has been reached; the message names it.
    resource_exhausted => ResourceExhausted,
    /// The system is not in the state that this needs.
    failed_precondition => FailedPrecondition,
    /// Given up because of a conflict with something concurrent.
    aborted => Aborted,
    /// The operation leaves the valid range.
    out_of_range => OutOfRange,
    /// Not offered here.
    unimplemented => Unimplemented,
    /// Something that must hold does not; a fault of the service.
    internal => Internal,
    /// Not there at the moment; later may be better.
    unavailable => Unavailable,
    /// Data is lost for good.
    data_loss => DataLoss,
    /// The caller has not said who it is.
    unauthenticated => Unauthenticated,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ok_is_never_a_failure() {
        assert_eq!(Status::new(Code::Ok, "").code, Code::Unknown);
    }

    #[test]
    fn body_is_cut_at_a_character_to_fit_its_room() {
        let mut body = Vec::new();
        Status::internal("ääää").with_details(vec![7]).emit(7, &mut body);
        assert!(body.len() <= 7);
        let read = StatusBody::parse(&body);
        assert_eq!(read.message, "ää");
        assert_eq!(Status::internal("x").emit(2, &mut Vec::new()), ());
    }

    #[test]
    fn body_carries_message_and_details() {
        let mut body = Vec::new();
        Status::not_found("no").with_details(vec![1, 2]).emit(100, &mut body);
        let read = StatusBody::parse(&body);
        assert_eq!((read.message.as_ref(), read.details), ("no", &[1, 2][..]));
    }
}
