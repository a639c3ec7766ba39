//! Options: type u8 (high bit: critical), length u8 in 4-byte units (these two bytes included),
//! data.

use super::{HEADER_LEN, MetadataRef, ParseError, seal};

/// Most bytes of options in a datagram: the header counts them in a byte, in units of four.
pub const OPTIONS_LEN_MAX: usize = 255 * 4;

/// Length of a BIRTH or PATH option, bytes.
pub(super) const PROOF_LEN: usize = 16;

const PAD: u8 = 0x00;
const BIRTH: u8 = 0x81;
const PATH: u8 = 0x82;
/// Of a REQUEST: a server that does not know it must not run the call without.
pub(super) const REQUEST_METADATA: u8 = 0x84;
/// Of a REPLY: a client that does not know it has its reply all the same.
pub(super) const REPLY_METADATA: u8 = 0x04;
/// Set in the type of an option that must be understood.
const CRITICAL: u8 = 0x80;

/// Life of a birth and of a path proof, whole seconds of the server's clock. A session's lease is
/// longer.
pub const PROOF_LIFE_S: u32 = 60;

/// When a proof of this second dies, µs of the server's clock: `(second + 60) × 10⁶`, on both
/// sides.
pub const fn proof_dies(second: u32) -> u64 {
    (second as u64 + PROOF_LIFE_S as u64) * 1_000_000
}

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

/// Pads the datagram that begins at `start` and goes to the end of `out`, so that it is `size`
/// bytes long: a sender may bring neighbours of a batch to one size. A PAD option goes behind the
/// other options, and the bytes that its units of four leave over behind the body.
///
/// Returns whether it could: see [`pads`]. A datagram about to be written is cheaper written in its
/// size ([`Datagram::emit_padded`](super::Datagram::emit_padded)).
pub fn pad(out: &mut Vec<u8>, start: usize, size: usize) -> bool {
    let is_padded = stretch(out, start, size);
    if is_padded && let Some(datagram) = out.get_mut(start..) {
        seal(datagram);
    }
    is_padded
}

/// Whether a datagram with so many bytes of options can be padded by `missing` bytes: padding takes
/// at least 4, and options at most [`OPTIONS_LEN_MAX`].
pub const fn pads(options_len: usize, missing: usize) -> bool {
    missing == 0 || missing >= 4 && options_len + missing / 4 * 4 <= OPTIONS_LEN_MAX
}

/// As [`pad`], but leaves the CRC to be filled in.
pub(super) fn stretch(out: &mut Vec<u8>, start: usize, size: usize) -> bool {
    let Some(datagram) = out.get(start..) else { return false };
    let Some(missing) = size.checked_sub(datagram.len()) else { return false };
    if missing == 0 {
        return true;
    }
    let Some(units) = datagram.get(HEADER_LEN - 1).copied() else { return false };
    let (more, trailing) = (missing / 4, missing % 4);
    let (Ok(more), Ok(trailing)) = (u8::try_from(more), u8::try_from(trailing)) else {
        return false;
    };
    let (Some(all), true) = (units.checked_add(more), more > 0) else { return false };
    let (at, end) = (start + HEADER_LEN + usize::from(units) * 4, out.len());
    if at > end {
        return false;
    }
    let behind = at + usize::from(more) * 4;
    out.resize(start + size, 0);
    out.copy_within(at..end, behind);
    if let Some([kind, length, rest, zeros @ ..]) = out.get_mut(at..behind) {
        (*kind, *length, *rest) = (PAD, more, trailing);
        zeros.fill(0);
    }
    if let Some(place) = out.get_mut(start + HEADER_LEN - 1) {
        *place = all;
    }
    true
}

/// What a datagram's options say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Parsed<'a> {
    pub(super) proofs: Proofs,
    /// Empty where there is no such option, or the kind of datagram has none.
    pub(super) metadata: MetadataRef<'a>,
    /// There is a critical option that this version does not know.
    pub(super) unknown_critical: bool,
}

/// Reads the options area, and cuts what PAD has put behind the body. `metadata` is the type that
/// METADATA has in this kind of datagram; elsewhere its types are unknown ones.
pub(super) fn parse<'a>(
    area: &'a [u8],
    body: &'a [u8],
    metadata: Option<u8>,
) -> Result<(Parsed<'a>, &'a [u8]), ParseError> {
    let mut parsed = Parsed::default();
    let mut trailing = None;
    let mut told = None;
    for option in Options(area) {
        let (kind, data) = option?;
        match kind {
            PAD if trailing.is_none() => trailing = Some(parse_pad(data)?),
            BIRTH if parsed.proofs.birth.is_none() => {
                let (minted, mac) = parse_proof(data)?;
                parsed.proofs.birth = Some(Birth { minted, mac });
            }
            PATH if parsed.proofs.path.is_none() => {
                let (issued, mac) = parse_proof(data)?;
                parsed.proofs.path = Some(PathProof { issued, mac });
            }
            PAD | BIRTH | PATH => return Err(ParseError::Options),
            known if metadata == Some(known) => {
                let read = MetadataRef::parse(data).ok_or(ParseError::Options)?;
                if told.replace(read).is_some() {
                    return Err(ParseError::Options);
                }
            }
            other => parsed.unknown_critical |= other & CRITICAL != 0,
        }
    }
    parsed.metadata = told.unwrap_or_default();
    let length = body.len().checked_sub(trailing.unwrap_or(0)).ok_or(ParseError::Options)?;
    match body.split_at_checked(length) {
        Some((body, padding)) if padding.iter().all(|byte| *byte == 0) => Ok((parsed, body)),
        _ => Err(ParseError::Options),
    }
}

/// How many bytes of padding are behind the body.
fn parse_pad(data: &[u8]) -> Result<usize, ParseError> {
    match data {
        [trailing @ 0..=3, zeros @ ..] if zeros.iter().all(|byte| *byte == 0) => {
            Ok(usize::from(*trailing))
        }
        _ => Err(ParseError::Options),
    }
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
