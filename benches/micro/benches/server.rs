//! The server's core: 64 requests each, from the bytes that came to the bytes that go.

use gungraun::Callgrind;
use gungraun::prelude::*;
use micro::{CALLS, Stage, set};

// The slot table: requests come in, find their session and their slot, run, and leave a reply.
#[library_benchmark]
#[bench::one_session(set::sent())]
#[bench::among_4096(set::sent_among(4_096))]
fn serve(mut stage: Stage) -> Stage {
    stage.serve();
    stage
}

// The same requests once more: each is found in its slot, and its reply is to go again.
#[library_benchmark]
#[bench::of_64(set::sent_again())]
fn serve_again(mut stage: Stage) -> Stage {
    stage.serve();
    stage
}

// Replies go out, in runs.
#[library_benchmark]
#[bench::of_64(set::served())]
fn answer(mut stage: Stage) -> Stage {
    stage.answer();
    stage
}

// Time is looked at 64 times, with nothing due.
#[library_benchmark]
#[bench::one_session(set::answered())]
#[bench::among_4096(Stage::with_sessions(4_096))]
fn nothing_due(mut stage: Stage) -> Stage {
    for _ in 0..CALLS {
        stage.server_time();
    }
    stage
}

library_benchmark_group!(name = slots, benchmarks = [serve, serve_again, answer]);
library_benchmark_group!(name = timers, benchmarks = [nothing_due]);

main!(
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"])),
    library_benchmark_groups = [slots, timers]
);
