//! The fixed header: 48 bytes, the same for every kind, in network byte order.
//!
//! ```text
//!  0               1               2               3
//!  0 1 2 3 4 5 6 7 0 1 2 3 4 5 6 7 0 1 2 3 4 5 6 7 0 1 2 3 4 5 6 7
//! +-------------------------------+---------------+---------------+
//! |             magic             |    version    |     kind      |  0
//! +-------------------------------+---------------+---------------+
//! |                            CRC-32                             |  4
//! +---------------------------------------------------------------+
//! |                          session id                           |  8
//! |                                                               | 12
//! +---------------------------------------------------------------+
//! |                            call id                            | 16
//! |                                                               | 20
//! +---------------------------------------------------------------+
//! |                             clock                             | 24
//! |                                                               | 28
//! +---------------------------------------------------------------+
//! |                             word                              | 32
//! |                                                               | 36
//! +---------------------------------------------------------------+
//! |                             cell                              | 40
//! +---------------+---------------+---------------+---------------+
//! |    attempt    |     code      |     flags     | options length| 44
//! +---------------+---------------+---------------+---------------+
//! ```

use std::fmt;

use byteorder::{BigEndian, ByteOrder};

use super::{CallId, HEADER_LEN, MAGIC, SessionId, VERSION};

/// Where the fields begin, bytes.
mod at {
    pub(super) const MAGIC: usize = 0;
    pub(super) const VERSION: usize = 2;
    pub(super) const KIND: usize = 3;
    pub(super) const CRC: usize = 4;
    pub(super) const SESSION: usize = 8;
    pub(super) const CALL: usize = 16;
    pub(super) const CLOCK: usize = 24;
    pub(super) const WORD: usize = 32;
    pub(super) const CELL: usize = 40;
    pub(super) const ATTEMPT: usize = 44;
    pub(super) const CODE: usize = 45;
    pub(super) const FLAGS: usize = 46;
    pub(super) const OPTIONS: usize = 47;
}

/// Set in the kind of every datagram that a server sends.
const FROM_SERVER: u8 = 0x80;

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $number:literal $name:literal,)*) => {
        /// What a datagram is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Kind {
            $($(#[$doc])* $variant = $number,)*
        }

        impl Kind {
            /// Every kind, in the order of their numbers.
            pub const ALL: &'static [Kind] = &[$(Kind::$variant),*];

            /// The kind with this number.
            pub const fn from_u8(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Kind::$variant),)*
                    _ => None,
                }
            }

            /// Its name in `PROTOCOL.md`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Kind::$variant => $name,)*
                }
            }
        }
    };
}

kinds! {
    /// Asks for a session.
    Hello = 0x01 "HELLO",
    /// One call, or a part of it.
    Request = 0x02 "REQUEST",
    /// What the client has received of a reply.
    Ack = 0x03 "ACK",
    /// Asks that a call which has not started never will.
    Fence = 0x04 "FENCE",
    /// Asks what became of a call.
    Status = 0x05 "STATUS",
    /// Asks whether the session lives.
    Ping = 0x06 "PING",
    /// Gives the session up.
    Close = 0x07 "CLOSE",
    /// The versions that the server speaks.
    Version = 0x80 "VERSION",
    /// Offers a session.
    HelloAck = 0x81 "HELLO_ACK",
    /// The end of a call.
    Reply = 0x82 "REPLY",
    /// How far a call has come.
    Progress = 0x83 "PROGRESS",
    /// A call is not run, or not known.
    Refused = 0x84 "REFUSED",
    /// Asks for a proof of the address.
    Challenge = 0x85 "CHALLENGE",
    /// The session lives.
    Pong = 0x86 "PONG",
    /// The session lives, and should be left.
    Goaway = 0x87 "GOAWAY",
}

impl Kind {
    /// Its number.
    pub const fn to_u8(self) -> u8 {
        self as u8
    }

