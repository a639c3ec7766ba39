//! Further clients of the same server, for load.

use udp_rpc::client::{BlockingClient, Builder, DEFAULT_TIMEOUT};
use udp_rpc::wire::Code;

use super::{Remote, faults};
use crate::args::Global;
use crate::failure::Failure;

/// A client that is as the options want it.
pub(super) fn builder(global: &Global) -> Builder {
    BlockingClient::builder()
        .timeout(global.timeout.unwrap_or(DEFAULT_TIMEOUT))
        .wait(global.wait)
        .retry(!global.no_retry)
        .faults(faults(&global.hurt))
}

impl Remote {
    /// A further client of this server, with a session of its own, which may poll busily. Its datagrams are counted only
    /// where `-v` will say how many there were: counting takes a lock.
    ///
    /// # Errors
    ///
    /// The name does not resolve any more, or the operating system refuses what a client needs.
    pub(crate) fn another(
        &self,
        global: &Global,
        busy_poll: bool,
    ) -> Result<BlockingClient, Failure> {
        let unavailable = |message| Failure::NotSent(Code::Unavailable, message, Vec::new());
        let addresses = match self.client.info() {
            Some(info) => vec![info.server],
            None => global.server.resolve().map_err(unavailable)?,
        };
        let mut builder = builder(global).busy_poll(busy_poll);
        if self.verbose > 0 {
            builder = builder.observer(self.meter.observer(global));
        }
        builder
            .connect(addresses.as_slice())
            .map_err(|error| unavailable(format!("cannot open a socket: {error}")))
    }
}
