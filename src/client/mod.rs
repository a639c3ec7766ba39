//! Clients as users of the library see them: thin drivers of the one core.

mod blocking;
mod inquire;
mod link;
mod method;
mod observe;

pub use blocking::{BlockingClient, Builder, Options};
pub use inquire::{Inquire, inquire};
pub use link::Interrupter;
pub use method::Method;
pub use observe::{Direction, Observation};

pub use crate::core::client::{CallHandle, Fate, Pong, SessionInfo};
