//! What the files under `proto/` say, in Rust: messages, and a typed signature
//! ([`Unary`](super::Unary)) for each unary method, in a module named for its service.
//!
//! `builtin.rs` is written by `tests/generated.rs`, which also checks that it is up to date; never
//! by hand.

mod builtin {
    include!("builtin.rs");
}

pub use builtin::DESCRIPTORS;
pub use builtin::grpc::health::v1 as health;
pub use builtin::udprpc::v1;

/// The tutorial greeter, which has no package.
pub mod greeter {
    pub use super::builtin::{DelayedReply, HelloReply, HelloRequest, greeter};
}
