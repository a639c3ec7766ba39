//! Whether calls are welcome, in gRPC's shape.
//!
//! A server that drains refuses new calls, this one among them, so what is answered here is
//! SERVING, or NOT_FOUND for a service that is not there.

use super::super::generated::health::HealthCheckResponse;
use super::super::generated::health::health::CHECK;
use super::super::generated::health::health_check_response::ServingStatus;
use super::super::{Registry, RegistryError, Status};

/// Adds health.
///
/// # Errors
///
/// As [`install`](super::install).
pub fn install(registry: &mut Registry) -> Result<(), RegistryError> {
    let catalog = registry.catalog();
    registry.describe(super::DESCRIPTORS)?.add(CHECK.inline(move |_, request| {
        let known = catalog.get().is_some_and(|catalog| catalog.serves(&request.service));
        if request.service.is_empty() || known {
            Ok(HealthCheckResponse { status: ServingStatus::Serving.into() })
        } else {
            Err(Status::not_found(format!("no service {:?} here", request.service)))
        }
    }))?;
    Ok(())
}
