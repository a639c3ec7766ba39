//! What goes in and comes out of a [`Client`](super::Client): calls, events, transmits, counters.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::time::Duration;

use crate::core::{CallError, Reply, Time};
use crate::wire::{Epoch, Limits, Metadata, MethodId};

/// Names a call, or a ping, of one [`Client`](super::Client). Later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallHandle {
    /// Its number in the order in which they were made. Never used again.
    pub(super) sequence: NonZeroU64,
    /// Where an open call is kept. Used again.
    pub(super) place: u32,
}

/// A call to be made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NewCall {
    /// The method.
    pub method: MethodId,
    /// What goes with the request message.
    pub metadata: Metadata,
    /// The request message: with the option that its metadata takes, at most
    /// [`MAX_REQUEST_BODY`](crate::wire::MAX_REQUEST_BODY) bytes.
    pub body: Vec<u8>,
    /// When the caller stops waiting. The call never starts later than that.
    pub deadline: Time,
    /// The method is declared free of side effects: it may run more than once.
    pub no_side_effects: bool,
    /// Whether it is issued again by itself where that is safe; `None`: as configured.
    pub retry: Option<bool>,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// A call ended.
    Ended {
        /// The call.
        handle: CallHandle,
        /// How.
        result: Result<Reply, CallError>,
    },
    /// A ping ended.
    Ponged {
        /// The ping.
        handle: CallHandle,
        /// How. Nothing of a ping runs, so its error's outcome says nothing.
        result: Result<Pong, CallError>,
    },
}

/// The answer to a ping.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pong {
    /// Round-trip time of the copy that was answered, less the time for which it was held.
    pub rtt: Duration,
    /// The server's life.
    pub epoch: Epoch,
    /// The server's clock as it answered, µs since its start.
    pub clock: u64,
    /// Name and version of the server's software.
    pub software: String,
    /// PINGs sent.
    pub attempts: u32,
}

/// A datagram to be sent, or a run of datagrams to be sent in one system call: what
/// [`Client::poll_transmit`](super::Client::poll_transmit) appended to the buffer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Transmit {
    /// Where to.
    pub remote: SocketAddr,
    /// Bytes appended.
    pub size: usize,
    /// Size of each datagram, if there are several: as many as it goes into `size`.
    pub segment_size: Option<usize>,
    /// Where a driver keeps it until there is room: from when on nothing of it is to be sent any
    /// more, because the deadline of a call in it has come. It counts as sent all the same.
    pub until: Time,
    /// For a copy of a request that goes alone: the call, and which attempt it is.
    pub call: Option<(CallHandle, u8)>,
    /// Whether it is a HELLO.
    pub(super) hello: bool,
    /// Under which identity of the call.
    pub(super) issue: u32,
}

/// The current session, for people.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SessionInfo {
    /// The server's address.
    pub server: SocketAddr,
    /// The server's life.
    pub epoch: Epoch,
    /// The server's limits.
    pub limits: Limits,
    /// Name and version of the server's software.
    pub software: String,
    /// Lower bound of the server's clock, µs since its start.
    pub clock: u64,
    /// Retransmission timeout, without backoff.
    pub rto: Duration,
    /// Smoothed round-trip time, once there is a sample.
    pub srtt: Option<Duration>,
}

/// What a [`Client`](super::Client) has counted. The datagrams received are the sum of those used and those dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ClientCounters {
    /// Datagrams handed in.
    pub received: u64,
    /// … that were used.
    pub used: u64,
    /// … dropped as malformed or damaged.
    pub dropped_malformed: u64,
    /// … dropped because they name no session of this client, or no handshake in progress.
    pub dropped_stray: u64,
    /// … dropped because they came from another address than the session's server.
    pub dropped_source: u64,
    /// … dropped because their call or ping has ended: duplicates and latecomers.
    pub dropped_late: u64,
    /// … dropped because they speak for another life of the server, or contradict themselves.
    pub dropped_foreign: u64,
    /// Datagrams handed out.
    pub sent: u64,
    /// … of which copies of a request after its first.
    pub retransmitted: u64,
    /// … of which HELLOs.
    pub hellos: u64,
    /// … of which PINGs.
    pub pings: u64,
    /// Copies that the driver reported as never sent.
    pub unsent: u64,
    /// Refusals by the network (ICMP) that the driver reported.
    pub refused_by_network: u64,
}
