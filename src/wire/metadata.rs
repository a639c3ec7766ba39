//! Metadata: what goes with a call beside its message, as pairs of key and value.
//!
//! On the wire they are one option (`PROTOCOL.md` section 4.7). Keys are gRPC's: lower-case
//! letters, digits, `_`, `-` and `.`; one that ends in `-bin` has any bytes for a value, every
//! other printable ASCII. Keys may repeat, and the order is kept.
//!
//! Invariant: the bytes behind a [`Metadata`] or a [`MetadataRef`] are well-formed entries, so
//! that reading them cannot fail.

use std::fmt;

/// Longest metadata, bytes of encoded entries, each of which takes its key, its value and three
/// more: what the options of a datagram hold beside both proofs.
pub const METADATA_MAX: usize = super::OPTIONS_LEN_MAX - super::PROOFS_LEN - OPTION_HEAD;

/// Type and length of the option.
const OPTION_HEAD: usize = 2;

/// Units of four bytes in which options are counted.
const UNIT: usize = 4;

/// Bytes of an entry beside its key and its value: the lengths of both.
const ENTRY_HEAD: usize = 3;

/// Metadata that was received, or is about to be sent, in somebody else's memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct MetadataRef<'a>(&'a [u8]);

/// Metadata that owns its memory. Empty metadata takes none.
///
/// ```
/// use udp_rpc::wire::Metadata;
///
/// let mut metadata = Metadata::new();
/// metadata.insert("tenant", "north")?;
/// metadata.insert("digest-bin", [0, 255])?;
/// assert_eq!(metadata.get_text("tenant"), Some("north"));
/// assert!(metadata.insert("Tenant", "x").is_err()); // keys are lower-case
/// # Ok::<(), udp_rpc::wire::MetadataError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Metadata(Vec<u8>);

/// Why a pair cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetadataError {
    /// The key is empty, too long, or has a character that keys cannot have.
    Key(String),
    /// The value has a byte that is no printable ASCII, and the key does not end in `-bin`.
    Value {
        /// The key.
        key: String,
    },
    /// With this pair there would be more than a datagram carries.
    TooLong {
        /// What all pairs would take, bytes.
        bytes: usize,
    },
}

impl fmt::Display for MetadataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(
                f,
                "{key:?} is no metadata key: 1 to 255 of a-z, 0-9, `_`, `-` and `.` (lower case)"
            ),
            Self::Value { key } => write!(
                f,
                "the value of metadata {key:?} is not printable ASCII; \
                 bytes go under a key that ends in `-bin`"
            ),
            Self::TooLong { bytes } => {
                write!(f, "metadata of {bytes} bytes; a datagram carries {METADATA_MAX}")
            }
        }
    }
}

impl std::error::Error for MetadataError {}

impl<'a> MetadataRef<'a> {
    /// No metadata.
    pub const EMPTY: Self = Self(&[]);

    /// Reads the data of an option: entries, then up to three zeros. `None` if they are not
    /// well-formed, or more than may be sent.
    pub(super) fn parse(data: &'a [u8]) -> Option<Self> {
        let mut rest = data;
        while rest.first().is_some_and(|key_len| *key_len > 0) {
            let (key, value, after) = split(rest)?;
            if check(key, value).is_err() {
                return None;
            }
            rest = after;
        }
        let entries = data.split_at_checked(data.len() - rest.len())?.0;
        let filled = rest.len() < UNIT && rest.iter().all(|byte| *byte == 0);
        (filled && entries.len() <= METADATA_MAX).then_some(Self(entries))
    }

    /// Appends the option, under this type; nothing for no metadata.
    pub(super) fn emit(self, kind: u8, out: &mut Vec<u8>) {
        let length = self.option_len();
        // Entries are at most `METADATA_MAX` bytes, so the count fits.
        let (Ok(units), true) = (u8::try_from(length / UNIT), length > 0) else { return };
        let end = out.len() + length;
        out.extend_from_slice(&[kind, units]);
        out.extend_from_slice(self.0);
        out.resize(end, 0);
    }