    /// Whether servers send it.
    pub const fn is_from_server(self) -> bool {
        self.to_u8() & FROM_SERVER != 0
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The header's flags.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(u8);

impl Flags {
    /// No flag.
    pub const NONE: Flags = Flags(0);
    /// A message begins in this datagram.
    pub const BEGIN: Flags = Flags(0x01);
    /// A message ends in this datagram.
    pub const END: Flags = Flags(0x02);
    /// The last message of this direction.
    pub const FIN: Flags = Flags(0x04);
    /// The message is metadata.
    pub const META: Flags = Flags(0x08);
    /// The refusal is recorded: the call never runs.
    pub const PROMISE: Flags = Flags(0x10);
    /// The sender asks for an acknowledgement.
    pub const ACK_WANTED: Flags = Flags(0x20);
    /// A message that is whole in one datagram, and the only one of its direction.
    pub const WHOLE: Flags = Flags(0x07);
    /// Zero in this version, and checked.
    const RESERVED: u8 = 0xc0;

    /// The flags in this byte, reserved ones included.
    pub const fn from_u8(bits: u8) -> Self {
        Self(bits)
    }

    /// The byte.
    pub const fn to_u8(self) -> u8 {
        self.0
    }

    /// Whether all of `other` are set.
    pub const fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether none but those of `allowed` are set.
    pub const fn within(self, allowed: Flags) -> bool {
        self.0 & !allowed.0 == 0
    }
}

impl std::ops::BitOr for Flags {
    type Output = Flags;

    fn bitor(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Flags::BEGIN, "BEGIN"),
            (Flags::END, "END"),
            (Flags::FIN, "FIN"),
            (Flags::META, "META"),
            (Flags::PROMISE, "PROMISE"),
            (Flags::ACK_WANTED, "ACK_WANTED"),
        ];
        let mut first = true;
        for (flag, name) in names {
            if self.contains(flag) {
                write!(f, "{}{name}", if first { "" } else { "|" })?;
                first = false;
            }
        }
        let rest = self.0 & Flags::RESERVED;
        match (rest, first) {
            (0, true) => f.write_str("-"),
            (0, false) => Ok(()),
            (_, first) => write!(f, "{}{rest:#04x}", if first { "" } else { "|" }),
        }
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flags({self})")
    }
}

/// Why a datagram is dropped without a word (or, for [`ParseError::Version`], answered by
/// VERSION alone).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ParseError {
    /// Shorter than the header.
    Short,
    /// It does not begin with the magic number: not this protocol.
    Magic,
    /// The CRC does not match: damaged on the way.
    Crc,
    /// A version that this library does not speak.
    Version {
        /// The version.
        version: u8,
        /// Its kind byte; bit 7 set means that it must not be answered.
        kind: u8,
        /// Its session id, which stands at the same place in all versions.
        session: SessionId,
        /// Its call id, which stands at the same place in all versions.
        call: CallId,
    },
    /// It goes the other way: from a server where a client's was expected, or the reverse.
    Direction,
    /// A kind that nobody has assigned.
    Kind,
    /// A flag that is reserved, or that its kind does not have.
    Flags,
    /// A field that must be zero is not, or one that must not be zero is.
    Field,
    /// The options are malformed.
    Options,
    /// The body is not what its kind has.
    Body,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParseError::Short => write!(f, "shorter than the {HEADER_LEN} bytes of the header"),
            ParseError::Magic => write!(f, "does not begin with the magic number {MAGIC:#06x}"),
            ParseError::Crc => f.write_str("CRC-32 does not match"),
            ParseError::Version { version, .. } => {
                write!(f, "version {version}, and only {VERSION} is known")
            }
            ParseError::Direction => f.write_str("wrong direction"),
            ParseError::Kind => f.write_str("unknown kind"),
            ParseError::Flags => f.write_str("a flag is reserved or not for this kind"),
            ParseError::Field => f.write_str("a field has a value that its kind does not allow"),
            ParseError::Options => f.write_str("malformed options"),
            ParseError::Body => f.write_str("malformed body"),
        }
    }
}

impl std::error::Error for ParseError {}

/// The session id and the call id that stand in a datagram, which has not been checked in any way.
/// `None` if it is shorter than a header.
#[inline]
pub fn ids(datagram: &[u8]) -> Option<(SessionId, CallId)> {
    let head = datagram.first_chunk::<HEADER_LEN>()?;
    let session = SessionId(field_u64::<{ at::SESSION }>(head));
    Some((session, CallId(field_u64::<{ at::CALL }>(head))))
}

/// Which side sent what is parsed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    Client,
    Server,
}

/// The header's fields, as they stand there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) session: SessionId,
    pub(super) call: u64,
    pub(super) clock: u64,
    pub(super) word: u64,
    pub(super) cell: u32,
    pub(super) attempt: u8,
    pub(super) code: u8,
    pub(super) flags: Flags,
}

impl Header {
    /// A header with everything zero but what is named.
    pub(super) fn new(kind: Kind, session: SessionId, call: u64, attempt: u8) -> Self {
        Self {
            kind,
            session,
            call,
            clock: 0,
            word: 0,
            cell: 0,
            attempt,
            code: 0,
            flags: Flags::NONE,
        }
    }

