//! What is well-formed to the wire and meant badly: messages that nest or claim without end,
//! metadata that is none, replies that are no replies, more than there is room for. Each is a clear
//! error to whoever sent it, in bounded memory, and the server goes on.
#![cfg(feature = "cli")]

#[path = "../common/mod.rs"]
mod common;

mod memory;
mod messages;
mod metadata;

use std::sync::Arc;

use udp_rpc::server::{Running, Server};
use udp_rpc::service::{Executor, Registry, Task, Unary, builtin};

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
    Server::spawn_local(registry).unwrap()
}
