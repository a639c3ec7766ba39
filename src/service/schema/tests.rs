//! Slices are complete, least, and what a client's reflection library takes.

use super::*;
use crate::service::generated::DESCRIPTORS;
use crate::service::testing::compile;

fn schema(source: &str) -> Schema {
    let mut schema = Schema::default();
    schema.add(&compile(source)).unwrap();
    schema
}

/// Names of all types in a set, nested ones by their last part.
fn types(set: &FileDescriptorSet) -> Vec<&str> {
    fn visit<'a>(messages: &'a [DescriptorProto], names: &mut Vec<&'a str>) {
        for message in messages {
            names.push(message.name());
            names.extend(message.enum_type.iter().map(|e| e.name()));
            visit(&message.nested_type, names);
        }
    }
    let mut names = Vec::new();
    for file in &set.file {
        visit(&file.message_type, &mut names);
        names.extend(file.enum_type.iter().map(|e| e.name()));
    }
    names
}

const RICH: &str = r#"
    syntax = "proto3";
    package rich.v1;
    import "google/protobuf/timestamp.proto";
    import "google/protobuf/any.proto";

    service Rich {
        rpc Used(Tree) returns (Outer.Inner) { option idempotency_level = IDEMPOTENT; }
        rpc Other(Unused) returns (Unused);
        rpc Stream(stream Tree) returns (Tree);
    }
    message Tree {
        repeated Tree children = 1;
        map<string, Colour> colours = 2;
        oneof shape { int32 round = 3; string odd_name = 4; }
        optional bool set = 5;
        int64 renamed = 6 [json_name = "other"];
        repeated int32 loose = 7 [packed = false];
        google.protobuf.Timestamp when = 8;
    }
    message Outer {
        message Inner { Kind kind = 1; }
        message Ignored {}
        enum Kind { NONE = 0; SOME = 1; }
        Unused unused = 1;
    }
    enum Colour { RED = 0; BLUE = 1; }
    message Unused { google.protobuf.Any any = 1; }
"#;

#[test]
fn slice_holds_what_the_method_reaches_and_nothing_else() {
    let schema = schema(RICH);
    let set = schema.slice("rich.v1.Rich/Used").unwrap().unwrap();
    assert_eq!(
        types(&set),
        ["Timestamp", "Tree", "ColoursEntry", "Outer", "Kind", "Inner", "Colour"]
    );
    let file = &set.file[1];
    assert_eq!(file.dependency, ["google/protobuf/timestamp.proto"]);
    assert_eq!(file.service[0].method.len(), 1);
    let outer = file.message_type.iter().find(|message| message.name() == "Outer").unwrap();
    assert!(outer.field.is_empty(), "a shell has no fields");
}

#[test]
fn semantics_are_those_of_the_schema() {
    let schema = schema(RICH);
    let used = schema.method("rich.v1.Rich/Used").unwrap();
    assert_eq!(used.idempotency, Idempotency::Idempotent);
    let stream = schema.method("rich.v1.Rich/Stream").unwrap();
    assert!(stream.client_streaming && !stream.server_streaming);
    assert_eq!(stream.idempotency, Idempotency::Unknown);
    let all: Vec<_> = schema.methods_of("rich.v1.Rich").map(|(name, _)| name).collect();
    assert_eq!(all, ["rich.v1.Rich/Other", "rich.v1.Rich/Stream", "rich.v1.Rich/Used"]);
}

#[test]
fn method_that_nobody_describes_has_no_slice() {
    assert_eq!(Schema::default().slice("a.B/C"), Ok(None));
}

#[test]
fn missing_import_is_an_error_that_names_the_type() {
    let mut set = FileDescriptorSet::decode(&*compile(RICH)).unwrap();
    set.file.retain(|file| file.name() == "test.proto");
    let mut schema = Schema::default();
    schema.add(&set.encode_to_vec()).unwrap();
    let error = schema.slice("rich.v1.Rich/Used").unwrap_err();
    assert!(error.to_string().contains(".google.protobuf.Timestamp"), "{error}");
}

#[test]
fn the_same_file_twice_is_one_and_another_of_its_name_is_an_error() {
    let mut schema = Schema::default();
    schema.add(DESCRIPTORS).unwrap();
    schema.add(DESCRIPTORS).unwrap();
    schema.add(&compile("syntax = \"proto3\"; message A {}")).unwrap();
    let error = schema.add(&compile("syntax = \"proto3\"; message B {}")).unwrap_err();
    assert_eq!(error.to_string(), "descriptors: there are two files test.proto");
}

#[test]
fn damaged_descriptors_are_an_error() {
    for end in 1..DESCRIPTORS.len() {
        // A cut can fall between two files; it must never panic.
        let _ = Schema::default().add(&DESCRIPTORS[..end]);
    }
    assert!(Schema::default().add(&[0xff]).is_err());
}

#[test]
fn json_names_that_follow_from_the_name_are_left_out() {
    let schema = schema(RICH);
    let set = schema.slice("rich.v1.Rich/Used").unwrap().unwrap();
    let tree = &set.file[1].message_type[0];
    let named: Vec<_> = tree.field.iter().filter_map(|field| field.json_name.as_deref()).collect();
    assert_eq!(named, ["other"]);
}

#[cfg(feature = "cli")]
#[test]
fn slice_is_a_whole_pool_to_a_reflection_library() {
    use prost_reflect::{DescriptorPool, DynamicMessage};

    let schema = schema(RICH);
    let slice = schema.slice("rich.v1.Rich/Used").unwrap().unwrap();
    let pool = DescriptorPool::decode(&*slice.encode_to_vec()).unwrap();
    let service = pool.get_service_by_name("rich.v1.Rich").unwrap();
    let method = service.methods().next().unwrap();
    assert_eq!((method.name(), service.methods().len()), ("Used", 1));
    assert_eq!(method.output().full_name(), "rich.v1.Outer.Inner");

    let json = r#"{"children":[{"oddName":"x"}],"colours":{"a":"BLUE"},"set":false,
        "other":"5","loose":[1,2],"when":"1970-01-01T00:00:01Z"}"#;
    let mut reader = serde_json::Deserializer::from_str(json);
    let message = DynamicMessage::deserialize(method.input(), &mut reader).unwrap();
    // The same message through the whole schema has the same bytes, `packed = false` included.
    let whole = DescriptorPool::decode(&*compile(RICH)).unwrap();
    let tree = whole.get_message_by_name("rich.v1.Tree").unwrap();
    let mut reader = serde_json::Deserializer::from_str(json);
    let expected = DynamicMessage::deserialize(tree, &mut reader).unwrap();
    assert_eq!(message.encode_to_vec(), expected.encode_to_vec());
}
