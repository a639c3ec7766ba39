//! The checker: what callers were promised, held against what really happened.
//!
//! It sees what no host can see: every run of every handler, in true time, and every end of every
//! call. It knows nothing of sessions, slots or timers; a call is the [`Request`] that the
//! workload made, however often the client issued it. Its promises are those of `PROTOCOL.md`,
//! and each breach has a [`Promise`] to name it by.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::clock::{Clock, Truth};
use super::work::{Method, Request};
use crate::core::server::CallKey;
use crate::core::{CallError, Outcome, Reply, Time};
use crate::wire::{Code, Metadata, MetadataRef};

/// How late a call may end after its deadline, by its client's clock, in microseconds.
const SLACK_US: u64 = 1_000;

/// What was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// One call identity ran more than once.
    OneRunPerIdentity,
    /// One call, over all its issues, ran more than once though it has side effects.
    OneRunPerCall,
    /// A handler was given other metadata than its caller had sent.
    RunHasItsMetadata,
    /// Ok for a call that did not run, or not exactly once.
    OkRan,
    /// Ok with a reply that is not that run's, or with other metadata.
    OkIsThatReply,
    /// Executed for a call that did not run once to its end, or that ended otherwise.
    ExecutedRan,
    /// NotExecuted for a call that had run, or ran later.
    NotExecutedNeverRuns,
    /// A handler started after the deadline.
    NoStartAfterDeadline,
    /// A call ended late or never.
    EveryCallEnds,
    /// A call of a fair world ended otherwise than Ok.
    FairWorldIsOk,
    /// The server uses more memory than it may.
    MemoryBound,
    /// More or longer datagrams went to an unproved address than came from it.
    NoAmplification,
    /// The counters of received datagrams do not add up.
    CountersAddUp,
    /// A core sent what is no datagram.
    WellFormed,
    /// A core asks for the same instant for ever.
    TimePasses,
}

/// A promise broken: what, when, how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The promise.
    pub promise: Promise,
    /// True time.
    pub at: Truth,
    /// Everything that helps to find out why.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} broken at {} µs: {}", self.promise, self.at.0, self.detail)
    }
}

/// How a call ended for its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    /// Its client died with it.
    Abandoned,
    Ok {
        at_least_once: bool,
    },
    Executed,
    NotExecuted,
    Unknown,
}

#[derive(Clone, Debug)]
struct Call {
    made: Truth,
    request: Request,
    method: Method,
    clock: Clock,
    /// By the client's clock.
    deadline: Time,
    /// When its caller waits no longer, by the client's clock: at the deadline, or sooner.
    patience: Time,
    runs: Vec<u64>,
    end: End,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    tag: u64,
    method: Method,
    finished: bool,
}

/// One call identity: the server's life, and the names of the call in it.
pub(super) type Identity = (u32, CallKey);

/// Everything that happened so far, and the first promise broken.
#[derive(Clone, Debug, Default)]
pub(super) struct Oracle {
    calls: Vec<Call>,
    runs: Vec<Run>,
    ran: BTreeMap<Identity, u64>,
    /// Identities of which somebody was told that they never run.
    never: BTreeSet<Identity>,
    violation: Option<Violation>,
    /// Calls made from then on must end Ok; `None` in a world that is not fair.
    pub fair_from: Option<Truth>,
    /// How the calls ended.
    pub ends: Ends,
}

/// How many calls ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// Calls made.
    pub calls: u64,
    /// Ended Ok.
    pub ok: u64,
    /// Ended as executed with a status.
    pub executed: u64,
    /// Ended as proved not executed.
    pub not_executed: u64,
    /// Ended as unknown.
    pub unknown: u64,
    /// Died with their client.
    pub abandoned: u64,
    /// Issued more than once by the client itself.
    pub reissued: u64,
}

impl Ends {
    /// Adds another world's.
    pub fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.ok += other.ok;
        self.executed += other.executed;
        self.not_executed += other.not_executed;
        self.unknown += other.unknown;
        self.abandoned += other.abandoned;
        self.reissued += other.reissued;
    }
}

