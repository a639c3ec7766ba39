//! Remote procedure calls in UDP datagrams, executed at most once, that tell the truth when they fail.

pub mod client;
pub mod core;
pub mod net;
pub mod server;
pub mod service;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
pub mod wire;
