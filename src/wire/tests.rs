//! What holds for every datagram; the layouts themselves are checked against `PROTOCOL.md`.

use proptest::prelude::*;

use super::*;

fn proofs() -> impl Strategy<Value = Proofs> {
    let pair = || prop::option::of((any::<u32>(), any::<u64>()));
    (pair(), pair()).prop_map(|(birth, path)| Proofs {
        birth: birth.map(|(minted, mac)| Birth { minted, mac }),
        path: path.map(|(issued, mac)| PathProof { issued, mac }),
    })
}

fn call() -> impl Strategy<Value = CallId> {
    (1..=u64::MAX).prop_map(CallId)
}

/// Owned parts of a client's datagram: which kind, and numbers for all fields.
type ClientParts = (u8, u64, CallId, u64, u64, u32, u8, Proofs, (Metadata, Vec<u8>));

fn client_parts() -> impl Strategy<Value = ClientParts> {
    (
        0u8..7,
        any::<u64>(),
        call(),
        any::<u64>(),
        any::<u64>(),
        any::<u32>(),
        any::<u8>(),
        proofs(),
        contents(),
    )
}

/// Metadata and a body that fit a REQUEST together.
fn contents() -> impl Strategy<Value = (Metadata, Vec<u8>)> {
    let text = ("[a-z0-9_.-]{1,20}", "[ -~]{0,60}").prop_map(|(key, text)| (key, text.into()));
    let bytes = ("[a-z0-9_.-]{0,20}", prop::collection::vec(any::<u8>(), 0..400))
        .prop_map(|(key, bytes)| (key + "-bin", bytes));
    let pairs = prop::collection::vec(prop_oneof![text, bytes], 0..6);
    let metadata = prop_oneof![Just(Vec::new()), pairs].prop_map(|pairs| {
        let mut metadata = Metadata::new();
        for (key, value) in pairs {
            // What is too much is left out.
            let _ = metadata.append(&key, value);
        }
        metadata
    });
    (metadata, prop::collection::vec(any::<u8>(), 0..MAX_REQUEST_BODY)).prop_map(
        |(metadata, mut body)| {
            body.truncate(MAX_REQUEST_BODY - metadata.borrow().option_len());
            (metadata, body)
        },
    )
}

fn from_client<'a>(parts: &'a ClientParts) -> Datagram<FromClient<'a>> {
    let (kind, session, call, clock, word, cell, attempt, proofs, (metadata, body)) = parts;
    let (session, call, proofs) = (SessionId(*session), *call, *proofs);
    let message = match kind {
        0 => FromClient::Hello {
            session,
            nonce: u128::from(*clock) << 64 | u128::from(*word),
            lowest: (*cell % 3) as u8,
            highest: 3,
            length: HELLO_LEN + body.len().min(MAX_DATAGRAM - HELLO_LEN),
        },
        1 => FromClient::Request {
            session,
            call,
            expiry: *clock,
            method: MethodId(*word),
            flags: Flags::WHOLE,
            cell: *cell,
            proofs,
            metadata: metadata.borrow(),
            unknown_critical: false,
            options: &[],
            body,
        },
        2 => FromClient::Ack {
            session,
            call,
            hold_us: *word as u32,
            credit: *clock as u32,
            cell: *cell,
            proofs,
        },
        3 => FromClient::Fence { session, call, proofs },
        4 => FromClient::Status { session, call, proofs },
        5 => FromClient::Ping { session, call, proofs },
        _ => FromClient::Close { session, proofs },
    };
    Datagram { attempt: *attempt, message }
}

