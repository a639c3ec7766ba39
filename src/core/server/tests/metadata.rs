//! Metadata of requests and replies: told, kept, counted, and part of what a request is.

use super::*;

fn metadata(pairs: &[(&str, &[u8])]) -> Metadata {
    let mut metadata = Metadata::new();
    for (key, value) in pairs {
        metadata.append(key, value).expect("a pair that can be sent");
    }
    metadata
}

/// Metadata whose option takes this many bytes, a multiple of four.
fn of_length(option: usize) -> Metadata {
    metadata(&[("a", &vec![b'x'; option - 6])])
}

fn ask(peer: &Peer, call: u64, method: MethodId, metadata: &Metadata) -> Vec<u8> {
    let mut message = request(peer, call, method, b"x", 10 * SECOND, Proofs::default());
    if let FromClient::Request { metadata: place, .. } = &mut message {
        *place = metadata.borrow();
    }
    let mut bytes = Vec::new();
    Datagram { attempt: 1, message }.emit(&mut bytes);
    bytes
}

fn done<'a>(status: Code, metadata: &'a Metadata, body: &'a [u8]) -> End<'a> {
    End::Done { status, metadata: metadata.borrow(), body }
}

#[test]
fn handlers_are_told_the_metadata_of_their_call() {
    let mut bench = Bench::new();
    let peer = bench.open();
    let told = metadata(&[("tenant", b"north"), ("digest-bin", &[0, 255])]);
    let bytes = ask(&peer, 4, QUICK, &told);
    let start = bench.server.handle_datagram(bench.now, &peer.route, &bytes).expect("a call");
    assert_eq!(start.metadata.to_owned(), told);
    assert_eq!(bench.raw(&peer.route, &ask(&peer, 5, SLOW, &told)).len(), 0);
    assert_eq!(bench.request(&peer, 6, SLOW, b"x"), []);
    assert_eq!(bench.claim().expect("a job").metadata, told);
    assert_eq!(bench.claim().expect("a job").metadata, Metadata::new());
}

#[test]
fn same_id_with_other_metadata_is_reused() {
    let mut bench = Bench::new();
    let peer = bench.open();
    let (one, other) = (metadata(&[("a", b"1")]), metadata(&[("a", b"2")]));
    assert_eq!(said(&bench.raw(&peer.route, &ask(&peer, 4, QUICK, &one))), []);
    let again = said(&bench.raw(&peer.route, &ask(&peer, 4, QUICK, &one)));
    assert_eq!(again, [Said::Progress(SlotState::Running)]);
    bench.pass(SECOND);
    for odd in [&other, &Metadata::new()] {
        let heard = said(&bench.raw(&peer.route, &ask(&peer, 4, QUICK, odd)));
        assert_eq!(heard, [Refusal(Reason::IdReused)], "{odd:?}");
    }
    assert_eq!(bench.runs(&peer, 4), 1);
}

#[test]
fn duplicate_and_inquiry_are_answered_with_the_metadata_of_the_run() {
    let mut bench = Bench::new();
    let peer = bench.open();
    let told = metadata(&[("cost", b"7"), ("cost", b"8")]);
    bench.request(&peer, 4, QUICK, b"x");
    let first = bench.end(&peer, 4, done(Code::Ok, &told, b"reply"));
    bench.pass(SECOND);
    let message = request(&peer, 4, QUICK, b"x", 10 * SECOND, Proofs::default());
    let again = bench.send(&peer.route, 2, message);
    bench.pass(SECOND);
    let (session, call, proofs) = (peer.session, CallId(4), Proofs::default());
    let asked = bench.send(&peer.route, 1, FromClient::Status { session, call, proofs });
    for heard in [first, again, asked] {
        let [heard] = &heard[..] else { panic!("{heard:?}") };
        assert_eq!((&heard.said, &heard.metadata), (&reply(b"reply"), &told));
    }
    // The slot's next call has none of it.
    bench.request(&peer, 8, QUICK, b"x");
    let next = bench.end(&peer, 8, done(Code::Ok, &Metadata::new(), b"next"));
    assert_eq!((&next[0].said, &next[0].metadata), (&reply(b"next"), &Metadata::new()));
}

#[test]
fn malformed_metadata_is_dropped_and_counted() {
    let mut bench = Bench::new();
    let peer = bench.open();
    let good = ask(&peer, 4, QUICK, &metadata(&[("a", b"1")]));
    // An entry that is longer than its option, and a key that no key can be.
    for (place, byte) in [(50, 200), (51, b'A')] {
        let mut bytes = good.clone();
        bytes[place] = byte;
        crate::wire::seal(&mut bytes);
        assert_eq!(said(&bench.raw(&peer.route, &bytes)), []);
    }
    assert_eq!(bench.server.counters().received(Received::Options), 2);
    assert_eq!(said(&bench.raw(&peer.route, &good)), [], "the right one runs");
    assert_eq!(bench.runs(&peer, 4), 1);
}

#[test]
fn elective_metadata_of_a_request_is_skipped_and_part_of_it() {
    let mut bench = Bench::new();
    let peer = bench.open();
    let mut bytes = ask(&peer, 4, QUICK, &metadata(&[("a", b"1")]));
    bytes[48] = 0x04;
    crate::wire::seal(&mut bytes);
    let start = bench.server.handle_datagram(bench.now, &peer.route, &bytes).expect("a call");
    assert_eq!(start.metadata, MetadataRef::EMPTY);
    assert_eq!(bench.request(&peer, 4, QUICK, b"x"), [Refusal(Reason::IdReused)]);
}

