//! The client that works on its caller's thread.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::builder::{Builder, Setup};
use super::hook::Watch;
use super::link::{Interrupter, Link};
use super::prepare::{Common, PATIENCE_CANCELLED};
use super::{Method, Options};
use crate::core::client::{CallHandle, Client, Event, Pong, SessionInfo};
use crate::core::{CallError, CallToken, Outcome, Reply, Time};
use crate::net::{self, Process};
use crate::service::Listening;
use crate::wire::Code;

/// A client that works on its caller's thread, with sockets of its own: no other thread is
/// involved, so a call's latency is the sockets'.
///
/// Many calls may be in flight at once ([`submit`](Self::submit)); they make progress whenever
/// the client waits for any of them.
///
/// A program that forks goes on in the child with sessions and sockets of the child's own; calls
/// stay with the process that made them.
///
/// ```no_run
/// use udp_rpc::client::BlockingClient;
///
/// let mut client = BlockingClient::connect("127.0.0.1:5860")?;
/// match client.call_raw("Greeter/Hello", b"Annie", &Default::default()) {
///     Ok(reply) => println!("{}", String::from_utf8_lossy(&reply.body)),
///     Err(error) => eprintln!("{error}"), // says whether it ran
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct BlockingClient {
    core: Client,
    link: Link,
    common: Common,
    servers: Vec<SocketAddr>,
    /// What is to be done at the end of calls that have not ended, where that is something.
    at_end: BTreeMap<CallHandle, AtEnd>,
    /// Calls to be cancelled because those are on whose behalf they were made. Other threads add
    /// to it.
    cancelled: Arc<Mutex<Vec<CallHandle>>>,
    /// Calls that were submitted since anything was last sent.
    unsent: usize,
    /// Calls that had ended when another one was asked for.
    ended: BTreeMap<CallHandle, Result<Reply, CallError>>,
    /// Pings likewise.
    pinged: BTreeMap<CallHandle, Result<Pong, CallError>>,
    /// The process that the core's sessions belong to.
    process: Process,
}

/// Calls that are sent together without being asked to: as many datagrams as go out in one run.
const SENT_TOGETHER: usize = 64;

/// What the end of a call brings with it.
struct AtEnd {
    /// Who is told.
    watch: Option<Watch>,
    /// That the call is cancelled with the one on whose behalf it was made, until then.
    _linked: Option<Listening>,
}

impl BlockingClient {
    /// A client of the server at `server`, with nothing out of the ordinary. Nothing is sent
    /// before the first call.
    ///
    /// # Errors
    ///
    /// As [`Builder::connect`].
    pub fn connect(server: impl ToSocketAddrs) -> io::Result<Self> {
        Self::builder().connect(server)
    }

