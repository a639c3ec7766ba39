//! Servers as users of the library see them: a registry of methods, an address, and a loop.
//!
//! ```no_run
//! use udp_rpc::server::Server;
//! use udp_rpc::service::{Method, Registry};
//!
//! let mut registry = Registry::new();
//! registry.add(Method::inline("demo.Text/Reverse", |_context, request, reply| {
//!     reply.extend(request.iter().rev());
//!     Ok(())
//! }))?;
//! let server = Server::builder(registry).listen("127.0.0.1:5860").bind()?;
//! println!("listening on {}", server.local_addrs()[0]);
//! // From any thread: finish what runs, refuse what is new, end within ten seconds.
//! let handle = server.handle();
//! std::thread::spawn(move || {
//!     let _ = std::io::stdin().read_line(&mut String::new());
//!     handle.drain(std::time::Duration::from_secs(10));
//! });
//! server.run()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Server::spawn`] serves on a thread of its own, and [`Server::spawn_local`] does so for a test.

mod event_loop;
mod gauges;
mod handle;
mod moment;
mod pool;
mod run;
mod shards;
mod sockets;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

pub use handle::Handle;
use shards::{Setup, Shards};

use crate::core::server::ServerConfig;
use crate::service::{Hook, Registry};

/// Threads that run handlers which take time, unless said otherwise. Such handlers wait more than
/// they reckon, so there are more threads than most machines have cores; each costs its stack
/// alone until it is used.
pub const WORKERS: usize = 16;

/// Most threads that receive and answer: a session id has one byte for the thread that owns it.
pub const THREADS_MAX: usize = 256;

/// How a server is to be.
#[must_use]
pub struct Builder {
    registry: Registry,
    config: ServerConfig,
    listen: Vec<io::Result<Vec<SocketAddr>>>,
    threads: u16,
    workers: usize,
    hook: Option<Arc<dyn Hook>>,
    busy_poll: bool,
}

impl Builder {
    /// Listens on this address; may be said several times. Port 0 is any free port. A name with
    /// several addresses stands for all of them.
    pub fn listen(mut self, address: impl ToSocketAddrs) -> Self {
        self.listen.push(address.to_socket_addrs().map(Iterator::collect));
        self
    }

    /// Number of threads that receive, run handlers which are declared quick, and answer; from 1
    /// to 256, and 1 unless set. With several, handlers that are declared quick may run at once.
    ///
    /// Each has a socket on every address, and the sessions that came to it, for as long as they
    /// live. The kernel brings every datagram to the thread that owns its session (Linux:
    /// `SO_REUSEPORT` with a classic BPF program); where it cannot, one thread serves, and a
    /// warning in the log says why. Limits and budgets of the [`config`](Self::config) are those
    /// of all threads together: each gets an equal part of them.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = u16::try_from(threads.clamp(1, THREADS_MAX)).unwrap_or(1);
        self
    }

    /// Never to sleep, but to ask the sockets again and again, so that no request waits until a
    /// sleeping thread is awake. That costs a core for each of the [`threads`](Self::threads)
    /// for as long as the server lives, and is of use only where each has one of its own.
    pub fn busy_poll(mut self, busy_poll: bool) -> Self {
        self.busy_poll = busy_poll;
        self
    }

    /// Number of threads that run handlers which take time, at least 1; [`WORKERS`] unless set.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// Changes the core's limits and budgets.
    pub fn config(mut self, change: impl FnOnce(&mut ServerConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// Has `hook` told of every call as it starts, which it may refuse, and as it ends. There is
    /// one; said again, the last counts.
    pub fn hook(mut self, hook: impl Hook + 'static) -> Self {
        self.hook = Some(Arc::new(hook));
        self
    }

    /// Listens on a free port of the loopback as well, and serves on a thread of its own: what a
    /// test wants. See [`Server::spawn_local`].
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind) and [`Server::spawn`].
    pub fn spawn_local(self) -> io::Result<Running> {
        self.listen((Ipv4Addr::LOCALHOST, 0)).bind()?.spawn()
    }

    /// Binds the sockets. Requests that come from here on are kept by the kernel until the server
    /// runs.
    ///
    /// # Errors
    ///
    /// When an address cannot be bound (another server has it), when there is no address, or
    /// when limits or methods contradict each other.
    pub fn bind(self) -> io::Result<Server> {
        let mut addresses = Vec::new();
        for resolved in self.listen {
            addresses.extend(resolved?);
        }
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no address to listen on"));
        }
        let services = self
            .registry
            .seal()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let Self { config, threads, workers, hook, busy_poll, .. } = self;
        let setup = Setup { config, threads, workers, hook, busy_poll };
        Ok(Server { shards: Shards::bind(&addresses, &services, setup)? })
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("registry", &self.registry)
            .field("config", &self.config)
            .field("listen", &self.listen)
            .field("threads", &self.threads)
            .field("workers", &self.workers)
            .field("busy_poll", &self.busy_poll)
            .finish_non_exhaustive()
    }
}

