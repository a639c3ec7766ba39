//! Clients as users of the library see them: thin drivers of the one core.
//!
//! There are two, and both make every kind of call:
//!
//! - [`BlockingClient`] works on its caller's thread, with sockets of its own. Nothing is handed
//!   to another thread, so a call takes as long as the sockets do: for programs that make one call
//!   after the other, for threads that each have a client, for command lines.
//! - [`Client`] has a thread of its own and is cloned freely: for asynchronous programs on any
//!   runtime, for servers whose handlers call other services, for many threads that share sessions
//!   and congestion control. A hand-over there and back is its price.
//!
//! A call that is made inside a handler of the same process is on behalf of the handler's call: it
//! ends by the same deadline, is cancelled with it and carries its trace context, unless
//! [`Options::detached`]. [`crate::service::Scope`] takes this along to other threads and futures.

#![cfg_attr(not(test), deny(clippy::unwrap_used))]

mod blocking;
mod builder;
mod error;
mod hook;
mod inquire;
mod link;
mod method;
mod observe;
mod options;
mod prepare;
mod slot;
mod threaded;
#[cfg(feature = "protobuf")]
mod typed;

pub use blocking::BlockingClient;
pub use builder::Builder;
pub use hook::{Ended, Hook, Starting};
pub use inquire::inquire;
pub use link::Interrupter;
pub use method::Method;
pub use observe::{Direction, Observation, Observer};
pub use options::Options;
pub use threaded::{Call, Client, Pending};
#[cfg(feature = "protobuf")]
pub use typed::{Response, TypedCall};

pub use crate::core::client::{
    Asked, CallHandle, ClientConfig, DEFAULT_TIMEOUT, Fate, Pong, SessionInfo,
};
