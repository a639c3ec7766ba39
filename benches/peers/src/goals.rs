//! What this project wants to reach, each as a ratio to another row of the same run, and whether
//! it does.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use crate::cases::{self, CLIENTS, Group, LOSSES, RIVALS, SESSIONS, name};
use crate::report::{Summary, significant};
use crate::settings::Program;

/// A goal, and what the run has shown.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    pub(crate) goal: String,
    pub(crate) reached: f64,
    /// What is owed.
    pub(crate) least: f64,
    /// What is aimed at.
    pub(crate) aim: f64,
    /// Whether more is better.
    pub(crate) more: bool,
    pub(crate) unit: &'static str,
}

impl Verdict {
    /// By how much what is owed is missed, as a share of it.
    fn missed_by(&self) -> Option<f64> {
        let ratio = self.reached / self.least;
        let missed = if self.more { 1.0 - ratio } else { ratio - 1.0 };
        // Also when nothing was measured.
        (missed > 0.0 || missed.is_nan()).then_some(missed)
    }

    fn is_aim(&self) -> bool {
        if self.more { self.reached >= self.aim } else { self.reached <= self.aim }
    }

    fn word(&self) -> String {
        match self.missed_by() {
            Some(missed) => format!("**missed by {:.0} %**", missed * 100.0),
            None if self.is_aim() => "aim reached".into(),
            None => "met".into(),
        }
    }
}

/// Verdicts on all goals of which the run has the rows.
pub(crate) fn verdicts(rows: &BTreeMap<String, Summary>) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    let row =
        |group, program, what: &dyn ToString| rows.get(&name(group, program, what.to_string()));
    let mut add = |goal: String, reached: Option<f64>, (least, aim): (f64, f64), unit| {
        let more = aim > least;
        verdicts.extend(reached.map(|reached| Verdict { goal, reached, least, aim, more, unit }));
    };
    let ours = Program::UdpRpc;

    let raw = row(Group::Pipelined, Program::RawGso, &512);
    for (group, operands) in
        [(Group::Pipelined, "the same operands"), (Group::Random, "random operands")]
    {
        let mine = row(group, ours, &512);
        let best = RIVALS
            .iter()
            .filter_map(|rival| row(group, *rival, &512))
            .map(|r| r.calls_per_s)
            .reduce(f64::max);
        let rival = mine.and_then(|mine| Some(mine.calls_per_s / best?));
        let goal = format!(
            "512 calls in flight, {operands}: calls a second to those of the best of tonic, tarpc, quinn"
        );
        add(goal, rival, (5.0, 10.0), "×");
        let floor = mine.and_then(|mine| Some(mine.calls_per_s / raw?.calls_per_s));
        add(
            format!("512 calls in flight, {operands}: to raw echo with GSO + GRO"),
            floor,
            (0.3, 0.6),
            "×",
        );
    }

    for clients in CLIENTS {
        let raw = row(Group::Many, Program::RawBlocking, &clients);
        for (program, who) in [(ours, "clients of ours"), (Program::UdpRpcSessions, "bare clients")]
        {
            let mine = row(Group::Many, program, &clients);
            let ratio = mine.and_then(|mine| Some(mine.calls_per_s / raw?.calls_per_s));
            let goal = format!(
                "{clients} {who}, one call in flight each: calls a second to raw echo with as many \
                 sockets"
            );
            add(goal, ratio, (0.85, 0.95), "×");
        }
    }

    type Percentile = (&'static str, fn(&Summary) -> f64);
    let percentiles: [Percentile; 2] = [("p50", |row| row.p50_us), ("p99", |row| row.p99_us)];
    let alone = [
        (Group::One, Program::RawBlocking, "one call at a time", (1.10, 1.03)),
        (Group::Spinning, Program::RawSpinning, "the same, both sides polling busily", (2.0, 1.3)),
    ];
    for (group, floor, goal, wanted) in alone {
        for (percentile, of) in percentiles {
            let (mine, raw) = (row(group, ours, &1), row(group, floor, &1));
            let ratio = mine.and_then(|mine| Some(of(mine) / of(raw?)));
            add(format!("{goal}: {percentile} to raw echo's"), ratio, wanted, "×");
        }
    }

    for loss in LOSSES.into_iter().filter(|loss| *loss > 0) {
        let (mine, quinn) =
            (row(Group::Loss, ours, &loss), row(Group::Loss, Program::Quinn, &loss));
        let rate = mine.and_then(|mine| Some(mine.calls_per_s / quinn?.calls_per_s));
        add(format!("{loss} % loss each way: calls a second to quinn's"), rate, (3.0, 10.0), "×");
        let p99 = mine.and_then(|mine| Some(mine.p99_us / quinn?.p99_us));
        add(format!("{loss} % loss each way: p99 to quinn's"), p99, (1.0 / 3.0, 0.1), "×");
    }
    let path = row(Group::Path, ours, &cases::PATH_LOSS);
    let trips = path.map(|path| path.p99_us / 1e3 / cases::PATH_MS as f64);
    let goal =
        format!("a round trip of {} ms, {} % loss each way: p99", cases::PATH_MS, cases::PATH_LOSS);
    add(goal, trips, (3.0, 2.999), "round trips");

    let threads = |threads: u32| row(Group::Threads, ours, &threads).map(|row| row.calls_per_s);
    let ratio = threads(2).and_then(|two| Some(two / threads(1)?));
    let goal = format!("two server threads to one, handlers of {} µs", cases::BURN_US);
    add(goal, ratio, (1.7, 1.9), "×");

    let sessions = |count: usize| row(Group::Sessions, Program::UdpRpcSessions, &count);
    let more = |name: &str| sessions(SESSIONS).and_then(|row| row.more.get(name).copied());
    add("an idle session's memory".into(), more("bytes_per_session_idle"), (256.0, 128.0), "bytes");
    let mib = more("server_bytes_idle").map(|bytes| bytes / f64::from(1 << 20));
    add("an idle server's memory".into(), mib, (16.0, 8.0), "MiB");
    let cost = |count| sessions(count).and_then(|row| row.server_us_per_call);
    let ratio = cost(SESSIONS).and_then(|many| Some(many / cost(1)?));
    add(
        format!("{SESSIONS} sessions to one: the server's time for a call"),
        ratio,
        (1.25, 1.10),
        "×",
    );
    verdicts
}

