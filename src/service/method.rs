//! A method as a server offers it: a name, what it promises, and the code that it runs.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use super::{Context, Executor, OwnedContext, Responder, Status, executor};
use crate::wire::{Code, MAX_BODY, MetadataRef, MethodId};

/// Least room that is kept for a method's answer, bytes: a method whose replies are a byte long
/// can still fail with a message that helps.
pub const REPLY_ROOM_MIN: usize = 256;

/// What running a method more than once would do; protobuf's `idempotency_level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Idempotency {
    /// Nobody has said: a second run may do harm. Never issued again unless proved not executed.
    #[default]
    Unknown,
    /// No side effects: a client may issue it again by itself.
    NoSideEffects,
    /// Side effects, but a second run adds nothing to the first. Clients treat it as unknown: what
    /// ran in between may have been undone by it.
    Idempotent,
}

/// Runs a call to its end: reads the request, appends the reply to the (empty) buffer. After an
/// error what was appended is dropped.
pub type Handler =
    Arc<dyn Fn(&Context<'_>, &[u8], &mut Vec<u8>) -> Result<(), Status> + Send + Sync>;

/// Takes a call over and answers it later, through its responder.
pub type DeferredHandler = Arc<dyn Fn(OwnedContext, Vec<u8>, Responder) + Send + Sync>;

/// Where and how a method's code runs.
#[derive(Clone)]
pub enum Action {
    /// On the event loop: must end within microseconds and never wait for anything.
    Inline(Handler),
    /// On the server's bounded pool of threads: may block.
    Pooled(Handler),
    /// Started on the pool, answered whenever and by whomever.
    Deferred(DeferredHandler),
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inline(_) => "Inline",
            Self::Pooled(_) => "Pooled",
            Self::Deferred(_) => "Deferred",
        })
    }
}

/// A method that sees bytes. (One that sees messages is made by
#[cfg_attr(feature = "protobuf", doc = "[`Unary`](super::Unary).)")]
#[cfg_attr(not(feature = "protobuf"), doc = "`Unary`, with the feature `protobuf`.)")]
///
/// ```
/// use udp_rpc::service::{Method, Registry};
///
/// let mut registry = Registry::new();
/// registry.add(Method::inline("demo.Text/Reverse", |_context, request, reply| {
///     reply.extend(request.iter().rev());
///     Ok(())
/// }).no_side_effects())?;
/// # Ok::<(), udp_rpc::service::RegistryError>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Method {
    /// Full name, `package.Service/Method`, or `Service/Method` where there is no package.
    pub name: Arc<str>,
    /// What a second run would do. Where a schema describes the method, the schema is right.
    pub idempotency: Idempotency,
    /// Longest reply, bytes; that much room is kept before the method runs.
    pub longest_reply: usize,
    /// Longest request, bytes; a longer one is refused and never runs.
    pub longest_request: usize,
    /// The code.
    pub action: Action,
}

impl Method {
    fn new(name: &str, action: Action) -> Self {
        Self {
            name: name.into(),
            idempotency: Idempotency::Unknown,
            longest_reply: MAX_BODY,
            longest_request: MAX_BODY,
            action,
        }
    }

