//! What the files under `proto/` say, in Rust: messages, and a typed signature
//! ([`Unary`](super::Unary)) for each unary method, in a module named for its service.
//!
//! Written by `tests/generated.rs`, which also checks that it is up to date; never by hand.

/// `udprpc.v1`: the services that come with every server of this library.
#[allow(clippy::all, clippy::pedantic, unreachable_pub, missing_docs)]
pub mod v1 {
    include!("udprpc.v1.rs");
}

/// `grpc.health.v1`: health, in gRPC's shape.
#[allow(clippy::all, clippy::pedantic, unreachable_pub, missing_docs)]
pub mod health {
    include!("grpc.health.v1.rs");
}

/// The tutorial greeter, which has no package.
#[allow(clippy::all, clippy::pedantic, unreachable_pub, missing_docs)]
pub mod greeter {
    include!("greeter.rs");
}

/// The descriptors of all of these and of what they import: a serialised
/// `google.protobuf.FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!("builtin.binpb");
