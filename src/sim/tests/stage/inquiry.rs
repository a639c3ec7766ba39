//! Other processes that ask about calls of the stage.

use std::net::SocketAddr;
use std::time::Duration;

use super::Stage;
use crate::core::client::{Asked, Fate, Inquiry};
use crate::core::server::CallKey;
use crate::core::{CallToken, Seed};
use crate::sim::net::SERVER;

/// Another process that has asked about a call.
pub(in crate::sim::tests) struct Asking {
    inquiry: Inquiry,
    address: SocketAddr,
    token: CallToken,
}

impl Stage {
    /// Another process asks with a token; what it sends arrives at once.
    pub(in crate::sim::tests) fn ask(&mut self, token: CallToken, asked: Asked) -> Asking {
        let address = self.new_address();
        let deadline = self.now + Duration::from_secs(1);
        let seed = Seed::from_number(u64::from(self.addresses));
        let mut inquiry = Inquiry::new(self.now, token, asked, deadline, seed);
        inquiry.set_rules(self.rules);
        self.send_inquiry(&mut inquiry, address);
        Asking { inquiry, address, token }
    }

    pub(super) fn send_inquiry(&mut self, inquiry: &mut Inquiry, address: SocketAddr) {
        let mut out = Vec::new();
        while inquiry.poll_transmit(self.now, &mut out).is_some() {
            self.serve(address, &out);
            out.clear();
        }
    }

    /// The answer to what was asked, over a good network, after at most a second.
    pub(in crate::sim::tests) fn answer(&mut self, asking: Asking) -> Fate {
        let Asking { mut inquiry, address, token } = asking;
        let fate = loop {
            let next = self.sent.iter_mut().find(|held| held.to == address && held.deliveries == 0);
            if let Some(held) = next {
                held.deliveries += 1;
                inquiry.handle_datagram(self.now, SERVER, &held.bytes);
            } else if let Some(fate) = inquiry.fate() {
                break fate;
            } else {
                let next = inquiry.poll_timeout().expect("it has a deadline");
                self.now = self.now.max(next);
                inquiry.handle_timeout(self.now);
            }
            self.send_inquiry(&mut inquiry, address);
        };
        let identity = (self.life, CallKey { session: token.session, call: token.call });
        match &fate {
            Fate::Executed { status, metadata, body } => {
                self.oracle.told_executed(self.at(), identity, Some((*status, metadata, body)));
            }
            Fate::ReplyGone => self.oracle.told_executed(self.at(), identity, None),
            Fate::NotExecuted(_) => self.oracle.told_never(self.at(), identity),
            _ => {}
        }
        fate
    }

    /// Another process asks with a token and gets its answer, over a good network of its own.
    pub(in crate::sim::tests) fn inquire(&mut self, token: CallToken, asked: Asked) -> Fate {
        let asking = self.ask(token, asked);
        self.answer(asking)
    }
}
