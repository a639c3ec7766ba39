//! `PROTOCOL.md` against the code: its vectors are parsed and emitted byte for byte, its tables
//! hold the numbers that the code uses, and its requirements are numbered once each.
//!
//! The vectors were made by another implementation, from the text alone.

mod protocol;

use std::borrow::Cow;
use std::collections::BTreeSet;

use protocol::{Block, PROTOCOL, blocks, hex, nth_table, table};
use udp_rpc::core::CallToken;
use udp_rpc::core::client::ClientConfig;
use udp_rpc::core::server::ServerConfig;
use udp_rpc::wire::{
    Birth, CallId, Code, DEFAULT_PORT, Datagram, Epoch, Flags, FromClient, FromServer, HEADER_LEN,
    HELLO_LEN, HelloAck, Kind, Limits, MAX_BODY, MAX_DATAGRAM, MAX_REQUEST_BODY, METADATA_MAX,
    Metadata, MetadataRef, MethodId, OPTIONS_LEN_MAX, ParseError, PathProof, Proofs, Reason,
    SessionId, SlotState, StatusBody, pad, parse_from_client, parse_from_server, seal,
};

fn proofs(block: &Block) -> Proofs {
    let pair = |key| {
        let (seconds, mac) = block.get(key)?.split_once(' ')?;
        Some((seconds.parse().unwrap(), u64::from_str_radix(mac, 16).unwrap()))
    };
    Proofs {
        birth: pair("birth").map(|(minted, mac)| Birth { minted, mac }),
        path: pair("path").map(|(issued, mac)| PathProof { issued, mac }),
    }
}

fn nonce(block: &Block) -> u128 {
    u128::from_str_radix(block.get("nonce").unwrap(), 16).unwrap()
}

/// The body that a vector names: bytes, or a status's message and details.
fn body(block: &Block) -> Vec<u8> {
    let Some(message) = block.get("message") else {
        return hex(block.get("body").unwrap_or_default());
    };
    let details = hex(block.get("details").unwrap_or_default());
    let mut body = Vec::new();
    StatusBody { message: Cow::Borrowed(message), details: &details }.emit(&mut body, MAX_BODY);
    assert_eq!(StatusBody::parse(&body).message, message);
    assert_eq!(StatusBody::parse(&body).details, details);
    body
}

/// The metadata that a vector names: `metadata.KEY = TEXT`, in hexadecimal where the key ends in
/// `-bin`.
fn metadata(block: &Block) -> Metadata {
    let mut metadata = Metadata::new();
    for (key, value) in block.all("metadata.") {
        let value = if key.ends_with("-bin") { hex(value) } else { value.into() };
        metadata.append(key, value).unwrap_or_else(|error| panic!("{}: {error}", block.name));
    }
    metadata
}

/// What a vector of a client says, by its fields.
fn client_message<'a>(
    block: &Block,
    options: &'a [u8],
    metadata: MetadataRef<'a>,
    body: &'a [u8],
) -> FromClient<'a> {
    let (session, call) = (SessionId(block.id("session")), CallId(block.id("call")));
    let proofs = proofs(block);
    match block.get("kind").unwrap() {
        "HELLO" => FromClient::Hello {
            session,
            nonce: nonce(block),
            lowest: block.number("lowest"),
            highest: block.number("highest"),
            length: block.number("length"),
        },
        "REQUEST" => FromClient::Request {
            session,
            call,
            expiry: block.number("expiry"),
            method: MethodId(block.id("method")),
            flags: Flags::from_u8(block.number("flags")),
            cell: block.number("cell"),
            proofs,
            metadata,
            unknown_critical: block.number::<u8>("unknown_critical") == 1,
            options,
            body,
        },
        "ACK" => FromClient::Ack {
            session,
            call,
            hold_us: block.number("hold"),
            credit: block.number("credit"),
            cell: block.number("cell"),
            proofs,
        },
        "FENCE" => FromClient::Fence { session, call, proofs },
        "STATUS" => FromClient::Status { session, call, proofs },
        "PING" => FromClient::Ping { session, call, proofs },
        "CLOSE" => FromClient::Close { session, proofs },
        other => panic!("{}: no client sends {other}", block.name),
    }
}

