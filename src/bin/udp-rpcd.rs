//! The daemon: serves the built-in services.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::num::NonZero;
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgAction, Parser};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use udp_rpc::server::{Handle, Server, THREADS_MAX, WORKERS};
use udp_rpc::service::{Registry, builtin};
use udp_rpc::wire::DEFAULT_PORT;

/// Serves remote procedure calls in UDP datagrams, each executed at most once.
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER_HELP)]
struct Args {
    /// Address to listen on, as ADDR:PORT; may be given several times. Port 0 is any free port,
    /// and :PORT stands for 127.0.0.1:PORT.
    #[arg(
        short,
        long,
        value_name = "ADDR:PORT",
        default_values_t = [default_listen()],
        value_parser = parse_listen,
        env = "UDP_RPC_LISTEN",
        value_delimiter = ','
    )]
    listen: Vec<Listen>,

    /// Threads that receive and answer, each with sessions of its own; without this, one for
    /// every core that the daemon may use.
    #[arg(long, value_name = "N", value_parser = parse_threads)]
    threads: Option<usize>,

    /// Never sleep, but ask the sockets again and again: calls are answered sooner, for a core a
    /// thread, whether or not there are any.
    #[arg(long)]
    busy_poll: bool,

    /// Threads for handlers that take time.
    #[arg(long, value_name = "N", default_value_t = WORKERS, value_parser = parse_workers)]
    workers: usize,

    /// After a first SIGTERM or SIGINT: how long running calls may take to finish.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    grace: Duration,

    /// Say more on stderr: -v what the daemon does, -vv every detail. RUST_LOG says it more finely.
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,
}

const AFTER_HELP: &str = "\
Each address is printed on stdout as `listening on ADDR:PORT` once it is bound.
SIGTERM or SIGINT drains: new calls are refused as not executed, running ones are finished,
duplicates are still answered. A second signal ends the daemon at once.";

/// One `--listen`: what was said, and what it stands for.
#[derive(Debug, Clone)]
struct Listen {
    text: String,
    addresses: Vec<SocketAddr>,
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

fn default_listen() -> Listen {
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), DEFAULT_PORT);
    Listen { text: address.to_string(), addresses: vec![address] }
}

fn parse_listen(text: &str) -> Result<Listen, String> {
    let full = match text.strip_prefix(':') {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    let addresses: Vec<SocketAddr> = full
        .to_socket_addrs()
        .map_err(|error| format!("{error}; an address is ADDR:PORT, such as 127.0.0.1:5860"))?
        .collect();
    if addresses.is_empty() {
        return Err("the name has no address".into());
    }
    Ok(Listen { text: text.to_owned(), addresses })
}

fn parse_threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(threads @ 1..=THREADS_MAX) => Ok(threads),
        _ => Err(format!("a number from 1 to {THREADS_MAX}")),
    }
}

fn parse_workers(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(workers @ 1..=1024) => Ok(workers),
        _ => Err("a number from 1 to 1024".into()),
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    init_log(args.verbose);
    match serve(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("udp-rpcd: {error}");
            ExitCode::FAILURE
        }
    }
}

fn init_log(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(level)).init();
}

fn serve(args: &Args) -> Result<(), Box<dyn std::error::Error>> {
    let mut registry = Registry::new();
    builtin::install(&mut registry)?;
    let addresses: Vec<SocketAddr> =
        args.listen.iter().flat_map(|listen| listen.addresses.iter().copied()).collect();
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let server = Server::builder(registry)
        .listen(addresses.as_slice())
        .threads(args.threads.unwrap_or(cores))
        .busy_poll(args.busy_poll)
        .workers(args.workers)
        .bind()?;
    if addresses.iter().any(|address| !address.ip().is_loopback()) {
        log::warn!("nothing is authenticated yet: whoever can reach this address can call");
    }
    handle_signals(server.handle(), args.grace)?;
    let mut stdout = io::stdout().lock();
    for address in server.local_addrs() {
        writeln!(stdout, "listening on {address}")?;
    }
    stdout.flush()?;
    drop(stdout);
    server.run()?;
    Ok(())
}

/// The first signal drains, the second ends.
fn handle_signals(handle: Handle, grace: Duration) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    std::thread::Builder::new().name("udp-rpc-signals".into()).spawn(move || {
        let mut signals = signals.forever();
        if signals.next().is_some() {
            handle.drain(grace);
        }
        if signals.next().is_some() {
            handle.stop();
        }
    })?;
    Ok(())
}
