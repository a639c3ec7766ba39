//! Takes its time, for thousands of callers at once on one thread.
//!
//! The calls that sleep wait in a list ordered by when they end; one thread, started by the first
//! of them, answers those that are due. A cancelled call is answered there too, never on the
//! thread that cancelled it, which may be the event loop in the middle of something.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::super::generated::v1::sleep::SLEEP;
use super::super::generated::v1::{SleepReply, SleepRequest};
use super::super::{CancelToken, Registry, RegistryError, Status, TypedResponder};

/// Most calls that sleep at one time, some 200 bytes each.
pub const SLEEPERS_MAX: usize = 65536;

/// Adds sleep.
///
/// # Errors
///
/// As [`install`](super::install).
pub fn install(registry: &mut Registry) -> Result<(), RegistryError> {
    let timer = Timer::default();
    registry.describe_file(super::DESCRIPTORS, "udprpc/v1/sleep.proto")?.add(SLEEP.deferred(
        move |context, request, responder| match length(&request) {
            Ok(length) => timer.sleep(length, &context.cancel, responder),
            Err(status) => responder.respond(Err(status)),
        },
    ))?;
    Ok(())
}

/// How long a request asks to sleep; none is no time.
fn length(request: &SleepRequest) -> Result<Duration, Status> {
    super::super::duration::of_protobuf(request.duration.unwrap_or_default())
        .ok_or_else(|| Status::invalid_argument("the duration is negative or out of range"))
}

/// When a call ends, and a number that tells calls apart which end together.
type Key = (Instant, u64);

/// The thread and its list. Dropping it ends the thread and whoever still sleeps.
#[derive(Default)]
struct Timer {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// The thread has something to look at.
    wake: Condvar,
}

#[derive(Default)]
struct State {
    sleepers: BTreeMap<Key, Sleeper>,
    /// Calls that were cancelled; some may have ended meanwhile.
    cancelled: Vec<Key>,
    /// Number of the next call.
    next: u64,
    running: bool,
    stopped: bool,
}

struct Sleeper {
    start: Instant,
    responder: TypedResponder<SleepReply>,
}

impl Timer {
    /// Answers `responder` after `length`, or as soon as `cancel` is set.
    fn sleep(&self, length: Duration, cancel: &CancelToken, responder: TypedResponder<SleepReply>) {
        let start = Instant::now();
        let Some(end) = start.checked_add(length) else {
            return responder.respond(Err(Status::invalid_argument("the duration is too long")));
        };
        let mut state = self.shared.lock();
        if state.sleepers.len() >= SLEEPERS_MAX {
            drop(state);
            return responder.respond(Err(Status::resource_exhausted(format!(
                "{SLEEPERS_MAX} calls sleep already"
            ))));
        }
        if !state.running {
            let shared = Arc::clone(&self.shared);
            let name = "udp-rpc-sleep".to_owned();
            if let Err(error) = thread::Builder::new().name(name).spawn(move || shared.run()) {
                drop(state);
                return responder.respond(Err(Status::resource_exhausted(format!(
                    "no thread to sleep on: {error}"
                ))));
            }
            state.running = true;
        }
        let key = (end, state.next);
        state.next += 1;
        let first = state.sleepers.first_key_value().is_none_or(|(first, _)| key < *first);
        state.sleepers.insert(key, Sleeper { start, responder });
        drop(state);
        if first {
            self.shared.wake.notify_one();
        }
        let shared = Arc::downgrade(&self.shared);
        cancel.on_cancel(move || {
            if let Some(shared) = shared.upgrade() {
                shared.lock().cancelled.push(key);
                shared.wake.notify_one();
            }
        });
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.wake.notify_one();
    }
}

impl Shared {
    /// Nothing runs under the lock that could leave the list half changed.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers calls as they end, until the timer is dropped.
    fn run(&self) {
        let mut state = self.lock();
        while !state.stopped {
            let now = Instant::now();
            let ended = state.take_ended(now);
            if !ended.is_empty() {
                drop(state);
                for (sleeper, result) in ended {
                    let slept = now.saturating_duration_since(sleeper.start);
                    let slept = prost_types::Duration::try_from(slept).unwrap_or_default();
                    sleeper.responder.respond(result.map(|()| SleepReply { slept: Some(slept) }));
                }
                state = self.lock();
                continue;
            }
            let due = state.sleepers.first_key_value().map(|((end, _), _)| *end);
            state = match due {
                None => self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(end) => {
                    let left = end.saturating_duration_since(now);
                    let woken = self.wake.wait_timeout(state, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        let left = std::mem::take(&mut state.sleepers);
        drop(state);
        for sleeper in left.into_values() {
            sleeper.responder.respond(Err(Status::unavailable("the server shuts down")));
        }
    }
}

impl State {
    /// Takes the calls that are cancelled or due out of the list.
    fn take_ended(&mut self, now: Instant) -> Vec<(Sleeper, Result<(), Status>)> {
        let mut ended = Vec::new();
        for key in std::mem::take(&mut self.cancelled) {
            if let Some(sleeper) = self.sleepers.remove(&key) {
                ended.push((sleeper, Err(Status::cancelled("nobody waits any more"))));
            }
        }
        while let Some(first) = self.sleepers.first_entry() {
            if first.key().0 > now {
                break;
            }
            ended.push((first.remove(), Ok(())));
        }
        ended
    }
}
