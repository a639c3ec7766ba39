//! What keeps the sources easy to find one's way in: imports run one way, the core cannot read
//! clocks, no file outgrows its idea.

use std::fs;
use std::path::{Path, PathBuf};

/// The layers, lowest first, with what each may import of the crate.
const LAYERS: &[(&str, &[&str])] = &[
    ("wire", &["wire"]),
    ("core", &["wire", "core"]),
    ("sim", &["wire", "core", "sim"]),
    ("service", &["wire", "core", "service"]),
    ("net", &["wire", "core", "service", "net"]),
    ("client", &["wire", "core", "service", "net", "client"]),
    ("server", &["wire", "core", "service", "net", "server"]),
];

/// Longest file, lines.
const LINES_MAX: usize = 800;

fn sources(below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The lines of a file that are code, with their numbers.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines()).filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// The crate's modules that this line names after `crate::`.
fn imported(line: &str) -> impl Iterator<Item = &str> {
    line.split("crate::").skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        &rest[..end]
    })
}

#[test]
fn imports_run_one_way() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for (layer, allowed) in LAYERS {
        let files = sources(&root.join(layer));
        assert!(!files.is_empty(), "no files in {layer}");
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            for (number, line) in code(&text) {
                for module in imported(line) {
                    let is_layer = LAYERS.iter().any(|(name, _)| *name == module);
                    if is_layer && !allowed.contains(&module) {
                        wrong
                            .push(format!("{}:{number}: {layer} imports {module}", file.display()));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn wire_and_core_can_read_neither_clock_nor_hash_order_nor_socket() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let banned =
        ["Instant", "SystemTime", "HashMap", "HashSet", "UdpSocket", "thread_rng", "std::thread"];
    let mut wrong = Vec::new();
    for layer in ["wire", "core"] {
        for file in sources(&root.join(layer)) {
            let text = fs::read_to_string(&file).unwrap();
            for (number, line) in code(&text) {
                for word in banned.iter().filter(|word| line.contains(**word)) {
                    wrong.push(format!("{}:{number}: {word}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_file_outgrows_its_idea() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["src", "tests", "examples"] {
        for file in sources(&root.join(folder)) {
            let generated = file.components().any(|part| part.as_os_str() == "generated");
            let lines = fs::read_to_string(&file).unwrap().lines().count();
            assert!(generated || lines <= LINES_MAX, "{}: {lines} lines", file.display());
        }
    }
}

#[test]
fn every_switch_that_drops_a_rule_exists_in_tests_alone() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/core/rules.rs");
    let text = fs::read_to_string(rules).unwrap();
    let place = text.find("fn dropping").expect("the constructor that drops a rule");
    assert!(text[..place].trim_end().ends_with("#[cfg(test)]\n    pub(crate)"));
}
