//! A terminal: a folder in which one command after another is run, and what they print.
//!
//! What a command prints is compared as a whole once it has ended; while it runs, the page may go
//! on as soon as it has printed what the page shows of it.

use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use super::is_as_shown;

/// How long a command may take, however slow the machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// The same for cargo's, which compile.
const PATIENCE_FOR_CARGO: Duration = Duration::from_secs(1200);

/// What a command has printed, as it grows.
#[derive(Default)]
struct Output {
    /// What the page is to show.
    shown: String,
    /// What it need not show: what cargo itself says.
    aside: String,
    /// How many pipes may still bring more.
    open: usize,
}

type Printed = Arc<(Mutex<Output>, Condvar)>;

/// A command that was typed and has not been seen to end.
struct Running {
    command: String,
    child: Child,
    printed: Printed,
    /// What the page has shown of its output so far.
    expected: String,
    /// Keys were pressed that end it.
    is_told_to_end: bool,
}

/// How far a page has come with a command.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It was typed, and nothing is shown of it.
    Typed,
    /// Some of its output is shown; it may go on.
    Shown,
    /// It was told to end, or there is none.
    Ending,
}

/// One terminal of a reader.
pub(super) struct Terminal {
    folder: PathBuf,
    environment: Vec<(String, String)>,
    /// The exit code of the last command, as `$?` has it.
    last: i32,
    /// All that its commands have shown, those apart that still run.
    transcript: String,
    running: Option<Running>,
}

impl Terminal {
    pub(super) fn new(folder: &Path, environment: &[(String, String)]) -> Self {
        let environment = environment.to_vec();
        Self {
            folder: folder.to_owned(),
            environment,
            last: 0,
            transcript: String::new(),
            running: None,
        }
    }

    /// Where it is.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Types a command; the one before has ended. A word that ends with `…` is typed as the last
    /// word shown that begins so.
    pub(super) fn enter(&mut self, command: &str) {
        let words: Vec<&str> = command.split(' ').map(|word| self.recalled(word)).collect();
        let command = &*words.join(" ");
        if let Some(folder) = command.strip_prefix("cd ") {
            self.folder = self.folder.join(folder).canonicalize().unwrap();
            return;
        }
        // What cargo itself says, it says on stderr. Elsewhere both come in the order of a terminal.
        let compared = !command.starts_with("cargo ");
        let both = if compared { "exec 2>&1; " } else { "" };
        let script = format!("{both}(exit {}); {command}", self.last);
        let mut shell = shell();
        shell.args(["-c", &script]).current_dir(&self.folder);
        for (name, value) in &self.environment {
            shell.env(name, value);
        }
        // What this test was told by cargo is not for the cargo of the page.
        for (name, _) in std::env::vars().filter(|(name, _)| is_of_cargo(name)) {
            if !self.environment.iter().any(|(kept, _)| *kept == name) {
                shell.env_remove(name);
            }
        }
        // A process group of its own, as a terminal gives it, so that Ctrl-C reaches all of it.
        shell.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = shell.spawn().unwrap();
        let printed = Printed::default();
        printed.0.lock().unwrap().open = 2;
        follow(child.stdout.take().unwrap(), &printed, true);
        follow(child.stderr.take().unwrap(), &printed, compared);
        let command = command.to_owned();
        let expected = String::new();
        self.running = Some(Running { command, child, printed, expected, is_told_to_end: false });
    }

    /// The word that is typed for this one of the page.
    fn recalled<'a>(&'a self, word: &'a str) -> &'a str {
        let Some(begin) = word.strip_suffix('…') else { return word };
        let mut shown = self.transcript.split_whitespace().rev();
        shown.find(|shown| shown.starts_with(begin)).expect("a word shown that begins so")
    }

    /// The page shows this line of the running command's output.
    pub(super) fn expect(&mut self, line: &str) {
        let running = self.running.as_mut().expect("a command whose output this is");
        running.expected += &format!("{line}\n");
    }

    /// How far the page has come with the running command.
    pub(super) fn stage(&self) -> Stage {
        match &self.running {
            Some(running) if running.is_told_to_end => Stage::Ending,
            Some(running) if running.expected.is_empty() => Stage::Typed,
            Some(_) => Stage::Shown,
            None => Stage::Ending,
        }
    }

    /// Waits until the running command, if any, has printed what the page shows; whether it ends
    /// is left open.
    pub(super) fn wait_for_output(&mut self) {
        if let Some(running) = &mut self.running {
            running.wait_until(|expected, output| is_as_shown(expected, &output.shown));
        }
    }

