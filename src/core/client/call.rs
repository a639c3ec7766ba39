//! A call, and each issue of it: what was sent when, and when the next copy is due.
//!
//! It must not know sessions or sockets. Invariant: the identity and the expiry of an issue are
//! fixed at its first transmission.

use std::fmt;
use std::time::Duration;

use super::flow::{Flow, Jitter};
use crate::core::{CallToken, Proof, Time};
use crate::wire::{CallId, Code, Metadata, MethodId, PathProof, Reason, SessionId};

/// Longest interval between copies of a call that the server says is in progress.
const PROBE_MAX: Duration = Duration::from_secs(15);

/// A call's own interval doubles after so many copies.
const COPIES_PER_DOUBLING: u32 = 3;

/// Most doublings of a call's own interval: beyond any deadline.
const DOUBLINGS_MAX: u32 = 20;

/// When the last few copies were sent, so that an answer to any of them is a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Recent([Option<(u8, Time)>; 4]);

impl Recent {
    /// The copy numbered `attempt` goes out.
    pub(super) fn note(&mut self, attempt: u8, now: Time) {
        let place = usize::from(attempt) % self.0.len();
        if let Some(entry) = self.0.get_mut(place) {
            *entry = Some((attempt, now));
        }
    }

    /// When that copy was sent. Each copy gives one sample: a second answer to it is a duplicate,
    /// or was held for longer than it says.
    pub(super) fn take(&mut self, attempt: u8) -> Option<Time> {
        let place = usize::from(attempt) % self.0.len();
        let entry = self.0.get_mut(place)?;
        match *entry {
            Some((kept, sent)) if kept == attempt => {
                *entry = None;
                Some(sent)
            }
            _ => None,
        }
    }
}

/// The attempt that is written into the nth copy.
pub(super) fn attempt_number(copies: u32) -> u8 {
    u8::try_from(copies & 0xff).unwrap_or(0)
}

/// A call from its submission to its end.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Call {
    pub(super) method: MethodId,
    pub(super) metadata: Metadata,
    pub(super) body: Vec<u8>,
    pub(super) submitted: Time,
    pub(super) deadline: Time,
    pub(super) no_side_effects: bool,
    pub(super) retry: bool,
    pub(super) cancelled: bool,
    /// Copies of the request, of all issues.
    pub(super) attempts: u32,
    /// Identities used.
    pub(super) issues: u32,
    /// An earlier issue ended as unknown.
    pub(super) doubtful: bool,
    /// A token of the issue in progress was given out: what it says must stay true of the call.
    pub(super) token_given: bool,
    /// What became of its earlier issues; few calls have any.
    pub(super) past: Option<Box<Past>>,
    pub(super) phase: Phase,
}

/// What became of a call's earlier issues.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Past {
    /// Pauses made before new issues, and issues made because of an unknown session.
    pub(super) pauses: u32,
    pub(super) sessions_lost: u32,
    /// Why the last issue ended.
    pub(super) last: Option<(Code, String)>,
    /// What proves that the last issue never runs.
    pub(super) proof: Option<Proof>,
    /// For asking about the last issue that ended as unknown.
    pub(super) token: Option<CallToken>,
}

/// How long a request is, bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Length {
    body: usize,
    /// What its metadata takes in a datagram.
    metadata: usize,
}

impl Length {
    /// The limit that it breaks: that for the message, or that for a datagram's room.
    pub(super) fn beyond(self, message: usize, room: usize) -> Option<usize> {
        if self.body > message {
            Some(message.min(room))
        } else {
            (self.body + self.metadata > room).then_some(room)
        }
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the request is {} bytes long", self.body)?;
        match self.metadata {
            0 => Ok(()),
            bytes => write!(f, ", with {bytes} of metadata"),
        }
    }
}

impl Call {
    /// What became of its earlier issues, to be added to.
    pub(super) fn past_mut(&mut self) -> &mut Past {
        self.past.get_or_insert_default()
    }

    /// How long its request is.
    pub(super) fn length(&self) -> Length {
        Length { body: self.body.len(), metadata: self.metadata.borrow().option_len() }
    }
}

/// Where a call stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::large_enum_variant, reason = "nearly all calls are issued; a box would cost each")]
pub(super) enum Phase {
    /// It is new, or its issue has just ended.
    Unplaced,
    /// It waits for a session, a ping, a slot, or room on the path.
    Waiting,
    /// It waits out the pause before a new issue.
    Paused(Time),
    /// It has an identity.
    Issued(Issue),
}

/// A call under one identity.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Issue {
    pub(super) session: SessionId,
    pub(super) id: CallId,
    /// Deadline on the server's clock, µs; the same in all copies.
    pub(super) expiry: u64,
    /// Lower bound of the server's clock at the first transmission, plus the lease, µs.
    pub(super) known_until: u64,
    pub(super) first: Time,
    pub(super) last: Time,
    pub(super) jitter: Jitter,
    /// Datagrams sent under this identity: what `attempt` counts.
    pub(super) sends: u32,
    /// Those of them that may have left this host.
    pub(super) succeeded: u32,
    /// The count from which its own doublings are reckoned.
    pub(super) reckoned_from: u32,
    pub(super) recent: Recent,
    /// A copy counts as in flight.
    pub(super) in_flight: bool,
    /// The next copy waits for room.
    pub(super) queued: bool,
    /// The next copy goes at once.
    pub(super) urgent: bool,
    /// When the server last said that the call is in progress.
    pub(super) progress: Option<Time>,
    /// Why the server last said *later*, which says nothing about what becomes of the call.
    pub(super) put_off: Option<Reason>,
    /// The number of the last copy in the order of all copies to its server.
    pub(super) order: u64,
    /// Set once later copies have overtaken the last one: when that counts as lost.
    pub(super) overdue_at: Option<Time>,
    /// When a copy was declared lost because it had been overtaken.
    pub(super) doubted: Option<Time>,
    /// A copy went to probe the path, not because one was lost.
    pub(super) probed: bool,
    /// Set when a copy was declared lost before the next one was due: when it is due, at latest.
    pub(super) retry_at: Option<Time>,
    /// The path for which a copy was repeated at once.
    pub(super) challenged: Option<PathProof>,
    /// FENCEs go in place of copies.
    pub(super) fencing: bool,
}

