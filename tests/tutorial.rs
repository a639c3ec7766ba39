//! The tutorial, followed to the letter, from an empty folder.
#![cfg(all(unix, feature = "cli"))]

mod document;

use document::{Step, steps, workshop};

/// Commands that are not run here, by how they begin, and why.
const ELSEWHERE: &[(&str, &str)] =
    &[("cargo install --path udp-rpc", "the programs are those that `cargo test` has built")];

#[test]
fn tutorial_leads_from_an_empty_folder_to_a_service() {
    let folder = workshop::folder("tutorial");
    let page = workshop::page("TUTORIAL.md");
    let commands = workshop::session(&folder).elsewhere(ELSEWHERE).follow(&page);
    assert!(commands >= 30, "{commands} commands were run");
}

#[test]
fn everything_in_the_tutorial_is_done_but_its_drawings() {
    for (number, step) in steps(&workshop::page("TUTORIAL.md")) {
        if let Step::Aside { language } = step {
            assert_eq!(language, "text", "line {number}: neither a file nor a terminal");
        }
    }
}
