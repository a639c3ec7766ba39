//! What a handler may know about the call that it serves.
//!
//! [`Context`] borrows and costs nothing to make: it is what handlers see. [`OwnedContext`] goes
//! with a call to another thread.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{CancelToken, Status};
use crate::wire::{CallId, SessionId};

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

impl<'a> Context<'a> {
    /// A context; what the server's driver makes for each call, and what a test of a handler may
    /// make by hand. Deadline is as for [`Context::deadline`].
    pub fn new(
        (session, call): (SessionId, CallId),
        peer: SocketAddr,
        method: &'a str,
        deadline: Instant,
        cancel: &'a CancelToken,
        gauges: &'a dyn Gauges,
    ) -> Self {
        Self { session, call, peer, method, deadline, cancel, gauges }
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
    /// A context; see [`Context::new`].
    pub fn new(
        (session, call): (SessionId, CallId),
        peer: SocketAddr,
        method: Arc<str>,
        deadline: Instant,
        cancel: CancelToken,
        gauges: Arc<dyn Gauges + Send + Sync>,
    ) -> Self {
        Self { session, call, peer, method, deadline, cancel, gauges }
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
