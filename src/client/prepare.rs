//! What becomes of a call between its caller and the core: the defaults of its client, what the
//! call inside which it is made passes on, and what a hook adds.
//!
//! It must not know threads or sockets: both clients use it. Invariant: a call whose start a hook
//! was told has a [`Watch`], which tells its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::hook::{Hook, Starting, Watch};
use super::{Method, Options};
use crate::core::client::NewCall;
use crate::core::{CallError, Time};
use crate::service::{CancelToken, Scope, Status};
use crate::wire::{MAX_REQUEST_BODY, Metadata};

/// How long a call that is cancelled together with the one on whose behalf it was made waits for
/// the server's word: enough for a FENCE that is lost to go again, and short for the thread that
/// nobody waits for any more.
pub(super) const PATIENCE_CANCELLED: Duration = Duration::from_secs(1);

/// What all calls of a client have in common.
pub(super) struct Common {
    /// Timeout of calls whose caller names none.
    pub(super) timeout: Duration,
    pub(super) hook: Option<Arc<dyn Hook>>,
}

/// A call that is ready for the core.
pub(super) struct Prepared {
    /// The call, unless it is not to be made, and why.
    pub(super) call: Result<NewCall, CallError>,
    /// When this is set, the call is cancelled.
    pub(super) cancel: Option<CancelToken>,
    /// Who is told its end.
    pub(super) watch: Option<Watch>,
}

impl Common {
    /// Prepares a call that is made now, on this thread.
    pub(super) fn prepare(
        &self,
        now: Time,
        method: Method,
        body: Vec<u8>,
        options: &Options,
    ) -> Prepared {
        let scope = if options.detached { None } else { Scope::current() };
        let mut refused = None;
        let mut timeout = options.timeout.unwrap_or(self.timeout);
        let mut metadata = options.metadata.clone();
        if let Some(scope) = &scope {
            let left = scope.deadline.saturating_duration_since(Instant::now());
            refused = over(left, &scope.cancel);
            timeout = timeout.min(left);
            pass_on(&scope.trace, &mut metadata, body.len());
        }
        if let Some(hook) = &self.hook {
            let mut starting =
                Starting { method: method.name(), metadata: &mut metadata, refused: None };
            hook.start(&mut starting);
            refused = refused.or(starting.refused);
        }
        let watch = self.hook.as_ref().map(|hook| Watch {
            hook: Arc::clone(hook),
            method: method.clone().into_name(),
            metadata: metadata.clone(),
        });
        let call = NewCall {
            method: method.id(),
            metadata,
            body,
            deadline: now + timeout,
            no_side_effects: method.has_no_side_effects(),
            retry: options.retry,
        };
        let call = refused.map_or(Ok(call), |Status { code, message, details }| {
            Err(CallError { details, ..CallError::never_sent(code, message) })
        });
        Prepared { call, cancel: scope.map(|scope| scope.cancel), watch }
    }
}

/// Why nothing can be done any more on behalf of a call.
fn over(left: Duration, cancel: &CancelToken) -> Option<Status> {
    if left.is_zero() {
        let text = "the deadline of the call on whose behalf it was to be made has passed";
        Some(Status::deadline_exceeded(text))
    } else if cancel.is_cancelled() {
        let text = "nobody waits any more for the call on whose behalf it was to be made";
        Some(Status::cancelled(text))
    } else {
        None
    }
}

/// Adds what travels on by itself, unless the call has a value of its own or there is no room
/// beside a request of this length. What a hook adds comes on top, and is for the hook to fit.
fn pass_on(trace: &Metadata, metadata: &mut Metadata, body: usize) {
    let own = metadata.clone();
    for (key, value) in trace.iter().filter(|(key, _)| own.get(key).is_none()) {
        let mut with = metadata.clone();
        if with.append(key, value).is_ok() && with.borrow().option_len() + body <= MAX_REQUEST_BODY
        {
            *metadata = with;
        }
    }
}
