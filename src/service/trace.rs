//! Where a call stands in a trace: W3C Trace Context, level 1
//! (<https://www.w3.org/TR/trace-context-1/>), which travels as metadata.
//!
//! Calls made inside a handler pass `traceparent` and `tracestate` on by themselves, as they came
//! ([`Scope`](super::Scope)). Whoever takes part in traces puts a span of its own in between:
//!
//! ```
//! use udp_rpc::service::trace::{SpanId, TraceParent};
//! use udp_rpc::wire::Metadata;
//!
//! let mut metadata = Metadata::new();
//! metadata.insert("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")?;
//!
//! let caller = TraceParent::of(metadata.borrow()).unwrap();
//! assert!(caller.sampled);
//! // The id of a span is a random number, such as `TraceIds` draws.
//! let mine = caller.child(SpanId::new(0x00f0_67aa_0ba9_02b7).unwrap());
//! mine.insert_into(&mut metadata)?;
//! assert_eq!(
//!     metadata.get_text("traceparent"),
//!     Some("00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"),
//! );
//! # Ok::<(), udp_rpc::wire::MetadataError>(())
//! ```
//!
//! Randomness is an argument: [`TraceIds`] draws ids from a seed, and
//! [`net::trace_ids`](crate::net::trace_ids) has one from the operating system.

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use crate::core::{Prf, Seed};
use crate::wire::{Metadata, MetadataError, MetadataRef};

/// The key of the metadata that carries a [`TraceParent`].
pub const TRACEPARENT: &str = "traceparent";

/// The key of the metadata that carries what tracing systems keep for themselves. It means
/// something only beside a valid `traceparent`.
pub const TRACESTATE: &str = "tracestate";

/// Characters of version 00, and of the part of later versions that this one understands.
const LENGTH: usize = 55;

/// `trace-flags`: the caller may have recorded the trace. The other bits are sent as zero.
const SAMPLED: u8 = 1;

/// A whole trace, over all services. Never all zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(NonZeroU128);

/// One span of a trace: a call, as one side of it sees it. Never all zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId(NonZeroU64);

