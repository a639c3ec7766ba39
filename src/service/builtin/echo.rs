//! Gives back what it gets.

use super::super::generated::v1::EchoReply;
use super::super::generated::v1::echo::ECHO;
use super::super::{Registry, RegistryError};

/// Adds the echo.
///
/// # Errors
///
/// As [`install`](super::install).
pub fn install(registry: &mut Registry) -> Result<(), RegistryError> {
    registry
        .describe_file(super::DESCRIPTORS, "udprpc/v1/echo.proto")?
        .add(ECHO.inline(|_, request| Ok(EchoReply { message: request.message })))?;
    Ok(())
}
