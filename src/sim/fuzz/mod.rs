//! What the fuzz targets run, and `cargo test` over their committed corpora.
//!
//! Each function takes any bytes and panics where a promise is broken. The bytes are read as a
//! script (`input`): which datagram comes next, from where, after how long, with
//! which of the identities and proofs seen so far. Without such help no fuzzer would ever guess a MAC.

mod client;
mod decoder;
mod input;
mod server;

pub use client::client;
#[cfg(test)]
pub(in crate::sim) use client::client_without;
pub use decoder::decoder;
pub use server::server;
#[cfg(test)]
pub(in crate::sim) use server::server_without;
