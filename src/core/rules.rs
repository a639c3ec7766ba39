//! The rules that at-most-once and honest outcomes hang on, each with a name.
//!
//! Abstract models of the protocol show that dropping any single one of them breaks a promise.
//! The code that enforces a rule asks `rules.hold(Rule::…)`, so that a test can drop it and see
//! that the simulator's checker notices. Outside tests every rule holds, and the question
//! costs nothing.

/// A rule whose loss breaks a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Rule {
    /// A refusal is recorded before it is said with PROMISE.
    RefusalRecorded,
    /// No session is created by a datagram of an unknown session without a birth.
    NoImplicitSessions,
    /// A birth dies before its session may end.
    BirthDies,
    /// Only a birth creates a session; a challenge's path never does.
    OnlyBirthCreates,
    /// Every HELLO_ACK mints a new session id.
    HelloAckMints,
    /// Proofs travel in every datagram until an answer came from inside.
    ProofsUntilAnswered,
    /// "Unknown session" proves nothing before minted + 60 s.
    UnknownProvesAfterBirth,
    /// "Unknown session" proves nothing once the lease could have ended.
    UnknownProvesWithinLease,
    /// "Unknown session" proves nothing after the client has closed the session.
    UnknownProvesWhileOpen,
    /// A call is never sent again under another session unless it is proved not executed.
    ReissueOnlyProved,
    /// A smaller id in a slot is stale.
    SmallerIsStale,
    /// Nothing is evicted from a live slot.
    NothingEvicted,
    /// A fence is recorded.
    FenceRecorded,
    /// One atomic claim leaves QUEUED.
    OneClaim,
    /// A completion names its call.
    CompletionNamesCall,
    /// "No room for a record" is not a refusal.
    NoRoomIsNoRefusal,
    /// The expiry is checked as the handler starts.
    ExpiryAtStart,
    /// Of a session of another shard, nothing is said.
    OwnShardAnswers,
    /// A session belongs to one process.
    OneProcess,
    /// A session whose token was given out is never closed.
    TokenKeepsOpen,
}

/// Which rules hold: all of them, outside tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Rules {
    #[cfg(test)]
    dropped: Option<Rule>,
}

impl Rules {
    /// All rules but one.
    #[cfg(test)]
    pub(crate) fn dropping(rule: Rule) -> Self {
        Self { dropped: Some(rule) }
    }

    /// Whether this rule holds.
    #[inline]
    pub(crate) fn hold(&self, rule: Rule) -> bool {
        #[cfg(test)]
        return self.dropped != Some(rule);
        #[cfg(not(test))]
        {
            let _ = rule;
            true
        }
    }
}
