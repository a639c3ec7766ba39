//! The README's commands do what the README shows, and the examples run.
#![cfg(feature = "cli")]

mod common;

use std::path::Path;
use std::process::{Command, Stdio};

use common::{Daemon, skipped};
use udp_rpc::wire::DEFAULT_PORT;

/// Commands that are not run here, by how they begin, and why.
const ELSEWHERE: &[(&str, &str)] = &[
    ("cargo run --release -- demo", "tests/cli runs the demo, and CI this very command"),
    ("cargo test", "this is it"),
];

/// A command and what it is shown to print.
#[derive(Debug, PartialEq)]
struct Shown {
    command: String,
    output: String,
}

/// The commands in a document: in the blocks fenced as `console`, each line that begins with `$ `,
/// and as its output what follows up to the next.
fn shown(document: &str) -> Vec<Shown> {
    let mut found: Vec<Shown> = Vec::new();
    let mut fence = None;
    for line in document.lines() {
        match (fence, line.strip_prefix("```")) {
            (None, Some(language)) => fence = Some(language),
            (Some(_), Some(_)) => fence = None,
            (Some("console"), None) => match (line.strip_prefix("$ "), found.last_mut()) {
                (Some(command), _) => {
                    found.push(Shown { command: command.into(), output: String::new() });
                }
                (None, Some(last)) => last.output += &format!("{line}\n"),
                (None, None) => panic!("output of no command: {line}"),
            },
            _ => {}
        }
    }
    found
}

#[test]
fn commands_and_their_output_are_found_in_console_blocks_alone() {
    let document = "```console\n$ a b\none\ntwo\n$ c\n```\n```rust\n$ d\n```\n$ e\n";
    let shown = shown(document);
    let expected = [("a b", "one\ntwo\n"), ("c", "")];
    assert_eq!(shown.len(), expected.len());
    for (shown, (command, output)) in shown.iter().zip(expected) {
        assert_eq!((shown.command.as_str(), shown.output.as_str()), (command, output));
    }
}

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What the command prints when a shell runs it, with our programs in its path.
fn run(command: &str, daemon: &Daemon) -> String {
    let programs = Path::new(env!("CARGO_BIN_EXE_udp-rpc")).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    let output = Command::new("sh")
        .args(["-c", command])
        .current_dir(folder())
        .env("PATH", format!("{}:{path}", programs.display()))
        .env("UDP_RPC_SERVER", daemon.address().to_string())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "$ {command}\n{errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn readme_shows_what_its_commands_print() {
    let readme = std::fs::read_to_string(folder().join("README.md")).unwrap();
    let all = shown(&readme);
    assert!(all.len() >= 8, "{} commands in the README", all.len());
    // Where the README has a daemon on the default port, there is one here on another.
    let daemon = Daemon::start();
    let said = format!("127.0.0.1:{DEFAULT_PORT}");
    let here = daemon.address().to_string();
    for Shown { command, output } in &all {
        let command = command.replace(&said, &here);
        let expected = output.replace(&said, &here);
        let elsewhere = ELSEWHERE.iter().find(|(begin, _)| command.starts_with(begin));
        if let Some((_, why)) = elsewhere {
            println!("$ {command}: not run, {why}");
            continue;
        }
        let program = command.split(' ').next().unwrap();
        let prints = match program {
            "udp-rpcd" if command == program => format!("listening on {here}\n"),
            "udp-rpc" => run(&command, &daemon),
            "python3" if Command::new(program).arg("--version").output().is_err() => {
                skipped(&format!("$ {command}"), "there is no python3");
                continue;
            }
            "python3" => run(&command, &daemon),
            _ => panic!("neither run nor excused: $ {command}"),
        };
        assert_eq!(prints, expected, "$ {command}");
    }
}

#[test]
fn readme_names_the_default_port_and_the_minimum_compiler_as_they_are() {
    let readme = std::fs::read_to_string(folder().join("README.md")).unwrap();
    assert!(readme.contains(&format!("127.0.0.1:{DEFAULT_PORT}")));
    let manifest = std::fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    let rust = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap();
    assert!(readme.contains(&format!("Rust toolchain ({} or later)", rust.trim_matches('"'))));
}

/// What an example prints that `cargo test` has built beside this test.
fn example(name: &str) -> Option<String> {
    let deps = std::env::current_exe().unwrap();
    let profile = deps.parent().unwrap().parent().unwrap();
    let program = profile.join("examples").join(name);
    if !program.exists() {
        skipped(name, "`cargo test --test` builds no examples; `cargo test` does");
        return None;
    }
    let output = Command::new(program).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {errors}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn examples_run() {
    if let Some(hello) = example("hello") {
        assert!(hello.contains("half of 14 is 7"), "{hello}");
        assert!(hello.contains("reversed: backwardent"), "{hello}");
        assert!(hello.contains("rewind: UNIMPLEMENTED"), "{hello}");
    }
    if let Some(outcomes) = example("outcomes") {
        for line in [
            "a stew: DEADLINE_EXCEEDED",
            "asked later: done: a stew",
            "a call that waits: CANCELLED: cancelled by the caller; refused: fenced; not executed",
            "a call that runs: nobody waits any more",
            "nobody there: UNAVAILABLE",
        ] {
            assert!(outcomes.contains(line), "{line}: {outcomes}");
        }
    }
    if let Some(shouted) = example("std_udp") {
        assert_eq!(shouted, "HELLO\n");
    }
}

#[test]
fn example_of_tracing_ties_the_calls_of_a_handler_to_its_own() {
    let Some(printed) = example("tracing") else { return };
    // The length of its indentation, and the line without its ids and times.
    let mut tree = Vec::new();
    let mut ids = std::collections::BTreeSet::new();
    let (_, traces) = printed.split_once("\n\n").unwrap();
    for line in traces.lines() {
        let indent = line.len() - line.trim_start().len();
        let (id, rest) = match line.trim_start().strip_prefix("trace ") {
            Some(id) => (id, "trace"),
            None => line.trim_start().split_once(' ').unwrap(),
        };
        assert_eq!(id.len(), if rest == "trace" { 32 } else { 16 }, "{line}");
        assert!(ids.insert(id.to_owned()), "{id} comes twice");
        let words = rest.split(", ").map(|part| part.split(" in ").next().unwrap());
        tree.push((indent, words.collect::<Vec<_>>().join(", ")));
    }
    let expected = [
        (0, "trace"),
        (2, "shop.Shop/Order: client OK, server OK"),
        (4, "shop.Kitchen/Cook: client OK, server OK"),
        (4, "shop.Till/Charge: client OK, server OK"),
        (0, "trace"),
        (2, "shop.Shop/Order: client NOT_FOUND, server NOT_FOUND"),
        (4, "shop.Kitchen/Cook: client NOT_FOUND, server NOT_FOUND"),
    ];
    assert_eq!(tree, expected.map(|(indent, line)| (indent, line.to_owned())), "{printed}");
}