    /// Splits a datagram into header, options and body, and checks all that does not depend on
    /// the kind: length first, then magic, CRC, version, direction, kind, flags.
    pub(super) fn parse(
        datagram: &[u8],
        sender: Sender,
    ) -> Result<(Header, &[u8], &[u8]), ParseError> {
        let (head, rest) = datagram.split_first_chunk::<HEADER_LEN>().ok_or(ParseError::Short)?;
        if field_u16::<{ at::MAGIC }>(head) != MAGIC {
            return Err(ParseError::Magic);
        }
        if field_u32::<{ at::CRC }>(head) != checksum(datagram) {
            return Err(ParseError::Crc);
        }
        let [kind_byte] = field::<{ at::KIND }, 1>(head);
        let [version] = field::<{ at::VERSION }, 1>(head);
        let session = SessionId(field_u64::<{ at::SESSION }>(head));
        let call = field_u64::<{ at::CALL }>(head);
        // VERSION is the same in all versions, so that any client can read it.
        let is_version = kind_byte == Kind::Version.to_u8();
        if version != VERSION && !is_version {
            return Err(ParseError::Version {
                version,
                kind: kind_byte,
                session,
                call: CallId(call),
            });
        }
        if (kind_byte & FROM_SERVER != 0) != (sender == Sender::Server) {
            return Err(ParseError::Direction);
        }
        let kind = Kind::from_u8(kind_byte).ok_or(ParseError::Kind)?;
        let flags = Flags::from_u8(field::<{ at::FLAGS }, 1>(head)[0]);
        if flags.to_u8() & Flags::RESERVED != 0 {
            return Err(ParseError::Flags);
        }
        let options_len = usize::from(field::<{ at::OPTIONS }, 1>(head)[0]) * 4;
        let (options, body) = rest.split_at_checked(options_len).ok_or(ParseError::Options)?;
        let header = Header {
            kind,
            session,
            call,
            clock: field_u64::<{ at::CLOCK }>(head),
            word: field_u64::<{ at::WORD }>(head),
            cell: field_u32::<{ at::CELL }>(head),
            attempt: field::<{ at::ATTEMPT }, 1>(head)[0],
            code: field::<{ at::CODE }, 1>(head)[0],
            flags,
        };
        Ok((header, options, body))
    }

    /// Appends the header, its CRC still zero, for `options_len` bytes of options.
    pub(super) fn emit(&self, out: &mut Vec<u8>, version: u8, options_len: usize) {
        debug_assert!(options_len.is_multiple_of(4) && options_len <= super::OPTIONS_LEN_MAX);
        let units = u8::try_from(options_len / 4).unwrap_or(u8::MAX);
        let [magic, magic_too] = MAGIC.to_be_bytes();
        let [a, b, c, d] = self.cell.to_be_bytes();
        let words = [
            [magic, magic_too, version, self.kind.to_u8(), 0, 0, 0, 0],
            self.session.0.to_be_bytes(),
            self.call.to_be_bytes(),
            self.clock.to_be_bytes(),
            self.word.to_be_bytes(),
            [a, b, c, d, self.attempt, self.code, self.flags.to_u8(), units],
        ];
        out.extend_from_slice(words.as_flattened());
    }
}

/// Fills in the CRC of a datagram. One that is shorter than the header has none.
pub fn seal(datagram: &mut [u8]) {
    if datagram.len() < HEADER_LEN {
        return;
    }
    let crc = checksum(datagram);
    if let Some(place) = datagram.get_mut(at::CRC..at::SESSION) {
        BigEndian::write_u32(place, crc);
    }
}

/// CRC-32/IEEE over the datagram with the CRC's own field zero. What stands behind the field is read
/// where it stands: a copy just written is slow to read in larger pieces.
fn checksum(datagram: &[u8]) -> u32 {
    let mut start = [0; at::SESSION];
    let (before, rest) = datagram.split_at_checked(at::SESSION).unwrap_or((&[], datagram));
    for (place, byte) in start.iter_mut().zip(before.iter().take(at::CRC)) {
        *place = *byte;
    }
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&start);
    hasher.update(rest);
    hasher.finalize()
}

fn field<const AT: usize, const N: usize>(head: &[u8; HEADER_LEN]) -> [u8; N] {
    const { assert!(AT + N <= HEADER_LEN) };
    let mut bytes = [0; N];
    bytes.copy_from_slice(head.get(AT..AT + N).unwrap_or(&[0; N]));
    bytes
}

fn field_u16<const AT: usize>(head: &[u8; HEADER_LEN]) -> u16 {
    u16::from_be_bytes(field::<AT, 2>(head))
}

fn field_u32<const AT: usize>(head: &[u8; HEADER_LEN]) -> u32 {
    u32::from_be_bytes(field::<AT, 4>(head))
}

fn field_u64<const AT: usize>(head: &[u8; HEADER_LEN]) -> u64 {
    u64::from_be_bytes(field::<AT, 8>(head))
}

/// The word of REPLY, PROGRESS and ACK: hold time, then credit.
pub(super) const fn whole(hold_us: u32, credit: u32) -> u64 {
    (hold_us as u64) << 32 | credit as u64
}

/// Hold time and credit out of a word.
#[expect(clippy::cast_possible_truncation, reason = "the two halves are what is wanted")]
pub(super) const fn halves(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

/// A HELLO's nonce as it stands in the header: the call id's place, then the word's.
#[expect(clippy::cast_possible_truncation, reason = "the two halves are what is wanted")]
pub(super) const fn nonce_halves(nonce: u128) -> (u64, u64) {
    ((nonce >> 64) as u64, nonce as u64)
}
