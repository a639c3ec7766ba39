//! Other processes that run a function of this very test program: an ignored test of it, told by
//! its environment what to do. So a test has servers and clients to kill, to starve of system
//! calls, or to put behind a bad network, without more binaries.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use super::daemon::{Builder, Daemon};

/// Set for a process that is to act, with what it is to do.
const ROLE: &str = "UDP_RPC_TEST_ROLE";

/// What this process was started for, if it was started by [`command`] or [`server`]. An ignored
/// test that acts a role does nothing without one.
pub(crate) fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

fn arguments(test: &str) -> [&str; 4] {
    [test, "--exact", "--ignored", "--nocapture"]
}

fn program() -> OsString {
    std::env::current_exe().unwrap().into()
}

/// A process that runs the ignored test `test`, under another program if `under` is not empty.
pub(crate) fn command(under: &[&str], test: &str, role: &str) -> Command {
    let mut words: Vec<OsString> = under.iter().map(OsString::from).collect();
    words.push(program());
    words.extend(arguments(test).map(OsString::from));
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).env(ROLE, role).stdin(Stdio::null());
    command
}

/// A server whose process runs the ignored test `test`, which serves at the address of its role
/// and prints `listening on …`.
pub(crate) fn server(test: &str) -> Builder {
    Daemon::program(program(), |command, listen| {
        command.env(ROLE, listen);
    })
    .arguments(&arguments(test))
}

/// Says where this process listens, as the daemon says it.
pub(crate) fn listening(address: SocketAddr) {
    println!("listening on {address}");
}
