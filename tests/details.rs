//! Details of failures, from the handler that gives them to the caller who reads them.
#![cfg(feature = "protobuf")]

use std::time::Duration;

use udp_rpc::client::BlockingClient;
use udp_rpc::core::Outcome;
use udp_rpc::server::{Running, Server};
use udp_rpc::service::details::{BadRequest, Details, ErrorInfo, RetryInfo, RpcStatus};
use udp_rpc::service::{Method, Registry, Status, Unary};
use udp_rpc::wire::Code;

const ORDER: Unary<u64, u64> = Unary::new("test.Shop/Order");

fn bad_order(violations: u64) -> Status {
    let fields = (0..violations).fold(BadRequest::default(), |bad, n| {
        bad.and_field(format!("items[{n}].count"), "is negative")
    });
    Status::invalid_argument("not an order")
        .with_detail(&ErrorInfo::new("BAD_ORDER", "shop.example").with("kitchen", "7"))
        .with_detail(&fields)
        .with_detail(&RetryInfo::after(Duration::from_millis(1500)))
}

/// A server whose orders fail with as many violations as they ask for.
fn shop() -> Running {
    let mut registry = Registry::new();
    registry.add(ORDER.pooled(|_, violations| Err(bad_order(violations)))).unwrap();
    registry
        .add(Method::inline("test.Shop/Garbage", |_, request, _| {
            Err(Status::data_loss("garbage").with_details(request.to_vec()))
        }))
        .unwrap();
    Server::builder(registry).listen("127.0.0.1:0").bind().unwrap().spawn().unwrap()
}

#[test]
fn caller_reads_the_details_that_the_handler_gave() {
    let server = shop();
    let mut client = BlockingClient::connect(server.local_addr()).unwrap();
    let error = client.call(&ORDER, &2).unwrap_err();
    assert_eq!((error.code, error.outcome), (Code::InvalidArgument, Outcome::Executed));
    let info = ErrorInfo::new("BAD_ORDER", "shop.example").with("kitchen", "7");
    assert_eq!(error.detail(), Some(info));
    let fields = BadRequest::field("items[0].count", "is negative")
        .and_field("items[1].count", "is negative");
    assert_eq!(error.detail(), Some(fields));
    let retry: RetryInfo = error.detail().unwrap();
    assert_eq!(retry.delay(), Some(Duration::from_millis(1500)));

    // A service that calls another passes the failure on as it is.
    let whole = RpcStatus::from(&error);
    assert_eq!((whole.code, whole.message.as_str()), (3, "not an order"));
    let passed_on = Status::from(whole);
    assert_eq!((passed_on.code, passed_on.details), (error.code, error.details));
}

#[test]
fn details_that_do_not_fit_a_datagram_are_left_out_and_the_message_is_not() {
    let server = shop();
    let mut client = BlockingClient::connect(server.local_addr()).unwrap();
    for (violations, kept) in [(20, true), (60, false)] {
        let error = client.call(&ORDER, &violations).unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (Code::InvalidArgument, "not an order"));
        assert_eq!(error.detail::<BadRequest>().is_some(), kept, "{violations} violations");
        // All of them or none: a caller never takes a part for the whole.
        assert_eq!(error.details().len(), if kept { 3 } else { 0 });
    }
}

#[test]
fn details_that_are_no_protobuf_reach_the_caller_as_bytes() {
    let server = shop();
    let mut client = BlockingClient::connect(server.local_addr()).unwrap();
    for bytes in [&b"\xff"[..], b"\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", &[0x1b; 500]] {
        let error = client.call_raw("test.Shop/Garbage", bytes, &Default::default()).unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (Code::DataLoss, "garbage"));
        assert_eq!(error.details, bytes);
        assert_eq!((error.details(), error.detail::<ErrorInfo>()), (Vec::new(), None));
    }
}
