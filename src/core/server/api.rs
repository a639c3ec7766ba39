//! What passes between the core and whoever drives it: calls to run, their ends, events.

use std::net::{IpAddr, SocketAddr};

use crate::core::Time;
use crate::wire::{CallId, Code, Metadata, MetadataRef, Reason, SessionId};

/// The way that a datagram came, and that its answer goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Route {
    /// The other side's address.
    pub remote: SocketAddr,
    /// The address of ours that it was sent to, where that is known; answers leave from there.
    pub local: Option<IpAddr>,
    /// Which of the driver's sockets.
    pub socket: usize,
}

/// Datagrams to be sent, all one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transmit {
    /// Which way.
    pub route: Route,
    /// Bytes of them all, one after the other.
    pub size: usize,
    /// Bytes of each, when there are several; all are of this size.
    pub segment_size: Option<usize>,
}

/// The name of a call. Never an address: clients may change theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallKey {
    /// The session.
    pub session: SessionId,
    /// The call within it.
    pub call: CallId,
}

/// A call to be run at once; it is RUNNING already. Whoever gets it owes a
/// [`complete`](super::Server::complete).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start<'a> {
    /// The call.
    pub key: CallKey,
    /// Which of the methods that the server was made with.
    pub method: usize,
    /// What came with the request message.
    pub metadata: MetadataRef<'a>,
    /// The request message.
    pub body: &'a [u8],
    /// When its caller has given up.
    pub expiry: Time,
    /// Where it came from.
    pub route: Route,
}

/// A call that has waited for a worker; it is RUNNING already. Whoever gets it owes a
/// [`complete`](super::Server::complete), and may give the body back with
/// [`recycle`](super::Server::recycle).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The call.
    pub key: CallKey,
    /// Which of the methods that the server was made with.
    pub method: usize,
    /// What came with the request message.
    pub metadata: Metadata,
    /// The request message.
    pub body: Vec<u8>,
    /// When its caller has given up: a worker that finds it passed before it begins says
    /// [`End::NotStarted`].
    pub expiry: Time,
    /// Where it came from.
    pub route: Route,
}

/// How the run of a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End<'a> {
    /// The handler ran.
    Done {
        /// Its status.
        status: Code,
        /// What goes with the reply. It counts as part of it where a method's longest reply is
        /// concerned, with the bytes that its option takes.
        metadata: MetadataRef<'a>,
        /// The reply; when the status is not OK, the bytes of a
        /// [`StatusBody`](crate::wire::StatusBody).
        body: &'a [u8],
    },
    /// The handler's first instruction was never reached, and never will be: the expiry had
    /// passed, or the call was fenced, when the worker came to it, or it may not be called by
    /// whom it was called. Recorded as refused.
    NotStarted(Reason),
}

/// What the core tells its driver, apart from datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// Nobody waits any more for this call, whose handler runs: it was fenced or superseded, or
    /// its expiry has passed.
    Cancel(CallKey),
}
