//! What clients say.

use super::header::{Flags, Header, Kind, Sender, halves, nonce_halves, seal, whole};
use super::{
    CallId, Datagram, HEADER_LEN, HELLO_LEN, MAX_DATAGRAM, MetadataRef, MethodId, ParseError,
    Proofs, SessionId, VERSION, options,
};

/// What a datagram of a client says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromClient<'a> {
    /// Asks for a session.
    Hello {
        /// Random bytes, the same in all copies: they only spread HELLOs over a server's threads.
        session: SessionId,
        /// 128 random bits that the answer echoes.
        nonce: u128,
        /// The lowest version that the client speaks.
        lowest: u8,
        /// The highest version that the client speaks.
        highest: u8,
        /// Length of the datagram, bytes: no answer is longer. [`HELLO_LEN`] to
        /// [`MAX_DATAGRAM`].
        length: usize,
    },
    /// One call.
    Request {
        /// The session.
        session: SessionId,
        /// The call; at least the session's window.
        call: CallId,
        /// When the call may no longer start, µs of the server's clock.
        expiry: u64,
        /// The method.
        method: MethodId,
        /// Which parts of which message these are.
        flags: Flags,
        /// The first cell of the body.
        cell: u32,
        /// Proofs of session and address.
        proofs: Proofs,
        /// What goes with the message; its option and the body are at most
        /// [`MAX_REQUEST_BODY`](super::MAX_REQUEST_BODY) bytes together.
        metadata: MetadataRef<'a>,
        /// There is a critical option that this version does not know: the call is refused.
        unknown_critical: bool,
        /// The options area as it stands there (ignored by `emit`, which writes `proofs` and
        /// `metadata`).
        options: &'a [u8],
        /// The message, or a part of it.
        body: &'a [u8],
    },
    /// What has been received of a reply.
    Ack {
        /// The session.
        session: SessionId,
        /// The call.
        call: CallId,
        /// Time from the arrival of what it answers to its sending, µs.
        hold_us: u32,
        /// The last cell that may be sent.
        credit: u32,
        /// All below it has been received.
        cell: u32,
        /// Proofs of session and address.
        proofs: Proofs,
    },
    /// Asks that a call which has not started never will.
    Fence {
        /// The session.
        session: SessionId,
        /// The call.
        call: CallId,
        /// Proofs of session and address.
        proofs: Proofs,
    },
    /// Asks what became of a call.
    Status {
        /// The session.
        session: SessionId,
        /// The call.
        call: CallId,
        /// Proofs of session and address.
        proofs: Proofs,
    },
    /// Asks whether the session lives.
    Ping {
        /// The session.
        session: SessionId,
        /// 1 to the window less 1, so never a call's.
        call: CallId,
        /// Proofs of session and address.
        proofs: Proofs,
    },
    /// Gives the session up. Never answered.
    Close {
        /// The session.
        session: SessionId,
        /// Proofs of session and address.
        proofs: Proofs,
    },
}

/// Reads a datagram that a client has sent.
///
/// # Errors
///
/// Why it must be dropped.
pub fn parse_from_client(datagram: &[u8]) -> Result<Datagram<FromClient<'_>>, ParseError> {
    let (header, area, body) = Header::parse(datagram, Sender::Client)?;
    let metadata = (header.kind == Kind::Request).then_some(options::REQUEST_METADATA);
    let (parsed, body) = options::parse(area, body, metadata)?;
    if parsed.unknown_critical && header.kind != Kind::Request {
        return Err(ParseError::Options);
    }
    let Header { session, attempt, .. } = header;
    let call = CallId(header.call);
    let proofs = parsed.proofs;
    let message = match header.kind {
        Kind::Hello => {
            let [lowest, highest, ..] = *body else {
                return Err(ParseError::Body);
            };
            let zero =
                Header { word: header.word, ..Header::new(Kind::Hello, session, call.0, attempt) };
            if header != zero || !area.is_empty() {
                return Err(ParseError::Field);
            }
            if !(HELLO_LEN..=MAX_DATAGRAM).contains(&datagram.len()) || lowest > highest {
                return Err(ParseError::Body);
            }
            let nonce = u128::from(header.call) << 64 | u128::from(header.word);
            FromClient::Hello { session, nonce, lowest, highest, length: datagram.len() }
        }
        Kind::Request => {
            if header.code != 0 || call.0 == 0 {
                return Err(ParseError::Field);
            }
            if header.flags.contains(Flags::PROMISE) {
                return Err(ParseError::Flags);
            }
            FromClient::Request {
                session,
                call,
                expiry: header.clock,
                method: MethodId(header.word),
                flags: header.flags,
                cell: header.cell,
                proofs,
                metadata: parsed.metadata,
                unknown_critical: parsed.unknown_critical,
                options: area,
                body,
            }
        }
        Kind::Ack => {
            let zero = Header {
                word: header.word,
                cell: header.cell,
                ..Header::new(Kind::Ack, session, call.0, attempt)
            };
            bare(&header, &zero, body)?;
            let (hold_us, credit) = halves(header.word);
            FromClient::Ack { session, call, hold_us, credit, cell: header.cell, proofs }
        }
        kind => {
            bare(&header, &Header::new(kind, session, call.0, attempt), body)?;
            match kind {
                Kind::Fence => FromClient::Fence { session, call, proofs },
                Kind::Status => FromClient::Status { session, call, proofs },
                Kind::Ping => FromClient::Ping { session, call, proofs },
                Kind::Close if call.0 == 0 => FromClient::Close { session, proofs },
                _ => return Err(ParseError::Field),
            }
        }
    };
    if matches!(
        message,
        FromClient::Ack { .. }
            | FromClient::Fence { .. }
            | FromClient::Status { .. }
            | FromClient::Ping { .. }
    ) && call.0 == 0
    {
        return Err(ParseError::Field);
    }
    Ok(Datagram { attempt, message })
}

