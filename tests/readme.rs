//! The README's commands do what the README shows, and the examples run.
#![cfg(all(unix, feature = "cli"))]

mod common;
mod document;

use std::process::Command;

use common::skipped;
use document::{Session, workshop};
use udp_rpc::wire::DEFAULT_PORT;

/// Commands that are not run here, by how they begin, and why.
const ELSEWHERE: &[(&str, &str)] = &[
    ("cargo run --release -- demo", "tests/cli runs the demo, and CI this very command"),
    ("cargo test", "this is it"),
];

fn readme() -> String {
    std::fs::read_to_string(workshop::root().join("README.md")).unwrap()
}

#[test]
fn readme_shows_what_its_commands_print() {
    let reader = Session::new(workshop::root()).elsewhere(ELSEWHERE);
    let commands = reader.follow_without_files(&readme());
    assert!(commands >= 8, "{commands} commands were run");
}

/// The README cannot show a whole project, so it shows parts of the tutorial's.
#[test]
fn readme_shows_lines_of_the_tutorial_as_they_are_there() {
    let (readme, tutorial) = (readme(), workshop::page("TUTORIAL.md"));
    let parts: Vec<_> = readme.split("```rust,ignore\n").skip(1).collect();
    assert!(parts.len() >= 3, "{} parts", parts.len());
    for part in parts {
        let (part, _) = part.split_once("```").unwrap();
        assert!(tutorial.contains(part), "not in the tutorial:\n{part}");
    }
}

#[test]
fn readme_names_the_default_port_and_the_minimum_compiler_as_they_are() {
    let readme = readme();
    assert!(readme.contains(&format!("127.0.0.1:{DEFAULT_PORT}")));
    let manifest = std::fs::read_to_string(workshop::root().join("Cargo.toml")).unwrap();
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
        assert!(hello.contains("even numbers: 500500 in all"), "{hello}");
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
