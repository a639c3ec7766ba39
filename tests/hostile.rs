//! What is well-formed to the wire and meant badly: messages that nest or claim without end,
//! metadata that is none, replies that are no replies, more than there is room for. Each is a clear
//! error to whoever sent it, in bounded memory, and the server goes on.
#![cfg(feature = "cli")]

mod common;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use common::calls::{Statistics, count, within};
use common::raw::{Offer, Peer, emit};
use common::{Daemon, PATIENCE, selves, skipped};
use udp_rpc::client::{BlockingClient, Options};
use udp_rpc::core::{Outcome, Proof};
use udp_rpc::server::{Running, Server};
use udp_rpc::service::{Executor, Method, Registry, Task, Unary, builtin};
use udp_rpc::wire::{
    CallId, Code, Flags, FromClient, FromServer, MAX_REQUEST_BODY, METADATA_MAX, Metadata,
    MethodId, Reason, SlotState, parse_from_server, seal,
};

/// A message in a message in a message.
#[derive(Clone, PartialEq, prost::Message)]
struct Nest {
    #[prost(message, optional, boxed, tag = "1")]
    inner: Option<Box<Nest>>,
    #[prost(string, tag = "2")]
    text: String,
    #[prost(uint64, repeated, tag = "3")]
    numbers: Vec<u64>,
}

const INLINE: Unary<Nest, Nest> = Unary::new("Test/Inline");
const POOLED: Unary<Nest, Nest> = Unary::new("Test/Pooled");
const DEFERRED: Unary<Nest, Nest> = Unary::new("Test/Deferred");
const ASYNCHRONOUS: Unary<Nest, Nest> = Unary::new("Test/Asynchronous");
const ALL: [Unary<Nest, Nest>; 4] = [INLINE, POOLED, DEFERRED, ASYNCHRONOUS];

/// Gives back what it gets, in every way in which handlers run.
fn echoes() -> Running {
    let mut registry = Registry::new();
    builtin::install(&mut registry).unwrap();
    let executor: Arc<dyn Executor> = Arc::new(|task: Task| {
        std::thread::spawn(move || smol::block_on(task));
    });
    for method in [
        INLINE.inline(|_, nest| Ok(nest)),
        POOLED.pooled(|_, nest| Ok(nest)),
        DEFERRED.deferred(|_, nest, responder| responder.respond(Ok(nest))),
        ASYNCHRONOUS.asynchronous(executor, async |_, nest| Ok(nest)),
    ] {
        registry.add(method).unwrap();
    }
    Server::builder(registry).listen("127.0.0.1:0").bind().unwrap().spawn().unwrap()
}

/// So many levels of field 1, each a message with the next one in it.
fn nested(levels: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..levels {
        let mut outer = vec![0x0a];
        prost::encode_length_delimiter(bytes.len(), &mut outer).unwrap();
        outer.append(&mut bytes);
        bytes = outer;
    }
    bytes
}

/// Messages that no decoder should follow to their end.
fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    let longest = (1..).map(nested).take_while(|bytes| bytes.len() <= MAX_REQUEST_BODY).last();
    let giant = b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f";
    vec![
        ("messages as deep as fit", longest.unwrap()),
        ("one level too deep", nested(101)),
        ("groups as deep as fit", vec![0x0b; MAX_REQUEST_BODY]),
        ("groups of a field that nobody knows", vec![0x7b; MAX_REQUEST_BODY]),
        ("a group that ends another", vec![0x7b, 0x74]),
        ("a message of 2^63 bytes", [&[0x0a], &giant[..]].concat()),
        ("a string of 2^63 bytes", [&[0x12], &giant[..]].concat()),
        ("a string of 4 GiB", b"\x12\xff\xff\xff\xff\x0f".to_vec()),
        ("packed numbers of 2^63 bytes", [&[0x1a], &giant[..]].concat()),
        ("packed numbers that go on behind their end", b"\x1a\x01\xff".to_vec()),
        (
            "a length that is no number",
            vec![0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ),
        ("a field 0", vec![0x02, 0x00]),
        ("a wire type that does not exist", vec![0x0f]),
        ("text that is no UTF-8", vec![0x12, 0x01, 0xff]),
        ("a key and nothing", vec![0x0a]),
    ]
}

