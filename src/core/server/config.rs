//! What an operator chooses: limits, budgets and the methods served. Constants of the process:
//! sessions are told some of them once, in HELLO_ACK, and hold the server to them.

use std::fmt;
use std::time::Duration;

use crate::core::micros;
use crate::wire::{MAX_BODY, MAX_REQUEST_BODY, MethodId, PROOF_LIFE_S};

/// How long a datagram may wander: twice the maximum segment lifetime of 120 s (RFC 8085
/// section 3.3), once for the request and once for its answer.
const WANDERING: Duration = Duration::from_secs(2 * 120);

/// What a shard has room for at least, for each call of a window, bytes: its record and what it
/// costs while it waits, its request's body apart.
const ROOM_OF_CALL: usize = 512;

/// Least room that is kept for a reply, bytes, so that an error's text fits even where a method
/// declares a shorter reply.
pub(super) const STATUS_ROOM: usize = 256;

/// Limits and budgets of a server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerConfig {
    /// Slots of a session, at least 2: how many calls of one client may be in progress.
    pub window: u32,
    /// The farthest expiry that a call may have, from its arrival.
    pub longest_deadline: Duration,
    /// How long a session lives after the last that was heard of it.
    pub lease: Duration,
    /// Which of the process's server threads this is: the first byte of its session ids. See
    /// [`of_shard`](Self::of_shard).
    pub shard: u8,
    /// How many shards the process has, 1 to 256. A datagram of a session of another shard of
    /// these is dropped; one of a shard that does not exist is of an unknown session.
    pub shards: u16,
    /// Most sessions, all clients together. 131072 × a quarter of a kilobyte, one call each, stays far
    /// under `record_memory`.
    pub max_sessions: usize,
    /// Most sessions of one IPv4 address, or of one IPv6 network of 64 bits, so that one host
    /// cannot take all.
    pub max_sessions_per_source: usize,
    /// Most closed sessions that are remembered until their birth has died. When they are used
    /// up, a session that is closed keeps its memory until then.
    pub max_tombstones: usize,
    /// Most calls that wait for a worker; more are refused as overload.
    pub max_queued: usize,
    /// Most answers that wait to be sent; more are dropped, and fetched by retransmission.
    pub max_answers: usize,
    /// Bytes for sessions, slot records, tombstones and waiting requests.
    pub record_memory: usize,
    /// Bytes for replies, kept or reserved.
    pub reply_memory: usize,
    /// What HELLO_ACK calls the software: UTF-8, padded with zeros.
    pub software: [u8; 16],
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            window: 4096,
            longest_deadline: Duration::from_secs(60),
            // Birrell and Nelson's five minutes; also the longest deadline and twice 120 s.
            lease: Duration::from_secs(300),
            shard: 0,
            shards: 1,
            max_sessions: 131_072,
            max_sessions_per_source: 16_384,
            max_tombstones: 262_144,
            max_queued: 4096,
            max_answers: 65_536,
            record_memory: 256 << 20,
            reply_memory: 64 << 20,
            software: software(),
        }
    }
}

/// Name and version of this library, cut to 16 bytes.
fn software() -> [u8; 16] {
    let mut field = [0; 16];
    let name = concat!("udp-rpc ", env!("CARGO_PKG_VERSION"));
    for (place, byte) in field.iter_mut().zip(name.bytes()) {
        *place = byte;
    }
    field
}

impl ServerConfig {
    /// The configuration of one shard of a process that has `shards`: this one, with an equal part
    /// of every limit and budget, rounded up, so that together the shards take what one server
    /// would have taken. But no part is so small that one client with a window of calls does not
    /// find room: of queue and memory, many shards may together take more.
    ///
    /// Every shard is a [`Server`](super::Server) of its own, made with the *same* seed, the same
    /// time and the same methods: then all say one epoch, show one clock, and none mints an id
    /// that another could mint. Whoever receives brings each datagram to the shard whose number
    /// is its byte 8 modulo `shards`: so HELLOs spread, and a session's datagrams come to the shard
    /// that minted it. One that goes astray is counted and dropped, never answered.
    ///
    /// ```
    /// use udp_rpc::core::server::{Server, ServerConfig};
    /// use udp_rpc::core::{Seed, Time};
    ///
    /// let (seed, now) = (Seed([7; 32]), Time::ZERO); // in earnest, random bytes
    /// let all = ServerConfig::default();
    /// let shard = |n| Server::new(all.of_shard(n, 2), Vec::new(), seed, now);
    /// let (first, second) = (shard(0)?, shard(1)?);
    /// assert_eq!(first.epoch(), second.epoch());
    /// # Ok::<(), udp_rpc::core::server::ConfigError>(())
    /// ```
    #[must_use]
    pub fn of_shard(&self, shard: u8, shards: u16) -> Self {
        let part = |whole: usize| whole.div_ceil(usize::from(shards.max(1)));
        let window = usize::try_from(self.window).unwrap_or(usize::MAX);
        let with_room = |whole: usize, per_call: usize| {
            part(whole).max(window.saturating_mul(per_call).min(whole))
        };
        Self {
            shard,
            shards,
            max_sessions: part(self.max_sessions),
            max_sessions_per_source: part(self.max_sessions_per_source),
            max_tombstones: part(self.max_tombstones),
            max_queued: with_room(self.max_queued, 1),
            max_answers: part(self.max_answers),
            record_memory: with_room(self.record_memory, ROOM_OF_CALL),
            reply_memory: with_room(self.reply_memory, MAX_BODY),
            ..self.clone()
        }
    }

