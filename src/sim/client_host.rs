//! A simulated machine of a client: one process at a time, what it calls, what befalls it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::clock::{Clock, Truth};
use super::net::{Event, Net, Owner};
use super::oracle::Promise;
use super::plan::{Dice, Workload};
use super::work::Request;
#[cfg(test)]
use crate::core::Rules;
use crate::core::client::{self, CallHandle, Client, ClientConfig, NewCall};
use crate::core::{CallError, CallToken, Prf};
use crate::wire::Code;

/// What befalls clients.
#[derive(Clone, Copy, Debug)]
enum Misfortune {
    /// Its NAT gives it another address.
    NewAddress,
    /// The machine sleeps for a while; its clock does not.
    Suspended,
    /// The process dies with its calls, and another begins.
    Restarted,
    /// It closes its sessions though it will go on.
    Closed,
}

/// The machine.
pub(super) struct ClientHost {
    index: usize,
    clock: Clock,
    work: Workload,
    address: SocketAddr,
    client: Client,
    /// What goes with its calls is drawn apart, so that a world is the same with or without.
    contents: Dice,
    /// Processes so far.
    life: u32,
    /// Calls not made yet.
    remaining: u32,
    open: BTreeMap<CallHandle, u64>,
    suspended_until: Truth,
    /// The socket takes nothing until then.
    blocked_until: Truth,
    timer: Option<Truth>,
    closed: bool,
    out: Vec<u8>,
}

impl ClientHost {
    /// A machine whose client begins to call at once.
    pub(super) fn new(net: &mut Net, index: usize, work: Workload, clock: Clock) -> Self {
        let address = net.new_address(Owner::Client(index), index);
        for _ in 0..work.at_a_time.min(work.calls) {
            let after = net.hand_over(Duration::from_millis(100));
            net.schedule(after, Event::Call(index));
        }
        if let Some(mean) = work.misfortune {
            let after = net.dice.log_range(mean / 10, mean * 3);
            net.schedule(after, Event::Misfortune(index));
        }
        Self {
            index,
            clock,
            address,
            client: new_client(net, &work),
            contents: Dice(Prf::new(&net.dice.clone().seed(), "contents")),
            life: 0,
            remaining: work.calls,
            work,
            open: BTreeMap::new(),
            suspended_until: Truth(0),
            blocked_until: Truth(0),
            timer: None,
            closed: false,
            out: Vec::new(),
        }
    }

    /// True if all its calls have been made and have ended.
    pub(super) fn is_done(&self) -> bool {
        self.remaining == 0 && self.open.is_empty()
    }

    fn owner(&self) -> Owner {
        Owner::Client(self.index)
    }

    /// Puts off what happens to it until it wakes; true if it sleeps.
    fn sleeps(&self, net: &mut Net, event: Event) -> bool {
        let sleeps = net.now < self.suspended_until;
        if sleeps {
            net.schedule_at(self.suspended_until, event);
        }
        sleeps
    }

    /// Makes the next call.
    pub(super) fn call(&mut self, net: &mut Net) {
        if self.remaining == 0 || self.sleeps(net, Event::Call(self.index)) {
            return;
        }
        self.remaining -= 1;
        let now = self.clock.read(net.now);
        let method = net.dice.pick(&self.work.methods);
        let deadline = now + net.dice.log_range(self.work.timeout.0, self.work.timeout.1);
        let service = net.hand_over(self.work.service_most);
        let reply_len = u16::try_from(net.dice.range(16, 1000)).unwrap_or(16);
        let length = net.dice.pick(&[0, 0, 0, 100, 1000]);
        // Beside a long message is room for little.
        let metadata = self.contents.pick(&[0, 0, 1, 40, if length > 100 { 80 } else { 800 }]);
        let reply_metadata = self.contents.pick(&[0, 0, 1, 40, 800]);
        let request = Request { tag: 0, service, reply_len, metadata, reply_metadata };
        let request = net.oracle.called(net.now, method, self.clock, deadline, request);
        if self.contents.chance(self.work.refuse) {
            let error = CallError::never_sent(Code::Unauthenticated, "refused by its own side");
            let handle = self.client.refuse(error);
            self.open.insert(handle, request.tag);
            return self.settle(net);
        }
        let call = NewCall {
            method: method.id(),
            metadata: request.metadata(),
            body: request.to_body(length),
            deadline,
            no_side_effects: method.has_no_side_effects(),
            retry: Some(self.work.retry),
        };
        let handle = self.client.call(now, call);
        self.open.insert(handle, request.tag);
        let (client, life) = (self.index, self.life);
        if net.dice.chance(self.work.cancel) {
            let after = net.dice.log_range(Duration::from_micros(10), Duration::from_secs(10));
            let impatient = self.contents.chance(self.work.impatient);
            let longest = Duration::from_secs(10);
            let patience =
                impatient.then(|| self.contents.log_range(Duration::from_micros(10), longest));
            net.schedule(after, Event::Cancel { client, life, handle, patience });
        }
        if net.dice.chance(self.work.inquire) {
            let after = net.dice.log_range(Duration::from_micros(10), Duration::from_secs(10));
            net.schedule(after, Event::GiveToken { client, life, handle });
        }
        self.settle(net);
    }

