//! The command line's one definition: what is parsed here is what `--help` says.
//!
//! Nothing here acts. Values are checked as they are parsed, so that a wrong one is a usage error
//! (exit code 2) before any datagram is sent.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use udp_rpc::core::CallToken;
use udp_rpc::core::fault::parse_probability;

use crate::address::Address;
use crate::help;
use crate::units;

/// What follows the options in `--help`.
const AFTER_HELP: &str = "\
Exit codes: 0 it ran and answered · 1 it ran and answered an error · 2 usage · \
3 it did not run · 4 unknown · 130 interrupted.
`udp-rpc help outcomes` says what each allows you to do now.

stdout carries the answer and nothing else. Errors, -v and -vv go to stderr; with `-o json` each \
of them is one JSON object on a line of its own there.";

/// Remote procedure calls in UDP datagrams, executed at most once, that tell the truth when they
/// fail.
#[derive(Debug, Parser)]
#[command(name = "udp-rpc", version, after_help = AFTER_HELP, disable_help_subcommand = true)]
#[command(subcommand_required = true, arg_required_else_help = true, max_term_width = 96)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every subcommand.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// The server; `:PORT` is this host, `localhost` tries ::1 and 127.0.0.1
    #[arg(short, long, global = true, value_name = "HOST:PORT", env = "UDP_RPC_SERVER")]
    #[arg(default_value = "127.0.0.1:5860", value_parser = Address::parse)]
    pub(crate) server: Address,

    /// How long an answer is waited for, and how long the call may still start: 250ms, 1.5s
    /// [default: 10s; ping: 2s]
    #[arg(long, global = true, value_name = "DURATION", value_parser = units::positive_duration)]
    pub(crate) timeout: Option<Duration>,

    /// Wait for a server that is not there yet, up to the timeout
    #[arg(long, global = true)]
    pub(crate) wait: bool,

    /// Do not issue a call again, not even one proved not to have run
    #[arg(long, global = true)]
    pub(crate) no_retry: bool,

    /// How answers are printed
    #[arg(short, long, global = true, value_name = "FORMAT", value_enum)]
    #[arg(default_value_t = Format::Text)]
    pub(crate) output: Format,

    /// Say on stderr what the call took; twice (-vv): every datagram
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    #[command(flatten)]
    pub(crate) hurt: Hurt,
}

/// The options that hurt the client's own path.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Hurting the path on purpose, to watch at-most-once work")]
pub(crate) struct Hurt {
    /// Lose this share of the datagrams, each way
    #[arg(long, global = true, value_name = "SHARE", default_value = "0%")]
    #[arg(hide_default_value = true, value_parser = parse_probability)]
    pub(crate) loss: f64,

    /// Deliver this share of the datagrams twice, each way
    #[arg(long, global = true, value_name = "SHARE", default_value = "0%")]
    #[arg(hide_default_value = true, value_parser = parse_probability)]
    pub(crate) duplicate: f64,

    /// Delay every datagram by this much, each way
    #[arg(long, global = true, value_name = "DURATION", default_value = "0s")]
    #[arg(hide_default_value = true, value_parser = units::duration)]
    pub(crate) delay: Duration,
}

/// How answers are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A reply of one field bare, any other as JSON over several lines
    Text,
    /// Always JSON in protobuf's own mapping, one line; errors are JSON too, on stderr
    Json,
    /// The reply's bytes as they came
    Raw,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Call a procedure and print its answer
    Call(CallArgs),
    /// Call a procedure again and again, and say how fast that went
    Bench(BenchArgs),
    /// List the procedures that the server offers
    List(ListArgs),
    /// Say what a procedure takes, answers and promises, or what a service or a type is
    Describe(DescribeArgs),
    /// Measure the way to the server
    Ping(PingArgs),
    /// Ask what became of a call, by the token that was printed for it
    Status(TokenArgs),
    /// Make sure that a call does not start any more, and say what became of it
    Fence(TokenArgs),
    /// Print the server's counters
    Stats(StatsArgs),
    /// Show it all in five seconds: a daemon, a bad path, a hundred calls
    Demo(DemoArgs),
    /// Print the fields of datagrams given in hexadecimal
    Decode(DecodeArgs),
    /// Print help on a subcommand, or `help outcomes`
    Help(HelpArgs),
}

