//! What servers say.

use byteorder::{BigEndian, ByteOrder};

use super::header::{Flags, Header, Kind, Sender, halves, nonce_halves, seal, whole};
use super::{
    Birth, CallId, Code, Datagram, Epoch, HEADER_LEN, HELLO_LEN, MetadataRef, ParseError,
    PathProof, Reason, SessionId, SlotState, VERSION, options,
};

/// Length of a VERSION datagram, bytes. What is shorter is never answered by one.
pub const VERSION_LEN: usize = HEADER_LEN;

/// Length of a HELLO_ACK's body, bytes.
const HELLO_ACK_BODY: usize = HELLO_LEN - HEADER_LEN;

/// The limits of a server, constants of its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Slots of a session, W: calls that can be in progress at once.
    pub window: u32,
    /// How far in the future a call's expiry may lie, ms.
    pub longest_deadline_ms: u32,
    /// How long a session lives after the last datagram of a proved address, ms.
    pub lease_ms: u32,
    /// Longest datagram that the server takes, bytes.
    pub longest_datagram: u16,
    /// Longest request message, bytes.
    pub longest_request: u32,
    /// Longest reply message, bytes.
    pub longest_reply: u32,
}

/// The body of a HELLO_ACK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HelloAck {
    /// The life of the server that minted the session.
    pub epoch: Epoch,
    /// Lets the session be created.
    pub birth: Birth,
    /// Proves the address that the HELLO came from.
    pub path: PathProof,
    /// The server's limits.
    pub limits: Limits,
    /// The version to speak from here on.
    pub version: u8,
    /// Name and version of the server's software, UTF-8, filled with zeros.
    pub software: [u8; 16],
}

impl HelloAck {
    /// Name and version of the server's software; bytes that are not UTF-8 or not printable are
    /// replaced.
    pub fn software(&self) -> String {
        let text = String::from_utf8_lossy(&self.software);
        text.trim_end_matches('\0')
            .chars()
            .map(|c| if c.is_control() { '\u{fffd}' } else { c })
            .collect()
    }
}

/// What a datagram of a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromServer<'a> {
    /// The versions that the server speaks: the answer to a version that it does not.
    Version {
        /// Echoed.
        session: SessionId,
        /// Echoed.
        call: CallId,
        /// The lowest version served.
        lowest: u8,
        /// The highest version served.
        highest: u8,
    },
    /// Offers a session.
    HelloAck {
        /// The session, minted for this answer.
        session: SessionId,
        /// The HELLO's nonce.
        nonce: u128,
        /// The server's clock, µs.
        clock: u64,
        /// All else.
        ack: HelloAck,
    },
    /// The end of a call that ran.
    Reply {
        /// The session.
        session: SessionId,
        /// The call.
        call: CallId,
        /// The server's clock, µs.
        clock: u64,
        /// Time from the arrival of the copy that it answers to this sending, µs.
        hold_us: u32,
        /// The last cell that may be sent.
        credit: u32,
        /// How it ended.
        status: Code,
        /// Which parts of which message these are.
        flags: Flags,
        /// The first cell of the body.
        cell: u32,
        /// What goes with the reply; its option and the body are at most
        /// [`MAX_BODY`](super::MAX_BODY) bytes together.
        metadata: MetadataRef<'a>,
        /// The reply, or a [`super::StatusBody`] when the status is not OK.
        body: &'a [u8],
    },
    /// How far a call has come.
    Progress {
        /// The session.
        session: SessionId,
        /// The call.
        call: CallId,
        /// The server's clock, µs.
        clock: u64,
        /// Time from the arrival of the copy that it answers to this sending, µs.
        hold_us: u32,
        /// The last cell that may be sent.
        credit: u32,
        /// All below it has been received.
        cell: u32,
        /// How far the call has come.
        state: SlotState,
    },
    /// A call is not run, or not known.
    Refused {
        /// The session.
        session: SessionId,
        /// The call.
        call: CallId,
        /// The server's clock, µs.
        clock: u64,
        /// The server's life.
        epoch: Epoch,
        /// Time from the arrival of the copy that it answers to this sending, µs.
        hold_us: u32,
        /// Why.
        reason: Reason,
        /// It is recorded that the call never runs.
        promise: bool,
    },
    /// Asks for a proof of the address, and gives it.
    Challenge {
        /// The session.
        session: SessionId,
        /// The call.
        call: CallId,
        /// The server's clock, µs.
        clock: u64,
        /// The proof to carry from here on.
        path: PathProof,
    },
    /// The session lives.
    Pong {
        /// The session.
        session: SessionId,
        /// The PING's.
        call: CallId,
        /// The server's clock, µs.
        clock: u64,
        /// The server's life.
        epoch: Epoch,
        /// Time from the arrival of the PING to this sending, µs.
        hold_us: u32,
    },
    /// The session lives, and should be left.
    Goaway {
        /// The session.
        session: SessionId,
        /// Of what it answers.
        call: CallId,
        /// The server's clock, µs.
        clock: u64,
        /// The server's life.
        epoch: Epoch,
        /// Time from the arrival of what it answers to this sending, µs.
        hold_us: u32,
        /// Why.
        reason: Reason,
    },
}

