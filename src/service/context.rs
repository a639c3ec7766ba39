//! What a handler may know about the call that it serves.
//!
//! [`Context`] borrows and costs nothing to make: it is what handlers see. [`OwnedContext`] goes
//! with a call to another thread.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{CancelToken, ReplyMetadata, Scope, Status};
use crate::core::CallToken;
use crate::wire::{CallId, Epoch, Metadata, MetadataRef, SessionId};

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
    /// What came with the request.
    pub metadata: MetadataRef<'a>,
    /// What is to go with the reply.
    pub reply_metadata: &'a ReplyMetadata,
    /// Numbers about the server, all its threads together, when they are read. Each thread tells
    /// them before it sends an answer or hands a call to a worker.
    pub gauges: &'a dyn Gauges,
    /// What a call token says beside the call's own names.
    pub(crate) origin: Option<Origin>,
}

/// Where a call arrived.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    /// The server's address, as the peer reached it.
    pub(crate) server: SocketAddr,
    /// The server's life.
    pub(crate) epoch: Epoch,
    /// When the caller stops waiting, µs of the server's clock.
    pub(crate) expiry: u64,
}

impl Context<'_> {
    /// What calls made on behalf of this one take from it. The handler runs in it anyway; code that
    /// goes on elsewhere takes it along.
    pub fn scope(&self) -> Scope {
        Scope::new(self.deadline, self.cancel.clone(), self.metadata)
    }

    /// The token with which any process can ask later what became of this call, or cancel it: to
    /// be stored beside the work that it stands for, or told to the caller. `None` where the server
    /// does not know the address at which it was reached (and for [`OwnedContext::for_test`]).
    ///
    /// It is a capability: show it to whom it concerns, and never log it. Behind a translation of
    /// addresses it names the server's own, inner one.
    ///
    /// A call that has a context has started, so this token never proves that it did not run.
    /// Where the server no longer knows the session, because the client has closed it or its
    /// lease is over, the answer is that the outcome is unknown. A client's own token can prove
    /// more, because it may be of a call that never arrived, and its session stays open for it.
    pub fn token(&self) -> Option<CallToken> {
        let Origin { server, epoch, expiry } = self.origin?;
        let (session, call) = (self.session, self.call);
        // Until when "unknown session" would prove something, and from when: never.
        let (minted, known_until) = (0, 0);
        Some(CallToken { server, epoch, session, call, minted, known_until, expiry })
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
            .field("metadata", &self.metadata)
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
    /// What came with the request.
    pub metadata: Metadata,
    /// What is to go with the reply.
    pub reply_metadata: Arc<ReplyMetadata>,
    /// Numbers about the server; see [`Context::gauges`].
    pub gauges: Arc<dyn Gauges + Send + Sync>,
    /// What a call token says beside the call's own names.
    pub(crate) origin: Option<Origin>,
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
            metadata: Metadata::new(),
            reply_metadata: Arc::default(),
            gauges: Arc::new(()),
            origin: None,
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
            metadata: self.metadata.borrow(),
            reply_metadata: &self.reply_metadata,
            gauges: &*self.gauges,
            origin: self.origin,
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

    /// The token with which any process can ask later what became of this call; see
    /// [`Context::token`].
    pub fn token(&self) -> Option<CallToken> {
        self.borrow().token()
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
