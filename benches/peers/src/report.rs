//! The tables: medians over the rounds, ratios, and goals.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use crate::cases::{Case, Group};
use crate::goals;
use crate::host::Host;
use crate::measure::Sample;
use crate::rounds::Shown;
use crate::settings::{Program, Run};

/// All that a run has shown.
#[derive(Debug, Serialize)]
pub(crate) struct Results {
    pub(crate) host: Host,
    /// A quick run compares nothing.
    pub(crate) quick: bool,
    /// How often each case was run.
    pub(crate) rounds: usize,
    /// By the names of cases.
    pub(crate) summaries: BTreeMap<String, Summary>,
    pub(crate) goals: Vec<goals::Verdict>,
    /// Every run of every case.
    pub(crate) shown: Shown,
}

impl Results {
    pub(crate) fn new(host: Host, run: &Run, cases: &[Case], shown: Shown) -> Self {
        let mut summaries = BTreeMap::new();
        for case in cases {
            let samples: Vec<_> = shown
                .get(&case.name)
                .into_iter()
                .flatten()
                .filter_map(|r| r.as_ref().ok())
                .collect();
            if !samples.is_empty() {
                summaries.insert(case.name.clone(), Summary::of(&samples));
            }
        }
        let goals = goals::verdicts(&summaries);
        let rounds = shown.values().map(Vec::len).max().unwrap_or(0);
        Self { host, quick: run.quick, rounds, summaries, goals, shown }
    }
}

/// The medians of several runs.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Summary {
    pub(crate) runs: usize,
    pub(crate) calls_per_s: f64,
    pub(crate) calls_per_s_min: f64,
    pub(crate) calls_per_s_max: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) server_us_per_call: Option<f64>,
    pub(crate) client_us_per_call: Option<f64>,
    /// Of all runs together.
    pub(crate) errors: u64,
    pub(crate) more: BTreeMap<String, f64>,
}

impl Summary {
    fn of(samples: &[&Sample]) -> Self {
        let all = |figure: &dyn Fn(&Sample) -> Option<f64>| {
            let mut values: Vec<f64> = samples.iter().filter_map(|sample| figure(sample)).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let middle = |figure: &dyn Fn(&Sample) -> Option<f64>| median(&all(figure));
        let rates = all(&|sample| Some(sample.calls_per_s));
        let names = samples.iter().flat_map(|sample| sample.more.keys());
        let more = names.map(|name| {
            (name.clone(), middle(&|sample| sample.more.get(name).copied()).unwrap_or_default())
        });
        Self {
            runs: samples.len(),
            calls_per_s: median(&rates).unwrap_or_default(),
            calls_per_s_min: rates.first().copied().unwrap_or_default(),
            calls_per_s_max: rates.last().copied().unwrap_or_default(),
            p50_us: middle(&|sample| Some(sample.p50_us)).unwrap_or_default(),
            p99_us: middle(&|sample| Some(sample.p99_us)).unwrap_or_default(),
            p999_us: middle(&|sample| Some(sample.p999_us)).unwrap_or_default(),
            server_us_per_call: middle(&|sample| sample.server_us_per_call),
            client_us_per_call: middle(&|sample| sample.client_us_per_call),
            errors: samples.iter().map(|sample| sample.errors).sum(),
            more: more.collect(),
        }
    }
}

/// Of values in order; of an even number, the mean of the two in the middle.
fn median(values: &[f64]) -> Option<f64> {
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get(values.len().checked_sub(1)? / 2)?;
    Some((lower + upper) / 2.0)
}

/// The tables, for people.
pub(crate) fn markdown(results: &Results, cases: &[Case]) -> String {
    let mut text = String::new();
    write(&mut text, results, cases).expect("a string has room");
    text
}

/// A page with these tables in the place of those that it has; `None` when it has no place.
pub(crate) fn within(page: &str, tables: &str) -> Option<String> {
    let (before, rest) = page.split_once("<!-- tables -->\n")?;
    let (_, after) = rest.split_once("<!-- /tables -->")?;
    let tables = tables.trim();
    Some(format!("{before}<!-- tables -->\n\n{tables}\n\n<!-- /tables -->{after}"))
}

fn write(out: &mut String, results: &Results, cases: &[Case]) -> std::fmt::Result {
    let Host { kernel, processor, cores, programs } = &results.host;
    let rounds = results.rounds;
    writeln!(out, "{kernel}, {processor}, {cores} cores; {}.", programs.join(", "))?;
    writeln!(out, "Medians of {rounds} rounds.\n")?;
    if results.quick {
        writeln!(out, "A quick run: it shows that all of this works, and compares nothing.\n")?;
    }
    if !results.goals.is_empty() {
        goals::table(out, &results.goals)?;
    }
    let mut groups: Vec<Group> = cases.iter().map(|case| case.group).collect();
    groups.dedup();
    for group in groups {
        writeln!(out, "\n**{}**\n", group.title())?;
        let its: Vec<_> = cases.iter().filter(|case| case.group == group).collect();
        table(out, results, group, &its)?;
    }
    Ok(())
}

/// What the second column is about.
fn second(group: Group) -> &'static str {
    match group {
        Group::One | Group::Spinning | Group::Pipelined | Group::Random => "in flight",
        Group::Many => "clients",
        Group::Threads => "server threads",
        Group::Sessions => "sessions",
        Group::Loss | Group::Path => "loss, %",
    }
}

