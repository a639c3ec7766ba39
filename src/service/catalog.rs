//! What a sealed set of services can tell about itself: reflection's and health's knowledge.
//!
//! Names and semantics are put together once, when the server starts. Descriptions are made when
//! they are asked for, because each of many methods may need most of a large schema, and kept while
//! they are fetched part by part, as far as [`KEPT_MAX`] goes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use prost::Message;

use super::generated::v1::{DescribeReply, DescribeRequest, IdempotencyLevel, MethodSummary};
use super::names::{Miss, resolve};
use super::schema::Schema;
use super::{Idempotency, Method, RegistryError, Status};
use crate::wire::MAX_BODY;

/// Descriptions that are kept, bytes: all of them, several times over, for the servers that most
/// people write; for one with a large schema, those that are being fetched.
const KEPT_MAX: usize = 4 << 20;

/// All methods that are served, and those that the schema declares beside them.
#[derive(Debug)]
pub(crate) struct Catalog {
    /// In the order of their names.
    methods: Vec<MethodSummary>,
    schema: Schema,
    kept: Mutex<Kept>,
}

/// A description as it is sent.
#[derive(Debug, Default)]
struct Description {
    file_descriptor_set: Vec<u8>,
    checksum: u32,
}

/// The descriptions that were asked for last.
#[derive(Debug, Default)]
struct Kept {
    /// By name and whether they have comments: when each was last asked for, and itself.
    descriptions: BTreeMap<(String, bool), (u64, Arc<Description>)>,
    /// Length of all of them, bytes.
    bytes: usize,
    /// Counts what was asked for.
    clock: u64,
}

impl Catalog {
    /// Knows `methods` and what `schema` declares of their services.
    pub(crate) fn new(methods: &[Method], schema: Schema) -> Result<Self, RegistryError> {
        schema.check()?;
        let mut summaries: Vec<MethodSummary> = Vec::new();
        for method in methods {
            let declared = schema.method(&method.name);
            summaries.push(MethodSummary {
                name: method.name.to_string(),
                idempotency: IdempotencyLevel::from(method.idempotency).into(),
                served: true,
                described: declared.is_some(),
                deprecated: declared.is_some_and(|declared| declared.deprecated),
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
                deprecated: declared.deprecated,
            }));
        }
        // Of two with one name the served one comes first and stays.
        summaries.sort_by(|a, b| (&a.name, b.served).cmp(&(&b.name, a.served)));
        summaries.dedup_by(|later, kept| later.name == kept.name);
        Ok(Self { methods: summaries, schema, kept: Mutex::default() })
    }

    /// The part of a description that is asked for, in a reply of which `taken` bytes are not free.
    pub(crate) fn describe(
        &self,
        request: &DescribeRequest,
        taken: usize,
    ) -> Result<DescribeReply, Status> {
        let (name, summary) = self.find(request)?;
        let whole = self.description(name, request.comments)?;
        let mut reply = DescribeReply {
            length: u32::try_from(whole.file_descriptor_set.len())
                .map_err(|_| Status::resource_exhausted("the description is too long to tell"))?,
            checksum: whole.checksum,
            ..Default::default()
        };
        if request.offset == 0 {
            reply.method = summary.cloned();
            reply.symbol = if summary.is_none() { name.to_owned() } else { String::new() };
        }
        let offset = usize::try_from(request.offset).unwrap_or(usize::MAX);
        let rest = whole.file_descriptor_set.get(offset..).unwrap_or_default();
        // The part's tag and its length take a byte and two.
        let room = MAX_BODY.saturating_sub(taken + reply.encoded_len() + 3);
        reply.file_descriptor_set = rest[..rest.len().min(room)].to_vec();
        Ok(reply)
    }

    /// The full name of what a request asks for, and the summary if that is a method.
    fn find(&self, request: &DescribeRequest) -> Result<(&str, Option<&MethodSummary>), Status> {
        let query = request.name.as_str();
        if let Some(summary) = self.method(query) {
            return Ok((&summary.name, Some(summary)));
        }
        let names = self.methods.iter().map(|method| (method.name.as_str(), method.served));
        let miss = match resolve(query, names) {
            Ok(name) => return Ok((name, self.method(name))),
            Err(miss) => miss,
        };
        if request.symbols && matches!(miss, Miss::Unknown(_)) {
            match resolve(query, self.schema.symbols().map(|name| (name, true))) {
                Ok(name) => return Ok((name, None)),
                Err(miss @ Miss::Ambiguous(_)) => return Err(refusal(query, &miss)),
                Err(Miss::Unknown(_)) => {}
            }
        }
        Err(refusal(query, &miss))
    }

    /// The method of this full name.
    fn method(&self, name: &str) -> Option<&MethodSummary> {
        let at = self.methods.binary_search_by(|method| method.name.as_str().cmp(name)).ok()?;
        self.methods.get(at)
    }

    /// A whole description, from those that are kept if it is there.
    fn description(&self, name: &str, comments: bool) -> Result<Arc<Description>, Status> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (name.to_owned(), comments);
        if let Some(found) = kept.find(&key) {
            return Ok(found);
        }
        let described = self.schema.describe(name, comments);
        let file_descriptor_set =
            described.map_err(|error| Status::internal(error.to_string()))?.unwrap_or_default();
        let checksum = crc32fast::hash(&file_descriptor_set);
        let made = Arc::new(Description { file_descriptor_set, checksum });
        kept.keep(key, Arc::clone(&made), KEPT_MAX);
        Ok(made)
    }

    /// All methods whose names come after `token`, in order.
    pub(crate) fn after(&self, token: &str) -> impl Iterator<Item = &MethodSummary> {
        let from = self.methods.partition_point(|method| method.name.as_str() <= token);
        self.methods[from..].iter()
    }

    /// Whether any method of the service (`package.Service`) is served.
    pub(crate) fn serves(&self, service: &str) -> bool {
        self.methods.iter().any(|method| method.served && service_of(&method.name) == service)
    }
}

