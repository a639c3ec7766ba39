//! What the unit tests share: a message with a field of every sort.

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

/// The descriptors as a server would send them.
pub(crate) fn descriptors() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("test.proto"), PROTO).unwrap();
    let mut compiler = protox::Compiler::new([folder.path()]).unwrap();
    compiler.include_imports(true);
    compiler.open_file("test.proto").unwrap();
    compiler.encode_file_descriptor_set()
}

/// A message of the test's.
pub(crate) fn message(name: &str) -> MessageDescriptor {
    let pool = DescriptorPool::decode(descriptors().as_slice()).unwrap();
    pool.get_message_by_name(&format!("test.{name}")).unwrap()
}
