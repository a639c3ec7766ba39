//! In which order copies went to one server, and which of them later ones have overtaken.
//!
//! It must not know time, nor what became of a call. A copy is *overtaken* once three copies sent
//! after it have been answered (RFC 9002's kPacketThreshold): by then it is lost, or the network
//! has changed the order of datagrams, or its handler takes longer than others'. Invariant: each
//! copy comes out once, overtaken or not.

use std::collections::VecDeque;

use super::CallHandle;

/// So many later copies must have been answered: RFC 9002 section 6.1.1.
const THRESHOLD: usize = 3;

/// The copies sent to one server.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Order {
    /// Whose copies they are, in the order in which they went.
    copies: VecDeque<CallHandle>,
    /// The number of the first of them.
    first: u64,
    /// The highest numbers of copies that were answered, the highest first.
    answered: [u64; THRESHOLD],
}

impl Order {
    /// A copy goes out. Returns its number.
    pub(super) fn sent(&mut self, handle: CallHandle) -> u64 {
        self.copies.push_back(handle);
        self.first + u64::try_from(self.copies.len()).unwrap_or(0)
    }

    /// The copy with this number was answered for the first time.
    pub(super) fn answered(&mut self, number: u64) {
        let place = self.answered.iter().position(|earlier| *earlier < number);
        if let Some(tail) = place.and_then(|place| self.answered.get_mut(place..)) {
            tail.rotate_right(1);
            if let Some(place) = tail.first_mut() {
                *place = number;
            }
        }
    }

    /// The copies that have not come out, the oldest first: whose they are, and their numbers.
    pub(super) fn copies(&self) -> impl Iterator<Item = (CallHandle, u64)> {
        self.copies.iter().copied().zip(self.first + 1..)
    }

    /// Takes out the first copy that has been overtaken: its call, which may have ended long
    /// since, and its number.
    pub(super) fn pop_overtaken(&mut self) -> Option<(CallHandle, u64)> {
        let number = self.first + 1;
        if self.answered.last().is_none_or(|third| number >= *third) {
            return None;
        }
        let handle = self.copies.pop_front()?;
        self.first = number;
        Some((handle, number))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;

    fn handle(place: u32) -> CallHandle {
        CallHandle { sequence: NonZeroU64::MIN, place }
    }

    fn overtaken(order: &mut Order) -> Vec<u64> {
        std::iter::from_fn(|| order.pop_overtaken().map(|(_, number)| number)).collect()
    }

    #[test]
    fn copy_is_overtaken_when_three_later_ones_have_been_answered() {
        let mut order = Order::default();
        let numbers: Vec<u64> = (0..6).map(|place| order.sent(handle(place))).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
        order.answered(4);
        order.answered(2);
        assert_eq!(overtaken(&mut order), [0; 0]);
        order.answered(3);
        assert_eq!(overtaken(&mut order), [1]);
        order.answered(6);
        assert_eq!(overtaken(&mut order), [2], "3, 4 and 6 came later");
        order.answered(5);
        assert_eq!(overtaken(&mut order), [3]);
    }

    #[test]
    fn answers_to_older_copies_do_not_count() {
        let mut order = Order::default();
        (0..8).for_each(|place| _ = order.sent(handle(place)));
        [1, 2, 3, 4].into_iter().for_each(|number| order.answered(number));
        assert_eq!(overtaken(&mut order), [1]);
    }
}