fn from_server<'a>(parts: &'a ClientParts) -> Datagram<FromServer<'a>> {
    let (kind, session, call, clock, word, cell, attempt, _, (metadata, body)) = parts;
    let (session, call, clock, hold_us) = (SessionId(*session), *call, *clock, *cell);
    let epoch = Epoch(*word);
    let message = match kind {
        0 => FromServer::Reply {
            session,
            call,
            clock,
            hold_us,
            credit: *word as u32,
            status: Code::from_u8((*word % 17) as u8),
            flags: Flags::WHOLE,
            cell: 0,
            metadata: metadata.borrow(),
            body,
        },
        1 => {
            let state = SlotState::from_u8(*word as u8);
            FromServer::Progress { session, call, clock, hold_us, credit: 9, cell: 7, state }
        }
        2 => FromServer::Refused {
            session,
            call,
            clock,
            epoch,
            hold_us,
            reason: Reason::from_u8(*word as u8),
            promise: *word & 1 == 1,
        },
        3 => {
            let path = PathProof { issued: *cell, mac: *word };
            FromServer::Challenge { session, call, clock, path }
        }
        4 => FromServer::Pong { session, call, clock, epoch, hold_us },
        5 => FromServer::Goaway { session, call, clock, epoch, hold_us, reason: Reason::Draining },
        _ => FromServer::HelloAck {
            session,
            nonce: u128::from(*word),
            clock,
            ack: HelloAck {
                epoch,
                birth: Birth { minted: *cell, mac: *word },
                path: PathProof { issued: *cell, mac: clock },
                limits: Limits {
                    window: 4096,
                    longest_deadline_ms: 60_000,
                    lease_ms: 300_000,
                    longest_datagram: 1232,
                    longest_request: 1152,
                    longest_reply: 1184,
                },
                version: 1,
                software: *b"udp-rpc 0.1.0\0\0\0",
            },
        },
    };
    Datagram { attempt: *attempt, message }
}

proptest! {
    #[test]
    fn what_a_client_emits_is_parsed_as_it_was_meant(parts in client_parts()) {
        let datagram = from_client(&parts);
        let mut bytes = Vec::new();
        datagram.emit(&mut bytes);
        prop_assert!(bytes.len() <= MAX_DATAGRAM);
        let mut parsed = parse_from_client(&bytes).unwrap();
        if let FromClient::Request { options, .. } = &mut parsed.message {
            *options = &[];
        }
        prop_assert_eq!(parsed, datagram);
        prop_assert_eq!(parse_from_server(&bytes), Err(ParseError::Direction));
    }

    #[test]
    fn what_a_server_emits_is_parsed_as_it_was_meant(parts in client_parts()) {
        let datagram = from_server(&parts);
        let mut bytes = Vec::new();
        datagram.emit(&mut bytes);
        prop_assert!(bytes.len() <= MAX_DATAGRAM);
        prop_assert_eq!(parse_from_server(&bytes), Ok(datagram));
        prop_assert_eq!(parse_from_client(&bytes), Err(ParseError::Direction));
    }

    #[test]
    fn padded_datagram_says_what_it_said_before(parts in client_parts(), more in 0usize..1100) {
        let datagram = from_server(&parts);
        let mut plain = Vec::new();
        datagram.emit(&mut plain);
        let mut bytes = b"before".to_vec();
        bytes.extend_from_slice(&plain);
        let size = plain.len() + more;
        let options = usize::from(plain[HEADER_LEN - 1]);
        let fits = more == 0 || more >= 4 && options + more / 4 <= 255;
        prop_assert_eq!(pads(options * 4, more), fits);
        prop_assert_eq!(pad(&mut bytes, 6, size), fits);
        let mut at_once = b"before".to_vec();
        prop_assert_eq!(datagram.emit_padded(&mut at_once, size), fits);
        prop_assert_eq!(&at_once, &bytes);
        if matches!(datagram.message, FromServer::HelloAck { .. }) {
            return Ok(());
        }
        let padded = &bytes[6..];
        prop_assert_eq!(padded.len(), if fits { size } else { plain.len() });
        prop_assert_eq!(parse_from_server(padded), Ok(datagram));
    }

    #[test]
    fn any_sealed_bytes_are_parsed_or_refused_without_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        kind in any::<u8>(),
        options in 0u8..12,
    ) {
        if let Some(head) = bytes.first_chunk_mut::<HEADER_LEN>() {
            head[..4].copy_from_slice(&[0x55, 0x52, VERSION, kind]);
            head[46] &= 0x3f;
            head[47] = options;
        }
        seal(&mut bytes);
        if let Ok(parsed) = parse_from_client(&bytes) {
            let mut again = Vec::new();
            parsed.emit(&mut again);
            prop_assert!(parse_from_client(&again).is_ok());
        }
        if let Ok(parsed) = parse_from_server(&bytes) {
            let mut again = Vec::new();
            parsed.emit(&mut again);
            prop_assert_eq!(parse_from_server(&again), Ok(parsed));
        }
    }

    #[test]
    fn status_body_survives_and_is_cut_to_its_room(
        message in ".{0,80}",
        details in prop::collection::vec(any::<u8>(), 0..80),
        room in 2usize..400,
    ) {
        let mut bytes = Vec::new();
        StatusBody { message: message.as_str().into(), details: &details }.emit(&mut bytes, room);
        prop_assert!(bytes.len() <= room);
        let parsed = StatusBody::parse(&bytes);
        prop_assert!(message.starts_with(&*parsed.message));
        if room >= 2 + message.len() + details.len() {
            prop_assert_eq!(&*parsed.message, message.as_str());
            prop_assert_eq!(parsed.details, details.as_slice());
        }
    }
}

