//! `stats`: the server's counters, page by page.

use udp_rpc::service::generated::v1::{Gauge, ReadReply, ReadRequest};

use crate::args::{Format, Global, StatsArgs};
use crate::exit::Exit;
use crate::failure::{self, Failure};
use crate::output::{self, Reader};
use crate::remote::Remote;

/// The method that reads the counters.
const READ: &str = "udprpc.v1.Statistics/Read";

/// Most counters that are read: a server that goes on and on has no end.
const MOST_COUNTERS: usize = 100_000;

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
    let mut counted = 0;
    loop {
        let reply: ReadReply = remote.ask(READ, &request)?;
        if page(&reply.gauges)? == Reader::Gone || reply.next_page_token.is_empty() {
            return Ok(());
        }
        counted += reply.gauges.len();
        if counted > MOST_COUNTERS {
            return Err(Failure::Answer(format!("it has more than {MOST_COUNTERS} counters")));
        }
        // Pages are in order, and each has at least one.
        let token = request.page_token.take();
        if reply.gauges.is_empty() || token.is_some_and(|token| token >= reply.next_page_token) {
            return Err(Failure::Answer("the counters do not go on".to_owned()));
        }
        request.page_token = Some(reply.next_page_token);
    }
}

fn line(gauge: &Gauge, format: Format) -> String {
    if format == Format::Json {
        return format!("{}\n", serde_json::json!({ "name": gauge.name, "value": gauge.value }));
    }
    format!("{:<40} {}\n", failure::printable(&gauge.name), gauge.value)
}
