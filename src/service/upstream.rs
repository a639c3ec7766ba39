//! What becomes of a call whose handler made another that failed.

use super::Status;
use crate::core::CallError;

/// So that `?` in a handler passes the failure of a call that it made on to its own caller: with
/// the code and the details, and with all that is known about it as the message.
///
/// The outcome does not pass on, because it is not this call's: this one ran, and its caller hears
/// *executed*, whatever is known about the other. A code that would mislead, such as an
/// UNAUTHENTICATED that means this server and not its caller, is the handler's to change.
///
/// ```
/// use udp_rpc::core::CallError;
/// use udp_rpc::service::Status;
/// use udp_rpc::wire::Code;
///
/// fn handler(other: Result<Vec<u8>, CallError>) -> Result<Vec<u8>, Status> {
///     Ok(other?)
/// }
/// let error = CallError::never_sent(Code::Unavailable, "nobody is there");
/// let status = handler(Err(error)).unwrap_err();
/// assert_eq!(status.code, Code::Unavailable);
/// assert!(status.message.starts_with("a call that it made: UNAVAILABLE: nobody is there"));
/// ```
impl From<CallError> for Status {
    fn from(error: CallError) -> Self {
        let message = format!("a call that it made: {error}");
        Status::new(error.code, message).with_details(error.details)
    }
}
