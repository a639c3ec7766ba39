//! What is counted: every datagram received, in exactly one place, and what was done besides.
//!
//! Invariant: the [`Received`] counts add up to the datagrams handed in, because
//! `handle_datagram` has one exit and every way to it names its count.

use crate::wire::Reason;

/// Defines an enum whose variants are places in an array of counts, with a name for each.
macro_rules! counts {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)*
        }

        impl $name {
            /// All of them, in order.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// Its name, as statistics show it.
            pub const fn name(self) -> &'static str {
                match self {
                    $($name::$variant => $text,)*
                }
            }
        }
    };
}

counts! {
    /// What became of a datagram received. Each is counted under exactly one of these.
    Received {
        /// From source port 0, where nobody can be answered.
        PortZero "received.dropped.port_zero",
        /// From an address of our own.
        OwnAddress "received.dropped.own_address",
        /// Shorter than a header, or empty.
        Short "received.dropped.short",
        /// Not this protocol.
        Magic "received.dropped.magic",
        /// Damaged on the way.
        Crc "received.dropped.crc",
        /// Of another version and not a client's.
        ForeignVersion "received.dropped.foreign_version",
        /// Sent by a server.
        Direction "received.dropped.direction",
        /// Of a kind that nobody has assigned.
        Kind "received.dropped.kind",
        /// With flags that its kind does not have.
        Flags "received.dropped.flags",
        /// With a field that its kind does not allow.
        Field "received.dropped.field",
        /// With malformed options.
        Options "received.dropped.options",
        /// With a malformed body.
        Body "received.dropped.body",
        /// For a session of another thread of this process.
        WrongShard "received.dropped.wrong_shard",
        /// With a call id that its kind does not have: a PING's in a call, or the reverse.
        CallId "received.dropped.call_id",
        /// Of another version, answered by VERSION.
        Version "received.version",
        /// HELLO, answered by HELLO_ACK.
        Hello "received.hello",
        /// From an address that is not proved, answered by CHALLENGE.
        Challenged "received.challenged",
        /// Of an unknown session, refused.
        UnknownSession "received.unknown_session",
        /// Refused for want of room for its session.
        NoRoomForSession "received.no_room_for_session",
        /// PING, answered by PONG or GOAWAY.
        Ping "received.ping",
        /// ACK of a session that is known.
        Ack "received.ack",
        /// CLOSE that closes a session.
        Close "received.close",
        /// CLOSE of an unknown session or from an address that is not proved: never answered.
        CloseIgnored "received.close_ignored",
        /// Refused for want of room for its record.
        NoRoomForRecord "received.no_room_for_record",
        /// Of a call whose slot has moved on, refused.
        Stale "received.stale",
        /// Another request under the same call id, refused.
        IdReused "received.id_reused",
        /// A new call that was run at once.
        Started "received.started",
        /// A new call that waits for a worker.
        Queued "received.queued",
        /// A new call that was refused, and that is recorded.
        Refused "received.refused",
        /// A duplicate of a call in progress, answered by PROGRESS.
        Progress "received.duplicate.progress",
        /// A duplicate of a call in progress, too soon for another PROGRESS.
        ProgressHeld "received.duplicate.progress_held",
        /// A duplicate of a call that is done, answered by its reply.
        Replayed "received.duplicate.replayed",
        /// A duplicate of a call that is done, too soon for another reply.
        ReplayHeld "received.duplicate.replay_held",
        /// A duplicate of a call whose reply is no longer kept.
        ReplyGone "received.duplicate.reply_gone",
        /// A duplicate of a call that was refused or fenced, refused again.
        RefusedAgain "received.duplicate.refused",
        /// FENCE that was recorded: the call never runs.
        Fenced "received.fence.fenced",
        /// FENCE of a call that runs already: its handler is told.
        FenceRunning "received.fence.running",
        /// FENCE of a call that has ended one way or the other.
        FenceEnded "received.fence.ended",
        /// STATUS of a call.
        Status "received.status",
    }
}

