//! Remote procedure calls in UDP datagrams, executed at most once, that tell the truth when they
//! fail.
//!
//! A call is one datagram there and one back. It ends in exactly one way, and [`core::CallError`]
//! says which: it ran and answered an error, it did not run and never will (with the proof), or
//! nobody can know, and then it ran at most once.
//!
//! - [`client::BlockingClient`] makes calls on its caller's thread; [`client::Client`] makes them
//!   from any number of threads and asynchronous tasks.
//! - [`server::Server`] serves the methods of a [`service::Registry`].
//! - [`core`] has the state machines of both, without sockets, clocks or threads.
//! - [`wire`] reads and writes datagrams; `PROTOCOL.md` is their specification.
//!
//! In the repository, `docs/TUTORIAL.md` goes from an empty folder to a service with a `.proto` file
//! of its own; `docs/GRPC.md` and `docs/SOCKETS.md` are for those who know one or the other.
//!
//! Imports run one way: `wire` ← `core` ← `service` ← `net` ← `client`, `server` ← the programs.
//!
//! ```
//! # #[cfg(feature = "protobuf")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use udp_rpc::client::BlockingClient;
//! use udp_rpc::server::Server;
//! use udp_rpc::service::{Registry, Unary};
//!
//! const HALF: Unary<i64, i64> = Unary::new("demo.Math/Half").no_side_effects();
//!
//! let mut registry = Registry::new();
//! registry.add(HALF.inline(|_context, n| Ok(n / 2)))?;
//! let server = Server::spawn_local(registry)?;
//!
//! let mut client = BlockingClient::connect(server.local_addr())?;
//! assert_eq!(client.call(&HALF, &14)?, 7);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "protobuf"))]
//! # fn main() {}
//! ```

pub mod client;
pub mod core;
pub mod net;
pub mod server;
pub mod service;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
pub mod wire;

/// The crate by which messages are protobuf; generated code finds it here.
#[cfg(feature = "protobuf")]
pub use prost;
/// The well-known types of protobuf; generated code finds them here.
#[cfg(feature = "protobuf")]
pub use prost_types;

/// What `udp-rpc-build` has generated from `.proto` files in the build script: a module for each
/// package, and `DESCRIPTORS`. A name is only needed where the build script gives one.
///
/// ```ignore
/// mod proto {
///     udp_rpc::include_protos!();
/// }
/// use proto::demo::greeter::{Greeter, service};
/// ```
#[cfg(feature = "protobuf")]
#[macro_export]
macro_rules! include_protos {
    () => {
        $crate::include_protos!("udp_rpc");
    };
    ($name:literal) => {
        ::core::include!(::core::concat!(::core::env!("OUT_DIR"), "/", $name, ".rs"));
    };
}

/// The examples of the README compile.
#[cfg(all(doctest, feature = "protobuf"))]
#[doc = include_str!("../README.md")]
struct Readme;
