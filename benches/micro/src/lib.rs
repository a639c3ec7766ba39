//! What the benchmarks measure: the cores of client and server, one after the other, in a time
//! that stands still unless it is moved.
//!
//! `cargo bench --manifest-path benches/micro/Cargo.toml` counts the instructions of each part under
//! valgrind, and compares them with those of the run before. They do not depend on how busy the
//! machine is, nor on how fast. What they need besides valgrind is the program that the benchmarks
//! are run by: `cargo install --locked gungraun-runner --version 0.20.0`. Afterwards
//! `callgrind_annotate` says where the instructions are, of the files below `target/gungraun`.
//!
//! There are no sockets and no clocks here, so that the same instructions run every time. Memory
//! that is needed for measuring is taken before.

#![warn(missing_docs, unreachable_pub)]

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use udp_rpc::core::client::{Client, ClientConfig, Event, NewCall};
use udp_rpc::core::server::{End, Execution, MethodSpec, Route, Server, ServerConfig};
use udp_rpc::core::{Seed, Time};
use udp_rpc::wire::{Code, MAX_DATAGRAM, Metadata, MetadataRef, MethodId};

/// Calls that are made together: as many as fit in a run.
pub const CALLS: usize = 64;

/// Rounds of calls before anything is measured: windows have grown and memory is there.
const ROUNDS: usize = 40;

/// A request and a reply, of the length that two numbers and their sum take.
const BODY: [u8; 4] = [8, 3, 16, 4];

/// From one step to the next.
const STEP: Duration = Duration::from_micros(50);

/// Datagrams on their way, in runs, as `poll_transmit` gives them.
#[derive(Debug, Default)]
pub struct Flight {
    bytes: Vec<u8>,
    /// Length of each run and of its datagrams.
    runs: Vec<(usize, usize)>,
}

impl Flight {
    fn new() -> Self {
        Self { bytes: Vec::with_capacity(CALLS * MAX_DATAGRAM), runs: Vec::with_capacity(CALLS) }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.runs.clear();
    }

    fn push(&mut self, size: usize, segment: Option<usize>) {
        self.runs.push((size, segment.unwrap_or(size).max(1)));
    }

    /// The datagrams.
    pub fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.bytes.as_slice();
        self.runs.iter().flat_map(move |(size, segment)| {
            let (run, after) = rest.split_at(*size);
            rest = after;
            run.chunks(*segment)
        })
    }
}

/// A client and a server that have been at work for a while.
#[derive(Debug)]
pub struct Stage {
    client: Client,
    server: Server,
    route: Route,
    now: Time,
    /// Requests on their way, from the last [`send`](Self::send).
    pub requests: Flight,
    /// Replies on their way, from the last [`answer`](Self::answer).
    pub replies: Flight,
    /// Requests that the next calls take.
    bodies: Vec<Vec<u8>>,
}

/// The client with this number is at an address of its own.
fn address(number: u32) -> SocketAddr {
    SocketAddrV4::new(Ipv4Addr::from(0x0a00_0000 + number), 40_000).into()
}

fn method() -> MethodSpec {
    MethodSpec::new(MethodId::of("bench.Calculator/Add"), Execution::Inline)
}

fn client(number: u32) -> Client {
    // Any number of calls may wait, and none goes again by itself.
    let config = ClientConfig { max_waiting: usize::MAX, retry: false, ..ClientConfig::default() };
    Client::new(config, vec![address(0)], Seed::from_number(u64::from(number)))
}

impl Stage {
    /// A client that has made calls for a while, of a server with one session.
    pub fn new() -> Self {
        Self::with_sessions(1)
    }

    /// The same of a server with so many sessions, all but one of which are idle.
    ///
    /// # Panics
    ///
    /// When not all calls are answered.
    pub fn with_sessions(sessions: u32) -> Self {
        let now = Time::from_micros(1);
        let config = ServerConfig::default();
        let server = Server::new(config, vec![method()], Seed::from_number(0), now);
        let route = Route { remote: address(1), local: None, socket: 0 };
        let mut stage = Self {
            client: client(1),
            server: server.expect("a sound configuration"),
            route,
            now,
            requests: Flight::new(),
            replies: Flight::new(),
            bodies: Vec::new(),
        };
        for number in (1..=sessions).rev() {
            stage.client = client(number);
            stage.route.remote = address(number);
            stage.prepare(1);
            assert_eq!(stage.round(1), 1, "the first call of a session");
        }
        for _ in 0..ROUNDS {
            stage.prepare(CALLS);
            assert_eq!(stage.round(CALLS), CALLS, "calls of a round");
        }
        assert_eq!(stage.server.sessions(), sessions as usize);
        stage.prepare(CALLS);
        stage
    }

    /// Makes requests ready for so many calls.
    pub fn prepare(&mut self, calls: usize) {
        self.bodies.resize(calls, BODY.to_vec());
    }

    /// Lets time pass.
    pub fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    /// Calls, all the way; how many were answered.
    pub fn round(&mut self, calls: usize) -> usize {
        self.call(calls);
        let mut ended = 0;
        // A handshake comes first, and the window grows.
        while ended < calls {
            let before = ended;
            for _ in 0..4 {
                self.pass(STEP);
                self.send();
                self.serve();
                self.answer();
                self.pass(STEP);
                self.take();
                ended += self.ends();
            }
            if ended == before {
                break;
            }
        }
        ended
    }