#[test]
fn message_that_nests_or_claims_without_end_is_an_invalid_argument_however_it_is_served() {
    let server = echoes();
    let mut client = BlockingClient::connect(server.local_addr()).unwrap();
    for method in ALL {
        for (what, body) in bombs() {
            let error = client.call_raw(&method, &body, &Options::default()).expect_err(what);
            assert_eq!(error.code, Code::InvalidArgument, "{what}: {error}");
            assert_eq!(error.outcome, Outcome::Executed, "{what}: {error}");
            assert!(error.message.contains("does not decode"), "{what}: {error}");
        }
        // As deep as anybody goes, it is served.
        let deep = nested(100);
        let reply = client.call_raw(&method, &deep, &Options::default()).unwrap();
        assert_eq!(reply.body, deep);
    }
    let statistics = Statistics::read(&mut client);
    assert_eq!(statistics.of("handlers.panicked"), 0);
    statistics.check_sum();
}

#[test]
fn no_built_in_method_is_hurt_by_any_of_them() {
    let daemon = Daemon::start();
    let mut client = BlockingClient::connect(daemon.address()).unwrap();
    count(&mut client, "c").unwrap();
    let before = daemon.resident();
    let mut registry = Registry::new();
    builtin::install(&mut registry).unwrap();
    let services = registry.seal().unwrap();
    // What a field of any number says of its length is believed no more than of one that is known.
    let mut bodies = bombs();
    for field in 1..=15u8 {
        let giant = [&[field << 3 | 2], &b"\xff\xff\xff\xff\x07"[..]].concat();
        bodies.push(("two gigabytes", giant));
        let least =
            [field << 3 | 2, 11, 0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1];
        bodies.push(("the least duration", least.to_vec()));
        bodies.push(("ten bytes of ones", [&[field << 3], &[0xff; 9][..], &[1]].concat()));
    }
    for method in services.methods() {
        for (what, body) in &bodies {
            if let Err(error) = client.call_raw(&*method.name, body, &Options::default()) {
                assert_eq!(error.outcome, Outcome::Executed, "{}: {what}: {error}", method.name);
                assert_ne!(error.code, Code::Internal, "{}: {what}: {error}", method.name);
            }
        }
    }
    assert_eq!(Statistics::read(&mut client).of("handlers.panicked"), 0);
    if let (Some(before), Some(after)) = (before, daemon.resident()) {
        assert!(after < before + (16 << 20), "{after} bytes after {before}");
    }
    assert_eq!(daemon.said(), "", "nothing here is for an operator");
}

#[test]
fn reply_that_is_no_message_is_an_internal_error_of_a_call_that_ran() {
    let mut registry = Registry::new();
    // The client's idea of this method has types; the server's has none.
    registry
        .add(Method::inline(INLINE.name(), |_, request, reply| {
            reply.extend(request);
            Ok(())
        }))
        .unwrap();
    registry
        .add(Method::inline(POOLED.name(), |_, request, reply| {
            let at = usize::from(request.last().copied().unwrap_or(0));
            reply.extend(&bombs()[at % bombs().len()].1);
            Ok(())
        }))
        .unwrap();
    let server = Server::builder(registry).listen("127.0.0.1:0").bind().unwrap().spawn().unwrap();
    let mut client = BlockingClient::connect(server.local_addr()).unwrap();
    for (at, (what, _)) in bombs().iter().enumerate() {
        // The last byte of this request is the number.
        let request = Nest { numbers: vec![at as u64], ..Nest::default() };
        let error = client.call(&POOLED, &request).expect_err(what);
        assert_eq!((error.code, error.outcome), (Code::Internal, Outcome::Executed), "{error}");
        assert!(error.message.contains(POOLED.name()), "{what}: {error}");
    }
    // What decodes is a reply.
    let request = Nest { text: "as it was".into(), ..Nest::default() };
    assert_eq!(client.call(&INLINE, &request).unwrap(), request);
}

