//! Numbers about the running server, a page at a time.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Instant;

use prost::Message;

use super::super::generated::v1::statistics::READ;
use super::super::generated::v1::{Gauge, ReadReply, ReadRequest};
use super::super::page::first_page;
use super::super::{Gauges, NAME_LEN_MAX, Registry, RegistryError};

/// Name and version of this library, as the statistics tell it.
pub const SOFTWARE: &str = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));

/// Adds the statistics; the uptime counts from here.
///
/// # Errors
///
/// As [`install`](super::install).
pub fn install(registry: &mut Registry) -> Result<(), RegistryError> {
    let start = Instant::now();
    registry.describe_file(super::DESCRIPTORS, "udprpc/v1/statistics.proto")?.add(READ.inline(
        move |context, request| {
            let uptime = prost_types::Duration::try_from(start.elapsed()).unwrap_or_default();
            Ok(page(&request, context.gauges, uptime))
        },
    ))?;
    Ok(())
}

/// The page of `gauges` that `request` asks for.
fn page(request: &ReadRequest, gauges: &dyn Gauges, uptime: prost_types::Duration) -> ReadReply {
    let mut values = BTreeMap::new();
    gauges.read(&mut |name, value| {
        if name.starts_with(request.prefix()) && name.len() <= NAME_LEN_MAX {
            values.insert(name.to_owned(), value);
        }
    });
    let mut reply =
        ReadReply { software: SOFTWARE.to_owned(), uptime: Some(uptime), ..Default::default() };
    let rest = values
        .range::<str, _>((Bound::Excluded(request.page_token()), Bound::Unbounded))
        .map(|(name, value)| Gauge { name: name.clone(), value: *value });
    (reply.gauges, reply.next_page_token) =
        first_page(reply.encoded_len(), rest, |gauge| &gauge.name);
    reply
}
