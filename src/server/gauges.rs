//! The server's numbers, as the statistics service shows them.

use std::time::Duration;

use crate::core::Time;
use crate::core::server::Server;
use crate::service::Gauges;
use crate::wire::Reason;

/// What the event loop counts itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LoopCounters {
    /// Datagrams that came from the sockets.
    pub(super) datagrams: u64,
    /// Receives that brought an error in place of datagrams.
    pub(super) receive_errors: u64,
    /// Sends of which the kernel took nothing, or not all.
    pub(super) send_errors: u64,
    /// Sends that had to wait until a socket was writable.
    pub(super) send_blocked: u64,
    /// Handlers that panicked.
    pub(super) panics: u64,
}

/// All numbers of a server at one moment.
pub(super) struct View<'a> {
    pub(super) core: &'a Server,
    pub(super) counters: &'a LoopCounters,
    pub(super) now: Time,
    /// Workers that have nothing to do, and all of them.
    pub(super) workers: (usize, usize),
}

impl Gauges for View<'_> {
    fn read(&self, visit: &mut dyn FnMut(&str, u64)) {
        let count = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        let uptime = Duration::from_micros(self.core.clock(self.now));
        visit("server.uptime_ms", u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX));
        visit("socket.datagrams", self.counters.datagrams);
        visit("socket.receive_errors", self.counters.receive_errors);
        visit("socket.send_errors", self.counters.send_errors);
        visit("socket.send_blocked", self.counters.send_blocked);
        visit("handlers.panicked", self.counters.panics);
        visit("workers.idle", count(self.workers.0));
        visit("workers.total", count(self.workers.1));
        visit("sessions.open", count(self.core.sessions()));
        visit("memory.bytes", count(self.core.memory()));
        visit("received.total", self.core.counters().datagrams());
        for (name, value) in self.core.counters().iter() {
            visit(name, value);
        }
        for reason in Reason::ALL {
            let value = self.core.counters().refused(*reason);
            if value > 0 {
                let name = reason.text().replace(' ', "_");
                visit(&format!("refused.{name}"), value);
            }
        }
    }
}
