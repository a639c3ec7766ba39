//! Clients as users of the library see them: thin drivers of the one core.

#![cfg_attr(not(test), deny(clippy::unwrap_used))]

mod blocking;
mod inquire;
mod link;
mod method;
mod observe;

pub use blocking::{BlockingClient, Builder, Options};
pub use inquire::inquire;
pub use link::Interrupter;
pub use method::Method;
pub use observe::{Direction, Observation, Observer};

pub use crate::core::client::{
    Asked, CallHandle, ClientConfig, DEFAULT_TIMEOUT, Fate, Pong, SessionInfo,
};
