//! The only sockets, clocks, randomness and processes of the operating system in this library.

mod clock;
mod entropy;
mod process;
mod share;
mod socket;

pub use clock::Clock;
pub(crate) use entropy::seed;
pub use entropy::trace_ids;
pub(crate) use process::Process;
pub(crate) use socket::{Batch, SendError, Socket};