    /// A method that ends within microseconds, without waiting for anything, and so runs right on
    /// the event loop.
    pub fn inline(
        name: &str,
        run: impl Fn(&Context<'_>, &[u8], &mut Vec<u8>) -> Result<(), Status> + Send + Sync + 'static,
    ) -> Self {
        Self::new(name, Action::Inline(Arc::new(run)))
    }

    /// A method that may take its time: it runs on the server's pool.
    pub fn pooled(
        name: &str,
        run: impl Fn(&Context<'_>, &[u8], &mut Vec<u8>) -> Result<(), Status> + Send + Sync + 'static,
    ) -> Self {
        Self::new(name, Action::Pooled(Arc::new(run)))
    }

    /// A method that takes a responder and answers later, from any thread.
    pub fn deferred(
        name: &str,
        run: impl Fn(OwnedContext, Vec<u8>, Responder) + Send + Sync + 'static,
    ) -> Self {
        Self::new(name, Action::Deferred(Arc::new(run)))
    }

    /// A method that is a future, polled by `executor`. It runs in its call's
    /// [scope](super::Scope), and is dropped when the call is cancelled or its deadline passes; a
    /// panic in it is INTERNAL.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use udp_rpc::service::{Method, Registry, Task};
    ///
    /// let executor = Arc::new(|task: Task| smol::spawn(task).detach());
    /// let mut registry = Registry::new();
    /// registry.add(Method::asynchronous("demo.Text/Later", executor, |context, request| async move {
    ///     smol::Timer::at(context.deadline.min(std::time::Instant::now())).await;
    ///     Ok(request)
    /// }))?;
    /// # Ok::<(), udp_rpc::service::RegistryError>(())
    /// ```
    pub fn asynchronous<F>(
        name: &str,
        executor: Arc<dyn Executor>,
        run: impl Fn(OwnedContext, Vec<u8>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Vec<u8>, Status>> + Send + 'static,
    {
        let run = Arc::new(run);
        Self::deferred(name, move |context, request, responder| {
            let (run, its) = (Arc::clone(&run), context.clone());
            // The handler's first instruction, too, is the executor's to run.
            let future = async move { run(its, request).await };
            executor::run(&*executor, context, future, responder);
        })
    }

    /// Declares what a second run would do.
    #[must_use]
    pub fn idempotency(mut self, idempotency: Idempotency) -> Self {
        self.idempotency = idempotency;
        self
    }

    /// Declares that the method has no side effects, so that clients may issue it again.
    #[must_use]
    pub fn no_side_effects(self) -> Self {
        self.idempotency(Idempotency::NoSideEffects)
    }

    /// Declares the longest reply in bytes, so that less room (or more, once messages longer than
    /// a datagram are served) is kept for it. Less than [`REPLY_ROOM_MIN`] counts as that.
    #[must_use]
    pub fn longest_reply(mut self, bytes: usize) -> Self {
        self.longest_reply = bytes.max(REPLY_ROOM_MIN);
        self
    }

    /// Declares the longest request in bytes.
    #[must_use]
    pub fn longest_request(mut self, bytes: usize) -> Self {
        self.longest_request = bytes;
        self
    }

    /// The id by which requests name this method.
    pub fn id(&self) -> MethodId {
        MethodId::of(&self.name)
    }

    /// Ends a call: the code and, left in `reply`, the body of its REPLY, with which `metadata`
    /// goes. A status takes the place of what the handler had written, cut to the room that was
    /// kept; a reply that with its metadata is longer than declared becomes RESOURCE_EXHAUSTED.
    /// Either way the method ran.
    pub fn conclude(
        &self,
        result: Result<(), Status>,
        metadata: MetadataRef<'_>,
        reply: &mut Vec<u8>,
    ) -> Code {
        let option = metadata.option_len();
        let status = match result {
            Ok(()) if option + reply.len() <= self.longest_reply => return Code::Ok,
            Ok(()) => Status::resource_exhausted(format!(
                "the reply takes {} bytes{} and the method declares at most {}",
                option + reply.len(),
                if option > 0 { format!(", {option} of them metadata,") } else { String::new() },
                self.longest_reply
            )),
            Err(status) => status,
        };
        reply.clear();
        status.emit(self.longest_reply, reply);
        match status.code {
            Code::Ok => Code::Unknown,
            code => code,
        }
    }

    /// As [`Method::conclude`] for an answer that owns its bytes, such as a responder's.
    pub fn conclude_owned(
        &self,
        result: Result<Vec<u8>, Status>,
        metadata: MetadataRef<'_>,
    ) -> (Code, Vec<u8>) {
        let (result, mut reply) = match result {
            Ok(reply) => (Ok(()), reply),
            Err(status) => (Err(status), Vec::new()),
        };
        let code = self.conclude(result, metadata, &mut reply);
        (code, reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Metadata, StatusBody};

    fn method() -> Method {
        Method::inline("Test/Test", |_, _, _| Ok(())).longest_reply(300)
    }

    #[test]
    fn status_replaces_what_the_handler_had_written_and_fits_its_room() {
        let mut reply = b"half a reply".to_vec();
        let code = method().conclude(
            Err(Status::aborted("x".repeat(2000))),
            MetadataRef::EMPTY,
            &mut reply,
        );
        assert_eq!((code, reply.len()), (Code::Aborted, 300));
        assert_eq!(StatusBody::parse(&reply).message, "x".repeat(298));
    }

    #[test]
    fn reply_longer_than_declared_is_an_executed_error() {
        let conclude = |bytes, metadata: &Metadata| {
            method().conclude_owned(Ok(vec![0; bytes]), metadata.borrow())
        };
        let mut metadata = Metadata::new();
        let (code, body) = conclude(301, &metadata);
        assert_eq!(code, Code::ResourceExhausted);
        assert!(StatusBody::parse(&body).message.contains("301 bytes"));
        assert_eq!(conclude(300, &metadata), (Code::Ok, vec![0; 300]));

        metadata.insert("abc", "1234").unwrap();
        assert_eq!(conclude(288, &metadata), (Code::Ok, vec![0; 288]));
        let (code, body) = conclude(289, &metadata);
        assert_eq!(code, Code::ResourceExhausted);
        let message = StatusBody::parse(&body).message.into_owned();
        assert!(message.contains("301 bytes, 12 of them metadata"), "{message}");
    }

    #[test]
    fn an_error_that_claims_to_be_ok_is_not() {
        let mut status = Status::internal("");
        status.code = Code::Ok;
        assert_eq!(method().conclude_owned(Err(status), MetadataRef::EMPTY).0, Code::Unknown);
    }

    #[test]
    fn a_message_always_has_room() {
        assert_eq!(method().longest_reply(0).longest_reply, REPLY_ROOM_MIN);
    }
}
