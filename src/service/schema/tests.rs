//! Descriptions are complete, least, mean what the files mean, and are what a client's reflection
//! library takes.

use prost_types::{DescriptorProto, FileDescriptorSet};

use super::*;
use crate::service::generated::DESCRIPTORS;
use crate::service::testing::compile;

fn schema(source: &str) -> Schema {
    let mut schema = Schema::default();
    schema.add(&compile(source)).unwrap();
    schema
}

/// A description as its reader sees it.
fn describe(schema: &Schema, name: &str, comments: bool) -> FileDescriptorSet {
    let bytes = schema.describe(name, comments).unwrap().unwrap();
    FileDescriptorSet::decode(&*bytes).unwrap()
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
fn description_holds_what_the_method_reaches_and_nothing_else() {
    let schema = schema(RICH);
    let set = describe(&schema, "rich.v1.Rich/Used", false);
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
fn what_nobody_describes_has_no_description() {
    assert_eq!(Schema::default().describe("a.B/C", true), Ok(None));
}

#[test]
fn missing_import_is_an_error_that_names_the_type() {
    let mut set = FileDescriptorSet::decode(&*compile(RICH)).unwrap();
    set.file.retain(|file| file.name() == "test.proto");
    let mut schema = Schema::default();
    schema.add(&set.encode_to_vec()).unwrap();
    let error = schema.describe("rich.v1.Rich/Used", false).unwrap_err();
    assert_eq!(schema.check(), Err(error.clone()));
    assert!(error.to_string().contains(".google.protobuf.Timestamp"), "{error}");
}

#[test]
fn the_same_file_twice_is_one_and_another_of_its_name_is_an_error() {
    let mut schema = Schema::default();
    schema.add(DESCRIPTORS).unwrap();
    schema.add(DESCRIPTORS).unwrap();
    schema.add(&compile("syntax = \"proto3\"; message A {}")).unwrap();
    let error = schema.add(&compile("syntax = \"proto3\"; message B {}")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "descriptors: there are two files test.proto that do not mean the same"
    );
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
    let set = describe(&schema, "rich.v1.Rich/Used", false);
    let tree = &set.file[1].message_type[0];
    let named: Vec<_> = tree.field.iter().filter_map(|field| field.json_name.as_deref()).collect();
    assert_eq!(named, ["other"]);
}

#[test]
fn services_messages_and_enums_are_described_with_what_they_need() {
    let schema = schema(RICH);
    let set = describe(&schema, "rich.v1.Rich", false);
    let methods: Vec<_> = set.file[2].service[0].method.iter().map(|m| m.name()).collect();
    assert_eq!(methods, ["Used", "Other", "Stream"]);
    assert!(types(&set).contains(&"Unused") && types(&set).contains(&"Any"));
    let set = describe(&schema, "rich.v1.Outer.Kind", false);
    assert_eq!((types(&set), set.file.len()), (vec!["Outer", "Kind"], 1));
    let set = describe(&schema, "rich.v1.Unused", false);
    assert_eq!((types(&set), set.file.len()), (vec!["Any", "Unused"], 2));
    assert!(set.file.iter().all(|file| file.service.is_empty()));
    let symbols: Vec<_> = schema.symbols().collect();
    for name in ["rich.v1.Rich", "rich.v1.Outer.Kind", "google.protobuf.Timestamp"] {
        assert!(symbols.contains(&name), "{name}");
    }
}

/// What is described comes after other things, so that it is elsewhere in its description.
const COMMENTED: &str = r#"
    // The licence.
    syntax = "proto3";
    package told;
    // Not asked for.
    message Before { message Inside {} }
    message Around {
        // Not asked for either.
        message Other {}

        // Detached from Inner.

        // Inner leads.
        message Inner {
            int32 plain = 1;
            // A field leads.
            int32 field = 2; // A field trails.
            // A oneof leads.
            oneof either { string left = 3; }
            // A kind leads.
            enum Kind {
                NONE = 0; // NONE trails.
            }
            Kind kind = 4;
        }
        // Around has no fields here.
        int32 gone = 1;
    }
    // The service leads.
    service Service {
        // Not this one.
        rpc First(Before) returns (Before);
        // This one.
        rpc Second(Around.Inner) returns (Around.Inner);
    }
"#;

#[test]
fn comments_follow_what_they_are_about() {
    let schema = schema(COMMENTED);
    let set = describe(&schema, "told.Service/Second", true);
    let info = set.file[0].source_code_info.as_ref().unwrap();
    let told: Vec<(&[i32], &str, &str)> = info
        .location
        .iter()
        .map(|l| (&*l.path, l.leading_comments().trim(), l.trailing_comments().trim()))
        .collect();
    let mut sorted = told.clone();
    sorted.sort();
    assert_eq!(
        sorted,
        [
            (&[4, 0, 3, 0][..], "Inner leads.", ""),
            (&[4, 0, 3, 0, 2, 1], "A field leads.", "A field trails."),
            (&[4, 0, 3, 0, 4, 0], "A kind leads.", ""),
            (&[4, 0, 3, 0, 4, 0, 2, 0], "", "NONE trails."),
            (&[4, 0, 3, 0, 8, 0], "A oneof leads.", ""),
            (&[6, 0], "The service leads.", ""),
            (&[6, 0, 2, 0], "This one.", ""),
        ]
    );
    let inner = info.location.iter().find(|l| l.path == [4, 0, 3, 0]).unwrap();
    assert_eq!(inner.leading_detached_comments, [" Detached from Inner.\n"]);
    assert!(info.location.iter().all(|location| location.span.len() >= 3));

    let plain = describe(&schema, "told.Service/Second", false);
    assert_eq!(plain.file[0].source_code_info, None);
}

/// What is said of everything in a set, by full name.
fn said(set: &FileDescriptorSet) -> BTreeMap<String, Option<(String, String)>> {
    let mut said = BTreeMap::new();
    for file in &set.file {
        let locations = file.source_code_info.iter().flat_map(|info| &info.location);
        let comments: BTreeMap<&[i32], (String, String)> = locations
            .map(|l| (&*l.path, (l.leading_comments().into(), l.trailing_comments().into())))
            .filter(|(_, told): &(_, (String, String))| !told.0.is_empty() || !told.1.is_empty())
            .collect();
        let mut note = |path: &[i32], name: String| said.insert(name, comments.get(path).cloned());
        let mut open: Vec<(Vec<i32>, String, &DescriptorProto)> = (0..)
            .zip(&file.message_type)
            .map(|(at, m)| (vec![4, at], format!("{}.{}", file.package(), m.name()), m))
            .collect();
        while let Some((path, name, message)) = open.pop() {
            let below = |step: i32, at: i32| [&path[..], &[step, at]].concat();
            for (at, field) in (0..).zip(&message.field) {
                note(&below(2, at), format!("{name}.{}", field.name()));
            }
            for (at, oneof) in (0..).zip(&message.oneof_decl) {
                note(&below(8, at), format!("{name}.{}", oneof.name()));
            }
            for (at, inner) in (0..).zip(&message.nested_type) {
                open.push((below(3, at), format!("{name}.{}", inner.name()), inner));
            }
            // A shell around what is needed says nothing, as it has nothing.
            if !message.field.is_empty() {
                note(&path, name);
            }
        }
        for (at, service) in (0..).zip(&file.service) {
            let name = format!("{}.{}", file.package(), service.name());
            for (method_at, method) in (0..).zip(&service.method) {
                note(&[6, at, 2, method_at], format!("{name}/{}", method.name()));
            }
            note(&[6, at], name);
        }
    }
    said
}

#[test]
fn every_description_says_of_its_things_what_the_files_say() {
    for whole in [DESCRIPTORS.to_vec(), compile(COMMENTED)] {
        let mut schema = Schema::default();
        schema.add(&whole).unwrap();
        let whole = said(&FileDescriptorSet::decode(&*whole).unwrap());
        let names: Vec<&str> =
            schema.symbols().chain(schema.methods.keys().map(String::as_str)).collect();
        let mut checked = 0;
        for name in names {
            for (thing, told) in said(&describe(&schema, name, true)) {
                assert_eq!(Some(&told), whole.get(&thing), "{thing} in the description of {name}");
                checked += usize::from(told.is_some());
            }
        }
        assert!(checked > 0, "there are comments");
    }
}

#[test]
fn what_makes_a_file_mean_something_else_is_kept() {
    let schema = schema(
        r#"
        syntax = "proto2";
        package old;
        option java_package = "com.example";
        option deprecated = true;
        message Ask {
            required int32 must = 1;
            repeated int32 packed = 2 [packed = true];
            optional int32 preset = 3 [default = 7, deprecated = true];
            optional group Nested = 4 { optional bool yes = 1; }
        }
        service Old { option deprecated = true; rpc Call(Ask) returns (Ask); }
    "#,
    );
    let set = describe(&schema, "old.Old/Call", false);
    let file = &set.file[0];
    assert_eq!(file.syntax(), "", "proto2, as protoc says it");
    let options = file.options.as_ref().unwrap();
    assert_eq!((options.deprecated(), &options.java_package), (true, &None));
    assert!(file.service[0].options.as_ref().unwrap().deprecated());
    let field = &file.message_type[0].field;
    assert_eq!(field[0].label(), prost_types::field_descriptor_proto::Label::Required);
    assert!(field[1].options.as_ref().unwrap().packed());
    assert_eq!(field[2].default_value(), "7");
    assert!(field[2].options.as_ref().unwrap().deprecated());
    assert_eq!(field[3].r#type(), prost_types::field_descriptor_proto::Type::Group);
}

#[test]
fn editions_and_their_features_are_kept_and_options_of_others_are_not() {
    // `features` of a file, and an extension in the range for those of others.
    const FEATURES: [u8; 5] = [0x92, 0x03, 2, 8, 2];
    const EXTENSION: [u8; 3] = [0xc0, 0x3e, 1];
    let options = [&FEATURES[..], &EXTENSION].concat();
    let file = File {
        name: "new.proto".into(),
        syntax: "editions".into(),
        edition: 1000,
        message: vec![MessageType { name: "New".into(), ..Default::default() }],
        options,
        ..Default::default()
    };
    let mut schema = Schema::default();
    schema.add(&FileSet { file: vec![file] }.encode_to_vec()).unwrap();
    let bytes = schema.describe("New", false).unwrap().unwrap();
    let file = FileSet::decode(&*bytes).unwrap().file.remove(0);
    assert_eq!((file.edition, file.syntax.as_str()), (1000, "editions"));
    assert_eq!(file.options, FEATURES);
}

#[test]
fn two_files_of_one_name_that_mean_the_same_are_one_with_comments() {
    let bare = r#"
        syntax = "proto3";
        import "google/protobuf/duration.proto";
        import "google/protobuf/any.proto";
        option go_package = "example.com/a";
        message A { google.protobuf.Any any_thing = 1; google.protobuf.Duration wait = 2; }
    "#;
    let told = r#"
        // A comment.
        syntax = "proto3";
        import "google/protobuf/any.proto";
        import "google/protobuf/duration.proto";
        option java_multiple_files = true;
        // What A is.
        message A { google.protobuf.Any any_thing = 1; google.protobuf.Duration wait = 2; }
    "#;
    for (first, second) in [(bare, told), (told, bare)] {
        let mut schema = schema(first);
        // As from a compiler that says no JSON names.
        let mut set = FileDescriptorSet::decode(&*compile(second)).unwrap();
        for message in set.file.iter_mut().flat_map(|file| &mut file.message_type) {
            message.field.iter_mut().for_each(|field| field.json_name = None);
        }
        schema.add(&set.encode_to_vec()).unwrap();
        let set = describe(&schema, "A", true);
        let file = set.file.iter().find(|file| file.name() == "test.proto").unwrap();
        let info = file.source_code_info.as_ref().unwrap();
        assert_eq!(info.location[0].leading_comments(), " What A is.\n");
    }
    let mut schema = schema(bare);
    let other = bare.replace("any_thing = 1", "any_thing = 3");
    let error = schema.add(&compile(&other)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "descriptors: there are two files test.proto that do not mean the same"
    );
    assert!(schema.describe("A", false).is_ok(), "the first one stays");
}

#[test]
fn one_file_of_a_set_comes_with_what_it_imports_and_alone() {
    let mut schema = Schema::default();
    schema.add_file_of(DESCRIPTORS, "udprpc/v1/sleep.proto").unwrap();
    let symbols: Vec<_> = schema.symbols().collect();
    assert!(symbols.contains(&"udprpc.v1.Sleep") && symbols.contains(&"google.protobuf.Duration"));
    assert!(!symbols.contains(&"udprpc.v1.Number"), "{symbols:?}");
}

#[cfg(feature = "cli")]
#[test]
fn description_is_a_whole_pool_to_a_reflection_library() {
    use prost_reflect::{DescriptorPool, DynamicMessage};

    let schema = schema(RICH);
    let bytes = schema.describe("rich.v1.Rich/Used", true).unwrap().unwrap();
    let pool = DescriptorPool::decode(&*bytes).unwrap();
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
