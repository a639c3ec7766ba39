//! What the unit tests share: messages with fields of every sort.

use prost_reflect::{DescriptorPool, MessageDescriptor};

const PROTO: &str = r#"
syntax = "proto3";
package test;
import "google/protobuf/duration.proto";
import "google/protobuf/timestamp.proto";

enum Colour { COLOUR_UNKNOWN = 0; RED = 1; GREEN = 2; }

message Inner { int32 n = 1; google.protobuf.Duration pause = 2; }

// Declared in another order than numbered, and this order is the command line's.
message Every {
  string name = 7;
  Colour colour = 1;
  bytes data = 2;
  optional bool maybe = 3;
  Inner inner = 4;
  google.protobuf.Duration wait = 5;
  oneof either { int32 left = 8; string right = 9; }
  map<string, google.protobuf.Duration> waits = 10;
  repeated int64 numbers = 6;
}

message One { uint64 value = 1; }
message Many { repeated string words = 1; }
message Two { double share = 1; google.protobuf.Timestamp at = 2; }
message None {}

service Service {
  rpc Call(Every) returns (One);
}
"#;

/// What services that nobody here wrote may take.
const RICH: &str = r#"
syntax = "proto3";
package rich;
import "google/protobuf/any.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";

enum Level { LEVEL_UNSPECIFIED = 0; LEVEL_LOW = 1; LEVEL_HIGH = 2; }

message Place { string city = 1; string postal_code = 2; Place within = 3; repeated string tags = 4; }
message Item { string name = 1; uint32 count = 2; repeated int32 sizes = 3; Level level = 4; }

message Order {
  Place place = 1;
  repeated Item items = 2;
  repeated string tags = 3;
  map<string, string> labels = 4;
  map<string, Item> named = 5;
  map<int32, string> by_int = 6;
  map<bool, string> by_bool = 7;
  map<uint64, Level> by_big = 8;
  oneof pay { string card = 9; Item cash = 10; google.protobuf.BoolValue later = 11; }
  optional int32 maybe = 12;
  bytes photo = 13;
  Level level = 14;
  google.protobuf.Timestamp at = 15;
  google.protobuf.Duration ttl = 16;
  google.protobuf.Struct extra = 17;
  google.protobuf.Value any_json = 18;
  google.protobuf.ListValue list = 19;
  google.protobuf.FieldMask mask = 20;
  google.protobuf.Int32Value wrapped = 21;
  google.protobuf.BytesValue wrapped_bytes = 22;
  google.protobuf.Any anything = 23;
  repeated Level levels = 24;
  double weight = 25;
  repeated google.protobuf.Duration waits = 26;
}
"#;

/// The descriptors as a server would send them.
pub(crate) fn descriptors() -> Vec<u8> {
    compile(PROTO).encode_file_descriptor_set()
}

/// The types of another file.
pub(crate) fn compiled(source: &str) -> DescriptorPool {
    compile(source).descriptor_pool()
}

fn compile(source: &str) -> protox::Compiler {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("test.proto"), source).unwrap();
    let mut compiler = protox::Compiler::new([folder.path()]).unwrap();
    compiler.include_imports(true).include_source_info(true);
    compiler.open_file("test.proto").unwrap();
    compiler
}

/// A message of the test's.
pub(crate) fn message(name: &str) -> MessageDescriptor {
    compiled(PROTO).get_message_by_name(&format!("test.{name}")).unwrap()
}

/// The message that has everything.
pub(crate) fn order() -> MessageDescriptor {
    compiled(RICH).get_message_by_name("rich.Order").unwrap()
}
