//! What a client tells of every datagram, for transcripts and demonstrations.

use std::net::SocketAddr;
use std::time::Duration;

use crate::core::fault::Fate;

/// Which way a datagram goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From this client.
    Sent,
    /// To this client.
    Received,
}

/// One datagram that this client sent or received.
#[derive(Debug, Clone, Copy)]
pub struct Observation<'a> {
    /// Since the client was made.
    pub at: Duration,
    /// Which way it goes.
    pub direction: Direction,
    /// The server's address.
    pub server: SocketAddr,
    /// The datagram, as it was sent or as it has arrived; [`crate::wire`] reads it.
    pub datagram: &'a [u8],
    /// What the client's own faulty path did to it ([`super::Builder::faults`]); `None` without
    /// one. A datagram received is told when it enters that path, so a delayed one acts later.
    pub fate: Option<Fate>,
}

/// Who is told of every datagram.
pub type Observer = Box<dyn FnMut(&Observation<'_>) + Send>;