/// What a vector of a server says, by its fields.
fn server_message<'a>(block: &Block, metadata: MetadataRef<'a>, body: &'a [u8]) -> FromServer<'a> {
    let (session, call) = (SessionId(block.id("session")), CallId(block.id("call")));
    let (clock, hold_us, credit) =
        (block.number("clock"), block.number("hold"), block.number("credit"));
    let (epoch, cell) = (Epoch(block.id("epoch")), block.number("cell"));
    match block.get("kind").unwrap() {
        "VERSION" => FromServer::Version {
            session,
            call,
            lowest: block.number("lowest"),
            highest: block.number("highest"),
        },
        "HELLO_ACK" => {
            FromServer::HelloAck { session, nonce: nonce(block), clock, ack: hello_ack(block) }
        }
        "REPLY" => FromServer::Reply {
            session,
            call,
            clock,
            hold_us,
            credit,
            status: Code::from_u8(block.number("status")),
            flags: Flags::from_u8(block.number("flags")),
            cell,
            metadata,
            body,
        },
        "PROGRESS" => FromServer::Progress {
            session,
            call,
            clock,
            hold_us,
            credit,
            state: SlotState::from_u8(block.number("state")),
            cell,
        },
        "REFUSED" => FromServer::Refused {
            session,
            call,
            clock,
            epoch,
            hold_us,
            reason: Reason::from_u8(block.number("reason")),
            promise: Flags::from_u8(block.number("flags")).contains(Flags::PROMISE),
        },
        "CHALLENGE" => {
            FromServer::Challenge { session, call, clock, path: proofs(block).path.unwrap() }
        }
        "PONG" => FromServer::Pong { session, call, clock, epoch, hold_us },
        "GOAWAY" => FromServer::Goaway {
            session,
            call,
            clock,
            epoch,
            hold_us,
            reason: Reason::from_u8(block.number("reason")),
        },
        other => panic!("{}: no server sends {other}", block.name),
    }
}

fn hello_ack(block: &Block) -> HelloAck {
    let proofs = proofs(block);
    let mut software = [0; 16];
    let name = block.get("software").unwrap().as_bytes();
    software[..name.len()].copy_from_slice(name);
    HelloAck {
        epoch: Epoch(block.id("epoch")),
        birth: proofs.birth.unwrap(),
        path: proofs.path.unwrap(),
        limits: Limits {
            window: block.number("window"),
            longest_deadline_ms: block.number("longest_deadline_ms"),
            lease_ms: block.number("lease_ms"),
            longest_datagram: block.number("longest_datagram"),
            longest_request: block.number("longest_request"),
            longest_reply: block.number("longest_reply"),
        },
        version: block.number("version"),
        software,
    }
}

/// Puts the options that `emit` does not write (a vector's `extra`) behind the proofs.
fn with_extra(mut datagram: Vec<u8>, extra: &[u8]) -> Vec<u8> {
    if !extra.is_empty() {
        let behind_proofs = HEADER_LEN + usize::from(datagram[47]) * 4;
        datagram.splice(behind_proofs..behind_proofs, extra.iter().copied());
        datagram[47] += u8::try_from(extra.len() / 4).unwrap();
        seal(&mut datagram);
    }
    datagram
}

#[test]
fn vectors_say_what_they_name_and_are_emitted_byte_for_byte() {
    let mut kinds = BTreeSet::new();
    for block in blocks("vector") {
        let (name, bytes) = (&block.name, block.bytes());
        let (body, extra) = (body(&block), hex(block.get("extra").unwrap_or_default()));
        let attempt = block.number("attempt");
        let metadata = metadata(&block);
        let mut emitted = Vec::new();
        match block.direction.as_str() {
            "client" => {
                let options = &bytes[HEADER_LEN..][..usize::from(bytes[47]) * 4];
                let message = client_message(&block, options, metadata.borrow(), &body);
                let datagram = Datagram { attempt, message };
                assert_eq!(parse_from_client(&bytes).as_ref(), Ok(&datagram), "{name}");
                datagram.emit(&mut emitted);
            }
            "server" => {
                let datagram =
                    Datagram { attempt, message: server_message(&block, metadata.borrow(), &body) };
                assert_eq!(parse_from_server(&bytes).as_ref(), Ok(&datagram), "{name}");
                datagram.emit(&mut emitted);
            }
            other => panic!("{name}: direction {other}"),
        }
        let mut emitted = with_extra(emitted, &extra);
        if block.get("pad").is_some() {
            assert!(pad(&mut emitted, 0, block.number("pad")), "{name}");
        }
        assert_eq!(emitted, bytes, "{name}");
        kinds.insert(block.get("kind").unwrap().to_owned());
    }
    let all = Kind::ALL.iter().map(|kind| kind.name().to_owned());
    assert_eq!(kinds, all.collect(), "one vector at least for every kind");
}

fn error_name(error: ParseError) -> String {
    let name = format!("{error:?}");
    name.split(' ').next().unwrap_or_default().to_owned()
}

