//! What a program may have done at the start and at the end of each of its calls: credentials and
//! trace contexts going in, logs and measures coming out.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::core::{CallError, Reply};
use crate::service::Status;
use crate::wire::Metadata;

/// Told of every call as it starts and as it ends; see [`Builder::hook`](super::Builder::hook).
///
/// Each call that starts ends once, whatever becomes of it, and whether or not anybody waits for
/// it. A call that the client issues again is one call all the same.
///
/// ```
/// use udp_rpc::client::{Ended, Hook, Starting};
///
/// struct Authorised(String);
///
/// impl Hook for Authorised {
///     fn start(&self, call: &mut Starting<'_>) {
///         if let Err(error) = call.metadata.insert("authorization", &self.0) {
///             call.refuse(udp_rpc::service::Status::internal(error.to_string()));
///         }
///     }
///
///     fn end(&self, call: &Ended<'_>) {
///         if let Err(error) = call.result {
///             eprintln!("{}: {error}", call.method);
///         }
///     }
/// }
/// # let server = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// # let address = server.local_addr()?;
/// let client = udp_rpc::client::Client::builder()
///     .hook(Authorised("Bearer 7f3a".to_owned()))
///     .connect(address)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Hook: Send + Sync {
    /// A call is about to be made. Runs on the thread that makes it; a panic is that thread's.
    fn start(&self, call: &mut Starting<'_>) {
        let _ = call;
    }

    /// A call has ended. Runs on the thread that drives the client (for a call that never got that
    /// far, on its caller's), before the caller is told: it must be quick and wait for nothing. A
    /// panic is logged, and changes nothing.
    fn end(&self, call: &Ended<'_>) {
        let _ = call;
    }
}

/// A call that is about to be made.
#[derive(Debug)]
#[non_exhaustive]
pub struct Starting<'a> {
    /// Full name of the method, `package.Service/Method`.
    pub method: &'a str,
    /// What goes with the request: the caller's own, and the trace context of the call on whose
    /// behalf this one is made.
    pub metadata: &'a mut Metadata,
    pub(super) refused: Option<Status>,
}

impl Starting<'_> {
    /// The call is not to be made: it ends with this status, as never sent.
    pub fn refuse(&mut self, status: Status) {
        self.refused = Some(status);
    }
}

/// A call that has ended.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Ended<'a> {
    /// Full name of the method.
    pub method: &'a str,
    /// What went with the request.
    pub metadata: &'a Metadata,
    /// How it ended, as its caller will hear it. How long that took is told there.
    pub result: Result<&'a Reply, &'a CallError>,
}

/// A call whose end a hook is to be told.
pub(super) struct Watch {
    pub(super) hook: Arc<dyn Hook>,
    pub(super) method: Cow<'static, str>,
    pub(super) metadata: Metadata,
}

impl Watch {
    pub(super) fn end(self, result: &Result<Reply, CallError>) {
        let Self { hook, method, metadata } = self;
        let result = result.as_ref();
        let told = || hook.end(&Ended { method: &method, metadata: &metadata, result });
        if catch_unwind(AssertUnwindSafe(told)).is_err() {
            log::error!("a client's hook has panicked at the end of a call of {method}");
        }
    }
}
