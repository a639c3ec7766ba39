//! The same calls by this project and by its neighbours, side by side, in turn, in one run.
//!
//! Servers and clients are processes of this program, each bound to a core of its own. A round
//! runs every case once; rounds follow each other, so that a machine whose mood changes does so
//! for all. `--help` says what can be chosen; `docs/PERFORMANCE.md` what the figures mean.

mod cases;
mod goals;
mod host;
mod lossy;
mod measure;
mod operands;
mod relay;
mod report;
mod rivals;
mod rounds;
mod settings;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use settings::{Load, Run, Serve};

/// The same calls by udp-rpc, raw UDP, gRPC (tonic), tarpc and QUIC (quinn), side by side.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(flatten)]
    run: Run,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves until standard input ends: the server's side of a case.
    Serve(Serve),
    /// Makes calls and prints what was measured as JSON: the client's side of a case.
    Load(Load),
    /// Holds datagrams up and loses some, between a client and a server.
    Relay(relay::Relay),
    /// The cases under loss, in a network namespace that this is started in.
    #[command(hide = true)]
    Inside(Run),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        None => rounds::run(&arguments.run),
        Some(Command::Serve(serve)) => rivals::serve(&serve),
        Some(Command::Load(load)) => rivals::load(&load),
        Some(Command::Relay(relay)) => relay::run(&relay),
        Some(Command::Inside(run)) => lossy::inside(&run),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}