fn table(out: &mut String, results: &Results, group: Group, cases: &[&Case]) -> std::fmt::Result {
    let head = second(group);
    writeln!(
        out,
        "| program | {head} | calls a second (least–most) | p50, µs | p99, µs | p99.9, µs | server, client: µs of a core each call |"
    )?;
    writeln!(out, "| --- | ---: | ---: | ---: | ---: | ---: | ---: |")?;
    for case in cases {
        let (program, what) = (shown_name(case.load.program), &case.what);
        let Some(summary) = results.summaries.get(&case.name) else {
            let why = results.shown.get(&case.name).and_then(|runs| runs.first()?.as_ref().err());
            let why = why.map_or("not run", String::as_str);
            writeln!(out, "| {program} | {what} | {why} | | | | |")?;
            continue;
        };
        let errors = match summary.errors {
            0 => String::new(),
            errors => format!(", {errors} errors"),
        };
        let cost = |us: Option<f64>| us.map_or("–".into(), significant);
        writeln!(
            out,
            "| {program} | {what} | {} ({}–{}){errors} | {} | {} | {} | {}, {} |",
            thousands(summary.calls_per_s),
            thousands(summary.calls_per_s_min),
            thousands(summary.calls_per_s_max),
            significant(summary.p50_us),
            significant(summary.p99_us),
            significant(summary.p999_us),
            cost(summary.server_us_per_call),
            cost(summary.client_us_per_call),
        )?;
    }
    Ok(())
}

/// As people call it.
fn shown_name(program: Program) -> &'static str {
    match program {
        Program::RawBlocking => "raw echo",
        Program::RawSpinning => "raw echo, spinning",
        Program::RawGso => "raw echo, GSO + GRO",
        Program::UdpRpc => "**udp-rpc** `BlockingClient`",
        Program::UdpRpcAsync => "**udp-rpc** `Client`",
        Program::UdpRpcSessions => "**udp-rpc** server",
        Program::Tonic => "tonic",
        Program::Tarpc => "tarpc",
        Program::Quinn => "quinn",
    }
}

/// A number in thousands or millions.
pub(crate) fn thousands(number: f64) -> String {
    match number {
        1e6.. => format!("{:.2} M", number / 1e6),
        1e4.. => format!("{:.0} k", number / 1e3),
        1e3.. => format!("{:.1} k", number / 1e3),
        _ => format!("{number:.0}"),
    }
}

/// A number with three digits that count.
pub(crate) fn significant(number: f64) -> String {
    match number {
        1000.0.. => format!("{:.0}", (number / 10.0).round() * 10.0),
        100.0.. => format!("{number:.0}"),
        10.0.. => format!("{number:.1}"),
        1.0.. => format!("{number:.2}"),
        _ => format!("{number:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_an_even_number_is_between_the_two_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[1.0, 2.0, 9.0]), Some(2.0));
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), Some(3.0));
    }

    #[test]
    fn tables_take_the_place_of_those_before() {
        let page = "a\n<!-- tables -->\nold\n<!-- /tables -->\nb\n";
        let new = within(page, "\nnew\n").unwrap();
        assert_eq!(new, "a\n<!-- tables -->\n\nnew\n\n<!-- /tables -->\nb\n");
        assert_eq!(within(&new, "\nnew\n"), Some(new));
        assert_eq!(within("a", "b"), None);
    }

    #[test]
    fn numbers_are_shown_with_the_digits_that_count() {
        let shown: Vec<_> = [0.1234, 1.234, 12.34, 123.4, 1234.0].map(significant).into();
        assert_eq!(shown, ["0.123", "1.23", "12.3", "123", "1230"]);
        let shown: Vec<_> = [999.0, 1234.0, 12_345.0, 1_234_567.0].map(thousands).into();
        assert_eq!(shown, ["999", "1.2 k", "12 k", "1.23 M"]);
    }
}
