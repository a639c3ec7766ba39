//! Running `udp-rpc` and looking at what it left: exit code, stdout, stderr.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::Daemon;

/// A run of `udp-rpc` that has ended.
#[derive(Debug)]
pub(crate) struct Run {
    /// The exit code; -1 if a signal ended it.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// stdout as it came.
    pub(crate) bytes: Vec<u8>,
    pub(crate) elapsed: Duration,
}

impl Run {
    fn new(output: Output, elapsed: Duration) -> Run {
        Run {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            bytes: output.stdout,
            elapsed,
        }
    }

    /// Checks the exit code and stdout at once.
    #[track_caller]
    pub(crate) fn expect(self, code: i32, stdout: &str) -> Run {
        assert_eq!((self.code, self.stdout.as_str()), (code, stdout), "stderr: {}", self.stderr);
        self
    }

    /// Checks that it failed with this code, said nothing on stdout, and said all of `words` on
    /// stderr.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, words: &[&str]) -> Run {
        let run = self.expect(code, "");
        for word in words {
            assert!(run.stderr.contains(word), "no {word:?} in: {}", run.stderr);
        }
        run
    }

    /// The JSON object on stderr's last line.
    #[track_caller]
    pub(crate) fn json_error(&self) -> Value {
        json_line(&self.stderr)["error"].clone()
    }
}

/// The last line as JSON.
#[track_caller]
pub(crate) fn json_line(text: &str) -> Value {
    let line = text.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {text:?}"))
}

/// `udp-rpc` with nothing of this process's settings.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_udp-rpc"));
    command.args(arguments);
    for name in ["UDP_RPC_SERVER", "RUST_LOG", "NO_COLOR"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end.
#[track_caller]
pub(crate) fn udp_rpc(arguments: &[&str]) -> Run {
    let start = Instant::now();
    let output = command(arguments).output().unwrap();
    Run::new(output, start.elapsed())
}

/// Runs it against a server at this address.
#[track_caller]
pub(crate) fn at(server: SocketAddr, arguments: &[&str]) -> Run {
    let start = Instant::now();
    let output = command(arguments).env("UDP_RPC_SERVER", server.to_string()).output().unwrap();
    Run::new(output, start.elapsed())
}

/// Runs it against a server at this address, as the last words of another program's arguments.
#[track_caller]
pub(crate) fn under(server: SocketAddr, program: &[&str], arguments: &[&str]) -> Run {
    let start = Instant::now();
    let mut command = Command::new(program[0]);
    command.args(&program[1..]).arg(env!("CARGO_BIN_EXE_udp-rpc")).args(arguments);
    command.env_remove("RUST_LOG").env("UDP_RPC_SERVER", server.to_string()).stdin(Stdio::null());
    Run::new(command.output().unwrap(), start.elapsed())
}

/// Runs it against a daemon.
#[track_caller]
pub(crate) fn on(daemon: &Daemon, arguments: &[&str]) -> Run {
    at(daemon.address(), arguments)
}

/// Runs it against a daemon, with something on stdin.
#[track_caller]
pub(crate) fn on_with_input(daemon: &Daemon, arguments: &[&str], input: &str) -> Run {
    at_with_input(daemon.address(), arguments, input)
}

/// Runs it against a server at this address, with something on stdin.
#[track_caller]
pub(crate) fn at_with_input(server: SocketAddr, arguments: &[&str], input: &str) -> Run {
    let start = Instant::now();
    let mut child = command(arguments)
        .env("UDP_RPC_SERVER", server.to_string())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    Run::new(child.wait_with_output().unwrap(), start.elapsed())
}

/// A port of 127.0.0.1 on which nothing listens.
pub(crate) fn nobody() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A server that hears everything and says nothing.
pub(crate) fn silent() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// A run under way whose stderr is followed.
pub(crate) struct Started {
    child: Child,
    stderr: BufReader<ChildStderr>,
    said: String,
    start: Instant,
}

impl Started {
    /// Starts it against a server.
    pub(crate) fn new(server: SocketAddr, arguments: &[&str]) -> Started {
        let mut command = command(arguments);
        let mut child = command.env("UDP_RPC_SERVER", server.to_string()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Started { child, stderr, said: String::new(), start: Instant::now() }
    }

    /// Waits until it says `word` on stderr.
    #[track_caller]
    pub(crate) fn says(&mut self, word: &str) {
        let seen = self.said.len();
        while !self.said.get(seen..).unwrap_or_default().contains(word) {
            let read = self.stderr.read_line(&mut self.said).unwrap();
            assert!(read > 0, "it ended without {word:?}: {}", self.said);
        }
    }

    /// Presses Ctrl-C.
    pub(crate) fn interrupt(&self) {
        let line = format!("kill -INT {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &line]).status().unwrap().success());
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Run {
        self.stderr.read_to_string(&mut self.said).unwrap();
        let mut output = self.child.wait_with_output().unwrap();
        output.stderr = self.said.into_bytes();
        Run::new(output, self.start.elapsed())
    }
}
