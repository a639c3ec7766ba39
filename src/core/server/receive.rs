//! From a datagram to the session that it belongs to: parse, handshake, session, address.
//!
//! Invariants: nothing is kept for a HELLO. To an address that is not proved goes at most one
//! datagram for one, not longer than what came (HELLO_ACK is as long as the shortest HELLO, all
//! else a bare header, and nothing shorter than a header is answered). From such an address
//! nothing else is used: no slot changes, no lease is renewed, nothing is replayed.

use std::net::{IpAddr, SocketAddr};

use super::common::{Arrival, Common};
use super::counters::{Done, Received};
use super::identity::{lives, seconds};
use super::inquiry;
use super::outgoing::Say;
use super::request::{Request, request};
use super::session::Session;
use super::sessions::Sessions;
use super::{Route, Server, Start};
use crate::core::{Rule, Time};
use crate::wire::{
    CallId, Datagram, FromClient, ParseError, Proofs, Reason, SessionId, VERSION, parse_from_client,
};

/// The least kind number that servers send; nothing of these is ever answered.
const SERVER_KIND: u8 = 0x80;

/// What a datagram of a session asks.
#[derive(Debug, Clone, Copy)]
enum Ask<'a> {
    Request(Request<'a>),
    Fence,
    Status,
    Ping,
    Ack { cell: u32 },
    Close,
}

impl Ask<'_> {
    /// Whether such a datagram may be a session's first.
    fn opens(&self) -> bool {
        !matches!(self, Ask::Ack { .. } | Ask::Close)
    }

    /// Whether any holder of a call token sends it, and not the client alone.
    fn is_of_anyone(&self) -> bool {
        matches!(self, Ask::Fence | Ask::Status)
    }

    /// Whether the kind is answered at all.
    fn is_answered(&self) -> bool {
        !matches!(self, Ask::Close)
    }

    /// Whether the kind has such call ids: PING's are below the window, so never a call's.
    fn takes(&self, call: CallId, window: u32) -> bool {
        match self {
            Ask::Close => true,
            Ask::Ping => call.0 < u64::from(window),
            _ => call.0 >= u64::from(window),
        }
    }
}

