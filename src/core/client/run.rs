//! A run: copies of several calls that go to one server in one system call, all of one size.
//!
//! It must not know what the copies say: it reckons with lengths. Invariant: what has joined can
//! be padded to the run's size, within the bounds below.

use crate::wire::{MAX_DATAGRAM, OPTIONS_LEN_MAX, SessionId};

/// Most copies of one run: as many as Linux's UDP segmentation offload takes.
const COPIES_MAX: usize = 64;

/// Most bytes of one run: a UDP datagram of segmentation offload is under 64 KiB with its headers.
const BYTES_MAX: usize = 60_000;

/// Most bytes by which a copy is padded for its neighbours' sake: on the wire they cost about what
/// a datagram's headers do, and a datagram sent apart costs the kernel some hundred times as much.
const PADDING_MAX: usize = 32;

/// Least that padding can add, bytes: options are counted in units of four.
const PAD_LEAST: usize = 4;

/// What a run has to know of a copy before it joins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Copied {
    pub(super) session: SessionId,
    /// Length of its datagram, unpadded, and of the options in it, bytes.
    pub(super) len: usize,
    pub(super) options: usize,
    /// The longest datagram that its server takes, bytes.
    pub(super) longest: usize,
}

impl Copied {
    /// How long its datagram can be made by padding.
    fn stretch(&self) -> usize {
        let room = OPTIONS_LEN_MAX.saturating_sub(self.options);
        self.longest.min(MAX_DATAGRAM).min(self.len + room).max(self.len)
    }
}

/// The lengths of what has joined a run.
#[derive(Debug, Clone, Copy)]
struct Lengths {
    session: SessionId,
    shortest: usize,
    longest: usize,
    /// Some are shorter than the longest, but by less than the least padding.
    nearly: bool,
    /// The least of what their datagrams can be made.
    stretch: usize,
}

impl Lengths {
    fn of(copy: &Copied) -> Self {
        let Copied { session, len, .. } = *copy;
        let stretch = copy.stretch();
        Self { session, shortest: len, longest: len, nearly: false, stretch }
    }

    fn with(self, copy: &Copied) -> Self {
        let nearly = |by: usize| (1..PAD_LEAST).contains(&by);
        Self {
            session: self.session,
            shortest: self.shortest.min(copy.len),
            longest: self.longest.max(copy.len),
            // Where the longest grows by enough, all others are far enough below it.
            nearly: match copy.len.checked_sub(self.longest) {
                Some(0) => self.nearly,
                Some(longer) => nearly(longer),
                None => self.nearly || nearly(self.longest - copy.len),
            },
            stretch: self.stretch.min(copy.stretch()),
        }
    }

    /// The size to which all can be padded.
    fn size(&self) -> usize {
        self.longest + if self.nearly { PAD_LEAST } else { 0 }
    }
}

/// The lengths of the copies that go out together.
#[derive(Debug, Default)]
pub(super) struct Run {
    lengths: Option<Lengths>,
    copies: usize,
}

impl Run {
    /// Adds a copy, unless it would break a bound; a first one always joins.
    pub(super) fn join(&mut self, copy: &Copied) -> bool {
        let Some(lengths) = &self.lengths else {
            *self = Self { lengths: Some(Lengths::of(copy)), copies: 1 };
            return true;
        };
        let lengths = lengths.with(copy);
        let size = lengths.size();
        let copies = self.copies + 1;
        let fits = lengths.session == copy.session
            && size <= lengths.stretch
            && size - lengths.shortest <= PADDING_MAX
            && copies <= COPIES_MAX
            && copies * size <= BYTES_MAX;
        if fits {
            *self = Self { lengths: Some(lengths), copies };
        }
        fits
    }

    /// The size of each of them, bytes.
    pub(super) fn size(&self) -> usize {
        self.lengths.map_or(0, |lengths| lengths.size())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_has_joined_can_be_padded_to_the_size_of_the_run(
            lengths in prop::collection::vec(48usize..1232, 1..100),
            near in prop::collection::vec(0usize..40, 1..100),
            options in 0usize..=1020,
            longest in 128usize..=1232,
        ) {
            let base = lengths.first().copied().unwrap_or(48);
            for lengths in [lengths, near.iter().map(|more| base + more).collect()] {
                let mut run = Run::default();
                let mut joined = Vec::new();
                for len in lengths {
                    let copy = Copied { session: SessionId(1), len, options, longest };
                    if run.join(&copy) {
                        joined.push(len);
                    }
                }
                prop_assert!(joined.len() <= COPIES_MAX && joined.len() * run.size() <= BYTES_MAX);
                for len in &joined {
                    let missing = run.size() - len;
                    prop_assert!(missing == 0 || (PAD_LEAST..=PADDING_MAX).contains(&missing));
                    prop_assert!(missing == 0 || run.size() <= longest);
                    prop_assert!(missing == 0 || options + missing / 4 * 4 <= OPTIONS_LEN_MAX);
                }
            }
        }
    }

    #[test]
    fn another_session_never_joins() {
        let copy =
            |session| Copied { session: SessionId(session), len: 60, options: 0, longest: 1232 };
        let mut run = Run::default();
        assert!(run.join(&copy(1)));
        assert!(!run.join(&copy(2)));
        assert!(run.join(&copy(1)));
    }
}
