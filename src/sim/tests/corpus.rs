//! The fuzz targets over their committed corpora, and over scripts made up here.

use std::path::Path;

use super::ALL_RULES;
use crate::core::{Prf, Rule, Seed};
use crate::sim::fuzz;

/// Runs a target over every file of its corpus.
fn replay(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut files = 0;
    let entries =
        std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("a folder that can be read").path();
        println!("{}", path.display());
        target(&std::fs::read(&path).expect("a file that can be read"));
        files += 1;
    }
    assert!(files > 0, "{} is empty", folder.display());
}

/// A script of random bytes, biased to small numbers, which mean more.
fn script(seed: u64) -> Vec<u8> {
    let mut dice = Prf::new(&Seed::from_number(seed), "script");
    let length = dice.below(1500);
    let shift = dice.below(5);
    let mut byte = || {
        let byte = (dice.next_u64() & 0xff) as u8;
        if dice.below(5) < shift { byte >> dice.below(8) } else { byte }
    };
    (0..length).map(|_| byte()).collect()
}

/// Runs a target over random scripts.
fn random(target: fn(&[u8]), scripts: u64) {
    for seed in 0..scripts {
        let script = script(seed);
        let result = std::panic::catch_unwind(|| target(&script));
        if result.is_err() {
            let file = std::env::temp_dir().join(format!("udp-rpc-script-{seed}"));
            std::fs::write(&file, &script).expect("a temporary folder");
            panic!("script {seed} breaks a promise; it is in {}", file.display());
        }
    }
}

#[test]
fn decoder_holds_on_its_corpus() {
    replay("decoder", fuzz::decoder);
}

#[test]
fn server_holds_on_its_corpus() {
    replay("server", fuzz::server);
}

#[test]
fn client_holds_on_its_corpus() {
    replay("client", fuzz::client);
}

#[test]
fn decoder_holds_on_random_bytes() {
    random(fuzz::decoder, 20_000);
}

#[test]
fn server_holds_on_random_scripts() {
    random(fuzz::server, 3_000);
}

#[test]
fn client_holds_on_random_scripts() {
    random(fuzz::client, 3_000);
}

/// How many random scripts notice that a rule is dropped, for each rule.
#[test]
#[ignore = "a measure of the fuzz targets' strength, for those who change them"]
fn scripts_notice_dropped_rules() {
    std::panic::set_hook(Box::new(|_| {}));
    for rule in ALL_RULES {
        let notices = |target: fn(Option<Rule>, &[u8])| {
            (0..3_000)
                .filter(|seed| {
                    let script = script(*seed);
                    std::panic::catch_unwind(|| target(Some(rule), &script)).is_err()
                })
                .count()
        };
        let (server, client) = (notices(fuzz::server_without), notices(fuzz::client_without));
        println!("{rule:?}: server {server}, client {client}");
    }
}
