//! The server's hot path takes no memory: what is counted here is every allocation of the whole
//! process, in which nothing runs but a server and a peer that takes none itself.
#![cfg(all(feature = "cli", target_os = "linux"))]

mod common;

use std::alloc::System;
use std::net::UdpSocket;

use common::raw::Peer;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use udp_rpc::server::Server;
use udp_rpc::service::{Method, Registry, builtin};
use udp_rpc::wire::{FromServer, MethodId, parse_from_server};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Calls before the count begins: each slot of the session's window has been used by then, and
/// every buffer has grown to its length.
const WARM_UP: usize = 3 * 4096;

/// Calls that are counted.
const CALLS: usize = 4 * 4096;

/// A method of bytes.
const ECHO: &str = "Test/Echo";

/// Calls in flight.
const IN_FLIGHT: usize = 64;

/// Makes these calls, some at a time, and takes no memory.
fn make(socket: &UdpSocket, requests: &[Vec<u8>]) {
    let mut buffer = [0; 2048];
    for some in requests.chunks(IN_FLIGHT) {
        for request in some {
            socket.send(request).unwrap();
        }
        for _ in some {
            let length = socket.recv(&mut buffer).expect("a reply");
            let answer = parse_from_server(&buffer[..length]).unwrap();
            assert!(matches!(answer.message, FromServer::Reply { .. }), "{answer:?}");
        }
    }
}

#[test]
fn calls_take_no_memory_in_the_steady_state() {
    for threads in [1, 2] {
        let mut registry = Registry::new();
        builtin::install(&mut registry).unwrap();
        let echo = Method::inline(ECHO, |_, request, reply| {
            reply.extend_from_slice(request);
            Ok(())
        });
        registry.add(echo).unwrap();
        let server = Server::builder(registry).threads(threads).spawn_local().unwrap();
        let peer = Peer::new(server.local_addr());
        let offer = peer.open(7);
        let methods = [("udprpc.v1.Calculator/Add", &[0x08, 3, 0x10, 4][..]), (ECHO, b"hello")];
        for (number, (method, body)) in methods.into_iter().enumerate() {
            let first = (u64::from(offer.ack.limits.window)) * (1 + 100 * number as u64);
            let requests: Vec<_> = (first..)
                .take(WARM_UP + CALLS)
                .map(|call| offer.request(call, MethodId::of(method), body))
                .collect();
            let socket = peer.socket();
            socket.set_read_timeout(Some(common::PATIENCE)).unwrap();
            let (before, counted) = requests.split_at(WARM_UP);
            make(socket, before);
            let region = Region::new(ALLOCATOR);
            make(socket, counted);
            let change = region.change();
            println!("{method}, {threads} threads: {change:?}");
            assert_eq!((change.allocations, change.reallocations), (0, 0), "{method}");
        }
    }
}
