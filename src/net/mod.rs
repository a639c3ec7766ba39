//! The only sockets, clocks and randomness of the operating system in this library.

mod clock;
mod entropy;
mod share;
mod socket;

pub use clock::Clock;
pub(crate) use entropy::seed;
pub use entropy::trace_ids;
pub(crate) use socket::{Batch, SendError, Socket};
