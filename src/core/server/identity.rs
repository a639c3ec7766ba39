//! What makes this life of the server itself: its epoch, its secrets, the session ids it mints and
//! the proofs it gives out and checks.
//!
//! All shards of a process are made from one seed and have one epoch: they are one life. The secrets
//! are each shard's own. If they minted by one permutation, whoever holds a session of one shard
//! would know the other seven bytes of a session that another has minted; and no shard ever needs
//! another's proofs, because sessions never move.
//!
//! Nothing of this is ever stored: a restarted server has other secrets and so knows no old
//! session, birth or path.

use std::hash::Hasher;
use std::net::{IpAddr, SocketAddr};

use crate::core::{Key, Prf, Seed};
use crate::wire::{Birth, Epoch, MethodId, PathProof, SessionId, fingerprinted, proof_dies};

/// Rounds of the permutation. Four make a pseudorandom permutation out of a pseudorandom function
/// (Luby, Rackoff 1988); two more for the small halves.
const ROUNDS: u64 = 6;

/// Bits of each half of the permuted number; with the shard's byte they make 64.
const HALF_BITS: u32 = 28;
const HALF_MASK: u64 = (1 << HALF_BITS) - 1;

/// Secrets of one life.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    epoch: Epoch,
    shard: u8,
    mint: Key,
    birth: Key,
    path: Key,
    print: Key,
    /// Session ids minted.
    minted: u64,
}

impl Identity {
    pub(super) fn new(seed: &Seed, shard: u8) -> Self {
        let key = |purpose| Key::new(seed, &format!("server {purpose} of shard {shard}"));
        Self {
            epoch: Epoch(Prf::new(seed, "server epoch").next_u64()),
            shard,
            mint: key("mint"),
            birth: key("birth"),
            path: key("path"),
            print: key("fingerprint"),
            minted: 0,
        }
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// A session id that this life has not minted before, and that nobody can guess.
    pub(super) fn mint(&mut self) -> SessionId {
        self.minted += 1;
        self.permute(self.minted)
    }

    /// What HELLO_ACK must never do: the same id for the same nonce. Only where a test has dropped
    /// the rule.
    pub(super) fn mint_for_nonce(&self, nonce: u128) -> SessionId {
        let mut hasher = self.mint.hasher();
        hasher.write(&nonce.to_be_bytes());
        self.permute(hasher.finish())
    }

    /// A keyed permutation of 56 bits (a Feistel network), behind the shard's byte.
    fn permute(&self, number: u64) -> SessionId {
        let mut left = number >> HALF_BITS & HALF_MASK;
        let mut right = number & HALF_MASK;
        for round in 0..ROUNDS {
            let mixed = left ^ self.mint.mac(&[round, right]) & HALF_MASK;
            left = right;
            right = mixed;
        }
        SessionId(u64::from(self.shard) << 56 | left << HALF_BITS | right)
    }

    /// The birth of a session minted now.
    pub(super) fn birth(&self, session: SessionId, clock: u64) -> Birth {
        let minted = seconds(clock);
        Birth { minted, mac: self.birth.mac(&[session.0, u64::from(minted)]) }
    }

    /// Whether we gave this birth to this session, live or not.
    pub(super) fn is_birth(&self, session: SessionId, birth: &Birth) -> bool {
        birth.mac == self.birth.mac(&[session.0, u64::from(birth.minted)])
    }

    /// A proof that what is sent to this address about this session is received there.
    pub(super) fn path(&self, remote: &SocketAddr, session: SessionId, clock: u64) -> PathProof {
        let issued = seconds(clock);
        PathProof { issued, mac: self.path_mac(remote, session, issued) }
    }

    /// Whether we issued this proof for this address and session, and it still lives.
    pub(super) fn is_path(
        &self,
        remote: &SocketAddr,
        session: SessionId,
        path: &PathProof,
        clock: u64,
    ) -> bool {
        lives(path.issued, clock) && path.mac == self.path_mac(remote, session, path.issued)
    }

    fn path_mac(&self, remote: &SocketAddr, session: SessionId, issued: u32) -> u64 {
        let scope = match remote {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(address) => address.scope_id(),
        };
        let address = match remote.ip().to_canonical() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
            IpAddr::V6(ip) => ip.to_bits(),
        };
        let mut hasher = self.path.hasher();
        hasher.write(&address.to_be_bytes());
        hasher.write(&scope.to_be_bytes());
        hasher.write(&remote.port().to_be_bytes());
        hasher.write(&session.0.to_be_bytes());
        hasher.write(&issued.to_be_bytes());
        hasher.finish()
    }

    /// What is the same in all copies of one request and in no other request.
    pub(super) fn fingerprint(&self, method: MethodId, options: &[u8], body: &[u8]) -> u64 {
        let mut hasher = self.print.hasher();
        hasher.write(&method.0.to_be_bytes());
        for (kind, data) in fingerprinted(options) {
            hasher.write(&[1, kind]);
            hasher.write(&(data.len() as u64).to_be_bytes());
            hasher.write(data);
        }
        hasher.write(&[0]);
        hasher.write(body);
        hasher.finish()
    }
}

/// Whole seconds of a clock in µs, rounded down. Births and paths are told in these.
pub(super) fn seconds(clock: u64) -> u32 {
    u32::try_from(clock / 1_000_000).unwrap_or(u32::MAX)
}

/// Whether a proof of this second still lives.
pub(super) fn lives(second: u32, clock: u64) -> bool {
    clock < proof_dies(second)
}