/// Checks a datagram that has nothing but ids, what `zero` keeps of the header, and options.
fn bare(header: &Header, zero: &Header, body: &[u8]) -> Result<(), ParseError> {
    match (header == zero, body.is_empty()) {
        (false, _) => Err(ParseError::Field),
        (_, false) => Err(ParseError::Body),
        (true, true) => Ok(()),
    }
}

impl Datagram<FromClient<'_>> {
    /// Appends the datagram to `out`.
    pub fn emit(&self, out: &mut Vec<u8>) {
        let start = out.len();
        self.write(out);
        seal(out.get_mut(start..).unwrap_or_default());
    }

    /// Appends the datagram to `out`, padded to `size` bytes. Returns whether it could be: it has its
    /// own size otherwise. See [`pads`](super::pads).
    pub fn emit_padded(&self, out: &mut Vec<u8>, size: usize) -> bool {
        let start = out.len();
        self.write(out);
        let is_padded = options::stretch(out, start, size);
        seal(out.get_mut(start..).unwrap_or_default());
        is_padded
    }

    /// Appends the datagram, its CRC still zero.
    fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let attempt = self.attempt;
        let ids = |out: &mut Vec<u8>, kind, session, call: CallId, proofs: &Proofs| {
            Header::new(kind, session, call.0, attempt).emit(out, VERSION, proofs.len());
            proofs.emit(out);
        };
        match &self.message {
            FromClient::Hello { session, nonce, lowest, highest, length } => {
                let (first, second) = nonce_halves(*nonce);
                let header =
                    Header { word: second, ..Header::new(Kind::Hello, *session, first, attempt) };
                header.emit(out, VERSION, 0);
                out.extend_from_slice(&[*lowest, *highest]);
                out.resize(start + (*length).clamp(HELLO_LEN, MAX_DATAGRAM), 0);
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
                body,
                ..
            } => {
                let header = Header {
                    clock: *expiry,
                    word: method.0,
                    cell: *cell,
                    flags: *flags,
                    ..Header::new(Kind::Request, *session, call.0, attempt)
                };
                header.emit(out, VERSION, proofs.len() + metadata.option_len());
                proofs.emit(out);
                metadata.emit(options::REQUEST_METADATA, out);
                out.extend_from_slice(body);
            }
            FromClient::Ack { session, call, hold_us, credit, cell, proofs } => {
                let header = Header {
                    word: whole(*hold_us, *credit),
                    cell: *cell,
                    ..Header::new(Kind::Ack, *session, call.0, attempt)
                };
                header.emit(out, VERSION, proofs.len());
                proofs.emit(out);
            }
            FromClient::Fence { session, call, proofs } => {
                ids(out, Kind::Fence, *session, *call, proofs);
            }
            FromClient::Status { session, call, proofs } => {
                ids(out, Kind::Status, *session, *call, proofs);
            }
            FromClient::Ping { session, call, proofs } => {
                ids(out, Kind::Ping, *session, *call, proofs);
            }
            FromClient::Close { session, proofs } => {
                ids(out, Kind::Close, *session, CallId(0), proofs);
            }
        }
        debug_assert!(out.len() - start >= HEADER_LEN);
    }
}
