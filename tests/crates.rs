//! What using this library brings along: the README's numbers of crates are those of `Cargo.lock`.
//!
//! They depend on the system, because some crates are for one system only; the README says those
//! of Linux.
#![cfg(all(feature = "cli", target_os = "linux"))]

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use common::skipped;

/// The README's command, but for the flags.
const TREE: &str = "cargo tree --locked -e no-dev --prefix none --no-dedupe ";

/// A row of the README's table.
#[derive(Debug, PartialEq)]
struct Row {
    flags: String,
    crates: usize,
}

/// The rows `| what | flags | number | … |` of which the second cell is in backquotes and begins
/// with the name of a package.
fn rows(readme: &str) -> Vec<Row> {
    readme
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix('|')?.split('|').map(str::trim).skip(1);
            let flags = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
            let crates = cells.next()?.parse().ok()?;
            flags.starts_with("-p ").then(|| Row { flags: flags.into(), crates })
        })
        .collect()
}

#[test]
fn rows_are_found_by_their_flags() {
    let readme =
        "| a | b | c |\n| --- | --- | --- |\n| x | `-p y --z` | 7 | why |\n| x | `y` | 7 |\n";
    assert_eq!(rows(readme), [Row { flags: "-p y --z".into(), crates: 7 }]);
}

#[test]
fn readme_tells_how_many_crates_each_build_has() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    assert!(readme.contains(TREE.trim_end()), "the command of the README is the one run here");
    let rows = rows(&readme);
    assert_eq!(rows.len(), 4, "library, protobuf, programs, generator: {rows:?}");
    for Row { flags, crates } in rows {
        let words = TREE.split_whitespace().skip(1).chain(flags.split_whitespace());
        // Whatever cargo runs this test, it is the one to ask.
        let cargo = option_env!("CARGO").unwrap_or("cargo");
        let Ok(output) = Command::new(cargo).args(words).current_dir(folder).output() else {
            return skipped("crate counts", "there is no cargo here");
        };
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{TREE}{flags}\n{errors}");
        let output = String::from_utf8(output.stdout).unwrap();
        let found = output.lines().filter(|line| !line.is_empty()).collect::<BTreeSet<_>>();
        assert_eq!(found.len(), crates, "{TREE}{flags}\n{found:#?}");
    }
}
