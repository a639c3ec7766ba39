//! The stage's clients and their calls.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::{Actor, CLOCK, Held, Stage};
use crate::core::client::{CallHandle, Client, ClientConfig, Event, NewCall};
use crate::core::{CallError, CallToken, Reply, Seed};
use crate::sim::net::SERVER;
use crate::sim::work::{Method, Request};
use crate::wire::{CallId, FromClient, Metadata, SessionId, parse_from_client};

impl Stage {
    /// Another client; gives its number.
    pub(in crate::sim::tests) fn add_client(&mut self, config: ClientConfig) -> usize {
        let seed = Seed::from_number(100 + self.actors.len() as u64);
        let mut client = Client::new(config, vec![SERVER], seed);
        client.set_rules(self.rules);
        let address = self.new_address();
        self.actors.push(Actor { client, address, calls: BTreeMap::new() });
        self.actors.len() - 1
    }

    /// A client's process forks; gives the child's number.
    pub(in crate::sim::tests) fn fork(&mut self, parent: usize) -> usize {
        let mut client = self.actors[parent].client.clone();
        client.forked(Seed::from_number(500));
        let address = self.new_address();
        self.actors.push(Actor { client, address, calls: BTreeMap::new() });
        self.actors.len() - 1
    }

    pub(super) fn new_address(&mut self) -> SocketAddr {
        self.addresses += 1;
        SocketAddr::from(([10, 1, 0, 1], 1024 + self.addresses))
    }

    /// A client has another address from now on.
    pub(in crate::sim::tests) fn move_client(&mut self, actor: usize) {
        self.actors[actor].address = self.new_address();
    }

    /// Makes a call that takes no time; gives its tag.
    pub(in crate::sim::tests) fn call(
        &mut self,
        actor: usize,
        method: Method,
        timeout: Duration,
    ) -> u64 {
        self.call_with(actor, method, timeout, None, false)
    }

    /// The same, and the client may issue it again by itself.
    pub(in crate::sim::tests) fn call_again(
        &mut self,
        actor: usize,
        method: Method,
        timeout: Duration,
    ) -> u64 {
        self.call_with(actor, method, timeout, None, true)
    }

    /// The same with the body of another call, to the byte.
    pub(in crate::sim::tests) fn call_like(
        &mut self,
        actor: usize,
        other: u64,
        timeout: Duration,
    ) -> u64 {
        let (method, request) = self.requests[other as usize];
        self.call_with(actor, method, timeout, Some(request), false)
    }

    pub(super) fn call_with(
        &mut self,
        actor: usize,
        method: Method,
        timeout: Duration,
        body: Option<Request>,
        again: bool,
    ) -> u64 {
        let deadline = self.now + timeout;
        // One call may be made to look like another, so only replies have metadata.
        let request = Request {
            tag: 0,
            service: Duration::ZERO,
            reply_len: 20,
            metadata: 0,
            reply_metadata: 9,
        };
        let request = self.oracle.called(self.at(), method, CLOCK, deadline, request);
        self.requests.push((method, request));
        let call = NewCall {
            method: method.id(),
            metadata: Metadata::new(),
            body: body.unwrap_or(request).to_body(0),
            deadline,
            no_side_effects: method.has_no_side_effects(),
            retry: Some(again),
        };
        let now = self.now;
        let actor_ = &mut self.actors[actor];
        let handle = actor_.client.call(now, call);
        actor_.calls.insert(handle, request.tag);
        self.settle_client(actor);
        request.tag
    }

    pub(super) fn handle(&self, actor: usize, tag: u64) -> CallHandle {
        let mut calls = self.actors[actor].calls.iter();
        *calls.find(|(_, of)| **of == tag).expect("the test's own call").0
    }

    /// Pings for a second.
    pub(in crate::sim::tests) fn ping(&mut self, actor: usize) {
        let now = self.now;
        self.actors[actor].client.ping(now, now + Duration::from_secs(1));
        self.settle_client(actor);
    }

    /// Cancels a call.
    pub(in crate::sim::tests) fn cancel(&mut self, actor: usize, tag: u64) {
        let (now, handle) = (self.now, self.handle(actor, tag));
        self.actors[actor].client.cancel(now, handle);
        self.settle_client(actor);
    }

    /// Cancels a call, and waits only so long for the server's word.
    pub(in crate::sim::tests) fn cancel_within(&mut self, actor: usize, tag: u64, span: Duration) {
        let (now, handle) = (self.now, self.handle(actor, tag));
        self.actors[actor].client.cancel_by(now, handle, now + span);
        self.oracle.impatient(tag, now + span);
        self.settle_client(actor);
    }

    /// Gives a call's token out.
    pub(in crate::sim::tests) fn token(&mut self, actor: usize, tag: u64) -> CallToken {
        let handle = self.handle(actor, tag);
        self.actors[actor].client.token(handle).expect("it was sent")
    }

    /// A client closes its sessions.
    pub(in crate::sim::tests) fn close(&mut self, actor: usize) {
        let now = self.now;
        self.actors[actor].client.close(now);
        self.settle_client(actor);
    }

    /// How a call ended, if it has.
    pub(in crate::sim::tests) fn result(&self, tag: u64) -> Option<&Result<Reply, CallError>> {
        self.results.get(&tag)
    }

    /// True if a call has ended Ok.
    pub(in crate::sim::tests) fn is_ok(&self, tag: u64) -> bool {
        matches!(self.result(tag), Some(Ok(_)))
    }

    /// Takes what a client sends into the network, and notes what has ended.
    pub(super) fn settle_client(&mut self, actor: usize) {
        let (now, life) = (self.now, self.life);
        let mut out = Vec::new();
        let Actor { client, address, calls } = &mut self.actors[actor];
        while let Some(transmit) = client.poll_transmit(now, &mut out) {
            let alone = transmit.call.and_then(|(handle, _)| calls.get(&handle)).copied();
            for bytes in out.chunks(transmit.segment_size.unwrap_or(transmit.size)) {
                if let Some((session, call, tag)) = named(bytes) {
                    // One that goes alone may have been made to look like another.
                    let tag = alone.unwrap_or(tag);
                    self.names.entry((life, session, call)).or_insert(tag);
                }
                let bytes = bytes.to_vec();
                let (from, to) = (*address, transmit.remote);
                self.sent.push(Held { from, to, bytes, deliveries: 0 });
            }
            out.clear();
        }
        while let Some(event) = self.actors[actor].client.poll_event() {
            let Event::Ended { handle, result } = event else { continue };
            if let Some(&tag) = self.actors[actor].calls.get(&handle) {
                self.oracle.ended(self.at(), tag, &result, self.at());
                self.results.insert(tag, result);
            }
        }
    }
}

/// The session and the call of a REQUEST, and the tag in its body.
fn named(bytes: &[u8]) -> Option<(SessionId, CallId, u64)> {
    match parse_from_client(bytes).ok()?.message {
        FromClient::Request { session, call, body, .. } => {
            Some((session, call, Request::from_body(body)?.tag))
        }
        _ => None,
    }
}