    /// Cancels a call, if it has not ended.
    pub(super) fn cancel(
        &mut self,
        net: &mut Net,
        life: u32,
        handle: CallHandle,
        patience: Option<Duration>,
    ) {
        let event = Event::Cancel { client: self.index, life, handle, patience };
        let tag = self.open.get(&handle).copied();
        let Some(tag) = tag.filter(|_| life == self.life && !self.sleeps(net, event)) else {
            return;
        };
        let now = self.clock.read(net.now);
        match patience {
            None => self.client.cancel(now, handle),
            Some(patience) => {
                self.client.cancel_by(now, handle, now + patience);
                net.oracle.impatient(tag, now + patience);
            }
        }
        self.settle(net);
    }

    /// Gives a call's token away, if there is one.
    pub(super) fn token(
        &mut self,
        net: &mut Net,
        life: u32,
        handle: CallHandle,
    ) -> Option<CallToken> {
        if life != self.life || !self.open.contains_key(&handle) || net.now < self.suspended_until {
            return None;
        }
        self.client.token(handle)
    }

    /// A datagram arrives.
    pub(super) fn arrive(&mut self, net: &mut Net, from: SocketAddr, bytes: Vec<u8>) {
        if net.now < self.suspended_until {
            // It waits in the socket's buffer.
            let to = self.address;
            return net.schedule_at(self.suspended_until, Event::Arrive { from, to, bytes });
        }
        self.client.handle_datagram(self.clock.read(net.now), from, &bytes);
        self.settle(net);
    }

    /// Its socket was told that nobody listens.
    pub(super) fn unreachable(&mut self, net: &mut Net, server: SocketAddr) {
        let event = Event::Unreachable { to: self.address, server };
        if !self.sleeps(net, event) {
            self.client.handle_refused(self.clock.read(net.now), server);
            self.settle(net);
        }
    }

    /// Its timer has gone off.
    pub(super) fn timer(&mut self, net: &mut Net) {
        if self.timer.is_none_or(|at| at > net.now) {
            return;
        }
        self.timer = None;
        if self.sleeps(net, Event::Timer(self.owner())) {
            self.timer = Some(self.suspended_until);
            return;
        }
        let now = self.clock.read(net.now);
        if self.client.poll_timeout().is_some_and(|at| at <= now) {
            self.client.handle_timeout(now);
        }
        self.settle(net);
    }

    /// From now on all is well with it, and it makes a few more calls.
    pub(super) fn heal(&mut self, net: &mut Net) {
        self.work = self.work.clone().healed();
        self.suspended_until = self.suspended_until.min(net.now);
        self.timer = None;
        self.settle(net);
        self.remaining = self.work.calls;
        for _ in 0..self.work.at_a_time {
            net.schedule(Duration::from_secs(10), Event::Call(self.index));
        }
    }

    /// True if misfortunes befall it.
    pub(super) fn may_be_hit(&self) -> bool {
        self.work.misfortune.is_some()
    }

    /// Something befalls it.
    pub(super) fn misfortune(&mut self, net: &mut Net) {
        let Some(mean) = self.work.misfortune else { return };
        if self.is_done() {
            return;
        }
        let after = net.dice.log_range(mean / 10, mean * 3);
        net.schedule(after, Event::Misfortune(self.index));
        if net.now < self.suspended_until {
            return;
        }
        let kinds = [
            Misfortune::NewAddress,
            Misfortune::NewAddress,
            Misfortune::Suspended,
            Misfortune::Restarted,
            Misfortune::Closed,
        ];
        match net.dice.pick(&kinds) {
            Misfortune::NewAddress => self.move_away(net),
            Misfortune::Suspended => {
                let longest = net.dice.pick(&[1, 100, 1000]);
                let span =
                    net.dice.log_range(Duration::from_millis(10), Duration::from_secs(longest));
                self.suspended_until = net.now + span;
            }
            Misfortune::Restarted => {
                for (_, tag) in std::mem::take(&mut self.open) {
                    net.oracle.abandoned(tag);
                    // The next process goes on with as many at a time.
                    net.schedule(Duration::from_millis(1), Event::Call(self.index));
                }
                self.life += 1;
                self.client = new_client(net, &self.work);
                if net.dice.chance(0.5) {
                    self.move_away(net);
                }
            }
            Misfortune::Closed => self.client.close(self.clock.read(net.now)),
        }
        self.settle(net);
    }

