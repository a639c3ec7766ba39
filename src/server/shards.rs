//! The threads of one server: each has sockets, an event loop and sessions of its own, and the
//! kernel brings every datagram to the one that owns its session.
//!
//! Invariants: all threads are one life of the server (one epoch, one clock, one set of methods);
//! the sockets on an address are bound before the first thread starts and closed after the last
//! has ended; an address is taken exclusively before it is shared.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use mio::Waker;

use super::event_loop::{EventLoop, Shared};
use super::gauges::Board;
use super::handle::Handle;
use super::pool::{Inbox, Pool};
use super::sockets::Sockets;
use crate::core::server::{Execution, MethodSpec, Server, ServerConfig};
use crate::net::{Clock, Socket, seed};
use crate::service::{Action, Hook, Method, Services};

/// How a server is to be.
pub(super) struct Setup {
    pub(super) config: ServerConfig,
    /// From 1 to 256: a session id has one byte for the thread that owns it.
    pub(super) threads: u16,
    pub(super) workers: usize,
    pub(super) hook: Option<Arc<dyn Hook>>,
    pub(super) busy_poll: bool,
}

/// The event loops, one a thread, none of which runs yet.
pub(super) struct Shards {
    first: EventLoop,
    others: Vec<EventLoop>,
    handle: Handle,
}

impl Shards {
    pub(super) fn bind(
        addresses: &[SocketAddr],
        services: &Services,
        setup: Setup,
    ) -> io::Result<Self> {
        let Setup { config, threads, workers, hook, busy_poll } = setup;
        let methods: Arc<[_]> = services.methods().iter().cloned().map(Arc::new).collect();
        let specs: Vec<_> = methods.iter().map(|method| spec(method)).collect();
        let (clock, seed) = (Clock::start(), seed()?);
        let now = clock.now();

        let (sockets, wakers): (Vec<_>, Vec<_>) = bind(addresses, threads)?.into_iter().unzip();
        let shards = u16::try_from(sockets.len()).unwrap_or(u16::MAX);
        let inboxes: Box<[_]> = wakers.iter().map(|waker| Inbox::new(Arc::clone(waker))).collect();
        let handle = Handle::new(wakers.into());
        let pool = Pool::start(workers, clock, inboxes.clone(), hook.as_ref())?;
        let board = Board::new(sockets.len(), Arc::clone(pool.desk()), clock, now);
        let shared = Shared { methods, hook, pool, board: Arc::new(board), clock, busy_poll };

        let mut loops = Vec::new();
        for (number, (sockets, inbox)) in sockets.into_iter().zip(inboxes).enumerate() {
            let config = match (shards, u8::try_from(number)) {
                (2.., Ok(shard)) => config.of_shard(shard, shards),
                _ => config.clone(),
            };
            let core = Server::new(config, specs.clone(), seed, now)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
            let (shared, handle) = (shared.clone(), handle.clone());
            loops.push(EventLoop::new(number, sockets, core, inbox, handle, shared));
        }
        let first = loops.remove(0);
        Ok(Self { first, others: loops, handle })
    }

    pub(super) fn local_addrs(&self) -> Vec<SocketAddr> {
        self.first.local_addrs()
    }

    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Runs the first shard on this thread and each other one on its own, until all have ended.
    pub(super) fn run(mut self) -> io::Result<()> {
        let result = self.run_all();
        log::info!("ended");
        result
    }

    fn run_all(&mut self) -> io::Result<()> {
        let handle = &self.handle;
        thread::scope(|scope| {
            // Whichever ends, for whatever reason, takes the others along.
            let _all = StopAll(handle);
            let mut threads = Vec::new();
            for (number, event_loop) in (1..).zip(&mut self.others) {
                let thread = thread::Builder::new().name(format!("udp-rpc-shard-{number}"));
                threads.push(thread.spawn_scoped(scope, move || {
                    let _all = StopAll(handle);
                    event_loop.run()
                })?);
            }
            let result = self.first.run();
            handle.stop();
            threads.into_iter().fold(result, |result, thread| {
                let ended = thread.join();
                let ended = ended.unwrap_or_else(|_| {
                    Err(io::Error::other("a thread of the server's has panicked"))
                });
                result.and(ended)
            })
        })
    }
}

/// Stops the server when it is dropped.
struct StopAll<'a>(&'a Handle);

impl Drop for StopAll<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// The sockets of a thread, one for every address, and what wakes it.
type Place = (Sockets, Arc<Waker>);

/// Those of each thread. Without a way to share addresses, or without as many files as that takes,
/// there is one thread.
fn bind(addresses: &[SocketAddr], threads: u16) -> io::Result<Vec<Place>> {
    let mut first = Vec::new();
    for address in addresses {
        let socket = Socket::bind(*address).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
        })?;
        let (granted, asked) = socket.receive_buffer();
        if granted < asked {
            log::info!(
                "{}: the kernel granted a receive buffer of {granted} bytes of the {asked} asked \
                 for (net.core.rmem_max)",
                socket.local()
            );
        }
        first.push(socket);
    }
    let first = Sockets::new(first)?;
    let others = share(&first.0, threads).unwrap_or_else(|error| {
        first.0.iter().for_each(Socket::unshare);
        log::warn!("one thread serves, not {threads}: their sockets cannot share a port: {error}");
        Vec::new()
    });
    Ok(std::iter::once(first).chain(others).collect())
}

/// More sockets on the addresses of these, one on each for every further thread.
fn share(first: &Sockets, threads: u16) -> io::Result<Vec<Place>> {
    let others: Vec<_> = (1..threads)
        .map(|_| Sockets::new(first.iter().map(Socket::beside).collect::<io::Result<_>>()?))
        .collect::<io::Result<_>>()?;
    if !others.is_empty() {
        first.iter().try_for_each(|socket| socket.steer(threads))?;
    }
    Ok(others)
}

/// What the core has to know of a method.
fn spec(method: &Method) -> MethodSpec {
    MethodSpec {
        id: method.id(),
        execution: match method.action {
            Action::Inline(_) => Execution::Inline,
            Action::Pooled(_) | Action::Deferred(_) => Execution::Queued,
        },
        longest_reply: method.longest_reply,
        longest_request: method.longest_request,
    }
}
