//! `udp-rpc`, the command line: call procedures over UDP, and be told the truth about them.
//!
//! A subcommand is a module with a `run`; it prints its answer and returns how the process is to
//! end. What went wrong is a [`failure::Failure`], told in one place, here.

mod address;
mod args;
mod batch;
mod bench;
mod bytes;
mod call;
mod comments;
mod datagram;
mod decode;
mod demo;
mod describe;
mod descriptors;
mod details;
mod exit;
mod failure;
mod fetch;
mod fill;
mod guard;
mod help;
mod input;
mod inquire;
mod interrupt;
mod json;
mod list;
mod local;
mod metadata;
mod model;
mod names;
mod nearest;
mod output;
mod path;
mod ping;
mod proto_text;
mod remote;
mod scalar;
mod schema;
mod stats;
mod style;
mod template;
#[cfg(test)]
mod testing;
mod traffic;
mod transcript;
mod units;
mod wellknown;

use std::process::ExitCode;

use clap::Parser;
use udp_rpc::client::Asked;

use args::{Cli, Command};
use exit::Exit;
use failure::Failure;

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("off")).init();
    match Cli::try_parse() {
        Ok(cli) => {
            let format = cli.global.output;
            run(&cli).unwrap_or_else(|failure| failure.report(format)).into()
        }
        Err(error) => {
            // A closed pipe is nobody's error.
            let _ = error.print();
            if error.use_stderr() { Exit::Usage.into() } else { Exit::Ok.into() }
        }
    }
}

fn run(cli: &Cli) -> Result<Exit, Failure> {
    let global = &cli.global;
    match &cli.command {
        Command::Call(args) => call::run(global, args),
        Command::Bench(args) => bench::run(global, args),
        Command::List(args) => list::run(global, args),
        Command::Describe(args) => describe::run(global, args),
        Command::Ping(args) => ping::run(global, args),
        Command::Status(args) => inquire::run(global, args, Asked::Status),
        Command::Fence(args) => inquire::run(global, args, Asked::Fence),
        Command::Stats(args) => stats::run(global, args),
        Command::Demo(args) => demo::run(global, args),
        Command::Decode(args) => decode::run(args, global.output),
        Command::Help(args) => help::run(args),
    }
}
