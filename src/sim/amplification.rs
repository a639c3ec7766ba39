//! The second checker: nothing goes to an address that has not proved itself, unless it asked.
//!
//! It stands at the server's socket and believes only what it has seen itself: an address is proved
//! for a session once a datagram came from it with a path proof that had gone to it in a HELLO_ACK
//! or a CHALLENGE of that session at most sixty seconds before. To any other address goes at most
//! one datagram for each that came, at once, bare, and none that is longer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::wire::{
    Datagram, FromClient, FromServer, HEADER_LEN, HELLO_LEN, PathProof, Proofs, SessionId,
    parse_from_client, parse_from_server,
};

/// How long a path proof lives after its issue time, which is rounded down to a whole second, by
/// the server's clock, in microseconds.
const PATH_LIFE_US: u64 = 60_000_000;

/// The watch on one life of a server.
#[derive(Clone, Debug, Default)]
pub(super) struct Amplification {
    issued: BTreeMap<(SocketAddr, SessionId), Vec<PathProof>>,
    proved: BTreeSet<(SocketAddr, SessionId)>,
    /// The lengths of what came from each address and may still be answered.
    owed: BTreeMap<SocketAddr, Vec<usize>>,
}

impl Amplification {
    /// The server is about to be given a datagram; `clock` is the server's.
    pub(super) fn received(&mut self, from: SocketAddr, clock: u64, datagram: &[u8]) {
        self.owed.entry(from).or_default().push(datagram.len());
        let Ok(Datagram { message, .. }) = parse_from_client(datagram) else { return };
        let Some((session, Proofs { path: Some(path), .. })) = proofs(&message) else { return };
        let fresh = u64::from(path.issued) * 1_000_000 + PATH_LIFE_US >= clock;
        let issued = self.issued.get(&(from, session)).is_some_and(|all| all.contains(&path));
        if fresh && issued {
            self.proved.insert((from, session));
        }
    }

    /// What came is dealt with, and the server has nothing more to send: from now on nothing is
    /// owed to any address.
    pub(super) fn turn_over(&mut self) {
        self.owed.clear();
    }

    /// The server sends a datagram.
    ///
    /// # Errors
    ///
    /// Says why it must not.
    pub(super) fn sent(&mut self, to: SocketAddr, datagram: &[u8]) -> Result<(), String> {
        let parsed = parse_from_server(datagram)
            .map_err(|error| format!("the server sent what is no datagram: {error}"))?;
        let session = match parsed.message {
            FromServer::HelloAck { session, ack, .. } => {
                self.issued.entry((to, session)).or_default().push(ack.path);
                None
            }
            FromServer::Challenge { session, path, .. } => {
                self.issued.entry((to, session)).or_default().push(path);
                Some(session)
            }
            FromServer::Version { .. } => None,
            FromServer::Reply { session, .. }
            | FromServer::Progress { session, .. }
            | FromServer::Refused { session, .. }
            | FromServer::Pong { session, .. }
            | FromServer::Goaway { session, .. } => Some(session),
        };
        if session.is_some_and(|session| self.proved.contains(&(to, session))) {
            return Ok(());
        }
        let length = datagram.len();
        let bare = match parsed.message {
            FromServer::HelloAck { .. } => HELLO_LEN,
            _ => HEADER_LEN,
        };
        if length != bare {
            return Err(format!(
                "{length} bytes to the unproved {to}, padded: {:?}",
                parsed.message
            ));
        }
        let owed = self.owed.entry(to).or_default();
        // The shortest that is long enough: the longer ones may be needed for others.
        let best = (0..owed.len()).filter(|&n| owed[n] >= length).min_by_key(|&n| owed[n]);
        match best {
            Some(best) => {
                owed.swap_remove(best);
                Ok(())
            }
            None => Err(format!(
                "{length} bytes to the unproved {to}, owed {owed:?}: {:?}",
                parsed.message
            )),
        }
    }
}

/// The session that a datagram names and the proofs that it carries.
fn proofs(message: &FromClient<'_>) -> Option<(SessionId, Proofs)> {
    match *message {
        FromClient::Hello { .. } => None,
        FromClient::Request { session, proofs, .. }
        | FromClient::Ack { session, proofs, .. }
        | FromClient::Fence { session, proofs, .. }
        | FromClient::Status { session, proofs, .. }
        | FromClient::Ping { session, proofs, .. }
        | FromClient::Close { session, proofs, .. } => Some((session, proofs)),
    }
}