    /// Makes calls, without sending anything.
    pub fn call(&mut self, calls: usize) {
        for _ in 0..calls {
            let call = NewCall {
                method: method().id,
                metadata: Metadata::new(),
                body: self.bodies.pop().unwrap_or_default(),
                deadline: self.now + Duration::from_secs(10),
                no_side_effects: false,
                retry: None,
            };
            black_box(self.client.call(self.now, call));
        }
    }

    /// The client says what it has to say; how many runs that is.
    pub fn send(&mut self) -> usize {
        self.requests.clear();
        while let Some(sent) = self.client.poll_transmit(self.now, &mut self.requests.bytes) {
            self.requests.push(sent.size, sent.segment_size);
        }
        self.requests.runs.len()
    }

    /// The server takes all that is on its way in, and runs what is to run.
    pub fn serve(&mut self) {
        for datagram in self.requests.datagrams() {
            if let Some(start) = self.server.handle_datagram(self.now, &self.route, datagram) {
                let end = End::Done { status: Code::Ok, metadata: MetadataRef::EMPTY, body: &BODY };
                self.server.complete(self.now, start.key, end);
            }
        }
    }

    /// The server says what it has to say; how many runs that is.
    pub fn answer(&mut self) -> usize {
        self.replies.clear();
        while let Some(sent) = self.server.poll_transmit(self.now, &mut self.replies.bytes) {
            self.replies.push(sent.size, sent.segment_size);
        }
        self.replies.runs.len()
    }

    /// The client takes all that is on its way back.
    pub fn take(&mut self) {
        for datagram in self.replies.datagrams() {
            self.client.handle_datagram(self.now, address(0), datagram);
        }
    }

    /// How many calls have ended well since it was last asked.
    pub fn ends(&mut self) -> usize {
        let mut well = 0;
        while let Some(event) = self.client.poll_event() {
            well += usize::from(matches!(event, Event::Ended { result: Ok(_), .. }));
        }
        well
    }

    /// The client looks whether anything is due, and does it.
    pub fn client_time(&mut self) {
        black_box(self.client.poll_timeout());
        self.client.handle_timeout(self.now);
    }

    /// The server likewise.
    pub fn server_time(&mut self) {
        black_box(self.server.poll_timeout());
        self.server.handle_timeout(self.now);
    }
}

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}

/// Stages set for what is measured.
pub mod set {
    use super::*;

    /// Calls are to be made.
    pub fn idle() -> Stage {
        Stage::new()
    }

    /// Requests are on their way.
    pub fn sent() -> Stage {
        sent_among(1)
    }

    /// The same, on their way to a server with so many sessions.
    pub fn sent_among(sessions: u32) -> Stage {
        let mut stage = Stage::with_sessions(sessions);
        stage.call(CALLS);
        stage.pass(STEP);
        stage.send();
        stage
    }

    /// Requests are on their way for the second time: all have been answered, and no answer came.
    pub fn sent_again() -> Stage {
        let mut stage = sent();
        stage.serve();
        stage.answer();
        // A server repeats a reply once in a millisecond at most.
        stage.pass(Duration::from_millis(5));
        stage
    }

    /// Requests have been served, and the replies are to be sent.
    pub fn served() -> Stage {
        let mut stage = sent();
        stage.serve();
        stage
    }

    /// Replies are on their way.
    pub fn answered() -> Stage {
        let mut stage = served();
        stage.answer();
        stage.pass(STEP);
        stage
    }

    /// The client has so many calls open, each with its deadline; as many as the window takes are
    /// in flight, and replies to them are on their way.
    pub fn many_open(calls: usize) -> Stage {
        let mut stage = Stage::new();
        stage.prepare(calls);
        stage.call(calls);
        stage.pass(STEP);
        stage.send();
        stage.serve();
        stage.answer();
        stage.pass(STEP);
        stage
    }

    /// Requests were lost, and their RTO has passed.
    pub fn lost() -> Stage {
        let mut stage = sent();
        stage.pass(Duration::from_secs(2));
        stage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_a_call_for_each_request_and_an_answer_for_each_call() {
        let mut stage = set::idle();
        stage.call(CALLS);
        stage.send();
        assert_eq!(stage.requests.datagrams().count(), CALLS);
        stage.serve();
        stage.answer();
        assert_eq!(stage.replies.datagrams().count(), CALLS);
        stage.take();
        assert_eq!(stage.ends(), CALLS);
    }

    #[test]
    fn requests_that_come_twice_are_answered_twice_and_run_once() {
        let mut stage = set::sent_again();
        stage.serve();
        stage.answer();
        assert_eq!(stage.replies.datagrams().count(), CALLS);
        stage.take();
        assert_eq!(stage.ends(), CALLS);
    }

    #[test]
    fn among_many_sessions_calls_are_answered_as_well() {
        let mut stage = set::sent_among(1_000);
        stage.serve();
        stage.answer();
        assert_eq!(stage.replies.datagrams().count(), CALLS);
    }

    #[test]
    fn among_many_calls_some_are_answered_and_the_rest_stays_open() {
        let mut stage = set::many_open(10_000);
        stage.take();
        let answered = stage.ends();
        assert!((CALLS..10_000).contains(&answered), "{answered}");
        assert!(!stage.client.is_idle());
    }

    #[test]
    fn what_was_lost_goes_again() {
        let mut stage = set::lost();
        stage.client_time();
        assert!(stage.send() >= 1);
        assert_eq!(stage.ends(), 0);
    }
}