impl Oracle {
    /// The first promise broken.
    pub(super) fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// Notes that a promise is broken.
    pub(super) fn broken(&mut self, promise: Promise, at: Truth, detail: String) {
        if self.violation.is_none() {
            self.violation = Some(Violation { promise, at, detail });
        }
    }

    /// The number of runs so far.
    pub(super) fn runs(&self) -> u64 {
        self.runs.len() as u64
    }

    /// The call that this run belongs to.
    #[cfg(test)]
    pub(super) fn tag_of(&self, run: u64) -> Option<u64> {
        self.runs.get(usize::try_from(run).ok()?).map(|run| run.tag)
    }

    /// The number of runs of this call so far.
    #[cfg(test)]
    pub(super) fn runs_of(&self, tag: u64) -> usize {
        self.call(tag).map_or(0, |call| call.runs.len())
    }

    fn call(&self, tag: u64) -> Option<&Call> {
        self.calls.get(usize::try_from(tag).ok()?)
    }

    /// A client is about to make a call; gives its tag.
    pub(super) fn called(
        &mut self,
        made: Truth,
        method: Method,
        clock: Clock,
        deadline: Time,
        request: Request,
    ) -> Request {
        let request = Request { tag: self.calls.len() as u64, ..request };
        let (runs, end) = (Vec::new(), End::Open);
        let patience = deadline;
        self.calls.push(Call { made, request, method, clock, deadline, patience, runs, end });
        self.ends.calls += 1;
        request
    }

    /// The caller cancels this call, and waits no longer than until then.
    pub(super) fn impatient(&mut self, tag: u64, until: Time) {
        if let Some(call) = usize::try_from(tag).ok().and_then(|tag| self.calls.get_mut(tag)) {
            call.patience = call.patience.min(until);
        }
    }

    /// A handler's first instruction; gives the number of the run.
    pub(super) fn started(
        &mut self,
        at: Truth,
        identity: Identity,
        method: Method,
        tag: u64,
        metadata: MetadataRef<'_>,
    ) -> u64 {
        let number = self.runs.len() as u64;
        self.runs.push(Run { tag, method, finished: false });
        if let Some(before) = self.ran.insert(identity, number) {
            let detail = format!("{identity:?} of call {tag} ran as {before} and as {number}");
            self.broken(Promise::OneRunPerIdentity, at, detail);
        }
        if self.never.contains(&identity) {
            let detail = format!("{identity:?} of call {tag} runs after a promise to an inquirer");
            self.broken(Promise::NotExecutedNeverRuns, at, detail);
        }
        let Some(call) = usize::try_from(tag).ok().and_then(|tag| self.calls.get_mut(tag)) else {
            self.broken(Promise::OkRan, at, format!("a handler ran for no call ({tag})"));
            return number;
        };
        call.runs.push(number);
        let call = call.clone();
        if call.method != method {
            let detail = format!("call {tag} of {:?} ran as {method:?}", call.method);
            self.broken(Promise::OneRunPerCall, at, detail);
        }
        if call.request.metadata().borrow() != metadata {
            let detail = format!("call {tag} runs as {identity:?} with {metadata:?}");
            self.broken(Promise::RunHasItsMetadata, at, detail);
        }
        if call.runs.len() > 1 && !call.method.has_no_side_effects() {
            let detail = format!("call {tag} has run {} times, now as {identity:?}", number);
            self.broken(Promise::OneRunPerCall, at, detail);
        }
        if call.end == End::NotExecuted {
            let detail = format!("call {tag} runs as {identity:?} after NotExecuted");
            self.broken(Promise::NotExecutedNeverRuns, at, detail);
        }
        let clock = call.clock.read(at);
        if clock > call.deadline {
            let late = clock.since(call.deadline);
            let detail = format!("call {tag} starts as {identity:?} {late:?} after its deadline");
            self.broken(Promise::NoStartAfterDeadline, at, detail);
        }
        number
    }