impl Server {
    /// Takes in one received datagram.
    ///
    /// `Some` is a call to be run at once by the caller, inline: it counts as running from here
    /// on, and [`complete`](Self::complete) must be told of its end.
    pub fn handle_datagram<'a>(
        &mut self,
        now: Time,
        route: &Route,
        datagram: &'a [u8],
    ) -> Option<Start<'a>> {
        let clock = self.clock(now);
        self.sessions.sweep_if_short(&mut self.common, clock);
        let (fate, start) = self.receive(clock, route, datagram);
        self.common.counters.count_received(fate);
        start
    }

    fn receive<'a>(
        &mut self,
        clock: u64,
        route: &Route,
        datagram: &'a [u8],
    ) -> (Received, Option<Start<'a>>) {
        if route.remote.port() == 0 {
            return (Received::PortZero, None);
        }
        if self.own.iter().any(|own| is_own(own, route)) {
            return (Received::OwnAddress, None);
        }
        match parse_from_client(datagram) {
            Ok(parsed) => self.dispatch(clock, route, parsed),
            Err(error) => (self.unreadable(clock, route, error), None),
        }
    }

    /// Drops a datagram that cannot be read; one of another version learns which we speak.
    fn unreadable(&mut self, clock: u64, route: &Route, error: ParseError) -> Received {
        match error {
            ParseError::Short => Received::Short,
            ParseError::Magic => Received::Magic,
            ParseError::Crc => Received::Crc,
            ParseError::Version { kind, .. } if kind >= SERVER_KIND => Received::ForeignVersion,
            ParseError::Version { session, call, .. } => {
                let arrival = Arrival { clock, route, session, call, attempt: 0 };
                self.common.answer(&arrival, Say::Version);
                Received::Version
            }
            ParseError::Direction => Received::Direction,
            ParseError::Kind => Received::Kind,
            ParseError::Flags => Received::Flags,
            ParseError::Field => Received::Field,
            ParseError::Options => Received::Options,
            ParseError::Body => Received::Body,
        }
    }

    /// HELLO is answered here; all else belongs to a session.
    fn dispatch<'a>(
        &mut self,
        clock: u64,
        route: &Route,
        datagram: Datagram<FromClient<'a>>,
    ) -> (Received, Option<Start<'a>>) {
        let attempt = datagram.attempt;
        let (session, call, proofs, ask) = match datagram.message {
            FromClient::Hello { session, nonce, lowest, highest, .. } => {
                // VERSION echoes the places of session and call id, whatever stands there.
                let call = CallId(u64::try_from(nonce >> 64).unwrap_or(u64::MAX));
                let arrival = Arrival { clock, route, session, call, attempt };
                let (say, fate) = if (lowest..=highest).contains(&VERSION) {
                    (Say::HelloAck { nonce }, Received::Hello)
                } else {
                    (Say::Version, Received::Version)
                };
                self.common.answer(&arrival, say);
                return (fate, None);
            }
            FromClient::Request {
                session,
                call,
                expiry,
                method,
                flags,
                cell,
                proofs,
                metadata,
                unknown_critical,
                options,
                body,
            } => {
                let request = Request {
                    expiry,
                    method,
                    flags,
                    cell,
                    metadata,
                    unknown_critical,
                    options,
                    body,
                };
                (session, call, proofs, Ask::Request(request))
            }
            FromClient::Fence { session, call, proofs } => (session, call, proofs, Ask::Fence),
            FromClient::Status { session, call, proofs } => (session, call, proofs, Ask::Status),
            FromClient::Ping { session, call, proofs } => (session, call, proofs, Ask::Ping),
            FromClient::Ack { session, call, cell, proofs, .. } => {
                (session, call, proofs, Ask::Ack { cell })
            }
            FromClient::Close { session, proofs } => (session, CallId(0), proofs, Ask::Close),
        };
        if !ask.takes(call, self.common.config.window) {
            return (Received::CallId, None);
        }
        let arrival = Arrival { clock, route, session, call, attempt };
        let server_start = self.server_start;
        let inside = |common: &mut Common, session: &mut Session, via| match &ask {
            Ask::Request(asked) => request(common, session, &arrival, via, asked, server_start),
            Ask::Fence => (inquiry::fence(common, session, &arrival), None),
            Ask::Status => (inquiry::status(common, session, &arrival), None),
            Ask::Ping => (inquiry::ping(common, session, &arrival), None),
            Ask::Ack { cell } => (inquiry::ack(common, session, &arrival, *cell), None),
            Ask::Close => {
                session.closing = true;
                (Received::Close, None)
            }
        };
        let (fate, start) =
            self.enter(&arrival, &proofs, &ask, inside).unwrap_or_else(|fate| (fate, None));
        if fate == Received::Close {
            self.sessions.end_if_closed(&mut self.common, session, clock);
        }
        (fate, start)
    }

    /// Session, then address. Where both hold, `inside` is given the session and the number of
    /// the address; else the datagram is answered here, or not at all, and nothing is recorded.
    fn enter<T>(
        &mut self,
        arrival: &Arrival<'_>,
        proofs: &Proofs,
        ask: &Ask<'_>,
        inside: impl FnOnce(&mut Common, &mut Session, u8) -> T,
    ) -> Result<T, Received> {
        let Self { sessions, common, .. } = self;
        let (id, clock) = (arrival.session, arrival.clock);
        // It lives or not, and only its own shard can say: nothing is said, and nothing recorded.
        if is_of_another_shard(common, id) && common.rules.hold(Rule::OwnShardAnswers) {
            return Err(Received::WrongShard);
        }
        let lease = common.config.lease_us();
        let mut has_ended = false;
        if let Some(session) = sessions.get_mut(id) {
            if !session.has_ended(clock, lease) {
                let Some(via) = address(common, session, arrival, proofs, ask) else {
                    return Err(challenge(common, arrival, ask));
                };
                session.contact = clock;
                return Ok(inside(common, session, via));
            }
            has_ended = true;
        }
        if has_ended {
            sessions.end(common, id, clock, Done::SessionExpired);
        }
        let minted = match creatable(sessions, common, arrival, proofs) {
            Creatable::At(minted) if ask.opens() => minted,
            Creatable::Challenge => return Err(challenge(common, arrival, ask)),
            Creatable::At(_) | Creatable::No => {
                let reason = Reason::UnknownSession;
                return Err(turn_away(common, arrival, ask, reason));
            }
        };
        let created = sessions.create(common, id, minted, arrival.route, clock);
        let Some(session) = created else {
            let reason = Reason::NoRoomForSession;
            return Err(turn_away(common, arrival, ask, reason));
        };
        Ok(inside(common, session, 0))
    }
}

