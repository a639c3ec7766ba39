//! A method as it is described: its name, its promises, the types of request and reply.
//!
//! The descriptors may come from a peer. Those that lie give an error here, never a panic, and the
//! call is not sent.

use std::time::Duration;

use prost_reflect::{DescriptorPool, Kind, MessageDescriptor, MethodDescriptor};
use prost_types::method_options::IdempotencyLevel as Declared;
use udp_rpc::service::generated::v1::{IdempotencyLevel, MethodSummary};

use crate::descriptors;
use crate::guard::{self, Unfinished};

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
    /// The method itself.
    pub(crate) method: MethodDescriptor,
    /// Of the request.
    pub(crate) request: MessageDescriptor,
    /// Of the reply.
    pub(crate) reply: MessageDescriptor,
}

impl Method {
    /// A method that a server has summed up, with its types from `pool`, if it has any.
    ///
    /// # Errors
    ///
    /// It is not in the pool.
    pub(crate) fn new(
        summary: MethodSummary,
        pool: Option<&DescriptorPool>,
    ) -> Result<Method, String> {
        let types = pool.map(|pool| Types::find(&summary.name, pool)).transpose()?;
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
    fn find(name: &str, pool: &DescriptorPool) -> Result<Types, String> {
        let (service, method) = name.split_once('/').ok_or("its name has no service")?;
        let service = pool.get_service_by_name(service).ok_or("its service is missing")?;
        let method = service
            .methods()
            .find(|candidate| candidate.name() == method)
            .ok_or("the method itself is missing")?;
        Ok(Types { request: method.input(), reply: method.output(), method })
    }
}

/// What a schema alone says of a method: that it is served is taken for granted.
pub(crate) fn summary(method: &MethodDescriptor) -> MethodSummary {
    let proto = method.method_descriptor_proto();
    let options = proto.options.clone().unwrap_or_default();
    let idempotency = match options.idempotency_level() {
        Declared::IdempotencyUnknown => IdempotencyLevel::IdempotencyUnknown,
        Declared::NoSideEffects => IdempotencyLevel::NoSideEffects,
        Declared::Idempotent => IdempotencyLevel::Idempotent,
    };
    MethodSummary {
        name: format!("{}/{}", method.parent_service().full_name(), method.name()),
        idempotency: idempotency.into(),
        client_streaming: method.is_client_streaming(),
        server_streaming: method.is_server_streaming(),
        served: true,
        described: true,
        deprecated: options.deprecated(),
    }
}

/// The descriptors of a peer, with protobuf's well-known types added where it left them out, made
/// sense of within this time.
///
/// # Errors
///
/// What in them does not hold together.
pub(crate) fn pool(set: Vec<u8>, limit: Duration) -> Result<DescriptorPool, String> {
    match guard::within(limit, move || sound_pool(&set)) {
        Ok(pool) => pool,
        Err(Unfinished::Panicked) => Err("its descriptors make no sense".to_owned()),
        Err(Unfinished::OutOfTime) => Err("there was no time left to make sense of it".to_owned()),
        Err(Unfinished::NoThread) => Err("this process may start no thread".to_owned()),
    }
}

fn sound_pool(set: &[u8]) -> Result<DescriptorPool, String> {
    descriptors::check(set)?;
    let mut pool = DescriptorPool::new();
    if pool.decode_file_descriptor_set(set).is_err() {
        pool = DescriptorPool::global();
        pool.decode_file_descriptor_set(set).map_err(|error| error.to_string())?;
    }
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

/// What there is to say of a method beside its types, in a few words.
pub(crate) fn remarks(method: &MethodSummary) -> String {
    let promise = if method.served { promise(method.idempotency()) } else { "not served here" };
    let mut remarks = vec![promise];
    remarks.extend(shape((method.client_streaming, method.server_streaming)));
    if method.deprecated {
        remarks.push("deprecated");
    }
    if !method.described {
        remarks.push("raw bytes");
    }
    remarks.join(", ")
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
        "deprecated": method.deprecated,
    })
}

#[cfg(test)]
mod tests {
    use prost_reflect::DynamicMessage;

    use super::*;
    use crate::model::Description;
    use crate::testing::descriptors;
    use crate::{input, output, proto_text, template};

    fn method(name: &str, set: Vec<u8>) -> Result<Method, String> {
        let pool = pool(set, Duration::from_secs(60))?;
        let summary = MethodSummary { name: name.into(), served: true, ..MethodSummary::default() };
        Method::new(summary, Some(&pool))
    }

    #[test]
    fn types_are_found_by_the_methods_full_name() {
        let method = method("test.Service/Call", descriptors()).unwrap();
        let types = method.types.unwrap();
        assert_eq!(types.request.full_name(), "test.Every");
        assert_eq!(types.reply.full_name(), "test.One");
        let summary = summary(&types.method);
        assert_eq!((&*summary.name, summary.served), ("test.Service/Call", true));
    }

    #[test]
    fn a_description_that_lies_is_an_error() {
        for (name, set) in [
            ("test.Service/Call", b"\xff\xff\xff".to_vec()),
            ("test.Service/Call", Vec::new()),
            ("test.Service/Other", descriptors()),
            ("other.Service/Call", descriptors()),
            ("Call", descriptors()),
            ("", descriptors()),
        ] {
            assert!(method(name, set).is_err(), "{name}");
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
                let Ok(Some(types)) =
                    method("test.Service/Call", damaged).map(|method| method.types)
                else {
                    continue;
                };
                let (method, pool) = (&types.method, types.request.parent_pool());
                let told = Description::of_method(summary(method), Some(method), Some(pool));
                let _ = proto_text::describe(&told);
                let _ = template::of(&types.request).request.lines();
                let _ = input::fields(&types.request);
                let _ = input::from_arguments(&types.request, &["1".into(), "x=2".into()]);
                let _ = input::from_json(&types.request, r#"{"name":"a","waits":{"a":"1s"}}"#);
                let reply = DynamicMessage::decode(types.reply, &[8, 7][..]);
                let _ = reply.map(|reply| output::text(&reply).map(drop));
            }
        }
    }
}
