//! What a run came to, for people and for programs. `bench --help` documents the JSON.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};
use udp_rpc::core::CallError;

use super::measured::Measured;
use super::plan::Plan;
use super::requests::Requests;
use super::{chart, cpu};
use crate::exit::Exit;
use crate::failure;
use crate::units;

/// The version of the JSON: it rises when something in it goes or changes its meaning.
const SCHEMA: u32 = 1;

/// A generator that works for more than this share of its time leaves the server too little.
const BUSY: f64 = 0.95;

/// A share of late calls that is no accident.
const LATE: f64 = 0.01;

/// The shares of calls whose latency is told, with their names in text and in JSON.
const QUANTILES: [(f64, &str, &str); 4] =
    [(0.5, "p50", "p50"), (0.9, "p90", "p90"), (0.99, "p99", "p99"), (0.999, "p99.9", "p99_9")];

/// A run that has ended, with at least one call.
pub(super) struct Report {
    pub(super) method: String,
    pub(super) server: String,
    pub(super) plan: Plan,
    pub(super) requests: Requests,
    pub(super) measured: Measured,
    /// Ctrl-C ended it.
    pub(super) interrupted: bool,
    /// What ended it, if the next calls would have ended like that too.
    pub(super) broken: Option<CallError>,
}

impl Report {
    /// The code to exit with: that of the worst end of a call.
    pub(super) fn exit(&self) -> Exit {
        if self.interrupted { Exit::Interrupted } else { self.measured.tally.exit() }
    }

    /// What makes the figures say less than they seem to.
    pub(super) fn warnings(&self) -> Vec<String> {
        let Measured { late, held_back, never_begun, .. } = self.measured;
        let calls = self.measured.calls();
        let mut warnings = Vec::new();
        if let Some(error) = &self.broken {
            let message = failure::printable(&error.message);
            warnings.push(format!("it ended early: {}: {message}", error.code));
        }
        if let Some(busy) = self.busy().filter(|busy| *busy >= BUSY) {
            warnings.push(format!(
                "the generator was busy for {:.0} % of the time: the server may be faster than this",
                busy * 100.0
            ));
        }
        if late as f64 > LATE * calls as f64 {
            warnings.push(format!(
                "the generator began {} of {} calls more than 1 ms late: it is too slow for this \
                 rate",
                grouped(late),
                grouped(calls),
            ));
        }
        if never_begun > 0 {
            warnings.push(format!(
                "{} calls that were due were never begun: the rate was not reached",
                grouped(never_begun)
            ));
        }
        if held_back > 0 {
            warnings.push(format!(
                "{} of {} calls had to wait for room among {} in flight, and their latency has that \
                 in it",
                grouped(held_back),
                grouped(calls),
                self.plan.in_flight
            ));
        }
        warnings
    }

    /// The share of the time for which the clients' threads have worked, of what they could have
    /// at most on the processors that there are. Those that poll, or wait for the instant at which
    /// a call is due, are never at rest, which says nothing.
    fn busy(&self) -> Option<f64> {
        if self.plan.busy_poll || self.plan.rate.is_some() {
            return None;
        }
        let threads = self.plan.clients.min(cpu::processors());
        let could = self.measured.elapsed.as_secs_f64() * threads as f64;
        self.measured.cpu.map(|cpu| cpu.as_secs_f64() / could.max(1e-9))
    }

    /// For people: eighty columns at most.
    pub(super) fn text(&self) -> String {
        let Report { plan, measured, .. } = self;
        let mut text = format!("{} at {}\n{}\n\n", self.method, self.server, self.told_plan());
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(text, "{name:>10}   {value}");
        };
        let calls = measured.calls();
        let rate = grouped(measured.rate().round() as u64);
        let wanted = plan.rate.map_or_else(String::new, |rate| format!(" of {rate} asked for"));
        line("calls", &format!("{}, {rate} a second{wanted}", grouped(calls)));
        let errors = self.errors();
        if errors.is_empty() {
            line("errors", "none");
        }
        for (place, (count, code, outcome)) in errors.iter().enumerate() {
            let name = if place == 0 { "errors" } else { "" };
            line(name, &format!("{} {code}, {outcome}", grouped(*count)));
        }
        line("attempts", &format!("{:.4} a call", measured.attempts_per_call()));
        let quantiles = QUANTILES.iter().map(|(share, name, _)| (measured.quantile(*share), *name));
        let max = (measured.quantile(1.0), "max");
        let shown: Vec<_> =
            quantiles.chain([max]).map(|(time, name)| format!("{name} {}", show(time))).collect();
        line("latency", &shown.join(", "));

