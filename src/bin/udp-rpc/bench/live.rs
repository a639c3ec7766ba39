//! The line that moves on a terminal while calls are made.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Shared;

/// How often the line is drawn, and how soon the end of the run is noticed.
const TICK: Duration = Duration::from_millis(100);

/// Over how long the rate is taken that is shown.
const LOOK_BACK: Duration = Duration::from_secs(1);

/// Calls that have ended, of one client. It alone writes.
#[derive(Default)]
pub(super) struct Count {
    ended: AtomicU64,
    failed: AtomicU64,
}

impl Count {
    /// A call has ended.
    pub(super) fn count(&self, is_ok: bool) {
        let add = |to: &AtomicU64| to.store(to.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        add(&self.ended);
        if !is_ok {
            add(&self.failed);
        }
    }
}

/// The line.
pub(super) struct Live<'a> {
    shared: &'a Shared,
    bar: ProgressBar,
    /// When the first call of those that count was seen to have ended.
    began: Option<Instant>,
    /// When so many calls had ended, for the rate.
    before: Option<(Instant, u64)>,
    rate: Option<f64>,
}

impl<'a> Live<'a> {
    /// A line, hidden where stderr is no terminal or has something else to show.
    pub(super) fn new(shared: &'a Shared, may_show: bool) -> Live<'a> {
        let target = match may_show && std::io::stderr().is_terminal() {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let length = match (shared.plan.calls, shared.plan.duration) {
            (Some(calls), _) => calls,
            (None, duration) => duration.unwrap_or_default().as_millis() as u64,
        };
        let bar = ProgressBar::with_draw_target(Some(length), target);
        if let Ok(style) = ProgressStyle::with_template("{bar:24} {percent:>3}% {msg}") {
            bar.set_style(style);
        }
        Live { shared, bar, began: None, before: None, rate: None }
    }

    /// Draws it until the run is over.
    pub(super) fn follow(mut self, is_over: impl Fn() -> bool) {
        while !is_over() {
            if !self.bar.is_hidden() {
                self.draw(Instant::now());
            }
            std::thread::park_timeout(TICK);
        }
        self.bar.finish_and_clear();
    }

    fn draw(&mut self, now: Instant) {
        let sum = |part: fn(&Count) -> &AtomicU64| -> u64 {
            self.shared.counts.iter().map(|count| part(count).load(Ordering::Relaxed)).sum()
        };
        let (ended, failed) = (sum(|count| &count.ended), sum(|count| &count.failed));
        if ended == 0 {
            return self.bar.set_message("warming up");
        }
        let began = *self.began.get_or_insert(now);
        match self.before {
            None => self.before = Some((now, ended)),
            Some((at, before)) if now - at >= LOOK_BACK => {
                self.rate = Some((ended - before) as f64 / (now - at).as_secs_f64());
                self.before = Some((now, ended));
            }
            Some(_) => {}
        }
        let rate = self.rate.map_or_else(String::new, |rate| format!(", {rate:.0}/s"));
        let failures = if failed > 0 { format!(", {failed} failed") } else { String::new() };
        self.bar.set_message(format!("{ended} calls{rate}{failures}"));
        self.bar.set_position(match self.shared.plan.calls {
            Some(_) => ended,
            None => (now - began).as_millis() as u64,
        });
    }
}