counts! {
    /// What the server did.
    Done {
        /// Datagrams handed out to be sent.
        Sent "sent.datagrams",
        /// Answers dropped because too many waited to be sent.
        AnswerDropped "sent.dropped.full",
        /// Answers dropped because their slot had moved on, or their session had ended.
        AnswerOutdated "sent.dropped.outdated",
        /// Sessions created.
        SessionCreated "sessions.created",
        /// Sessions closed by their clients.
        SessionClosed "sessions.closed",
        /// Sessions whose lease ended.
        SessionExpired "sessions.expired",
        /// Sessions dropped early, in which nothing was ever queued.
        SessionDropped "sessions.dropped_unused",
        /// Sessions whose records were replaced by one number.
        SessionCompacted "sessions.compacted",
        /// Calls handed over to be run.
        Started "calls.started",
        /// Calls whose handlers ran to an end.
        Executed "calls.executed",
        /// Calls that ended with status OK.
        Ok "calls.ok",
        /// Calls that ended with another status.
        Failed "calls.failed",
        /// Replies that were longer than their method declares.
        ReplyTooLong "calls.reply_too_long",
        /// Handlers told to stop.
        Cancelled "calls.cancelled",
        /// Calls that expired in the queue, or before their handler began.
        ExpiredInQueue "calls.expired_in_queue",
        /// Calls that waited when a larger id took their slot: they never run.
        Superseded "calls.superseded",
        /// Completions of calls whose slot had moved on.
        LateCompletion "calls.late_completion",
        /// Completions of calls that were not running.
        StrayCompletion "calls.stray_completion",
        /// Replies given up 5 s past their call's expiry, memory being short.
        ReplyReclaimed "replies.reclaimed",
        /// Replies acknowledged.
        ReplyAcknowledged "replies.acknowledged",
        /// PROGRESS sent unasked.
        Unasked "progress.unasked",
        /// Sweeps for memory.
        Sweep "memory.sweeps",
    }
}

/// The reasons for which refusals are recorded, and what their counts are called.
const REFUSALS: &[(Reason, &str)] = &[
    (Reason::Expired, "refused.expired"),
    (Reason::Fenced, "refused.fenced"),
    (Reason::Draining, "refused.draining"),
    (Reason::Overloaded, "refused.queue_full"),
    (Reason::UnknownMethod, "refused.unknown_method"),
    (Reason::Unauthorised, "refused.unauthorised"),
    (Reason::RateLimited, "refused.rate_limited"),
    (Reason::NoRoomForReply, "refused.no_room_for_reply"),
    (Reason::TooManyRunning, "refused.too_many_running"),
    (Reason::DeadlineTooFar, "refused.deadline_too_far"),
    (Reason::UnknownOption, "refused.unknown_option"),
    (Reason::RequestTooLarge, "refused.request_too_large"),
    (Reason::UnsupportedShape, "refused.unsupported_shape"),
    (Reason::Unauthenticated, "refused.unauthenticated"),
];

/// Counts since the server was made. They never decrease.
#[derive(Debug, Clone)]
pub struct Counters {
    received: [u64; Received::ALL.len()],
    done: [u64; Done::ALL.len()],
    /// Refusals recorded, by the number of their reason.
    refused: [u64; 32],
}

impl Default for Counters {
    fn default() -> Self {
        Self { received: [0; Received::ALL.len()], done: [0; Done::ALL.len()], refused: [0; 32] }
    }
}

impl Counters {
    /// Datagrams that became this.
    pub fn received(&self, what: Received) -> u64 {
        self.received.get(what as usize).copied().unwrap_or(0)
    }

    /// How often this was done.
    pub fn done(&self, what: Done) -> u64 {
        self.done.get(what as usize).copied().unwrap_or(0)
    }

    /// Calls whose refusal for this reason was recorded.
    pub fn refused(&self, reason: Reason) -> u64 {
        let place = usize::from(reason.to_u8());
        self.refused.get(place).copied().unwrap_or(0)
    }

    /// Datagrams received, all together.
    pub fn datagrams(&self) -> u64 {
        self.received.iter().sum()
    }

    /// Every count with its name, zeros included; those of the `received.` family add up to
    /// the datagrams received.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let received = Received::ALL.iter().map(|r| (r.name(), self.received(*r)));
        let done = Done::ALL.iter().map(|d| (d.name(), self.done(*d)));
        let refused = REFUSALS.iter().map(|(r, name)| (*name, self.refused(*r)));
        received.chain(done).chain(refused)
    }

    pub(super) fn count_received(&mut self, what: Received) {
        if let Some(count) = self.received.get_mut(what as usize) {
            *count += 1;
        }
    }

    pub(super) fn count(&mut self, what: Done) {
        if let Some(count) = self.done.get_mut(what as usize) {
            *count += 1;
        }
    }

    pub(super) fn count_refused(&mut self, reason: Reason) {
        if let Some(count) = self.refused.get_mut(usize::from(reason.to_u8())) {
            *count += 1;
        }
    }
}