        let rows = chart::coarse(&measured.latency);
        let most = rows.iter().map(|row| row.calls).max().unwrap_or(0);
        text.push_str("\n      from\n");
        for row in rows {
            let from = show(Duration::from_nanos(row.from as u64));
            let share = row.calls as f64 / calls as f64 * 100.0;
            let bar = chart::bar(row.calls, most);
            let _ = writeln!(text, "{from:>10} {bar} {share:>5.1} % {:>9}", row.calls);
        }
        text
    }

    /// What was done, in a line.
    fn told_plan(&self) -> String {
        let Report { plan, measured, .. } = self;
        let clients = units::count(plan.clients as u64, "client");
        let each = if plan.clients > 1 { " each" } else { "" };
        let mut told = format!("{clients}, {} in flight{each}", plan.in_flight);
        if let Some(rate) = plan.rate {
            let _ = write!(told, ", {rate} calls a second");
        }
        if plan.busy_poll {
            told.push_str(", busy polling");
        }
        let _ = write!(told, ", {}", units::show(measured.elapsed));
        if !plan.warm_up.is_zero() {
            let _ = write!(told, " after {} of warm-up", units::show(plan.warm_up));
        }
        told
    }

    /// How many calls failed and how, the most frequent first.
    fn errors(&self) -> Vec<(u64, &'static str, &'static str)> {
        let errors = self.measured.errors.iter();
        let mut errors: Vec<_> =
            errors.map(|(sort, count)| (*count, sort.code.name(), sort.outcome)).collect();
        errors.sort_by(|one, other| other.cmp(one));
        errors
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        let Report { plan, measured, .. } = self;
        let tally = measured.tally;
        let (shortest, longest) = self.requests.bytes();
        let mut latency = serde_json::Map::new();
        latency.insert("min".into(), micros(measured.latency.min() as f64).into());
        latency.insert("mean".into(), micros(measured.latency.mean()).into());
        latency.insert("stddev".into(), micros(measured.latency.stdev()).into());
        for (share, _, name) in QUANTILES {
            let ns = measured.latency.value_at_quantile(share) as f64;
            latency.insert(name.into(), micros(ns).into());
        }
        latency.insert("max".into(), micros(measured.latency.max() as f64).into());
        let errors: Vec<_> = self
            .errors()
            .into_iter()
            .map(|(calls, code, outcome)| {
                let outcome = if outcome == "not executed" { "notExecuted" } else { outcome };
                json!({ "code": code, "outcome": outcome, "calls": calls })
            })
            .collect();
        let histogram: Vec<_> = chart::fine(&measured.latency)
            .into_iter()
            .map(|row| {
                json!({
                    "from_us": micros(row.from), "to_us": micros(row.to), "calls": row.calls,
                })
            })
            .collect();
        json!({
            "schema": SCHEMA,
            "method": self.method,
            "server": self.server,
            "clients": plan.clients,
            "in_flight": plan.in_flight,
            "busy_poll": plan.busy_poll,
            "rate_per_s": plan.rate,
            "warm_up_s": plan.warm_up.as_secs_f64(),
            "duration_s": measured.elapsed.as_secs_f64(),
            "requests": self.requests.len(),
            "request_bytes_min": shortest,
            "request_bytes_max": longest,
            "calls": measured.calls(),
            "calls_per_s": (measured.rate() * 10.0).round() / 10.0,
            "ok": tally.ok,
            "executed": tally.executed,
            "not_executed": tally.not_executed,
            "unknown": tally.unknown,
            "errors": errors,
            "attempts": tally.attempts,
            "attempts_per_call": measured.attempts_per_call(),
            "latency_us": latency,
            "histogram": histogram,
            "generator_busy": self.busy(),
            "calls_late": measured.late,
            "calls_held_back": measured.held_back,
            "calls_never_begun": measured.never_begun,
            "warnings": self.warnings(),
            "interrupted": self.interrupted,
            "exit": self.exit().number(),
        })
    }
}

/// Nanoseconds as microseconds, to the nanosecond.
fn micros(ns: f64) -> f64 {
    ns.round() / 1e3
}

/// A latency with three digits.
fn show(latency: Duration) -> String {
    let ns = latency.as_nanos() as f64;
    let (unit, value) = [("s", 1e9), ("ms", 1e6)]
        .into_iter()
        .find(|(_, size)| ns >= 0.9995 * size)
        .map_or(("µs", ns / 1e3), |(unit, size)| (unit, ns / size));
    let decimals = match value {
        value if value < 9.995 => 2,
        value if value < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$} {unit}")
}

/// A count with its digits in threes: `2,031,223`.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_have_three_digits_in_the_unit_that_suits_them() {
        for (ns, shown) in [
            (3_456, "3.46 µs"),
            (9_999, "10.0 µs"),
            (63_049, "63.0 µs"),
            (999_400, "999 µs"),
            (999_900, "1.00 ms"),
            (3_150_000, "3.15 ms"),
            (445_000_000, "445 ms"),
            (10_040_000_000, "10.0 s"),
            (123_456_000_000, "123 s"),
        ] {
            assert_eq!(show(Duration::from_nanos(ns)), shown);
        }
    }

    #[test]
    fn digits_of_counts_stand_in_threes() {
        let shown = [0, 999, 1_000, 2_031_223].map(grouped);
        assert_eq!(shown, ["0", "999", "1,000", "2,031,223"]);
    }
}
