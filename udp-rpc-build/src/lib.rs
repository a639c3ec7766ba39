//! Turns `.proto` files into messages, server traits and typed clients for `udp-rpc`, in a build
//! script. Nobody needs `protoc`.
//!
//! # In two lines
//!
//! `Cargo.toml`:
//!
//! ```toml
//! [dependencies]
//! udp-rpc = { version = "0.2", default-features = false, features = ["protobuf"] }
//!
//! [build-dependencies]
//! udp-rpc-build = "0.2"
//! ```
//!
//! `build.rs`:
//!
//! ```no_run
//! fn main() -> Result<(), udp_rpc_build::Error> {
//!     udp_rpc_build::compile("proto/greeter.proto")
//! }
//! ```
//!
//! `proto/greeter.proto`:
//!
//! ```proto
//! syntax = "proto3";
//! package demo;
//!
//! service Greeter {
//!   // Says hello.
//!   rpc SayHello(HelloRequest) returns (HelloReply) {
//!     option idempotency_level = NO_SIDE_EFFECTS;
//!   }
//! }
//!
//! message HelloRequest { string name = 1; }
//! message HelloReply { string message = 1; }
//! ```
//!
//! `src/main.rs`:
//!
//! ```ignore
//! use udp_rpc::client::BlockingClient;
//! use udp_rpc::server::Server;
//! use udp_rpc::service::{Context, Registry, Status};
//!
//! mod proto {
//!     udp_rpc::include_protos!();
//! }
//! use proto::demo::greeter::{BlockingGreeterClient, Greeter, service};
//! use proto::demo::{HelloReply, HelloRequest};
//!
//! struct Polite;
//!
//! impl Greeter for Polite {
//!     fn say_hello(&self, _: &Context<'_>, request: HelloRequest) -> Result<HelloReply, Status> {
//!         Ok(HelloReply { message: format!("Hello {}", request.name) })
//!     }
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let mut registry = Registry::new();
//!     registry.add_service(service(Polite))?;
//!     let server = Server::builder(registry).listen("127.0.0.1:0").bind()?.spawn()?;
//!
//!     let client = BlockingClient::connect(server.local_addr())?;
//!     let mut greeter = BlockingGreeterClient::new(client);
//!     let reply = greeter.say_hello(&HelloRequest { name: "Annie".into() })?;
//!     assert_eq!(reply.message, "Hello Annie");
//!     Ok(())
//! }
//! ```
//!
//! # What is generated
//!
//! A module for each package, inside that of the package around it; for each message and enum what
//! prost makes of it; `DESCRIPTORS`, for reflection; and for each service `package.Greeter` a module
//! `package::greeter` (`greeter_service` where a package or the types inside a message are called
//! so) with
//!
//! - a signature for each method, `SAY_HELLO`: name, types, and what a second run would do, which
//!   is what its `idempotency_level` says;
//! - the trait `Greeter` and the function `service`, for servers;
//! - the trait `AsyncGreeter` and the function `async_service`, for servers whose methods are
//!   futures;
//! - `GreeterClient`, whose calls are futures, and `BlockingGreeterClient`.
//!
//! Comments become documentation. What is marked `deprecated` is so in Rust. A name that is a
//! keyword is written as one can be: `r#type`, `self_`. A method `New` of a client is called `new_`.
//! Methods that stream are there, and to call one is an error of compilation: streams are not on the
//! wire yet.
//!
//! # What is not
//!
//! `proto3` is supported whole and `proto2` as far as prost goes: extensions are left out, and
//! required fields are not checked. Editions are not supported: the parser does not know them.

mod assemble;
mod builder;
mod collisions;
mod comments;
mod error;
mod names;
mod service;

use std::path::PathBuf;

pub use builder::{Builder, Output};
pub use error::Error;
/// What [`Builder::messages`] configures.
pub use prost_build;

/// Generates code for this `.proto` file and all that it imports, for `include_protos!`. Imports are
/// looked for in the file's own folder; [`Builder`] can do more.
///
/// # Errors
///
/// What is wrong with a file, and where.
pub fn compile(file: impl Into<PathBuf>) -> Result<(), Error> {
    Builder::new().file(file).compile()
}
