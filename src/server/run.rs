//! The run of one call: the hook, then its handler, then the hook again, all in the call's scope.
//!
//! It must not know sockets nor the core: whoever runs a call hands in its context and takes away
//! how it ended. Invariants: a call that the hook let in is told to it as ended once, before the
//! event loop hears of it; and however long the hook takes, no handler starts after its call's
//! expiry.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use crate::service::{
    Context, DeferredHandler, Handler, Hook, Method, OwnedContext, PANICKED, Responder, Status,
};
use crate::wire::{Code, Metadata, Reason};

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// With this code.
    Done { code: Code, panicked: bool },
    /// Before it began: the hook refused it.
    Refused(Reason),
}

/// The reply of a call that has left the event loop's thread.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) metadata: Metadata,
    pub(super) body: Vec<u8>,
}

/// Runs a handler to its end. Its reply is left in `reply`, what goes with it in the context.
/// `overtaken` says why a call may not start any more.
pub(super) fn run(
    hook: Option<&dyn Hook>,
    overtaken: impl Fn() -> Option<Reason>,
    method: &Method,
    handler: &Handler,
    context: &Context<'_>,
    request: &[u8],
    reply: &mut Vec<u8>,
) -> Ended {
    context.scope().enter(|| {
        let conclude = |result, reply: &mut Vec<u8>| {
            context.reply_metadata.with(|metadata| method.conclude(result, metadata, reply))
        };
        let started = match start(hook, overtaken, context) {
            Ok(started) => started,
            Err(Stopped::Refused(reason)) => return Ended::Refused(reason),
            Err(Stopped::Failed(status)) => {
                return Ended::Done { code: conclude(Err(status), reply), panicked: true };
            }
        };
        // A panic is an answer too: the handler ran, and how far nobody knows.
        let ran = catch_unwind(AssertUnwindSafe(|| handler(context, request, reply)));
        let panicked = ran.is_err();
        let code = match ran {
            Ok(Ok(())) => conclude(Ok(()), reply),
            Ok(failed) => conclude(failed, reply),
            Err(_) => conclude(Err(Status::internal(PANICKED)), reply),
        };
        end(started, context, code);
        Ended::Done { code, panicked }
    })
}

/// Begins a call that is answered later; `answer` is told its end, once, on whatever thread that
/// becomes known.
pub(super) fn begin(
    hook: Option<&Arc<dyn Hook>>,
    overtaken: impl Fn() -> Option<Reason>,
    method: &Arc<Method>,
    handler: &DeferredHandler,
    context: OwnedContext,
    request: Vec<u8>,
    answer: impl FnOnce(Ended, Answer) + Send + 'static,
) {
    context.scope().enter(|| {
        let reply_metadata = Arc::clone(&context.reply_metadata);
        let method = Arc::clone(method);
        let conclude = move |result| {
            let metadata = reply_metadata.take();
            let (code, body) = method.conclude_owned(result, metadata.borrow());
            (code, Answer { metadata, body })
        };
        let watch = match start(hook.map(|hook| &**hook), overtaken, &context.borrow()) {
            Ok(started) => hook.map(Arc::clone).zip(started.map(|(_, since)| since)),
            Err(Stopped::Refused(reason)) => {
                return answer(Ended::Refused(reason), Answer::default());
            }
            Err(Stopped::Failed(status)) => {
                let (code, reply) = conclude(Err(status));
                return answer(Ended::Done { code, panicked: true }, reply);
            }
        };
        let watch = watch.map(|(hook, since)| (hook, since, context.clone()));
        let responder = Responder::telling_panics(move |result, panicked| {
            let (code, reply) = conclude(result);
            if let Some((hook, since, context)) = watch {
                let context = context.borrow();
                context.scope().enter(|| end(Some((&*hook, since)), &context, code));
            }
            answer(Ended::Done { code, panicked }, reply);
        });
        // A panic drops the responder, and that answers.
        let _ = catch_unwind(AssertUnwindSafe(|| handler(context, request, responder)));
    });
}

/// Why a call does not start.
enum Stopped {
    Refused(Reason),
    /// The hook itself failed. Whether the call may run is not known, so it does not.
    Failed(Status),
}

/// The hook that is to be told of the end, and when the call started.
type Started<'h> = Option<(&'h dyn Hook, Instant)>;

fn start<'h>(
    hook: Option<&'h dyn Hook>,
    overtaken: impl Fn() -> Option<Reason>,
    context: &Context<'_>,
) -> Result<Started<'h>, Stopped> {
    let Some(hook) = hook else { return Ok(None) };
    let since = Instant::now();
    match catch_unwind(AssertUnwindSafe(|| hook.start(context))) {
        Ok(Ok(())) => {}
        Ok(Err(refusal)) => return Err(Stopped::Refused(refusal.reason())),
        Err(_) => return Err(Stopped::Failed(Status::internal("the server's hook panicked"))),
    }
    let started = Some((hook, since));
    match overtaken() {
        None => Ok(started),
        Some(reason) => {
            end(started, context, reason.code());
            Err(Stopped::Refused(reason))
        }
    }
}

fn end(started: Started<'_>, context: &Context<'_>, code: Code) {
    let Some((hook, since)) = started else { return };
    let tell = AssertUnwindSafe(|| hook.end(context, code, since.elapsed()));
    if catch_unwind(tell).is_err() {
        log::error!("the server's hook has panicked at the end of a call of {}", context.method);
    }
}
