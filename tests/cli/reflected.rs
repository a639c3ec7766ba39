//! Servers in this process whose services, or whose reflection, a test makes up.

use udp_rpc::server::{Running, Server};
use udp_rpc::service::generated::v1::reflection::{DESCRIBE, LIST};
use udp_rpc::service::generated::v1::{
    DescribeReply, DescribeRequest, ListReply, ListRequest, MethodSummary,
};
use udp_rpc::service::{Method, Registry, Status, builtin};

/// A file with everything that a description can show.
pub(crate) const SHOP: &str = r#"
// The licence of this file, which nobody asked for.

syntax = "proto3";

package shop.v1;

import "google/protobuf/any.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/timestamp.proto";

// Takes orders.
//
// Not open on Sundays.
service Orders {
  // Places an order, and answers its number in a sentence that is long enough to be broken once more than once.
  rpc Place(PlaceRequest) returns (PlaceReply);
  // Looks at an order.
  rpc Look(PlaceReply) returns (PlaceRequest) {
    option idempotency_level = NO_SIDE_EFFECTS;
    option deprecated = true;
  }
  // Follows an order.
  rpc Follow(PlaceReply) returns (stream PlaceRequest) { option idempotency_level = IDEMPOTENT; }
}

// What is ordered.
message PlaceRequest {
  // Who orders.
  string customer = 1; // By full name.
  repeated Item items = 2;
  map<string, Colour> wrapping = 3;
  optional bool gift = 4;
  // How it is paid.
  oneof payment {
    // The card's number.
    string card = 5;
    bytes voucher = 6;
  }
  google.protobuf.Timestamp by = 7;
  google.protobuf.Duration patience = 8;
  // Whatever else.
  google.protobuf.Any more = 9;
  // An order that this one follows.
  PlaceRequest before = 10;
  string old_note = 11 [deprecated = true];

  // One line of an order.
  message Item {
    string article = 1;
    uint32 count = 2;
    double price = 3;
    Colour colour = 4;
  }
}

// A colour.
enum Colour {
  // Nobody cares.
  COLOUR_ANY = 0;
  RED = 1; // As a fire engine.
  GREEN = 2;
}

message PlaceReply {
  int64 number = 1;
}
"#;

/// The descriptors of a file, comments and imports included.
pub(crate) fn compile(source: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("shop.proto"), source).unwrap();
    let mut compiler = protox::Compiler::new([folder.path()]).unwrap();
    compiler.include_imports(true).include_source_info(true);
    compiler.open_file("shop.proto").unwrap();
    compiler.encode_file_descriptor_set()
}

/// A server of these methods on a port of its own.
pub(crate) fn serve(registry: Registry) -> Running {
    Server::builder(registry).listen("127.0.0.1:0").bind().unwrap().spawn().unwrap()
}

/// Adds the methods of the shop that are unary: they answer what they are sent.
pub(crate) fn add_shop(registry: &mut Registry) {
    for name in ["shop.v1.Orders/Place", "shop.v1.Orders/Look"] {
        let echo = Method::inline(name, |_, request, reply| {
            reply.extend_from_slice(request);
            Ok(())
        });
        registry.add(echo).unwrap();
    }
}

/// A shop with reflection.
pub(crate) fn shop() -> Running {
    let mut registry = Registry::new();
    builtin::install_standard(&mut registry).unwrap();
    registry.describe(&compile(SHOP)).unwrap();
    add_shop(&mut registry);
    serve(registry)
}

/// A shop without reflection.
pub(crate) fn bare_shop() -> Running {
    let mut registry = Registry::new();
    add_shop(&mut registry);
    serve(registry)
}

/// A server whose Describe is the test's own.
pub(crate) fn reflecting(
    describe: impl Fn(DescribeRequest) -> Result<DescribeReply, Status> + Send + Sync + 'static,
) -> Running {
    let mut registry = Registry::new();
    registry.add(DESCRIBE.inline(move |_, request| describe(request))).unwrap();
    add_shop(&mut registry);
    serve(registry)
}

/// A server whose List is the test's own.
pub(crate) fn listing(
    list: impl Fn(ListRequest) -> Result<ListReply, Status> + Send + Sync + 'static,
) -> Running {
    let mut registry = Registry::new();
    registry.add(LIST.inline(move |_, request| list(request))).unwrap();
    serve(registry)
}

/// The part of a description that an honest server sends.
pub(crate) fn part(set: &[u8], request: &DescribeRequest) -> DescribeReply {
    const ROOM: usize = 1_000;
    let method = MethodSummary {
        name: "shop.v1.Orders/Place".into(),
        served: true,
        described: true,
        ..Default::default()
    };
    let rest = set.get(request.offset as usize..).unwrap_or_default();
    DescribeReply {
        method: (request.offset == 0).then_some(method),
        file_descriptor_set: rest[..rest.len().min(ROOM)].to_vec(),
        length: u32::try_from(set.len()).unwrap(),
        checksum: crc32fast::hash(set),
        symbol: String::new(),
    }
}
