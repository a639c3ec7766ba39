//! Counting calls and timing them.
//!
//! What counts are the calls that end between two moments, once the warm-up is over, while the
//! number in flight stays what it is. Each call's time is from its making to its end, in a
//! histogram. Where calls are so many that reading the clock would be a good part of each, only
//! every so-manyth is timed, chosen before it is made; all are counted. A call that has not ended
//! at the end of the run counts with the time that it has taken by then where that is longer than
//! most calls take: one that hangs is not left out because it hangs.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::host;
use crate::settings::Load;

/// Calls between two looks at the clock, where calls themselves are not timed.
const LOOK_EVERY: u64 = 16;

/// Calls in flight from which on not every call is timed.
const MANY: usize = 256;

/// What one run of a case has shown.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) calls: u64,
    pub(crate) seconds: f64,
    pub(crate) calls_per_s: f64,
    /// Calls that failed, not among `calls`.
    pub(crate) errors: u64,
    /// How the first of them failed.
    pub(crate) first_error: Option<String>,
    /// Times of calls, microseconds; 0 where nothing was timed.
    pub(crate) p50_us: f64,
    pub(crate) p90_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) max_us: f64,
    /// Processor time for each call, microseconds, user and kernel.
    pub(crate) server_us_per_call: Option<f64>,
    pub(crate) client_us_per_call: Option<f64>,
    /// What else a case measures, by name.
    #[serde(default)]
    pub(crate) more: BTreeMap<String, f64>,
}

/// Counts and times calls.
pub(crate) struct Recorder {
    warm: Instant,
    over: Instant,
    /// Every so-manyth call is timed.
    every: u64,
    begun: u64,
    ended: u64,
    phase: Phase,
    histogram: Histogram<u64>,
    calls: u64,
    errors: u64,
    first_error: Option<String>,
    server: Option<u32>,
    cpu: Cpu,
    seconds: f64,
}

enum Phase {
    WarmUp,
    Counting { since: Instant, cpu: Cpu },
    Over,
}

/// Processor time of both processes, nanoseconds.
#[derive(Clone, Copy, Default)]
struct Cpu {
    server: Option<u64>,
    client: Option<u64>,
}

impl Cpu {
    fn read(server: Option<u32>) -> Self {
        Self {
            server: server.and_then(host::processor_ns),
            client: host::processor_ns(std::process::id()),
        }
    }

    fn since(self, before: Self) -> Self {
        let less = |now: Option<u64>, then: Option<u64>| Some(now?.saturating_sub(then?));
        Self { server: less(self.server, before.server), client: less(self.client, before.client) }
    }
}

impl Recorder {
    /// Begins with the warm-up.
    pub(crate) fn new(load: &Load) -> Self {
        let now = Instant::now();
        let every = if load.lossy || load.depth * load.clients < MANY { 1 } else { 16 };
        Self {
            warm: now + load.warm_up(),
            over: now + load.warm_up() + load.run(),
            every,
            begun: 0,
            ended: 0,
            phase: Phase::WarmUp,
            // From a nanosecond to a minute, to three digits.
            histogram: Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("bounds in order"),
            calls: 0,
            errors: 0,
            first_error: None,
            server: load.server_pid,
            cpu: Cpu::default(),
            seconds: 0.0,
        }
    }

    /// When the run is over.
    pub(crate) fn over(&self) -> Instant {
        self.over
    }

    /// To be called as a call is made; the moment, if this one is to be timed.
    pub(crate) fn begin(&mut self) -> Option<Instant> {
        self.begun += 1;
        self.begun.is_multiple_of(self.every).then(Instant::now)
    }

    /// To be called as a call ends; whether the run goes on.
    pub(crate) fn end(&mut self, begun: Option<Instant>) -> bool {
        self.end_many(1, begun)
    }

    /// Likewise for several calls that end together, of which at most one is timed.
    pub(crate) fn end_many(&mut self, calls: u64, begun: Option<Instant>) -> bool {
        let looked = self.ended / LOOK_EVERY;
        self.ended += calls;
        let now = match begun {
            Some(_) => Instant::now(),
            None if self.ended / LOOK_EVERY == looked => {
                self.calls += calls;
                return true;
            }
            None => Instant::now(),
        };
        self.calls += calls;
        if let Some(begun) = begun {
            self.record(now - begun);
        }
        self.look(now)
    }

    /// To be called when a call fails; whether the run goes on.
    pub(crate) fn fail(&mut self, error: impl std::fmt::Display) -> bool {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| error.to_string());
        self.look(Instant::now())
    }

    fn record(&mut self, time: Duration) {
        self.histogram.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1));
    }

    /// Goes on to the next phase when it is time to.
    fn look(&mut self, now: Instant) -> bool {
        match self.phase {
            Phase::WarmUp if now >= self.warm => {
                self.calls = 0;
                self.errors = 0;
                self.first_error = None;
                self.histogram.reset();
                let cpu = Cpu::read(self.server);
                self.phase = Phase::Counting { since: Instant::now(), cpu };
            }
            Phase::Counting { since, cpu } if now >= self.over => {
                self.seconds = (now - since).as_secs_f64();
                self.cpu = Cpu::read(self.server).since(cpu);
                self.phase = Phase::Over;
            }
            _ => {}
        }
        !matches!(self.phase, Phase::Over)
    }

    /// The end of the run; of the calls that have not ended, those that are timed are told.
    pub(crate) fn finish(mut self, unfinished: impl IntoIterator<Item = Instant>) -> Sample {
        let now = Instant::now();
        // Where nothing ended for long, nothing noticed.
        if matches!(self.phase, Phase::WarmUp) {
            self.calls = 0;
            self.histogram.reset();
            self.phase = Phase::Counting { since: self.warm, cpu: Cpu::default() };
        }
        self.look(now.max(self.over));
        let usual = self.histogram.value_at_quantile(0.5);
        for begun in unfinished {
            let age = now - begun;
            if age.as_nanos() > u128::from(usual) {
                self.record(age);
            }
        }
        let time = |quantile| self.histogram.value_at_quantile(quantile) as f64 / 1e3;
        let each = |ns: Option<u64>| Some(ns? as f64 / 1e3 / self.calls.max(1) as f64);
        let timed = !self.histogram.is_empty();
        let of = |quantile| if timed { time(quantile) } else { 0.0 };
        Sample {
            calls: self.calls,
            seconds: self.seconds,
            calls_per_s: self.calls as f64 / self.seconds,
            errors: self.errors,
            first_error: self.first_error,
            p50_us: of(0.5),
            p90_us: of(0.9),
            p99_us: of(0.99),
            p999_us: of(0.999),
            max_us: of(1.0),
            server_us_per_call: each(self.cpu.server),
            client_us_per_call: each(self.cpu.client),
            more: BTreeMap::new(),
        }
    }
}
