//! What a user of the client may choose.

use std::net::SocketAddr;
use std::time::Duration;

use crate::core::rtt::RTO_INITIAL;

/// Deadline of calls whose caller names none.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Least RTO across a network, 10 ms: above timer granularity and the stalls of a few milliseconds
/// that busy hosts have.
const RTO_FLOOR: Duration = Duration::from_millis(10);

/// Least RTO on loopback, where only the scheduler is in the way.
const RTO_FLOOR_LOOPBACK: Duration = Duration::from_millis(5);

/// Initial RTO on loopback, which is no network that RFC 8961's 1 s has to protect.
const RTO_INITIAL_LOOPBACK: Duration = Duration::from_millis(100);

/// Settings of a [`Client`](super::Client).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientConfig {
    /// Timeout of calls whose caller names none; for drivers, the core only sees deadlines.
    pub timeout: Duration,
    /// RTO before the first sample; `None`: 1 s, on loopback 100 ms.
    pub initial_rto: Option<Duration>,
    /// Least RTO; `None`: 10 ms, on loopback 5 ms.
    pub rto_floor: Option<Duration>,
    /// After how long without a word from the server it is pinged before a call that may have
    /// side effects is risked, so that a server that has restarted meanwhile does not leave that
    /// call's outcome unknown; well above a turn of the driver; `None`: never.
    pub ping_after_idle: Option<Duration>,
    /// Whether calls are issued again by themselves where that is safe.
    pub retry: bool,
    /// Whether calls wait, until their deadline, for a server that is not there yet.
    pub wait_for_server: bool,
    /// Whether every result brings the token of its call (of its last issue); errors of unknown
    /// outcome do in any case. Sessions of which a token was given out are never closed early.
    pub tokens: bool,
    /// Calls that may wait to be sent.
    pub max_waiting: usize,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            timeout: DEFAULT_TIMEOUT,
            initial_rto: None,
            rto_floor: None,
            ping_after_idle: Some(Duration::from_secs(2)),
            retry: true,
            wait_for_server: false,
            tokens: false,
            max_waiting: 65_536,
        }
    }
}

impl ClientConfig {
    /// RTO towards `server` before the first sample.
    pub(super) fn initial_rto(&self, server: SocketAddr) -> Duration {
        self.initial_rto.unwrap_or(if is_loopback(server) {
            RTO_INITIAL_LOOPBACK
        } else {
            RTO_INITIAL
        })
    }

    /// Least RTO towards `server`.
    pub(super) fn rto_floor(&self, server: SocketAddr) -> Duration {
        self.rto_floor.unwrap_or(if is_loopback(server) { RTO_FLOOR_LOOPBACK } else { RTO_FLOOR })
    }
}

fn is_loopback(server: SocketAddr) -> bool {
    server.ip().to_canonical().is_loopback()
}
