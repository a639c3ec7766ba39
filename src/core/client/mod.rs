//! The client: calls in, datagrams out; datagrams in, outcomes out.
//!
//! Sans-IO: a driver hands in datagrams and the time ([`Client::handle_datagram`],
//! [`Client::handle_timeout`], …) and after every input drains [`Client::poll_transmit`], then
//! [`Client::poll_event`], then sleeps until [`Client::poll_timeout`]. It must not know sockets or
//! clocks.
//!
//! One client owns several sessions at once: the current one, in which new calls begin, and those
//! that it has left while calls still run in them. Invariants: a call is sent under one identity
//! at a time, and under another only once the first is proved never to run (or the method has no
//! side effects); nothing of a request is sent after its deadline; every call ends exactly once.
//!
//! A datagram's way: `answers` finds session and call, and hands refusals to `refused`; `transmit`
//! decides what goes out next; `expiry` is what timers do; `ending` words how calls end.

mod answers;
mod call;
mod calls;
mod config;
mod ending;
mod expiry;
mod flow;
mod giving_up;
mod handshake;
mod inquiry;
mod leaving;
mod order;
mod ping;
mod probe;
mod refused;
mod run;
mod session;
mod sessions;
mod slots;
mod slow;
mod timers;
mod transmit;
mod types;
mod waiting;
mod wheel;
mod window;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::time::Duration;

use self::call::{Call, Phase};
use self::calls::Calls;
pub use self::config::{ClientConfig, DEFAULT_TIMEOUT};
use self::flow::{Flow, FlowId, Flows, Jitter, Jitters};
use self::handshake::Handshake;
pub use self::inquiry::{Asked, Fate, Inquiry};
use self::leaving::Closing;
use self::ping::Ping;
use self::sessions::Sessions;
use self::slow::Slow;
use self::timers::{Key, Timers};
pub use self::types::{CallHandle, ClientCounters, Event, NewCall, Pong, SessionInfo, Transmit};
use self::waiting::Waiting;
use super::{CallToken, Outcome, Prf, Proof, Rules, Seed, Time, Uncompared};
use crate::wire::{Code, MAX_REQUEST_BODY, SessionId};

/// The client's side of the protocol.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Client {
    config: ClientConfig,
    rules: Rules,
    random: Prf,
    jitters: Jitters,
    servers: Vec<SocketAddr>,
    /// The server that answered last: later handshakes go there first.
    bound: Option<SocketAddr>,
    sessions: Sessions,
    /// The session in which new calls begin.
    current: Option<SessionId>,
    handshake: Option<Handshake>,
    flows: Flows,
    calls: Calls,
    /// Methods whose calls are not thought lost soon.
    slow: Slow,
    /// Calls in phase `Waiting`, the oldest first: those that may have side effects …
    waiting_risky: Waiting,
    /// … and those that have none, which never wait for a ping.
    waiting_safe: Waiting,
    /// Calls in phase `Paused`.
    paused: usize,
    pings: BTreeMap<CallHandle, Ping>,
    /// Pings that wait for a session.
    waiting_pings: BTreeSet<CallHandle>,
    /// Calls whose next datagram goes at once, whatever the window says.
    urgent: VecDeque<CallHandle>,
    closings: VecDeque<Closing>,
    /// The calls of the last run: their memory serves the next.
    run: Uncompared<Vec<CallHandle>>,
    timers: Timers,
    events: VecDeque<Event>,
    last_sequence: u64,
    counters: Uncompared<ClientCounters>,
}

impl Client {
    /// A client of whichever of `servers` (the addresses of one name) answers first. Nothing is
    /// sent before the first call.
    pub fn new(config: ClientConfig, servers: Vec<SocketAddr>, seed: Seed) -> Self {
        Self {
            config,
            rules: Rules::default(),
            random: Prf::new(&seed, "client"),
            jitters: Jitters::default(),
            servers,
            bound: None,
            sessions: Sessions::default(),
            current: None,
            handshake: None,
            flows: Flows::default(),
            calls: Calls::default(),
            slow: Slow::default(),
            waiting_risky: Waiting::default(),
            waiting_safe: Waiting::default(),
            paused: 0,
            pings: BTreeMap::new(),
            waiting_pings: BTreeSet::new(),
            urgent: VecDeque::new(),
            closings: VecDeque::new(),
            run: Uncompared::default(),
            timers: Timers::default(),
            events: VecDeque::new(),
            last_sequence: 0,
            counters: Uncompared::default(),
        }
    }

