//! The state machines of client and server, without sockets, clocks or threads.
//!
//! Datagrams and the time come in as arguments, transmits, timeouts and events go out through
//! `poll_*`; randomness is drawn from a seed. The same code runs under the event loop, the
//! simulator and the fuzzers. Time is read nowhere in here.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

pub mod client;
pub mod fault;
mod outcome;
mod prf;
mod rtt;
mod rules;
pub mod server;
mod time;
mod token;
mod uncompared;

pub use outcome::{CallError, Outcome, Proof, Reply};
pub use prf::Seed;
pub(crate) use prf::{Key, Prf};
pub(crate) use rtt::RttEstimator;
pub(crate) use rules::{Rule, Rules};
pub use time::Time;
pub(crate) use time::micros;
pub use token::{CallToken, TokenError};
pub(crate) use uncompared::Uncompared;
