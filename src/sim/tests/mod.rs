//! Worlds by the thousand, and scenarios by hand.

mod controls;
mod corpus;
mod hostile;
mod metadata;
mod properties;
mod stage;
mod worlds;

use crate::core::Rule;

/// Every rule, for tests that drop one after the other.
const ALL_RULES: [Rule; 20] = [
    Rule::RefusalRecorded,
    Rule::NoImplicitSessions,
    Rule::BirthDies,
    Rule::OnlyBirthCreates,
    Rule::HelloAckMints,
    Rule::ProofsUntilAnswered,
    Rule::UnknownProvesAfterBirth,
    Rule::UnknownProvesWithinLease,
    Rule::UnknownProvesWhileOpen,
    Rule::ReissueOnlyProved,
    Rule::SmallerIsStale,
    Rule::NothingEvicted,
    Rule::FenceRecorded,
    Rule::OneClaim,
    Rule::CompletionNamesCall,
    Rule::NoRoomIsNoRefusal,
    Rule::ExpiryAtStart,
    Rule::OwnShardAnswers,
    Rule::OneProcess,
    Rule::TokenKeepsOpen,
];
