//! The services that come with the library. Their signatures and semantics are generated from the
//! files under `proto/`; their code is here.
//!
//! [`install`] adds all of them, as the daemon does. A server of one's own wants
//! [`install_standard`]: health, reflection and statistics, without which the command line knows
//! neither names nor types.

pub mod calculator;
pub mod counter;
pub mod echo;
pub mod greeter;
pub mod health;
pub mod reflection;
pub mod sleep;
pub mod statistics;

pub use health::Health;

use super::{Registry, RegistryError};

pub use super::generated::DESCRIPTORS;

/// Adds every built-in service; what health says is set through what this gives.
///
/// # Errors
///
/// When one of them is there already, or its descriptors contradict what is there.
pub fn install(registry: &mut Registry) -> Result<Health, RegistryError> {
    calculator::install(registry)?;
    counter::install(registry)?;
    echo::install(registry)?;
    greeter::install(registry)?;
    sleep::install(registry)?;
    install_standard(registry)
}

/// Adds health, reflection and statistics; what health says is set through what this gives.
///
/// # Errors
///
/// As [`install`].
pub fn install_standard(registry: &mut Registry) -> Result<Health, RegistryError> {
    let health = health::install(registry)?;
    reflection::install(registry)?;
    statistics::install(registry)?;
    Ok(health)
}

#[cfg(test)]
mod tests;
