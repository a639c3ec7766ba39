//! Those who are compared: how each serves additions, and how each makes them.
//!
//! A server prints a line, its address and what else a client has to know, and serves until its
//! standard input ends. A client prints what it has measured, as JSON. All have the same work and
//! the same means: one core, one thread that works (two in this project's `Client`, on that one
//! core), operands from the same source, sums that are checked, buffers and windows as long as the
//! number of calls in flight.

mod bare;
mod closed_loop;
mod gso;
mod quinn;
mod raw;
mod sessions;
mod tarpc;
mod tonic;
mod udp_rpc;

use std::io::{Read, Write};
use std::net::SocketAddr;

use crate::settings::{Error, Load, Program, Serve, pin};

pub(crate) use udp_rpc::burn_rounds;

/// Serves until standard input ends.
pub(crate) fn serve(serve: &Serve) -> Result<(), Error> {
    pin(&serve.cores)?;
    // Whoever started this process holds the other end, and may be gone without a word.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    match serve.program {
        Program::RawBlocking => raw::serve(serve, false),
        Program::RawSpinning => raw::serve(serve, true),
        Program::RawGso => gso::serve(serve),
        Program::UdpRpc | Program::UdpRpcAsync | Program::UdpRpcSessions => udp_rpc::serve(serve),
        Program::Tonic => closed_loop::block_on(tonic::serve(serve)),
        Program::Tarpc => closed_loop::block_on(tarpc::serve(serve)),
        Program::Quinn => closed_loop::block_on(quinn::serve(serve)),
    }
}

/// Makes calls, and prints what was measured.
pub(crate) fn load(load: &Load) -> Result<(), Error> {
    pin(&load.cores)?;
    let sample = match load.program {
        Program::RawBlocking => raw::load(load, false),
        Program::RawSpinning => raw::load(load, true),
        Program::RawGso => gso::load(load),
        Program::UdpRpc if load.threads => udp_rpc::load_from_threads(load),
        Program::UdpRpc if load.clients > 1 => udp_rpc::load_in_turn(load),
        Program::UdpRpc => udp_rpc::load(load),
        Program::UdpRpcAsync => closed_loop::block_on(udp_rpc::load_async(load)),
        Program::UdpRpcSessions if load.clients > 1 => bare::load_in_turn(load),
        Program::UdpRpcSessions => sessions::load(load),
        Program::Tonic => closed_loop::block_on(tonic::load(load)),
        Program::Tarpc => closed_loop::block_on(tarpc::load(load)),
        Program::Quinn => closed_loop::block_on(quinn::load(load)),
    }?;
    println!("{}", serde_json::to_string(&sample)?);
    Ok(())
}

/// Tells whoever started this server that it can be called.
fn listening(address: SocketAddr, hint: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "listening {address} {hint}")?;
    out.flush()?;
    Ok(())
}
