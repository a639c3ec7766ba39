//! Probes: when nothing at all is heard of a server that has copies in flight, a few of them go
//! again long before their timers, as in RFC 9002 section 6.2.
//!
//! Later copies that are answered tell of a loss within a round trip. After the last copies of a
//! burst, or when all of a small window is lost together, none come; the least RTO, which is there
//! for handlers and schedulers, is then many round trips. A probe asks in their place. Invariants:
//! a probe declares nothing lost, and there are at most two of them in a probe timeout, which
//! doubles.

use super::call::Phase;
use super::{CallHandle, Client, FlowId, Key};
use crate::core::Time;

/// Copies that go as one probe, so that it is seldom lost itself: RFC 9002 section 6.2.4.
const COPIES: usize = 2;

impl Client {
    /// A run went out: its server is to be heard of before long.
    pub(super) fn expect_word(&mut self, run: &[CallHandle]) {
        let call = run.first().and_then(|handle| self.calls.get(*handle));
        if let Some(call) = call
            && let Phase::Issued(issue) = &call.phase
            && let Some(session) = self.sessions.get(issue.session)
            && let Some(at) = self.flows.get(session.flow).and_then(|flow| flow.probe_at())
        {
            self.timers.hasten(Key::Probe(session.flow), at);
        }
    }

    pub(super) fn on_probe_timer(&mut self, now: Time, id: FlowId) {
        // Since it was set, something may have been heard, or sent.
        let due = self.flows.get(id).and_then(|flow| flow.probe_at());
        if due.is_some_and(|at| at <= now) {
            let probes = self.probes(now, id);
            for handle in &probes {
                if let Some(call) = self.calls.get_mut(*handle)
                    && let Phase::Issued(issue) = &mut call.phase
                {
                    issue.probed = true;
                    // It is no copy by the timer, of which there are few.
                    issue.reckoned_from = issue.reckoned_from.saturating_add(1);
                }
                self.hurry(*handle);
            }
            if let Some(flow) = self.flows.get_mut(id) {
                flow.probe();
            }
        }
        let next = self.flows.get(id).and_then(|flow| flow.probe_at());
        if let Some(at) = next {
            self.timers.hasten(Key::Probe(id), at);
        }
    }

    /// The oldest calls whose latest copies are in flight, but for those of methods that take
    /// their time.
    fn probes(&self, now: Time, id: FlowId) -> Vec<CallHandle> {
        let Some(flow) = self.flows.get(id) else { return Vec::new() };
        let may = |(handle, order): (CallHandle, u64)| {
            let call = self.calls.get(handle)?;
            let Phase::Issued(issue) = &call.phase else { return None };
            let usual = self.slow.usual(call.method).map(|usual| usual + usual / 8);
            let is_slow = usual.is_some_and(|usual| now.since(issue.last) < usual);
            let waits = issue.order == order && issue.in_flight && !issue.fencing;
            (waits && issue.progress.is_none() && !is_slow).then_some(handle)
        };
        flow.order.copies().filter_map(may).take(COPIES).collect()
    }
}
