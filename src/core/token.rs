//! Call tokens: what another process needs to ask later what became of a call.
//!
//! A token names one call of one session at one server, and carries what the proof by "unknown
//! session" needs. Whoever holds it can fence the call: show it, never log it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use data_encoding::{BASE64URL_NOPAD, DecodeKind};

use crate::wire::{CallId, Epoch, SessionId};

/// First byte of a token: how the rest is laid out.
const LAYOUT: u8 = 1;

/// Length of a token's numbers, bytes: layout, epoch, session, call, minted, known until, expiry,
/// port; the address's 4 or 16 bytes and a checksum of 4 follow.
const NUMBERS: usize = 1 + 8 + 8 + 8 + 4 + 8 + 8 + 2;

/// A capability to ask for, and to fence, one call.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CallToken {
    /// The server's address.
    pub server: SocketAddr,
    /// The server's life that minted the session.
    pub epoch: Epoch,
    /// The session.
    pub session: SessionId,
    /// The call.
    pub call: CallId,
    /// When the session was minted, whole seconds of the server's clock.
    pub minted: u32,
    /// Until when "unknown session" proves that the call never ran, µs of the server's clock:
    /// the lower bound of that clock at the call's first transmission, plus the lease.
    pub known_until: u64,
    /// After which the call no longer starts, µs of the server's clock.
    pub expiry: u64,
}

/// Why a text is no call token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenError {
    /// It is not base64url without padding.
    Encoding,
    /// It is too short or too long, or from another version of this software.
    Layout,
    /// Its checksum does not match: mistyped, or cut off.
    Checksum,
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TokenError::Encoding => "not a call token: it has characters that no token has",
            TokenError::Layout => "not a call token of this version",
            TokenError::Checksum => "a damaged call token: mistyped, or cut off",
        })
    }
}

impl std::error::Error for TokenError {}

impl fmt::Display for CallToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::with_capacity(NUMBERS + 20);
        bytes.push(LAYOUT);
        bytes.extend_from_slice(&self.epoch.0.to_be_bytes());
        bytes.extend_from_slice(&self.session.0.to_be_bytes());
        bytes.extend_from_slice(&self.call.0.to_be_bytes());
        bytes.extend_from_slice(&self.minted.to_be_bytes());
        bytes.extend_from_slice(&self.known_until.to_be_bytes());
        bytes.extend_from_slice(&self.expiry.to_be_bytes());
        bytes.extend_from_slice(&self.server.port().to_be_bytes());
        match self.server.ip() {
            IpAddr::V4(ip) => bytes.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => bytes.extend_from_slice(&ip.octets()),
        }
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_be_bytes());
        f.write_str(&BASE64URL_NOPAD.encode(&bytes))
    }
}

impl fmt::Debug for CallToken {
    /// Without the numbers that make it a capability.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallToken({}, ..)", self.server)
    }
}

impl FromStr for CallToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let bytes =
            BASE64URL_NOPAD.decode(text.trim().as_bytes()).map_err(|error| match error.kind {
                DecodeKind::Symbol => TokenError::Encoding,
                _ => TokenError::Checksum,
            })?;
        let (bytes, checksum) = bytes.split_last_chunk::<4>().ok_or(TokenError::Layout)?;
        let (numbers, ip) = bytes.split_at_checked(NUMBERS).ok_or(TokenError::Layout)?;
        if crc32fast::hash(bytes).to_be_bytes() != *checksum {
            return Err(TokenError::Checksum);
        }
        let mut rest = numbers;
        let mut number = |length: usize| {
            let (field, left) = rest.split_at_checked(length).ok_or(TokenError::Layout)?;
            rest = left;
            Ok(field.iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte)))
        };
        if number(1)? != u64::from(LAYOUT) {
            return Err(TokenError::Layout);
        }
        let epoch = Epoch(number(8)?);
        let session = SessionId(number(8)?);
        let call = CallId(number(8)?);
        let minted = u32::try_from(number(4)?).map_err(|_| TokenError::Layout)?;
        let known_until = number(8)?;
        let expiry = number(8)?;
        let port = u16::try_from(number(2)?).map_err(|_| TokenError::Layout)?;
        let ip = if let Ok(v4) = <[u8; 4]>::try_from(ip) {
            IpAddr::from(v4)
        } else {
            IpAddr::from(<[u8; 16]>::try_from(ip).map_err(|_| TokenError::Layout)?)
        };
        let server = SocketAddr::new(ip, port);
        Ok(Self { server, epoch, session, call, minted, known_until, expiry })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(server: &str) -> CallToken {
        CallToken {
            server: server.parse().unwrap(),
            epoch: Epoch(u64::MAX),
            session: SessionId(0x0102_0304_0506_0708),
            call: CallId(4096),
            minted: 7,
            known_until: 300_000_001,
            expiry: 10_000_000,
        }
    }

    #[test]
    fn token_survives_being_written_and_read() {
        for server in ["127.0.0.1:5860", "[::1]:1", "[2001:db8::7]:65535"] {
            let token = token(server);
            assert_eq!(token.to_string().parse(), Ok(token), "{server}");
        }
    }

    #[test]
    fn damaged_token_says_what_is_wrong() {
        let text = token("127.0.0.1:5860").to_string();
        let cut = &text[..text.len() - 4];
        assert_eq!(cut.parse::<CallToken>(), Err(TokenError::Checksum));
        assert_eq!("".parse::<CallToken>(), Err(TokenError::Layout));
        assert_eq!("a b".parse::<CallToken>(), Err(TokenError::Encoding));
        let mut typo = text.into_bytes();
        typo[10] = if typo[10] == b'A' { b'B' } else { b'A' };
        let typo = String::from_utf8(typo).unwrap();
        assert_eq!(typo.parse::<CallToken>(), Err(TokenError::Checksum));
    }

    #[test]
    fn debug_output_is_no_capability() {
        let shown = format!("{:?}", token("127.0.0.1:5860"));
        assert!(!shown.contains("0102"), "{shown}");
    }
}
