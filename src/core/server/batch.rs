//! Which answers go together in one system call: segmentation offload wants datagrams of one size,
//! and real replies differ by some bytes.
//!
//! Answers of one length go together as they are. Replies of nearly one length are brought to one
//! by PAD (`PROTOCOL.md` section 3.6), as long as what is added stays small beside the walk through
//! the kernel that it spares.
//!
//! Invariant: every answer taken has the batch's size, or can be padded to it.

use super::outgoing::Say;
use crate::wire::{MAX_DATAGRAM, pads};

/// Most datagrams of one batch: as many as Linux's UDP segmentation offload takes.
const COUNT_MAX: usize = 64;

/// Most bytes of one batch: a UDP datagram of segmentation offload is under 64 KiB with its headers.
const BYTES_MAX: usize = 60_000;

/// Replies may differ by so many bytes, or by an eighth of the longest. A walk through the kernel
/// costs a microsecond or more; so many bytes take 26 ns at 10 Gb/s.
const SPREAD: usize = 32;

/// The least that padding adds. What is shorter than the batch by less cannot be brought to its size.
const PAD_LEAST: usize = 4;

/// Answers that go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Batch {
    count: usize,
    shortest: usize,
    longest: usize,
    /// One of them is shorter than the longest by less than padding adds, so that all are padded.
    close: bool,
    /// Most options of one, where all may be padded.
    options: Option<usize>,
}

impl Batch {
    /// One alone.
    pub(super) fn of(say: Say) -> Self {
        let length = say.len();
        let options = say.paddable();
        Self { count: 1, shortest: length, longest: length, close: false, options }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The size that all of them have, bytes.
    pub(super) fn size(&self) -> usize {
        self.longest + if self.close { PAD_LEAST } else { 0 }
    }

    /// Takes one more, if it may go with the others.
    pub(super) fn take(&mut self, say: Say) -> bool {
        let joined = self.with(say);
        let fits = joined.count <= COUNT_MAX
            && joined.count * joined.size() <= BYTES_MAX
            && (joined.size() == joined.shortest || joined.may_be_padded());
        if fits {
            *self = joined;
        }
        fits
    }

    fn with(&self, say: Say) -> Self {
        let length = say.len();
        let longest = self.longest.max(length);
        let is_close = |other: usize| other < longest && longest - other < PAD_LEAST;
        // When the longest is outgrown, it is the only one that may be close to the new one.
        let was_close = self.close && longest == self.longest;
        Self {
            count: self.count + 1,
            shortest: self.shortest.min(length),
            longest,
            close: was_close || is_close(length) || is_close(self.longest),
            options: self.options.zip(say.paddable()).map(|(one, other)| one.max(other)),
        }
    }

    fn may_be_padded(&self) -> bool {
        let missing = self.size() - self.shortest;
        self.size() <= MAX_DATAGRAM
            && self.longest - self.shortest <= SPREAD.max(self.longest / 8)
            && self.options.is_some_and(|options| pads(options, missing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{HEADER_LEN, MAX_BODY, Reason};

    fn reply(size: usize) -> Say {
        Say::Reply { size, options: 0 }
    }

    /// How many of these go together, and in which size behind the header.
    fn batch(all: &[Say]) -> (usize, usize) {
        let mut batch = Batch::of(all[0]);
        let joined = all[1..].iter().take_while(|say| batch.take(**say)).count();
        assert_eq!(batch.count(), joined + 1);
        (batch.count(), batch.size() - HEADER_LEN)
    }

    #[test]
    fn replies_of_nearly_one_size_are_brought_to_the_longest_or_just_beyond() {
        assert_eq!(batch(&[reply(2), reply(2), reply(2)]), (3, 2));
        assert_eq!(batch(&[reply(2), reply(11), reply(6)]), (3, 11));
        assert_eq!(batch(&[reply(10), reply(11)]), (2, 15));
        assert_eq!(batch(&[reply(11), reply(8), reply(2)]), (3, 15));
        // 11 and 10 are close to one another, and to 20 no more.
        assert_eq!(batch(&[reply(11), reply(10), reply(20)]), (3, 20));
        assert_eq!(batch(&[reply(11), reply(20), reply(19)]), (3, 24));
    }

    #[test]
    fn what_differs_by_much_goes_alone() {
        assert_eq!(batch(&[reply(0), reply(32)]), (2, 32));
        assert_eq!(batch(&[reply(0), reply(33)]), (1, 0));
        assert_eq!(batch(&[reply(1000), reply(880)]), (2, 1000));
        assert_eq!(batch(&[reply(1000), reply(800)]), (1, 1000));
    }

    #[test]
    fn nothing_outgrows_a_datagram() {
        assert_eq!(batch(&[reply(MAX_BODY), reply(MAX_BODY - 4)]), (2, MAX_BODY));
        assert_eq!(batch(&[reply(MAX_BODY), reply(MAX_BODY - 3)]), (1, MAX_BODY));
    }

    #[test]
    fn batches_are_bounded_by_count_and_by_bytes_padding_included() {
        assert_eq!(batch(&vec![reply(2); 100]), (64, 2));
        let (count, size) = batch(&[&[reply(1100); 40][..], &[reply(1000); 40]].concat());
        assert_eq!(count, 60_000 / (HEADER_LEN + size));
    }

    #[test]
    fn options_that_leave_no_room_for_padding_are_reckoned_with() {
        let full = |size| Say::Reply { size, options: 1000 };
        assert_eq!(batch(&[full(1110), full(1090)]), (2, 1110));
        assert_eq!(batch(&[full(1110), full(1086)]), (1, 1110));
    }

    #[test]
    fn only_replies_are_padded() {
        let (bare, ack) = (Say::refusal(Reason::Stale), Say::HelloAck { nonce: 1 });
        assert_eq!(batch(&[bare, bare]), (2, 0));
        assert_eq!(batch(&[bare, reply(0)]), (2, 0));
        assert_eq!(batch(&[bare, reply(1)]), (1, 0));
        assert_eq!(batch(&[reply(0), reply(8), bare]), (2, 8));
        assert_eq!(batch(&[ack, reply(70)]), (1, 80));
    }
}
