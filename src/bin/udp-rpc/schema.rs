//! A method as reflection describes it: its name, its promises, the types of request and reply.
//!
//! The descriptors come from a peer. One that lies gives an error here, never a panic, and the
//! call is not sent.

use prost_reflect::{DescriptorPool, Kind, MessageDescriptor};
use udp_rpc::service::generated::v1::{DescribeReply, IdempotencyLevel, MethodSummary};

use crate::guard;

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
    let built = guard::quietly(|| {
        let mut pool = DescriptorPool::new();
        if pool.decode_file_descriptor_set(set).is_ok() {
            return Ok(pool);
        }
        let mut pool = DescriptorPool::global();
        pool.decode_file_descriptor_set(set).map_err(|error| error.to_string())?;
        Ok(pool)
    });
    let pool = built.unwrap_or_else(|| Err("its descriptors make no sense".to_owned()))?;
    let unsound = |message: &MessageDescriptor| message.is_map_entry() && !is_sound_entry(message);
    if let Some(message) = pool.all_messages().find(unsound) {
        return Err(format!("{} is no map entry", message.full_name()));
    }
    Ok(pool)
}

/// Whether a map's entry is what a compiler makes of a map: a key of a type that keys can have,
/// and a value.
fn is_sound_entry(entry: &MessageDescriptor) -> bool {
    const KEY: u32 = 1;
    const VALUE: u32 = 2;
    let (Some(key), Some(value)) = (entry.get_field(KEY), entry.get_field(VALUE)) else {
        return false;
    };
    let never_a_key = matches!(
        key.kind(),
        Kind::Double | Kind::Float | Kind::Bytes | Kind::Message(_) | Kind::Enum(_)
    );
    !never_a_key && !key.is_list() && !value.is_list()
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

#[cfg(test)]
mod tests {
    use prost_reflect::DynamicMessage;

    use super::*;
    use crate::testing::descriptors;
    use crate::{input, output};

    fn described(name: &str, set: Vec<u8>) -> DescribeReply {
        let method = MethodSummary { name: name.into(), served: true, ..MethodSummary::default() };
        DescribeReply { method: Some(method), file_descriptor_set: set }
    }

    #[test]
    fn types_are_found_by_the_methods_full_name() {
        let method = Method::new(described("test.Service/Call", descriptors())).unwrap();
        let types = method.types.unwrap();
        assert_eq!(types.request.full_name(), "test.Every");
        assert_eq!(types.reply.full_name(), "test.One");
    }

    #[test]
    fn a_method_of_raw_bytes_has_no_types() {
        assert!(Method::new(described("raw.Bytes/Call", Vec::new())).unwrap().types.is_none());
    }

    #[test]
    fn a_description_that_lies_is_an_error() {
        for (name, set) in [
            ("test.Service/Call", b"\xff\xff\xff".to_vec()),
            ("test.Service/Other", descriptors()),
            ("other.Service/Call", descriptors()),
            ("Call", descriptors()),
            ("", descriptors()),
        ] {
            assert!(Method::new(described(name, set)).is_err(), "{name}");
        }
    }

    #[test]
    fn every_bit_of_a_description_may_be_wrong() {
        let sound = descriptors();
        for at in (0..sound.len()).step_by(5) {
            for bit in 0..8 {
                let mut damaged = sound.clone();
                damaged[at] ^= 1 << bit;
                // Whatever it says: no panic, neither here nor in what uses it.
                let described = described("test.Service/Call", damaged);
                let Ok(Some(types)) = Method::new(described).map(|method| method.types) else {
                    continue;
                };
                let _ = input::fields(&types.request);
                let _ = input::from_arguments(&types.request, &["1".into(), "x=2".into()]);
                let _ = input::from_json(&types.request, r#"{"name":"a","waits":{"a":"1s"}}"#);
                let reply = DynamicMessage::decode(types.reply, &[8, 7][..]);
                let _ = reply.map(|reply| output::text(&reply).map(drop));
            }
        }
    }
}
