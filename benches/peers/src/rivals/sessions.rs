//! This project's server with as many sessions as one likes: a client that knows how to open
//! sessions and how to ask, and nothing else (no slots, no timers, no window), so that what is
//! measured is the server. All sessions are opened from one socket, so that runs of datagrams are
//! as long with a hundred thousand of them as with one; the calls go to them at random.

use std::net::SocketAddr;
use std::time::Instant;

use prost::Message;
use udp_rpc::wire::{FromServer, SessionId, parse_from_server};

use super::bare::{Clock, Offer, hello, request};
use super::gso::Socket;
use super::raw::{LENGTH, connected};
use crate::host;
use crate::measure::{Recorder, Sample};
use crate::operands::{Number, Source, random};
use crate::settings::{Error, Load};

/// Handshakes under way at once.
const HANDSHAKES: usize = 128;

/// Bits of a call id that name the caller's lane; the ones above say which of its calls it is.
const LANE_BITS: u32 = 24;

pub(super) fn load(load: &Load) -> Result<Sample, Error> {
    let resident = || load.server_pid.and_then(host::resident);
    let before = resident();
    let mut peer = Peer {
        socket: Socket::new(connected(load.server)?)?,
        server: load.server,
        sessions: Vec::new(),
        clock: Clock::says(0),
    };
    let began = Instant::now();
    peer.open(load.sessions)?;
    let opening = began.elapsed().as_secs_f64();
    let open = resident();
    let mut sample = peer.call(load)?;
    let used = resident();
    let mut note = |name: &str, value: Option<f64>| {
        sample.more.extend(value.map(|value| (name.to_owned(), value)));
    };
    let grown = |now: Option<u64>| Some(now?.saturating_sub(before?) as f64 / load.sessions as f64);
    note("server_bytes_idle", before.map(|bytes| bytes as f64));
    note("bytes_per_session_idle", grown(open));
    note("bytes_per_session_used", grown(used));
    note("sessions_opened_per_s", Some(load.sessions as f64 / opening));
    Ok(sample)
}

/// What a call in flight is to bring, and when it was made, if it is timed.
type Flying = Option<(i64, Option<Instant>)>;

struct Peer {
    socket: Socket,
    server: SocketAddr,
    sessions: Vec<SessionId>,
    clock: Clock,
}

/// How far a session's opening has come.
#[derive(Clone, Copy, PartialEq)]
enum Opening {
    Asked,
    Offered(Offer),
    Open(SessionId),
}

impl Peer {
    /// Opens so many sessions: a handshake each, and a PING that creates it.
    fn open(&mut self, count: usize) -> Result<(), Error> {
        let mut openings = vec![Opening::Asked; count];
        let (mut asked, mut open) = (0, 0);
        while open < count {
            while asked < count && asked - open < HANDSHAKES {
                self.socket.io.send(&opening(asked, openings[asked]))?;
                asked += 1;
            }
            let runs = self.socket.receive()?;
            if runs == 0 {
                for (number, state) in openings.iter().enumerate().take(asked) {
                    if !matches!(state, Opening::Open(_)) {
                        self.socket.io.send(&opening(number, *state))?;
                    }
                }
            }
            for run in 0..runs {
                let (contents, size) = self.socket.run(run);
                for datagram in contents.chunks(size) {
                    let number = match parse_from_server(datagram)?.message {
                        FromServer::HelloAck { session, nonce, clock, ack } => {
                            self.clock = Clock::says(clock);
                            let number = usize::try_from(nonce)?;
                            if openings[number] != Opening::Asked {
                                continue;
                            }
                            openings[number] = Opening::Offered(Offer::new(session, &ack));
                            self.socket.io.send(&opening(number, openings[number]))?;
                            continue;
                        }
                        // In this load's handshakes, answers come in the order of the questions,
                        // or nearly so: the search is short.
                        FromServer::Pong { session, .. } => openings[..asked].iter().rposition(
                            |state| matches!(state, Opening::Offered(offer) if offer.session == session),
                        ),
                        other => return Err(format!("{other:?}").into()),
                    };
                    if let Some(number) = number
                        && let Opening::Offered(offer) = openings[number]
                    {
                        openings[number] = Opening::Open(offer.session);
                        open += 1;
                    }
                }
            }
        }
        self.sessions = openings
            .into_iter()
            .filter_map(|state| match state {
                Opening::Open(session) => Some(session),
                _ => None,
            })
            .collect();
        Ok(())
    }

    /// Makes calls until the run is over.
    fn call(&mut self, load: &Load) -> Result<Sample, Error> {
        let mut recorder = Recorder::new(load);
        let mut source = Source::new(load.random);
        let mut dice = 0x9e37_79b9_7f4a_7c15;
        let sessions = self.sessions.len();
        // With fewer sessions than calls in flight, a lane is a slot of one of them; with more, it
        // is a session, and has a call in flight or not.
        let lanes = sessions.max(load.depth);
        let mut made: Vec<u32> = vec![0; lanes];
        let mut flying: Vec<Flying> = vec![None; lanes];
        let mut out = Vec::new();
        let mut next = |lane: usize, flying: &[Flying]| {
            if sessions <= load.depth {
                return lane;
            }
            let mut lane = random(&mut dice) as usize % lanes;
            while flying[lane].is_some() {
                lane = (lane + 1) % lanes;
            }
            lane
        };
        let mut ready: Vec<usize> = Vec::new();
        for number in 0..load.depth {
            let lane = next(number, &flying);
            flying[lane] = Some((0, None));
            ready.push(lane);
        }
        loop {
            for lane in ready.drain(..) {
                made[lane] += 1;
                let operands = source.next();
                flying[lane] = Some((operands.sum(), recorder.begin()));
                let before = out.len();
                let call = u64::from(made[lane]) << LANE_BITS | lane as u64;
                request(self.sessions[lane % sessions], call, self.clock, operands, &mut out);
                assert_eq!(out.len() - before, LENGTH, "operands are constant here");
            }
            self.socket.send(self.server, &out, LENGTH)?;
            out.clear();
            let runs = self.socket.receive()?;
            for run in 0..runs {
                let (contents, size) = self.socket.run(run);
                for datagram in contents.chunks(size) {
                    let FromServer::Reply { call, body, .. } = parse_from_server(datagram)?.message
                    else {
                        continue;
                    };
                    let lane = (call.0 & ((1 << LANE_BITS) - 1)) as usize;
                    let Some((sum, begun)) =
                        flying[lane].take_if(|_| call.0 >> LANE_BITS == u64::from(made[lane]))
                    else {
                        continue;
                    };
                    if Number::decode(body)?.value != sum {
                        return Err("a wrong sum".into());
                    }
                    if !recorder.end(begun) {
                        return Ok(recorder.finish([]));
                    }
                    let lane = next(lane, &flying);
                    flying[lane] = Some((0, None));
                    ready.push(lane);
                }
            }
            if runs == 0 {
                // What is in flight is lost: later calls of the same lanes take its place.
                ready.extend((0..lanes).filter(|lane| flying[*lane].is_some()));
                if ready.iter().any(|_| !recorder.fail("lost")) {
                    return Ok(recorder.finish([]));
                }
            }
        }
    }
}

/// What is to be said next in this opening.
fn opening(number: usize, state: Opening) -> Vec<u8> {
    match state {
        Opening::Asked | Opening::Open(_) => hello(number as u128),
        Opening::Offered(offer) => offer.ping(),
    }
}