/// The goals' table.
pub(crate) fn table(out: &mut String, verdicts: &[Verdict]) -> std::fmt::Result {
    writeln!(out, "| goal | at least | aim | reached | |")?;
    writeln!(out, "| --- | ---: | ---: | ---: | --- |")?;
    for verdict in verdicts {
        let Verdict { goal, reached, least, aim, unit, .. } = verdict;
        let number = |value: f64| format!("{} {unit}", significant(value));
        let aim = if (aim - least).abs() < 0.01 { String::new() } else { number(*aim) };
        let (least, reached) = (number(*least), number(*reached));
        writeln!(out, "| {goal} | {least} | {aim} | {reached} | {} |", verdict.word())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_missed_on_the_wrong_side_alone() {
        let verdict = |reached, least, aim| {
            let more = aim > least;
            Verdict { goal: String::new(), reached, least, aim, more, unit: "" }.word()
        };
        assert_eq!(verdict(4.0, 5.0, 10.0), "**missed by 20 %**");
        assert_eq!(verdict(5.0, 5.0, 10.0), "met");
        assert_eq!(verdict(11.0, 5.0, 10.0), "aim reached");
        assert_eq!(verdict(1.21, 1.1, 1.03), "**missed by 10 %**");
        assert_eq!(verdict(1.1, 1.1, 1.03), "met");
        assert_eq!(verdict(1.0, 1.1, 1.03), "aim reached");
    }
}
