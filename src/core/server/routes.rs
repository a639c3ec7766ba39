//! The proved addresses of a session, in little room: nearly all are IPv4, or one only.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};

use super::Route;
use super::memory::{BLOCK_COST, Budget};

/// A route, in less room than [`Route`] takes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Way {
    /// Between two IPv4 addresses.
    V4(Short),
    /// The same, as a socket of IPv6 tells it.
    Mapped(Short),
    /// Any other.
    Long(Box<Route>),
}

/// A route between IPv4 addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Short {
    remote: Ipv4Addr,
    /// `0.0.0.0` where it is not known.
    local: Ipv4Addr,
    port: u16,
    socket: u16,
}

/// What a route in a block of its own costs, bytes.
const LONG_COST: usize = size_of::<Route>() + BLOCK_COST;

/// What a second address costs, bytes, its route apart.
const SECOND_COST: usize = size_of::<Second>() + BLOCK_COST;

impl Short {
    /// Whether it has the socket and the local address of this one, whose remote is the same.
    fn leaves_by(self, route: &Route) -> bool {
        let is_local = match route.local {
            None => self.local.is_unspecified(),
            Some(IpAddr::V4(local)) => self.local == local,
            Some(IpAddr::V6(_)) => false,
        };
        is_local && usize::from(self.socket) == route.socket
    }

    /// In IPv6 form if `mapped`.
    fn route(self, mapped: bool) -> Route {
        let ip = |ip: Ipv4Addr| match mapped {
            true => IpAddr::V6(ip.to_ipv6_mapped()),
            false => IpAddr::V4(ip),
        };
        let local = (!self.local.is_unspecified()).then(|| ip(self.local));
        let remote = SocketAddr::new(ip(self.remote), self.port);
        Route { remote, local, socket: self.socket.into() }
    }
}

impl Way {
    fn new(route: &Route) -> Self {
        Self::short(route).unwrap_or_else(|| Way::Long(Box::new(*route)))
    }

    /// In little room, if that says the same.
    fn short(route: &Route) -> Option<Self> {
        let is_mapped = route.remote.is_ipv6();
        let ip = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(ip) => ip.to_ipv4_mapped(),
        };
        let short = Short {
            remote: ip(route.remote.ip())?,
            local: route.local.map_or(Some(Ipv4Addr::UNSPECIFIED), ip)?,
            port: route.remote.port(),
            socket: u16::try_from(route.socket).ok()?,
        };
        // Flow labels, scopes and the like would be lost.
        let says_the_same = short.route(is_mapped) == *route;
        says_the_same.then_some(if is_mapped { Way::Mapped(short) } else { Way::V4(short) })
    }

    fn route(&self) -> Route {
        match self {
            Way::V4(short) => short.route(false),
            Way::Mapped(short) => short.route(true),
            Way::Long(route) => **route,
        }
    }

    /// Whether this is the address, IP and port. A flow label is no part of it.
    #[inline]
    fn is(&self, remote: &SocketAddr) -> bool {
        match (self, remote) {
            (Way::V4(short), SocketAddr::V4(remote)) => {
                short.remote == *remote.ip() && short.port == remote.port()
            }
            (Way::Mapped(short), SocketAddr::V6(remote)) => {
                short.port == remote.port()
                    && remote.scope_id() == 0
                    && remote.ip().to_ipv4_mapped() == Some(short.remote)
            }
            (Way::Long(route), _) => is_same(&route.remote, remote),
            _ => false,
        }
    }

    /// The same address, by another socket or to another address of ours: answers leave from there.
    /// What would take more room than there is changes nothing.
    fn update(&mut self, route: &Route) {
        match self {
            Way::Long(long) => **long = *route,
            Way::V4(short) | Way::Mapped(short) if short.leaves_by(route) => {}
            Way::V4(_) | Way::Mapped(_) => {
                if let Some(short) = Self::short(route) {
                    *self = short;
                }
            }
        }
    }

    /// What it takes beside itself, bytes.
    fn cost(&self) -> usize {
        match self {
            Way::V4(_) | Way::Mapped(_) => 0,
            Way::Long(_) => LONG_COST,
        }
    }
}

/// Whether two addresses are the same IP and port. A flow label is no part of an address.
fn is_same(one: &SocketAddr, other: &SocketAddr) -> bool {
    let scope = |address: &SocketAddr| match address {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(address) => SocketAddrV6::scope_id(address),
    };
    one.port() == other.port() && one.ip() == other.ip() && scope(one) == scope(other)
}

/// Puts a route in another's place, if there is memory for it.
fn exchange(old: &mut Way, new: Way, records: &mut Budget) -> bool {
    if !records.take(new.cost().saturating_sub(old.cost())) {
        return false;
    }
    records.give(old.cost().saturating_sub(new.cost()));
    *old = new;
    true
}

/// A second address, and when its client was last heard at each of the two; zero where somebody only
/// asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Second {
    way: Way,
    heard: u64,
    heard_at_first: u64,
}

/// The addresses of a session that are proved: two, so that an old and a new one can be heard in
/// turn while a client moves.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Routes {
    first: Way,
    second: Option<Box<Second>>,
}

impl Routes {
    pub(super) fn new(route: &Route) -> Self {
        Self { first: Way::new(route), second: None }
    }

