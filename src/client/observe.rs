//! What a client tells of every datagram, for transcripts and demonstrations.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
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

/// The same observer, whose panic does not end the thread that tells it: it is told no more.
pub(super) fn guarded(mut observer: Observer) -> Observer {
    let mut listens = true;
    Box::new(move |observation| {
        let told = || observer(observation);
        if listens && catch_unwind(AssertUnwindSafe(told)).is_err() {
            listens = false;
            log::error!("the observer of a client's datagrams has panicked, and is told no more");
        }
    })
}
