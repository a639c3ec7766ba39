//! What a server may have done at the start and at the end of every call: authorisation going in,
//! logs, measures and traces coming out.

use std::sync::Arc;
use std::time::Duration;

use super::Context;
use crate::wire::{Code, Reason};

/// Told of every call as its handler is about to start, and as it ends; see
/// [`Builder::hook`](../server/struct.Builder.html#method.hook).
///
/// Each call whose start was not refused ends once, whatever becomes of its handler: a panic, a
/// responder that is dropped, a future that is cancelled. Calls that the server refuses itself,
/// because no method has their name or a queue is full, come to no hook.
///
/// ```
/// use std::time::Duration;
/// use udp_rpc::service::{Context, Hook, Refusal};
/// use udp_rpc::wire::Code;
///
/// /// Lets in whoever knows the word, and logs who came.
/// struct Doorman;
///
/// impl Hook for Doorman {
///     fn start(&self, context: &Context<'_>) -> Result<(), Refusal> {
///         match context.metadata.get_text("authorization") {
///             Some("Bearer sesame") => Ok(()),
///             Some(_) => Err(Refusal::PermissionDenied),
///             None => Err(Refusal::Unauthenticated),
///         }
///     }
///
///     fn end(&self, context: &Context<'_>, code: Code, took: Duration) {
///         println!("{} {} {} {took:?}", context.peer, context.method, code.name());
///     }
/// }
/// ```
pub trait Hook: Send + Sync {
    /// A call's handler is about to start. Runs where the handler would, and in its scope: for an
    /// inline method on the event loop, which must not wait.
    ///
    /// A panic here answers INTERNAL; the handler does not run, and [`end`](Self::end) is not told.
    /// Nor does a handler run whose deadline passes meanwhile; that end is told.
    ///
    /// # Errors
    ///
    /// The call is not to be: the server records that it never runs, and its caller is told so.
    fn start(&self, context: &Context<'_>) -> Result<(), Refusal> {
        let _ = context;
        Ok(())
    }

    /// A call has ended with this code, so long after its start. Runs where that became known, for
    /// a responder on the thread that responded, in the call's scope and before the caller is told.
    /// A panic is logged, and changes nothing.
    fn end(&self, context: &Context<'_>, code: Code, took: Duration) {
        let _ = (context, code, took);
    }
}

/// So that whoever made a hook can keep it, such as the measures that it takes.
impl<H: Hook + ?Sized> Hook for Arc<H> {
    fn start(&self, context: &Context<'_>) -> Result<(), Refusal> {
        (**self).start(context)
    }

    fn end(&self, context: &Context<'_>, code: Code, took: Duration) {
        (**self).end(context, code, took);
    }
}

/// Why a [`Hook`] keeps a call from being run. Its caller hears it as *not executed*, with the
/// server's promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// The caller has not said who it is, or not in a way that is believed.
    Unauthenticated,
    /// The caller may not call this.
    PermissionDenied,
    /// Too many calls in too short a time. Clients issue the call again by themselves, later.
    RateLimited,
}

impl Refusal {
    /// What the wire calls it.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Unauthenticated => Reason::Unauthenticated,
            Self::PermissionDenied => Reason::Unauthorised,
            Self::RateLimited => Reason::RateLimited,
        }
    }
}
