//! Worlds by the thousand: more than a million calls in every test run.
//!
//! `UDP_RPC_SEED`, `UDP_RPC_SEEDS` and `UDP_RPC_TRACE` choose other worlds: see [`crate::sim`].

use std::time::Duration;

use super::ALL_RULES;
use crate::core::fault::Faults;
use crate::sim::plan::{Direction, Kind, Plan, Workload};
use crate::sim::work::Method;
use crate::sim::world::World;
use crate::sim::{Failure, Report, run};

/// Calls of one world, about.
const CALLS: u32 = 1_000;

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Runs so many worlds of a kind on all processors; panics with the first failure by seed.
fn worlds(kind: Kind, seeds: u64) -> Report {
    let (first, seeds) = match (number("UDP_RPC_SEED"), number("UDP_RPC_SEEDS")) {
        (first, Some(seeds)) => (first.unwrap_or(0), seeds),
        (Some(seed), None) => (seed, 1),
        (None, None) => (0, seeds),
    };
    let trace = std::env::var_os("UDP_RPC_TRACE").is_some();
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let results: Vec<(Report, Option<Failure>)> = std::thread::scope(|scope| {
        let part = |thread| {
            let mut sum = Report::default();
            for seed in (first..first + seeds).filter(|seed| seed % threads == thread) {
                match run(seed, kind, CALLS, trace) {
                    Ok(report) => sum.add(&report),
                    Err(failure) => return (sum, Some(failure)),
                }
            }
            (sum, None)
        };
        let handles: Vec<_> =
            (0..threads).map(|thread| scope.spawn(move || part(thread))).collect();
        handles.into_iter().map(|handle| handle.join().expect("a core panicked")).collect()
    });
    let failures = results.iter().filter_map(|(_, failure)| failure.as_ref());
    if let Some(failure) = failures.min_by_key(|failure| failure.seed) {
        panic!("{failure}");
    }
    let mut sum = Report::default();
    results.iter().for_each(|(report, _)| sum.add(report));
    println!("{kind:?}: {seeds} worlds from seed {first}: {sum:#?}");
    sum
}

#[test]
fn every_call_of_a_fair_world_ends_ok() {
    worlds(Kind::Fair, 300);
}

#[test]
fn hostile_worlds_break_no_promise() {
    worlds(Kind::Hostile, 3_000);
}

#[test]
fn whatever_happened_nobody_is_stuck() {
    worlds(Kind::Healing, 1_000);
}

/// Thirty per cent lost and twenty per cent duplicated, each way: ten thousand increments, sixty-four
/// at a time, with a minute for each.
#[test]
fn ten_thousand_increments_through_a_bad_network_are_ten_thousand() {
    for seed in 0..3 {
        let drawn = Plan::draw(seed, Kind::Fair, 10_000);
        let delay = Duration::from_millis([1, 20, 100][seed as usize]);
        let faults = Faults { loss: 0.3, duplicate: 0.2, delay, jitter: delay, ..Faults::NONE };
        let direction = Direction { faults, straggle: 0.0, straggle_most: Duration::ZERO };
        let work = Workload {
            calls: 10_000,
            at_a_time: 64,
            think: 0.0,
            timeout: (Duration::from_secs(60), Duration::from_secs(60)),
            methods: vec![Method::Count],
            ..drawn.work[0].clone()
        };
        let paths = vec![(direction, direction)];
        let errors_ppm = vec![300, -300];
        let plan = Plan { paths, work: vec![work], errors_ppm, ..drawn };
        let report = World::new(seed, plan).run().unwrap_or_else(|violation| panic!("{violation}"));
        assert_eq!((report.ends.ok, report.runs), (10_000, 10_000), "{report:?}");
        println!("{delay:?}: {} datagrams, {} s", report.traffic.sent, report.span_us / 1_000_000);
    }
}

/// A world with one client that has 64 calls at a time on a path without jitter and with a round
/// trip of 1 ms, through which this part of the datagrams is lost.
fn steady_world(loss: f64, methods: &[Method], service_most: Duration) -> Report {
    let drawn = Plan::draw(0, Kind::Fair, 10_000);
    let faults = Faults { loss, delay: Duration::from_micros(500), ..Faults::NONE };
    let direction = Direction { faults, straggle: 0.0, straggle_most: Duration::ZERO };
    let work = Workload {
        calls: 10_000,
        at_a_time: 64,
        think: 0.0,
        timeout: (Duration::from_secs(60), Duration::from_secs(60)),
        methods: methods.to_vec(),
        service_most,
        blocked: 0.0,
        unsent: 0.0,
        ..drawn.work[0].clone()
    };
    let paths = vec![(direction, direction)];
    let plan = Plan { paths, work: vec![work], errors_ppm: vec![0, 0], ..drawn };
    let report = World::new(0, plan).run().unwrap_or_else(|violation| panic!("{violation}"));
    assert_eq!((report.ends.ok, report.runs), (10_000, 10_000), "{report:?}");
    report
}

#[test]
fn random_losses_do_not_pin_the_client_to_its_timers() {
    // 157 rounds of 64 calls take 0.16 s if nothing is lost. At 5 %, a timer of 10 ms for each call
    // that loses a datagram would add as much again, and a window that each loss halves seconds.
    for (loss, span_ms_max) in [(0.0, 185), (0.01, 185), (0.05, 230)] {
        let span_ms = steady_world(loss, &[Method::Count], Duration::ZERO).span_us / 1000;
        println!("{loss}: {span_ms} ms");
        assert!(span_ms <= span_ms_max, "{loss}: {span_ms} ms");
    }
}

#[test]
fn slow_calls_among_fast_ones_cost_few_datagrams_more() {
    let service_most = Duration::from_millis(8);
    let report = steady_world(0.0, &[Method::Count, Method::Work], service_most);
    println!("{} datagrams, {} ms", report.traffic.sent, report.span_us / 1000);
    // A request and a reply for each, and a tenth more.
    assert!(report.traffic.sent <= 22_000, "{} datagrams", report.traffic.sent);
}

/// How many of the worlds notice that a rule is dropped, for each rule.
#[test]
#[ignore = "a measure of the simulator's strength, for those who change it"]
fn chance_alone_notices_dropped_rules() {
    for rule in ALL_RULES {
        let mut noticed = Vec::new();
        for seed in 0..number("UDP_RPC_SEEDS").unwrap_or(300) {
            let mut plan = Plan::draw(seed, Kind::Hostile, CALLS);
            plan.dropped = Some(rule);
            if let Err(violation) = World::new(seed, plan).run() {
                noticed.push(violation.promise);
            }
        }
        println!("{rule:?}: {} {:?}", noticed.len(), noticed.first());
    }
}
