//! What passes between this process and the server: counted always, written out with `-vv`.

use std::sync::{Arc, Mutex, PoisonError};

use udp_rpc::client::{Direction, Observation};
use udp_rpc::wire::Kind;

use crate::args::{Format, Global};
use crate::datagram;
use crate::output;
use crate::transcript;
use crate::units;

/// Datagrams and their bytes, one way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flow {
    pub(crate) datagrams: u64,
    pub(crate) bytes: usize,
}

/// What has passed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) sent: Flow,
    pub(crate) received: Flow,
    /// REQUESTs sent, of all calls.
    pub(crate) requests: u32,
}

/// The count of one client, shared with its observer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter(Arc<Mutex<Traffic>>);

impl Meter {
    /// What has passed so far.
    pub(crate) fn read(&self) -> Traffic {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a client is to tell of every datagram.
    pub(crate) fn observer(
        &self,
        global: &Global,
    ) -> impl FnMut(&Observation<'_>) + Send + use<> + 'static {
        let counted = Arc::clone(&self.0);
        let transcript = (global.verbose >= 2).then_some(global.output);
        move |seen| {
            counted.lock().unwrap_or_else(PoisonError::into_inner).count(seen);
            if let Some(format) = transcript {
                output::note(&transcript::entry(seen, format));
            }
        }
    }
}

impl Traffic {
    fn count(&mut self, seen: &Observation<'_>) {
        let flow = match seen.direction {
            Direction::Sent => &mut self.sent,
            Direction::Received => &mut self.received,
        };
        flow.datagrams += 1;
        flow.bytes += seen.datagram.len();
        if seen.direction == Direction::Sent && datagram::kind(seen.datagram) == Some(Kind::Request)
        {
            self.requests = self.requests.saturating_add(1);
        }
    }

    /// For the line of `-v`.
    pub(crate) fn text(&self) -> String {
        let flow = |flow: &Flow| {
            format!("{} ({} bytes)", units::count(flow.datagrams, "datagram"), flow.bytes)
        };
        format!("sent {}, received {}", flow(&self.sent), flow(&self.received))
    }

    /// The same for programs, into `object`.
    pub(crate) fn json(&self, object: &mut serde_json::Map<String, serde_json::Value>) {
        object.insert("sentDatagrams".into(), self.sent.datagrams.into());
        object.insert("sentBytes".into(), self.sent.bytes.into());
        object.insert("receivedDatagrams".into(), self.received.datagrams.into());
        object.insert("receivedBytes".into(), self.received.bytes.into());
    }
}

/// A line of `-v` as JSON, or as text.
pub(crate) fn summary(
    format: Format,
    object: serde_json::Map<String, serde_json::Value>,
    text: String,
) {
    match format {
        Format::Json => output::note(&serde_json::json!({ "summary": object }).to_string()),
        Format::Text | Format::Raw => output::note(&text),
    }
}
