//! Calls that their callers give up: before they begin, or sooner than was said.
//!
//! Invariant: a call given up while it runs ends as unknown, never as not executed.

use super::{CallHandle, Client, Event, NEVER_SENT};
use crate::core::{CallError, Time};

impl Client {
    /// A call that its driver refuses with this error: nothing is sent, and its end, as never
    /// sent, arrives like any other's.
    pub fn refuse(&mut self, error: CallError) -> CallHandle {
        let handle = self.next_handle();
        let error = CallError { outcome: NEVER_SENT, ..error };
        self.events.push_back(Event::Ended { handle, result: Err(error) });
        handle
    }

    /// [`cancel`](Self::cancel), and waits no longer than until `until` for what the server says:
    /// then the call ends as unknown.
    pub fn cancel_by(&mut self, now: Time, handle: CallHandle, until: Time) {
        self.cancel(now, handle);
        let Some(call) = self.calls.get_mut(handle) else {
            return;
        };
        if until < call.deadline {
            call.deadline = until;
            self.arm(handle);
        }
    }

    /// Whether [`poll_event`](Self::poll_event) has something to tell.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }
}
