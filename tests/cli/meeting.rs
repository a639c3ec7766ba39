//! A server at which calls meet, to see how many are in flight.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use udp_rpc::server::{Running, Server};
use udp_rpc::service::{Registry, Unary, builtin};

/// Sends `{}` and takes `{}`.
const MEET: Unary<(), ()> = Unary::new("test.Meeting/Meet");

/// A server whose method `Meet` lets nobody pass before so many are there; and the most that it
/// has seen at once.
pub(crate) fn server(at_once: usize) -> (Running, Arc<AtomicUsize>) {
    let (running, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let meeting = Barrier::new(at_once);
    let seen = Arc::clone(&most);
    let mut registry = Registry::new();
    registry
        .add(MEET.pooled(move |_context, ()| {
            seen.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            meeting.wait();
            running.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        }))
        .unwrap();
    registry.describe(&descriptors()).unwrap();
    builtin::install_standard(&mut registry).unwrap();
    let server = Server::builder(registry).listen("127.0.0.1:0").workers(8).bind().unwrap();
    (server.spawn().unwrap(), most)
}

fn descriptors() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let source = "syntax = \"proto3\"; package test; message Nothing {} \
                  service Meeting { rpc Meet(Nothing) returns (Nothing); }";
    std::fs::write(folder.path().join("meeting.proto"), source).unwrap();
    let mut compiler = protox::Compiler::new([folder.path()]).unwrap();
    compiler.open_file("meeting.proto").unwrap();
    compiler.encode_file_descriptor_set()
}
