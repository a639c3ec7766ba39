//! A datagram as its kind and named fields, in the words of PROTOCOL.md.
//!
//! One reading serves `decode`, the transcript of `-vv` and the demo's story. The direction is
//! bit 7 of the kind, so either side's datagrams are read.

use std::fmt;

use udp_rpc::wire::{
    Code, FromClient, FromServer, Kind, MetadataRef, MethodId, ParseError, Proofs, StatusBody,
    parse_from_client, parse_from_server,
};

use crate::names;

/// Where the kind stands in every datagram of every version.
const KIND_AT: usize = 3;
/// Set in the kind of what a server sends.
const FROM_SERVER: u8 = 0x80;

/// A value as text and JSON show it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shown {
    /// A number, with its unit for people.
    Number(u64, &'static str),
    /// A yes that is only there when it is one.
    Set,
    /// Anything else.
    Text(String),
    /// Bytes, in hexadecimal.
    Bytes(Vec<u8>),
    /// Metadata: keys with text or bytes, in order.
    Pairs(Vec<(String, Shown)>),
}

impl Shown {
    /// For a machine: numbers stay numbers, their unit being part of the field's definition.
    pub(crate) fn json(&self) -> serde_json::Value {
        match self {
            Shown::Number(number, _) => (*number).into(),
            Shown::Set => true.into(),
            Shown::Text(text) => text.as_str().into(),
            Shown::Bytes(bytes) => data_encoding::HEXLOWER.encode(bytes).into(),
            Shown::Pairs(pairs) => pairs
                .iter()
                .map(|(key, value)| serde_json::json!({ "key": key, "value": value.json() }))
                .collect(),
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shown::Number(number, unit) => write!(f, "{number}{unit}"),
            Shown::Set => f.write_str("yes"),
            Shown::Text(text) => f.write_str(text),
            Shown::Bytes(bytes) if bytes.is_empty() => f.write_str("empty"),
            Shown::Bytes(bytes) => f.write_str(&data_encoding::HEXLOWER.encode(bytes)),
            Shown::Pairs(pairs) => {
                for (place, (key, value)) in pairs.iter().enumerate() {
                    let comma = if place == 0 { "" } else { ", " };
                    match value {
                        Shown::Text(text) => write!(f, "{comma}{key}={text:?}")?,
                        other => write!(f, "{comma}{key}={other}")?,
                    }
                }
                Ok(())
            }
        }
    }
}

/// What a datagram says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Decoded {
    /// Its kind.
    pub(crate) kind: Kind,
    /// Who sent it.
    pub(crate) from_server: bool,
    /// Its length, bytes.
    pub(crate) length: usize,
    /// The nth transmission, or the one that is answered.
    pub(crate) attempt: u8,
    /// All else, in the order of the header.
    pub(crate) fields: Vec<(&'static str, Shown)>,
}

/// Whether the datagram says that a server sent it.
pub(crate) fn is_from_server(datagram: &[u8]) -> bool {
    datagram.get(KIND_AT).is_some_and(|kind| kind & FROM_SERVER != 0)
}

/// Its kind, if it has one, whatever else is wrong with it.
pub(crate) fn kind(datagram: &[u8]) -> Option<Kind> {
    datagram.get(KIND_AT).and_then(|kind| Kind::from_u8(*kind))
}

/// Reads a datagram of either side.
///
/// # Errors
///
/// Why every receiver would drop it.
pub(crate) fn decode(datagram: &[u8]) -> Result<Decoded, ParseError> {
    let from_server = is_from_server(datagram);
    let length = datagram.len();
    if from_server {
        let parsed = parse_from_server(datagram)?;
        let (kind, fields) = of_server(&parsed.message);
        Ok(Decoded { kind, from_server, length, attempt: parsed.attempt, fields })
    } else {
        let parsed = parse_from_client(datagram)?;
        let (kind, fields) = of_client(&parsed.message);
        Ok(Decoded { kind, from_server, length, attempt: parsed.attempt, fields })
    }
}

