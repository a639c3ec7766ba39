//! The tutorial greeter: so far the one of its four methods that does not stream.

use super::super::generated::greeter::greeter::SAY_HELLO;
use super::super::generated::greeter::{HelloReply, HelloRequest};
use super::super::{Registry, RegistryError};

/// Adds the greeter.
///
/// # Errors
///
/// As [`install`](super::install).
pub fn install(registry: &mut Registry) -> Result<(), RegistryError> {
    registry
        .describe_file(super::DESCRIPTORS, "greeter.proto")?
        .add(SAY_HELLO.inline(|_, request| Ok(HelloReply { message: greeting(&request) })))?;
    Ok(())
}

/// "Hi Annie"; a part that is not there leaves no space behind.
fn greeting(HelloRequest { name, greeting }: &HelloRequest) -> String {
    match (greeting.is_empty(), name.is_empty()) {
        (true, _) => name.clone(),
        (_, true) => greeting.clone(),
        _ => format!("{greeting} {name}"),
    }
}
