//! What a sealed set of services can tell about itself: reflection's and health's knowledge.
//!
//! Descriptions are made once, when the server starts, so that a method whose description does not
//! fit a datagram is known then and not when somebody asks.

use prost::Message;

use super::generated::v1::{DescribeReply, IdempotencyLevel, MethodSummary};
use super::names::{Miss, resolve};
use super::schema::Schema;
use super::{Idempotency, Method, RegistryError, Status};
use crate::wire::MAX_BODY;

/// All methods that are served, and those that the schema declares beside them, by full name.
#[derive(Debug)]
pub(crate) struct Catalog {
    /// In the order of their names.
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    reply: DescribeReply,
    summary: MethodSummary,
    /// Length of the encoded reply, bytes.
    length: usize,
}

impl Catalog {
    /// Describes `methods` and what `schema` declares of their services.
    pub(crate) fn new(methods: &[Method], schema: &Schema) -> Result<Self, RegistryError> {
        let mut summaries: Vec<MethodSummary> = Vec::new();
        for method in methods {
            summaries.push(MethodSummary {
                name: method.name.to_string(),
                idempotency: IdempotencyLevel::from(method.idempotency).into(),
                served: true,
                described: schema.method(&method.name).is_some(),
                ..Default::default()
            });
            let siblings = schema.methods_of(service_of(&method.name));
            summaries.extend(siblings.map(|(name, declared)| MethodSummary {
                name: name.to_owned(),
                idempotency: IdempotencyLevel::from(declared.idempotency).into(),
                client_streaming: declared.client_streaming,
                server_streaming: declared.server_streaming,
                served: false,
                described: true,
            }));
        }
        // Of two with one name the served one comes first and stays.
        summaries.sort_by(|a, b| (&a.name, b.served).cmp(&(&b.name, a.served)));
        summaries.dedup_by(|later, kept| later.name == kept.name);

        let describe = |summary: MethodSummary| {
            let set = schema.slice(&summary.name)?;
            let reply = DescribeReply {
                file_descriptor_set: set.map(|set| set.encode_to_vec()).unwrap_or_default(),
                method: Some(summary.clone()),
            };
            Ok(Entry { length: reply.encoded_len(), reply, summary })
        };
        Ok(Self { entries: summaries.into_iter().map(describe).collect::<Result<_, _>>()? })
    }

    /// One line for each method whose description does not fit a datagram.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.entries.iter().filter_map(Entry::too_long).collect()
    }

    /// The method that `query` means.
    pub(crate) fn describe(&self, query: &str) -> Result<DescribeReply, Status> {
        let names = self.entries.iter().map(|e| (e.summary.name.as_str(), e.summary.served));
        let name = resolve(query, names).map_err(|miss| match miss {
            Miss::Ambiguous(names) => {
                Status::invalid_argument(format!("{query:?} is ambiguous: {}", names.join(", ")))
            }
            Miss::Unknown(names) if names.is_empty() => {
                Status::not_found(format!("unknown function {query:?}; there are none here"))
            }
            Miss::Unknown(names) => Status::not_found(format!(
                "unknown function {query:?}; the nearest are {}",
                names.join(", ")
            )),
        })?;
        let found = self.entries.binary_search_by(|entry| entry.summary.name.as_str().cmp(name));
        let entry = found
            .ok()
            .and_then(|at| self.entries.get(at))
            .ok_or_else(|| Status::internal("the catalog is out of order"))?;
        match entry.too_long() {
            Some(why) => Err(Status::resource_exhausted(why)),
            None => Ok(entry.reply.clone()),
        }
    }

    /// All methods whose names come after `token`, in order.
    pub(crate) fn after(&self, token: &str) -> impl Iterator<Item = &MethodSummary> {
        let from = self.entries.partition_point(|entry| entry.summary.name.as_str() <= token);
        self.entries[from..].iter().map(|entry| &entry.summary)
    }

    /// Whether any method of the service (`package.Service`) is served.
    pub(crate) fn serves(&self, service: &str) -> bool {
        self.entries.iter().any(|e| e.summary.served && service_of(&e.summary.name) == service)
    }
}

impl Entry {
    /// Why this entry cannot be told, if it cannot.
    fn too_long(&self) -> Option<String> {
        (self.length > MAX_BODY).then(|| {
            format!(
                "the description of {} takes {} bytes and a datagram holds {MAX_BODY}",
                self.summary.name, self.length
            )
        })
    }
}

/// The service of a full method name.
fn service_of(method: &str) -> &str {
    method.rsplit_once('/').map_or(method, |(service, _)| service)
}

impl From<Idempotency> for IdempotencyLevel {
    fn from(idempotency: Idempotency) -> Self {
        match idempotency {
            Idempotency::Unknown => Self::IdempotencyUnknown,
            Idempotency::NoSideEffects => Self::NoSideEffects,
            Idempotency::Idempotent => Self::Idempotent,
        }
    }
}

impl From<IdempotencyLevel> for Idempotency {
    fn from(level: IdempotencyLevel) -> Self {
        match level {
            IdempotencyLevel::IdempotencyUnknown => Self::Unknown,
            IdempotencyLevel::NoSideEffects => Self::NoSideEffects,
            IdempotencyLevel::Idempotent => Self::Idempotent,
        }
    }
}
