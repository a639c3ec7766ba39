//! `stats`: the server's counters, page by page.

use udp_rpc::service::generated::v1::{Gauge, ReadReply, ReadRequest};

use crate::args::{Format, Global, StatsArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Reader};
use crate::remote::Remote;

/// The method that reads the counters.
const READ: &str = "udprpc.v1.Statistics/Read";

/// Prints one counter a line, as the pages come.
///
/// # Errors
///
/// How the call ended that did not bring a page.
pub(crate) fn run(global: &Global, args: &StatsArgs) -> Result<Exit, Failure> {
    let part = args.part.as_deref().unwrap_or("");
    let mut remote = Remote::open(global)?;
    read(&mut remote, |page| {
        let text: String = page
            .iter()
            .filter(|gauge| gauge.name.contains(part) && (args.all || gauge.value != 0))
            .map(|gauge| line(gauge, global.output))
            .collect();
        Ok(output::print(text.as_bytes())?)
    })?;
    Ok(Exit::Ok)
}

/// Reads all pages, until `page` says that nobody listens.
///
/// # Errors
///
/// How the call ended that did not bring a page; what `page` returned.
pub(crate) fn read(
    remote: &mut Remote,
    mut page: impl FnMut(&[Gauge]) -> Result<Reader, Failure>,
) -> Result<(), Failure> {
    let mut request = ReadRequest::default();
    loop {
        let reply: ReadReply = remote.ask(READ, &request)?;
        if page(&reply.gauges)? == Reader::Gone || reply.next_page_token.is_empty() {
            return Ok(());
        }
        if request.page_token.as_ref() == Some(&reply.next_page_token) {
            return Err(Failure::Answer("the counters do not go on".to_owned()));
        }
        request.page_token = Some(reply.next_page_token);
    }
}

fn line(gauge: &Gauge, format: Format) -> String {
    if format == Format::Json {
        return format!("{}\n", serde_json::json!({ "name": gauge.name, "value": gauge.value }));
    }
    format!("{:<40} {}\n", gauge.name, gauge.value)
}
