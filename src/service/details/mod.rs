//! What went wrong, for programs: typed details of a [`Status`], in the shape of
//! [`google.rpc.Status`](https://google.aip.dev/193), as gRPC services have them.
//!
//! The `details` bytes of a status are the serialised `google.rpc.Status` without its code and
//! message, which travel apart: field 3 only, a list of `google.protobuf.Any`. A service adds to
//! them with [`Status::with_detail`]; its caller reads them with [`Details`]. Bytes that are
//! something else are no details, and stay there as they came.
//!
//! ```
//! use std::time::Duration;
//! use udp_rpc::service::Status;
//! use udp_rpc::service::details::{BadRequest, Details, ErrorInfo, RetryInfo};
//!
//! let status = Status::resource_exhausted("the kitchen is busy")
//!     .with_detail(&ErrorInfo::new("KITCHEN_BUSY", "shop.example").with("orders", "17"))
//!     .with_detail(&RetryInfo::after(Duration::from_secs(30)));
//!
//! // What the caller sees: the same of a `CallError`.
//! let info: ErrorInfo = status.detail().unwrap();
//! assert_eq!((info.reason.as_str(), info.metadata["orders"].as_str()), ("KITCHEN_BUSY", "17"));
//! let retry: RetryInfo = status.detail().unwrap();
//! assert_eq!(retry.delay(), Some(Duration::from_secs(30)));
//!
//! let status = Status::invalid_argument("two fields are wrong").with_detail(
//!     &BadRequest::field("name", "is empty").and_field("items[2].count", "is negative"),
//! );
//! let violations = status.detail::<BadRequest>().unwrap().field_violations;
//! assert_eq!(violations[1].field, "items[2].count");
//! ```
//!
//! A reply has room for one datagram, and details go into it whole or not at all: keep them to a
//! few hundred bytes. When they do not fit, code and message arrive without them.

mod make;

mod generated {
    include!("generated/google.rpc.rs");
}

/// The descriptors of `google/rpc/status.proto` and `google/rpc/error_details.proto` and of what
/// they import: a serialised `google.protobuf.FileDescriptorSet`.
pub use generated::DESCRIPTORS;
use generated::google::rpc as google;

pub use google::bad_request::FieldViolation;
pub use google::help::Link;
pub use google::precondition_failure::Violation as PreconditionViolation;
pub use google::quota_failure::Violation as QuotaViolation;
pub use google::{
    BadRequest, DebugInfo, ErrorInfo, Help, LocalizedMessage, PreconditionFailure, QuotaFailure,
    RequestInfo, ResourceInfo, RetryInfo, Status as RpcStatus,
};
pub use prost_types::Any;

use prost::{Message, Name};

use super::Status;
use crate::core::CallError;
use crate::wire::Code;

/// What stands before the name of a message in the type URL of an [`Any`], unless the message
/// says otherwise.
const TYPE_URL_PREFIX: &str = "type.googleapis.com/";

/// Reads the details of a failure.
///
/// Whatever the bytes are, reading them is harmless: what does not decode is not there.
pub trait Details {
    /// Code, message and details as one message, such as gRPC puts into `grpc-status-details-bin`.
    fn rpc_status(&self) -> RpcStatus;

    /// All details, in the order in which they were added; none if the bytes are something else.
    fn details(&self) -> Vec<Any> {
        self.rpc_status().details
    }

    /// The first detail of this type that decodes.
    fn detail<T: Name + Default>(&self) -> Option<T> {
        let wanted = T::full_name();
        self.details()
            .iter()
            .filter(|any| any.type_url.rsplit('/').next() == Some(wanted.as_str()))
            .find_map(|any| T::decode(any.value.as_slice()).ok())
    }
}

impl Details for Status {
    fn rpc_status(&self) -> RpcStatus {
        rpc_status(self.code, &self.message, &self.details)
    }
}

/// What the server said, when the call was executed.
impl Details for CallError {
    fn rpc_status(&self) -> RpcStatus {
        rpc_status(self.code, &self.message, &self.details)
    }
}

/// Code and message stand apart on the wire; whatever the details say of them does not count.
fn rpc_status(code: Code, message: &str, details: &[u8]) -> RpcStatus {
    RpcStatus {
        code: code.to_u8().into(),
        message: message.to_owned(),
        details: RpcStatus::decode(details).unwrap_or_default().details,
    }
}

impl Status {
    /// The same failure with one detail more. It goes after those that are there; bytes that
    /// [`with_details`](Self::with_details) gave are to be such details too.
    ///
    /// ```
    /// use udp_rpc::service::Status;
    /// use udp_rpc::service::details::{BadRequest, Details};
    ///
    /// let status = Status::invalid_argument("n is odd")
    ///     .with_detail(&BadRequest::field("n", "must be even"));
    /// assert_eq!(status.details().len(), 1);
    /// ```
    #[must_use]
    pub fn with_detail(mut self, detail: &impl Name) -> Self {
        let any = Any { type_url: type_url(detail), value: detail.encode_to_vec() };
        // Messages in a row are one message: repeated fields add up.
        self.details
            .extend(RpcStatus { details: vec![any], ..RpcStatus::default() }.encode_to_vec());
        self
    }
}

fn type_url<T: Name>(_: &T) -> String {
    let said = T::type_url();
    match said.split_once('/') {
        Some((domain, _)) if !domain.is_empty() => said,
        _ => format!("{TYPE_URL_PREFIX}{}", T::full_name()),
    }
}

