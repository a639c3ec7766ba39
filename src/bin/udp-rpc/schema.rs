//! A method as reflection describes it: its name, its promises, the types of request and reply.
//!
//! The descriptors come from a peer. One that lies gives an error here, never a panic, and the
//! call is not sent.

use prost_reflect::{DescriptorPool, MessageDescriptor};
use udp_rpc::service::generated::v1::{DescribeReply, IdempotencyLevel, MethodSummary};

/// A method, ready to be called.
#[derive(Clone, Debug)]
pub(crate) struct Method {
    /// Full name, `package.Service/Method`.
    pub(crate) name: String,
    /// What a second run would do.
    pub(crate) idempotency: IdempotencyLevel,
    /// Whether requests and replies are streams.
    pub(crate) streaming: (bool, bool),
    /// The server runs it.
    pub(crate) served: bool,
    /// The types of request and reply; `None` for a method of raw bytes.
    pub(crate) types: Option<Types>,
}

/// The types of a method.
#[derive(Clone, Debug)]
pub(crate) struct Types {
    /// Of the request.
    pub(crate) request: MessageDescriptor,
    /// Of the reply.
    pub(crate) reply: MessageDescriptor,
}

impl Method {
    /// Takes the description of a method apart.
    ///
    /// # Errors
    ///
    /// What in it does not hold together.
    pub(crate) fn new(described: DescribeReply) -> Result<Method, String> {
        let summary = described.method.unwrap_or_default();
        let types = if described.file_descriptor_set.is_empty() {
            None
        } else {
            Some(Types::find(&summary.name, &described.file_descriptor_set)?)
        };
        Ok(Method {
            idempotency: summary.idempotency(),
            streaming: (summary.client_streaming, summary.server_streaming),
            served: summary.served,
            name: summary.name,
            types,
        })
    }

    /// Whether the client may issue it again by itself.
    pub(crate) fn no_side_effects(&self) -> bool {
        self.idempotency == IdempotencyLevel::NoSideEffects
    }
}

impl Types {
    fn find(name: &str, set: &[u8]) -> Result<Types, String> {
        let pool = pool(set)?;
        let (service, method) = name.split_once('/').ok_or("its name has no service")?;
        let service = pool.get_service_by_name(service).ok_or("its service is missing")?;
        let method = service
            .methods()
            .find(|candidate| candidate.name() == method)
            .ok_or("the method itself is missing")?;
        Ok(Types { request: method.input(), reply: method.output() })
    }
}

/// The descriptors, with protobuf's well-known types added where the server left them out.
fn pool(set: &[u8]) -> Result<DescriptorPool, String> {
    let mut pool = DescriptorPool::new();
    if pool.decode_file_descriptor_set(set).is_ok() {
        return Ok(pool);
    }
    let mut pool = DescriptorPool::global();
    pool.decode_file_descriptor_set(set).map_err(|error| error.to_string())?;
    Ok(pool)
}

/// A method's promise in a word or two, as `list` and `describe` print it.
pub(crate) fn promise(level: IdempotencyLevel) -> &'static str {
    match level {
        IdempotencyLevel::IdempotencyUnknown => "may have side effects",
        IdempotencyLevel::NoSideEffects => "no side effects",
        IdempotencyLevel::Idempotent => "idempotent",
    }
}

/// A method's shape, if it is not one request and one reply.
pub(crate) fn shape(streaming: (bool, bool)) -> Option<&'static str> {
    match streaming {
        (false, false) => None,
        (false, true) => Some("server streaming"),
        (true, false) => Some("client streaming"),
        (true, true) => Some("bidirectional streaming"),
    }
}

/// A method as JSON, without its types.
pub(crate) fn json(method: &MethodSummary) -> serde_json::Value {
    serde_json::json!({
        "name": method.name,
        "idempotency": method.idempotency().as_str_name(),
        "clientStreaming": method.client_streaming,
        "serverStreaming": method.server_streaming,
        "served": method.served,
        "described": method.described,
    })
}
