//! Secrets and random ids from the operating system.

use std::io;

use crate::core::Seed;
use crate::service::trace::TraceIds;

/// A seed from the operating system's generator.
///
/// # Errors
///
/// When the operating system has no randomness to give; without it nothing may be started.
pub(crate) fn seed() -> io::Result<Seed> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| io::Error::other(format!("no randomness from the system: {error}")))?;
    Ok(Seed(bytes))
}

/// Ids of traces and spans from the operating system's generator.
///
/// # Errors
///
/// When the operating system has no randomness to give.
pub fn trace_ids() -> io::Result<TraceIds> {
    Ok(TraceIds::new(&seed()?))
}
