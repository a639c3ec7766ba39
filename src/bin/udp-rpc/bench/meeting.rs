//! Where the clients of a run wait for each other, so that they begin at one instant.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

/// Like a barrier, but it can be called off, and all leave it with the same instant.
pub(super) struct Meeting {
    state: Mutex<State>,
    moved: Condvar,
    size: usize,
}

#[derive(Default)]
struct State {
    waiting: usize,
    /// Meetings that have taken place.
    held: u64,
    /// When the last one was complete.
    at: Option<Instant>,
    is_abandoned: bool,
}

impl Meeting {
    /// For this many.
    pub(super) fn new(size: usize) -> Meeting {
        Meeting { state: Mutex::default(), moved: Condvar::new(), size }
    }

    /// Waits until all have come, and tells when that was; `None` if it was called off.
    pub(super) fn wait(&self) -> Option<Instant> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting += 1;
        if state.waiting == self.size {
            state.waiting = 0;
            state.held += 1;
            state.at = Some(Instant::now());
            self.moved.notify_all();
        }
        let held = if state.waiting == 0 { state.held } else { state.held + 1 };
        let waits = |state: &mut State| state.held < held && !state.is_abandoned;
        let state = self.moved.wait_while(state, waits);
        let state = state.unwrap_or_else(PoisonError::into_inner);
        state.at.filter(|_| !state.is_abandoned)
    }

    /// Calls it off: not all will come.
    pub(super) fn abandon(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).is_abandoned = true;
        self.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_leave_each_meeting_with_its_instant() {
        let meeting = Meeting::new(3);
        let instants: Vec<_> = std::thread::scope(|scope| {
            let come = || [meeting.wait().unwrap(), meeting.wait().unwrap()];
            let threads = [(); 3].map(|()| scope.spawn(come));
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(instants.iter().all(|each| *each == instants[0]), "{instants:?}");
        assert!(instants[0][0] <= instants[0][1]);
    }

    #[test]
    fn nobody_waits_for_a_meeting_that_was_called_off() {
        let meeting = Meeting::new(2);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| meeting.wait());
            meeting.abandon();
            assert_eq!(waiting.join().unwrap(), None);
        });
    }
}