/// Reads a datagram that a server has sent.
///
/// # Errors
///
/// Why it must be dropped.
pub fn parse_from_server(datagram: &[u8]) -> Result<Datagram<FromServer<'_>>, ParseError> {
    let (header, area, body) = Header::parse(datagram, Sender::Server)?;
    let metadata = (header.kind == Kind::Reply).then_some(options::REPLY_METADATA);
    let (parsed, body) = options::parse(area, body, metadata)?;
    if parsed.unknown_critical {
        return Err(ParseError::Options);
    }
    let Header { kind, session, clock, word, cell, attempt, code, flags, .. } = header;
    let call = CallId(header.call);
    let zero = Header::new(kind, session, call.0, attempt);
    let (hold_us, credit) = halves(word);
    let (expected, message) = match kind {
        Kind::Version => {
            let highest = datagram.get(2).copied().unwrap_or(0);
            // Fixed for all versions: nothing but the header.
            if !area.is_empty() || code > highest {
                return Err(ParseError::Field);
            }
            let message = FromServer::Version { session, call, lowest: code, highest };
            (Header { code, attempt: 0, ..zero }, message)
        }
        Kind::HelloAck => {
            let ack = parse_hello_ack(body)?;
            let nonce = u128::from(call.0) << 64 | u128::from(word);
            return if header == (Header { clock, word, ..zero }) && area.is_empty() {
                Ok(Datagram {
                    attempt,
                    message: FromServer::HelloAck { session, nonce, clock, ack },
                })
            } else {
                Err(ParseError::Field)
            };
        }
        Kind::Reply => {
            if !flags.within(Flags::WHOLE | Flags::META | Flags::ACK_WANTED) {
                return Err(ParseError::Flags);
            }
            let status = Code::from_u8(code);
            let message = FromServer::Reply {
                session,
                call,
                clock,
                hold_us,
                credit,
                status,
                flags,
                cell,
                metadata: parsed.metadata,
                body,
            };
            return Ok(Datagram { attempt, message });
        }
        Kind::Progress => {
            let state = SlotState::from_u8(code);
            let message =
                FromServer::Progress { session, call, clock, hold_us, credit, cell, state };
            (Header { clock, word, cell, code, ..zero }, message)
        }
        Kind::Refused => {
            let promise = flags.contains(Flags::PROMISE);
            let flags = if promise { Flags::PROMISE } else { Flags::NONE };
            let message = FromServer::Refused {
                session,
                call,
                clock,
                epoch: Epoch(word),
                hold_us: cell,
                reason: Reason::from_u8(code),
                promise,
            };
            (Header { clock, word, cell, code, flags, ..zero }, message)
        }
        Kind::Challenge => {
            let path = PathProof { issued: cell, mac: word };
            (
                Header { clock, word, cell, ..zero },
                FromServer::Challenge { session, call, clock, path },
            )
        }
        Kind::Pong => {
            let message =
                FromServer::Pong { session, call, clock, epoch: Epoch(word), hold_us: cell };
            (Header { clock, word, cell, ..zero }, message)
        }
        Kind::Goaway => {
            let reason = Reason::from_u8(code);
            let message = FromServer::Goaway {
                session,
                call,
                clock,
                epoch: Epoch(word),
                hold_us: cell,
                reason,
            };
            (Header { clock, word, cell, code, ..zero }, message)
        }
        // Kinds of clients: `Header::parse` has refused them.
        _ => return Err(ParseError::Direction),
    };
    if header != expected {
        return Err(ParseError::Field);
    }
    if !body.is_empty() {
        return Err(ParseError::Body);
    }
    Ok(Datagram { attempt, message })
}

