//! How a client is to be, whichever it is.

use std::io;
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use super::hook::Hook;
use super::link::Link;
use super::observe::{Observation, Observer};
use super::prepare::Common;
use super::{BlockingClient, Client};
use crate::core::Seed;
use crate::core::client::{Client as Core, ClientConfig};
use crate::core::fault::Faults;
use crate::net;

/// How a client is to be: a [`BlockingClient`] or a [`Client`], as `C` says.
///
/// ```
/// use std::time::Duration;
/// use udp_rpc::client::Client;
///
/// let client = Client::builder().timeout(Duration::from_secs(2)).connect("127.0.0.1:5860")?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Builder<C = BlockingClient> {
    setup: Setup,
    client: PhantomData<fn() -> C>,
}

/// All that is said in a [`Builder`], and the servers.
#[derive(Default)]
pub(super) struct Setup {
    pub(super) servers: Vec<SocketAddr>,
    pub(super) config: ClientConfig,
    pub(super) faults: Faults,
    pub(super) fault_seed: Option<u64>,
    pub(super) observer: Option<Observer>,
    pub(super) hook: Option<Arc<dyn Hook>>,
    pub(super) busy_poll: bool,
}

impl Setup {
    /// The parts of which a client consists.
    pub(super) fn build(self) -> io::Result<(Core, Link, Common)> {
        let seed = net::seed()?;
        let dice = self.fault_seed.map_or(seed, Seed::from_number);
        let common = Common { timeout: self.config.timeout, hook: self.hook };
        let mut link = Link::new(self.faults, &dice, self.observer)?;
        link.set_busy_poll(self.busy_poll);
        Ok((Core::new(self.config, self.servers, seed), link, common))
    }
}

/// A client that a builder makes.
pub(super) trait Connect: Sized {
    fn start(setup: Setup) -> io::Result<Self>;
}

impl Connect for BlockingClient {
    fn start(setup: Setup) -> io::Result<Self> {
        Self::start(setup)
    }
}

impl Connect for Client {
    fn start(setup: Setup) -> io::Result<Self> {
        Self::start(setup)
    }
}

impl<C> Default for Builder<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C> Builder<C> {
    /// Nothing out of the ordinary.
    pub fn new() -> Self {
        Self { setup: Setup::default(), client: PhantomData }
    }

    /// How long a call waits for its answer unless it says otherwise; 10 s unless set.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.setup.config.timeout = timeout;
        self
    }

    /// Whether calls wait for a server that is not there yet, until their deadline. Without it a
    /// call to a port on which nothing listens fails at once, as not executed.
    #[must_use]
    pub fn wait(mut self, wait: bool) -> Self {
        self.setup.config.wait_for_server = wait;
        self
    }

    /// Whether a call is issued again that is proved not to have run, for a reason that may pass
    /// (draining, overload, unknown session), until its deadline; it is unless set.
    #[must_use]
    pub fn retry(mut self, retry: bool) -> Self {
        self.setup.config.retry = retry;
        self
    }

    /// Has `hook` told of every call as it starts and as it ends; there is one.
    #[must_use]
    pub fn hook(mut self, hook: impl Hook + 'static) -> Self {
        self.setup.hook = Some(Arc::new(hook));
        self
    }

    /// Puts a faulty path between this client and its server, on purpose: the same faults each
    /// way.
    #[must_use]
    pub fn faults(mut self, faults: Faults) -> Self {
        self.setup.faults = faults;
        self
    }

    /// Makes the faulty path throw the same dice each time.
    #[must_use]
    pub fn fault_seed(mut self, seed: u64) -> Self {
        self.setup.fault_seed = Some(seed);
        self
    }

    /// Tells `observer` of every datagram, on the thread that drives the client: it must be quick.
    #[must_use]
    pub fn observer(mut self, observer: impl FnMut(&Observation<'_>) + Send + 'static) -> Self {
        self.setup.observer = Some(Box::new(observer));
        self
    }

    /// Whether the thread that drives the client polls its sockets without sleep while calls are
    /// open: the caller's in a [`BlockingClient`], while it waits, and a [`Client`]'s own, which
    /// polls on for a fraction of a millisecond after the last call has ended. It does not unless
    /// set.
    ///
    /// This spares the time that the kernel takes to put a thread to sleep and to wake it, which on
    /// a quick network is most of a call's, at the price of a core, all of which it takes while it
    /// polls. Where the thread has none for itself it gains nothing: whoever it waits for waits for
    /// its core. A client without calls costs nothing.
    ///
    /// A signal does not end a wait early then; an [`Interrupter`](super::Interrupter) does.
    #[must_use]
    pub fn busy_poll(mut self, busy_poll: bool) -> Self {
        self.setup.busy_poll = busy_poll;
        self
    }

    /// Everything else of the core's configuration.
    #[must_use]
    pub fn config(mut self, change: impl FnOnce(&mut ClientConfig)) -> Self {
        change(&mut self.setup.config);
        self
    }
}

#[expect(private_bounds, reason = "which clients there are is not for users to add to")]
impl<C: Connect> Builder<C> {
    /// A client of the server at these addresses, which are tried in turn. A name is looked up on
    /// this thread; nothing is sent before the first call.
    ///
    /// # Errors
    ///
    /// When there is no address, or when the operating system gives no randomness, or no thread.
    pub fn connect(mut self, server: impl ToSocketAddrs) -> io::Result<C> {
        self.setup.servers = server.to_socket_addrs()?.map(reachable).collect();
        if self.setup.servers.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        C::start(self.setup)
    }
}

impl<C> std::fmt::Debug for Builder<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("config", &self.setup.config).finish_non_exhaustive()
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
}