impl Kept {
    fn find(&mut self, key: &(String, bool)) -> Option<Arc<Description>> {
        self.clock += 1;
        let (asked, found) = self.descriptions.get_mut(key)?;
        *asked = self.clock;
        Some(Arc::clone(found))
    }

    /// Keeps a description that is not there, and gives up those asked for longest ago until no
    /// more than `most` bytes are kept, or this one alone, however long.
    fn keep(&mut self, key: (String, bool), made: Arc<Description>, most: usize) {
        self.bytes += made.file_descriptor_set.len();
        self.descriptions.insert(key, (self.clock, made));
        while self.bytes > most && self.descriptions.len() > 1 {
            let oldest = self.descriptions.iter().min_by_key(|(_, (asked, _))| *asked);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else { return };
            if let Some((_, gone)) = self.descriptions.remove(&key) {
                self.bytes -= gone.file_descriptor_set.len();
            }
        }
    }
}

/// What a name that means nothing here, or too much, is answered with.
fn refusal(query: &str, miss: &Miss<'_>) -> Status {
    let sentence = miss.sentence(query);
    match miss {
        Miss::Ambiguous(_) => Status::invalid_argument(sentence),
        Miss::Unknown(_) => Status::not_found(sentence),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(kept: &Kept) -> Vec<&str> {
        kept.descriptions.keys().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn descriptions_asked_for_longest_ago_make_room() {
        let mut cache = Kept::default();
        for name in ["a", "b", "c", "d"] {
            assert!(cache.find(&(name.into(), false)).is_none());
            let file_descriptor_set = vec![0; 100];
            let made = Arc::new(Description { file_descriptor_set, checksum: 0 });
            cache.keep((name.into(), false), made, 300);
            assert!(cache.find(&("a".into(), false)).is_some());
        }
        assert_eq!((kept(&cache), cache.bytes), (vec!["a", "c", "d"], 300));
        assert!(cache.find(&("a".into(), true)).is_none(), "comments make another description");
    }

    #[test]
    fn longest_description_is_kept_alone_while_it_is_fetched() {
        let mut cache = Kept::default();
        for (name, length) in [("a", 100), ("b", 400), ("c", 400)] {
            assert!(cache.find(&(name.into(), false)).is_none());
            let file_descriptor_set = vec![0; length];
            let made = Arc::new(Description { file_descriptor_set, checksum: 0 });
            cache.keep((name.into(), false), made, 300);
            assert_eq!((kept(&cache), cache.bytes), (vec![name], length));
        }
    }
}
