//! More calls than there is room for: those that wait and those that are answered late, each with
//! all the metadata there can be.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use udp_rpc::client::BlockingClient;
use udp_rpc::core::server::ServerConfig;
use udp_rpc::core::{Outcome, Proof};
use udp_rpc::server::Server;
use udp_rpc::service::{Executor, Method, Registry, Task, builtin};
use udp_rpc::wire::{
    CallId, Code, Flags, FromClient, FromServer, MAX_BODY, MAX_REQUEST_BODY, METADATA_MAX,
    Metadata, MethodId, Reason, parse_from_server,
};

use super::common::calls::{count, increment, within};
use super::common::raw::{Offer, Peer, emit};
use super::common::{Daemon, PATIENCE, selves, skipped, wait_for};

/// Calls that are made at once.
const CALLS: u64 = 10_000;

/// Memory for records where it is little, bytes.
const RECORDS: usize = 8 << 20;

/// Memory for replies where it is little, bytes.
const REPLIES: usize = 2 << 20;

/// What a server's resident size may grow by beside what is counted: arenas, queues, sockets.
const SLACK: usize = 8 << 20;

/// Runs on the pool until it is cancelled.
const HELD: &str = "Test/Held";

/// A future that is never ready.
const LATER: &str = "Test/Later";

/// Serves at the address of this process's role, if it has one.
fn act(change: impl FnOnce(&mut ServerConfig)) {
    let Some(address) = selves::role() else { return };
    let executor = Arc::new(smol::Executor::new());
    let runs = Arc::clone(&executor);
    std::thread::spawn(move || smol::block_on(runs.run(std::future::pending::<()>())));
    let executor: Arc<dyn Executor> = Arc::new(move |task: Task| executor.spawn(task).detach());

    let mut registry = Registry::new();
    builtin::install(&mut registry).unwrap();
    registry
        .add(Method::pooled(HELD, |context, _, _| {
            context.cancel.wait_timeout(Duration::from_secs(3600));
            Ok(())
        }))
        .unwrap()
        .add(Method::asynchronous(LATER, executor, |context, body| async move {
            std::future::pending::<()>().await;
            drop((context, body));
            Ok(Vec::new())
        }))
        .unwrap();
    let server = Server::builder(registry).listen(&*address).workers(1).config(|config| {
        config.window = 16_384;
        config.max_queued = 1_000_000;
        change(config);
    });
    let server = server.bind().unwrap();
    selves::listening(server.local_addrs()[0]);
    std::io::stdout().flush().unwrap();
    server.run().unwrap();
}

#[test]
#[ignore = "a server for another test"]
fn acts_as_server_with_little_memory_for_records() {
    act(|config| config.record_memory = RECORDS);
}

#[test]
#[ignore = "a server for another test"]
fn acts_as_server_with_little_memory_for_replies() {
    act(|config| config.reply_memory = REPLIES);
}

/// Many calls of one method, by one peer.
struct Flood {
    peer: Peer,
    offer: Offer,
    method: MethodId,
    metadata: Metadata,
    /// What became of each: `None` while it waits or runs, or why it was refused.
    fates: BTreeMap<u64, Option<Reason>>,
}

impl Flood {
    fn new(server: &Daemon, method: &str) -> Self {
        let peer = Peer::new(server.address());
        let offer = peer.open(1);
        let mut metadata = Metadata::new();
        metadata.insert("k", "x".repeat(METADATA_MAX - 4)).unwrap();
        let (method, fates) = (MethodId::of(method), BTreeMap::new());
        Self { peer, offer, method, metadata, fates }
    }

    fn calls(&self) -> Range<u64> {
        let window = u64::from(self.offer.ack.limits.window);
        window..window + CALLS
    }

    fn request(&self, call: u64) -> Vec<u8> {
        emit(FromClient::Request {
            session: self.offer.session,
            call: CallId(call),
            expiry: self.offer.clock + 50_000_000,
            method: self.method,
            flags: Flags::WHOLE,
            cell: 0,
            proofs: Default::default(),
            metadata: self.metadata.borrow(),
            unknown_critical: false,
            options: &[],
            body: b"",
        })
    }

    fn hear(&mut self, datagram: &[u8]) {
        let (call, fate) = match parse_from_server(datagram).unwrap().message {
            FromServer::Progress { call, .. } => (call, None),
            FromServer::Refused { call, reason, promise, .. } => {
                // Where not even the refusal can be recorded, nothing is promised.
                assert_eq!(promise, reason != Reason::NoRoomForRecord);
                (call, Some(reason))
            }
            other => panic!("{other:?}"),
        };
        self.fates.insert(call.0, fate);
    }

