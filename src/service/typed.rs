//! Methods that see protobuf messages: one constant says a method's name, types and semantics, and
//! both ends use it.
//!
//! Bytes are decoded before the handler and encoded after it, nowhere else; a request that does
//! not decode never reaches the handler.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use prost::Message;

use super::signature::signature;
use super::{Context, Executor, Method, OwnedContext, Responder, Status, executor};

signature! {
    /// The signature of a method that takes one `Request` and gives one `Reply`.
    ///
    /// ```
    /// use udp_rpc::service::{Registry, Unary};
    ///
    /// /// Length of a text; what a generator would write from a .proto file.
    /// const LENGTH: Unary<String, u64> = Unary::new("demo.Text/Length").no_side_effects();
    ///
    /// let mut registry = Registry::new();
    /// registry.add(LENGTH.inline(|_context, text| Ok(text.len() as u64)))?;
    /// # Ok::<(), udp_rpc::service::RegistryError>(())
    /// ```
    Unary
}

impl<Request, Reply> Unary<Request, Reply>
where
    Request: Message + Default + 'static,
    Reply: Message + Default + 'static,
{
    /// This method, run right on the event loop: `run` must end within microseconds and wait for
    /// nothing.
    pub fn inline(
        self,
        run: impl Fn(&Context<'_>, Request) -> Result<Reply, Status> + Send + Sync + 'static,
    ) -> Method {
        Method::inline(self.name, handler(run)).idempotency(self.idempotency)
    }

    /// This method, run on the server's pool, where it may block.
    pub fn pooled(
        self,
        run: impl Fn(&Context<'_>, Request) -> Result<Reply, Status> + Send + Sync + 'static,
    ) -> Method {
        Method::pooled(self.name, handler(run)).idempotency(self.idempotency)
    }

    /// This method, answered later and from any thread through a responder.
    pub fn deferred(
        self,
        run: impl Fn(OwnedContext, Request, TypedResponder<Reply>) + Send + Sync + 'static,
    ) -> Method {
        Method::deferred(self.name, move |context, body, responder| match decode(&body) {
            Ok(request) => run(context, request, TypedResponder::new(responder)),
            Err(status) => responder.respond(Err(status)),
        })
        .idempotency(self.idempotency)
    }

    /// This method, as a future that `executor` polls; see [`Method::asynchronous`]. A request that
    /// does not decode never reaches the executor.
    pub fn asynchronous<F>(
        self,
        executor: Arc<dyn Executor>,
        run: impl Fn(OwnedContext, Request) -> F + Send + Sync + 'static,
    ) -> Method
    where
        F: Future<Output = Result<Reply, Status>> + Send + 'static,
    {
        let run = Arc::new(run);
        let handler = move |context: OwnedContext, body: Vec<u8>, responder: Responder| {
            let request = match decode::<Request>(&body) {
                Ok(request) => request,
                Err(status) => return responder.respond(Err(status)),
            };
            let (run, its) = (Arc::clone(&run), context.clone());
            let future = async move { Ok(run(its, request).await?.encode_to_vec()) };
            executor::run(&*executor, context, future, responder);
        };
        Method::deferred(self.name, handler).idempotency(self.idempotency)
    }

    /// The bytes of a request.
    pub fn encode_request(&self, request: &Request) -> Vec<u8> {
        request.encode_to_vec()
    }

    /// The reply that these bytes are.
    ///
    /// # Errors
    ///
    /// INTERNAL when they are none: both ends do not agree on the types.
    pub fn decode_reply(&self, body: &[u8]) -> Result<Reply, Status> {
        Reply::decode(body).map_err(|error| {
            Status::internal(format!("the reply of {} does not decode: {error}", self.name))
        })
    }
}

fn handler<Request: Message + Default, Reply: Message>(
    run: impl Fn(&Context<'_>, Request) -> Result<Reply, Status> + Send + Sync + 'static,
) -> impl Fn(&Context<'_>, &[u8], &mut Vec<u8>) -> Result<(), Status> + Send + Sync + 'static {
    move |context, body, out| {
        run(context, decode(body)?)?
            .encode(out)
            .map_err(|error| Status::internal(format!("the reply does not encode: {error}")))
    }
}

fn decode<Request: Message + Default>(body: &[u8]) -> Result<Request, Status> {
    Request::decode(body)
        .map_err(|error| Status::invalid_argument(format!("the request does not decode: {error}")))
}

/// A [`Responder`] that takes a message.
pub struct TypedResponder<Reply> {
    responder: Responder,
    reply: PhantomData<fn(Reply)>,
}

impl<Reply: Message> TypedResponder<Reply> {
    /// Answers with messages through a responder that takes bytes.
    pub fn new(responder: Responder) -> Self {
        Self { responder, reply: PhantomData }
    }

    /// Ends the call: the reply, or why it failed.
    pub fn respond(self, result: Result<Reply, Status>) {
        self.responder.respond(result.map(|reply| reply.encode_to_vec()));
    }
}

impl<Reply> fmt::Debug for TypedResponder<Reply> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TypedResponder")
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;
    use crate::service::Idempotency;
    use crate::wire::Code;

    const DOUBLE: Unary<u64, u64> = Unary::new("Test/Double").no_side_effects();

    /// Runs tasks on threads of their own.
    fn executor() -> Arc<dyn Executor> {
        Arc::new(|task: super::super::Task| {
            std::thread::spawn(move || smol::block_on(task));
        })
    }

    #[test]
    fn messages_are_decoded_and_encoded_around_the_handler() {
        for method in [
            DOUBLE.inline(|_, n| Ok(2 * n)),
            DOUBLE.pooled(|_, n| Ok(2 * n)),
            DOUBLE.deferred(|_, n, responder| responder.respond(Ok(2 * n))),
            DOUBLE.asynchronous(executor(), |_, n| async move { Ok(2 * n) }),
        ] {
            assert_eq!(method.idempotency, Idempotency::NoSideEffects);
            let reply = testing::run(&method, &DOUBLE.encode_request(&21)).unwrap();
            assert_eq!(DOUBLE.decode_reply(&reply), Ok(42));
        }
    }

    #[test]
    fn request_that_does_not_decode_never_reaches_the_handler() {
        for method in [
            DOUBLE.inline(|_, _| unreachable!()),
            DOUBLE.deferred(|_, _, _| unreachable!()),
            DOUBLE.asynchronous(executor(), |_, _| async { unreachable!() }),
        ] {
            let status = testing::run(&method, &[0xff]).unwrap_err();
            assert_eq!(status.code, Code::InvalidArgument);
        }
    }

    #[test]
    fn reply_that_does_not_decode_is_an_error() {
        assert_eq!(DOUBLE.decode_reply(&[0xff]).unwrap_err().code, Code::Internal);
    }
}
