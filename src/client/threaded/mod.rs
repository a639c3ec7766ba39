//! The client with a thread of its own: any number of callers, blocked or asynchronous.
//!
//! `queue` is what callers hand over, `driver` the I/O thread, `call` and `pending` what callers
//! hold meanwhile. No lock is held while anything is sent, received or told.

mod call;
mod driver;
mod pending;
mod queue;
#[cfg(test)]
mod tests;

use std::io;
use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::time::Duration;

pub use self::call::Call;
pub use self::pending::Pending;
use self::queue::{Cancelled, Place, Promise, Shared, Submission, never_handed_over};
use super::builder::{Builder, Setup};
use super::observe::guarded;
use super::{Method, Options, SessionInfo};
use crate::client::prepare::Prepared;
use crate::core::CallError;
use crate::core::client::Pong;
use crate::wire::Code;

/// A client with a thread of its own, for any number of calls from any number of threads and
/// tasks. Clones are the same client.
///
/// A call begins when it is made, and is a `Future` that needs no particular runtime; it can be
/// waited for as well. Dropping an unfinished call fences it.
///
/// When the last clone is gone and all calls have ended, sessions are closed and the thread ends.
/// A process that ends sooner than that takes the thread along; [`close`](Self::close) waits.
///
/// ```no_run
/// use udp_rpc::client::{Client, Options};
///
/// let client = Client::connect("127.0.0.1:5860")?;
/// let calls: Vec<_> = ["Annie", "Jimin"]
///     .map(|name| client.call_raw("Greeter/Hello", name.as_bytes(), &Options::default()))
///     .into();
/// for call in calls {
///     match call.wait() { // or: call.await
///         Ok(reply) => println!("{}", String::from_utf8_lossy(&reply.body)),
///         Err(error) => eprintln!("{error}"), // says whether it ran
///     }
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

/// What all clones of a client hold: its drop is the end of the last one.
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Where there is no I/O thread, none has to end.
        let _ = self.shared.push(Submission::Gone);
    }
}

impl Client {
    /// A client of the server at `server`, with nothing out of the ordinary. A name is looked up
    /// on this thread; nothing is sent before the first call.
    ///
    /// # Errors
    ///
    /// As [`Builder::connect`].
    pub fn connect(server: impl ToSocketAddrs) -> io::Result<Self> {
        Self::builder().connect(server)
    }

    /// A client that is to be configured.
    pub fn builder() -> Builder<Self> {
        Builder::new()
    }

    pub(super) fn start(setup: Setup) -> io::Result<Self> {
        let max_waiting = setup.config.max_waiting;
        let setup = Setup { observer: setup.observer.map(guarded), ..setup };
        let (core, link, common) = setup.build()?;
        let shared = Arc::new(Shared::new(link.interrupter(), link.clock(), common, max_waiting));
        let running = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("udp-rpc-client".to_owned())
            .spawn(move || driver::run(core, link, &running))?;
        Ok(Self { handle: Arc::new(Handle { shared }) })
    }

    /// Calls `method` with a request of plain bytes.
    pub fn call_raw(&self, method: impl Into<Method>, request: &[u8], options: &Options) -> Call {
        self.call_bytes(method.into(), request.to_vec(), options)
    }

    /// Calls `method` with a protobuf message.
    ///
    /// A reply that does not decode is an INTERNAL error, executed.
    #[cfg(feature = "protobuf")]
    pub fn call<Req, Rep>(
        &self,
        method: &crate::service::Unary<Req, Rep>,
        request: &Req,
    ) -> super::TypedCall<Rep>
    where
        Req: prost::Message + Default + 'static,
        Rep: prost::Message + Default + 'static,
    {
        let call =
            self.call_bytes(method.into(), method.encode_request(request), &Options::default());
        super::TypedCall::message(call, method)
    }

    /// [`call`](Self::call) with options, for the reply with all that is known about it.
    #[cfg(feature = "protobuf")]
    pub fn call_with<Req, Rep>(
        &self,
        method: &crate::service::Unary<Req, Rep>,
        request: &Req,
        options: &Options,
    ) -> super::TypedCall<super::Response<Rep>>
    where
        Req: prost::Message + Default + 'static,
        Rep: prost::Message + Default + 'static,
    {
        let call = self.call_bytes(method.into(), method.encode_request(request), options);
        super::TypedCall::response(call, method)
    }

    fn call_bytes(&self, method: Method, request: Vec<u8>, options: &Options) -> Call {
        let shared = &self.handle.shared;
        let prepared = shared.common.prepare(shared.clock.now(), method, request, options);
        let Prepared { call, cancel, watch } = prepared;
        let place = Place::new();
        let parent = cancel.filter(|_| call.is_ok());
        let linked = parent.as_ref().map(|cancel| {
            let (shared, place) = (Arc::clone(shared), Arc::clone(&place));
            cancel.listen(move || {
                let _ = shared.push(Submission::Cancel(place, Cancelled::WithParent));
            })
        });
        let promise = Promise::new(Arc::clone(&place), watch, linked);
        let refused = match call {
            Err(error) => Some((promise, error)),
            Ok(call) => match shared.push(Submission::Call(call, promise)) {
                Err((Submission::Call(_, promise), why)) => Some((promise, never_handed_over(why))),
                _ => None,
            },
        };
        match refused {
            None => {
                // The listener may have come before the call, when there was nothing to cancel.
                if parent.is_some_and(|cancel| cancel.is_cancelled()) {
                    let cancel = Submission::Cancel(Arc::clone(&place), Cancelled::WithParent);
                    let _ = shared.push(cancel);
                }
                Call::new(place, Arc::clone(shared))
            }
            Some((promise, error)) => {
                promise.keep(Err(error));
                Call::refused(place, Arc::clone(shared))
            }
        }
    }

    /// Sends a PING, and tells the answer, or that none has come within `timeout`.
    pub fn ping(&self, timeout: Duration) -> Pending<Result<Pong, CallError>> {
        let deadline = self.handle.shared.clock.now() + timeout;
        let nobody = || {
            let text = "the client has no I/O thread: it has ended, or this process was forked";
            Err(CallError::never_sent(Code::Unavailable, text))
        };
        Pending::ask(&self.handle.shared, nobody, move |driver, answer| {
            driver.ping(deadline, answer);
        })
    }

    /// The session in use, once there is one.
    pub fn info(&self) -> Pending<Option<SessionInfo>> {
        Pending::ask(&self.handle.shared, || None, |driver, answer| answer.give(driver.info()))
    }

    /// Goes on from another local port, as a client does whose address changes: sessions and
    /// calls in flight stay what they are.
    pub fn rebind(&self) {
        let rebind = Submission::Do(Box::new(driver::Driver::rebind));
        let _ = self.handle.shared.push(rebind);
    }

    /// Gives the sessions up in which every call has a known outcome and of which no token was
    /// given out, as happens by itself once the last clone is gone and all calls have ended; that
    /// of calls in flight when they have ended. It has been done when this has been told. Later
    /// calls open a session anew.
    pub fn close(&self) -> Pending<()> {
        Pending::ask(
            &self.handle.shared,
            || (),
            |driver, answer| {
                driver.close();
                answer.give(());
            },
        )
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("process", &self.handle.shared.process.id())
            .finish_non_exhaustive()
    }
}
