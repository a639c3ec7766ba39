//! Metadata with requests and answers, and the details of failures.

use serde_json::json;
use udp_rpc::server::Server;
use udp_rpc::service::{Context, Hook, Refusal, Registry, builtin};

use crate::run::{at, json_line};
use crate::shop::Shop;

#[test]
fn metadata_goes_out_and_what_comes_back_is_shown_when_asked_for() {
    let shop = Shop::open();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, [0, 255]).unwrap();
    let digest = format!("digest-bin=@{}", file.path().display());
    let call = ["call", "Mirror", "name=tea", "-H", "tenant=a=b", "--metadata", &digest];
    let again = ["-H", "more-bin=AP8", "-H", "tenant=c"];
    let call = [&call[..], &again].concat();

    let quiet = at(shop.address(), &call);
    assert_eq!((quiet.code, quiet.stderr.as_str()), (0, ""), "{quiet:?}");
    let text = at(shop.address(), &[&call[..], &["-v"]].concat());
    for line in ["tenant=a=b", "digest-bin=AP8=", "more-bin=AP8=", "tenant=c"] {
        assert!(text.stderr.contains(&format!("\n  metadata: {line}\n")), "{line}: {text:?}");
    }
    let run = at(shop.address(), &[&call[..], &["-v", "-o", "json"]].concat());
    let expected = json!({"tenant": ["a=b", "c"], "digest-bin": ["AP8="], "more-bin": ["AP8="]});
    assert_eq!(json_line(&run.stderr)["summary"]["metadata"], expected);
}

#[test]
fn metadata_that_cannot_be_sent_names_the_rule_or_the_limit() {
    let shop = Shop::open();
    let long = format!("k={}", "x".repeat(986));
    for (pair, says) in [
        ("tenant", "metadata \"tenant\" is not KEY=VALUE"),
        ("Tenant=x", "\"Tenant\" is no metadata key: 1 to 255 of a-z"),
        ("tenant=ä", "the value of metadata \"tenant\" is not printable ASCII"),
        ("digest-bin=?", "metadata digest-bin: \"?\" is not base64"),
        ("digest-bin=@/nowhere", "cannot read /nowhere"),
        (&long, "metadata of 990 bytes; a datagram carries 986"),
    ] {
        at(shop.address(), &["call", "increment", "-H", pair]).fails(2, &[says]);
    }
    at(shop.address(), &["call", "counter/get"]).expect(0, "0\n");
}

/// Lets in who names a tenant.
struct Doorkeeper;

impl Hook for Doorkeeper {
    fn start(&self, context: &Context<'_>) -> Result<(), Refusal> {
        context.metadata.get("tenant").map(|_| ()).ok_or(Refusal::Unauthenticated)
    }
}

#[test]
fn metadata_goes_with_every_request_those_for_the_types_included() {
    let mut registry = Registry::new();
    builtin::install(&mut registry).unwrap();
    let server = Server::builder(registry).listen("127.0.0.1:0").hook(Doorkeeper).bind().unwrap();
    let server = server.spawn().unwrap();
    let address = server.local_addr();
    at(address, &["call", "add", "3", "4", "-H", "tenant=north"]).expect(0, "7\n");
    let data = r#"{"a":1} {"a":2}"#;
    let answers = "{\"value\":\"1\"}\n{\"value\":\"2\"}\n";
    at(address, &["call", "add", "-d", data, "-H", "tenant=north"]).expect(0, answers);
    at(address, &["call", "add", "3", "4"]).fails(3, &["UNAUTHENTICATED", "not executed"]);
}

#[test]
fn details_are_shown_as_json_where_their_types_are_known() {
    let shop = Shop::open();
    let run = at(shop.address(), &["call", "Refuse", "name=tea", "count=2", "-v"]);
    run.fails(
        1,
        &[
            "FAILED_PRECONDITION: sold out",
            "\n  detail: google.rpc.ErrorInfo {",
            "\"reason\":\"SOLD_OUT\"",
            "\n  detail: shop.Item {\"count\":2,\"name\":\"tea\"}",
            "\n  detail: acme.Secret 3 bytes",
            "\n  metadata: queue=17",
        ],
    );
    let error = at(shop.address(), &["call", "Refuse", "name=tea", "-o", "json"]).json_error();
    let details = json!([
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "SOLD_OUT",
            "domain": "shop.example", "metadata": {"item": "tea"}},
        {"@type": "type.googleapis.com/shop.Item", "name": "tea", "count": 0},
        {"@type": "type.googleapis.com/acme.Secret", "bytes": "AQID"},
    ]);
    assert_eq!(error["details"], details, "{error}");
    assert_eq!(error["metadata"], json!({"queue": ["17"]}));
    assert!(error["detailsBytes"].is_string());
}

#[test]
fn each_line_of_a_batch_has_the_metadata_and_its_own_details() {
    let shop = Shop::open();
    let data = r#"{"name":"a"} {"name":"b"}"#;
    let run = at(shop.address(), &["call", "Refuse", "-d", data, "-H", "tenant=north"]);
    assert_eq!(run.code, 1, "{run:?}");
    let names: Vec<String> = run
        .stdout
        .lines()
        .map(|line| json_line(line)["error"]["details"][1]["name"].to_string())
        .collect();
    assert_eq!(names, ["\"a\"", "\"b\""]);
}
