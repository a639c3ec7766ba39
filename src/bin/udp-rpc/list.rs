//! `list`: the procedures that a server offers, by service, page by page.

use udp_rpc::service::generated::v1::{ListReply, ListRequest, MethodSummary};

use crate::args::{Format, Global, ListArgs};
use crate::exit::Exit;
use crate::failure::{self, Failure};
use crate::local::Local;
use crate::output::{self, Reader};
use crate::remote::Remote;
use crate::schema;

/// The method that lists methods.
const LIST: &str = "udprpc.v1.Reflection/List";

/// The most methods that are listed: a server has no more, unless it never ends.
const MOST_METHODS: usize = 100_000;

/// Columns of the names of methods, where they do not take more.
const NAME_WIDTH: usize = 24;

/// Prints the methods, as the pages come.
///
/// # Errors
///
/// How the call ended that did not bring a page.
pub(crate) fn run(global: &Global, args: &ListArgs) -> Result<Exit, Failure> {
    let mut printer = Printer::new(args.part.as_deref().unwrap_or(""), global.output);
    if let Some(local) = Local::open(&args.protos)? {
        printer.print(local.methods())?;
        return Ok(Exit::Ok);
    }
    let mut remote = Remote::open(global)?;
    pages(&mut remote, None, |methods| {
        Ok(if printer.print(methods)? == Reader::Gone { Next::Stop } else { Next::Page })
    })?;
    Ok(Exit::Ok)
}

/// The methods of one service, as a server lists them.
///
/// # Errors
///
/// As [`run`].
pub(crate) fn methods_of(
    remote: &mut Remote,
    service: &str,
) -> Result<Vec<MethodSummary>, Failure> {
    let prefix = format!("{service}/");
    let mut found = Vec::new();
    // Names are in order: what the service has comes right after this.
    pages(remote, Some(prefix.clone()), |methods| {
        let of_service = methods.iter().take_while(|method| method.name.starts_with(&prefix));
        let before = found.len();
        found.extend(of_service.cloned());
        Ok(if found.len() - before < methods.len() { Next::Stop } else { Next::Page })
    })?;
    Ok(found)
}

/// Whether another page is wanted.
enum Next {
    Page,
    Stop,
}

/// Asks for page after page, from the method after `token` on.
fn pages(
    remote: &mut Remote,
    mut token: Option<String>,
    mut take: impl FnMut(&[MethodSummary]) -> Result<Next, Failure>,
) -> Result<(), Failure> {
    let mut listed = 0;
    loop {
        let page: ListReply = remote.ask(LIST, &ListRequest { page_token: token.clone() })?;
        if let Next::Stop = take(&page.methods)? {
            return Ok(());
        }
        if page.next_page_token.is_empty() {
            return Ok(());
        }
        listed += page.methods.len();
        if listed > MOST_METHODS {
            return Err(Failure::Answer(format!("it lists more than {MOST_METHODS} procedures")));
        }
        if page.methods.is_empty() || token.is_some_and(|token| token >= page.next_page_token) {
            return Err(Failure::Answer("the list does not go on".to_owned()));
        }
        token = Some(page.next_page_token);
    }
}

/// Prints methods under the names of their services.
struct Printer {
    /// Which names are wanted: those that contain this, in small letters.
    part: String,
    format: Format,
    /// The service that was printed last.
    service: Option<String>,
}

impl Printer {
    fn new(part: &str, format: Format) -> Printer {
        Printer { part: part.to_lowercase(), format, service: None }
    }

    fn print(&mut self, methods: &[MethodSummary]) -> Result<Reader, Failure> {
        let part = self.part.clone();
        let wanted = methods.iter().filter(|method| method.name.to_lowercase().contains(&part));
        let text: String = wanted.map(|method| self.line(method)).collect();
        Ok(output::print(text.as_bytes())?)
    }

    fn line(&mut self, method: &MethodSummary) -> String {
        if self.format == Format::Json {
            return format!("{}\n", schema::json(method));
        }
        let name = failure::printable(&method.name);
        let (service, short) = name.rsplit_once('/').unwrap_or(("", &name));
        let mut text = String::new();
        if self.service.as_deref() != Some(service) {
            if self.service.is_some() {
                text.push('\n');
            }
            text.push_str(&format!("{service}\n"));
            self.service = Some(service.to_owned());
        }
        let remarks = schema::remarks(method);
        text.push_str(&format!("  {short:<NAME_WIDTH$}  {remarks}\n"));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_stand_under_their_services() {
        let method = |name: &str, served| MethodSummary {
            name: name.into(),
            served,
            described: true,
            ..Default::default()
        };
        let mut printer = Printer::new("", Format::Text);
        let lines: String = [method("a.B/C", true), method("a.B/D", false), method("e.F/G", true)]
            .iter()
            .map(|method| printer.line(method))
            .collect();
        let expected = [
            "a.B",
            "  C                         may have side effects",
            "  D                         not served here",
            "",
            "e.F",
            "  G                         may have side effects",
            "",
        ];
        assert_eq!(lines, expected.join("\n"));
    }
}