    /// Which of the kept addresses this is. `heard` is the clock, or zero for a mere question.
    #[inline]
    pub(super) fn hear(&mut self, route: &Route, heard: u64) -> Option<u8> {
        if self.first.is(&route.remote) {
            self.first.update(route);
            if let Some(second) = &mut self.second {
                second.heard_at_first = second.heard_at_first.max(heard);
            }
            return Some(0);
        }
        let second = self.second.as_mut().filter(|second| second.way.is(&route.remote))?;
        second.way.update(route);
        second.heard = second.heard.max(heard);
        Some(1)
    }

    /// Keeps an address whose proof was just seen, instead of the one at which the client was
    /// unheard for longest: whoever only asks, from a new address each time, drives out another
    /// who asked. Calls that would be answered at the old address are then answered at the new one.
    /// `contact` is when the client was last heard while it had one address.
    ///
    /// Where there is no memory for a second one, a client is heard at the new one alone, and who
    /// only asks has proved nothing.
    pub(super) fn prove(
        &mut self,
        route: &Route,
        heard: u64,
        contact: u64,
        records: &mut Budget,
    ) -> Option<u8> {
        let way = Way::new(route);
        match &mut self.second {
            None if records.take(SECOND_COST + way.cost()) => {
                self.second = Some(Box::new(Second { way, heard, heard_at_first: contact }));
                Some(1)
            }
            None => (heard > 0 && exchange(&mut self.first, way, records)).then_some(0),
            Some(second) if second.heard > second.heard_at_first => {
                let is_kept = exchange(&mut self.first, way, records);
                second.heard_at_first = if is_kept { heard } else { second.heard_at_first };
                is_kept.then_some(0)
            }
            Some(second) => {
                let is_kept = exchange(&mut second.way, way, records);
                second.heard = if is_kept { heard } else { second.heard };
                is_kept.then_some(1)
            }
        }
    }

    /// The address with this number.
    pub(super) fn get(&self, number: u8) -> Route {
        match (&self.second, number) {
            (Some(second), 1) => second.way.route(),
            _ => self.first.route(),
        }
    }

    /// What they take beside themselves, bytes.
    pub(super) fn cost(&self) -> usize {
        let second = self.second.as_ref().map_or(0, |second| SECOND_COST + second.way.cost());
        self.first.cost() + second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(remote: &str, local: Option<&str>) -> Route {
        let local = local.map(|local| local.parse().unwrap());
        Route { remote: remote.parse().unwrap(), local, socket: 3 }
    }

    #[test]
    fn routes_come_back_as_they_went_in_and_ipv4_takes_no_block() {
        let cases = [
            (route("192.0.2.1:7", Some("192.0.2.9")), true),
            (route("192.0.2.1:7", None), true),
            (route("[::ffff:192.0.2.1]:7", Some("::ffff:192.0.2.9")), true),
            (route("[::ffff:192.0.2.1]:7", None), true),
            (route("[::ffff:192.0.2.1]:7", Some("192.0.2.9")), false),
            (route("192.0.2.1:7", Some("0.0.0.0")), false),
            (route("[2001:db8::1]:7", Some("2001:db8::9")), false),
            (route("[fe80::1%2]:7", None), false),
            (Route { socket: 1 << 20, ..route("192.0.2.1:7", None) }, false),
        ];
        for (route, is_short) in cases {
            let way = Way::new(&route);
            assert_eq!((way.route(), way.cost() == 0), (route, is_short), "{route:?}");
            assert!(way.is(&route.remote));
        }
        assert_eq!(size_of::<Way>(), 16);
    }

    #[test]
    fn addresses_are_the_same_by_family_ip_port_and_scope() {
        let all = [
            "192.0.2.1:7",
            "192.0.2.1:8",
            "[::ffff:192.0.2.1]:7",
            "[fe80::1]:7",
            "[fe80::1%2]:7",
            "[::192.0.2.1]:7",
        ];
        for one in all {
            for other in all {
                let remote = route(other, None).remote;
                assert_eq!(Way::new(&route(one, None)).is(&remote), one == other, "{one} {other}");
            }
        }
        let labelled = SocketAddrV6::new("fe80::1".parse().unwrap(), 7, 9, 0);
        assert!(Way::new(&route("[fe80::1]:7", None)).is(&SocketAddr::V6(labelled)));
    }

    /// What is proved is accounted for, to the byte; without memory a client is heard at the new
    /// address alone, and who only asks drives out nobody.
    #[test]
    fn second_address_is_paid_for_or_takes_the_place_of_the_first() {
        let [a, b, c] = ["192.0.2.1:7", "[2001:db8::1]:7", "192.0.2.3:7"].map(|r| route(r, None));
        let mut none = Budget::new(0);
        let mut routes = Routes::new(&a);
        assert_eq!(routes.prove(&c, 0, 5, &mut none), None);
        assert_eq!(routes.prove(&b, 6, 5, &mut none), None, "it is longer");
        assert_eq!(routes.hear(&a, 6), Some(0));
        assert_eq!(routes.prove(&c, 7, 6, &mut none), Some(0));
        assert_eq!((routes.hear(&a, 8), routes.hear(&c, 8)), (None, Some(0)));

        let mut records = Budget::new(1000);
        for (place, (route, heard)) in
            [(b, 9), (a, 10), (c, 0), (a, 0), (b, 11), (c, 12)].into_iter().enumerate()
        {
            if routes.hear(&route, heard).is_none() {
                assert!(routes.prove(&route, heard, 8, &mut records).is_some(), "{place}");
            }
            assert_eq!(records.used(), routes.cost(), "{place}");
        }
    }
}
