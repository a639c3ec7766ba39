//! A daemon as a process of its own.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::{PATIENCE, wait_for};

/// A server in a process of its own: the daemon, or whatever prints `listening on ADDR:PORT`.
/// It is killed when this is dropped.
pub(crate) struct Daemon {
    child: Child,
    address: SocketAddr,
    /// What starts it again: program and arguments, `--listen` apart.
    recipe: Recipe,
    /// What it has said on stderr so far.
    said: Arc<Mutex<String>>,
}

#[derive(Clone)]
struct Recipe {
    program: OsString,
    arguments: Vec<OsString>,
    /// How it is told where to listen.
    listen: fn(&mut Command, &str),
    environment: Vec<(OsString, OsString)>,
}

/// Prepares a [`Daemon`].
pub(crate) struct Builder {
    recipe: Recipe,
    listen: String,
}

impl Builder {
    /// More arguments.
    pub(crate) fn arguments(mut self, arguments: &[&str]) -> Self {
        self.recipe.arguments.extend(arguments.iter().map(OsString::from));
        self
    }

    /// Another environment variable.
    pub(crate) fn environment(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.recipe.environment.push((name.into(), value.into()));
        self
    }

    /// Where to listen; any free port of 127.0.0.1 unless said.
    pub(crate) fn listen(mut self, address: impl ToString) -> Self {
        self.listen = address.to_string();
        self
    }

    /// Runs it as the last arguments of another program, such as `strace`, which must become the
    /// daemon's parent or vanish: signals go to the process that is started.
    pub(crate) fn under(mut self, program: &str, arguments: &[&str]) -> Self {
        let mut all: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        all.push(std::mem::replace(&mut self.recipe.program, program.into()));
        all.append(&mut self.recipe.arguments);
        self.recipe.arguments = all;
        self
    }

    /// Starts it, and waits until it listens.
    #[track_caller]
    pub(crate) fn start(self) -> Daemon {
        let (child, address, said) = spawn(&self.recipe, &self.listen)
            .unwrap_or_else(|said| panic!("the daemon did not start: {said}"));
        Daemon { child, address, recipe: self.recipe, said }
    }
}

impl Daemon {
    /// A daemon on a free port of 127.0.0.1.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::builder().start()
    }

    /// A daemon that is to be configured.
    pub(crate) fn builder() -> Builder {
        Self::program(env!("CARGO_BIN_EXE_udp-rpcd"), |command, listen| {
            command.args(["--listen", listen]);
        })
    }

    /// Another program that is told by `listen` where to listen.
    pub(crate) fn program(program: impl Into<OsString>, listen: fn(&mut Command, &str)) -> Builder {
        let (arguments, environment) = (Vec::new(), Vec::new());
        Builder {
            recipe: Recipe { program: program.into(), arguments, listen, environment },
            listen: "127.0.0.1:0".into(),
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has said on stderr so far.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Ends it as a power cut would (SIGKILL).
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it anew, after it has ended, on the port that it had.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        // Meanwhile some other socket of this host may have been given the port.
        let listen = self.address.to_string();
        (self.child, self.address, self.said) =
            wait_for("the port to be free again", || spawn(&self.recipe, &listen).ok());
    }

    /// Sends a signal: `TERM`, `INT`, `STOP`, `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        let line = format!("kill -{name} {}", self.pid());
        assert!(Command::new("sh").args(["-c", &line]).status().unwrap().success());
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait_for("the daemon to end", || self.child.try_wait().unwrap())
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Bytes of memory resident; `None` where /proc does not tell.
    pub(crate) fn resident(&self) -> Option<usize> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1024)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the daemon said:\n{}", self.said());
        }
    }
}

/// Starts a process and waits for its `listening on`; what it said if it ended instead.
fn spawn(recipe: &Recipe, listen: &str) -> Result<(Child, SocketAddr, Arc<Mutex<String>>), String> {
    let mut command = Command::new(&recipe.program);
    command.args(&recipe.arguments);
    command.env_remove("UDP_RPC_LISTEN").env_remove("RUST_LOG");
    command.envs(recipe.environment.iter().map(|(name, value)| (name, value)));
    (recipe.listen)(&mut command, listen);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;

    let said = Arc::new(Mutex::new(String::new()));
    let mut errors = child.stderr.take().unwrap();
    let saying = Arc::clone(&said);
    let listener = thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(length @ 1..) = errors.read(&mut chunk) {
            saying.lock().unwrap().push_str(&String::from_utf8_lossy(&chunk[..length]));
        }
    });

    let start = Instant::now();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
        let (_, address) = line.split_once("listening on ")?;
        address.trim().parse().ok()
    });
    let Some(address) = address else {
        let _ = child.kill();
        let status = child.wait();
        let _ = listener.join();
        return Err(format!("{status:?} {}", said.lock().unwrap()));
    };
    assert!(start.elapsed() < PATIENCE + Duration::from_secs(20), "the daemon was slow to start");
    // It may print more, and must not be ended by a pipe that nobody reads.
    thread::spawn(move || lines.map_while(Result::ok).count());
    Ok((child, address, said))
}