impl TraceId {
    /// The id with this number; `None` for zero, which is no id.
    pub const fn new(number: u128) -> Option<Self> {
        match NonZeroU128::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// Its number.
    pub const fn get(self) -> u128 {
        self.0.get()
    }
}

impl SpanId {
    /// The id with this number; `None` for zero, which is no id.
    pub const fn new(number: u64) -> Option<Self> {
        match NonZeroU64::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// Its number.
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The trace and the span that a call belongs to: the value of `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent {
    /// The trace.
    pub trace: TraceId,
    /// The span of the caller.
    pub span: SpanId,
    /// Whether the caller may have recorded its part: a wish that the callee does so too.
    pub sampled: bool,
}

/// A value that is no `traceparent`: the trace starts anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoTraceParent;

impl fmt::Display for NoTraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a traceparent of W3C Trace Context")
    }
}

impl std::error::Error for NoTraceParent {}

impl TraceParent {
    /// The first span of a new trace.
    pub const fn root(trace: TraceId, span: SpanId, sampled: bool) -> Self {
        Self { trace, span, sampled }
    }

    /// Another span of this trace, whose parent is this one.
    #[must_use]
    pub const fn child(self, span: SpanId) -> Self {
        Self { span, ..self }
    }

    /// What this metadata says; `None` if it says nothing, nothing valid, or several things.
    pub fn of(metadata: MetadataRef<'_>) -> Option<Self> {
        let mut values = metadata.get_all(TRACEPARENT);
        let (value, None) = (values.next()?, values.next()) else { return None };
        Self::parse(value)
    }

    /// Says it in this metadata, in place of what was there.
    ///
    /// # Errors
    ///
    /// When there is no room left.
    pub fn insert_into(self, metadata: &mut Metadata) -> Result<(), MetadataError> {
        metadata.insert(TRACEPARENT, self.to_string())
    }

    fn parse(value: &[u8]) -> Option<Self> {
        let (known, after) = value.split_at_checked(LENGTH)?;
        // "version", "trace-id", "parent-id" and "trace-flags", each followed by a dash.
        let [version @ .., b'-'] = known.get(..3)? else { return None };
        let [trace @ .., b'-'] = known.get(3..36)? else { return None };
        let [span @ .., b'-'] = known.get(36..53)? else { return None };
        let flags = hex(known.get(53..)?)?;
        match (hex(version)?, after.first()) {
            // "Version 255 is invalid."
            (255, _) => return None,
            (_, None) => {}
            // Version 00 is exactly as long as this.
            (0, Some(_)) => return None,
            // "Vendors MUST check that the 2 characters are either the end of the string or a
            // dash", and must not look behind it.
            (_, Some(next)) => (*next == b'-').then_some(())?,
        }
        Some(Self {
            trace: TraceId::new(hex(trace)?)?,
            span: SpanId::new(hex(span)?.try_into().ok()?)?,
            sampled: flags & u128::from(SAMPLED) != 0,
        })
    }
}

/// The number that these lower-case digits say (HEXDIGLC), at most 32 of them.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number: u128, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

impl FromStr for TraceParent {
    type Err = NoTraceParent;

    fn from_str(value: &str) -> Result<Self, NoTraceParent> {
        Self::parse(value.as_bytes()).ok_or(NoTraceParent)
    }
}

/// As version 00 writes it.
impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = if self.sampled { SAMPLED } else { 0 };
        write!(f, "00-{}-{}-{flags:02x}", self.trace, self.span)
    }
}

/// Draws ids that nobody else draws. Shared by all threads that begin spans.
///
/// ```
/// use udp_rpc::core::Seed;
/// use udp_rpc::service::trace::TraceIds;
///
/// let ids = TraceIds::new(&Seed::from_number(1)); // in a test; else `net::trace_ids()`
/// let root = ids.root(true);
/// let child = ids.child(root);
/// assert_eq!(child.trace, root.trace);
/// assert_ne!(child.span, root.span);
/// ```
#[derive(Debug)]
pub struct TraceIds(Mutex<Prf>);

impl TraceIds {
    /// Ids that follow from this seed.
    pub fn new(seed: &Seed) -> Self {
        Self(Mutex::new(Prf::new(seed, "trace ids")))
    }

    /// The first span of a new trace.
    pub fn root(&self, sampled: bool) -> TraceParent {
        let trace = self.draw(|random| TraceId::new(random.next_u128()));
        TraceParent::root(trace, self.span(), sampled)
    }

    /// A new span whose parent is this one.
    pub fn child(&self, parent: TraceParent) -> TraceParent {
        parent.child(self.span())
    }

    /// The id of a new span.
    pub fn span(&self) -> SpanId {
        self.draw(|random| SpanId::new(random.next_u64()))
    }

    /// Draws until there is an id: zero is none.
    fn draw<T>(&self, mut draw: impl FnMut(&mut Prf) -> Option<T>) -> T {
        let mut random = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(id) = draw(&mut random) {
                return id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn example_of_the_specification_is_read() {
        let parent: TraceParent = EXAMPLE.parse().unwrap();
        assert_eq!(parent.trace.get(), 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!(parent.span.get(), 0x00f0_67aa_0ba9_02b7);
        assert!(parent.sampled);
        assert_eq!(parent.to_string(), EXAMPLE);
        let unsampled: TraceParent = EXAMPLE.replace("-01", "-00").parse().unwrap();
        assert_eq!(unsampled, TraceParent { sampled: false, ..parent });
    }

    #[test]
    fn what_breaks_a_rule_of_the_specification_is_refused() {
        let zeros = |at: std::ops::Range<usize>| {
            let mut value = EXAMPLE.to_owned();
            value.replace_range(at.clone(), &"0".repeat(at.len()));
            value
        };
        let bad = [
            String::new(),
            zeros(3..35),                        // trace-id of zeros
            zeros(36..52),                       // parent-id of zeros
            EXAMPLE.replacen("00", "ff", 1),     // version 255
            EXAMPLE.replacen("4bf9", "4BF9", 1), // upper case
            EXAMPLE.replacen("4bf9", "4bg9", 1), // no digit
            EXAMPLE.replacen("00-", "00_", 1),   // no dash
            EXAMPLE.replacen("-01", "+01", 1),
            EXAMPLE.replacen("-01", "-0x", 1),
            EXAMPLE[..54].to_owned(), // too short
            EXAMPLE[..52].to_owned(),
            format!("{EXAMPLE}-"), // version 00 ends here
            format!("{EXAMPLE}-what-comes-later"),
            format!("cc{}x", &EXAMPLE[2..]), // a later version goes on with a dash
            format!("cc{}", &EXAMPLE[2..54]),
            format!(" {EXAMPLE}"),
            format!("{EXAMPLE} "),
            "ä".repeat(28),
        ];
        for value in bad {
            assert_eq!(value.parse::<TraceParent>(), Err(NoTraceParent), "{value:?}");
        }
    }

    #[test]
    fn later_version_is_read_as_far_as_it_is_known_and_goes_on_as_version_00() {
        for rest in ["", "-", "-what-the-future-brings"] {
            let value = format!("cc{}{rest}", &EXAMPLE[2..]);
            assert_eq!(value.parse::<TraceParent>().unwrap().to_string(), EXAMPLE);
        }
    }

    #[test]
    fn flags_that_have_no_meaning_yet_are_not_passed_on() {
        let parent: TraceParent = EXAMPLE.replace("-01", "-ff").parse().unwrap();
        assert_eq!(parent.to_string(), EXAMPLE);
        let parent: TraceParent = EXAMPLE.replace("-01", "-fe").parse().unwrap();
        assert!(!parent.sampled);
    }

    #[test]
    fn metadata_with_several_parents_or_a_bad_one_has_none() {
        let mut metadata = Metadata::new();
        assert_eq!(TraceParent::of(metadata.borrow()), None);
        metadata.append(TRACEPARENT, EXAMPLE).unwrap();
        let parent = TraceParent::of(metadata.borrow()).unwrap();
        metadata.append(TRACEPARENT, EXAMPLE).unwrap();
        assert_eq!(TraceParent::of(metadata.borrow()), None);
        parent.child(SpanId::new(7).unwrap()).insert_into(&mut metadata).unwrap();
        let child = TraceParent::of(metadata.borrow()).unwrap();
        assert_eq!((child.trace, child.span.get()), (parent.trace, 7));
        metadata.insert(TRACEPARENT, "00-1-2-01").unwrap();
        assert_eq!(TraceParent::of(metadata.borrow()), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(trace in 1u128.., span in 1u64.., sampled: bool) {
            let parent =
                TraceParent::root(TraceId::new(trace).unwrap(), SpanId::new(span).unwrap(), sampled);
            prop_assert_eq!(parent.to_string().parse(), Ok(parent));
        }

        #[test]
        fn whatever_is_read_is_written_as_version_00(value in "[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.{0,9})?") {
            if let Ok(parent) = value.parse::<TraceParent>() {
                let written = parent.to_string();
                prop_assert_eq!(&written[3..53], &value[3..53]);
                prop_assert_eq!(written.len(), LENGTH);
            }
        }
    }
}
