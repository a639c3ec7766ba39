//! Methods that are known to take their time, so that their calls are not thought lost.
//!
//! A method gets in when a copy of one of its calls was sent early and the server said that it had
//! the call already. Invariant: what is kept is bounded, and forgets.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::wire::MethodId;

/// Most methods that are remembered; calls of others cost one copy each.
const METHODS_MAX: usize = 64;

/// With each call that takes less, an eighth of what is remembered is forgotten, as of an SRTT.
const FORGOTTEN: u32 = 8;

/// How long calls of slow methods take from their first copy to their end.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Slow(BTreeMap<MethodId, Duration>);

impl Slow {
    /// Nothing is slow.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A call of this method takes this long already, though it was not lost.
    pub(super) fn add(&mut self, method: MethodId, taken: Duration) {
        if let Some(usual) = self.0.get_mut(&method) {
            *usual = taken.max(*usual);
        } else if self.0.len() < METHODS_MAX {
            self.0.insert(method, taken);
        }
    }

    /// A call of this method took this long. A method that is no slower than the network is
    /// forgotten.
    pub(super) fn note(&mut self, method: MethodId, taken: Duration, rtt: Duration) {
        if let Some(usual) = self.0.get_mut(&method) {
            *usual = taken.max(*usual - *usual / FORGOTTEN);
            if *usual <= rtt {
                self.0.remove(&method);
            }
        }
    }

    /// How long its calls take, if it is slow.
    pub(super) fn usual(&self, method: MethodId) -> Option<Duration> {
        self.0.get(&method).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const METHOD: MethodId = MethodId(7);

    #[test]
    fn slow_method_is_remembered_by_its_slowest_and_forgotten_by_and_by() {
        let mut slow = Slow::default();
        slow.note(METHOD, 100 * MS, MS);
        assert!(slow.is_empty(), "nobody took it for lost");
        slow.add(METHOD, 3 * MS);
        slow.note(METHOD, 80 * MS, MS);
        assert_eq!(slow.usual(METHOD), Some(80 * MS));
        slow.note(METHOD, 10 * MS, MS);
        assert_eq!(slow.usual(METHOD), Some(70 * MS));
        (0..40).for_each(|_| slow.note(METHOD, MS, MS));
        assert!(slow.is_empty());
    }

    #[test]
    fn methods_remembered_are_bounded() {
        let mut slow = Slow::default();
        (0..1000).for_each(|id| slow.add(MethodId(id), MS));
        assert_eq!(slow.0.len(), METHODS_MAX);
    }
}
