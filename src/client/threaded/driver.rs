//! The I/O thread: turns the core on its link, takes in what callers hand over, tells how their
//! calls end.
//!
//! A turn: take in all that was handed over; send; wait until something is ready or due; receive;
//! let timers act; send; leave all ends in their places, then wake all who wait for them.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use super::pending::Answer;
use super::queue::{Cancelled, Promise, Shared, Submission};
use crate::client::link::Link;
use crate::client::prepare::PATIENCE_CANCELLED;
use crate::client::slot::wake;
use crate::core::client::{CallHandle, Client as Core, Event, Pong, SessionInfo};
use crate::core::{CallError, CallToken, Time};

/// The state of the I/O thread.
pub(super) struct Driver {
    core: Core,
    link: Link,
    shared: Arc<Shared>,
    /// Calls that have not ended.
    calls: HashMap<CallHandle, Promise, BuildHasherDefault<Spread>>,
    /// Pings likewise.
    pings: BTreeMap<CallHandle, Answer<Result<Pong, CallError>>>,
    /// Those who wait for the token of a call that has not been sent.
    tokens: Vec<(CallHandle, Answer<Option<CallToken>>)>,
    /// Memory for what is handed over next.
    taken: Vec<Submission>,
    /// Who is to be woken at the end of the turn.
    wakers: Vec<Waker>,
    /// Nobody can make calls any more.
    gone: bool,
}

/// A hash of handles, which this client gives out itself: nobody can choose them to collide.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64((*byte).into()));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        // 2⁶⁴ divided by the golden ratio (Knuth, The Art of Computer Programming 6.4); the map
        // looks at both ends of the result.
        let product = (self.0.rotate_left(29) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = product ^ (product >> 32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Runs the I/O thread until nobody can make calls any more and all calls have ended.
pub(super) fn run(core: Core, link: Link, shared: &Arc<Shared>) {
    let _ = shared.thread.set(std::thread::current().id());
    let mut driver = Driver {
        core,
        link,
        shared: Arc::clone(shared),
        calls: HashMap::default(),
        pings: BTreeMap::new(),
        tokens: Vec::new(),
        taken: Vec::new(),
        wakers: Vec::new(),
        gone: false,
    };
    // Everything of a user's that runs here is guarded where it runs. What is left is a mistake of
    // this library's: no caller shall wait for ever because of it.
    let ran = catch_unwind(AssertUnwindSafe(move || driver.run()));
    shared.end();
    if ran.is_err() {
        log::error!("a client's I/O thread has panicked; its calls end as unknown");
    }
}

impl Driver {
    fn run(&mut self) {
        loop {
            self.take_in();
            if self.gone && self.core.is_idle() && !self.core.has_events() && self.shared.may_end()
            {
                return self.close();
            }
            let until = if self.shared.may_sleep() { Time::MAX } else { Time::ZERO };
            self.turn(until);
        }
    }

    /// One turn of the link, and the ends that it brought.
    fn turn(&mut self, until: Time) {
        if let Err(error) = self.link.turn(&mut self.core, until) {
            // Only the wait itself can fail; calls go on and end by their deadlines.
            log::warn!("waiting for datagrams: {error}");
            std::thread::sleep(Duration::from_millis(1));
        }
        self.deliver();
    }

    /// Takes in what was handed over.
    fn take_in(&mut self) {
        let empty = std::mem::take(&mut self.taken);
        let mut taken = self.shared.take(empty);
        let mut now = self.link.now();
        for submission in taken.drain(..) {
            match submission {
                Submission::Call(call, promise) => {
                    let handle = self.core.call(now, call);
                    if let Some(place) = promise.place() {
                        let _ = place.handle.set(handle);
                    }
                    self.calls.insert(handle, promise);
                }
                Submission::Cancel(place, cancelled) => {
                    if let Some(handle) = place.handle.get() {
                        match cancelled {
                            Cancelled::ByCaller => self.core.cancel(now, *handle),
                            Cancelled::WithParent => {
                                self.core.cancel_by(now, *handle, now + PATIENCE_CANCELLED);
                            }
                        }
                    }
                }
                Submission::Do(what) => {
                    what(self);
                    now = self.link.now();
                }
                Submission::Gone => self.gone = true,
            }
        }
        self.taken = taken;
    }

    /// Leaves all ends in their places, then wakes those who wait for them: one who was woken
    /// finds as much as there is.
    fn deliver(&mut self) {
        while let Some(event) = self.core.poll_event() {
            match event {
                Event::Ended { handle, result } => {
                    let promise = self.calls.remove(&handle);
                    self.wakers.extend(promise.and_then(|promise| promise.keep(result)));
                }
                Event::Ponged { handle, result } => {
                    if let Some(answer) = self.pings.remove(&handle) {
                        answer.give(result);
                    }
                }
            }
        }
        self.give_tokens();
        self.wakers.drain(..).for_each(wake);
    }

    pub(super) fn ping(&mut self, deadline: Time, answer: Answer<Result<Pong, CallError>>) {
        let handle = self.core.ping(self.link.now(), deadline);
        self.pings.insert(handle, answer);
    }

    /// Gives the token of a call once it has been sent: now if that is possible, since it may be
    /// the call's end that comes next.
    pub(super) fn give_token(&mut self, call: CallHandle, answer: Answer<Option<CallToken>>) {
        self.link.flush(&mut self.core);
        self.try_token(call, answer);
    }

    fn give_tokens(&mut self) {
        for (call, answer) in std::mem::take(&mut self.tokens) {
            self.try_token(call, answer);
        }
    }

    fn try_token(&mut self, call: CallHandle, answer: Answer<Option<CallToken>>) {
        match self.core.token(call) {
            Some(token) => answer.give(Some(token)),
            None if self.core.is_open(call) => self.tokens.push((call, answer)),
            // It has ended. Dropped, the answer says that there is none.
            None => {}
        }
    }

    pub(super) fn info(&self) -> Option<SessionInfo> {
        self.core.info(self.link.now())
    }

    pub(super) fn rebind(&mut self) {
        self.link.rebind();
    }

    /// Gives sessions up, and sends all that is to be sent for that.
    pub(super) fn close(&mut self) {
        self.core.close(self.link.now());
        self.link.flush(&mut self.core);
        // A faulty path may still hold what is to be sent.
        while let Some(due) = self.link.pending_until() {
            self.turn(due);
        }
    }
}