    /// Writes the entries and zeros behind them into `place`, which has
    /// [`option_len`](Self::option_len) bytes: how a reply is kept, with what its metadata takes in a
    /// datagram before its body.
    pub(crate) fn keep(self, place: &mut [u8]) {
        if let Some((entries, zeros)) = place.split_at_mut_checked(self.0.len()) {
            entries.copy_from_slice(self.0);
            zeros.fill(0);
        }
    }

    /// The metadata that [`keep`](Self::keep) has written; none if these are other bytes.
    pub(crate) fn kept(bytes: &'a [u8]) -> Self {
        let entries = bytes.len().saturating_sub(OPTION_HEAD);
        bytes.get(..entries).and_then(Self::parse).unwrap_or_default()
    }

    /// All pairs, in the order in which they were sent.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (key, value, after) = split(rest)?;
            rest = after;
            Some((std::str::from_utf8(key).unwrap_or_default(), value))
        })
    }

    /// The first value of a key.
    pub fn get(self, key: &str) -> Option<&'a [u8]> {
        self.iter().find_map(|(k, value)| (k == key).then_some(value))
    }

    /// The first value of a key that has text.
    pub fn get_text(self, key: &str) -> Option<&'a str> {
        std::str::from_utf8(self.get(key)?).ok()
    }

    /// All values of a key.
    pub fn get_all(self, key: &str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter_map(move |(k, value)| (k == key).then_some(value))
    }

    /// Whether there is nothing.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The entries as they are on the wire.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// A copy that owns its memory.
    pub fn to_owned(self) -> Metadata {
        Metadata(self.0.to_vec())
    }

    /// Bytes that the option takes in a datagram: a multiple of four, and none for no metadata.
    pub fn option_len(self) -> usize {
        match self.0.len() {
            0 => 0,
            bytes => (OPTION_HEAD + bytes).next_multiple_of(UNIT),
        }
    }
}

impl Metadata {
    /// No metadata.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The same, borrowed.
    pub fn borrow(&self) -> MetadataRef<'_> {
        MetadataRef(&self.0)
    }

    /// Gives a key this one value; what it had goes.
    ///
    /// # Errors
    ///
    /// When the pair cannot be sent; nothing has changed then.
    pub fn insert(&mut self, key: &str, value: impl AsRef<[u8]>) -> Result<(), MetadataError> {
        let mut changed = self.without(key);
        changed.append(key, value)?;
        *self = changed;
        Ok(())
    }

    /// Adds a value to those that a key has.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    pub fn append(&mut self, key: &str, value: impl AsRef<[u8]>) -> Result<(), MetadataError> {
        let value = value.as_ref();
        check(key.as_bytes(), value)?;
        let bytes = self.0.len() + ENTRY_HEAD + key.len() + value.len();
        let (Ok(key_len), Ok(value_len), true) =
            (u8::try_from(key.len()), u16::try_from(value.len()), bytes <= METADATA_MAX)
        else {
            return Err(MetadataError::TooLong { bytes });
        };
        self.0.reserve(bytes - self.0.len());
        self.0.push(key_len);
        self.0.extend_from_slice(key.as_bytes());
        self.0.extend_from_slice(&value_len.to_be_bytes());
        self.0.extend_from_slice(value);
        Ok(())
    }

    /// Takes a key and all its values out; whether it was there.
    pub fn remove(&mut self, key: &str) -> bool {
        let changed = self.without(key);
        let was_there = changed.0.len() != self.0.len();
        *self = changed;
        was_there
    }

    /// Takes everything out and keeps the memory.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// All pairs, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.borrow().iter()
    }

    /// The first value of a key.
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.borrow().get(key)
    }

    /// The first value of a key that has text.
    pub fn get_text(&self, key: &str) -> Option<&str> {
        self.borrow().get_text(key)
    }

    /// All values of a key.
    pub fn get_all(&self, key: &str) -> impl Iterator<Item = &[u8]> {
        self.borrow().get_all(key)
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn without(&self, key: &str) -> Self {
        let mut kept = Vec::with_capacity(self.0.len());
        let mut rest = self.0.as_slice();
        while let Some((k, _, after)) = split(rest) {
            if k != key.as_bytes()
                && let Some((entry, _)) = rest.split_at_checked(rest.len() - after.len())
            {
                kept.extend_from_slice(entry);
            }
            rest = after;
        }
        Self(kept)
    }
}