/// Calls in flight at once, unless said: enough to fill a server and a path of a few milliseconds,
/// and few enough that an ordinary server refuses none.
const IN_FLIGHT: u16 = 64;

/// Most calls in flight at once: as many as a session of an ordinary server has slots.
const IN_FLIGHT_MAX: i64 = 4096;

/// `call`
#[derive(Debug, Args)]
#[command(after_help = "`call --help` shows how requests are written.")]
#[command(after_long_help = help::CALL)]
pub(crate) struct CallArgs {
    /// The procedure: `package.Service/Method`, or its last part where that is unique
    pub(crate) method: String,

    /// The request's fields: in order (3 4), or named (a=3 b=4, address.city=Seoul)
    #[arg(value_name = "ARG", allow_negative_numbers = true)]
    pub(crate) arguments: Vec<String>,

    /// The request as JSON: '{"a":3}', @FILE, or @- for stdin; several values, or a file named
    /// .jsonl or .ndjson, make many calls
    #[arg(short, long, value_name = "JSON", conflicts_with = "arguments")]
    pub(crate) data: Option<String>,

    /// Metadata to go with the request, again for more; a key that ends in -bin has bytes for its
    /// value: base64, or @FILE
    #[arg(short = 'H', long = "metadata", value_name = "KEY=VALUE")]
    pub(crate) metadata: Vec<String>,

    /// Each line of the data is a request, whatever the file's name
    #[arg(long, requires = "data", conflicts_with = "arguments")]
    pub(crate) lines: bool,

    /// Of many calls, so many at once at most, 1 to 4096
    #[arg(long, value_name = "N", requires = "data", conflicts_with = "arguments")]
    #[arg(default_value_t = IN_FLIGHT)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=IN_FLIGHT_MAX))]
    pub(crate) in_flight: u16,

    #[command(flatten)]
    pub(crate) protos: Protos,
}

/// Most clients of a benchmark: each is a thread.
const CLIENTS_MAX: i64 = 1024;

/// `bench`
#[derive(Debug, Args)]
#[command(after_help = "`bench --help` shows examples, and says what is measured.")]
#[command(after_long_help = help::BENCH)]
pub(crate) struct BenchArgs {
    /// The procedure, as in `call`; it runs as often as it is called, side effects and all
    pub(crate) method: String,

    /// The request's fields, as in `call`
    #[arg(value_name = "ARG", allow_negative_numbers = true)]
    pub(crate) arguments: Vec<String>,

    /// Calls in flight at once at most, of each client, 1 to 4096
    #[arg(short = 'c', long, value_name = "N", default_value_t = IN_FLIGHT)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=IN_FLIGHT_MAX))]
    pub(crate) in_flight: u16,

    /// Clients, each with a session and a thread of its own, 1 to 1024
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=CLIENTS_MAX))]
    pub(crate) clients: u16,

    /// So many calls a second, of all clients together, each measured from when it was due; without
    /// it, an answer makes room for the next call
    #[arg(long, value_name = "PER_SECOND", value_parser = units::rate)]
    pub(crate) rate: Option<f64>,

    /// End after so many calls, of all clients together
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) calls: Option<u64>,

    /// End after so long [default: 10s, or when the calls of -n have been made]
    #[arg(long, value_name = "DURATION", value_parser = units::positive_duration)]
    pub(crate) duration: Option<Duration>,

    /// Make calls for so long first that are not counted [default: 1s; with -n: 0s]
    #[arg(long, value_name = "DURATION", value_parser = units::duration)]
    pub(crate) warm_up: Option<Duration>,

    /// Poll for answers without sleep: latency without the kernel's wake-ups, at a core a client
    #[arg(long)]
    pub(crate) busy_poll: bool,

    /// Draw whole numbers for arguments like 1..1000, and in JSON for "1..1000"
    #[arg(long)]
    pub(crate) random: bool,

    /// Fill the first field of text or bytes that is not named with so many bytes
    #[arg(long, value_name = "BYTES", conflicts_with = "data")]
    pub(crate) size: Option<usize>,

    /// The request as JSON, as in `call`; several requests take turns
    #[arg(short, long, value_name = "JSON", conflicts_with = "arguments")]
    pub(crate) data: Option<String>,

    /// Each line of the data is a request, whatever the file's name
    #[arg(long, requires = "data", conflicts_with = "arguments")]
    pub(crate) lines: bool,

    /// Metadata to go with each request, as in `call`
    #[arg(short = 'H', long = "metadata", value_name = "KEY=VALUE")]
    pub(crate) metadata: Vec<String>,

    #[command(flatten)]
    pub(crate) protos: Protos,
}

