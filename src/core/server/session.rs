//! One session: its slots, its proved addresses, what runs in it, and how long it lives.

use std::mem::size_of;
use std::net::{IpAddr, SocketAddr};

use super::Route;
use super::table::Table;
use crate::wire::{CallId, SessionId};

/// What a session costs besides its records, bytes. Nodes of a B-tree are at least half full, so
/// at most twice the size: of the session, its second address, its place among the lease timers
/// and its source.
pub(super) const SESSION_COST: usize = 2
    * (size_of::<Session>()
        + size_of::<Proved>()
        + 3 * size_of::<SessionId>()
        + size_of::<(Source, u32)>());

/// Whom sessions are counted against: an IPv4 address, or an IPv6 network of 64 bits, which is
/// what one host can commonly draw addresses from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Source {
    V4(u32),
    V6(u64),
}

impl Source {
    pub(super) fn of(remote: &SocketAddr) -> Self {
        match remote.ip().to_canonical() {
            IpAddr::V4(ip) => Source::V4(ip.to_bits()),
            IpAddr::V6(ip) => {
                let [a, b, c, d, e, f, g, h, ..] = ip.octets();
                Source::V6(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
            }
        }
    }
}

/// An address that is proved while it stands here.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Proved {
    route: Route,
    /// When its client was last heard there; zero where somebody only asked.
    heard: u64,
}

/// The addresses of a session that are proved: two, so that an old and a new one can be heard in
/// turn while a client moves.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Routes {
    first: Proved,
    second: Option<Box<Proved>>,
}

impl Routes {
    fn new(route: Route, clock: u64) -> Self {
        Self { first: Proved { route, heard: clock }, second: None }
    }

    /// Which of the kept addresses this is. Answers leave through the socket and from the address
    /// that the latest datagram came to. `heard` is the clock, or zero for a mere question.
    pub(super) fn hear(&mut self, route: &Route, heard: u64) -> Option<u8> {
        let both = std::iter::once(&mut self.first).chain(self.second.as_deref_mut());
        for (number, proved) in (0..).zip(both) {
            if is_same(&proved.route.remote, &route.remote) {
                proved.route = *route;
                proved.heard = proved.heard.max(heard);
                return Some(number);
            }
        }
        None
    }

    /// Keeps an address whose proof was just seen, instead of the one at which the client was
    /// unheard for longest: whoever only asks, from a new address each time, drives out another
    /// who asked. Calls that would be answered at the old address are then answered at the new one.
    pub(super) fn prove(&mut self, route: &Route, heard: u64) -> u8 {
        let proved = Proved { route: *route, heard };
        match &mut self.second {
            Some(second) if second.heard > self.first.heard => {
                self.first = proved;
                0
            }
            Some(second) => {
                **second = proved;
                1
            }
            empty => {
                *empty = Some(Box::new(proved));
                1
            }
        }
    }

    /// The address with this number.
    pub(super) fn get(&self, number: u8) -> &Route {
        match (&self.second, number) {
            (Some(second), 1) => &second.route,
            _ => &self.first.route,
        }
    }
}

/// Whether two addresses are the same IP and port. A flow label is no part of an address.
fn is_same(one: &SocketAddr, other: &SocketAddr) -> bool {
    match (one, other) {
        (SocketAddr::V6(a), SocketAddr::V6(b)) if a.scope_id() != b.scope_id() => false,
        _ => one.port() == other.port() && one.ip() == other.ip(),
    }
}

/// What is in progress in a session.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Load {
    /// Calls that wait for a worker.
    pub(super) queued: u32,
    /// Handlers that run, those of superseded calls included.
    pub(super) running: u32,
    /// Calls whose handlers run, but whose slots have moved on.
    pub(super) orphans: Vec<CallId>,
}

impl Load {
    /// Whether nothing is in progress.
    pub(super) fn is_idle(&self) -> bool {
        self.queued == 0 && self.running == 0
    }
}

/// A session. Times are µs of the server's clock.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Session {
    /// When its id was minted, whole seconds.
    pub(super) minted: u32,
    /// Whom it is counted against.
    pub(super) source: Source,
    /// Last datagram from a proved address, or end of the last handler.
    pub(super) contact: u64,
    /// When its lease timer goes off, at which it is asked whether it has really ended.
    pub(super) lease_timer: u64,
    pub(super) routes: Routes,
    pub(super) table: Table,
    pub(super) load: Load,
    /// A call of it was queued or run at some time.
    pub(super) was_used: bool,
    /// CLOSE has come: it goes when nothing is in progress.
    pub(super) closing: bool,
}

impl Session {
    pub(super) fn new(minted: u32, route: &Route, clock: u64, lease: u64) -> Self {
        Self {
            minted,
            source: Source::of(&route.remote),
            contact: clock,
            lease_timer: clock.saturating_add(lease),
            routes: Routes::new(*route, clock),
            table: Table::new(),
            load: Load::default(),
            was_used: false,
            closing: false,
        }
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