/// A server whose sockets are bound.
pub struct Server {
    shards: Shards,
}

impl Server {
    /// A server of these methods that is to be configured.
    pub fn builder(registry: Registry) -> Builder {
        Builder {
            registry,
            config: ServerConfig::default(),
            listen: Vec::new(),
            threads: 1,
            workers: WORKERS,
            hook: None,
            busy_poll: false,
        }
    }

    /// Serves these methods on a free port of the loopback, on a thread of its own, until what this
    /// gives is dropped: what a test wants. Many such servers run beside each other.
    ///
    /// ```
    /// use udp_rpc::client::{BlockingClient, Options};
    /// use udp_rpc::server::Server;
    /// use udp_rpc::service::{Method, Registry};
    ///
    /// let mut registry = Registry::new();
    /// registry.add(Method::inline("demo.Text/Reverse", |_context, request, reply| {
    ///     reply.extend(request.iter().rev());
    ///     Ok(())
    /// }))?;
    /// let server = Server::spawn_local(registry)?;
    /// let mut client = BlockingClient::connect(server.local_addr())?;
    /// let reply = client.call_raw("demo.Text/Reverse", b"abc", &Options::default())?;
    /// assert_eq!(reply.body, b"cba");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Builder::bind`] and [`spawn`](Self::spawn).
    pub fn spawn_local(registry: Registry) -> io::Result<Running> {
        Self::builder(registry).spawn_local()
    }

    /// The addresses that it listens on, in the order in which they were said.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.shards.local_addrs()
    }

    /// What shuts it down, from any thread.
    pub fn handle(&self) -> Handle {
        self.shards.handle()
    }

    /// Serves until it is shut down, on this thread and on as many more as were said.
    ///
    /// # Errors
    ///
    /// When there are no threads to be had, or the operating system's waiting itself fails;
    /// nothing that comes from the network ends it.
    pub fn run(self) -> io::Result<()> {
        self.shards.run()
    }

    /// Serves on a thread of its own.
    ///
    /// # Errors
    ///
    /// When there is no thread to be had.
    pub fn spawn(self) -> io::Result<Running> {
        let handle = self.handle();
        let addresses = self.local_addrs();
        let thread =
            std::thread::Builder::new().name("udp-rpc-server".into()).spawn(|| self.run())?;
        Ok(Running { handle, addresses, thread: Some(thread) })
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("listening_on", &self.local_addrs()).finish_non_exhaustive()
    }
}

/// A server on a thread of its own. Dropped, it stops at once.
#[derive(Debug)]
pub struct Running {
    handle: Handle,
    addresses: Vec<SocketAddr>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Running {
    /// The first address that it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        // `bind` refuses an empty list.
        self.addresses[0]
    }

    /// All addresses that it listens on, in the order in which they were said.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What shuts it down, from any thread.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Waits until it has ended, because somebody has a [`Handle`] and used it.
    ///
    /// # Errors
    ///
    /// As [`Server::run`].
    pub fn wait(mut self) -> io::Result<()> {
        self.join()
    }

    /// Drains for at most `grace`, and returns when the server has ended. See [`Handle::drain`].
    ///
    /// # Errors
    ///
    /// As [`Server::run`].
    pub fn shutdown(mut self, grace: Duration) -> io::Result<()> {
        self.handle.drain(grace);
        self.join()
    }

    fn join(&mut self) -> io::Result<()> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(io::Error::other("the server's thread panicked")),
            None => Ok(()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop();
        let _ = self.join();
    }
}