fn parse_hello_ack(body: &[u8]) -> Result<HelloAck, ParseError> {
    let (body, _later) = body.split_first_chunk::<HELLO_ACK_BODY>().ok_or(ParseError::Body)?;
    let mut rest: &[u8] = body;
    let mut take = |count: usize| {
        let (taken, left) = rest.split_at_checked(count).ok_or(ParseError::Body)?;
        rest = left;
        Ok(taken)
    };
    let mut number = |bytes: usize| take(bytes).map(|field| BigEndian::read_uint(field, bytes));
    let narrow = |value: u64| u32::try_from(value).map_err(|_| ParseError::Body);
    let epoch = Epoch(number(8)?);
    let birth = Birth { minted: narrow(number(4)?)?, mac: number(8)? };
    let path = PathProof { issued: narrow(number(4)?)?, mac: number(8)? };
    let window = narrow(number(4)?)?;
    let longest_deadline_ms = narrow(number(4)?)?;
    let lease_ms = narrow(number(4)?)?;
    let longest_datagram = u16::try_from(number(2)?).map_err(|_| ParseError::Body)?;
    let version = u8::try_from(number(1)?).map_err(|_| ParseError::Body)?;
    let _reserved = number(1)?;
    let longest_request = narrow(number(4)?)?;
    let longest_reply = narrow(number(4)?)?;
    let _reserved = number(8)?;
    let software = take(16)?.try_into().map_err(|_| ParseError::Body)?;
    let limits = Limits {
        window,
        longest_deadline_ms,
        lease_ms,
        longest_datagram,
        longest_request,
        longest_reply,
    };
    // A window of one has no id left for PING; a session without slots can call nothing.
    // "Unknown session" proves nothing where a session may end before its birth has died.
    if window < 2
        || usize::from(longest_datagram) < HELLO_LEN
        || version == 0
        || lease_ms <= options::PROOF_LIFE_S * 1000
    {
        return Err(ParseError::Body);
    }
    Ok(HelloAck { epoch, birth, path, limits, version, software })
}

impl HelloAck {
    fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.epoch.0.to_be_bytes());
        out.extend_from_slice(&self.birth.minted.to_be_bytes());
        out.extend_from_slice(&self.birth.mac.to_be_bytes());
        out.extend_from_slice(&self.path.issued.to_be_bytes());
        out.extend_from_slice(&self.path.mac.to_be_bytes());
        out.extend_from_slice(&self.limits.window.to_be_bytes());
        out.extend_from_slice(&self.limits.longest_deadline_ms.to_be_bytes());
        out.extend_from_slice(&self.limits.lease_ms.to_be_bytes());
        out.extend_from_slice(&self.limits.longest_datagram.to_be_bytes());
        out.extend_from_slice(&[self.version, 0]);
        out.extend_from_slice(&self.limits.longest_request.to_be_bytes());
        out.extend_from_slice(&self.limits.longest_reply.to_be_bytes());
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(&self.software);
    }
}

impl Datagram<FromServer<'_>> {
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
        let new = |kind, session, call: CallId| Header::new(kind, session, call.0, self.attempt);
        let mut version = VERSION;
        let mut meta = MetadataRef::EMPTY;
        let mut tail: &[u8] = &[];
        let header = match &self.message {
            FromServer::Version { session, call, lowest, highest } => {
                version = *highest;
                Header { code: *lowest, attempt: 0, ..new(Kind::Version, *session, *call) }
            }
            FromServer::HelloAck { session, nonce, clock, .. } => {
                let (first, second) = nonce_halves(*nonce);
                let header = new(Kind::HelloAck, *session, CallId(first));
                Header { clock: *clock, word: second, ..header }
            }
            FromServer::Reply {
                session,
                call,
                clock,
                hold_us,
                credit,
                status,
                flags,
                cell,
                metadata,
                body,
            } => {
                meta = *metadata;
                tail = body;
                Header {
                    clock: *clock,
                    word: whole(*hold_us, *credit),
                    cell: *cell,
                    code: status.to_u8(),
                    flags: *flags,
                    ..new(Kind::Reply, *session, *call)
                }
            }
            FromServer::Progress { session, call, clock, hold_us, credit, cell, state } => Header {
                clock: *clock,
                word: whole(*hold_us, *credit),
                cell: *cell,
                code: state.to_u8(),
                ..new(Kind::Progress, *session, *call)
            },
            FromServer::Refused { session, call, clock, epoch, hold_us, reason, promise } => {
                Header {
                    clock: *clock,
                    word: epoch.0,
                    cell: *hold_us,
                    code: reason.to_u8(),
                    flags: if *promise { Flags::PROMISE } else { Flags::NONE },
                    ..new(Kind::Refused, *session, *call)
                }
            }
            FromServer::Challenge { session, call, clock, path } => Header {
                clock: *clock,
                word: path.mac,
                cell: path.issued,
                ..new(Kind::Challenge, *session, *call)
            },
            FromServer::Pong { session, call, clock, epoch, hold_us } => Header {
                clock: *clock,
                word: epoch.0,
                cell: *hold_us,
                ..new(Kind::Pong, *session, *call)
            },
            FromServer::Goaway { session, call, clock, epoch, hold_us, reason } => Header {
                clock: *clock,
                word: epoch.0,
                cell: *hold_us,
                code: reason.to_u8(),
                ..new(Kind::Goaway, *session, *call)
            },
        };
        header.emit(out, version, meta.option_len());
        meta.emit(options::REPLY_METADATA, out);
        if let FromServer::HelloAck { ack, .. } = &self.message {
            ack.emit(out);
        }
        out.extend_from_slice(tail);
    }
}
