//! A hundred increments through the bad path: a line for each that had trouble.

use std::collections::BTreeMap;

use udp_rpc::core::Time;
use udp_rpc::wire::{CallId, Code, FromClient, FromServer, parse_from_client, parse_from_server};

use super::path::Passage;
use crate::style::Style;
use crate::units;

/// What the path has done to the datagrams of one call.
#[derive(Debug)]
struct Record {
    /// Its place among the calls, by the time of its first datagram.
    number: usize,
    first: Time,
    requests: Fared,
    replies: Fared,
    attempts: u32,
    told: bool,
}

/// How the datagrams of one kind fared.
#[derive(Clone, Copy, Debug, Default)]
struct Fared {
    lost: u32,
    doubled: u32,
    overtaken: u32,
}

impl Fared {
    fn count(&mut self, passage: &Passage) {
        self.lost += u32::from(passage.became.copies == 0);
        self.doubled += u32::from(passage.became.copies > 1);
        self.overtaken += u32::from(passage.became.reordered);
    }

    /// "request lost 2x, doubled"; nothing if all went well.
    fn tell(self, noun: &str, style: Style) -> Option<String> {
        let mut said: Vec<String> = Vec::new();
        for (count, what) in [
            (self.lost, style.bad("lost")),
            (self.doubled, style.odd("doubled")),
            (self.overtaken, style.odd("overtaken")),
        ] {
            match count {
                0 => {}
                1 => said.push(what),
                n => said.push(format!("{what} {n}x")),
            }
        }
        (!said.is_empty()).then(|| format!("{noun} {}", said.join(", ")))
    }
}

/// Follows the calls of the crowd by what the path has seen.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    calls: BTreeMap<CallId, Record>,
}

impl Crowd {
    /// Takes in what has entered the path, and returns the lines that are due: one for each call
    /// whose answer has come through, if it had trouble or if `all` are wanted.
    pub(super) fn follow(
        &mut self,
        passages: &[Passage],
        all: bool,
        style: Style,
        answer: &dyn Fn(&[u8]) -> String,
    ) -> Vec<String> {
        passages.iter().filter_map(|passage| self.one(passage, all, style, answer)).collect()
    }

    /// Calls that have been seen.
    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    fn one(
        &mut self,
        passage: &Passage,
        all: bool,
        style: Style,
        answer: &dyn Fn(&[u8]) -> String,
    ) -> Option<String> {
        if let Ok(parsed) = parse_from_client(&passage.datagram) {
            if let FromClient::Request { call, .. } = parsed.message {
                let number = self.calls.len() + 1;
                let record = self.calls.entry(call).or_insert_with(|| Record::new(number, passage));
                record.requests.count(passage);
                record.attempts += 1;
            }
            return None;
        }
        let parsed = parse_from_server(&passage.datagram).ok()?;
        let FromServer::Reply { call, status, body, .. } = parsed.message else { return None };
        let record = self.calls.get_mut(&call)?;
        record.replies.count(passage);
        if passage.became.copies == 0 || std::mem::replace(&mut record.told, true) {
            return None;
        }
        let answer = if status == Code::Ok { answer(body) } else { status.to_string() };
        let line = record.line(passage.at, &answer, style);
        (all || record.troubled()).then_some(line)
    }
}

impl Record {
    fn new(number: usize, passage: &Passage) -> Record {
        Record {
            number,
            first: passage.at,
            requests: Fared::default(),
            replies: Fared::default(),
            attempts: 0,
            told: false,
        }
    }

    fn troubled(&self) -> bool {
        let Fared { lost, doubled, overtaken } = self.requests;
        let there = lost + doubled + overtaken;
        let Fared { lost, doubled, overtaken } = self.replies;
        there + lost + doubled + overtaken > 0 || self.attempts > 1
    }

    fn line(&self, now: Time, answer: &str, style: Style) -> String {
        let troubles = [self.requests.tell("request", style), self.replies.tell("reply", style)];
        let mut troubles: Vec<String> = troubles.into_iter().flatten().collect();
        if troubles.is_empty() {
            troubles.push(if self.attempts > 1 {
                "slow".into()
            } else {
                style.faint("no trouble")
            });
        }
        format!(
            "  #{:<3} = {answer:<3} {:>11} {:>7}: {}",
            self.number,
            units::count(u64::from(self.attempts), "attempt"),
            units::show(now.since(self.first)),
            troubles.join(&format!("\n{:34}", ""))
        )
    }
}