/// A REQUEST of METADATA with these bytes, as they are.
fn with_metadata(offer: &Offer, call: u64, entries: &[u8]) -> Vec<u8> {
    let mut datagram = emit(FromClient::Request {
        session: offer.session,
        call: CallId(call),
        expiry: offer.clock + 50_000_000,
        method: INLINE.id(),
        flags: Flags::WHOLE,
        cell: 0,
        proofs: Default::default(),
        metadata: Metadata::new().borrow(),
        unknown_critical: false,
        options: &[],
        body: b"",
    });
    let mut option = vec![0x84, 0];
    option.extend(entries);
    option.resize(option.len().next_multiple_of(4), 0);
    option[1] = (option.len() / 4).try_into().unwrap();
    datagram[47] = option[1];
    datagram.extend(option);
    seal(&mut datagram);
    datagram
}

#[test]
fn metadata_that_is_none_is_dropped_and_counted_and_its_call_never_runs() {
    let server = echoes();
    let mut client = BlockingClient::connect(server.local_addr()).unwrap();
    let peer = Peer::new(server.local_addr());
    let offer = peer.open(1);
    let window = u64::from(offer.ack.limits.window);
    let good = b"\x01a\x00\x01x";
    let bad: [&[u8]; 12] = [
        b"\x01a\x00\x03xy", // a value that ends outside
        b"\x01a\xff\xffx",  // far outside
        b"\xffa\x00\x01x",  // a key that ends outside
        b"\x00\x00\x01x",   // no key
        b"\x01A\x00\x01x",  // an upper-case key
        b"\x01 \x00\x01x",
        b"\x02\xc3\xa4\x00\x01x",
        b"\x01a\x00\x01\x07", // a value that is no text
        b"\x01a\x00\x01\xff",
        b"\x01a",                                          // no room for a length
        b"\x01a\x00\x01x\x00\x00\x00\x00\x01",             // something behind the end
        b"\x01a\x00\x01x\x00\x00\x00\x00\x00\x00\x00\x00", // more padding than is needed
    ];
    let before = Statistics::read(&mut client);
    let calls = window + 1..;
    for (call, entries) in calls.zip(bad) {
        peer.send(&with_metadata(&offer, call, entries));
    }
    // Twice the option, each good by itself.
    let mut twice = with_metadata(&offer, window + 100, good);
    let option = twice[48..].to_vec();
    twice[47] *= 2;
    twice.extend(option);
    seal(&mut twice);
    peer.send(&twice);

    // What comes after them has come when they have.
    peer.ask(&with_metadata(&offer, window, good), |answer| {
        matches!(answer.message, FromServer::Reply { status: Code::Ok, .. }).then_some(())
    });
    let after = Statistics::read(&mut client);
    let dropped = |statistics: &Statistics| statistics.of("received.dropped.options");
    assert_eq!(dropped(&after) - dropped(&before), bad.len() as u64 + 1);
    after.check_sum();
    for call in window + 1..=window + bad.len() as u64 {
        let (session, call) = (offer.session, CallId(call));
        let status = emit(FromClient::Status { session, call, proofs: Default::default() });
        peer.ask(&status, |answer| {
            matches!(answer.message, FromServer::Progress { state: SlotState::Empty, .. })
                .then_some(())
        });
    }
}

/// Memory for records of the server that is flooded, bytes.
const RECORDS: usize = 8 << 20;

const HELD: &str = "Test/Held";

/// Acts the server of the next test: one worker, which the first call keeps.
#[test]
#[ignore = "a server for the next test"]
fn acts_as_server_with_one_worker_and_little_memory() {
    let Some(address) = selves::role() else { return };
    let mut registry = Registry::new();
    builtin::install(&mut registry).unwrap();
    registry
        .add(Method::pooled(HELD, |context, _, _| {
            context.cancel.wait_timeout(Duration::from_secs(3600));
            Ok(())
        }))
        .unwrap();
    let server = Server::builder(registry)
        .listen(&*address)
        .workers(1)
        .config(|config| {
            config.window = 16_384;
            config.max_queued = 1_000_000;
            config.record_memory = RECORDS;
        })
        .bind()
        .unwrap();
    selves::listening(server.local_addrs()[0]);
    std::io::stdout().flush().unwrap();
    server.run().unwrap();
}