    /// A handler has ended.
    pub(super) fn finished(&mut self, run: u64) {
        if let Some(run) = usize::try_from(run).ok().and_then(|run| self.runs.get_mut(run)) {
            run.finished = true;
        }
    }

    /// The client of this call is gone.
    pub(super) fn abandoned(&mut self, tag: u64) {
        if let Some(call) = usize::try_from(tag).ok().and_then(|tag| self.calls.get_mut(tag))
            && call.end == End::Open
        {
            call.end = End::Abandoned;
            self.ends.abandoned += 1;
        }
    }

    /// A call has ended for its caller. `awake_since` is when its client could last not act: a
    /// suspended client ends its calls when it wakes.
    pub(super) fn ended(
        &mut self,
        at: Truth,
        tag: u64,
        result: &Result<Reply, CallError>,
        awake_since: Truth,
    ) {
        let Some(call) = self.call(tag).cloned() else {
            return self.broken(Promise::EveryCallEnds, at, format!("no call {tag} to end"));
        };
        if call.end != End::Open {
            let detail = format!("call {tag} ended twice: {:?}, then {result:?}", call.end);
            self.broken(Promise::EveryCallEnds, at, detail);
        }
        let due = call.patience.max(call.clock.read(awake_since));
        let late = call.clock.read(at).as_micros().saturating_sub(due.as_micros());
        if late > SLACK_US {
            let detail = format!("call {tag} ended {late} µs after it was due: {result:?}");
            self.broken(Promise::EveryCallEnds, at, detail);
        }
        let end = match result {
            Ok(reply) => self.ended_ok(at, &call, reply),
            Err(error) => self.ended_err(at, &call, error),
        };
        let issues = result.as_ref().map_or_else(|error| error.issues, |reply| reply.issues);
        self.ends.reissued += u64::from(issues > 1);
        if self.fair_from.is_some_and(|from| call.made >= from) && !matches!(end, End::Ok { .. }) {
            let detail = format!("call {tag} of {:?} ended {result:?}", call.method);
            self.broken(Promise::FairWorldIsOk, at, detail);
        }
        if let Some(call) = usize::try_from(tag).ok().and_then(|tag| self.calls.get_mut(tag)) {
            call.end = end;
        }
    }

    fn ended_ok(&mut self, at: Truth, call: &Call, reply: &Reply) -> End {
        let tag = call.request.tag;
        self.ends.ok += 1;
        let genuine = call.runs.iter().any(|&run| {
            self.finished_run(run) == Some(call.method)
                && call.request.reply(call.method, run) == reply.body
                && call.request.told_metadata(call.method, run) == reply.metadata
        });
        if call.runs.is_empty() {
            self.broken(Promise::OkRan, at, format!("call {tag} is Ok but did not run"));
        } else if !genuine || call.method.ends_as() != Code::Ok {
            let (runs, body, metadata) = (&call.runs, &reply.body, &reply.metadata);
            let detail = format!("call {tag} (runs {runs:?}) got {body:02x?}, {metadata:?}");
            self.broken(Promise::OkIsThatReply, at, detail);
        }
        if reply.at_least_once && !call.method.has_no_side_effects() {
            let detail = format!("call {tag} has side effects and says at least once");
            self.broken(Promise::OkRan, at, detail);
        }
        End::Ok { at_least_once: reply.at_least_once }
    }

