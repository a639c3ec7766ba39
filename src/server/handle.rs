//! Shutting a server down from another thread.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mio::Waker;

/// What a handle asks of the event loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    /// Take no new calls, finish the running ones, end within this time.
    Drain(Duration),
    /// End at once.
    Stop,
}

/// Shuts a server down, from any thread.
#[derive(Debug, Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    command: Mutex<Option<Command>>,
    waker: Arc<Waker>,
}

impl Handle {
    pub(super) fn new(waker: Arc<Waker>) -> Self {
        Self { shared: Arc::new(Shared { command: Mutex::new(None), waker }) }
    }

    /// Drains: new calls are refused as not executed, running ones are finished, duplicates are
    /// still answered. The server ends when nothing runs any more and nobody has asked for an
    /// answer for a second, and after `grace` in any case. Draining cannot be taken back.
    pub fn drain(&self, grace: Duration) {
        self.send(Command::Drain(grace));
    }

    /// Ends the server at once. Calls that run are abandoned: their cancel tokens are set, and
    /// their callers will learn that the outcome is unknown.
    pub fn stop(&self) {
        self.send(Command::Stop);
    }

    fn send(&self, command: Command) {
        let mut place = self.shared.command.lock().unwrap_or_else(PoisonError::into_inner);
        if *place != Some(Command::Stop) {
            *place = Some(command);
        }
        drop(place);
        if let Err(error) = self.shared.waker.wake() {
            log::error!("cannot wake the server's event loop: {error}");
        }
    }

    pub(super) fn take(&self) -> Option<Command> {
        self.shared.command.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