/// Collects fields.
#[derive(Default)]
struct Fields(Vec<(&'static str, Shown)>);

impl Fields {
    fn text(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.0.push((name, Shown::Text(value.to_string())));
        self
    }

    fn number(mut self, name: &'static str, value: impl Into<u64>, unit: &'static str) -> Self {
        self.0.push((name, Shown::Number(value.into(), unit)));
        self
    }

    /// A number that says nothing when it is zero.
    fn nonzero(self, name: &'static str, value: impl Into<u64>, unit: &'static str) -> Self {
        match value.into() {
            0 => self,
            value => self.number(name, value, unit),
        }
    }

    fn set(mut self, name: &'static str, value: bool) -> Self {
        if value {
            self.0.push((name, Shown::Set));
        }
        self
    }

    fn bytes(mut self, name: &'static str, value: &[u8]) -> Self {
        self.0.push((name, Shown::Bytes(value.to_vec())));
        self
    }

    /// Metadata, where there is any.
    fn metadata(mut self, metadata: MetadataRef<'_>) -> Self {
        let shown = |(key, value): (&str, &[u8])| {
            let value = match std::str::from_utf8(value) {
                Ok(text) if !key.ends_with("-bin") => Shown::Text(text.to_owned()),
                _ => Shown::Bytes(value.to_vec()),
            };
            (key.to_owned(), value)
        };
        if !metadata.is_empty() {
            self.0.push(("metadata", Shown::Pairs(metadata.iter().map(shown).collect())));
        }
        self
    }

    fn proofs(mut self, proofs: &Proofs) -> Self {
        if let Some(birth) = proofs.birth {
            self = self.text("birth", format_args!("{} s, MAC {:016x}", birth.minted, birth.mac));
        }
        if let Some(path) = proofs.path {
            self = self.text("path", format_args!("{} s, MAC {:016x}", path.issued, path.mac));
        }
        self
    }

    fn method(self, method: MethodId) -> Self {
        match names::of(method) {
            Some(name) => self.text("method", format_args!("{method} {name}")),
            None => self.text("method", method),
        }
    }
}

fn of_client(message: &FromClient<'_>) -> (Kind, Vec<(&'static str, Shown)>) {
    let ids = |session: &dyn fmt::Display, call: &dyn fmt::Display| {
        Fields::default().text("session", session).text("call", call)
    };
    let (kind, fields) = match message {
        FromClient::Hello { session, nonce, lowest, highest, .. } => (
            Kind::Hello,
            Fields::default()
                .text("spread", session)
                .text("nonce", format_args!("{nonce:032x}"))
                .text("versions", format_args!("{lowest} to {highest}")),
        ),
        FromClient::Request {
            session,
            call,
            expiry,
            method,
            flags,
            cell,
            proofs,
            metadata,
            unknown_critical,
            body,
            ..
        } => (
            Kind::Request,
            ids(session, call)
                .number("expiry", *expiry, " µs")
                .method(*method)
                .text("flags", flags)
                .nonzero("cell", *cell, "")
                .proofs(proofs)
                .set("unknown critical option", *unknown_critical)
                .metadata(*metadata)
                .bytes("body", body),
        ),
        FromClient::Ack { session, call, hold_us, credit, cell, proofs } => (
            Kind::Ack,
            ids(session, call)
                .number("hold", *hold_us, " µs")
                .nonzero("credit", *credit, "")
                .nonzero("cell", *cell, "")
                .proofs(proofs),
        ),
        FromClient::Fence { session, call, proofs } => {
            (Kind::Fence, ids(session, call).proofs(proofs))
        }
        FromClient::Status { session, call, proofs } => {
            (Kind::Status, ids(session, call).proofs(proofs))
        }
        FromClient::Ping { session, call, proofs } => {
            (Kind::Ping, ids(session, call).proofs(proofs))
        }
        FromClient::Close { session, proofs } => {
            (Kind::Close, Fields::default().text("session", session).proofs(proofs))
        }
    };
    (kind, fields.0)
}

fn of_server(message: &FromServer<'_>) -> (Kind, Vec<(&'static str, Shown)>) {
    let ids = |session: &dyn fmt::Display, call: &dyn fmt::Display| {
        Fields::default().text("session", session).text("call", call)
    };
    let (kind, fields) = match message {
        FromServer::Version { session, call, lowest, highest } => (
            Kind::Version,
            ids(session, call).text("versions", format_args!("{lowest} to {highest}")),
        ),
        FromServer::HelloAck { session, nonce, clock, ack } => {
            let limits = &ack.limits;
            let fields = Fields::default()
                .text("session", session)
                .text("nonce", format_args!("{nonce:032x}"))
                .number("clock", *clock, " µs")
                .text("epoch", ack.epoch)
                .text("birth", format_args!("{} s, MAC {:016x}", ack.birth.minted, ack.birth.mac))
                .text("path", format_args!("{} s, MAC {:016x}", ack.path.issued, ack.path.mac))
                .number("window", limits.window, " calls")
                .number("longest deadline", limits.longest_deadline_ms, " ms")
                .number("lease", limits.lease_ms, " ms")
                .number("longest datagram", limits.longest_datagram, " bytes")
                .number("longest request", limits.longest_request, " bytes")
                .number("longest reply", limits.longest_reply, " bytes")
                .number("version", ack.version, "")
                .text("software", ack.software());
            (Kind::HelloAck, fields)
        }
        FromServer::Reply {
            session,
            call,
            clock,
            hold_us,
            credit,
            status,
            flags,
            cell,
            metadata,
            body,
        } => {
            let fields = ids(session, call)
                .number("clock", *clock, " µs")
                .number("hold", *hold_us, " µs")
                .nonzero("credit", *credit, "")
                .text("status", status)
                .text("flags", flags)
                .nonzero("cell", *cell, "")
                .metadata(*metadata);
            let fields = if *status == Code::Ok {
                fields.bytes("body", body)
            } else {
                let error = StatusBody::parse(body);
                let fields = fields.text("message", &error.message);
                if error.details.is_empty() {
                    fields
                } else {
                    fields.bytes("details", error.details)
                }
            };
            (Kind::Reply, fields)
        }
        FromServer::Progress { session, call, clock, hold_us, credit, cell, state } => (
            Kind::Progress,
            ids(session, call)
                .number("clock", *clock, " µs")
                .number("hold", *hold_us, " µs")
                .nonzero("credit", *credit, "")
                .nonzero("cell", *cell, "")
                .text("state", state),
        ),
        FromServer::Refused { session, call, clock, epoch, hold_us, reason, promise } => (
            Kind::Refused,
            ids(session, call)
                .number("clock", *clock, " µs")
                .text("epoch", epoch)
                .number("hold", *hold_us, " µs")
                .text("reason", format_args!("{} {reason}", reason.to_u8()))
                .set("promise", *promise),
        ),
        FromServer::Challenge { session, call, clock, path } => (
            Kind::Challenge,
            ids(session, call)
                .number("clock", *clock, " µs")
                .text("path", format_args!("{} s, MAC {:016x}", path.issued, path.mac)),
        ),
        FromServer::Pong { session, call, clock, epoch, hold_us } => (
            Kind::Pong,
            ids(session, call)
                .number("clock", *clock, " µs")
                .text("epoch", epoch)
                .number("hold", *hold_us, " µs"),
        ),
        FromServer::Goaway { session, call, clock, epoch, hold_us, reason } => (
            Kind::Goaway,
            ids(session, call)
                .number("clock", *clock, " µs")
                .text("epoch", epoch)
                .number("hold", *hold_us, " µs")
                .text("reason", format_args!("{} {reason}", reason.to_u8())),
        ),
    };
    (kind, fields.0)
}

