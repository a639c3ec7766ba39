//! What the simulated clients ask for and what the simulated handlers do.
//!
//! The request tells the handler everything: which call of the world it belongs to (the *tag*), how
//! long to take, how much to answer. So the checker knows what a run must have answered without
//! asking anybody.

use std::time::Duration;

use crate::core::server::{Execution, MethodSpec};
use crate::wire::{Code, Metadata, MethodId};

/// Longest reply that the simulated methods declare, in bytes.
const LONGEST_REPLY: usize = 1000;
/// What [`Method::Large`] answers instead, in bytes: more than it declares.
const TOO_LARGE: usize = 1001;
/// Length of a request without its padding.
const REQUEST_LEN: usize = 8 + 4 + 2 + 2 + 2;
/// Length of a reply without its padding.
const REPLY_LEN: usize = 8 + 8;

/// The procedures of the simulated server, and one that it has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// Increments a counter, inline.
    Count,
    /// Takes its time, on the pool.
    Work,
    /// Has no side effects, on the pool.
    Read,
    /// Answers with a status that is not OK, inline.
    Fail,
    /// Panics, on the pool.
    Panic,
    /// Answers more than it declared, inline.
    Large,
    /// Is not registered.
    Missing,
}

impl Method {
    /// The methods that the server has, in the order of their registration.
    pub(super) const SERVED: [Self; 6] =
        [Self::Count, Self::Work, Self::Read, Self::Fail, Self::Panic, Self::Large];

    fn name(self) -> &'static str {
        match self {
            Self::Count => "sim.Sim/Count",
            Self::Work => "sim.Sim/Work",
            Self::Read => "sim.Sim/Read",
            Self::Fail => "sim.Sim/Fail",
            Self::Panic => "sim.Sim/Panic",
            Self::Large => "sim.Sim/Large",
            Self::Missing => "sim.Sim/Missing",
        }
    }

    /// What names it in a datagram.
    pub(super) fn id(self) -> MethodId {
        MethodId::of(self.name())
    }

    /// True if it may run more than once without harm.
    pub(super) fn has_no_side_effects(self) -> bool {
        self == Self::Read
    }

    /// What the server core is told of the methods served.
    pub(super) fn specs() -> Vec<MethodSpec> {
        let spec = |method: Self| MethodSpec {
            id: method.id(),
            execution: match method {
                Self::Count | Self::Fail | Self::Large | Self::Missing => Execution::Inline,
                Self::Work | Self::Read | Self::Panic => Execution::Queued,
            },
            longest_reply: LONGEST_REPLY,
            longest_request: 1100,
        };
        Self::SERVED.into_iter().map(spec).collect()
    }

    /// The status with which a run of it ends, as the caller must see it.
    pub(super) fn ends_as(self) -> Code {
        match self {
            Self::Count | Self::Work | Self::Read | Self::Missing => Code::Ok,
            Self::Fail => Code::FailedPrecondition,
            Self::Panic => Code::Internal,
            Self::Large => Code::ResourceExhausted,
        }
    }
}

/// One request: everything the handler must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Number of the call in this world, the same however often it is issued.
    pub tag: u64,
    /// How long the handler takes; inline ones take no time.
    pub service: Duration,
    /// Bytes of the reply, at most; at least what a reply needs.
    pub reply_len: u16,
    /// Bytes of the longest value of the request's metadata; zero for no metadata.
    pub metadata: u16,
    /// The same of the reply's.
    pub reply_metadata: u16,
}

impl Request {
    /// The request as a body, padded to `length` bytes.
    pub(super) fn to_body(self, length: usize) -> Vec<u8> {
        let mut body = Vec::with_capacity(length.max(REQUEST_LEN));
        body.extend_from_slice(&self.tag.to_be_bytes());
        let service = u32::try_from(self.service.as_micros()).unwrap_or(u32::MAX);
        body.extend_from_slice(&service.to_be_bytes());
        for length in [self.reply_len, self.metadata, self.reply_metadata] {
            body.extend_from_slice(&length.to_be_bytes());
        }
        body.resize(length.max(REQUEST_LEN), 0x5A);
        body
    }

