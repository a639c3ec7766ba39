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

use crate::wire::Metadata;

/// The metadata with this number: none, a pair, or a pair and a long one.
fn metadata_of(number: u64) -> Metadata {
    let mut metadata = Metadata::new();
    let long = "l".repeat(usize::try_from(number % 400).unwrap_or(0));
    let fits = match number % 3 {
        0 => Ok(()),
        1 => metadata.append("number-bin", number.to_be_bytes()),
        _ => metadata
            .append("number-bin", number.to_be_bytes())
            .and_then(|()| metadata.append("long", long)),
    };
    debug_assert!(fits.is_ok(), "{fits:?}");
    metadata
}