/// `list`
#[derive(Debug, Args)]
#[command(after_long_help = help::LIST)]
pub(crate) struct ListArgs {
    /// Only the procedures whose name contains this, in any case
    #[arg(value_name = "PART")]
    pub(crate) part: Option<String>,

    #[command(flatten)]
    pub(crate) protos: Protos,
}

/// `describe`
#[derive(Debug, Args)]
#[command(after_long_help = help::DESCRIBE)]
pub(crate) struct DescribeArgs {
    /// Procedures, services, messages or enums: full names, or ends of them that are unique
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,

    /// Print a request as JSON to fill in, which `call -d @FILE` takes; notes go to stderr
    #[arg(short, long)]
    pub(crate) template: bool,

    #[command(flatten)]
    pub(crate) protos: Protos,
}

/// Where the types come from, if not from the server.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "For servers without reflection")]
pub(crate) struct Protos {
    /// Take procedures and types from this .proto file and do not ask the server; repeatable
    #[arg(long = "proto", value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// Look for files and what they import here [default: the folders of the files]; repeatable
    #[arg(short = 'I', long = "include", value_name = "DIR", requires = "files")]
    pub(crate) includes: Vec<PathBuf>,
}

/// `ping`
#[derive(Debug, Args)]
pub(crate) struct PingArgs {
    /// How many; 0 goes on until Ctrl-C
    #[arg(short, long, value_name = "N", default_value_t = 4)]
    pub(crate) count: u64,

    /// From one to the next
    #[arg(short, long, value_name = "DURATION", default_value = "500ms")]
    #[arg(value_parser = units::duration)]
    pub(crate) interval: Duration,
}

/// `status` and `fence`
#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// The call token, as an error or -v printed it; it says where the server is
    #[arg(value_parser = str::parse::<CallToken>)]
    pub(crate) token: CallToken,

    /// The procedure that was called, so that its answer can be printed as `call` would
    #[arg(short, long)]
    pub(crate) method: Option<String>,

    #[command(flatten)]
    pub(crate) protos: Protos,
}

/// `stats`
#[derive(Debug, Args)]
pub(crate) struct StatsArgs {
    /// Only the counters whose name contains this
    #[arg(value_name = "PART")]
    pub(crate) part: Option<String>,

    /// Those that are zero as well
    #[arg(short, long)]
    pub(crate) all: bool,
}

/// `demo`
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Another number makes another bad path
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) seed: u64,
}

/// `decode`
#[derive(Debug, Args)]
pub(crate) struct DecodeArgs {
    /// One datagram each, spaces, colons and 0x allowed; without any, from stdin, where a blank
    /// line or one that begins with 5552 begins the next
    #[arg(value_name = "HEX")]
    pub(crate) datagrams: Vec<String>,
}

/// `help`
#[derive(Debug, Args)]
pub(crate) struct HelpArgs {
    /// A subcommand, or `outcomes`
    pub(crate) topic: Option<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn call(words: &[&str]) -> (Global, CallArgs) {
        let cli = Cli::try_parse_from(["udp-rpc", "call"].iter().chain(words)).unwrap();
        match cli.command {
            Command::Call(call) => (cli.global, call),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn negative_numbers_are_arguments_and_flags_stay_flags() {
        let (global, call) = call(&["add", "-3", "4", "-v", "-1.5e3", "--timeout", "250ms"]);
        assert_eq!(call.arguments, ["-3", "4", "-1.5e3"]);
        assert_eq!((global.verbose, global.timeout), (1, Some(Duration::from_millis(250))));
    }

    #[test]
    fn data_and_arguments_exclude_each_other() {
        assert!(Cli::try_parse_from(["udp-rpc", "call", "add", "3", "-d", "{}"]).is_err());
    }

    #[test]
    fn help_texts_fit_a_terminal() {
        let notes = [AFTER_HELP, help::CALL, help::BENCH, help::LIST, help::DESCRIBE];
        for line in notes.iter().flat_map(|notes| notes.lines()) {
            assert!(!line.contains('\t'), "{line}");
        }
    }
}
