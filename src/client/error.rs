//! A [`CallError`] as an error of the standard library's.

use std::io;

use crate::core::{CallError, Outcome};
use crate::wire::Code;

/// For programs whose functions give `io::Result`. The [`CallError`] stays inside: outcome and
/// proof are not lost.
///
/// The kind follows the code; it is never [`Interrupted`](io::ErrorKind::Interrupted) nor
/// [`WouldBlock`](io::ErrorKind::WouldBlock), on which much code tries the same thing again:
/// whether to call again is for the outcome to say.
///
/// ```
/// use std::io;
/// use udp_rpc::core::{CallError, Outcome};
/// use udp_rpc::wire::Code;
///
/// let error = io::Error::from(CallError::never_sent(Code::DeadlineExceeded, "too late"));
/// assert_eq!(error.kind(), io::ErrorKind::TimedOut);
/// let inside = error.get_ref().and_then(|inside| inside.downcast_ref::<CallError>());
/// assert!(matches!(inside.unwrap().outcome, Outcome::NotExecuted(_)));
/// ```
impl From<CallError> for io::Error {
    fn from(error: CallError) -> Self {
        io::Error::new(kind(&error), error)
    }
}

fn kind(error: &CallError) -> io::ErrorKind {
    match error.code {
        Code::InvalidArgument | Code::OutOfRange => io::ErrorKind::InvalidInput,
        Code::DeadlineExceeded => io::ErrorKind::TimedOut,
        Code::NotFound => io::ErrorKind::NotFound,
        Code::AlreadyExists => io::ErrorKind::AlreadyExists,
        Code::PermissionDenied | Code::Unauthenticated => io::ErrorKind::PermissionDenied,
        Code::ResourceExhausted => io::ErrorKind::QuotaExceeded,
        Code::Unimplemented => io::ErrorKind::Unsupported,
        Code::DataLoss => io::ErrorKind::InvalidData,
        // Refused as a connection is, or broken off as one is.
        Code::Unavailable => match error.outcome {
            Outcome::NotExecuted(_) => io::ErrorKind::ConnectionRefused,
            Outcome::Unknown => io::ErrorKind::ConnectionReset,
            Outcome::Executed => io::ErrorKind::Other,
        },
        _ => io::ErrorKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_kind_makes_a_loop_try_again_by_itself() {
        for number in 1..=16 {
            for outcome in [Outcome::Executed, Outcome::Unknown] {
                let code = Code::from_u8(number);
                let error = CallError { outcome, ..CallError::never_sent(code, "") };
                let kind = io::Error::from(error).kind();
                assert!(
                    !matches!(kind, io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock),
                    "{code:?}"
                );
            }
        }
    }

    #[test]
    fn nobody_there_is_a_connection_refused_and_a_restart_is_one_reset() {
        let refused = CallError::never_sent(Code::Unavailable, "");
        let reset = CallError { outcome: Outcome::Unknown, ..refused.clone() };
        assert_eq!(kind(&refused), io::ErrorKind::ConnectionRefused);
        assert_eq!(kind(&reset), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn error_inside_tells_all_that_it_told_before() {
        let error = CallError::never_sent(Code::Aborted, "two at once");
        let io = io::Error::from(error.clone());
        assert_eq!(io.to_string(), error.to_string());
        assert_eq!(io.downcast::<CallError>().unwrap(), error);
    }
}
