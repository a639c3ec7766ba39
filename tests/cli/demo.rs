//! `demo`.

use std::time::Duration;

use crate::run::udp_rpc;

/// What a run of the demo must show, whatever the dice.
#[track_caller]
fn shows_at_most_once(arguments: &[&str]) -> String {
    let run = udp_rpc(arguments);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.elapsed < Duration::from_secs(60), "{run:?}");
    for word in ["LOST", "the same call again", "from the slot", "calls 103 / executed 103 / "] {
        assert!(run.stdout.contains(word), "no {word:?} in {}", run.stdout);
    }
    assert!(run.stdout.contains("incremented 102 times and says 102"), "{}", run.stdout);
    assert!(!run.stdout.contains('\x1b'), "colours only on a terminal");
    for line in run.stdout.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    run.stdout
}

#[test]
fn demo_tells_three_calls_and_counts_a_hundred() {
    let shown = shows_at_most_once(&["demo"]);
    assert!(shown.lines().filter(|line| line.contains('#')).count() < 100);
}

#[test]
fn demo_shows_all_increments_with_verbose() {
    let shown = shows_at_most_once(&["demo", "-v", "--seed", "2"]);
    assert_eq!(shown.lines().filter(|line| line.starts_with("  #")).count(), 100, "{shown}");
}

#[test]
fn demo_takes_a_worse_path() {
    shows_at_most_once(&["demo", "--loss", "30%", "--duplicate", "20%", "--seed", "3"]);
}
