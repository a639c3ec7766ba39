//! What a server offers and how calls fail: status, methods, the registry, protobuf messages,
//! reflection, health and the services that every server can have.
//!
//! Nothing here knows datagrams, sessions or sockets: a method takes the bytes of a request and
//! gives those of a reply, or a [`Status`]. Whoever drives a server seals a [`Registry`], runs the
//! [`Action`] of the method that a request names, and lets [`Method::conclude`] make the reply's
//! code and body of the result.
//!
//! ```
//! # #[cfg(feature = "protobuf")] {
//! use udp_rpc::service::{Method, Registry, Status, Unary};
//!
//! /// A typed method: name, types and semantics in one place, for server and clients.
//! const HALF: Unary<i64, i64> = Unary::new("demo.Math/Half").no_side_effects();
//!
//! let mut registry = Registry::new();
//! registry.add(HALF.inline(|_context, n| match n % 2 {
//!     0 => Ok(n / 2),
//!     _ => Err(Status::invalid_argument("the number is odd")),
//! }))?;
//! // And one that sees bytes, on the pool of threads, where it may block.
//! registry.add(Method::pooled("demo.Text/Upper", |_context, request, reply| {
//!     reply.extend(request.to_ascii_uppercase());
//!     Ok(())
//! }))?;
//! # }
//! # Ok::<(), udp_rpc::service::RegistryError>(())
//! ```

mod bundle;
mod cancel;
mod context;
mod executor;
mod hook;
mod method;
mod names;
mod registry;
mod reply_metadata;
mod responder;
mod scope;
mod status;
pub mod trace;
mod upstream;

#[cfg(feature = "protobuf")]
pub mod builtin;
#[cfg(feature = "protobuf")]
mod catalog;
#[cfg(feature = "protobuf")]
pub mod details;
#[cfg(feature = "protobuf")]
mod duration;
#[cfg(feature = "protobuf")]
pub mod generated;
#[cfg(feature = "protobuf")]
mod page;
#[cfg(feature = "protobuf")]
mod schema;
#[cfg(feature = "protobuf")]
mod signature;
#[cfg(feature = "protobuf")]
mod streaming;
#[cfg(feature = "protobuf")]
mod typed;

pub use bundle::Service;
pub use cancel::{CancelToken, Listening};
pub(crate) use context::Origin;
pub use context::{Context, Gauges, OwnedContext};
pub use executor::{Executor, Task};
pub use hook::{Hook, Refusal};
pub use method::{Action, DeferredHandler, Handler, Idempotency, Method, REPLY_ROOM_MIN};
pub use names::NAME_LEN_MAX;
#[cfg(feature = "protobuf")]
pub use names::{Miss, resolve};
pub use registry::{Registry, RegistryError, Services};
pub use reply_metadata::ReplyMetadata;
pub(crate) use responder::PANICKED;
pub use responder::Responder;
pub use scope::{Scope, Scoped, TRACE_KEYS};
pub use status::Status;
#[cfg(feature = "protobuf")]
pub use streaming::{Bidirectional, ClientStreaming, ServerStreaming, Streamed};
#[cfg(feature = "protobuf")]
pub use typed::{TypedResponder, Unary};

#[cfg(test)]
mod testing;