    /// Checks what the promises hang on.
    ///
    /// # Errors
    ///
    /// What contradicts what.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.lease <= Duration::from_secs(PROOF_LIFE_S.into()) {
            return Err(ConfigError::LeaseWithinBirth);
        }
        if self.longest_deadline.saturating_add(WANDERING) > self.lease {
            return Err(ConfigError::LeaseTooShort);
        }
        if self.longest_deadline.as_millis() == 0 {
            return Err(ConfigError::NoDeadline);
        }
        if u32::try_from(self.lease.as_millis()).is_err() {
            return Err(ConfigError::LeaseTooLong);
        }
        if self.window < 2 {
            return Err(ConfigError::Window);
        }
        if self.shards > 256 || u16::from(self.shard) >= self.shards {
            return Err(ConfigError::Shard);
        }
        let counts = [
            self.max_sessions,
            self.max_sessions_per_source,
            self.max_answers,
            self.record_memory,
            self.reply_memory,
        ];
        if counts.contains(&0) {
            return Err(ConfigError::Nothing);
        }
        Ok(())
    }

    /// The lease, µs.
    pub(super) fn lease_us(&self) -> u64 {
        micros(self.lease)
    }

    /// The longest deadline, µs.
    pub(super) fn longest_deadline_us(&self) -> u64 {
        micros(self.longest_deadline)
    }
}

/// How a method's handler is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Execution {
    /// At once, by the thread that received the request: it is declared quick.
    Inline,
    /// By whoever asks for work with [`Server::claim`](super::Server::claim).
    Queued,
}

/// What the core has to know of a method.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MethodSpec {
    /// Its id.
    pub id: MethodId,
    /// How its handler is run.
    pub execution: Execution,
    /// Longest reply, bytes, at most [`MAX_BODY`]: its body, and what its metadata takes in a
    /// datagram. Room for it is reserved before the handler starts.
    pub longest_reply: usize,
    /// Longest request that it takes, bytes; a longer one is refused.
    pub longest_request: usize,
}

impl MethodSpec {
    /// A method with the longest request and reply that a datagram holds.
    pub fn new(id: MethodId, execution: Execution) -> Self {
        Self { id, execution, longest_reply: MAX_BODY, longest_request: MAX_REQUEST_BODY }
    }

    /// Bytes reserved for a reply.
    pub(super) fn reply_room(&self) -> usize {
        self.longest_reply.clamp(STATUS_ROOM, MAX_BODY)
    }
}

/// Why a server does not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigError {
    /// The lease is not longer than the 60 s that a birth lives: a late first datagram could
    /// re-create a session that has ended.
    LeaseWithinBirth,
    /// The longest deadline and 240 s are more than the lease: a session could end while copies of
    /// its calls are still on their way.
    LeaseTooShort,
    /// The lease does not fit the 32 bits of milliseconds that announce it.
    LeaseTooLong,
    /// The longest deadline is less than a millisecond.
    NoDeadline,
    /// The window is less than 2.
    Window,
    /// The shard is not one of the shards.
    Shard,
    /// A limit is zero, so that nothing could ever be served.
    Nothing,
    /// Two methods have this id.
    DuplicateMethod(MethodId),
    /// This method declares a reply that does not fit a datagram.
    ReplyTooLong(MethodId),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeaseWithinBirth => {
                write!(f, "the lease must be longer than {PROOF_LIFE_S} s")
            }
            Self::LeaseTooShort => f.write_str(
                "the lease must be at least the longest deadline and 240 s, in which a datagram \
                 may still be on its way",
            ),
            Self::LeaseTooLong => f.write_str("the lease must be less than 49 days"),
            Self::NoDeadline => f.write_str("the longest deadline must be at least 1 ms"),
            Self::Window => f.write_str("the window must be at least 2"),
            Self::Shard => f.write_str("the shard must be below the number of shards, at most 256"),
            Self::Nothing => f.write_str("a limit is zero: nothing could ever be served"),
            Self::DuplicateMethod(id) => write!(f, "two methods have the id {id}"),
            Self::ReplyTooLong(id) => write!(
                f,
                "method {id} declares a reply of more than the {MAX_BODY} bytes of a datagram"
            ),
        }
    }
}

impl std::error::Error for ConfigError {}
