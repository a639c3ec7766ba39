//! Details of failures, in the shape of `google.rpc.Status`, for people and for programs.
//!
//! Google's own types of details are known; so are those that the description of the method names.
//! Of any other there is its type and its bytes. They come from a peer: whatever they are, showing
//! them does no harm.

use std::sync::{LazyLock, Mutex, PoisonError};

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Map, Value};
use udp_rpc::service::details::{Any, DESCRIPTORS, RpcStatus};

use crate::failure::printable;
use crate::guard;
use crate::output;

/// Google's types of details.
static GOOGLE: LazyLock<Option<DescriptorPool>> =
    LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS).ok());

/// The types of the method that is called.
static LEARNT: Mutex<Option<DescriptorPool>> = Mutex::new(None);

/// Remembers the types that a method's description brought along.
pub(crate) fn learn(pool: &DescriptorPool) {
    *LEARNT.lock().unwrap_or_else(PoisonError::into_inner) = Some(pool.clone());
}

/// The details that these bytes are; none if they are something else.
fn list(details: &[u8]) -> Vec<Any> {
    RpcStatus::decode(details).unwrap_or_default().details
}

/// The name of a detail's type, without what stands before it in the URL.
fn type_name(any: &Any) -> &str {
    any.type_url.rsplit('/').next().unwrap_or_default()
}

/// A detail in protobuf's JSON mapping, if its type is known and it is of that type.
fn known(any: &Any) -> Option<Value> {
    let learnt = LEARNT.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let pools = [GOOGLE.clone(), learnt];
    let mut types = pools.into_iter().flatten();
    let descriptor = types.find_map(|pool| pool.get_message_by_name(type_name(any)))?;
    guard::quietly(|| {
        let message = DynamicMessage::decode(descriptor, any.value.as_slice()).ok()?;
        let json = output::json(&message).ok()?;
        serde_json::from_str(&json).ok()
    })?
}

/// A line for each detail, each with a line break before it; of bytes that are no details, one
/// that says so.
pub(crate) fn text(details: &[u8]) -> String {
    let list = list(details);
    if list.is_empty() && !details.is_empty() {
        return format!("\n  details: {} of no known form", bytes(details));
    }
    let lines = list.iter().map(|any| {
        let what = known(any).map_or_else(|| bytes(&any.value), |value| value.to_string());
        format!("\n  detail: {} {}", printable(type_name(any)), printable(&what))
    });
    lines.collect()
}

fn bytes(bytes: &[u8]) -> String {
    crate::units::count(bytes.len() as u64, "byte")
}

/// Into an error for programs: `details`, each as an Any is in JSON (`bytes` in base64 where the
/// type is not known), and `detailsBytes`, all of them as they came.
pub(crate) fn json(object: &mut Map<String, Value>, details: &[u8]) {
    let list = list(details).iter().map(any_json).collect();
    object.insert("details".to_owned(), Value::Array(list));
    if !details.is_empty() {
        let encoded = data_encoding::BASE64.encode(details);
        object.insert("detailsBytes".to_owned(), encoded.into());
    }
}

fn any_json(any: &Any) -> Value {
    let mut object = match known(any) {
        Some(Value::Object(fields)) => fields,
        // What JSON writes as a string or a number.
        Some(value) => [("value".to_owned(), value)].into_iter().collect(),
        None => {
            let encoded = data_encoding::BASE64.encode(&any.value);
            [("bytes".to_owned(), encoded.into())].into_iter().collect()
        }
    };
    object.insert("@type".to_owned(), any.type_url.clone().into());
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use udp_rpc::service::Status;
    use udp_rpc::service::details::ErrorInfo;

    use super::*;

    fn details() -> Vec<u8> {
        let known = Status::internal("").with_detail(&ErrorInfo::new("BUSY", "shop.example"));
        let any = Any { type_url: "acme.test/acme.Own".into(), value: vec![1, 2, 3] };
        let broken = Any { type_url: "x/google.rpc.ErrorInfo".into(), value: vec![255] };
        let more = RpcStatus { details: vec![any, broken], ..RpcStatus::default() };
        [known.details, more.encode_to_vec()].concat()
    }

    #[test]
    fn known_types_are_json_and_others_their_type_and_size() {
        let text = text(&details());
        let lines: Vec<&str> = text.trim_start().lines().collect();
        assert!(lines[0].starts_with("detail: google.rpc.ErrorInfo {"), "{text}");
        assert!(lines[0].contains("\"reason\":\"BUSY\""), "{text}");
        assert_eq!(
            lines[1..],
            ["  detail: acme.Own 3 bytes", "  detail: google.rpc.ErrorInfo 1 byte"]
        );
    }

    #[test]
    fn for_programs_they_are_what_an_any_is_in_json() {
        let mut object = Map::new();
        json(&mut object, &details());
        let first = &object["details"][0];
        assert_eq!(first["@type"], "type.googleapis.com/google.rpc.ErrorInfo");
        assert_eq!((&first["reason"], &first["domain"]), (&json!("BUSY"), &json!("shop.example")));
        assert_eq!(object["details"][1], json!({"@type": "acme.test/acme.Own", "bytes": "AQID"}));
        assert_eq!(object["detailsBytes"], data_encoding::BASE64.encode(&details()));
    }

    #[test]
    fn bytes_that_are_no_details_stay_bytes() {
        assert_eq!(text(&[1]), "\n  details: 1 byte of no known form");
        assert_eq!(text(&[]), "");
        let mut object = Map::new();
        json(&mut object, &[1]);
        assert_eq!(Value::Object(object), json!({"details": [], "detailsBytes": "AQ=="}));
    }

    #[test]
    fn a_detail_cannot_play_with_the_terminal() {
        let any = Any { type_url: "x/\x1b[2J".into(), value: vec![] };
        let status = RpcStatus { details: vec![any], ..RpcStatus::default() };
        assert!(!text(&status.encode_to_vec()).contains('\x1b'));
    }
}
