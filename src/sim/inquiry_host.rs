//! Another process, with a call token, that asks what became of a call or fences it.

use std::net::SocketAddr;
use std::time::Duration;

use super::clock::{Clock, Truth};
use super::net::{Event, Net, Owner};
#[cfg(test)]
use crate::core::Rules;
use crate::core::client::{Asked, Fate, Inquiry};
use crate::core::server::CallKey;
use crate::core::{CallToken, Time};

/// The process.
pub(super) struct InquiryHost {
    number: usize,
    path: usize,
    clock: Clock,
    address: SocketAddr,
    token: CallToken,
    /// When it begins: it may come hours later.
    begins: Truth,
    inquiry: Option<Inquiry>,
    asked: Asked,
    patience: Duration,
    timer: Option<Truth>,
    done: bool,
    out: Vec<u8>,
}

impl InquiryHost {
    /// A process behind a client's path that will ask.
    pub(super) fn new(net: &mut Net, number: usize, path: usize, token: CallToken) -> Self {
        let address = net.new_address(Owner::Inquiry(number), path);
        let longest = net.dice.pick(&[1, 30, 90, 1000]);
        let pause = net.dice.log_range(Duration::from_micros(10), Duration::from_secs(longest));
        net.schedule(pause, Event::Timer(Owner::Inquiry(number)));
        let error_ppm = net.dice.pick(&[-500, 0, 500]);
        Self {
            number,
            path,
            clock: Clock { start: Time::from_micros(77_000_000), error_ppm },
            address,
            token,
            begins: net.now + pause,
            inquiry: None,
            asked: if net.dice.chance(0.5) { Asked::Fence } else { Asked::Status },
            patience: net.dice.log_range(Duration::from_millis(10), Duration::from_secs(100)),
            timer: Some(net.now + pause),
            done: false,
            out: Vec::new(),
        }
    }

    /// True if it has its answer, or has given up.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// A datagram arrives.
    pub(super) fn arrive(&mut self, net: &mut Net, from: SocketAddr, bytes: &[u8]) {
        if let Some(inquiry) = &mut self.inquiry {
            inquiry.handle_datagram(self.clock.read(net.now), from, bytes);
            self.settle(net);
        }
    }

    /// Its timer has gone off.
    pub(super) fn timer(&mut self, net: &mut Net) {
        if self.done || self.timer.is_none_or(|at| at > net.now) {
            return;
        }
        self.timer = None;
        let now = self.clock.read(net.now);
        if self.inquiry.is_none() && net.now >= self.begins {
            let (deadline, seed) = (now + self.patience, net.dice.seed());
            let asked = self.asked;
            #[allow(unused_mut)]
            let mut inquiry = Inquiry::new(now, self.token, asked, deadline, seed);
            #[cfg(test)]
            net.dropped.into_iter().for_each(|rule| inquiry.set_rules(Rules::dropping(rule)));
            self.inquiry = Some(inquiry);
        }
        if let Some(inquiry) = &mut self.inquiry
            && inquiry.poll_timeout().is_some_and(|at| at <= now)
        {
            inquiry.handle_timeout(now);
        }
        self.settle(net);
    }

    fn settle(&mut self, net: &mut Net) {
        let now = self.clock.read(net.now);
        let Some(inquiry) = &mut self.inquiry else { return };
        self.out.clear();
        while let Some(transmit) = inquiry.poll_transmit(now, &mut self.out) {
            let datagram = self.out.get(..transmit.size).unwrap_or(&[]);
            net.send(self.path, true, self.address, transmit.remote, datagram);
            self.out.clear();
        }
        if let Some(fate) = inquiry.fate() {
            if !self.done {
                self.done = true;
                judge(net, self.token, &fate);
                net.drop_address(self.address);
            }
            return;
        }
        if let Some(local) = inquiry.poll_timeout() {
            let at = self.clock.when(local).max(net.now);
            if self.timer.is_none_or(|timer| at < timer) {
                self.timer = Some(at);
                net.schedule_at(at, Event::Timer(Owner::Inquiry(self.number)));
            }
        }
    }
}

/// Holds the answer against what really happened.
fn judge(net: &mut Net, token: CallToken, fate: &Fate) {
    let Some(life) = net.lives.get(&token.epoch).copied() else { return };
    let identity = (life, CallKey { session: token.session, call: token.call });
    match fate {
        Fate::Executed { status, metadata, body } => {
            net.oracle.told_executed(net.now, identity, Some((*status, metadata, body)));
        }
        Fate::ReplyGone => net.oracle.told_executed(net.now, identity, None),
        Fate::NotExecuted(_) => net.oracle.told_never(net.now, identity),
        Fate::Unknown(_) | Fate::InProgress(_) | Fate::NotSeen => {}
    }
}