#[test]
fn unknown_version_is_told_apart_from_damage() {
    let mut bytes = Vec::new();
    from_client(&(3, 8, CallId(9), 0, 0, 0, 1, Proofs::default(), Default::default()))
        .emit(&mut bytes);
    bytes[2] = 9;
    assert_eq!(parse_from_client(&bytes), Err(ParseError::Crc));
    seal(&mut bytes);
    let expected = ParseError::Version {
        version: 9,
        kind: Kind::Fence.to_u8(),
        session: SessionId(8),
        call: CallId(9),
    };
    assert_eq!(parse_from_client(&bytes), Err(expected));
}

#[test]
fn version_answer_is_read_whatever_its_version() {
    let message =
        FromServer::Version { session: SessionId(1), call: CallId(2), lowest: 3, highest: 200 };
    let datagram = Datagram { attempt: 0, message };
    let mut bytes = Vec::new();
    datagram.emit(&mut bytes);
    assert_eq!(bytes.len(), VERSION_LEN);
    assert_eq!(parse_from_server(&bytes), Ok(datagram));
}

#[test]
fn codes_and_reasons_keep_their_numbers() {
    for (number, code) in (0u8..).zip(Code::ALL) {
        assert_eq!((code.to_u8(), Code::from_u8(number)), (number, code));
    }
    for number in 0..=u8::MAX {
        assert_eq!(Reason::from_u8(number).to_u8(), number);
        assert_eq!(SlotState::from_u8(number).to_u8(), number);
    }
}

/// A REQUEST (or, by `kind`, what a server sends) with these options and the body `body`.
fn with_options(kind: Kind, options: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_LEN];
    bytes[..4].copy_from_slice(&[0x55, 0x52, VERSION, kind.to_u8()]);
    bytes[23] = 9;
    if matches!(kind, Kind::Request | Kind::Reply) {
        bytes[46] = Flags::WHOLE.to_u8();
    }
    bytes[47] = u8::try_from(options.len() / 4).unwrap();
    bytes.extend_from_slice(options);
    if matches!(kind, Kind::Request | Kind::Reply) {
        bytes.extend_from_slice(b"body");
    }
    seal(&mut bytes);
    bytes
}

fn request_metadata(options: &[u8]) -> Result<Metadata, ParseError> {
    let bytes = with_options(Kind::Request, options);
    match parse_from_client(&bytes)?.message {
        FromClient::Request { metadata, unknown_critical: false, body: b"body", .. } => {
            Ok(metadata.to_owned())
        }
        other => panic!("{other:?}"),
    }
}

