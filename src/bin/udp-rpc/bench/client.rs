//! One client of a run: it makes its calls and measures them, on a thread of its own.
//!
//! Invariant: whatever is measured began after the warm-up had ended, all of it; a call is in
//! `in_flight` until its end was told.

use std::time::{Duration, Instant};

use udp_rpc::client::{BlockingClient, CallHandle};
use udp_rpc::core::{CallError, Outcome, Proof, Reply};
use udp_rpc::wire::Code;

use super::handles::ByHandle;
use super::measured::Measured;
use super::plan::Schedule;
use super::{Shared, cpu, handles};
use crate::interrupt::SLICE;
use crate::remote::GRACE;

/// The longest that the operating system may oversleep: its timers are asked for less by this
/// much, and the rest is waited for awake.
const OVERSLEEP: Duration = Duration::from_micros(150);

/// Waits for datagrams are told in whole milliseconds, and may be longer by one.
const COARSE: Duration = Duration::from_millis(2);

/// By how much a call may begin after it was due before that is the generator's failure.
const LATE: Duration = Duration::from_millis(1);

/// Opens a session, warms the way up, makes the calls. What is measured, unless nothing is: the
/// run was given up before.
pub(super) fn run(shared: &Shared, number: usize, mut client: BlockingClient) -> Option<Measured> {
    // A session is opened, and the client knows the round-trip time.
    if let Err(error) = client.ping(shared.plan.timeout) {
        // Of calls, nothing was.
        let outcome = Outcome::NotExecuted(Proof::NeverSent);
        shared.give_up(CallError { outcome, token: None, ..error });
    }
    let mut begin = shared.meeting.wait()?;
    let mut turn = number;
    if !shared.plan.warm_up.is_zero() {
        let until = Some(begin + shared.plan.warm_up);
        let mut warm_up = Phase::new(shared, number, &mut client, turn, begin, until, None);
        warm_up.run();
        turn = warm_up.turn;
        begin = shared.meeting.wait()?;
    }
    let until = shared.plan.duration.map(|duration| begin + duration);
    let calls = shared.plan.share(number);
    let mut phase = Phase::new(shared, number, &mut client, turn, begin, until, calls);
    phase.counts = true;
    let cpu_before = cpu::of_this_thread();
    phase.run();
    let mut measured = phase.measured;
    measured.cpu = cpu::of_this_thread().zip(cpu_before).map(|(after, before)| after - before);
    Some(measured)
}

/// A time in which calls are made.
struct Phase<'a> {
    shared: &'a Shared,
    number: usize,
    client: &'a mut BlockingClient,
    /// Which request comes next.
    turn: usize,
    begin: Instant,
    until: Option<Instant>,
    /// Calls still to be made, if they are counted out.
    left: Option<u64>,
    schedule: Option<Schedule>,
    /// Calls in flight, each with the instant from which its latency counts.
    in_flight: ByHandle<Instant>,
    /// Since when there is room for a call that is overdue.
    room_since: Instant,
    /// The live line is told.
    counts: bool,
    measured: Measured,
}

impl<'a> Phase<'a> {
    fn new(
        shared: &'a Shared,
        number: usize,
        client: &'a mut BlockingClient,
        turn: usize,
        begin: Instant,
        until: Option<Instant>,
        left: Option<u64>,
    ) -> Self {
        Self {
            shared,
            number,
            client,
            turn,
            begin,
            until,
            left,
            schedule: shared.plan.schedule(number, begin),
            in_flight: handles::with_capacity(shared.plan.in_flight),
            room_since: begin,
            counts: false,
            measured: Measured::new(),
        }
    }

    /// Makes calls until there are no more to be made, and waits for all of them.
    fn run(&mut self) {
        let mut now = Instant::now();
        while !self.is_over(now) {
            self.begin_what_is_due(now);
            now = self.wait(now);
        }
        if self.schedule.is_some() && !self.shared.is_stopped() {
            // What became due as the end came is begun as well.
            self.begin_what_is_due(now);
        }
        self.measured.elapsed = self.elapsed(now);
        if let (Some(schedule), Some(until)) = (&self.schedule, self.until) {
            let never = schedule.left(until.min(now));
            self.measured.never_begun = never.min(self.left.unwrap_or(never));
        }
        // What ends after this ends too late to count for the rate, also where the end came early.
        self.until = Some(self.until.map_or(now, |until| until.min(now)));
        self.wait_for_the_rest();
    }

