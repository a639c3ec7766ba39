//! A service that the command line has never seen, with fields of every sort, served in this
//! process. Each of its methods answers its request.

use std::net::SocketAddr;

use prost::Message;
use udp_rpc::server::{Running, Server};
use udp_rpc::service::details::{Any, ErrorInfo, RpcStatus};
use udp_rpc::service::{Context, Method, Registry, Status, builtin};

const PROTO: &str = r#"
syntax = "proto3";
package shop;

import "google/protobuf/any.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";

enum Status {
  STATUS_UNSPECIFIED = 0;
  STATUS_OPEN = 1;
  STATUS_PAID = 2;
}

message Address {
  string city = 1;
  string street = 2;
  Address within = 3;
}

message Item {
  string name = 1;
  uint32 count = 2;
}

message Order {
  Address address = 1;
  repeated Item items = 2;
  repeated string tags = 3;
  map<string, string> labels = 4;
  Status status = 5;
  oneof payment {
    string card = 6;
    Item voucher = 7;
  }
  optional int32 floor = 8;
  google.protobuf.Duration ttl = 9;
  bytes photo = 10;
}

message Keys {
  map<int32, string> by_int = 1;
  map<sint64, Status> by_big = 2;
  map<bool, Item> by_bool = 3;
  map<fixed32, double> by_fixed = 4;
}

message Known {
  google.protobuf.Timestamp at = 1;
  google.protobuf.FieldMask mask = 2;
  google.protobuf.Int32Value count = 3;
  google.protobuf.BoolValue sure = 4;
}

message Free {
  google.protobuf.Struct extra = 1;
  google.protobuf.Any detail = 2;
  Item item = 3;
}

service Orders {
  rpc PlaceOrder(Order) returns (Order);
  rpc EchoKeys(Keys) returns (Keys) { option idempotency_level = NO_SIDE_EFFECTS; }
  rpc EchoKnown(Known) returns (Known);
  rpc EchoFree(Free) returns (Free);
  rpc Mirror(Item) returns (Item);
  rpc Refuse(Item) returns (Item);
}
"#;

/// Where the shop is served; it ends with this.
pub(crate) struct Shop(Running);

impl Shop {
    /// Serves it, and the built-in services, on a free port of 127.0.0.1.
    pub(crate) fn open() -> Shop {
        let mut registry = Registry::new();
        for method in ["PlaceOrder", "EchoKeys", "EchoKnown", "EchoFree"] {
            let name = format!("shop.Orders/{method}");
            let echo = Method::inline(&name, |_context, request, reply| {
                reply.extend_from_slice(request);
                Ok(())
            });
            registry.add(echo).unwrap();
        }
        registry.add(Method::inline("shop.Orders/Mirror", mirror)).unwrap();
        registry.add(Method::inline("shop.Orders/Refuse", refuse)).unwrap();
        registry.describe(&descriptors()).unwrap();
        builtin::install(&mut registry).unwrap();
        let server = Server::builder(registry).listen("127.0.0.1:0").bind().unwrap();
        Shop(server.spawn().unwrap())
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr()
    }
}

/// Answers the request, and with it the metadata that came with the request.
fn mirror(context: &Context<'_>, request: &[u8], reply: &mut Vec<u8>) -> Result<(), Status> {
    for (key, value) in context.metadata.iter() {
        context.reply_metadata.append(key, value).unwrap();
    }
    reply.extend_from_slice(request);
    Ok(())
}

/// Fails with a detail that everybody knows, one that only the shop knows, and one that nobody
/// knows; and with metadata.
fn refuse(context: &Context<'_>, request: &[u8], _: &mut Vec<u8>) -> Result<(), Status> {
    context.reply_metadata.append("queue", "17").unwrap();
    let any = |name: &str, value: &[u8]| Any {
        type_url: format!("type.googleapis.com/{name}"),
        value: value.to_vec(),
    };
    let details = vec![any("shop.Item", request), any("acme.Secret", &[1, 2, 3])];
    let own = RpcStatus { details, ..RpcStatus::default() };
    let info = ErrorInfo::new("SOLD_OUT", "shop.example").with("item", "tea");
    let known = Status::failed_precondition("sold out").with_detail(&info);
    let details = [known.details.clone(), own.encode_to_vec()].concat();
    Err(known.with_details(details))
}

/// The descriptors of the shop, all that it imports included.
fn descriptors() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("shop.proto"), PROTO).unwrap();
    let mut compiler = protox::Compiler::new([folder.path()]).unwrap();
    compiler.include_imports(true).open_file("shop.proto").unwrap();
    compiler.encode_file_descriptor_set()
}
