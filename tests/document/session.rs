//! A reader who follows a page: a folder, a few terminals, and a port of their own.

use std::collections::BTreeMap;
use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use udp_rpc::wire::DEFAULT_PORT;

use super::terminal::{Stage, Terminal};
use super::{Line, Step, changed, steps};

/// Where to look for a free port: outside the range from which systems give port 0, so that no
/// other test is given it meanwhile.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// Who follows a page.
pub(crate) struct Session {
    folder: PathBuf,
    environment: Vec<(String, String)>,
    /// In place of the default port, wherever a page has that.
    port: u16,
    /// Commands that are not run, by how they begin, and why.
    elsewhere: &'static [(&'static str, &'static str)],
    /// What is to be done when a command has ended in a folder.
    after: fn(&str, &Path),
    terminals: BTreeMap<usize, Terminal>,
    has_python: bool,
}

impl Session {
    /// Begins in this folder, with our programs in the path.
    pub(crate) fn new(folder: &Path) -> Self {
        let programs = Path::new(env!("CARGO_BIN_EXE_udp-rpc")).parent().unwrap();
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
        let port = free_port();
        let here = format!("127.0.0.1:{port}");
        let environment = [
            ("PATH", path.as_str()),
            ("UDP_RPC_SERVER", &here),
            ("UDP_RPC_LISTEN", &here),
            ("RUST_LOG", "warn"),
            ("PYTHONDONTWRITEBYTECODE", "1"),
            ("PYTHONUNBUFFERED", "1"),
            ("LC_ALL", "C.UTF-8"),
        ];
        Self {
            folder: folder.to_owned(),
            environment: environment.map(|(name, value)| (name.into(), value.into())).to_vec(),
            port,
            elsewhere: &[],
            after: |_, _| (),
            terminals: BTreeMap::new(),
            has_python: Self::has_python(),
        }
    }

    /// Whether there is a Python that the pages' programs run with.
    pub(crate) fn has_python() -> bool {
        let probe = "import sys; sys.exit(sys.version_info < (3, 8))";
        let mut python = Command::new("python3");
        let python = python.args(["-c", probe]).stdin(Stdio::null()).stderr(Stdio::null());
        python.status().is_ok_and(|status| status.success())
    }

    /// Commands that are not run, by how they begin, and why.
    pub(crate) fn elsewhere(mut self, commands: &'static [(&str, &str)]) -> Self {
        self.elsewhere = commands;
        self
    }

    /// Another variable for all commands.
    pub(crate) fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Does this when a command has ended in a folder.
    pub(crate) fn after(mut self, act: fn(&str, &Path)) -> Self {
        self.after = act;
        self
    }

    /// Does what a page says that has terminals and no files, as [`follow`](Self::follow) does.
    #[track_caller]
    pub(crate) fn follow_without_files(self, page: &str) -> usize {
        for (number, step) in steps(page) {
            let writes = matches!(step, Step::File { .. } | Step::Change { .. });
            assert!(!writes, "line {number} asks for a file");
        }
        self.follow(page)
    }

    /// Does all that the page says, and sees what it shows; gives the number of commands run.
    #[track_caller]
    pub(crate) fn follow(mut self, page: &str) -> usize {
        let page = page.replace(&DEFAULT_PORT.to_string(), &self.port.to_string());
        let steps = steps(&page);
        let mut commands = 0;
        // The terminal that was used last.
        let mut last = None;
        for (at, (number, step)) in steps.iter().enumerate() {
            // With the output that a test shows when it fails, this says how far it came.
            println!("line {number}");
            if let (Step::File { .. } | Step::Change { .. }, Some(last)) = (step, last) {
                // Whoever edits a file has seen the end of what was typed last.
                let terminal = self.terminals.get_mut(&last).expect("it has been used");
                finish(terminal, self.after);
            }
            match step {
                Step::File { path, text } => {
                    let path = self.place(path);
                    fs::create_dir_all(path.parent().unwrap()).unwrap();
                    fs::write(path, text).unwrap();
                }
                Step::Change { path, diff } => {
                    let path = self.place(path);
                    let text = fs::read_to_string(&path).unwrap();
                    fs::write(path, changed(&text, diff)).unwrap();
                }
                Step::Console { terminal, lines } => {
                    let next = steps[at + 1..].iter().find_map(|(_, step)| match step {
                        Step::Console { terminal, .. } => Some(*terminal),
                        Step::File { .. } | Step::Change { .. } => Some(0),
                        Step::Aside { .. } => None,
                    });
                    commands += self.act(*terminal, lines, next);
                    last = Some(*terminal);
                }
                Step::Aside { .. } => {}
            }
        }
        std::mem::take(&mut self.terminals).into_values().for_each(Terminal::close);
        commands
    }

    /// A file of the page: in the folder of the first terminal.
    fn place(&self, path: &str) -> PathBuf {
        self.terminals.get(&1).map_or(&*self.folder, Terminal::folder).join(path)
    }

    /// What happens in a terminal; `next` is where the page goes on.
    fn act(&mut self, number: usize, lines: &[Line], next: Option<usize>) -> usize {
        let folder = self.place("");
        let fresh = || Terminal::new(&folder, &self.environment);
        let terminal = self.terminals.entry(number).or_insert_with(fresh);
        let (mut commands, mut skipping) = (0, false);
        for line in lines {
            match line {
                Line::Typed(command) => {
                    finish(terminal, self.after);
                    let excuse = excuse(command, self.elsewhere, self.has_python);
                    skipping = excuse.is_some();
                    match excuse {
                        Some(why) => println!("$ {command}: not run, {why}"),
                        None => {
                            terminal.enter(command);
                            commands += 1;
                        }
                    }
                }
                Line::Signal(name) => terminal.press(name),
                Line::Shown(_) if skipping => {}
                Line::Shown(line) => terminal.expect(line),
            }
        }
        let turns_away = next.is_some_and(|next| next != number && next != 0);
        match terminal.stage() {
            // What comes of it is said when the page is back.
            Stage::Typed if turns_away => {}
            Stage::Shown => terminal.wait_for_output(),
            Stage::Typed | Stage::Ending => finish(terminal, self.after),
        }
        commands
    }
}

fn finish(terminal: &mut Terminal, after: fn(&str, &Path)) {
    if let Some(command) = terminal.finish() {
        after(&command, terminal.folder());
    }
}

/// Why a command is not run.
fn excuse<'a>(
    command: &str,
    elsewhere: &'a [(&'a str, &'a str)],
    has_python: bool,
) -> Option<&'a str> {
    if command.contains("python3") && !has_python {
        return Some("there is no python3");
    }
    elsewhere.iter().find(|(begin, _)| command.starts_with(begin)).map(|(_, why)| *why)
}

/// A port of UDP that nothing has, and that no session of this process was given.
fn free_port() -> u16 {
    static TRIED: AtomicU16 = AtomicU16::new(0);
    let first = std::process::id() as u16 % PORTS.len() as u16;
    loop {
        let tried = TRIED.fetch_add(1, Ordering::Relaxed);
        assert!(usize::from(tried) < PORTS.len(), "no free port");
        let port = PORTS.start + (first + tried) % PORTS.len() as u16;
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
