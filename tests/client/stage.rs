//! The servers of these tests, and the clients that know them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use udp_rpc::client::{BlockingClient, Client, Options};
use udp_rpc::server::{Running, Server};
use udp_rpc::service::{Method, Registry, Unary, builtin};

use crate::common::{PATIENCE, wait_for};

/// Gives its request back.
pub(crate) const ECHO: &str = "Test/Echo";

/// Runs until it is let go on or cancelled.
pub(crate) const SLOW: &str = "Test/Slow";

/// A typed method.
pub(crate) const DOUBLE: Unary<u64, u64> = Unary::new("Test/Double");

/// A server on a port of its own.
pub(crate) fn serve(methods: impl IntoIterator<Item = Method>) -> Running {
    let mut registry = Registry::new();
    builtin::install_standard(&mut registry).unwrap();
    registry
        .add(Method::inline(ECHO, |_, request, reply| {
            reply.extend_from_slice(request);
            Ok(())
        }))
        .unwrap();
    registry.add(DOUBLE.inline(|_, number| Ok(2 * number))).unwrap();
    for method in methods {
        registry.add(method).unwrap();
    }
    Server::builder(registry).listen("127.0.0.1:0").workers(2).bind().unwrap().spawn().unwrap()
}

pub(crate) fn connect(server: &Running) -> Client {
    Client::connect(server.local_addr()).unwrap()
}

pub(crate) fn blocking(server: &Running) -> BlockingClient {
    BlockingClient::connect(server.local_addr()).unwrap()
}

/// Longer than any test waits: what a test waits for is not to come of a deadline.
pub(crate) const LONG: Duration = Duration::from_secs(2 * PATIENCE.as_secs());

pub(crate) fn long() -> Options {
    Options::within(LONG)
}

/// What the test sees of a method that runs until it is let go on or cancelled.
pub(crate) struct Gate {
    /// The request of each execution that begins.
    started: Receiver<Vec<u8>>,
    /// A word lets one execution end.
    pub(crate) release: Sender<()>,
    /// Executions that saw their cancel token set.
    cancelled: Arc<AtomicUsize>,
}

impl Gate {
    pub(crate) fn new() -> (Method, Self) {
        let (starting, started) = channel();
        let (release, released) = channel();
        let released = Mutex::new(released);
        let cancelled: Arc<AtomicUsize> = Arc::default();
        let cancels = Arc::clone(&cancelled);
        let method = Method::pooled(SLOW, move |context, request, reply| {
            starting.send(request.to_vec()).unwrap();
            while released.lock().unwrap().try_recv().is_err() {
                if context.cancel.wait_timeout(Duration::from_millis(1)) {
                    cancels.fetch_add(1, Ordering::SeqCst);
                    break;
                }
            }
            reply.extend(request);
            Ok(())
        });
        (method, Self { started, release, cancelled })
    }

    /// Waits until an execution has begun; its request.
    #[track_caller]
    pub(crate) fn started(&self) -> Vec<u8> {
        self.started.recv_timeout(PATIENCE).expect("the handler to begin")
    }

    /// The request of an execution that has begun already.
    pub(crate) fn try_started(&self) -> Option<Vec<u8>> {
        self.started.try_recv().ok()
    }

    /// Those that have begun and were not asked for.
    pub(crate) fn others(&self) -> usize {
        self.started.try_iter().count()
    }

    #[track_caller]
    pub(crate) fn wait_until_cancelled(&self, executions: usize) {
        wait_for("handlers to see their tokens", || {
            (self.cancelled.load(Ordering::SeqCst) == executions).then_some(())
        });
    }
}
