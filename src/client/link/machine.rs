//! The state machines that a link can turn: a client's, and that of a question about a call.

use std::net::SocketAddr;

use crate::core::Time;
use crate::core::client::{Client, Inquiry, Transmit};

/// A state machine that a [`Link`](super::Link) can turn.
pub(in crate::client) trait Machine {
    fn handle_datagram(&mut self, now: Time, from: SocketAddr, datagram: &[u8]);
    fn handle_refused(&mut self, now: Time, server: SocketAddr);
    fn handle_unsent(&mut self, now: Time, transmit: &Transmit);
    fn handle_timeout(&mut self, now: Time);
    fn poll_transmit(&mut self, now: Time, out: &mut Vec<u8>) -> Option<Transmit>;
    fn poll_timeout(&self) -> Option<Time>;
    /// Whether it has something to tell its driver, who then does not sleep.
    fn has_news(&self) -> bool;
    /// Whether nothing is open of which an end is to be told.
    fn is_idle(&self) -> bool;
}

impl Machine for Client {
    fn handle_datagram(&mut self, now: Time, from: SocketAddr, datagram: &[u8]) {
        Client::handle_datagram(self, now, from, datagram);
    }

    fn handle_refused(&mut self, now: Time, server: SocketAddr) {
        Client::handle_refused(self, now, server);
    }

    fn handle_unsent(&mut self, now: Time, transmit: &Transmit) {
        Client::handle_unsent(self, now, transmit);
    }

    fn handle_timeout(&mut self, now: Time) {
        Client::handle_timeout(self, now);
    }

    fn poll_transmit(&mut self, now: Time, out: &mut Vec<u8>) -> Option<Transmit> {
        Client::poll_transmit(self, now, out)
    }

    fn poll_timeout(&self) -> Option<Time> {
        Client::poll_timeout(self)
    }

    fn has_news(&self) -> bool {
        self.has_events()
    }

    fn is_idle(&self) -> bool {
        Client::is_idle(self)
    }
}

impl Machine for Inquiry {
    fn handle_datagram(&mut self, now: Time, from: SocketAddr, datagram: &[u8]) {
        Inquiry::handle_datagram(self, now, from, datagram);
    }

    fn handle_refused(&mut self, now: Time, server: SocketAddr) {
        Inquiry::handle_refused(self, now, server);
    }

    fn handle_unsent(&mut self, now: Time, transmit: &Transmit) {
        Inquiry::handle_unsent(self, now, transmit);
    }

    fn handle_timeout(&mut self, now: Time) {
        Inquiry::handle_timeout(self, now);
    }

    fn poll_transmit(&mut self, now: Time, out: &mut Vec<u8>) -> Option<Transmit> {
        Inquiry::poll_transmit(self, now, out)
    }

    fn poll_timeout(&self) -> Option<Time> {
        Inquiry::poll_timeout(self)
    }

    fn has_news(&self) -> bool {
        self.fate().is_some()
    }

    fn is_idle(&self) -> bool {
        self.fate().is_some()
    }
}
