//! Why a server refuses (REFUSED), and how far a call has come (PROGRESS).

use std::fmt;

use super::Code;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $number:literal $code:ident $text:literal,)*) => {
        /// Why a server says REFUSED.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $($(#[$doc])* $variant,)*
            /// A reason that this version does not know.
            Other(u8),
        }

        impl Reason {
            /// Every reason that has a name, in the order of their numbers.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant),*];

            /// The reason with this number.
            pub const fn from_u8(number: u8) -> Self {
                match number {
                    $($number => Reason::$variant,)*
                    other => Reason::Other(other),
                }
            }

            /// Its number.
            pub const fn to_u8(self) -> u8 {
                match self {
                    $(Reason::$variant => $number,)*
                    Reason::Other(number) => number,
                }
            }

            /// The status code by which a caller learns of it.
            pub const fn code(self) -> Code {
                match self {
                    $(Reason::$variant => Code::$code,)*
                    Reason::Other(_) => Code::Unavailable,
                }
            }

            /// What it says, in words.
            pub const fn text(self) -> &'static str {
                match self {
                    $(Reason::$variant => $text,)*
                    Reason::Other(_) => "refused for a reason that this version does not know",
                }
            }
        }
    };
}

reasons! {
    /// The server knows no such session and may create none. Proves "did not run" only under the
    /// inequality of `PROTOCOL.md`.
    UnknownSession = 1 Unavailable "unknown session",
    /// No memory for a session. Nothing is recorded; the same call may run later.
    NoRoomForSession = 2 ResourceExhausted "no room for a session",
    /// No memory for a slot's record. Nothing is recorded; the same call may run later.
    NoRoomForRecord = 3 ResourceExhausted "no room for a record",
    /// The slot has moved on to a larger call id.
    Stale = 4 Aborted "stale call id",
    /// The same call id came with another request.
    IdReused = 5 Internal "call id reused for another request",
    /// The call ran; its reply is no longer kept.
    ReplyGone = 6 DataLoss "it ran, and its reply is no longer kept",
    /// Not now. Nothing is recorded; the same call may run later.
    Later = 7 ResourceExhausted "later",
    /// The call's expiry passed before it started.
    Expired = 16 DeadlineExceeded "deadline exceeded before it started",
    /// A fence came before the call started.
    Fenced = 17 Cancelled "fenced",
    /// The server is shutting down and takes no new calls.
    Draining = 18 Unavailable "draining",
    /// The queue of calls is full.
    Overloaded = 19 ResourceExhausted "queue full",
    /// No method with this id.
    UnknownMethod = 20 Unimplemented "unknown method",
    /// The caller may not call this.
    Unauthorised = 21 PermissionDenied "not authorised",
    /// Too many calls in too short a time.
    RateLimited = 22 ResourceExhausted "rate limited",
    /// No memory in which to keep the reply.
    NoRoomForReply = 23 ResourceExhausted "no room for the reply",
    /// As many handlers of this session run as it has slots.
    TooManyRunning = 24 ResourceExhausted "too many handlers of this session are running",
    /// The expiry lies beyond the longest deadline that the server announced.
    DeadlineTooFar = 25 InvalidArgument "deadline beyond the longest that the server allows",
    /// An option that must be understood was not.
    UnknownOption = 26 Unimplemented "unknown critical option",
    /// The request is longer than its method takes.
    RequestTooLarge = 27 ResourceExhausted "request too large",
    /// A shape of call that this method, or this server, does not have.
    UnsupportedShape = 28 Unimplemented "shape of call not supported",
    /// The caller has not said who it is, or not in a way that the server believes.
    Unauthenticated = 29 Unauthenticated "not authenticated",
}

impl Reason {
    /// Whether it may well be gone in a moment, so that a call which it kept from running is worth
    /// issuing again.
    pub const fn is_passing(self) -> bool {
        matches!(
            self,
            Reason::Draining
                | Reason::Overloaded
                | Reason::RateLimited
                | Reason::NoRoomForReply
                | Reason::TooManyRunning
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Other(number) => write!(f, "refused for reason {number}"),
            known => f.write_str(known.text()),
        }
    }
}

/// How far a call has come, as PROGRESS tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SlotState {
    /// Not seen, which proves nothing: a copy may still be on its way.
    Empty,
    /// Parts of the request have come.
    Receiving,
    /// It waits for its turn.
    Queued,
    /// Its handler runs.
    Running,
    /// A state that this version does not know.
    Other(u8),
}

impl SlotState {
    /// The state with this number.
    pub const fn from_u8(number: u8) -> Self {
        match number {
            0 => SlotState::Empty,
            1 => SlotState::Receiving,
            2 => SlotState::Queued,
            3 => SlotState::Running,
            other => SlotState::Other(other),
        }
    }

    /// Its number.
    pub const fn to_u8(self) -> u8 {
        match self {
            SlotState::Empty => 0,
            SlotState::Receiving => 1,
            SlotState::Queued => 2,
            SlotState::Running => 3,
            SlotState::Other(number) => number,
        }
    }
}

impl fmt::Display for SlotState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SlotState::Empty => f.write_str("not seen"),
            SlotState::Receiving => f.write_str("receiving"),
            SlotState::Queued => f.write_str("queued"),
            SlotState::Running => f.write_str("running"),
            SlotState::Other(number) => write!(f, "state {number}"),
        }
    }
}
