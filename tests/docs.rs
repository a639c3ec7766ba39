//! The pages under `docs/` do what they show. The tutorial has a test of its own.
#![cfg(all(unix, feature = "cli"))]

mod common;
mod document;

use std::fs;

use common::skipped;
use document::{Session, workshop};

#[test]
fn sockets_page_shows_what_its_commands_print() {
    if !Session::has_python() {
        return skipped("sockets_page_shows…", "there is no python3, or it is older than 3.8");
    }
    let folder = workshop::folder("sockets").join("sockets");
    fs::create_dir(&folder).unwrap();
    let commands = Session::new(&folder).follow(&workshop::page("SOCKETS.md"));
    assert!(commands >= 10, "{commands} commands were run");
}

#[test]
fn grpc_page_shows_what_its_commands_print() {
    let folder = workshop::folder("grpc");
    let commands = workshop::session(&folder).follow(&workshop::page("GRPC.md"));
    assert!(commands >= 8, "{commands} commands were run");
}

#[test]
fn korean_quick_start_shows_what_its_commands_print() {
    let commands = Session::new(workshop::root())
        .elsewhere(&[("cargo run --release -- demo", "tests/cli runs the demo, CI this command")])
        .follow_without_files(&workshop::page("QUICKSTART.ko.md"));
    assert!(commands >= 8, "{commands} commands were run");
}

/// The targets of a page's links, those to other sites apart.
fn links(page: &str) -> Vec<&str> {
    // What is fenced is code.
    let prose = page.split("\n```").step_by(2);
    let links = prose.flat_map(|prose| prose.split("](").skip(1));
    let targets = links.filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target).filter(|target| !target.contains("://")).collect()
}

#[test]
fn links_between_pages_lead_somewhere() {
    let root = workshop::root();
    let mut pages: Vec<_> = ["README.md", "CHANGELOG.md", "SECURITY.md", "PROTOCOL.md"]
        .map(|name| root.join(name))
        .into();
    pages.extend(fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    let mut broken = Vec::new();
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for link in links(&text) {
            let (file, section) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { page.with_file_name(file) };
            let found = match (target.exists(), section) {
                (false, _) => false,
                (true, "") => true,
                (true, section) => {
                    let text = fs::read_to_string(target).unwrap();
                    anchors(&text).lines().any(|anchor| anchor == section)
                }
            };
            if !found {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The names by which a page's headings can be linked to, one a line.
fn anchors(page: &str) -> String {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let name = |heading: &str| -> String {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(name).collect::<Vec<_>>().join("\n")
}
