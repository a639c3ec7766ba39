//! `ping`, `stats`, `decode`.

use std::process::Stdio;

use udp_rpc::wire::{
    CallId, Code, Datagram, Flags, FromClient, FromServer, HELLO_LEN, MetadataRef, MethodId,
    Proofs, SessionId,
};

use crate::common::Daemon;
use crate::protocol::blocks;
use crate::run::{at, command, json_line, nobody, on, udp_rpc};

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let daemon = Daemon::start();
    for arguments in [&["list"][..], &["stats", "-a"], &["demo"], &["help", "outcomes"]] {
        let mut child = command(arguments)
            .env("UDP_RPC_SERVER", daemon.address().to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
    }
}

#[test]
fn ping_sums_up_loss_and_round_trips_and_names_the_server() {
    let daemon = Daemon::start();
    let run = on(&daemon, &["ping", "-c", "3", "-i", "1ms"]);
    assert_eq!(run.code, 0, "{run:?}");
    for word in ["3 pings, 3 answered", "RTT min/mean/max", "udp-rpc 0.", "epoch "] {
        assert!(run.stdout.contains(word), "no {word:?} in {}", run.stdout);
    }
    let run = on(&daemon, &["ping", "-c", "1", "-o", "json"]);
    let summary = &json_line(&run.stdout)["summary"];
    assert_eq!((&summary["answered"], &summary["pings"]), (&1.into(), &1.into()));
    assert!(summary["rttMinMs"].is_number());
}

#[test]
fn ping_of_nobody_says_so_and_fails() {
    let run = at(nobody(), &["ping"]);
    assert_eq!(run.code, 3, "{run:?}");
    assert!(run.stdout.contains("0 answered"), "{run:?}");
}

#[test]
fn stats_add_up_to_the_datagrams_received() {
    let daemon = Daemon::start();
    on(&daemon, &["call", "add", "3", "4"]).expect(0, "7\n");
    let run = on(&daemon, &["stats", "-a", "-o", "json"]);
    assert_eq!(run.code, 0, "{run:?}");
    let names: Vec<String> = run
        .stdout
        .lines()
        .map(|line| json_line(line)["name"].as_str().unwrap().to_owned())
        .collect();
    assert!(names.iter().any(|name| name == "calls.executed"), "{names:?}");
    assert!(names.len() > 40, "more than a page holds: {names:?}");
    let mut sorted = names.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(names, sorted);
    let run = on(&daemon, &["stats", "calls.failed"]);
    assert_eq!((run.code, run.stdout.as_str()), (0, ""), "zeros are not shown unless asked for");
}

fn hello() -> String {
    let mut bytes = Vec::new();
    let message = FromClient::Hello {
        session: SessionId(0x0123_4567_89ab_cdef),
        nonce: 7,
        lowest: 1,
        highest: 1,
        length: HELLO_LEN,
    };
    Datagram { attempt: 1, message }.emit(&mut bytes);
    data_encoding::HEXLOWER.encode(&bytes)
}

fn request() -> String {
    let mut bytes = Vec::new();
    let message = FromClient::Request {
        session: SessionId(1),
        call: CallId(4096),
        expiry: 10_000_000,
        method: MethodId::of("udprpc.v1.Calculator/Add"),
        flags: Flags::WHOLE,
        cell: 0,
        proofs: Proofs::default(),
        metadata: MetadataRef::EMPTY,
        unknown_critical: false,
        options: &[],
        body: &[8, 3, 16, 4],
    };
    Datagram { attempt: 2, message }.emit(&mut bytes);
    data_encoding::HEXLOWER.encode(&bytes)
}

fn reply() -> String {
    let mut bytes = Vec::new();
    let message = FromServer::Reply {
        session: SessionId(1),
        call: CallId(4096),
        clock: 99,
        hold_us: 12,
        credit: 0,
        status: Code::Ok,
        flags: Flags::WHOLE,
        cell: 0,
        metadata: MetadataRef::EMPTY,
        body: &[8, 7],
    };
    Datagram { attempt: 2, message }.emit(&mut bytes);
    data_encoding::HEXLOWER.encode(&bytes)
}

#[test]
fn decode_reads_datagrams_of_either_direction() {
    let run = udp_rpc(&["decode", &hello(), &request(), &reply()]);
    assert_eq!(run.code, 0, "{run:?}");
    for word in [
        "HELLO, from a client, 128 bytes",
        "0123456789abcdef",
        "udprpc.v1.Calculator/Add",
        "08 03 10 04",
        "REPLY, from a server, 50 bytes",
        "12 µs",
    ] {
        assert!(run.stdout.contains(word), "no {word:?} in {}", run.stdout);
    }
}

#[test]
fn decode_takes_hexadecimal_as_people_paste_it() {
    let plain = request();
    let pairs: Vec<&str> = (0..plain.len()).step_by(2).map(|at| &plain[at..at + 2]).collect();
    let expected = udp_rpc(&["decode", &plain]).stdout;
    assert!(expected.contains("REQUEST"), "{expected}");
    for text in [pairs.join(" "), pairs.join(":"), format!("0x{plain}"), plain.to_uppercase()] {
        udp_rpc(&["decode", &text]).expect(0, &expected);
    }
    let daemon = Daemon::start();
    let input = format!("{}\n\n{}\n", request(), reply());
    let run = crate::run::on_with_input(&daemon, &["decode", "-o", "json"], &input);
    let kinds: Vec<_> = run
        .stdout
        .lines()
        .map(|line| json_line(line)["kind"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!((run.code, kinds), (0, vec!["REQUEST".into(), "REPLY".into()]));
}

#[test]
fn decode_reads_the_vectors_of_the_protocol() {
    let vectors = blocks("vector");
    let mut text: Vec<String> = vectors.iter().map(|vector| vector.content.clone()).collect();
    text.push(String::new());
    let daemon = Daemon::start();
    let run = crate::run::on_with_input(&daemon, &["decode", "-o", "json"], &text.join("\n\n"));
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(run.stdout.lines().count(), vectors.len());
    for (line, vector) in run.stdout.lines().zip(&vectors) {
        let decoded = json_line(line);
        assert_eq!(decoded["kind"], vector.get("kind").unwrap(), "{}", vector.name);
        assert_eq!(decoded["from"], vector.direction, "{}", vector.name);
        assert_eq!(decoded["length"], vector.bytes().len(), "{}", vector.name);
    }
}

#[test]
fn decode_names_what_is_wrong_and_still_reads_the_rest() {
    let mut damaged = request();
    damaged.replace_range(100..102, "ff");
    let run = udp_rpc(&["decode", &damaged, "5552", "zz", &reply()]);
    assert_eq!(run.code, 1, "{run:?}");
    for word in ["CRC-32 does not match", "shorter than", "no hexadecimal digit", "REPLY"] {
        assert!(run.stdout.contains(word), "no {word:?} in {}", run.stdout);
    }
}
