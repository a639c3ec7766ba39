//! The client's core: 64 calls each, from their making to their ends, and its timers.

use gungraun::Callgrind;
use gungraun::prelude::*;
use micro::{CALLS, Stage, set};

// Calls with their deadlines, all of which have timers.
const MANY: usize = 100_000;

// Calls are made.
#[library_benchmark]
#[bench::of_64(set::idle())]
fn call(mut stage: Stage) -> Stage {
    stage.call(CALLS);
    stage
}

fn called() -> Stage {
    let mut stage = set::idle();
    stage.call(CALLS);
    stage
}

// Requests go out, in runs, and their retransmission is armed.
#[library_benchmark]
#[bench::of_64(called())]
fn send(mut stage: Stage) -> Stage {
    stage.send();
    stage
}

// Replies come in, each with a sample of the round-trip time that the RTO is made of, and the
// ends of their calls are told.
#[library_benchmark]
#[bench::of_64(set::answered())]
fn take(mut stage: Stage) -> Stage {
    stage.take();
    stage.ends();
    stage
}

fn many_open() -> Stage {
    set::many_open(MANY)
}

// Time is looked at 64 times, with nothing due.
#[library_benchmark]
#[bench::of_64(set::answered())]
#[bench::among_100_000(many_open())]
fn nothing_due(mut stage: Stage) -> Stage {
    for _ in 0..CALLS {
        stage.client_time();
    }
    stage
}

// A flight of requests is lost: its RTO is over, and what the window takes goes again.
#[library_benchmark]
#[bench::of_64(set::lost())]
fn rto(mut stage: Stage) -> Stage {
    stage.client_time();
    stage.send();
    stage
}

library_benchmark_group!(name = calls, benchmarks = [call, send, take]);
library_benchmark_group!(name = timers, benchmarks = [nothing_due, rto]);

main!(
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"])),
    library_benchmark_groups = [calls, timers]
);
