//! Metadata on the command line: what `-H` takes, and how what came is shown.
//!
//! Values of keys that end in `-bin` are bytes: base64 (or `@FILE`) on the way in, base64 on the
//! way out. All others are text, as it is.

use std::fmt::Write as _;

use serde_json::{Map, Value};
use udp_rpc::wire::Metadata;

use crate::bytes;
use crate::failure::printable;
use crate::scalar;

/// Keys that end so have bytes for values.
const BINARY: &str = "-bin";

/// Gathers the pairs of `-H KEY=VALUE`. A key may be given again.
///
/// # Errors
///
/// A pair that is none; which rule, or which limit, it breaks.
pub(crate) fn gather(pairs: &[String]) -> Result<Metadata, String> {
    let mut metadata = Metadata::new();
    for pair in pairs {
        let Some((key, text)) = pair.split_once('=') else {
            return Err(format!("metadata {} is not KEY=VALUE", scalar::quoted(pair)));
        };
        let value = value(key, text).map_err(|why| format!("metadata {key}: {why}"))?;
        metadata.append(key, value).map_err(|error| error.to_string())?;
    }
    Ok(metadata)
}

fn value(key: &str, text: &str) -> Result<Vec<u8>, String> {
    match text.strip_prefix('@') {
        _ if !key.ends_with(BINARY) => Ok(text.as_bytes().to_vec()),
        Some(named) => bytes::read(named),
        None => scalar::base64(text).ok_or_else(|| {
            format!("{} is not base64 (a file's bytes are @FILE)", scalar::quoted(text))
        }),
    }
}

/// A value as it is shown.
fn shown(key: &str, value: &[u8]) -> String {
    if key.ends_with(BINARY) {
        data_encoding::BASE64.encode(value)
    } else {
        printable(&String::from_utf8_lossy(value))
    }
}

/// A line for each pair, each with a line break before it.
pub(crate) fn text(metadata: &Metadata) -> String {
    metadata.iter().fold(String::new(), |mut lines, (key, value)| {
        // Writing into a string cannot fail.
        let _ = write!(lines, "\n  metadata: {key}={}", shown(key, value));
        lines
    })
}

/// The same for programs: each key with the list of its values.
pub(crate) fn json(metadata: &Metadata) -> Value {
    let mut object = Map::new();
    for (key, value) in metadata.iter() {
        let values = object.entry(key).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(values) = values {
            values.push(shown(key, value).into());
        }
    }
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use udp_rpc::wire::METADATA_MAX;

    use super::*;

    fn gathered(pairs: &[&str]) -> Result<Metadata, String> {
        gather(&pairs.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn text_is_as_it_is_and_bytes_are_base64_both_ways() {
        let metadata = gathered(&["tenant=a=b", "digest-bin=AP8=", "tenant=@c"]).unwrap();
        assert_eq!(metadata.get("digest-bin"), Some(&[0, 255][..]));
        assert_eq!(
            text(&metadata),
            "\n  metadata: tenant=a=b\n  metadata: digest-bin=AP8=\n  metadata: tenant=@c"
        );
        let object = serde_json::json!({"tenant": ["a=b", "@c"], "digest-bin": ["AP8="]});
        assert_eq!(json(&metadata), object);
    }

    #[test]
    fn what_cannot_be_sent_names_the_rule_or_the_limit() {
        let long = format!("k={}", "x".repeat(METADATA_MAX));
        for (pair, says) in [
            ("tenant", "metadata \"tenant\" is not KEY=VALUE"),
            ("=x", "\"\" is no metadata key: 1 to 255 of a-z"),
            ("Tenant=x", "\"Tenant\" is no metadata key: 1 to 255 of a-z"),
            ("tenant=ä", "the value of metadata \"tenant\" is not printable ASCII"),
            ("digest-bin=?", "metadata digest-bin: \"?\" is not base64"),
            ("digest-bin=@/nowhere", "metadata digest-bin: cannot read /nowhere"),
            (&long, "metadata of 990 bytes; a datagram carries 986"),
        ] {
            let error = gathered(&[pair]).unwrap_err();
            assert!(error.starts_with(says), "{error}");
        }
    }
}