/// The number of a known session's address, if it is proved already or by this datagram.
fn address(
    common: &mut Common,
    session: &mut Session,
    arrival: &Arrival<'_>,
    proofs: &Proofs,
    ask: &Ask<'_>,
) -> Option<u8> {
    let Arrival { clock, route, .. } = *arrival;
    let heard = if ask.is_of_anyone() { 0 } else { clock };
    if let Some(number) = session.routes.hear(route, heard) {
        return Some(number);
    }
    let path = proofs.path.as_ref()?;
    if !common.identity.is_path(&route.remote, arrival.session, path, clock) {
        return None;
    }
    session.routes.prove(route, heard, session.contact, &mut common.memory.records)
}

/// Whether an unknown session may be created.
enum Creatable {
    /// Yes; it was minted in this second.
    At(u32),
    /// Once the address is proved.
    Challenge,
    No,
}

fn creatable(
    sessions: &Sessions,
    common: &Common,
    arrival: &Arrival<'_>,
    proofs: &Proofs,
) -> Creatable {
    let Arrival { clock, session, .. } = *arrival;
    let (identity, rules) = (&common.identity, &common.rules);
    let path = proofs.path.as_ref();
    let path = path.filter(|path| identity.is_path(&arrival.route.remote, session, path, clock));
    let birth = proofs.birth.as_ref();
    let birth = birth.filter(|birth| identity.is_birth(session, birth));
    let live = birth.filter(|birth| !rules.hold(Rule::BirthDies) || lives(birth.minted, clock));
    match (live, path) {
        // It was closed; its birth must not create it again.
        (Some(birth), _) if sessions.has_tombstone(birth.minted, session) => Creatable::No,
        (Some(birth), Some(_)) => Creatable::At(birth.minted),
        (Some(_), None) => Creatable::Challenge,
        (None, Some(path)) if !rules.hold(Rule::OnlyBirthCreates) => Creatable::At(path.issued),
        _ if !rules.hold(Rule::NoImplicitSessions) => Creatable::At(seconds(clock)),
        (None, _) => Creatable::No,
    }
}

/// Asks for a proof of the address. Stateless.
fn challenge(common: &mut Common, arrival: &Arrival<'_>, ask: &Ask<'_>) -> Received {
    if !ask.is_answered() {
        return Received::CloseIgnored;
    }
    common.answer(arrival, Say::Challenge);
    Received::Challenged
}

/// Refuses for want of a session; nothing is recorded, so nothing is promised.
fn turn_away(
    common: &mut Common,
    arrival: &Arrival<'_>,
    ask: &Ask<'_>,
    reason: Reason,
) -> Received {
    if !ask.is_answered() {
        return Received::CloseIgnored;
    }
    common.answer(arrival, Say::refusal(reason));
    match reason {
        Reason::NoRoomForSession => Received::NoRoomForSession,
        _ => Received::UnknownSession,
    }
}

/// Whether another thread of this process owns the session: then it is not ours to call unknown.
fn is_of_another_shard(common: &Common, session: SessionId) -> bool {
    let shard = session.shard();
    shard != common.config.shard && u16::from(shard) < common.config.shards
}

/// Whether a datagram claims to come from this address of ours. An address that stands for all of
/// the host's is the one that the datagram was sent to.
fn is_own(own: &SocketAddr, route: &Route) -> bool {
    if own.port() != route.remote.port() {
        return false;
    }
    let remote = route.remote.ip().to_canonical();
    let own_ip = match own.ip() {
        ip if ip.is_unspecified() => route.local.map(|local| local.to_canonical()),
        ip => Some(IpAddr::to_canonical(&ip)),
    };
    own_ip == Some(remote)
}
