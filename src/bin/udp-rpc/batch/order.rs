//! Ends of calls in whatever order they come, handed on in the order in which the calls were made.

use std::collections::VecDeque;

/// The calls that were made and not handed on yet.
#[derive(Debug)]
pub(crate) struct Order<T> {
    /// The number of the call in front.
    first: u64,
    ends: VecDeque<Option<T>>,
}

impl<T> Order<T> {
    /// No calls.
    pub(crate) fn new() -> Order<T> {
        Order { first: 0, ends: VecDeque::new() }
    }

    /// A new call, behind all others; its number.
    pub(crate) fn begin(&mut self) -> u64 {
        self.ends.push_back(None);
        self.first + self.ends.len() as u64 - 1
    }

    /// The call with this number has ended.
    pub(crate) fn end(&mut self, number: u64, end: T) {
        let index = number.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        if let Some(slot) = index.and_then(|index| self.ends.get_mut(index)) {
            *slot = Some(end);
        }
    }

    /// The end of the call in front, if it has come.
    pub(crate) fn next(&mut self) -> Option<T> {
        let end = self.ends.front_mut()?.take()?;
        self.ends.pop_front();
        self.first += 1;
        Some(end)
    }

    /// How many have not been handed on.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_handed_on_in_the_order_of_the_calls() {
        let mut order = Order::new();
        let numbers: Vec<u64> = (0..3).map(|_| order.begin()).collect();
        order.end(numbers[2], 'c');
        order.end(numbers[1], 'b');
        assert_eq!(order.next(), None);
        order.end(numbers[0], 'a');
        assert_eq!((order.next(), order.next(), order.len()), (Some('a'), Some('b'), 1));
        let later = order.begin();
        assert_eq!(order.next(), Some('c'));
        assert_eq!(order.next(), None);
        order.end(later, 'd');
        assert_eq!((order.next(), order.next(), order.len()), (Some('d'), None, 0));
    }
}
