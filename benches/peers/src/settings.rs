//! What each process of a comparison is told: its part, as arguments.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

/// What goes wrong here ends the process, or the case.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// Which comparison to make.
#[derive(Debug, Clone, Args)]
pub(crate) struct Run {
    /// One short round of the cases that the goals are about, in under a minute: to see that all
    /// of it works, not to compare.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only cases whose name contains one of these words.
    #[arg(long, value_name = "WORD", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// How often each case is run [default: 5; 1 with --quick].
    #[arg(long, value_name = "N")]
    pub(crate) rounds: Option<usize>,
    /// Seconds that count in each run of a case [default: 0.45; 0.15 with --quick]. What has to
    /// happen seldom enough to need longer runs takes three times that.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) seconds: Option<f64>,
    /// The server's core.
    #[arg(long, value_name = "CORE", default_value_t = 0)]
    pub(crate) server_core: usize,
    /// The client's core. Better not the same core's other thread.
    #[arg(long, value_name = "CORE", default_value_t = 1)]
    pub(crate) client_core: usize,
    /// Names the cases instead of running them.
    #[arg(long)]
    pub(crate) list: bool,
    /// Folder for results.json and results.md.
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/target/peers"))]
    pub(crate) out: PathBuf,
    /// Puts the tables into this page, between the lines `<!-- tables -->` and `<!-- /tables -->`.
    #[arg(long, value_name = "FILE")]
    pub(crate) page: Option<PathBuf>,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Program {
    /// Raw echo, one datagram a system call; it sleeps when there is nothing to do.
    RawBlocking,
    /// Raw echo, one datagram a system call; it never sleeps.
    RawSpinning,
    /// Raw echo, runs of datagrams by UDP GSO and GRO.
    RawGso,
    /// This project: its server, and as a client `BlockingClient`.
    UdpRpc,
    /// This project's `Client`, on a runtime.
    UdpRpcAsync,
    /// This project's datagrams from one bare socket, in as many sessions as are asked for.
    UdpRpcSessions,
    /// gRPC: tonic.
    Tonic,
    /// tarpc, TCP and bincode.
    Tarpc,
    /// QUIC: quinn, a stream a call.
    Quinn,
}

/// What a server is to be.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct Serve {
    /// Who serves.
    pub(crate) program: Program,
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// Cores that the process may use; all unless said.
    #[arg(long, value_delimiter = ',')]
    pub(crate) cores: Vec<usize>,
    /// Threads that serve.
    #[arg(long, default_value_t = 1)]
    pub(crate) threads: usize,
    /// Never sleeps.
    #[arg(long)]
    pub(crate) busy_poll: bool,
    /// Rounds of work that the method `Burn` does in each call.
    #[arg(long, default_value_t = 0)]
    pub(crate) burn: u64,
    /// Sessions that it has to have room for.
    #[arg(long, default_value_t = 0)]
    pub(crate) sessions: usize,
}

/// What a client is to do.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct Load {
    /// Who calls.
    pub(crate) program: Program,
    /// The server's address.
    #[arg(long)]
    pub(crate) server: SocketAddr,
    /// Calls in flight, of each client.
    #[arg(long, default_value_t = 1)]
    pub(crate) depth: usize,
    /// Clients, each with a socket of its own; one thread serves all in turn.
    #[arg(long, default_value_t = 1)]
    pub(crate) clients: usize,
    /// Whether each client has a thread of its own.
    #[arg(long)]
    pub(crate) threads: bool,
    /// Sessions over which calls are spread.
    #[arg(long, default_value_t = 1)]
    pub(crate) sessions: usize,
    /// Operands that differ from call to call, and so do the lengths of requests and replies.
    #[arg(long)]
    pub(crate) random: bool,
    /// Calls the method that works for a while.
    #[arg(long)]
    pub(crate) burn: bool,
    /// Never sleeps.
    #[arg(long)]
    pub(crate) busy_poll: bool,
    /// The path is a bad one: each call's time counts, and silence is no reason to give up.
    #[arg(long)]
    pub(crate) lossy: bool,
    /// Cores that the process may use; all unless said.
    #[arg(long, value_delimiter = ',')]
    pub(crate) cores: Vec<usize>,
    /// Milliseconds before anything counts.
    #[arg(long, default_value_t = 200)]
    pub(crate) warm_up_ms: u64,
    /// Milliseconds that count.
    #[arg(long, default_value_t = 1000)]
    pub(crate) run_ms: u64,
    /// The server's process: its processor time and memory are told too.
    #[arg(long)]
    pub(crate) server_pid: Option<u32>,
    /// What the server said beside its address: the certificate of a server that has one.
    #[arg(long, default_value = "")]
    pub(crate) hint: String,
}