impl Issue {
    /// When the copy in flight is declared lost.
    pub(super) fn lost_at(&self, flow: &Flow) -> Time {
        let expires = self.last + self.jitter.lengthen(flow.interval());
        self.overdue_at.map_or(expires, |overdue| overdue.min(expires))
    }

    /// When the last copy counts as lost that later ones have overtaken: after `patience`, doubled
    /// with each copy before it, so that a call which only takes its time does not drum.
    pub(super) fn overdue(&self, patience: Duration) -> Time {
        let doublings = self.sends.saturating_sub(1).min(DOUBLINGS_MAX);
        self.last + patience.saturating_mul(1 << doublings)
    }

    /// When the next copy is due: the last + RTO × the peer's factor × its own; sooner if later
    /// copies have overtaken that; slower once the server has said that the call is in progress; and in any case one plain RTO before the
    /// deadline, unless the copy before that is younger than an RTO.
    pub(super) fn copy_at(&self, flow: &Flow, deadline: Time) -> Time {
        let interval = self.jitter.lengthen(flow.interval());
        let mut due = if let Some(heard) = self.progress {
            let quarter = heard.since(self.first) / 4;
            self.last + interval.max(quarter.min(PROBE_MAX))
        } else {
            let copies = self.sends.saturating_sub(self.reckoned_from);
            let doublings = (copies / COPIES_PER_DOUBLING).min(DOUBLINGS_MAX);
            self.last + interval * (1 << doublings)
        };
        for latest in [self.retry_at, self.overdue_at].into_iter().flatten() {
            due = due.min(latest);
        }
        let rto = flow.rto();
        let last_chance = deadline.before(rto);
        if last_chance >= self.last + rto {
            due = due.min(last_chance);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn at(ms: u64) -> Time {
        Time::from_micros(ms * 1000)
    }

    fn issue(sends: u32, last: Time) -> Issue {
        Issue {
            session: SessionId(1),
            id: CallId(4096),
            expiry: 0,
            known_until: 0,
            first: at(0),
            last,
            jitter: Jitter(0),
            sends,
            succeeded: sends,
            reckoned_from: 0,
            recent: Recent::default(),
            in_flight: true,
            queued: false,
            urgent: false,
            progress: None,
            put_off: None,
            order: 0,
            overdue_at: None,
            doubted: None,
            probed: false,
            retry_at: None,
            challenged: None,
            fencing: false,
        }
    }

    #[test]
    fn own_interval_doubles_after_every_third_copy() {
        let flow = Flow::new(100 * MS, MS);
        let due = |sends| issue(sends, at(0)).copy_at(&flow, at(1_000_000));
        assert_eq!(due(1), at(100));
        assert_eq!(due(2), at(100));
        assert_eq!(due(3), at(200));
        assert_eq!(due(6), at(400));
    }

    #[test]
    fn last_copy_goes_one_rto_before_the_deadline() {
        let flow = Flow::new(100 * MS, MS);
        assert_eq!(issue(6, at(0)).copy_at(&flow, at(350)), at(250));
        let young = issue(6, at(200)).copy_at(&flow, at(350));
        assert!(young >= at(350), "{young:?}");
    }

    #[test]
    fn copy_of_a_call_in_progress_waits_a_quarter_of_its_age_and_15_s_at_most() {
        let flow = Flow::new(100 * MS, MS);
        let mut running = issue(5, at(4000));
        running.progress = Some(at(4000));
        assert_eq!(running.copy_at(&flow, at(1_000_000)), at(5000));
        running.progress = Some(at(200));
        assert_eq!(running.copy_at(&flow, at(1_000_000)), at(4100));
        running.progress = Some(at(400_000));
        assert_eq!(running.copy_at(&flow, at(1_000_000)), at(19_000));
    }

    #[test]
    fn each_copy_gives_one_sample_and_old_ones_are_forgotten() {
        let mut recent = Recent::default();
        (1..=6).for_each(|n| recent.note(n, at(u64::from(n))));
        assert_eq!(recent.take(2), None);
        assert_eq!(recent.take(5), Some(at(5)));
        assert_eq!(recent.take(5), None);
        assert_eq!(recent.take(3), Some(at(3)));
    }

    #[test]
    fn patience_with_an_overtaken_call_doubles_with_each_copy() {
        assert_eq!(issue(1, at(100)).overdue(8 * MS), at(108));
        assert_eq!(issue(2, at(100)).overdue(8 * MS), at(116));
        assert_eq!(issue(5, at(100)).overdue(8 * MS), at(228));
    }

    #[test]
    fn overtaken_copy_is_lost_and_repeated_when_overdue_or_expired_whichever_comes_first() {
        let flow = Flow::new(100 * MS, MS);
        let mut overtaken = issue(1, at(0));
        overtaken.overdue_at = Some(at(30));
        assert_eq!(overtaken.lost_at(&flow), at(30));
        assert_eq!(overtaken.copy_at(&flow, at(1_000_000)), at(30));
        overtaken.overdue_at = Some(at(300));
        assert_eq!(overtaken.lost_at(&flow), at(100));
    }
}