    fn ended_err(&mut self, at: Truth, call: &Call, error: &CallError) -> End {
        let tag = call.request.tag;
        if error.outcome != Outcome::Executed && !error.metadata.is_empty() {
            let detail = format!("call {tag} has metadata of no run: {error:?}");
            self.broken(Promise::ExecutedRan, at, detail);
        }
        match error.outcome {
            Outcome::Executed => {
                self.ends.executed += 1;
                let lost = error.code == Code::DataLoss;
                let ran = call.runs.iter().any(|&run| {
                    let told = match lost {
                        true => Metadata::new(),
                        false => call.request.told_metadata(call.method, run),
                    };
                    self.finished_run(run) == Some(call.method) && told == error.metadata
                });
                let code = error.code == call.method.ends_as() && error.code != Code::Ok;
                if !ran || !(code || lost) {
                    let detail = format!("call {tag} (runs {:?}): {error:?}", call.runs);
                    self.broken(Promise::ExecutedRan, at, detail);
                }
                End::Executed
            }
            Outcome::NotExecuted(_) => {
                self.ends.not_executed += 1;
                if !call.runs.is_empty() {
                    let detail = format!("call {tag} (runs {:?}): {error:?}", call.runs);
                    self.broken(Promise::NotExecutedNeverRuns, at, detail);
                }
                End::NotExecuted
            }
            Outcome::Unknown => {
                self.ends.unknown += 1;
                End::Unknown
            }
        }
    }

    fn finished_run(&self, run: u64) -> Option<Method> {
        let run = self.runs.get(usize::try_from(run).ok()?)?;
        run.finished.then_some(run.method)
    }

    /// Somebody with a call token was told that this identity never runs.
    pub(super) fn told_never(&mut self, at: Truth, identity: Identity) {
        if let Some(run) = self.ran.get(&identity) {
            let detail = format!("{identity:?} ran as {run}, an inquirer was told that it did not");
            self.broken(Promise::NotExecutedNeverRuns, at, detail);
        }
        self.never.insert(identity);
    }

    /// Somebody with a call token was told that this identity has run, and what it answered.
    pub(super) fn told_executed(
        &mut self,
        at: Truth,
        identity: Identity,
        reply: Option<(Code, &Metadata, &[u8])>,
    ) {
        let run = self.ran.get(&identity).copied();
        let Some((number, run)) =
            run.and_then(|n| Some((n, *self.runs.get(usize::try_from(n).ok()?)?)))
        else {
            let detail = format!("an inquirer was told that {identity:?} ran");
            return self.broken(Promise::ExecutedRan, at, detail);
        };
        let Some((code, metadata, body)) = reply else { return };
        let request = self.call(run.tag).map(|call| call.request);
        let body_differs = code == Code::Ok
            && request.map(|request| request.reply(run.method, number)).as_deref() != Some(body);
        let metadata_differs =
            request.map(|request| request.told_metadata(run.method, number)).as_ref()
                != Some(metadata);
        if !run.finished || code != run.method.ends_as() || body_differs || metadata_differs {
            let detail = format!(
                "an inquirer got {code:?} {body:02x?} {metadata:?} for {identity:?} ({run:?})"
            );
            self.broken(Promise::ExecutedRan, at, detail);
        }
    }

    /// The end of the world: nothing is under way any more, nothing runs.
    pub(super) fn finish(&mut self, at: Truth) {
        for tag in 0..self.calls.len() as u64 {
            let Some(call) = self.call(tag).cloned() else { return };
            let once = call.runs.len() == 1;
            match call.end {
                End::Open => {
                    let detail = format!("call {tag} of {:?} never ended", call.method);
                    self.broken(Promise::EveryCallEnds, at, detail);
                }
                End::Ok { at_least_once: false } if !once => {
                    let detail = format!("call {tag} is Ok and ran {} times", call.runs.len());
                    self.broken(Promise::OkRan, at, detail);
                }
                End::Executed if !once && !call.method.has_no_side_effects() => {
                    let detail = format!("call {tag} is Executed, ran {} times", call.runs.len());
                    self.broken(Promise::ExecutedRan, at, detail);
                }
                End::NotExecuted if !call.runs.is_empty() => {
                    let detail = format!("call {tag} is NotExecuted and ran");
                    self.broken(Promise::NotExecutedNeverRuns, at, detail);
                }
                _ => {}
            }
        }
    }
}