#[test]
fn metadata_that_waits_counts_against_the_record_budget() {
    let used = |metadata: &Metadata| {
        let mut bench = Bench::new();
        let peer = bench.open();
        let before = bench.server.record_memory();
        bench.raw(&peer.route, &ask(&peer, 4, SLOW, metadata));
        let used = bench.server.record_memory() - before;
        bench.claim().expect("a job");
        (used, bench.server.record_memory() - before, before)
    };
    let long = of_length(900);
    let (plain, plain_after, before) = used(&Metadata::new());
    let (with, with_after, _) = used(&long);
    assert_eq!(with - plain, long.borrow().as_bytes().len());
    assert_eq!(plain_after, with_after, "what waited is given back");
    let mut bench = Bench::with(ServerConfig { record_memory: before + with - 1, ..config() });
    let peer = bench.open();
    let heard = bench.raw(&peer.route, &ask(&peer, 4, SLOW, &long));
    assert_eq!(said(&heard), [Promise(Reason::Overloaded)]);
    assert_eq!(bench.request(&peer, 5, SLOW, b"x"), [], "without, there is room");
}

#[test]
fn metadata_of_a_reply_counts_as_part_of_it() {
    let mut bench = Bench::new();
    let peer = bench.open();
    let room = crate::wire::MAX_BODY;
    let long = of_length(900);
    bench.request(&peer, 4, QUICK, b"x");
    let heard = bench.end(&peer, 4, done(Code::Ok, &long, &vec![1; room - 900]));
    assert_eq!((heard[0].len, &heard[0].metadata), (48 + room, &long));
    assert_eq!(heard[0].said, reply(&vec![1; room - 900]));
    assert_eq!(bench.server.reply_memory(), room);
    bench.request(&peer, 5, QUICK, b"x");
    let heard = bench.end(&peer, 5, done(Code::Ok, &long, &vec![1; room - 899]));
    let Said::Reply(Code::ResourceExhausted, body) = &heard[0].said else { panic!("{heard:?}") };
    let message = crate::wire::StatusBody::parse(body).message;
    assert!(message.contains("1185 bytes, 900 of them metadata"), "{message}");
    assert_eq!(bench.server.counters().done(Done::ReplyTooLong), 1);
    // Acknowledged is the body, whose 284 bytes are three cells.
    bench.ack(&peer, 4, 2);
    bench.pass(SECOND);
    assert_eq!(bench.status(&peer, 4), [reply(&vec![1; room - 900])]);
    bench.ack(&peer, 4, 3);
    assert_eq!(bench.status(&peer, 4), [Refusal(Reason::ReplyGone)]);
}

#[test]
fn an_errors_text_goes_before_metadata_that_leaves_it_no_room() {
    let mut body = Vec::new();
    let message = "m".repeat(400);
    crate::wire::StatusBody { message: message.as_str().into(), details: &[9; 100] }
        .emit(&mut body, 1000);
    let ended = |option: usize, body: &[u8]| {
        let mut bench = Bench::new();
        let peer = bench.open();
        bench.request(&peer, 4, QUICK, b"x");
        let heard = bench.end(&peer, 4, done(Code::Aborted, &of_length(option), body));
        let Said::Reply(Code::Aborted, body) = &heard[0].said else { panic!("{heard:?}") };
        let status = crate::wire::StatusBody::parse(body);
        let details = status.details.len();
        (heard[0].metadata.borrow().option_len(), status.message.len(), details, heard[0].len)
    };
    assert_eq!(ended(680, &body), (680, 400, 100, 48 + 680 + 502));
    assert_eq!(ended(700, &body), (700, 400, 0, 48 + 700 + 402), "details do not fit");
    assert_eq!(ended(928, &body), (928, 254, 0, 48 + 928 + 256), "the message is cut");
    assert_eq!(ended(932, &body), (0, 400, 100, 48 + 502), "the metadata are left out");
    assert_eq!(ended(980, &[0, 1, b'm']), (980, 1, 0, 48 + 980 + 3), "what fits is kept");
}

#[test]
fn replies_with_metadata_leave_together_when_they_have_one_size() {
    let mut bench = Bench::with(ServerConfig { window: 256, ..config() });
    let peer = bench.open();
    let told = metadata(&[("a", b"1")]);
    for call in 256..320 {
        bench.request(&peer, call, QUICK, b"x");
    }
    for call in 256..320 {
        // A body of eight bytes is as long as the option.
        let (metadata, body): (_, &[u8]) = match call % 2 {
            0 => (told.clone(), b"y"),
            _ => (Metadata::new(), b"123456789"),
        };
        bench.server.complete(bench.now, key(&peer, call), done(Code::Ok, &metadata, body));
    }
    let heard = bench.drain();
    assert_eq!((heard.len(), &bench.segments[..]), (64, &[64][..]));
    for heard in heard {
        let even = heard.call.0.is_multiple_of(2);
        assert_eq!(heard.metadata, if even { told.clone() } else { Metadata::new() });
        assert_eq!(heard.said, reply(if even { b"y" } else { b"123456789" }));
    }
}