    /// Drops a rule, to show that it is needed.
    #[cfg(test)]
    pub(crate) fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// Makes a call. Whatever becomes of it arrives as [`Event::Ended`], an error that is known
    /// at once too.
    pub fn call(&mut self, now: Time, call: NewCall) -> CallHandle {
        let waiting = self.waiting_risky.len() + self.waiting_safe.len() + self.paused;
        let call = Call {
            method: call.method,
            metadata: call.metadata,
            body: call.body,
            submitted: now,
            deadline: call.deadline,
            no_side_effects: call.no_side_effects,
            retry: call.retry.unwrap_or(self.config.retry),
            cancelled: false,
            attempts: 0,
            issues: 0,
            doubtful: false,
            token_given: false,
            past: None,
            phase: Phase::Unplaced,
        };
        let deadline = call.deadline;
        let length = call.length();
        let too_long = length.beyond(usize::MAX, MAX_REQUEST_BODY);
        let sequence = self.next_sequence();
        let handle = self.calls.insert(sequence, call);
        if let Some(fits) = too_long {
            let text = format!("{length}; one datagram takes {fits}");
            self.end_unissued(now, handle, Code::ResourceExhausted, text);
        } else if deadline <= now {
            let text = "the deadline had passed before the call could be sent".to_owned();
            self.end_unissued(now, handle, Code::DeadlineExceeded, text);
        } else if waiting >= self.config.max_waiting {
            let text = format!("{waiting} calls wait to be sent already, which is the limit");
            self.end_unissued(now, handle, Code::ResourceExhausted, text);
        } else if !self.ended_by_limits(now, handle) {
            self.wait(handle);
            self.advance(now);
        }
        handle
    }

    /// Cancels a call. One that was never sent ends at once; for any other the server is asked to
    /// promise that it never starts, and it ends as the server says, or as unknown at its
    /// deadline.
    pub fn cancel(&mut self, now: Time, handle: CallHandle) {
        let Some(call) = self.calls.get_mut(handle) else {
            return;
        };
        if call.cancelled {
            return;
        }
        call.cancelled = true;
        let text = "cancelled by the caller".to_owned();
        match &mut call.phase {
            Phase::Issued(issue) if issue.succeeded > 0 => {
                issue.fencing = true;
                issue.progress = None;
                issue.retry_at = None;
                issue.reckoned_from = issue.sends;
                self.withdraw(handle);
                self.hurry(handle);
                self.arm(handle);
            }
            _ => self.end_unissued(now, handle, Code::Cancelled, text),
        }
        self.advance(now);
    }

    /// Pings the server until it answers or `deadline` passes; opens a session if there is none.
    /// The answer arrives as [`Event::Ponged`].
    pub fn ping(&mut self, now: Time, deadline: Time) -> CallHandle {
        let handle = self.next_handle();
        self.pings.insert(handle, Ping::asked_for(now, deadline));
        self.waiting_pings.insert(handle);
        self.timers.set(Key::Ping(handle), deadline);
        self.advance(now);
        handle
    }

    /// The token with which any process can ask later what became of a call; `None` before its
    /// first transmission and after its end (an error of unknown outcome carries one). Its session
    /// is never closed from now on, and once it is proved not to have run the call is not issued
    /// again, so that the answer stays true.
    pub fn token(&mut self, handle: CallHandle) -> Option<CallToken> {
        let call = self.calls.get_mut(handle)?;
        let Phase::Issued(issue) = &call.phase else {
            return None;
        };
        let session = self.sessions.get_mut(issue.session)?;
        session.token_given = true;
        call.token_given = true;
        Some(leaving::token_of(session, issue))
    }