    /// Waits for the end of the running command, if any, and compares; gives the command.
    pub(super) fn finish(&mut self) -> Option<String> {
        let mut running = self.running.take()?;
        running.wait_until(|_, output| output.open == 0);
        let status = running.child.wait().unwrap();
        running.compare();
        let by_signal = status.signal().map(|number| 128 + number);
        self.last = status.code().or(by_signal).unwrap_or_default();
        let is_shown = !running.expected.is_empty() && !running.is_of_cargo();
        assert!(
            status.success() || is_shown || running.is_told_to_end,
            "{status}\n{}",
            running.told()
        );
        self.transcript += &running.printed.0.lock().unwrap().shown;
        Some(std::mem::take(&mut running.command))
    }

    /// Presses keys that send the running command a signal, once it has printed what the page
    /// shows.
    pub(super) fn press(&mut self, signal: &str) {
        self.wait_for_output();
        let running = self.running.as_mut().expect("a command to end");
        running.signal(signal);
        running.is_told_to_end = true;
    }

    /// Ends what still runs, and compares.
    pub(super) fn close(mut self) {
        if let Some(mut running) = self.running.take() {
            running.signal("KILL");
            running.wait_until(|_, output| output.open == 0);
            let _ = running.child.wait();
            running.compare();
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.signal("KILL");
            let _ = running.child.wait();
        }
    }
}

impl Running {
    /// Waits until its output satisfies `condition`, or cannot any more.
    fn wait_until(&self, condition: impl Fn(&str, &Output) -> bool) {
        let patience = if self.is_of_cargo() { PATIENCE_FOR_CARGO } else { PATIENCE };
        let (output, grown) = &*self.printed;
        let waits = |output: &mut Output| output.open > 0 && !condition(&self.expected, output);
        let (output, result) =
            grown.wait_timeout_while(output.lock().unwrap(), patience, waits).unwrap();
        let late = result.timed_out();
        let satisfied = condition(&self.expected, &output);
        drop(output);
        assert!(!late, "waited {patience:?}\n{}", self.told());
        assert!(satisfied, "it has ended\n{}", self.told());
    }

    /// Its output is what the page shows.
    fn compare(&self) {
        let matches = is_as_shown(&self.expected, &self.printed.0.lock().unwrap().shown);
        assert!(matches, "its output is another\n{}", self.told());
    }

    /// What the page and the terminal say, for whoever reads a failure.
    fn told(&self) -> String {
        let output = self.printed.0.lock().unwrap();
        format!(
            "$ {}\n--- the page shows\n{}--- the terminal shows\n{}--- and, not compared\n{}",
            self.command, self.expected, output.shown, output.aside
        )
    }

    fn is_of_cargo(&self) -> bool {
        self.command.starts_with("cargo ")
    }

    /// Sends a signal to the whole group.
    fn signal(&self, name: &str) {
        let line = format!("kill -s {name} -- -{}", self.child.id());
        // It may have ended by itself.
        let _ = Command::new("sh").args(["-c", &line]).stderr(Stdio::null()).status();
    }
}

/// A shell that Ctrl-C ends, also where the process that runs the tests was told to ignore it, as
/// a script's background processes are.
fn shell() -> Command {
    let reset = ["--default-signal=INT,QUIT", "sh"];
    let mut shell = Command::new("env");
    shell.args(reset);
    let probe = Command::new("env").args(reset).args(["-c", ":"]).stderr(Stdio::null()).status();
    if probe.is_ok_and(|status| status.success()) { shell } else { Command::new("sh") }
}

/// Whether cargo sets this variable for what it runs, and only for that.
fn is_of_cargo(name: &str) -> bool {
    let prefixes = ["CARGO_PKG_", "CARGO_BIN_", "CARGO_CFG_", "CARGO_MANIFEST_"];
    prefixes.iter().any(|prefix| name.starts_with(prefix))
        || ["CARGO", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "LD_LIBRARY_PATH", "OUT_DIR"]
            .contains(&name)
}

/// Reads what comes from a pipe, on a thread of its own.
fn follow(mut pipe: impl Read + Send + 'static, printed: &Printed, compared: bool) {
    let printed = Arc::clone(printed);
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            let length = pipe.read(&mut chunk).unwrap_or(0);
            bytes.extend_from_slice(&chunk[..length]);
            // A chunk may end within a character.
            let whole = match std::str::from_utf8(&bytes) {
                Err(error) if length > 0 && error.error_len().is_none() => error.valid_up_to(),
                _ => bytes.len(),
            };
            let text: Vec<u8> = bytes.drain(..whole).collect();
            let (output, grown) = &*printed;
            let mut output = output.lock().unwrap();
            let kept = if compared { &mut output.shown } else { &mut output.aside };
            kept.push_str(&String::from_utf8_lossy(&text));
            output.open -= usize::from(length == 0);
            grown.notify_all();
            if length == 0 {
                return;
            }
        }
    });
}
