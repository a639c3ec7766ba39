//! What the server itself counted, asked over a clean path of its own.
//!
//! The demo's verdict rests on these numbers and on nothing that the client believes.

use std::net::SocketAddr;

use udp_rpc::client::BlockingClient;
use udp_rpc::core::CallError;
use udp_rpc::service::generated::v1::{self, GetRequest, ReadRequest};

use crate::failure::Failure;

/// Asks the server, and keeps count of its own questions so that they can be left out.
pub(super) struct Witness {
    client: BlockingClient,
    asked: u64,
}

/// What the server has counted of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Handlers that ran to an end.
    pub(super) executed: u64,
    /// Copies of calls known already, answered or dropped without a second run.
    pub(super) suppressed: u64,
}

impl Counts {
    /// What was added since `earlier`.
    pub(super) fn since(self, earlier: Counts) -> Counts {
        Counts {
            executed: self.executed.saturating_sub(earlier.executed),
            suppressed: self.suppressed.saturating_sub(earlier.suppressed),
        }
    }
}

impl Witness {
    /// A witness of the server at this address.
    ///
    /// # Errors
    ///
    /// When there is no socket to be had.
    pub(super) fn new(server: SocketAddr) -> Result<Witness, Failure> {
        let client = BlockingClient::connect(server)
            .map_err(|error| Failure::Lost(format!("cannot ask the server: {error}")))?;
        Ok(Witness { client, asked: 0 })
    }

    /// What the server has counted so far.
    ///
    /// # Errors
    ///
    /// When it does not say.
    pub(super) fn counts(&mut self) -> Result<Counts, Failure> {
        // This very question has not run to its end as it is answered.
        let questions = self.asked;
        let executed = self.sum("calls.executed")?.saturating_sub(questions);
        let suppressed = self.sum("received.duplicate.")? + self.sum("received.stale")?;
        Ok(Counts { executed, suppressed })
    }

    /// The value of a counter.
    ///
    /// # Errors
    ///
    /// When the server does not say.
    pub(super) fn counter(&mut self, name: &str) -> Result<u64, Failure> {
        self.asked += 1;
        let request = GetRequest { name: Some(name.to_owned()) };
        let counter = self.client.call(&v1::counter::GET, &request).map_err(silent)?;
        Ok(counter.value)
    }

    /// The sum of all numbers whose names begin so.
    fn sum(&mut self, prefix: &str) -> Result<u64, Failure> {
        let request = ReadRequest { prefix: Some(prefix.to_owned()), ..ReadRequest::default() };
        self.asked += 1;
        let page = self.client.call(&v1::statistics::READ, &request).map_err(silent)?;
        if !page.next_page_token.is_empty() {
            return Err(Failure::Lost(format!("{prefix} has more numbers than a page")));
        }
        Ok(page.gauges.iter().map(|gauge| gauge.value).sum())
    }
}

fn silent(error: CallError) -> Failure {
    Failure::Lost(format!("the server does not say: {error}"))
}
