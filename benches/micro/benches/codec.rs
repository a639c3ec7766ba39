//! The codec: 64 datagrams each, of a few bytes of message, checksum included.

use std::hint::black_box;

use gungraun::Callgrind;
use gungraun::prelude::*;
use micro::{CALLS, Stage, set};
use udp_rpc::wire::{
    FromServer, HEADER_LEN, MAX_DATAGRAM, parse_from_client, parse_from_server, seal,
};

// Reads requests.
#[library_benchmark]
#[bench::of_64(set::sent())]
fn parse_request(stage: Stage) -> Stage {
    for datagram in stage.requests.datagrams() {
        black_box(parse_from_client(black_box(datagram))).expect("a request");
    }
    stage
}

// Reads replies.
#[library_benchmark]
#[bench::of_64(set::answered())]
fn parse_reply(stage: Stage) -> Stage {
    for datagram in stage.replies.datagrams() {
        black_box(parse_from_server(black_box(datagram))).expect("a reply");
    }
    stage
}

// A reply, 64 times, into a buffer that has room.
fn reply() -> (Stage, Vec<u8>) {
    (set::answered(), Vec::with_capacity(CALLS * MAX_DATAGRAM))
}

// Writes replies: what was parsed is written again.
#[library_benchmark]
#[bench::of_64(reply())]
fn parse_and_emit_reply((stage, mut out): (Stage, Vec<u8>)) -> (Stage, Vec<u8>) {
    for datagram in stage.replies.datagrams() {
        let reply = parse_from_server(black_box(datagram)).expect("a reply");
        debug_assert!(matches!(reply.message, FromServer::Reply { .. }));
        reply.emit(&mut out);
    }
    (stage, out)
}

// The checksum of a datagram of this length, 64 times.
#[library_benchmark]
#[bench::shortest(vec![0; HEADER_LEN])]
#[bench::longest(vec![0; MAX_DATAGRAM])]
fn seal_datagram(mut datagram: Vec<u8>) -> Vec<u8> {
    for _ in 0..CALLS {
        seal(black_box(&mut datagram));
    }
    datagram
}

library_benchmark_group!(
    name = datagrams,
    benchmarks = [parse_request, parse_reply, parse_and_emit_reply, seal_datagram]
);

main!(
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"])),
    library_benchmark_groups = [datagrams]
);