    /// Whether no more calls are to be made. Those that are counted out are over when all have
    /// ended: how long they took is measured to the last end.
    fn is_over(&self, now: Instant) -> bool {
        let is_late = self.until.is_some_and(|until| now >= until);
        let is_done = self.left == Some(0) && self.in_flight.is_empty();
        is_late || is_done || self.shared.is_stopped()
    }

    /// For how long calls were made.
    fn elapsed(&self, now: Instant) -> Duration {
        let end = self.until.map_or(now, |until| until.min(now));
        end.saturating_duration_since(self.begin)
    }

    fn begin_what_is_due(&mut self, now: Instant) {
        while self.left != Some(0) && self.in_flight.len() < self.shared.plan.in_flight {
            let due = match &mut self.schedule {
                None => now,
                Some(schedule) => {
                    let due = schedule.due();
                    if due > now || self.until.is_some_and(|until| due >= until) {
                        return;
                    }
                    schedule.advance();
                    let possible = due.max(self.room_since);
                    self.measured.held_back += u64::from(possible > due);
                    self.measured.late += u64::from(now > possible + LATE);
                    due
                }
            };
            self.left = self.left.map(|left| left - 1);
            let Shared { called, requests, options, .. } = self.shared;
            let handle = self.client.submit(called, requests.get(self.turn), options);
            self.turn += self.shared.plan.clients;
            self.in_flight.insert(handle, due);
        }
    }

    /// Waits until a call ends or the next one is due, or for a while; tells the time then.
    fn wait(&mut self, now: Instant) -> Instant {
        let has_room = self.in_flight.len() < self.shared.plan.in_flight && self.left != Some(0);
        let next = self.schedule.as_ref().filter(|_| has_room).map(Schedule::due);
        let next = next.into_iter().chain(self.until).min();
        let time = next.map_or(SLICE, |next| next.saturating_duration_since(now)).min(SLICE);
        if self.in_flight.is_empty() {
            match time.checked_sub(OVERSLEEP) {
                Some(asleep) => std::thread::sleep(asleep),
                None => std::hint::spin_loop(),
            }
            return Instant::now();
        }
        // A wait that would end too late is none: the client looks, and looks again.
        let is_precise = self.schedule.is_none() || time == SLICE;
        let time = if is_precise { time } else { time.saturating_sub(COARSE) };
        self.collect(time)
    }

    /// Waits for the end of a call; tells the time then.
    fn collect(&mut self, timeout: Duration) -> Instant {
        let ended = self.client.wait_any_timeout(timeout);
        let now = Instant::now();
        if let Some((handle, result)) = ended {
            self.end(now, handle, &result);
        }
        now
    }

    fn end(&mut self, now: Instant, handle: CallHandle, result: &Result<Reply, CallError>) {
        if self.in_flight.len() == self.shared.plan.in_flight {
            self.room_since = now;
        }
        let Some(due) = self.in_flight.remove(&handle) else { return };
        if self.shared.interrupts.pressed() {
            return; // It was fenced.
        }
        let in_time = self.until.is_none_or(|until| now < until);
        self.measured.count(now.saturating_duration_since(due), result, in_time);
        if self.counts {
            self.shared.counts[self.number].count(result.is_ok());
        }
        match result {
            Err(error) if is_hopeless(error) => self.shared.give_up(error.clone()),
            _ => {}
        }
    }

    /// Calls that have begun end as they will; after Ctrl-C they are fenced, and not waited for
    /// long.
    fn wait_for_the_rest(&mut self) {
        let mut fenced = None;
        while !self.in_flight.is_empty() {
            match fenced {
                None if self.shared.interrupts.pressed() => {
                    for handle in self.in_flight.keys() {
                        self.client.cancel(*handle);
                    }
                    fenced = Some(Instant::now());
                }
                Some(since) if since.elapsed() >= GRACE => return,
                _ => {}
            }
            self.collect(SLICE);
        }
    }
}

/// Whether a call failed in a way in which the next ones will: nothing of it was sent, and not for
/// want of time.
fn is_hopeless(error: &CallError) -> bool {
    error.outcome == Outcome::NotExecuted(Proof::NeverSent) && error.code != Code::DeadlineExceeded
}
