//! A look at what received datagrams will need, before the first of them is handled.
//!
//! Of many sessions, nearly all are in no cache, and the way to a call's record leads through the
//! index and the session: at each step a datagram waits for the memory, and the next datagram waits
//! behind it. But the ways of different datagrams do not depend on each other. So all of them are
//! followed one step, then all of them the next, and the processor waits for many at the same time.
//!
//! Invariant: nothing is changed here, and nothing is concluded from what is found.

use super::Server;
use crate::wire::{CallId, SessionId, ids};

/// Datagrams looked at together: as many as come in one run.
const TOGETHER: usize = 64;

/// The way of one datagram.
#[derive(Clone, Copy)]
struct Way {
    session: SessionId,
    call: CallId,
    /// Where the session seems to stand.
    place: Option<u32>,
}

impl Server {
    /// Has the processor fetch what these datagrams will need when they are handled, which makes
    /// them quicker to handle where there are many sessions. Never necessary, and without effect on
    /// anything but the processor's caches.
    pub fn foresee<'a>(&self, datagrams: impl IntoIterator<Item = &'a [u8]>) {
        let Self { sessions, common, .. } = self;
        let mut before = None;
        let mut ways = datagrams.into_iter().filter_map(ids).filter_map(|(session, call)| {
            // What comes behind a datagram of its own session finds that at hand.
            let is_another = before.replace(session) != Some(session);
            is_another.then_some(Way { session, call, place: None })
        });
        let mut together = [Way { session: SessionId(0), call: CallId(0), place: None }; TOGETHER];
        loop {
            let mut count = 0;
            for (free, way) in together.iter_mut().zip(ways.by_ref()) {
                *free = way;
                count += 1;
            }
            let together = together.get_mut(..count).unwrap_or_default();
            together.iter().for_each(|way| sessions.touch_index(way.session));
            together.iter_mut().for_each(|way| way.place = sessions.touch(way.session));
            for way in &*together {
                if let Some(place) = way.place {
                    sessions.touch_record(place, way.call.slot(common.config.window));
                }
            }
            if count < TOGETHER {
                return;
            }
        }
    }
}