#[test]
fn ten_thousand_calls_with_all_the_metadata_there_can_be_wait_in_bounded_memory() {
    if !cfg!(target_os = "linux") {
        return skipped("ten_thousand_calls…", "only Linux tells the resident size");
    }
    const CALLS: u64 = 10_000;
    let server = selves::server("acts_as_server_with_one_worker_and_little_memory").start();
    let peer = Peer::new(server.address());
    let offer = peer.open(1);
    // It has its session and a slot before there is no room for more.
    let mut client = BlockingClient::connect(server.address()).unwrap();
    count(&mut client, "c").unwrap();
    let before = server.resident().unwrap();

    let mut metadata = Metadata::new();
    metadata.insert("k", "x".repeat(METADATA_MAX - 4)).unwrap();
    let window = u64::from(offer.ack.limits.window);
    let request = |call: u64| {
        emit(FromClient::Request {
            session: offer.session,
            call: CallId(call),
            expiry: offer.clock + 50_000_000,
            method: MethodId::of(HELD),
            flags: Flags::WHOLE,
            cell: 0,
            proofs: Default::default(),
            metadata: metadata.borrow(),
            unknown_critical: false,
            options: &[],
            body: b"",
        })
    };
    // Each is sent until the server has said what becomes of it.
    let mut fates: BTreeMap<u64, Option<Reason>> = BTreeMap::new();
    let hear = |fates: &mut BTreeMap<_, _>, datagram: &[u8]| {
        let (call, fate) = match parse_from_server(datagram).unwrap().message {
            FromServer::Progress { call, .. } => (call, None),
            // Where not even the refusal can be recorded, nothing is promised.
            FromServer::Refused { call, reason, promise, .. }
                if promise == (reason == Reason::Overloaded) =>
            {
                (call, Some(reason))
            }
            other => panic!("{other:?}"),
        };
        fates.insert(call.0, fate);
    };
    common::wait_for("an answer to each call", || {
        for (sent, call) in (window..window + CALLS).enumerate() {
            if !fates.contains_key(&call) {
                peer.send(&request(call));
            }
            if sent % 64 == 0 {
                peer.received().iter().for_each(|datagram| hear(&mut fates, datagram));
            }
        }
        while let Some(datagram) = peer.receive(Duration::from_millis(20)) {
            hear(&mut fates, &datagram);
        }
        (fates.len() as u64 == CALLS).then_some(())
    });
    let count_of = |fate| fates.values().filter(|found| **found == fate).count();
    let waiting = count_of(None);
    let refused = count_of(Some(Reason::Overloaded));
    let unrecorded = count_of(Some(Reason::NoRoomForRecord));
    let after = server.resident().unwrap();
    println!(
        "{waiting} calls wait, {refused} were refused, {unrecorded} are to come later; {} KiB more",
        after.saturating_sub(before) >> 10
    );
    assert_eq!(waiting + refused + unrecorded, CALLS as usize);
    assert!(refused > 0);
    // Each that waits has its record, its request and its metadata in the budget.
    assert!(waiting > RECORDS / 2048 && waiting < RECORDS / METADATA_MAX, "{waiting} calls wait");
    assert!(after < before + RECORDS + (8 << 20), "{after} bytes after {before}");

    // Who is refused is told by name, and that it never runs; and again if it asks again.
    let mut options = within(PATIENCE);
    options.retry = Some(false);
    let error = client.call_raw(HELD, &[0; MAX_REQUEST_BODY], &options).unwrap_err();
    assert_eq!(error.code, Code::ResourceExhausted, "{error}");
    assert!(error.message.contains(Reason::Overloaded.text()), "{error}");
    assert_eq!(error.outcome, Outcome::NotExecuted(Proof::Promised(Reason::Overloaded)), "{error}");
    let overloaded = |fate: &&_| **fate == Some(Reason::Overloaded);
    let (call, _) = fates.iter().find(|(_, fate)| overloaded(fate)).unwrap();
    peer.ask(&request(*call), |answer| match answer.message {
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
