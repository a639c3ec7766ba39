//! This project's protocol without a client: what opens a session, and what asks in it. No slots,
//! no timers, no window: for loads that measure a server.

use std::net::{SocketAddr, UdpSocket};
use std::time::Instant;

use prost::Message;
use udp_rpc::wire::{
    CallId, Datagram, Flags, FromClient, FromServer, HELLO_LEN, HelloAck, MetadataRef, MethodId,
    Proofs, SessionId, VERSION, parse_from_server,
};

use super::raw::{self, connected};
use super::udp_rpc::ADD;
use crate::measure::{Recorder, Sample};
use crate::operands::{Number, Operands, Source};
use crate::settings::{Error, Load};

/// How long a call may take, µs.
const PATIENCE_US: u64 = 10_000_000;

/// The server's clock.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    us: u64,
    at: Instant,
}

impl Clock {
    /// As a datagram that came now says.
    pub(super) fn says(us: u64) -> Self {
        Self { us, at: Instant::now() }
    }

    /// By when a call that is made now is to start.
    pub(super) fn expiry(self) -> u64 {
        self.us + u64::try_from(self.at.elapsed().as_micros()).unwrap_or(u64::MAX) + PATIENCE_US
    }
}

/// A session that is offered: its proofs travel until it has answered.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Offer {
    pub(super) session: SessionId,
    proofs: Proofs,
}

impl Offer {
    pub(super) fn new(session: SessionId, ack: &HelloAck) -> Self {
        Self { session, proofs: Proofs { birth: Some(ack.birth), path: Some(ack.path) } }
    }

    /// What creates the session.
    pub(super) fn ping(&self) -> Vec<u8> {
        let (session, proofs) = (self.session, self.proofs);
        emit(FromClient::Ping { session, call: CallId(1), proofs })
    }
}

/// What asks for a session. The answer echoes the number.
pub(super) fn hello(number: u128) -> Vec<u8> {
    let (lowest, highest, length) = (VERSION, VERSION, HELLO_LEN);
    emit(FromClient::Hello { session: SessionId(0), nonce: number, lowest, highest, length })
}

fn emit(message: FromClient<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    Datagram { attempt: 1, message }.emit(&mut out);
    out
}

/// Appends a request to add these.
pub(super) fn request(
    session: SessionId,
    call: u64,
    clock: Clock,
    operands: Operands,
    out: &mut Vec<u8>,
) {
    let message = FromClient::Request {
        session,
        call: CallId(call),
        expiry: clock.expiry(),
        method: MethodId::of(ADD),
        flags: Flags::WHOLE,
        cell: 0,
        proofs: Proofs::default(),
        metadata: MetadataRef::EMPTY,
        unknown_critical: false,
        options: &[],
        body: &operands.encode_to_vec(),
    };
    Datagram { attempt: 1, message }.emit(out);
}

/// A socket with a session.
struct Peer {
    socket: UdpSocket,
    session: SessionId,
    clock: Clock,
    /// Of the call in flight.
    call: u64,
    sum: i64,
    begun: Option<Instant>,
}

impl Peer {
    fn open(server: SocketAddr, number: usize) -> Result<Self, Error> {
        let socket = connected(server)?;
        socket.set_read_timeout(Some(raw::PATIENCE))?;
        let mut buffer = [0; 2048];
        socket.send(&hello(number as u128))?;
        let length = socket.recv(&mut buffer)?;
        let FromServer::HelloAck { session, clock, ack, .. } =
            parse_from_server(&buffer[..length])?.message
        else {
            return Err("no session".into());
        };
        let clock = Clock::says(clock);
        socket.send(&Offer::new(session, &ack).ping())?;
        let length = socket.recv(&mut buffer)?;
        match parse_from_server(&buffer[..length])?.message {
            // The first id is the window's length: a slot's second is twice that.
            FromServer::Pong { .. } => {
                Ok(Self { socket, session, clock, call: 4096, sum: 0, begun: None })
            }
            other => Err(format!("{other:?}").into()),
        }
    }

    fn ask(
        &mut self,
        recorder: &mut Recorder,
        operands: Operands,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        self.call += 4096;
        self.sum = operands.sum();
        self.begun = recorder.begin();
        out.clear();
        request(self.session, self.call, self.clock, operands, out);
        self.socket.send(out)?;
        Ok(())
    }

    /// The call's answer, which is the only datagram that can be there.
    fn answered(&mut self, buffer: &mut [u8]) -> Result<(), Error> {
        let length = self.socket.recv(buffer)?;
        match parse_from_server(&buffer[..length])?.message {
            FromServer::Reply { call, body, .. } if call.0 == self.call => {
                let right = Number::decode(body)?.value == self.sum;
                if right { Ok(()) } else { Err("a wrong sum".into()) }
            }
            other => Err(format!("{other:?}").into()),
        }
    }
}

/// Many sockets, each with a session and one call in flight, served in turn: the raw echo's load,
/// in this project's words.
pub(super) fn load_in_turn(load: &Load) -> Result<Sample, Error> {
    let mut peers = (0..load.clients)
        .map(|number| Peer::open(load.server, number))
        .collect::<Result<Vec<_>, _>>()?;
    let mut recorder = Recorder::new(load);
    let mut source = Source::new(load.random);
    let (mut buffer, mut out) = ([0; 2048], Vec::new());
    for peer in &mut peers {
        peer.ask(&mut recorder, source.next(), &mut out)?;
    }
    loop {
        for peer in &mut peers {
            let goes_on = match peer.answered(&mut buffer) {
                Ok(()) => recorder.end(peer.begun.take()),
                Err(error) => recorder.fail(error),
            };
            if !goes_on {
                return Ok(recorder.finish(peers.iter().filter_map(|peer| peer.begun)));
            }
            peer.ask(&mut recorder, source.next(), &mut out)?;
        }
    }
}
