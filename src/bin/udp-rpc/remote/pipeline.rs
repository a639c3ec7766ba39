//! Many calls of one method at once, through the session in which it was described.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use udp_rpc::client::{CallHandle, Interrupter, Method as Called, Options};
use udp_rpc::core::{CallError, Reply};
use udp_rpc::service::Idempotency;

use super::Remote;
use crate::names;
use crate::schema::Method;

/// Calls of one method.
pub(crate) struct Pipeline<'a> {
    remote: &'a mut Remote,
    called: Called,
    options: Options,
    /// When each call in flight was made.
    began: BTreeMap<CallHandle, Instant>,
}

impl Remote {
    /// A pipeline for calls of this method, each with the whole timeout to itself.
    pub(crate) fn pipeline(&mut self, method: &Method) -> Pipeline<'_> {
        names::learn(&method.name);
        self.told = None;
        let idempotency = match method.no_side_effects() {
            true => Idempotency::NoSideEffects,
            false => Idempotency::Unknown,
        };
        let called = Called::new(&method.name).with_idempotency(idempotency);
        let options = self.options(self.timeout);
        Pipeline { called, options, began: BTreeMap::new(), remote: self }
    }
}

impl Pipeline<'_> {
    /// Makes a call without waiting for it.
    pub(crate) fn submit(&mut self, request: &[u8]) -> CallHandle {
        let handle = self.remote.client.submit(self.called.clone(), request, &self.options);
        self.began.insert(handle, Instant::now());
        handle
    }

    /// Waits until any call ends, for at most `timeout`; Ctrl-C and an [`Interrupter`] end the
    /// wait early.
    pub(crate) fn next(
        &mut self,
        timeout: Duration,
    ) -> Option<(CallHandle, Result<Reply, CallError>)> {
        let (handle, result) = self.remote.client.wait_any_timeout(timeout)?;
        self.began.remove(&handle);
        Some((handle, result))
    }

    /// What ends a wait early.
    pub(crate) fn interrupter(&self) -> Interrupter {
        self.remote.client.interrupter()
    }

    /// Whether Ctrl-C was pressed.
    pub(crate) fn interrupted(&self) -> bool {
        self.remote.interrupts.pressed()
    }

    /// The server's address.
    pub(crate) fn server(&self) -> String {
        self.remote.server()
    }

    /// Asks that a call be fenced.
    pub(crate) fn cancel(&mut self, handle: CallHandle) {
        self.remote.client.cancel(handle);
    }

    /// The end of a call whose fence the server has not confirmed in time.
    pub(crate) fn given_up(&mut self, handle: CallHandle) -> CallError {
        let elapsed = self.began.remove(&handle).map(|began| began.elapsed()).unwrap_or_default();
        self.remote.given_up(handle, 1, elapsed)
    }
}