impl Decoded {
    /// As one JSON object.
    pub(crate) fn json(&self) -> serde_json::Map<String, serde_json::Value> {
        let mut object = serde_json::Map::new();
        object.insert("kind".into(), self.kind.name().into());
        object.insert("from".into(), self.sender().into());
        object.insert("length".into(), self.length.into());
        object.insert("attempt".into(), self.attempt.into());
        for (name, value) in &self.fields {
            object.insert(camel(name), value.json());
        }
        object
    }

    /// Who sent it, in a word.
    pub(crate) fn sender(&self) -> &'static str {
        if self.from_server { "server" } else { "client" }
    }
}

/// `longest datagram` as a JSON name, `longestDatagram`.
fn camel(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for (index, word) in name.split(' ').enumerate() {
        let mut letters = word.chars();
        match letters.next() {
            Some(first) if index > 0 => out.extend(first.to_uppercase()),
            Some(first) => out.push(first),
            None => {}
        }
        out.push_str(letters.as_str());
    }
    out
}

#[cfg(test)]
mod tests {
    use udp_rpc::wire::{CallId, Datagram, Flags, HELLO_LEN, Metadata, SessionId};

    use super::*;

    #[test]
    fn either_direction_is_read() {
        let mut hello = Vec::new();
        let message = FromClient::Hello {
            session: SessionId(7),
            nonce: 9,
            lowest: 1,
            highest: 1,
            length: HELLO_LEN,
        };
        Datagram { attempt: 1, message }.emit(&mut hello);
        let decoded = decode(&hello).unwrap();
        assert_eq!((decoded.kind, decoded.sender(), decoded.length), (Kind::Hello, "client", 128));

        let mut metadata = Metadata::new();
        metadata.append("tenant", "a \"b\"").unwrap();
        metadata.append("digest-bin", [7, 27, 200]).unwrap();
        let mut reply = Vec::new();
        let message = FromServer::Reply {
            session: SessionId(1),
            call: CallId(4096),
            clock: 5,
            hold_us: 6,
            credit: 0,
            status: Code::Ok,
            flags: Flags::WHOLE,
            cell: 0,
            metadata: metadata.borrow(),
            body: &[8, 7],
        };
        Datagram { attempt: 3, message }.emit(&mut reply);
        let decoded = decode(&reply).unwrap();
        assert_eq!((decoded.kind, decoded.sender(), decoded.attempt), (Kind::Reply, "server", 3));
        assert_eq!(decoded.json()["body"], "0807");
        assert_eq!(decoded.json()["hold"], 6);
        let pairs = serde_json::json!([
            { "key": "tenant", "value": "a \"b\"" },
            { "key": "digest-bin", "value": "071bc8" },
        ]);
        assert_eq!(decoded.json()["metadata"], pairs);
        let (_, shown) = decoded.fields.iter().find(|(name, _)| *name == "metadata").unwrap();
        assert_eq!(shown.to_string(), r#"tenant="a \"b\"", digest-bin=071bc8"#);
    }

    #[test]
    fn json_names_are_camel_case() {
        assert_eq!(camel("longest datagram"), "longestDatagram");
        assert_eq!(camel("call"), "call");
    }
}