    /// Reads a body back; `None` if it is none of ours.
    pub(super) fn from_body(body: &[u8]) -> Option<Self> {
        let (tag, rest) = body.split_first_chunk()?;
        let (service, rest) = rest.split_first_chunk()?;
        let (reply_len, rest) = rest.split_first_chunk()?;
        let (metadata, rest) = rest.split_first_chunk()?;
        let (reply_metadata, _) = rest.split_first_chunk()?;
        Some(Self {
            tag: u64::from_be_bytes(*tag),
            service: Duration::from_micros(u32::from_be_bytes(*service).into()),
            reply_len: u16::from_be_bytes(*reply_len),
            metadata: u16::from_be_bytes(*metadata),
            reply_metadata: u16::from_be_bytes(*reply_metadata),
        })
    }

    /// What goes with the request: no other call of the world has the same.
    pub(super) fn metadata(self) -> Metadata {
        pairs(self.metadata, &[("tag-bin", self.tag)])
    }

    /// What goes with the answer of the run with this number: no other run has the same.
    pub(super) fn reply_metadata(self, run: u64) -> Metadata {
        pairs(self.reply_metadata, &[("tag-bin", self.tag), ("run-bin", run)])
    }

    /// The metadata that its caller must see: none where a handler came to no end of its own, or
    /// answered more than it may.
    pub(super) fn told_metadata(self, method: Method, run: u64) -> Metadata {
        match method {
            Method::Panic | Method::Large => Metadata::new(),
            _ => self.reply_metadata(run),
        }
    }

    /// What the run with this number answers.
    pub(super) fn reply(self, method: Method, run: u64) -> Vec<u8> {
        let length = match method {
            Method::Large => TOO_LARGE,
            _ => {
                let metadata = self.reply_metadata(run).borrow().option_len();
                usize::from(self.reply_len).clamp(REPLY_LEN, LONGEST_REPLY - metadata)
            }
        };
        let mut reply = Vec::with_capacity(length);
        reply.extend_from_slice(&self.tag.to_be_bytes());
        reply.extend_from_slice(&run.to_be_bytes());
        reply.resize(length, 0xA5);
        reply
    }
}

/// Metadata with these numbers, and one value of this length; none for zero.
fn pairs(length: u16, numbers: &[(&str, u64)]) -> Metadata {
    let mut metadata = Metadata::new();
    if length > 0 {
        let filling = "f".repeat(length.into());
        let fits = numbers
            .iter()
            .try_for_each(|(key, number)| metadata.append(key, number.to_be_bytes()))
            .and_then(|()| metadata.append("filling", filling));
        debug_assert!(fits.is_ok(), "{fits:?}");
    }
    metadata
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_survives_the_body() {
        let service = Duration::from_millis(1500);
        let request =
            Request { tag: 77, service, reply_len: 300, metadata: 400, reply_metadata: 800 };
        assert_eq!(Request::from_body(&request.to_body(0)), Some(request));
        assert_eq!(Request::from_body(&request.to_body(900)), Some(request));
        assert_eq!(request.to_body(900).len(), 900);
        assert_eq!(Request::from_body(&request.to_body(0)[..REQUEST_LEN - 1]), None);
        assert_eq!(request.reply(Method::Count, 3).len(), 152, "what metadata leaves of 1000");
        let bare = Request { metadata: 0, reply_metadata: 0, ..request };
        assert_eq!(bare.reply(Method::Count, 3).len(), 300);
        assert_eq!((bare.metadata(), bare.reply_metadata(3)), (Metadata::new(), Metadata::new()));
        assert_ne!(request.metadata(), Request { tag: 78, ..request }.metadata());
        assert_ne!(request.reply_metadata(3), request.reply_metadata(4));
    }
}
