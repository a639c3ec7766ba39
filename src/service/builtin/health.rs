//! Whether calls are welcome, in gRPC's shape.
//!
//! Every service that is there is SERVING until the program says otherwise. A server that drains
//! refuses new calls, these among them, so nobody has to be told then.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::generated::health::HealthCheckResponse;
use super::super::generated::health::health::CHECK;
use super::super::generated::health::health_check_response::ServingStatus;
use super::super::{Registry, RegistryError, Status};

/// What a server's health service says. Clones are the same.
///
/// ```
/// use udp_rpc::service::{Registry, builtin};
///
/// let mut registry = Registry::new();
/// let health = builtin::install_standard(&mut registry)?;
/// // The database is gone: whoever asks is told before a call of theirs fails.
/// health.set("shop.Orders", false);
/// // The server as a whole has no name.
/// health.set("", true);
/// # Ok::<(), udp_rpc::service::RegistryError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<BTreeMap<String, bool>>>);

impl Health {
    /// Says from now on that a service (`package.Service`; nothing for the server as a whole) is
    /// SERVING or NOT_SERVING. It changes nothing else: calls are run as before. A service of which
    /// this server has no method may be named too.
    pub fn set(&self, service: &str, serving: bool) {
        self.said().insert(service.to_owned(), serving);
    }

    /// What was last said of a service, if anything was.
    pub fn get(&self, service: &str) -> Option<bool> {
        self.said().get(service).copied()
    }

    /// Every change is a single step.
    fn said(&self) -> MutexGuard<'_, BTreeMap<String, bool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds health; what it says is set through what this gives.
///
/// # Errors
///
/// As [`install`](super::install).
pub fn install(registry: &mut Registry) -> Result<Health, RegistryError> {
    let catalog = registry.catalog();
    let health = Health::default();
    let told = health.clone();
    registry.describe_file(super::DESCRIPTORS, "grpc/health/v1/health.proto")?.add(
        CHECK.inline(move |_, request| {
            let name = request.service.as_str();
            let is_here = || name.is_empty() || catalog.get().is_some_and(|here| here.serves(name));
            let status = match told.get(name) {
                Some(false) => ServingStatus::NotServing,
                Some(true) => ServingStatus::Serving,
                None if is_here() => ServingStatus::Serving,
                None => return Err(Status::not_found(format!("no service {name:?} here"))),
            };
            Ok(HealthCheckResponse { status: status.into() })
        }),
    )?;
    Ok(health)
}

#[cfg(test)]
mod tests {
    use super::super::super::generated::health::HealthCheckRequest;
    use super::super::super::testing;
    use super::*;
    use crate::wire::Code;

    #[test]
    fn what_the_program_says_of_a_service_counts() {
        let mut registry = Registry::new();
        let health = install(&mut registry).unwrap();
        let services = registry.seal().unwrap();
        let check = |service: &str| {
            let request = HealthCheckRequest { service: service.to_owned() };
            let body = CHECK.encode_request(&request);
            let reply = testing::run(&services.methods()[0], &body);
            reply.map(|body| CHECK.decode_reply(&body).unwrap().status()).map_err(|e| e.code)
        };
        assert_eq!(check(""), Ok(ServingStatus::Serving));
        assert_eq!(check("elsewhere.Shop"), Err(Code::NotFound));
        for name in ["", "grpc.health.v1.Health", "elsewhere.Shop"] {
            health.set(name, false);
            assert_eq!(check(name), Ok(ServingStatus::NotServing));
            health.set(name, true);
            assert_eq!(check(name), Ok(ServingStatus::Serving));
        }
    }
}