fn error_of(direction: &str, bytes: &[u8]) -> Option<ParseError> {
    match direction {
        "client" => parse_from_client(bytes).err(),
        _ => parse_from_server(bytes).err(),
    }
}

#[test]
fn malformed_vectors_are_dropped_for_the_reason_that_they_name() {
    let mut seen = BTreeSet::new();
    for block in blocks("invalid") {
        let error = error_of(&block.direction, &block.bytes());
        let Some(error) = error.map(error_name) else {
            panic!("{} is accepted", block.name);
        };
        assert_eq!(error, block.error, "{}", block.name);
        seen.insert(error);
    }
    let named = table("| check | name of the error |");
    let named = named.iter().map(|row| row[1].trim_matches('`').to_owned());
    assert_eq!(seen, named.collect(), "one vector at least for every error");
}

#[test]
fn every_prefix_and_every_flipped_bit_of_a_vector_is_dropped() {
    for block in blocks("vector") {
        let mut bytes = block.bytes();
        for length in 0..bytes.len() {
            let error = error_of(&block.direction, &bytes[..length]);
            assert!(error.is_some(), "{} cut to {length} bytes", block.name);
        }
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            let error = error_of(&block.direction, &bytes);
            assert!(error.is_some(), "{} with bit {bit} flipped", block.name);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn call_token_vector_is_read_and_written() {
    for block in blocks("token") {
        let token = CallToken {
            server: block.get("server").unwrap().parse().unwrap(),
            epoch: Epoch(block.id("epoch")),
            session: SessionId(block.id("session")),
            call: CallId(block.id("call")),
            minted: block.number("minted"),
            known_until: block.number("known_until"),
            expiry: block.number("expiry"),
        };
        assert_eq!(token.to_string(), block.content.trim());
        assert_eq!(block.content.trim().parse(), Ok(token));
    }
}

fn hex_number(cell: &str) -> u64 {
    u64::from_str_radix(cell.trim_matches('`').trim_start_matches("0x"), 16).unwrap()
}

#[test]
fn table_of_kinds_is_the_code_s() {
    let rows = table("| kind | name | from | sent to |");
    let written = rows.iter().map(|row| (hex_number(&row[0]), &*row[1], row[2] == "server"));
    let coded =
        Kind::ALL.iter().map(|kind| (u64::from(kind.to_u8()), kind.name(), kind.is_from_server()));
    assert_eq!(written.collect::<Vec<_>>(), coded.collect::<Vec<_>>());
}

#[test]
fn table_of_flags_is_the_code_s() {
    let mut all = 0;
    for row in table("| flag | name | meaning |") {
        let bits = u8::try_from(hex_number(&row[0])).unwrap();
        all |= bits;
        let shown = Flags::from_u8(bits).to_string();
        assert_eq!(shown, if row[1] == "–" { "0xc0" } else { &row[1] });
    }
    assert_eq!(all, u8::MAX);
}

/// `Variant` out of `variant name`: how the tables name what the code spells in camel case.
fn squeezed(name: &str) -> String {
    name.replace([' ', '_'], "").to_lowercase()
}

#[test]
fn table_of_reasons_is_the_code_s() {
    let rows = table("| reason | name | PROMISE | meaning | code | outcome | passing |");
    assert_eq!(rows.len(), Reason::ALL.len());
    for (row, reason) in rows.iter().zip(Reason::ALL) {
        assert_eq!(row[0], reason.to_u8().to_string());
        assert_eq!(squeezed(&row[1]), squeezed(&format!("{reason:?}")));
        assert_eq!(row[2] == "yes", reason.to_u8() >= 16, "{reason}");
        assert_eq!(row[4], reason.code().name(), "{reason}");
        assert_eq!(row[6] == "yes", reason.is_passing(), "{reason}");
    }
}

#[test]
fn table_of_status_codes_is_the_code_s() {
    let rows = table("| code | name | code | name |");
    let mut written: Vec<(u8, String)> = rows
        .iter()
        .flat_map(|row| row.chunks(2))
        .filter(|pair| !pair[0].is_empty())
        .map(|pair| (pair[0].parse().unwrap(), pair[1].clone()))
        .collect();
    written.sort();
    let coded = Code::ALL.iter().map(|code| (code.to_u8(), code.name().to_owned()));
    assert_eq!(written, coded.collect::<Vec<_>>());
}

#[test]
fn table_of_slot_states_is_the_code_s() {
    for row in table("| code | name | meaning |") {
        let state = SlotState::from_u8(row[0].parse().unwrap());
        assert_eq!(squeezed(&format!("{state:?}")), row[1]);
    }
}

#[test]
fn table_of_method_ids_is_the_code_s() {
    let rows = table("| full name | method id |");
    assert!(rows.len() > 3);
    for row in rows {
        let name = if row[0].starts_with('`') { row[0].trim_matches('`') } else { "" };
        assert_eq!(MethodId::of(name).0, hex_number(&row[1]), "{name}");
    }
}

#[test]
fn table_of_sizes_is_the_code_s() {
    let rows = table("| name | value | why | beyond it |");
    let value = |name: &str| -> usize {
        let row = rows.iter().find(|row| row[0] == name).unwrap_or_else(|| panic!("no {name}"));
        row[1].split(' ').next().unwrap().parse().unwrap()
    };
    assert_eq!(value("header length"), HEADER_LEN);
    assert_eq!(value("longest datagram"), MAX_DATAGRAM);
    assert_eq!(value("longest request body"), MAX_REQUEST_BODY);
    assert_eq!(value("longest reply body"), MAX_BODY);
    assert_eq!(value("least HELLO"), HELLO_LEN);
    assert_eq!(value("longest options"), OPTIONS_LEN_MAX);
    assert_eq!(value("longest metadata"), METADATA_MAX);
    assert_eq!(value("default port"), usize::from(DEFAULT_PORT));
}

/// The first number of the second cell in the row called `name`, times its unit.
fn default_of(rows: &[Vec<String>], name: &str) -> u64 {
    let row = rows.iter().find(|row| row[0].starts_with(name));
    let row = row.unwrap_or_else(|| panic!("no {name}"));
    let mut words = row[1].split([' ', ';']);
    let number: u64 = words.next().unwrap().parse().unwrap();
    number * if words.next() == Some("MiB") { 1 << 20 } else { 1 }
}

#[test]
fn tables_of_defaults_are_the_code_s() {
    let mut rows = table("| name | default | why | beyond it |");
    for nth in 1..3 {
        rows.extend(nth_table("| name | default | why | beyond it |", nth));
    }
    let default = |name| default_of(&rows, name);
    let size = |value: usize| u64::try_from(value).unwrap();

    let server = ServerConfig::default();
    assert_eq!(server.check(), Ok(()));
    assert_eq!(default("window `W`"), u64::from(server.window));
    assert_eq!(u128::from(default("longest deadline")), server.longest_deadline.as_millis());
    assert_eq!(u128::from(default("lease")), server.lease.as_millis());
    assert_eq!(default("sessions"), size(server.max_sessions));
    assert_eq!(default("sessions per source"), size(server.max_sessions_per_source));
    assert_eq!(default("tombstones"), size(server.max_tombstones));
    assert_eq!(default("queued calls"), size(server.max_queued));
    assert_eq!(default("answers that wait"), size(server.max_answers));
    assert_eq!(default("memory for sessions"), size(server.record_memory));
    assert_eq!(default("memory for replies"), size(server.reply_memory));

    let client = ClientConfig::default();
    assert_eq!(default("timeout of a call"), client.timeout.as_secs());
    assert_eq!(Some(default("ping after idleness")), client.ping_after_idle.map(|d| d.as_secs()));
    assert_eq!(default("calls waiting"), size(client.max_waiting));
}

#[test]
fn python_example_keeps_to_the_protocol() {
    let run = std::process::Command::new("python3")
        .args(["-B", "-m", "unittest", "discover", "-s", "examples/python"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    match run {
        Ok(run) => assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr)),
        Err(error) => eprintln!("skipped: python3 does not run: {error}"),
    }
}

#[test]
fn requirements_are_numbered_in_order_and_every_citation_finds_one() {
    let number = |text: &str| -> Option<(u32, u32)> {
        let (section, rest) = text.strip_prefix("R-")?.split_once('.')?;
        Some((section.parse().ok()?, rest.parse().ok()?))
    };
    let mut defined: Vec<(u32, u32)> = Vec::new();
    let mut cited = BTreeSet::new();
    let mut section = 0;
    for line in PROTOCOL.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            section = heading.split('.').next().unwrap().parse().unwrap();
        }
        for (nth, text) in line.split("**").enumerate().filter(|(nth, _)| nth % 2 == 1) {
            let Some(id) = number(text) else { continue };
            if nth == 1 && line.starts_with("**R-") {
                let before = defined.iter().filter(|(chapter, _)| *chapter == id.0).count();
                assert_eq!(id, (section, u32::try_from(before).unwrap() + 1), "{line}");
                defined.push(id);
            } else {
                cited.insert(id);
            }
        }
    }
    assert!(defined.len() > 80, "{}", defined.len());
    for id in cited {
        assert!(defined.contains(&id), "R-{}.{} is cited and does not exist", id.0, id.1);
    }
}
