//! What timers do: losses, the next copies, ends of pauses, deadlines.
//!
//! Timers are worked out anew when they fire, because the interval may have grown meanwhile.

use std::time::Duration;

use super::call::{Issue, Phase};
use super::flow::Flow;
use super::{CallHandle, Client, FlowId, Key};
use crate::core::Time;

impl Client {
    /// To be called when [`Client::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now: Time) {
        while let Some(key) = self.timers.pop(now) {
            match key {
                Key::Hello => self.on_hello_timer(now),
                Key::Probe(flow) => self.on_probe_timer(now, flow),
                Key::Call(handle) => self.on_call_timer(now, handle),
                Key::Ping(handle) => self.on_ping_timer(now, handle),
            }
        }
        self.advance(now);
    }

    fn on_call_timer(&mut self, now: Time, handle: CallHandle) {
        let Some(call) = self.calls.get_mut(handle) else {
            return;
        };
        if now >= call.deadline {
            self.end_at_deadline(now, handle);
            return;
        }
        let deadline = call.deadline;
        match &mut call.phase {
            Phase::Unplaced | Phase::Waiting => self.timers.set(Key::Call(handle), deadline),
            Phase::Paused(until) if now >= *until => {
                self.paused = self.paused.saturating_sub(1);
                self.wait(handle);
                self.ended_by_limits(now, handle);
            }
            Phase::Paused(until) => {
                let until = *until;
                self.timers.set(Key::Call(handle), until);
            }
            Phase::Issued(issue) => {
                let session = self.sessions.get(issue.session);
                if let Some(flow) = session.and_then(|session| self.flows.get_mut(session.flow)) {
                    let fencing = issue.fencing;
                    if expire(now, handle, issue, flow, deadline) && fencing {
                        self.hurry(handle);
                    }
                }
                self.arm(handle);
            }
        }
    }

    /// Looks at the copies that later ones have overtaken: what is still in flight of them is
    /// lost, or will be when its answer is overdue too. The second condition is needed because
    /// handlers take different times, so that answers come out of order without any loss.
    pub(super) fn look_at_overtaken(&mut self, now: Time, id: FlowId) {
        while let Some(flow) = self.flows.get_mut(id)
            && let Some((handle, order)) = flow.order.pop_overtaken()
        {
            let Some(call) = self.calls.get_mut(handle) else { continue };
            let method = call.method;
            let Phase::Issued(issue) = &mut call.phase else { continue };
            let Some(patience) = flow.overdue() else { continue };
            if issue.order != order || !issue.in_flight || issue.progress.is_some() {
                continue;
            }
            let usual = self.slow.usual(method).map_or(Duration::ZERO, |usual| usual + usual / 8);
            let overdue = issue.overdue(patience.max(usual));
            issue.overdue_at = Some(overdue);
            if overdue <= now {
                self.on_call_timer(now, handle);
            } else {
                self.arm(handle);
            }
        }
    }

    /// Sets the timer of a call that has an identity.
    pub(super) fn arm(&mut self, handle: CallHandle) {
        let Some(call) = self.calls.get(handle) else {
            return;
        };
        let Phase::Issued(issue) = &call.phase else {
            return;
        };
        let session = self.sessions.get(issue.session);
        let mut at = call.deadline;
        if let Some(flow) = session.and_then(|session| self.flows.get(session.flow)) {
            if issue.in_flight {
                at = at.min(issue.lost_at(flow));
            }
            if !issue.queued && !issue.urgent {
                at = at.min(issue.copy_at(flow, call.deadline));
            }
        }
        self.timers.set(Key::Call(handle), at);
    }

    /// Copies of the request that are in flight, or wait for room, are nobody's any more.
    pub(super) fn withdraw(&mut self, handle: CallHandle) {
        if let Some(call) = self.calls.get_mut(handle)
            && let Phase::Issued(issue) = &mut call.phase
            && let Some(session) = self.sessions.get(issue.session)
            && let Some(flow) = self.flows.get_mut(session.flow)
        {
            if std::mem::take(&mut issue.in_flight) {
                flow.withdrawn();
            }
            if std::mem::take(&mut issue.queued) {
                flow.lost.remove(&handle);
            }
        }
    }

    /// The next datagram of a call goes at once, whatever the window says.
    pub(super) fn hurry(&mut self, handle: CallHandle) {
        if let Some(call) = self.calls.get_mut(handle)
            && let Phase::Issued(issue) = &mut call.phase
            && !issue.urgent
        {
            issue.urgent = true;
            self.urgent.push_back(handle);
        }
    }
}

/// Declares the copy in flight lost if its time has come, and has the next one sent if that is
/// due; returns whether it is. Copies of a request wait for room.
fn expire(
    now: Time,
    handle: CallHandle,
    issue: &mut Issue,
    flow: &mut Flow,
    deadline: Time,
) -> bool {
    let copy_at = issue.copy_at(flow, deadline);
    if issue.in_flight && issue.lost_at(flow) <= now {
        issue.in_flight = false;
        if issue.overdue_at.is_some_and(|overdue| overdue <= now) {
            issue.doubted = Some(now);
            // It is no copy by the timer, of which there are few.
            issue.reckoned_from = issue.reckoned_from.saturating_add(1);
        }
        // The backoff that follows is of later copies.
        issue.retry_at = Some(copy_at);
        flow.declared_lost(now, issue.last);
    } else if issue.fencing && copy_at <= now {
        flow.back_off(now, issue.last);
    }
    if issue.in_flight && copy_at <= now {
        // The last chance before the deadline, and the copy before is at least an RTO old: a
        // retransmission never waits for itself.
        issue.in_flight = false;
        flow.withdrawn();
    }
    let due = copy_at <= now && !issue.queued && !issue.urgent;
    if due && !issue.fencing {
        issue.queued = true;
        flow.lost.insert(handle);
    }
    due
}