/// A code that is none of gRPC's becomes UNKNOWN, and so does OK, which is no failure.
impl From<RpcStatus> for Status {
    fn from(RpcStatus { code, message, details }: RpcStatus) -> Self {
        let code = u8::try_from(code).map_or(Code::Unknown, Code::from_u8);
        let details = RpcStatus { details, ..RpcStatus::default() };
        Self::new(code, message).with_details(details.encode_to_vec())
    }
}

impl From<&Status> for RpcStatus {
    fn from(status: &Status) -> Self {
        status.rpc_status()
    }
}

impl From<Status> for RpcStatus {
    fn from(status: Status) -> Self {
        status.rpc_status()
    }
}

impl From<&CallError> for RpcStatus {
    fn from(error: &CallError) -> Self {
        error.rpc_status()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::StatusBody;

    /// A detail of somebody's own, of a package without a name.
    #[derive(Clone, PartialEq, prost::Message)]
    struct Own {
        #[prost(uint32, tag = "1")]
        n: u32,
    }

    impl Name for Own {
        const NAME: &'static str = "Own";
        const PACKAGE: &'static str = "";
    }

    #[test]
    fn details_are_google_rpc_status_without_code_and_message() {
        let status = Status::not_found("no").with_detail(&ErrorInfo::new("GONE", "shop"));
        // From the specification of protobuf: field 3, an Any whose field 1 is the URL and whose
        // field 2 the ErrorInfo.
        let url = b"type.googleapis.com/google.rpc.ErrorInfo";
        let info = b"\x0a\x04GONE\x12\x04shop";
        let any = [&[0x0a, 40], &url[..], &[0x12, 12], &info[..]].concat();
        assert_eq!(status.details, [&[0x1a, 56], any.as_slice()].concat());

        // Together with code and message it is the whole.
        let head = RpcStatus { code: 5, message: "no".into(), details: Vec::new() };
        let whole = [head.encode_to_vec(), status.details.clone()].concat();
        assert_eq!(RpcStatus::decode(whole.as_slice()).unwrap(), status.rpc_status());
    }

    #[test]
    fn details_of_several_types_are_found_by_type_and_kept_in_order() {
        let status = Status::aborted("")
            .with_detail(&Own { n: 1 })
            .with_detail(&ErrorInfo::new("A", "b"))
            .with_detail(&Own { n: 2 });
        assert_eq!(status.detail(), Some(Own { n: 1 }));
        assert_eq!(status.detail(), Some(ErrorInfo::new("A", "b")));
        assert_eq!(status.detail::<RetryInfo>(), None);
        let urls = status.details().into_iter().map(|any| any.type_url).collect::<Vec<_>>();
        let own = "type.googleapis.com/Own";
        assert_eq!(urls, [own, "type.googleapis.com/google.rpc.ErrorInfo", own]);
    }

    #[test]
    fn status_survives_the_way_to_google_rpc_status_and_back() {
        let status = Status::unavailable("later").with_detail(&Own { n: 7 });
        assert_eq!(Status::from(RpcStatus::from(&status)), status);
        for (code, expected) in [(0, Code::Unknown), (-1, Code::Unknown), (256 + 5, Code::Unknown)]
        {
            let made = Status::from(RpcStatus { code, ..RpcStatus::default() });
            assert_eq!((made.code, made.details.as_slice()), (expected, &[][..]));
        }
    }

    #[test]
    fn details_cannot_change_code_or_message() {
        let lie = RpcStatus { code: 0, message: "all is well".into(), details: Vec::new() };
        let status = Status::internal("bad").with_details(lie.encode_to_vec());
        let read = status.rpc_status();
        assert_eq!((read.code, read.message.as_str()), (13, "bad"));
    }

    #[test]
    fn details_that_do_not_decode_are_none_and_stay_as_bytes() {
        for bytes in [&b"\xff\xff\xff"[..], b"\x1a\xff\xff\xff\xff\x0f", b"\x1a\x05abc", b"\x1b"] {
            let status = Status::internal("x").with_details(bytes.to_vec());
            assert_eq!(status.details(), [], "{bytes:?}");
            assert_eq!(status.detail::<ErrorInfo>(), None);
            assert_eq!(status.details, bytes);
        }
        // An Any of the right name with something else in it.
        let url = "type.googleapis.com/google.rpc.ErrorInfo".to_owned();
        let any = Any { type_url: url, value: vec![0xff; 9] };
        let status =
            Status::from(RpcStatus { code: 13, details: vec![any], ..RpcStatus::default() });
        assert_eq!((status.details().len(), status.detail::<ErrorInfo>()), (1, None));
    }

    #[test]
    fn details_that_do_not_fit_whole_are_left_out_and_the_message_stays() {
        let status = Status::internal("why").with_detail(&ErrorInfo::new("A", "b"));
        let fits = 2 + status.message.len() + status.details.len();
        for (room, kept) in [(fits, 1), (fits - 1, 0)] {
            let mut body = Vec::new();
            status.emit(room, &mut body);
            let read = StatusBody::parse(&body);
            assert_eq!(read.message, "why");
            let read = Status::internal("why").with_details(read.details.to_vec());
            assert_eq!(read.details().len(), kept);
        }
    }
}