    /// Sends each call until the server has said what becomes of it.
    fn run(&mut self) {
        wait_for("an answer to each call", || {
            for call in self.calls() {
                if !self.fates.contains_key(&call) {
                    self.peer.send(&self.request(call));
                }
                if call % 64 == 0 {
                    self.peer.received().iter().for_each(|datagram| self.hear(datagram));
                }
            }
            while let Some(datagram) = self.peer.receive(Duration::from_millis(20)) {
                self.hear(&datagram);
            }
            (self.fates.len() as u64 == CALLS).then_some(())
        });
    }

    fn count(&self, fate: Option<Reason>) -> usize {
        self.fates.values().filter(|found| **found == fate).count()
    }
}

#[test]
fn calls_that_wait_with_all_the_metadata_there_can_be_take_bounded_memory() {
    if !cfg!(target_os = "linux") {
        return skipped("calls_that_wait…", "only Linux tells the resident size");
    }
    let acts = "memory::acts_as_server_with_little_memory_for_records";
    let server = selves::server(acts).start();
    // It has its session and a slot before there is no room for more.
    let mut client = BlockingClient::connect(server.address()).unwrap();
    count(&mut client, "c").unwrap();
    let mut flood = Flood::new(&server, HELD);
    let before = server.resident().unwrap();
    flood.run();
    let after = server.resident().unwrap();

    let waiting = flood.count(None);
    let refused = flood.count(Some(Reason::Overloaded));
    let unrecorded = flood.count(Some(Reason::NoRoomForRecord));
    println!(
        "{waiting} calls wait, {refused} were refused, {unrecorded} are to come later; {} KiB more",
        after.saturating_sub(before) >> 10
    );
    assert_eq!(waiting + refused + unrecorded, CALLS as usize);
    assert!(refused > 0);
    // Each that waits has its record, its request and its metadata in the budget.
    assert!(waiting > RECORDS / 2048 && waiting < RECORDS / METADATA_MAX, "{waiting} calls wait");
    assert!(after < before + RECORDS + SLACK, "{after} bytes after {before}");

    // Who is refused is told by name, and that it never runs; and again if it asks again.
    let mut options = within(PATIENCE);
    options.retry = Some(false);
    let error = client.call_raw(HELD, &[0; MAX_REQUEST_BODY], &options).unwrap_err();
    assert_eq!(error.code, Code::ResourceExhausted, "{error}");
    assert!(error.message.contains(Reason::Overloaded.text()), "{error}");
    assert_eq!(error.outcome, Outcome::NotExecuted(Proof::Promised(Reason::Overloaded)), "{error}");
    let overloaded = |fate: &&_| **fate == Some(Reason::Overloaded);
    let (call, _) = flood.fates.iter().find(|(_, fate)| overloaded(fate)).unwrap();
    flood.peer.ask(&flood.request(*call), |answer| match answer.message {
        FromServer::Refused { call: its, reason, promise, .. } if its.0 == *call => {
            assert_eq!((reason, promise), (Reason::Overloaded, true));
            Some(())
        }
        // Said again to one that was sent again while its answer was on the way.
        _ => None,
    });
    // What does not wait is served.
    assert_eq!(count(&mut client, "c").unwrap(), 2);
}

#[test]
fn calls_that_are_answered_late_are_no_more_than_there_is_memory_for_their_replies() {
    if !cfg!(target_os = "linux") {
        return skipped("calls_that_are_answered_late…", "only Linux tells the resident size");
    }
    let acts = "memory::acts_as_server_with_little_memory_for_replies";
    let server = selves::server(acts).start();
    let mut client = BlockingClient::connect(server.address()).unwrap();
    count(&mut client, "c").unwrap();
    let mut flood = Flood::new(&server, LATER);
    let before = server.resident().unwrap();
    flood.run();
    let after = server.resident().unwrap();

    let running = flood.count(None);
    let refused = flood.count(Some(Reason::NoRoomForReply));
    println!(
        "{running} calls run, {refused} were refused; {} KiB more",
        after.saturating_sub(before) >> 10
    );
    assert_eq!(running + refused, CALLS as usize);
    assert!(running > REPLIES / MAX_BODY * 9 / 10 && running <= REPLIES / MAX_BODY, "{running}");
    // A future with its context and metadata, and its reply to come.
    assert!(after < before + running * 8192 + SLACK, "{after} bytes after {before}");

    // Nobody is served now, and is when those who were given up are gone.
    let waiting = client.submit("udprpc.v1.Counter/Increment", &increment("c"), &within(PATIENCE));
    assert!(client.wait_timeout(waiting, Duration::from_millis(50)).is_none());
    let running: Vec<_> =
        flood.fates.iter().filter(|(_, fate)| fate.is_none()).map(|(call, _)| *call).collect();
    let reply = wait_for("room", || {
        for call in running.iter().map(|call| CallId(*call)) {
            let session = flood.offer.session;
            flood.peer.send(&emit(FromClient::Fence { session, call, proofs: Default::default() }));
            flood.peer.received();
        }
        client.wait_timeout(waiting, Duration::from_millis(20))
    });
    assert!(reply.unwrap().issues > 1, "it was refused before");
}