fn reply_metadata(options: &[u8]) -> Result<Metadata, ParseError> {
    let bytes = with_options(Kind::Reply, options);
    match parse_from_server(&bytes)?.message {
        FromServer::Reply { metadata, body: b"body", .. } => Ok(metadata.to_owned()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn metadata_of_a_request_is_critical_and_of_a_reply_elective() {
    let entry = [2, 1, b'a', 0, 1, b'x'];
    let option = |kind: u8| [&[kind][..], &entry, &[0]].concat();
    let mut expected = Metadata::new();
    expected.append("a", "x").unwrap();
    assert_eq!(request_metadata(&option(0x84)), Ok(expected.clone()));
    assert_eq!(reply_metadata(&option(0x04)), Ok(expected));
    // The other way about they are what their types say.
    assert_eq!(request_metadata(&option(0x04)), Ok(Metadata::new()));
    assert_eq!(reply_metadata(&option(0x84)), Err(ParseError::Options));
    for (kind, critical, expected) in [
        (Kind::Ping, true, Err(ParseError::Options)),
        (Kind::Ping, false, Ok(())),
        (Kind::Pong, true, Err(ParseError::Options)),
        (Kind::Pong, false, Ok(())),
    ] {
        let bytes = with_options(kind, &option(if critical { 0x84 } else { 0x04 }));
        let parsed = match kind {
            Kind::Ping => parse_from_client(&bytes).map(|_| ()),
            _ => parse_from_server(&bytes).map(|_| ()),
        };
        assert_eq!(parsed, expected, "{kind:?} {critical}");
    }
}

#[test]
fn malformed_metadata_is_dropped() {
    let good = [0x84, 2, 1, b'a', 0, 1, b'x', 0];
    assert!(request_metadata(&good).is_ok());
    assert_eq!(request_metadata(&[0x84, 1, 0, 0]), Ok(Metadata::new()), "no entry at all");
    let twice = [good, good].concat();
    let nothing_for_long = [0x84, 2, 0, 0, 0, 0, 0, 0];
    let cut = [0x84, 2, 1, b'a', 0, 9, b'x', 0];
    let upper = [0x84, 2, 1, b'A', 0, 1, b'x', 0];
    let control = [0x84, 2, 1, b'a', 0, 1, 7, 0];
    for bad in [&twice[..], &nothing_for_long, &cut, &upper, &control] {
        assert_eq!(request_metadata(bad), Err(ParseError::Options), "{bad:02x?}");
        let mut elective = bad.to_vec();
        elective[0] = 0x04;
        if bad.len() > 8 {
            elective[8] = 0x04;
        }
        assert_eq!(reply_metadata(&elective), Err(ParseError::Options), "{bad:02x?}");
    }
}

#[test]
fn metadata_beyond_its_limit_is_malformed() {
    let option = |bytes: usize| {
        let value = u16::try_from(bytes - 4).unwrap().to_be_bytes();
        let mut option = vec![0x84, u8::try_from((bytes + 2).div_ceil(4)).unwrap(), 1, b'a'];
        option.extend_from_slice(&value);
        option.resize(2 + bytes, b'x');
        option.resize((2 + bytes).next_multiple_of(4), 0);
        option
    };
    let longest = request_metadata(&option(METADATA_MAX)).unwrap();
    assert_eq!(longest.borrow().as_bytes().len(), METADATA_MAX);
    assert_eq!(longest.borrow().option_len() + PROOFS_LEN, OPTIONS_LEN_MAX);
    assert_eq!(request_metadata(&option(METADATA_MAX + 1)), Err(ParseError::Options));
}

#[test]
fn metadata_is_kept_as_it_is_sent() {
    for value in ["", "1", "12", "123", "1234"] {
        let mut metadata = Metadata::new();
        metadata.append("key", value).unwrap();
        let mut kept = vec![0xff; metadata.borrow().option_len()];
        metadata.borrow().keep(&mut kept);
        assert_eq!(kept.len(), metadata.borrow().option_len());
        assert_eq!(MetadataRef::kept(&kept), metadata.borrow());
    }
    assert_eq!(MetadataRef::kept(&[]), MetadataRef::EMPTY);
}
