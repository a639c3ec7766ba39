//! The simulator: the real client and server cores in a world of virtual time and bad luck.
//!
//! A world has one server, a few clients and whoever asks about their calls; paths that lose,
//! duplicate, reorder, damage and delay datagrams, some for longer than leases; processes that crash,
//! start again, sleep, close, change their address; clocks that run wrong. All of it is drawn from
//! one number, the seed, and a checker that sees everything (`oracle`) holds the promises made to
//! callers against what really happened. No promise is checked by asking a core.
//!
//! A failure prints its seed. `UDP_RPC_SEED=1234 cargo test --lib sim::tests::worlds` runs the worlds
//! of that seed alone; with `UDP_RPC_TRACE=1` besides, every datagram and event of them is printed.
//! `UDP_RPC_SEEDS=100000` runs so many seeds, from that one on.
//!
//! Nothing here reads a clock, uses a thread or touches a socket.

// Panicking is what a simulator is for; and what it indexes it has made itself.
#![allow(clippy::indexing_slicing)]

mod amplification;
mod client_host;
mod clock;
pub mod fuzz;
mod inquiry_host;
mod net;
mod oracle;
mod plan;
mod server_host;
mod work;
mod world;

pub use clock::Truth;
pub use net::Traffic;
pub use oracle::{Ends, Promise, Violation};
pub use plan::Kind;
pub use world::{Failure, Report};

use self::plan::Plan;
use self::world::World;

/// Lets the world of this seed run, with about this many calls, and prints all that happens if it
/// is to be traced.
///
/// # Errors
///
/// The first promise broken, with the seed.
pub fn run(seed: u64, kind: Kind, calls: u32, trace: bool) -> Result<Report, Failure> {
    let plan = Plan::draw(seed, kind, calls);
    let plan = Plan { trace, ..plan };
    World::new(seed, plan).run().map_err(|violation| Failure { seed, kind, calls, violation })
}

#[cfg(test)]
mod tests;
