//! What a server offers: one method, service or type, a part of its description at a time, or all
//! names, a page at a time.

use super::super::catalog::Catalog;
use super::super::generated::v1::ListReply;
use super::super::generated::v1::reflection::{DESCRIBE, LIST};
use super::super::page::first_page;
use super::super::{Context, Registry, RegistryError, Status};
use std::sync::OnceLock;

/// Adds reflection. It tells about all methods of the registry, those added later included.
///
/// # Errors
///
/// As [`install`](super::install).
pub fn install(registry: &mut Registry) -> Result<(), RegistryError> {
    let described = registry.catalog();
    let listed = registry.catalog();
    registry
        .describe_file(super::DESCRIPTORS, "udprpc/v1/reflection.proto")?
        .add(DESCRIBE.inline(move |context, request| {
            known(&described)?.describe(&request, metadata_len(context))
        }))?
        .add(LIST.inline(move |context, request| {
            let methods = known(&listed)?.after(request.page_token()).cloned();
            let (methods, next_page_token) =
                first_page(metadata_len(context), methods, |method| &method.name);
            Ok(ListReply { methods, next_page_token })
        }))?;
    Ok(())
}

/// What the reply's metadata takes of its datagram, bytes: a hook may have given some.
fn metadata_len(context: &Context<'_>) -> usize {
    context.reply_metadata.get().borrow().option_len()
}

fn known(catalog: &OnceLock<Catalog>) -> Result<&Catalog, Status> {
    catalog.get().ok_or_else(|| Status::unavailable("the services are not sealed yet"))
}
