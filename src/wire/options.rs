//! Options: type u8 (high bit: critical), length u8 in 4-byte units (these two bytes included),
//! data.

use super::ParseError;

/// Most bytes of options in a datagram: the header counts them in a byte, in units of four.
pub const OPTIONS_LEN_MAX: usize = 255 * 4;

/// Length of a BIRTH or PATH option, bytes.
pub(super) const PROOF_LEN: usize = 16;

const PAD: u8 = 0x00;
const BIRTH: u8 = 0x81;
const PATH: u8 = 0x82;
/// Set in the type of an option that must be understood.
const CRITICAL: u8 = 0x80;

/// Proof that a server minted a session, and when: while it lives (60 s), it lets the session be
/// created. Opaque to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Birth {
    /// When the session was minted, whole seconds of the server's clock, rounded down.
    pub minted: u32,
    /// The server's MAC over the session id and that time.
    pub mac: u64,
}

/// Proof that a client receives at its address: good for 60 s. Opaque to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathProof {
    /// When it was issued, whole seconds of the server's clock, rounded down.
    pub issued: u32,
    /// The server's MAC over address, session id and that time.
    pub mac: u64,
}

/// The proofs that a datagram of a client carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Proofs {
    /// Lets the session be created.
    pub birth: Option<Birth>,
    /// Proves the address.
    pub path: Option<PathProof>,
}

impl Proofs {
    /// Bytes that they take.
    pub fn len(&self) -> usize {
        (usize::from(self.birth.is_some()) + usize::from(self.path.is_some())) * PROOF_LEN
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        if let Some(birth) = self.birth {
            emit_proof(out, BIRTH, birth.minted, birth.mac);
        }
        if let Some(path) = self.path {
            emit_proof(out, PATH, path.issued, path.mac);
        }
    }
}

fn emit_proof(out: &mut Vec<u8>, kind: u8, seconds: u32, mac: u64) {
    out.extend_from_slice(&[kind, 4, 0, 0]);
    out.extend_from_slice(&seconds.to_be_bytes());
    out.extend_from_slice(&mac.to_be_bytes());
}

/// A PAD option of `units` × 4 bytes, 1 to 255: a sender may bring neighbours of a batch to one
/// size with it.
pub fn pad_option(out: &mut Vec<u8>, units: u8) {
    out.extend_from_slice(&[PAD, units]);
    out.resize(out.len() + usize::from(units.max(1)) * 4 - 2, 0);
}

/// What a datagram's options say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Parsed {
    pub(super) proofs: Proofs,
    /// There is a critical option that this version does not know.
    pub(super) unknown_critical: bool,
}

/// Reads the options area.
pub(super) fn parse(area: &[u8]) -> Result<Parsed, ParseError> {
    let mut parsed = Parsed::default();
    for option in Options(area) {
        let (kind, data) = option?;
        match kind {
            PAD if data.iter().all(|byte| *byte == 0) => {}
            BIRTH if parsed.proofs.birth.is_none() => {
                let (minted, mac) = parse_proof(data)?;
                parsed.proofs.birth = Some(Birth { minted, mac });
            }
            PATH if parsed.proofs.path.is_none() => {
                let (issued, mac) = parse_proof(data)?;
                parsed.proofs.path = Some(PathProof { issued, mac });
            }
            PAD | BIRTH | PATH => return Err(ParseError::Options),
            other => parsed.unknown_critical |= other & CRITICAL != 0,
        }
    }
    Ok(parsed)
}

fn parse_proof(data: &[u8]) -> Result<(u32, u64), ParseError> {
    let Some(([0, 0, seconds @ ..], mac)) = data.split_first_chunk::<6>() else {
        return Err(ParseError::Options);
    };
    let mac = <[u8; 8]>::try_from(mac).map_err(|_| ParseError::Options)?;
    Ok((u32::from_be_bytes(*seconds), u64::from_be_bytes(mac)))
}

/// The parts of an options area that belong to a request's fingerprint, whole options in order:
/// all but PAD, BIRTH and PATH, which may differ between copies of one request.
pub fn fingerprinted(area: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    Options(area).flatten().filter(|(kind, _)| !matches!(*kind, PAD | BIRTH | PATH))
}

/// Walks over an options area: type and data of each.
struct Options<'a>(&'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = Result<(u8, &'a [u8]), ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let area = std::mem::take(&mut self.0);
        let [kind, units, ..] = *area else {
            return Some(Err(ParseError::Options));
        };
        let split = area.split_at_checked(usize::from(units) * 4);
        let Some((option, rest)) = split else {
            return Some(Err(ParseError::Options));
        };
        let Some((_, data)) = option.split_at_checked(2) else {
            return Some(Err(ParseError::Options));
        };
        self.0 = rest;
        Some(Ok((kind, data)))
    }
}