    /// A client that is to be configured.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(super) fn start(setup: Setup) -> io::Result<Self> {
        let servers = setup.servers.clone();
        let (core, link, common) = setup.build()?;
        Ok(Self {
            core,
            link,
            common,
            servers,
            at_end: BTreeMap::new(),
            cancelled: Arc::default(),
            unsent: 0,
            ended: BTreeMap::new(),
            pinged: BTreeMap::new(),
            process: Process::this(),
        })
    }

    /// Calls `method` with a request of plain bytes, and waits for the end.
    ///
    /// # Errors
    ///
    /// [`CallError`]: what went wrong, and whether the call ran.
    pub fn call_raw(
        &mut self,
        method: impl Into<Method>,
        request: &[u8],
        options: &Options,
    ) -> Result<Reply, CallError> {
        let handle = self.submit(method, request, options);
        self.wait(handle)
    }

    /// Calls `method` with a protobuf message, and waits for the end.
    ///
    /// # Errors
    ///
    /// [`CallError`]: what went wrong, and whether the call ran. A reply that does not decode is
    /// an INTERNAL error, executed.
    #[cfg(feature = "protobuf")]
    pub fn call<Req, Rep>(
        &mut self,
        method: &crate::service::Unary<Req, Rep>,
        request: &Req,
    ) -> Result<Rep, CallError>
    where
        Req: prost::Message + Default + 'static,
        Rep: prost::Message + Default + 'static,
    {
        let response = self.call_with(method, request, &Options::default())?;
        Ok(response.message)
    }

    /// [`call`](Self::call) with options, for the reply with all that is known about it.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    #[cfg(feature = "protobuf")]
    pub fn call_with<Req, Rep>(
        &mut self,
        method: &crate::service::Unary<Req, Rep>,
        request: &Req,
        options: &Options,
    ) -> Result<super::Response<Rep>, CallError>
    where
        Req: prost::Message + Default + 'static,
        Rep: prost::Message + Default + 'static,
    {
        let handle = self.submit_bytes(method.into(), method.encode_request(request), options);
        super::Response::decode(method, self.wait(handle)?)
    }

    /// Begins a call without waiting for it.
    ///
    /// Calls are sent in runs: as soon as 64 have been submitted, at [`flush`](Self::flush), and
    /// before the client waits for anything. Until then nothing of them has left this host. A
    /// [`Method`] that is made once and passed by reference spares each call the making.
    pub fn submit(
        &mut self,
        method: impl Into<Method>,
        request: &[u8],
        options: &Options,
    ) -> CallHandle {
        self.submit_bytes(method.into(), request.to_vec(), options)
    }

    fn submit_bytes(&mut self, method: Method, request: Vec<u8>, options: &Options) -> CallHandle {
        self.leave_other_process();
        let now = self.link.now();
        let prepared = self.common.prepare(now, method, request, options);
        let handle = match prepared.call {
            Ok(call) => self.core.call(now, call),
            Err(error) => self.core.refuse(error),
        };
        let linked = prepared.cancel.map(|cancel| {
            let (cancelled, link) = (Arc::clone(&self.cancelled), self.link.interrupter());
            cancel.listen(move || {
                cancelled.lock().unwrap_or_else(PoisonError::into_inner).push(handle);
                link.wake();
            })
        });
        if prepared.watch.is_some() || linked.is_some() {
            self.at_end.insert(handle, AtEnd { watch: prepared.watch, _linked: linked });
        }
        self.unsent += 1;
        if self.unsent >= SENT_TOGETHER {
            self.flush();
        }
        handle
    }

    /// Sends what was submitted, as far as the server and the path take it now; the rest goes out
    /// while the client waits.
    pub fn flush(&mut self) {
        self.leave_other_process();
        self.cancel_with_parents();
        self.unsent = 0;
        self.link.flush(&mut self.core);
    }

    /// Waits for the end of this call.
    ///
    /// # Errors
    ///
    /// [`CallError`]: what went wrong, and whether the call ran.
    ///
    /// # Panics
    ///
    /// When the handle is not of a call that is still to be waited for: every call ends by its
    /// deadline, is told once, and stays with its process after a fork.
    pub fn wait(&mut self, handle: CallHandle) -> Result<Reply, CallError> {
        self.leave_other_process();
        loop {
            if let Some(result) = self.take(handle) {
                return result;
            }
            assert!(self.core.is_open(handle), "waiting for a call that has been told already");
            self.turn(Time::MAX);
        }
    }

    /// Waits for the end of this call for at most `timeout`; a signal, or an [`Interrupter`],
    /// ends the wait early.
    pub fn wait_timeout(
        &mut self,
        handle: CallHandle,
        timeout: Duration,
    ) -> Option<Result<Reply, CallError>> {
        self.leave_other_process();
        if let Some(result) = self.take(handle) {
            return Some(result);
        }
        let until = self.link.now() + timeout;
        loop {
            let interrupted = self.turn(until);
            let result = self.take(handle);
            if result.is_some() || interrupted || self.link.now() >= until {
                return result;
            }
        }
    }

    /// Waits until any call ends; `None` when there is none.
    pub fn wait_any(&mut self) -> Option<(CallHandle, Result<Reply, CallError>)> {
        self.leave_other_process();
        loop {
            if let Some(ended) = self.take_any() {
                return Some(ended);
            }
            if self.core.is_idle() {
                return None;
            }
            self.turn(Time::MAX);
        }
    }

    /// Waits until any call ends, for at most `timeout`; a signal, or an [`Interrupter`], ends the
    /// wait early. `None` also when there is no call.
    pub fn wait_any_timeout(
        &mut self,
        timeout: Duration,
    ) -> Option<(CallHandle, Result<Reply, CallError>)> {
        self.leave_other_process();
        if let Some(ended) = self.take_any() {
            return Some(ended);
        }
        let until = self.link.now() + timeout;
        while !self.core.is_idle() {
            let interrupted = self.turn(until);
            let ended = self.take_any();
            if ended.is_some() || interrupted || self.link.now() >= until {
                return ended;
            }
        }
        None
    }

    /// What ends [`wait_timeout`](Self::wait_timeout) early, from any thread of this process.
    pub fn interrupter(&self) -> Interrupter {
        self.link.interrupter()
    }

    /// Asks that this call be fenced: if it has not started, it never will. It ends as the server
    /// says, and is waited for as before.
    pub fn cancel(&mut self, handle: CallHandle) {
        self.leave_other_process();
        let now = self.link.now();
        self.core.cancel(now, handle);
        self.flush();
    }

    /// The token with which any process can ask later what became of this call; `None` before it
    /// could be sent and after it ended. Its session is then never closed early, and the call
    /// is not issued again when it is proved not to have run: the token's holder is told so.
    pub fn token(&mut self, handle: CallHandle) -> Option<CallToken> {
        self.flush();
        self.core.token(handle)
    }

    /// Sends a PING and waits for the answer.
    ///
    /// # Errors
    ///
    /// [`CallError`] when none comes within `timeout`.
    pub fn ping(&mut self, timeout: Duration) -> Result<Pong, CallError> {
        self.leave_other_process();
        let now = self.link.now();
        let handle = self.core.ping(now, now + timeout);
        loop {
            while let Some((handle, result)) = self.next_end() {
                self.ended.insert(handle, result);
            }
            if let Some(result) = self.pinged.remove(&handle) {
                return result;
            }
            self.turn(Time::MAX);
        }
    }

    /// The session in use, once there is one.
    pub fn info(&self) -> Option<SessionInfo> {
        self.core.info(self.link.now())
    }

    /// How long this client has been there: what [`Observation::at`](super::Observation::at) is measured from the start of.
    pub fn age(&self) -> Duration {
        self.link.age()
    }

    /// Goes on from another local port, as a client does whose address changes: sessions and
    /// calls in flight stay what they are.
    pub fn rebind(&mut self) {
        self.flush();
        self.link.rebind();
    }

    /// Gives the sessions up in which every call has a known outcome and of which no token was
    /// given out. Dropping the client does the same.
    pub fn close(&mut self) {
        if self.process.is_left() {
            return; // They are another process's.
        }
        self.flush();
        let now = self.link.now();
        self.core.close(now);
        self.link.flush(&mut self.core);
        // A faulty path may still hold what is to be sent.
        while let Some(due) = self.link.pending_until() {
            if self.link.turn(&mut self.core, due).is_err() {
                return;
            }
        }
    }

    /// Cancels the calls that were made on behalf of others which have been cancelled meanwhile.
    fn cancel_with_parents(&mut self) {
        if self.at_end.is_empty() {
            return; // None was.
        }
        let mut cancelled = self.cancelled.lock().unwrap_or_else(PoisonError::into_inner);
        let handles = std::mem::take(&mut *cancelled);
        drop(cancelled);
        let now = self.link.now();
        for handle in handles {
            self.core.cancel_by(now, handle, now + PATIENCE_CANCELLED);
        }
    }

    /// One wait; true if it was interrupted.
    fn turn(&mut self, until: Time) -> bool {
        self.cancel_with_parents();
        self.unsent = 0;
        self.link.turn(&mut self.core, until).unwrap_or_else(|error| {
            // Only the wait itself can fail; calls go on and end by their deadlines.
            log::warn!("waiting for datagrams: {error}");
            std::thread::sleep(Duration::from_millis(1));
            false
        })
    }

    /// The end of this call, if it has ended; those of others are set aside.
    fn take(&mut self, handle: CallHandle) -> Option<Result<Reply, CallError>> {
        if let Some(result) = self.ended.remove(&handle) {
            return Some(result);
        }
        while let Some((ended, result)) = self.next_end() {
            if ended == handle {
                return Some(result);
            }
            self.ended.insert(ended, result);
        }
        None
    }

    /// The end of any call that has ended.
    fn take_any(&mut self) -> Option<(CallHandle, Result<Reply, CallError>)> {
        self.ended.pop_first().or_else(|| self.next_end())
    }

    /// The next call that has ended, of which its hook is told.
    fn next_end(&mut self) -> Option<(CallHandle, Result<Reply, CallError>)> {
        loop {
            match self.core.poll_event()? {
                Event::Ended { handle, result } => {
                    let at_end = self.at_end.remove(&handle);
                    if let Some(watch) = at_end.and_then(|at_end| at_end.watch) {
                        watch.end(&result);
                    }
                    return Some((handle, result));
                }
                Event::Ponged { handle, result } => {
                    self.pinged.insert(handle, result);
                }
            }
        }
    }

    /// After a fork, calls, sessions and sockets stay with the parent: two processes that go on
    /// with one session would take each other's call ids, and each other's replies.
    fn leave_other_process(&mut self) {
        if !self.process.is_left() {
            return;
        }
        #[expect(clippy::expect_used, reason = "going on with the parent's session is no choice")]
        let seed = net::seed().expect("the system had randomness when the client was made");
        #[expect(clippy::expect_used, reason = "going on with the parent's sockets is no choice")]
        self.link.forked().expect("the system had a poll when the client was made");
        self.core.forked(seed);
        self.forget_ends();
        // Not emptied: the thread that adds to it may have held its lock, and was not copied.
        self.cancelled = Arc::default();
        self.unsent = 0;
        self.ended.clear();
        self.pinged.clear();
        self.process = Process::this();
    }

    /// Forgets what the ends of another process's calls bring with them. Its memory stays: to take
    /// a listener away needs a lock, which a thread that was not copied may have held.
    fn forget_ends(&mut self) {
        std::mem::forget(std::mem::take(&mut self.at_end));
    }
}

impl Drop for BlockingClient {
    fn drop(&mut self) {
        self.close();
        if self.process.is_left() {
            return self.forget_ends(); // Calls and hooks are another process's.
        }
        while self.next_end().is_some() {}
        for watch in std::mem::take(&mut self.at_end).into_values().filter_map(|end| end.watch) {
            let text = "the client was dropped before the call ended";
            let never_sent = CallError::never_sent(Code::Cancelled, text);
            watch.end(&Err(CallError { outcome: Outcome::Unknown, ..never_sent }));
        }
    }
}

impl std::fmt::Debug for BlockingClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockingClient").field("servers", &self.servers).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
