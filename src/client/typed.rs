//! Calls whose request and reply are protobuf messages.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use prost::Message;

use super::{Call, Pending};
use crate::core::{CallError, CallToken, Outcome, Reply};
use crate::service::Unary;
use crate::wire::Metadata;

/// A reply, and all that is known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Response<Rep> {
    /// The reply message.
    pub message: Rep,
    /// What came with it.
    pub metadata: Metadata,
    /// Transmissions of all issues together.
    pub attempts: u32,
    /// How often the call was issued, each time under a new identity; see [`Reply::issues`].
    pub issues: u32,
    /// From the call to its reply.
    pub elapsed: Duration,
    /// An earlier issue of a method without side effects may have run too: it ran at least once.
    pub at_least_once: bool,
    /// With which any process can ask later for the same; there when the client was told to.
    pub token: Option<CallToken>,
}

impl<Rep> Response<Rep> {
    /// Decodes the reply of `method`.
    ///
    /// # Errors
    ///
    /// INTERNAL, executed, when it does not decode.
    pub(super) fn decode<Req>(method: &Unary<Req, Rep>, reply: Reply) -> Result<Self, CallError>
    where
        Req: Message + Default + 'static,
        Rep: Message + Default + 'static,
    {
        match method.decode_reply(&reply.body) {
            Ok(message) => Ok(Self {
                message,
                metadata: reply.metadata,
                attempts: reply.attempts,
                issues: reply.issues,
                elapsed: reply.elapsed,
                at_least_once: reply.at_least_once,
                token: reply.token,
            }),
            Err(status) => Err(CallError {
                code: status.code,
                message: status.message,
                details: status.details,
                metadata: reply.metadata,
                outcome: Outcome::Executed,
                attempts: reply.attempts,
                issues: reply.issues,
                elapsed: reply.elapsed,
                token: reply.token.map(Box::new),
            }),
        }
    }
}

/// A [`Call`] whose reply is decoded: a `Future` on any runtime, or waited for on this thread.
/// Dropped before its end, it is fenced.
#[must_use = "a call that is dropped is fenced: await it, wait for it, or detach it"]
pub struct TypedCall<T> {
    call: Call,
    /// The method's name, for what is said of a reply that does not decode.
    method: &'static str,
    decode: fn(&'static str, Reply) -> Result<T, CallError>,
}

impl<Rep: Message + Default + 'static> TypedCall<Rep> {
    pub(super) fn message<Req>(call: Call, method: &Unary<Req, Rep>) -> Self
    where
        Req: Message + Default + 'static,
    {
        let decode = |name, reply| {
            Response::decode(&Unary::<Req, Rep>::new(name), reply).map(|response| response.message)
        };
        Self { call, method: method.name(), decode }
    }
}

impl<Rep: Message + Default + 'static> TypedCall<Response<Rep>> {
    pub(super) fn response<Req>(call: Call, method: &Unary<Req, Rep>) -> Self
    where
        Req: Message + Default + 'static,
    {
        let decode = |name, reply| Response::decode(&Unary::<Req, Rep>::new(name), reply);
        Self { call, method: method.name(), decode }
    }
}

impl<T> TypedCall<T> {
    /// Waits for the end on this thread; see [`Call::wait`].
    ///
    /// # Errors
    ///
    /// [`CallError`]: what went wrong, and whether the call ran. A reply that does not decode is
    /// an INTERNAL error, executed.
    ///
    /// # Panics
    ///
    /// As [`Call::wait`].
    pub fn wait(self) -> Result<T, CallError> {
        let Self { call, method, decode } = self;
        call.wait().and_then(|reply| decode(method, reply))
    }

    /// Waits for the end on this thread, for at most `timeout`; see [`Call::wait_timeout`].
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    ///
    /// # Panics
    ///
    /// As [`Call::wait`].
    pub fn wait_timeout(&mut self, timeout: Duration) -> Option<Result<T, CallError>> {
        let result = self.call.wait_timeout(timeout)?;
        Some(result.and_then(|reply| (self.decode)(self.method, reply)))
    }

    /// Asks that this call be fenced; see [`Call::cancel`].
    pub fn cancel(&self) {
        self.call.cancel();
    }

    /// Lets the call go on without its caller, who will not hear how it ends.
    pub fn detach(self) {
        self.call.detach();
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.call.is_finished()
    }

    /// The token with which any process can ask later what became of this call; see
    /// [`Call::token`].
    pub fn token(&self) -> Pending<Option<CallToken>> {
        self.call.token()
    }

    /// The same call without its types.
    pub fn into_raw(self) -> Call {
        self.call
    }
}

impl<T> Future for TypedCall<T> {
    type Output = Result<T, CallError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = Pin::new(&mut self.call).poll(context);
        polled.map(|result| result.and_then(|reply| (self.decode)(self.method, reply)))
    }
}

impl<T> fmt::Debug for TypedCall<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedCall")
            .field("method", &self.method)
            .field("finished", &self.is_finished())
            .finish()
    }
}
