//! One session: its slots, its proved addresses, what runs in it, and how long it lives.

use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};

use super::Route;
use super::index::INDEX_COST;
use super::leases::Link;
use super::routes::Routes;
use super::table::Table;
use crate::wire::SessionId;

/// What a session costs besides its records and addresses, bytes: itself, and its place in the index.
pub(super) const SESSION_COST: usize = size_of::<Session>() + INDEX_COST;

/// Whom sessions are counted against: an IPv4 address, or an IPv6 network of 64 bits, which is
/// what one host can commonly draw addresses from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Source(u64);

impl Source {
    pub(super) fn of(remote: &SocketAddr) -> Self {
        match remote.ip().to_canonical() {
            // Behind a prefix that is multicast's, and so nobody's source address.
            IpAddr::V4(ip) => Source(0xffff_ffff << 32 | u64::from(ip.to_bits())),
            IpAddr::V6(ip) => {
                let [a, b, c, d, e, f, g, h, ..] = ip.octets();
                Source(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
            }
        }
    }
}

/// What is in progress in a session.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Load {
    /// Calls that wait for a worker.
    pub(super) queued: u32,
    /// Handlers that run, those of superseded calls included.
    pub(super) running: u32,
}

impl Load {
    /// Whether nothing is in progress.
    pub(super) fn is_idle(&self) -> bool {
        self.queued == 0 && self.running == 0
    }
}

/// A session. Times are µs of the server's clock. What is rare stands in blocks of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Session {
    pub(super) id: SessionId,
    /// Last datagram from a proved address, or end of the last handler.
    pub(super) contact: u64,
    pub(super) routes: Routes,
    pub(super) table: Table,
    pub(super) load: Load,
    /// Whom it is counted against.
    pub(super) source: Source,
    /// When its id was minted, whole seconds.
    pub(super) minted: u32,
    /// Its place among the lease timers.
    pub(super) link: Link,
    /// A call of it was queued or run at some time.
    pub(super) was_used: bool,
    /// CLOSE has come: it goes when nothing is in progress.
    pub(super) closing: bool,
}

/// An idle session, its place in the index and one record together are to stay under 256 bytes.
const _: () = assert!(size_of::<Session>() <= 112);

impl Session {
    pub(super) fn new(id: SessionId, minted: u32, route: &Route, clock: u64) -> Self {
        Self {
            id,
            contact: clock,
            routes: Routes::new(route),
            table: Table::new(),
            load: Load::default(),
            source: Source::of(&route.remote),
            minted,
            link: Link::NONE,
            was_used: false,
            closing: false,
        }
    }

    /// Reads something of every cache line, or nearly every one, that it stands in.
    #[inline]
    pub(super) fn touch(&self) {
        black_box((self.id, self.load.running, self.closing));
    }

    /// What it costs besides its records, bytes.
    pub(super) fn cost(&self) -> usize {
        SESSION_COST + self.routes.cost()
    }

    /// When its lease ends, if nothing is heard and nothing runs.
    pub(super) fn lease_end(&self, lease: u64) -> u64 {
        self.contact.saturating_add(lease)
    }

    /// Whether its lease has ended. While something is in progress it does not.
    pub(super) fn has_ended(&self, clock: u64, lease: u64) -> bool {
        clock >= self.lease_end(lease) && self.load.is_idle()
    }
}
