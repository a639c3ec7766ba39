//! Status codes: gRPC's seventeen, with their numbers.

use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal $name:literal,)*) => {
        /// The status of a call, with the numbers and names of gRPC (`google.rpc.Code`).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Code {
            $($(#[$doc])* $variant = $number,)*
        }

        impl Code {
            /// All codes, in the order of their numbers.
            pub const ALL: [Code; 17] = [$(Code::$variant),*];

            /// The code with this number; a number that nobody has assigned is [`Code::Unknown`],
            /// as gRPC has it.
            pub const fn from_u8(number: u8) -> Self {
                match number {
                    $($number => Code::$variant,)*
                    _ => Code::Unknown,
                }
            }

            /// Its name as gRPC writes it, such as `DEADLINE_EXCEEDED`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Code::$variant => $name,)*
                }
            }
        }
    };
}

codes! {
    /// No error.
    Ok = 0 "OK",
    /// The caller cancelled.
    Cancelled = 1 "CANCELLED",
    /// An error that says no more.
    Unknown = 2 "UNKNOWN",
    /// The arguments are wrong whatever the state of the system.
    InvalidArgument = 3 "INVALID_ARGUMENT",
    /// The deadline passed.
    DeadlineExceeded = 4 "DEADLINE_EXCEEDED",
    /// Something asked for is not there.
    NotFound = 5 "NOT_FOUND",
    /// Something to be made is there already.
    AlreadyExists = 6 "ALREADY_EXISTS",
    /// The caller may not do this.
    PermissionDenied = 7 "PERMISSION_DENIED",
    /// A limit has been reached.
    ResourceExhausted = 8 "RESOURCE_EXHAUSTED",
    /// The system is not in the state that this needs.
    FailedPrecondition = 9 "FAILED_PRECONDITION",
    /// Given up because of a conflict.
    Aborted = 10 "ABORTED",
    /// Past the valid range.
    OutOfRange = 11 "OUT_OF_RANGE",
    /// No such method here.
    Unimplemented = 12 "UNIMPLEMENTED",
    /// Something that must hold does not.
    Internal = 13 "INTERNAL",
    /// Not there at the moment.
    Unavailable = 14 "UNAVAILABLE",
    /// Data is lost for good.
    DataLoss = 15 "DATA_LOSS",
    /// The caller has not said who it is.
    Unauthenticated = 16 "UNAUTHENTICATED",
}

impl Code {
    /// Its number.
    pub const fn to_u8(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
