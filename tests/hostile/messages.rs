//! Messages that no decoder should follow to their end, as requests and as replies.

use udp_rpc::client::{BlockingClient, Options};
use udp_rpc::core::Outcome;
use udp_rpc::server::Server;
use udp_rpc::service::{Method, Registry, builtin};
use udp_rpc::wire::{Code, MAX_REQUEST_BODY};

use super::common::Daemon;
use super::common::calls::{Statistics, count};
use super::{ALL, INLINE, Nest, POOLED, echoes};

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
    let server = Server::spawn_local(registry).unwrap();
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
