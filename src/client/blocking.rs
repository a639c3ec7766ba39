//! The client that works on its caller's thread.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use super::Method;
use super::link::{Interrupter, Link};
use super::observe::{Observation, Observer};
use crate::core::client::{CallHandle, Client, ClientConfig, Event, NewCall, Pong, SessionInfo};
use crate::core::fault::Faults;
use crate::core::{CallError, CallToken, Reply, Seed, Time};
use crate::net;
use crate::wire::Metadata;

/// What one call asks for beyond its method and request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// How long to wait for the answer; the client's own if not said.
    pub timeout: Option<Duration>,
    /// Whether to issue the call again when it is proved that it did not run and the reason may
    /// pass; the client's own if not said.
    pub retry: Option<bool>,
}

/// How a client is to be.
#[derive(Default)]
pub struct Builder {
    config: ClientConfig,
    faults: Faults,
    fault_seed: Option<u64>,
    observer: Option<Observer>,
}

impl Builder {
    /// How long a call waits for its answer unless it says otherwise; 10 s unless set.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.config.timeout = timeout;
        self
    }

    /// Whether calls wait for a server that is not there yet, until their deadline. Without it a
    /// call to a port on which nothing listens fails at once, as not executed.
    #[must_use]
    pub fn wait(mut self, wait: bool) -> Self {
        self.config.wait_for_server = wait;
        self
    }

    /// Whether a call is issued again that is proved not to have run, for a reason that may pass
    /// (draining, overload, unknown session), until its deadline; it is unless set.
    #[must_use]
    pub fn retry(mut self, retry: bool) -> Self {
        self.config.retry = retry;
        self
    }

    /// Puts a faulty path between this client and its server, on purpose: the same faults each
    /// way.
    #[must_use]
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// Makes the faulty path throw the same dice each time.
    #[must_use]
    pub fn fault_seed(mut self, seed: u64) -> Self {
        self.fault_seed = Some(seed);
        self
    }

    /// Tells `observer` of every datagram.
    #[must_use]
    pub fn observer(mut self, observer: impl FnMut(&Observation<'_>) + Send + 'static) -> Self {
        self.observer = Some(Box::new(observer));
        self
    }

    /// Everything else of the core's configuration.
    #[must_use]
    pub fn config(mut self, change: impl FnOnce(&mut ClientConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// A client of the server at these addresses, which are tried in turn. Nothing is sent
    /// before the first call.
    ///
    /// # Errors
    ///
    /// When there is no address, or when the operating system gives no randomness.
    pub fn connect(self, server: impl ToSocketAddrs) -> io::Result<BlockingClient> {
        let servers: Vec<SocketAddr> = server.to_socket_addrs()?.map(reachable).collect();
        if servers.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        let seed = net::seed()?;
        let dice = self.fault_seed.map_or(seed, Seed::from_number);
        Ok(BlockingClient {
            timeout: self.config.timeout,
            core: Client::new(self.config, servers.clone(), seed),
            link: Link::new(self.faults, &dice, self.observer)?,
            servers,
            ended: BTreeMap::new(),
            pinged: BTreeMap::new(),
            process: std::process::id(),
        })
    }
}

/// A client that works on its caller's thread, with sockets of its own: no other thread is
/// involved, so a call's latency is the sockets'.
///
/// Many calls may be in flight at once ([`submit`](Self::submit)); they make progress whenever
/// the client waits for any of them.
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
    timeout: Duration,
    servers: Vec<SocketAddr>,
    /// Calls that have ended and have not been asked for yet.
    ended: BTreeMap<CallHandle, Result<Reply, CallError>>,
    /// Pings likewise.
    pinged: BTreeMap<CallHandle, Result<Pong, CallError>>,
    /// The process that the core's sessions belong to.
    process: u32,
}

impl BlockingClient {
    /// A client of the server at `server`, with nothing out of the ordinary. Nothing is sent
    /// before the first call.
    ///
    /// # Errors
    ///
    /// As [`Builder::connect`].
    pub fn connect(server: impl ToSocketAddrs) -> io::Result<Self> {
        Builder::default().connect(server)
    }

    /// A client that is to be configured.
    pub fn builder() -> Builder {
        Builder::default()
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
        self.call_with(method, request, &Options::default())
    }

    /// [`call`](Self::call), with options.
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
    ) -> Result<Rep, CallError>
    where
        Req: prost::Message + Default + 'static,
        Rep: prost::Message + Default + 'static,
    {
        let reply = self.call_raw(method, &method.encode_request(request), options)?;
        method.decode_reply(&reply.body).map_err(|status| CallError {
            code: status.code,
            message: status.message,
            details: status.details,
            metadata: reply.metadata.clone(),
            outcome: crate::core::Outcome::Executed,
            attempts: reply.attempts,
            issues: reply.issues,
            elapsed: reply.elapsed,
            token: None,
        })
    }

    /// Begins a call without waiting for it.
    pub fn submit(
        &mut self,
        method: impl Into<Method>,
        request: &[u8],
        options: &Options,
    ) -> CallHandle {
        self.leave_other_process();
        let method = method.into();
        let now = self.link.now();
        let call = NewCall {
            method: method.id(),
            metadata: Metadata::new(),
            body: request.to_vec(),
            deadline: now + options.timeout.unwrap_or(self.timeout),
            no_side_effects: method.has_no_side_effects(),
            retry: options.retry,
        };
        let handle = self.core.call(now, call);
        self.link.flush(&mut self.core);
        handle
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
            self.collect();
            if let Some(result) = self.ended.remove(&handle) {
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
        let until = self.link.now() + timeout;
        self.collect();
        while !self.ended.contains_key(&handle) {
            if self.turn(until) || self.link.now() >= until {
                break;
            }
        }
        self.ended.remove(&handle)
    }

    /// What ends [`wait_timeout`](Self::wait_timeout) early, from any thread of this process.
    pub fn interrupter(&self) -> Interrupter {
        self.link.interrupter()
    }

    /// Waits until any call ends; `None` when there is none.
    pub fn wait_any(&mut self) -> Option<(CallHandle, Result<Reply, CallError>)> {
        self.leave_other_process();
        loop {
            self.collect();
            if let Some(ended) = self.ended.pop_first() {
                return Some(ended);
            }
            if self.core.is_idle() {
                return None;
            }
            self.turn(Time::MAX);
        }
    }

    /// Asks that this call be fenced: if it has not started, it never will. It ends as the server
    /// says, and is waited for as before.
    pub fn cancel(&mut self, handle: CallHandle) {
        self.leave_other_process();
        let now = self.link.now();
        self.core.cancel(now, handle);
        self.link.flush(&mut self.core);
    }

    /// The token with which any process can ask later what became of this call; `None` before it
    /// was first sent and after it was told. Its session is then never closed early, and the call
    /// is not issued again when it is proved not to have run: the token's holder is told so.
    pub fn token(&mut self, handle: CallHandle) -> Option<CallToken> {
        self.leave_other_process();
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
            self.collect();
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

    /// How long this client has been there: what [`Observation::at`] is measured from the start of.
    pub fn age(&self) -> Duration {
        self.link.age()
    }

    /// Goes on from another local port, as a client does whose address changes: sessions and
    /// calls in flight stay what they are.
    pub fn rebind(&mut self) {
        self.leave_other_process();
        self.link.rebind();
    }

    /// Gives the sessions up in which every call has a known outcome and of which no token was
    /// given out. Dropping the client does the same.
    pub fn close(&mut self) {
        if self.process != std::process::id() {
            return; // They are another process's.
        }
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

    /// One wait; true if it was interrupted.
    fn turn(&mut self, until: Time) -> bool {
        let interrupted = self.link.turn(&mut self.core, until).unwrap_or_else(|error| {
            // Only the wait itself can fail; calls go on and end by their deadlines.
            log::warn!("waiting for datagrams: {error}");
            std::thread::sleep(Duration::from_millis(1));
            false
        });
        self.collect();
        interrupted
    }

    fn collect(&mut self) {
        while let Some(event) = self.core.poll_event() {
            match event {
                Event::Ended { handle, result } => {
                    self.ended.insert(handle, result);
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
        let process = std::process::id();
        if process == self.process {
            return;
        }
        #[expect(clippy::expect_used, reason = "going on with the parent's session is no choice")]
        let seed = net::seed().expect("the system had randomness when the client was made");
        #[expect(clippy::expect_used, reason = "going on with the parent's sockets is no choice")]
        self.link.forked().expect("the system had a poll when the client was made");
        self.core.forked(seed);
        self.ended.clear();
        self.pinged.clear();
        self.process = process;
    }
}

/// The address to which what is sent to `server` goes, and from which it is answered: that of a
/// server which listens on all addresses is this host.
fn reachable(mut server: SocketAddr) -> SocketAddr {
    match server.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => server.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => server.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    server
}

impl Drop for BlockingClient {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for BlockingClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockingClient").field("servers", &self.servers).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unspecified_address_is_this_host() {
        let reached = |server: &str| reachable(server.parse().unwrap()).to_string();
        assert_eq!(reached("0.0.0.0:5860"), "127.0.0.1:5860");
        assert_eq!(reached("[::]:5860"), "[::1]:5860");
        assert_eq!(reached("192.0.2.1:5860"), "192.0.2.1:5860");
    }

    #[test]
    fn calls_of_the_parent_do_not_go_on_in_a_forked_child() {
        let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        silent.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut client = BlockingClient::connect(silent.local_addr().unwrap()).unwrap();
        let options = Options { timeout: Some(Duration::from_secs(60)), retry: None };
        let parents = client.submit("test.Counter/Increment", b"", &options);
        let mut buffer = [0; 128];
        let (_, parent) = silent.recv_from(&mut buffer).unwrap();
        // As after a fork: the process is another one.
        client.process = client.process.wrapping_add(1);
        assert_eq!(client.wait_any(), None);
        assert_eq!(client.token(parents), None);
        let childs = client.submit("test.Counter/Increment", b"", &options);
        assert_ne!(parents, childs);
        let (_, child) = silent.recv_from(&mut buffer).unwrap();
        assert_ne!(parent, child, "a socket of its own");
    }
}
