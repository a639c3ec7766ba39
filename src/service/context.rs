//! What a handler may know about the call that it serves.
//!
//! [`Context`] borrows and costs nothing to make: it is what handlers see. [`OwnedContext`] goes
//! with a call to another thread.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{CancelToken, Scope, Status};
use crate::wire::{CallId, MetadataRef, SessionId};

/// Named numbers about the running server, such as counters of datagrams by kind.
///
/// Names are at most [`NAME_LEN_MAX`](super::NAME_LEN_MAX) bytes long and each comes once; longer
/// ones are not shown to callers.
pub trait Gauges {
    /// Calls `visit` once for every name, in any order.
    fn read(&self, visit: &mut dyn FnMut(&str, u64));
}

/// No numbers at all.
impl Gauges for () {
    fn read(&self, _: &mut dyn FnMut(&str, u64)) {}
}

/// The call that a handler serves.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Context<'a> {
    /// The session that the call belongs to.
    pub session: SessionId,
    /// The call's id in its session.
    pub call: CallId,
    /// Where the request came from. An address proves nothing about who is there.
    pub peer: SocketAddr,
    /// Full name of the method, `package.Service/Method`.
    pub method: &'a str,
    /// When the caller stops waiting, on this process's clock. A suspend of the machine does not
    /// move this clock; `cancel` is right all the same.
    pub deadline: Instant,
    /// Set when nobody waits for the result any more: cancelled, superseded, or past the deadline.
    pub cancel: &'a CancelToken,
    /// Numbers about the server.
    pub gauges: &'a dyn Gauges,
}

impl Context<'_> {
    /// What calls made on behalf of this one take from it. The handler runs in it anyway; code that
    /// goes on elsewhere takes it along.
    pub fn scope(&self) -> Scope {
        Scope::new(self.deadline, self.cancel.clone(), MetadataRef::EMPTY)
    }

    /// How long the caller still waits; zero when the deadline has passed.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Whether going on is of use.
    ///
    /// # Errors
    ///
    /// DEADLINE_EXCEEDED when the deadline has passed, CANCELLED when the cancel token is set.
    pub fn check(&self) -> Result<(), Status> {
        if self.remaining().is_zero() {
            Err(Status::deadline_exceeded("the caller's deadline has passed"))
        } else if self.cancel.is_cancelled() {
            Err(Status::cancelled("the call was cancelled"))
        } else {
            Ok(())
        }
    }
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("session", &self.session)
            .field("call", &self.call)
            .field("peer", &self.peer)
            .field("method", &self.method)
            .field("remaining", &self.remaining())
            .field("cancel", &self.cancel)
            .finish_non_exhaustive()
    }
}

/// A [`Context`] that owns what it tells, for a call that leaves the event loop's thread.
#[derive(Clone)]
#[non_exhaustive]
pub struct OwnedContext {
    /// The session that the call belongs to.
    pub session: SessionId,
    /// The call's id in its session.
    pub call: CallId,
    /// Where the request came from.
    pub peer: SocketAddr,
    /// Full name of the method.
    pub method: Arc<str>,
    /// When the caller stops waiting; see [`Context::deadline`].
    pub deadline: Instant,
    /// Set when nobody waits for the result any more.
    pub cancel: CancelToken,
    /// Numbers about the server.
    pub gauges: Arc<dyn Gauges + Send + Sync>,
}

impl OwnedContext {
    /// The context of nobody's call, with an hour left: for tests of handlers. Fields may be set
    /// to what a test needs.
    ///
    /// ```
    /// use udp_rpc::service::{Action, Method, OwnedContext};
    ///
    /// let method = Method::inline("demo.Text/Reverse", |_context, request, reply| {
    ///     reply.extend(request.iter().rev());
    ///     Ok(())
    /// });
    /// let context = OwnedContext::for_test(&method.name);
    /// let Action::Inline(handler) = &method.action else { unreachable!() };
    /// let mut reply = Vec::new();
    /// handler(&context.borrow(), b"abc", &mut reply)?;
    /// assert_eq!(reply, b"cba");
    /// # Ok::<(), udp_rpc::service::Status>(())
    /// ```
    pub fn for_test(method: &str) -> Self {
        Self {
            session: SessionId(1),
            call: CallId(4096),
            peer: SocketAddr::from(([127, 0, 0, 1], 9)),
            method: method.into(),
            deadline: Instant::now() + Duration::from_secs(3600),
            cancel: CancelToken::new(),
            gauges: Arc::new(()),
        }
    }

    /// The same, borrowed, as handlers want it.
    pub fn borrow(&self) -> Context<'_> {
        Context {
            session: self.session,
            call: self.call,
            peer: self.peer,
            method: &self.method,
            deadline: self.deadline,
            cancel: &self.cancel,
            gauges: &*self.gauges,
        }
    }

    /// How long the caller still waits; zero when the deadline has passed.
    pub fn remaining(&self) -> Duration {
        self.borrow().remaining()
    }

    /// Whether going on is of use; see [`Context::check`].
    ///
    /// # Errors
    ///
    /// As [`Context::check`].
    pub fn check(&self) -> Result<(), Status> {
        self.borrow().check()
    }

    /// What calls made on behalf of this one take from it; see [`Context::scope`].
    pub fn scope(&self) -> Scope {
        self.borrow().scope()
    }
}

impl std::fmt::Debug for OwnedContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.borrow().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;
    use crate::wire::Code;

    #[test]
    fn going_on_is_refused_after_cancellation_and_after_the_deadline() {
        let mut context = testing::context("Test/Test");
        assert_eq!(context.borrow().check(), Ok(()));
        context.cancel.cancel();
        assert_eq!(context.borrow().check().unwrap_err().code, Code::Cancelled);
        context.deadline = Instant::now();
        assert_eq!(context.borrow().check().unwrap_err().code, Code::DeadlineExceeded);
        assert_eq!(context.remaining(), Duration::ZERO);
    }
}