    /// The end of the world: a client without calls sleeps, and has counted all that it got.
    pub(super) fn rest(&mut self, net: &mut Net) {
        let counted = self.client.counters();
        let sum = counted.used
            + counted.dropped_malformed
            + counted.dropped_stray
            + counted.dropped_source
            + counted.dropped_late
            + counted.dropped_foreign;
        if sum != counted.received {
            net.oracle.broken(Promise::CountersAddUp, net.now, format!("{counted:?}"));
        }
        for turn in 0.. {
            let Some(at) = self.client.poll_timeout() else { break };
            if turn > 100 {
                let detail = format!("a client without calls never sleeps, next at {at:?}");
                return net.oracle.broken(Promise::TimePasses, net.now, detail);
            }
            self.client.handle_timeout(at);
            self.out.clear();
            while self.client.poll_transmit(at, &mut self.out).is_some() {}
        }
    }

    /// Another address; sometimes one that was another's just now.
    fn move_away(&mut self, net: &mut Net) {
        net.drop_address(self.address);
        self.address = net.new_address(self.owner(), self.index);
    }

    /// The address it has now.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// It has another address now, which somebody else had until now.
    pub(super) fn take_address(&mut self, net: &mut Net, address: SocketAddr) {
        self.address = address;
        net.give_address(address, self.owner(), self.index);
    }

    /// What a driver does after every input.
    fn settle(&mut self, net: &mut Net) {
        let now = self.clock.read(net.now);
        self.drain_events(net);
        if self.is_done() && self.work.close && !self.closed {
            self.closed = true;
            self.client.close(now);
        }
        if net.now >= self.blocked_until && net.dice.chance(self.work.blocked) {
            let span = net.dice.log_range(Duration::from_micros(50), Duration::from_secs(3));
            self.blocked_until = net.now + span;
            net.schedule(span, Event::Writable(self.owner()));
        }
        if net.now >= self.blocked_until {
            self.transmit(net);
            self.drain_events(net);
        }
        if let Some(local) = self.client.poll_timeout() {
            let at = self.clock.when(local).max(net.now);
            if self.timer.is_none_or(|timer| at < timer) {
                self.timer = Some(at);
                net.schedule_at(at, Event::Timer(self.owner()));
            }
        }
    }

    /// The socket takes datagrams again.
    pub(super) fn writable(&mut self, net: &mut Net) {
        let event = Event::Writable(self.owner());
        if net.now >= self.blocked_until && !self.sleeps(net, event) {
            self.settle(net);
        }
    }

    /// Sends all that is to be sent.
    fn transmit(&mut self, net: &mut Net) {
        let now = self.clock.read(net.now);
        self.out.clear();
        while let Some(transmit) = self.client.poll_transmit(now, &mut self.out) {
            let (size, to) = (transmit.size, transmit.remote);
            let segment = transmit.segment_size.unwrap_or(size).max(1);
            let alone = size <= segment;
            let unsent = net.dice.chance(self.work.unsent);
            if alone && unsent {
                self.client.handle_unsent(now, &transmit);
            }
            for datagram in self.out.get(..size).unwrap_or(&[]).chunks(segment) {
                // A batch that failed counts as sent, whether it was or not.
                if !unsent {
                    net.send(self.index, true, self.address, to, datagram);
                }
            }
            self.out.clear();
        }
    }

    fn drain_events(&mut self, net: &mut Net) {
        while let Some(event) = self.client.poll_event() {
            let client::Event::Ended { handle, result } = event else { continue };
            let Some(tag) = self.open.remove(&handle) else {
                let detail = format!("{handle:?} ended, which is no open call: {result:?}");
                net.oracle.broken(Promise::EveryCallEnds, net.now, detail);
                continue;
            };
            net.oracle.ended(net.now, tag, &result, self.suspended_until);
            let pause = if net.dice.chance(self.work.think) {
                net.hand_over(self.work.think_most)
            } else {
                Duration::ZERO
            };
            net.schedule(pause, Event::Call(self.index));
        }
    }
}

fn new_client(net: &mut Net, work: &Workload) -> Client {
    let config = ClientConfig {
        retry: work.retry,
        wait_for_server: work.wait,
        max_waiting: work.max_waiting,
        ..ClientConfig::default()
    };
    #[allow(unused_mut)]
    let mut client = Client::new(config, work.servers.clone(), net.dice.seed());
    #[cfg(test)]
    net.dropped.into_iter().for_each(|rule| client.set_rules(Rules::dropping(rule)));
    client
}