/// `--name value` where there is a value.
fn option(words: &mut Vec<String>, name: &str, value: impl ToString) {
    words.extend([format!("--{name}"), value.to_string()]);
}

fn flags(words: &mut Vec<String>, flags: &[(&str, bool)]) {
    words.extend(flags.iter().filter(|flag| flag.1).map(|flag| format!("--{}", flag.0)));
}

fn cores(words: &mut Vec<String>, cores: &[usize]) {
    if !cores.is_empty() {
        let list: Vec<_> = cores.iter().map(usize::to_string).collect();
        option(words, "cores", list.join(","));
    }
}

impl Program {
    /// Its name, as in arguments and tables.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

impl Serve {
    /// With nothing out of the ordinary.
    pub(crate) fn new(program: Program) -> Self {
        Self {
            program,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            cores: Vec::new(),
            threads: 1,
            busy_poll: false,
            burn: 0,
            sessions: 0,
        }
    }

    /// The arguments from which another process reads the same.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut words = vec!["serve".to_owned(), self.program.name()];
        option(&mut words, "listen", self.listen);
        cores(&mut words, &self.cores);
        option(&mut words, "threads", self.threads);
        option(&mut words, "burn", self.burn);
        option(&mut words, "sessions", self.sessions);
        flags(&mut words, &[("busy-poll", self.busy_poll)]);
        words
    }
}

impl Load {
    /// With nothing out of the ordinary.
    pub(crate) fn new(program: Program) -> Self {
        Self {
            program,
            server: SocketAddr::from(([127, 0, 0, 1], 0)),
            depth: 1,
            clients: 1,
            threads: false,
            sessions: 1,
            random: false,
            burn: false,
            busy_poll: false,
            lossy: false,
            cores: Vec::new(),
            warm_up_ms: 200,
            run_ms: 1000,
            server_pid: None,
            hint: String::new(),
        }
    }

    /// The arguments from which another process reads the same.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut words = vec!["load".to_owned(), self.program.name()];
        option(&mut words, "server", self.server);
        option(&mut words, "depth", self.depth);
        option(&mut words, "clients", self.clients);
        option(&mut words, "sessions", self.sessions);
        option(&mut words, "warm-up-ms", self.warm_up_ms);
        option(&mut words, "run-ms", self.run_ms);
        cores(&mut words, &self.cores);
        if let Some(pid) = self.server_pid {
            option(&mut words, "server-pid", pid);
        }
        if !self.hint.is_empty() {
            option(&mut words, "hint", &self.hint);
        }
        flags(
            &mut words,
            &[
                ("threads", self.threads),
                ("random", self.random),
                ("burn", self.burn),
                ("busy-poll", self.busy_poll),
                ("lossy", self.lossy),
            ],
        );
        words
    }

    /// How long nothing counts.
    pub(crate) fn warm_up(&self) -> Duration {
        Duration::from_millis(self.warm_up_ms)
    }

    /// How long calls count.
    pub(crate) fn run(&self) -> Duration {
        Duration::from_millis(self.run_ms)
    }
}

/// Whether this process may use these cores.
pub(crate) fn may_use(cores: &[usize]) -> bool {
    let itself = nix::unistd::Pid::from_raw(0);
    let may = nix::sched::sched_getaffinity(itself);
    may.is_ok_and(|may| cores.iter().all(|core| may.is_set(*core).unwrap_or(false)))
}

/// Binds this process to these cores.
pub(crate) fn pin(cores: &[usize]) -> Result<(), Error> {
    if cores.is_empty() {
        return Ok(());
    }
    let mut set = nix::sched::CpuSet::new();
    for core in cores {
        set.set(*core)?;
    }
    nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &set)?;
    Ok(())
}
