//! `ping`: how far the server is, how much is lost on the way, and how long it has been there.

use std::time::{Duration, Instant};

use serde_json::json;
use udp_rpc::client::Pong;
use udp_rpc::core::CallError;

use crate::args::{Format, Global, PingArgs};
use crate::exit::Exit;
use crate::failure::{self, Ended, Failure};
use crate::output::{self, Reader};
use crate::remote::Remote;
use crate::units;

/// How long an answer is waited for when nobody says: two of the longest first timeouts.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Pings, and sums up.
///
/// # Errors
///
/// What became of the last ping when none was answered.
pub(crate) fn run(global: &Global, args: &PingArgs) -> Result<Exit, Failure> {
    let timeout = global.timeout.unwrap_or(TIMEOUT);
    let mut remote = Remote::open(global)?;
    let mut tally = Tally::default();
    let mut last_error = None;
    let mut next = Instant::now();
    while args.count == 0 || tally.pings < args.count {
        if !remote.interrupts().sleep_until(next) {
            break;
        }
        next = Instant::now() + args.interval;
        let result = remote.ping(timeout);
        tally.count(&result);
        let line = match &result {
            Ok(pong) => pong_line(pong, tally.pings, &remote.server(), global.output),
            Err(error) => error_line(error, tally.pings, global.output),
        };
        if output::line(&line)? == Reader::Gone {
            return Ok(Exit::Ok);
        }
        last_error = result.err();
        if tally.answered == 0 && tally.refused {
            break;
        }
    }
    let interrupted = remote.interrupts().pressed();
    if output::line(&tally.summary(&remote.server(), global.output))? == Reader::Gone {
        return Ok(Exit::Ok);
    }
    match last_error {
        Some(error) if tally.answered == 0 => {
            let server = remote.server();
            Err(Failure::Call(Box::new(Ended { error, interrupted, server })))
        }
        _ if interrupted => Ok(Exit::Interrupted),
        _ => Ok(Exit::Ok),
    }
}

/// What was pinged and answered.
#[derive(Debug, Default)]
struct Tally {
    pings: u64,
    answered: u64,
    sent: u64,
    shortest: Option<Duration>,
    longest: Duration,
    sum: Duration,
    /// It ended before its timeout: nothing listens, and asking on says nothing more.
    refused: bool,
    software: String,
}

impl Tally {
    fn count(&mut self, result: &Result<Pong, CallError>) {
        self.pings += 1;
        match result {
            Ok(pong) => {
                self.answered += 1;
                self.sent += u64::from(pong.attempts);
                self.sum += pong.rtt;
                self.longest = self.longest.max(pong.rtt);
                self.shortest = Some(self.shortest.map_or(pong.rtt, |rtt| rtt.min(pong.rtt)));
                self.software.clone_from(&pong.software);
            }
            Err(error) => {
                self.sent += u64::from(error.attempts);
                self.refused = error.code == udp_rpc::wire::Code::Unavailable;
            }
        }
    }

    /// Share of the datagrams sent to which no answer came.
    fn loss(&self) -> f64 {
        if self.sent == 0 {
            return if self.answered < self.pings { 1.0 } else { 0.0 };
        }
        self.sent.saturating_sub(self.answered) as f64 / self.sent as f64
    }

    fn mean(&self) -> Option<Duration> {
        u32::try_from(self.answered).ok().filter(|n| *n > 0).map(|n| self.sum / n)
    }

    fn summary(&self, server: &str, format: Format) -> String {
        let (mean, shortest) = (self.mean(), self.shortest);
        if format == Format::Json {
            return json!({ "summary": {
                "server": server,
                "software": self.software,
                "pings": self.pings,
                "answered": self.answered,
                "datagramsSent": self.sent,
                "loss": self.loss(),
                "rttMinMs": shortest.map(units::millis),
                "rttMeanMs": mean.map(units::millis),
                "rttMaxMs": mean.map(|_| units::millis(self.longest)),
            }})
            .to_string();
        }
        let mut text = format!(
            "{}, {} answered; {} sent, {:.0}% of them or of their answers lost",
            units::count(self.pings, "ping"),
            self.answered,
            units::count(self.sent, "datagram"),
            self.loss() * 100.0
        );
        if let (Some(mean), Some(shortest)) = (mean, shortest) {
            text.push_str(&format!(
                "\nRTT min/mean/max {} / {} / {}",
                units::show(shortest),
                units::show(mean),
                units::show(self.longest)
            ));
        }
        text
    }
}

fn pong_line(pong: &Pong, number: u64, server: &str, format: Format) -> String {
    let age = Duration::from_micros(pong.clock);
    if format == Format::Json {
        return json!({ "ping": {
            "number": number,
            "server": server,
            "rttMs": units::millis(pong.rtt),
            "attempts": pong.attempts,
            "software": pong.software,
            "epoch": pong.epoch.to_string(),
            "epochAgeMs": units::millis(age),
        }})
        .to_string();
    }
    let again = match pong.attempts {
        0 | 1 => String::new(),
        attempts => format!(", attempt {attempts}"),
    };
    format!(
        "{number}: {} from {server} ({}, epoch {} for {}){again}",
        units::show(pong.rtt),
        failure::printable(&pong.software),
        pong.epoch,
        units::show(age)
    )
}

fn error_line(error: &CallError, number: u64, format: Format) -> String {
    if format == Format::Json {
        return json!({ "ping": {
            "number": number,
            "code": error.code.name(),
            "message": error.message,
            "attempts": error.attempts,
        }})
        .to_string();
    }
    format!("{number}: {}: {}", error.code, failure::printable(&error.message))
}
