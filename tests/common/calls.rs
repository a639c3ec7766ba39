//! Typed calls of the built-in services, and what the server counted.

use std::collections::BTreeMap;
use std::time::Duration;

use udp_rpc::client::{BlockingClient, Options};
use udp_rpc::core::CallError;
use udp_rpc::service::generated::v1::counter::{GET, INCREMENT};
use udp_rpc::service::generated::v1::sleep::SLEEP;
use udp_rpc::service::generated::v1::statistics::READ;
use udp_rpc::service::generated::v1::{GetRequest, IncrementRequest, ReadRequest, SleepRequest};

/// Options that say nothing but how long to wait.
pub(crate) fn within(timeout: Duration) -> Options {
    Options { timeout: Some(timeout), ..Options::default() }
}

/// The request that adds 1 to this counter.
pub(crate) fn increment(counter: &str) -> Vec<u8> {
    let name = Some(counter.to_owned());
    INCREMENT.encode_request(&IncrementRequest { by: None, name })
}

/// Adds 1 to a counter; its new value.
pub(crate) fn count(client: &mut BlockingClient, counter: &str) -> Result<u64, CallError> {
    let name = Some(counter.to_owned());
    client.call(&INCREMENT, &IncrementRequest { by: None, name }).map(|reply| reply.value)
}

/// What a counter says.
#[track_caller]
pub(crate) fn counted(client: &mut BlockingClient, counter: &str) -> u64 {
    let request = GetRequest { name: Some(counter.to_owned()) };
    client.call(&GET, &request).expect("the counter answers").value
}

/// The request that sleeps this long.
pub(crate) fn sleep(length: Duration) -> Vec<u8> {
    let duration = Some(length.try_into().expect("a short time"));
    SLEEP.encode_request(&SleepRequest { duration })
}

/// The server's numbers at one moment.
pub(crate) struct Statistics {
    numbers: BTreeMap<String, u64>,
    /// Calls, and datagrams, that it took to read them.
    pub(crate) pages: u64,
}

impl Statistics {
    /// Reads all of them, through the client. Every number is as it was when the first page was
    /// read.
    #[track_caller]
    pub(crate) fn read(client: &mut BlockingClient) -> Self {
        // A page that was asked for twice has changed numbers in a way that nobody here knows.
        super::wait_for("statistics without a retransmission", || Self::try_read(client))
    }

    fn try_read(client: &mut BlockingClient) -> Option<Self> {
        let mut numbers = BTreeMap::new();
        let mut request = ReadRequest::default();
        for page in 0.. {
            let body = READ.encode_request(&request);
            let reply = client.call_raw(&READ, &body, &Options::default()).expect("statistics");
            let read = READ.decode_reply(&reply.body).expect("a page of statistics");
            for gauge in read.gauges {
                // Each page that was asked for before is a datagram and a call more.
                let value = match gauge.name.as_str() {
                    "received.started" | "received.total" | "socket.datagrams"
                    | "calls.started" | "calls.executed" | "calls.ok" | "sent.datagrams" => {
                        gauge.value - page
                    }
                    _ => gauge.value,
                };
                numbers.insert(gauge.name, value);
            }
            if reply.attempts > 1 {
                return None;
            }
            if read.next_page_token.is_empty() {
                return Some(Self { numbers, pages: page + 1 });
            }
            request.page_token = Some(read.next_page_token);
        }
        unreachable!("there is a last page")
    }

    /// The number of this name; 0 for one that is not told.
    pub(crate) fn of(&self, name: &str) -> u64 {
        self.numbers.get(name).copied().unwrap_or(0)
    }

    /// The sum of all whose names begin like this.
    pub(crate) fn sum(&self, prefix: &str) -> u64 {
        let family = self.numbers.iter().filter(|(name, _)| name.starts_with(prefix));
        family.map(|(_, value)| value).sum()
    }

    /// Checks that every datagram which came out of the sockets was counted in exactly one place.
    #[track_caller]
    pub(crate) fn check_sum(&self) {
        let total = self.of("received.total");
        assert_eq!(self.sum("received.") - total, total, "{:#?}", self.numbers);
        assert_eq!(self.of("socket.datagrams"), total);
    }
}