    /// The next thing that has happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Client::handle_timeout`] is to be called, if nothing else happens before.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.timers.next()
    }

    /// The current session, if there is one.
    pub fn info(&self, now: Time) -> Option<SessionInfo> {
        let session = self.sessions.get(self.current?)?;
        let flow = self.flows.get(session.flow)?;
        Some(SessionInfo {
            server: session.server,
            epoch: session.epoch,
            limits: session.limits,
            software: session.software.clone(),
            clock: session.clock.at(now),
            rto: flow.rto(),
            srtt: flow.srtt(),
        })
    }

    /// Whether this call or ping has not ended. Its event may wait to be polled when it has.
    pub fn is_open(&self, handle: CallHandle) -> bool {
        self.calls.contains(handle) || self.pings.get(&handle).is_some_and(|p| p.asked_for)
    }

    /// Whether no call and no ping is open.
    pub fn is_idle(&self) -> bool {
        self.in_progress() == 0
    }

    /// Calls and pings that have not ended.
    pub fn in_progress(&self) -> usize {
        self.calls.len() + self.pings.values().filter(|ping| ping.asked_for).count()
    }

    /// What has been counted.
    pub fn counters(&self) -> &ClientCounters {
        &self.counters
    }

    fn next_sequence(&mut self) -> NonZeroU64 {
        self.last_sequence += 1;
        NonZeroU64::new(self.last_sequence).unwrap_or(NonZeroU64::MIN)
    }

    /// A handle of what is no call.
    fn next_handle(&mut self) -> CallHandle {
        CallHandle { sequence: self.next_sequence(), place: u32::MAX }
    }

    fn jitter(&mut self) -> Jitter {
        self.jitters.next(&mut self.random)
    }

    /// The path to `server`, made if there is none.
    fn flow(&mut self, server: SocketAddr) -> FlowId {
        let config = &self.config;
        self.flows.find_or_insert(server, || {
            Flow::new(config.initial_rto(server), config.rto_floor(server))
        })
    }

    /// RTO towards `server`, without backoff.
    fn rto(&mut self, server: SocketAddr) -> Duration {
        let flow = self.flow(server);
        self.flows.get(flow).map_or(self.config.initial_rto(server), Flow::rto)
    }

    /// Puts a call among those that wait to be sent.
    fn wait(&mut self, handle: CallHandle) {
        let Some(call) = self.calls.get_mut(handle) else {
            return;
        };
        call.phase = Phase::Waiting;
        let waiting =
            if call.no_side_effects { &mut self.waiting_safe } else { &mut self.waiting_risky };
        waiting.insert(handle);
        let (deadline, risky) = (call.deadline, !call.no_side_effects);
        self.timers.set(Key::Call(handle), deadline);
        self.hasten_hello(deadline);
        if risky {
            self.hasten_ping(deadline);
        }
    }

    /// All calls that wait to be sent: those that may have side effects, then the others.
    fn waiting(&self) -> impl Iterator<Item = CallHandle> {
        self.waiting_risky.iter(&self.calls).chain(self.waiting_safe.iter(&self.calls))
    }

    fn anyone_waits(&self) -> bool {
        !(self.waiting_risky.is_empty()
            && self.waiting_safe.is_empty()
            && self.waiting_pings.is_empty())
    }

    /// Begins what those who wait need: a session, a ping.
    fn advance(&mut self, now: Time) {
        if !self.anyone_waits() {
            self.give_up_handshake();
            return;
        }
        if let Some(current) = self.current
            && self.sessions.get(current).is_none_or(|s| !s.usable(now))
        {
            self.leave(now, current);
        }
        match self.current {
            None => self.shake_hands(now),
            Some(current) if !self.waiting_risky.is_empty() && self.is_unheard(now, current) => {
                self.ping_before_risk(now, current);
            }
            Some(_) => {}
        }
    }

    /// Whether so long nothing was heard in this session that its server may have restarted.
    fn is_unheard(&self, now: Time, session: SessionId) -> bool {
        let heard = self.sessions.get(session).map(|session| session.heard);
        match (heard, self.config.ping_after_idle) {
            (Some(heard), Some(idle)) => now.since(heard) > idle,
            _ => false,
        }
    }
}

/// Errors of what was never given an identity carry this outcome.
const NEVER_SENT: Outcome = Outcome::NotExecuted(Proof::NeverSent);

#[cfg(test)]
mod tests;
