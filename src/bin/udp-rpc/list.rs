//! `list`: the procedures that a server offers, page by page.

use udp_rpc::service::generated::v1::{ListReply, ListRequest, MethodSummary};

use crate::args::{Format, Global, ListArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Reader};
use crate::remote::Remote;
use crate::schema;

/// The method that lists methods.
const LIST: &str = "udprpc.v1.Reflection/List";

/// Prints one line a method, as the pages come.
///
/// # Errors
///
/// How the call ended that did not bring a page.
pub(crate) fn run(global: &Global, args: &ListArgs) -> Result<Exit, Failure> {
    let part = args.part.as_deref().unwrap_or("").to_lowercase();
    let mut remote = Remote::open(global)?;
    let mut request = ListRequest::default();
    loop {
        let page: ListReply = remote.ask(LIST, &request)?;
        let text: String = page
            .methods
            .iter()
            .filter(|method| method.name.to_lowercase().contains(&part))
            .map(|method| line(method, global.output))
            .collect();
        if output::print(text.as_bytes())? == Reader::Gone || page.next_page_token.is_empty() {
            break;
        }
        if request.page_token.as_ref() == Some(&page.next_page_token) {
            return Err(Failure::Answer("the list does not go on".to_owned()));
        }
        request.page_token = Some(page.next_page_token);
    }
    Ok(Exit::Ok)
}

fn line(method: &MethodSummary, format: Format) -> String {
    if format == Format::Json {
        return format!("{}\n", schema::json(method));
    }
    let shape = schema::shape((method.client_streaming, method.server_streaming));
    let promise = schema::promise(method.idempotency());
    let remark = match (method.served, shape) {
        (true, None) => promise.to_owned(),
        (true, Some(shape)) => format!("{promise}, {shape}"),
        (false, None) => "not served here".to_owned(),
        (false, Some(shape)) => format!("not served here: {shape}"),
    };
    let raw = if method.described { "" } else { ", raw bytes" };
    format!("{:<36} {remark}{raw}\n", method.name)
}