impl<'a> From<&'a Metadata> for MetadataRef<'a> {
    fn from(metadata: &'a Metadata) -> Self {
        metadata.borrow()
    }
}

/// Keys and the lengths of values: a value may be a secret, and what is printed is logged.
impl fmt::Debug for MetadataRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = self.iter().map(|(key, value)| (key, format!("{} bytes", value.len())));
        f.debug_map().entries(pairs).finish()
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.borrow().fmt(f)
    }
}

/// Key, value, and the entries after them.
fn split(entries: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (key_len, rest) = entries.split_first()?;
    let (key, rest) = rest.split_at_checked(usize::from(*key_len))?;
    let (value_len, rest) = rest.split_first_chunk::<2>()?;
    let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*value_len)))?;
    Some((key, value, rest))
}

fn check(key: &[u8], value: &[u8]) -> Result<(), MetadataError> {
    let may_be_in_a_key = |b: &u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.');
    let name = || String::from_utf8_lossy(key).into_owned();
    if key.is_empty() || key.len() > usize::from(u8::MAX) || !key.iter().all(may_be_in_a_key) {
        return Err(MetadataError::Key(name()));
    }
    if key.ends_with(b"-bin") || value.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        Ok(())
    } else {
        Err(MetadataError::Value { key: name() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(metadata: &Metadata) -> Vec<(&str, &[u8])> {
        metadata.iter().collect()
    }

    #[test]
    fn keys_may_repeat_and_insert_replaces() {
        let mut metadata = Metadata::new();
        metadata.append("a", "1").unwrap();
        metadata.append("b-bin", [0, 200]).unwrap();
        metadata.append("a", "2").unwrap();
        assert_eq!(pairs(&metadata), [("a", &b"1"[..]), ("b-bin", &[0, 200]), ("a", b"2")]);
        assert_eq!(metadata.get_all("a").collect::<Vec<_>>(), [b"1", b"2"]);
        metadata.insert("a", "3").unwrap();
        assert_eq!(pairs(&metadata), [("b-bin", &[0, 200][..]), ("a", b"3")]);
        assert!(metadata.remove("a") && !metadata.remove("a"));
        assert_eq!(metadata.get("a"), None);
    }

    #[test]
    fn what_cannot_be_sent_is_refused_and_changes_nothing() {
        let mut metadata = Metadata::new();
        metadata.insert("a", "1").unwrap();
        let before = metadata.clone();
        for (key, value) in
            [("", "x"), ("A", "x"), ("a b", "x"), ("ä", "x"), ("a", "ä"), ("a", "\n")]
        {
            assert!(metadata.insert(key, value).is_err(), "{key:?} {value:?}");
        }
        assert!(metadata.insert(&"k".repeat(256), "x").is_err());
        let error = metadata.insert("a", "x".repeat(METADATA_MAX)).unwrap_err();
        assert_eq!(error, MetadataError::TooLong { bytes: METADATA_MAX + 4 });
        assert_eq!(metadata, before);
        metadata.insert("a", "x".repeat(METADATA_MAX - 4)).unwrap();
    }

    #[test]
    fn only_well_formed_entries_are_read() {
        let good = [1, b'a', 0, 1, b'x'];
        assert_eq!(MetadataRef::parse(&good).unwrap().get("a"), Some(&b"x"[..]));
        for zeros in 1..4 {
            let padded = [&good[..], &vec![0; zeros]].concat();
            assert_eq!(MetadataRef::parse(&padded).unwrap().as_bytes(), good);
        }
        let bad: [&[u8]; 7] = [
            &[1, b'a', 0, 1, b'x', 0, 0, 0, 0],
            &[1, b'a', 0, 2, b'x'],
            &[9, b'a', 0, 1, b'x'],
            &[1, b'A', 0, 1, b'x'],
            &[1, b'a', 0, 1, 7],
            &[1, b'a', 0],
            &[0, 1],
        ];
        for data in bad {
            assert_eq!(MetadataRef::parse(data), None, "{data:?}");
        }
    }

    #[test]
    fn values_are_not_printed() {
        let mut metadata = Metadata::new();
        metadata.insert("authorization", "secret").unwrap();
        assert_eq!(format!("{metadata:?}"), r#"{"authorization": "6 bytes"}"#);
    }
}
