//! Bytes ↔ meaning. What a datagram says, and how that is written.
//!
//! Everything here is a pure function of bytes: no state, no clock, no randomness, no sockets.
//! The layouts are those of `PROTOCOL.md`; the hex vectors there are this module's tests.
//!
//! Invariants: whatever [`parse_from_client`] or [`parse_from_server`] accepts is emitted again
//! as bytes of the same meaning, and nothing that a peer sends can make either of them panic or
//! allocate.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::cast_possible_truncation
    )
)]

mod client;
mod code;
mod header;
mod id;
mod metadata;
mod options;
mod reason;
mod server;
mod status;

pub use client::{FromClient, parse_from_client};
pub use code::Code;
pub use header::{Flags, Kind, ParseError, ids, seal};
pub use id::{CallId, Epoch, MethodId, SessionId};
pub use metadata::{METADATA_MAX, Metadata, MetadataError, MetadataRef};
pub use options::{
    Birth, OPTIONS_LEN_MAX, PROOF_LIFE_S, PathProof, Proofs, fingerprinted, pad, pads, proof_dies,
};
pub use reason::{Reason, SlotState};
pub use server::{FromServer, HelloAck, Limits, VERSION_LEN, parse_from_server};
pub use status::StatusBody;

/// The first two bytes of every datagram: `UR`.
pub const MAGIC: u16 = 0x5552;

/// The version of the protocol that this library speaks.
pub const VERSION: u8 = 1;

/// Length of the fixed header, bytes.
pub const HEADER_LEN: usize = 48;

/// Longest datagram, bytes of UDP payload: IPv6's minimum MTU of 1280 less 40 bytes of IPv6 header
/// and 8 of UDP header (RFC 8200 section 5), so that no path has to fragment it.
pub const MAX_DATAGRAM: usize = 1232;

/// Longest body of a datagram that carries no option, bytes.
pub const MAX_BODY: usize = MAX_DATAGRAM - HEADER_LEN;

/// Bytes that both proofs take in a datagram's options.
pub const PROOFS_LEN: usize = 2 * options::PROOF_LEN;

/// Longest body of a REQUEST that may have to carry both proofs, bytes: what a client may send in
/// one datagram without knowing whether the server knows its session yet.
pub const MAX_REQUEST_BODY: usize = MAX_BODY - PROOFS_LEN;

/// Length of a HELLO_ACK, and the least length of a HELLO, bytes: an answer to an address that is
/// not proved is never longer than what came from there.
pub const HELLO_LEN: usize = 128;

/// UDP port served when none is said.
pub const DEFAULT_PORT: u16 = 5860;

/// A datagram: which transmission of its sender it is or answers, and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram<T> {
    /// Sent by a client: the nth transmission of this call, from 1, modulo 256. Sent by a server:
    /// the attempt that it answers.
    pub attempt: u8,
    /// What it says.
    pub message: T,
}

#[cfg(test)]
mod tests;
