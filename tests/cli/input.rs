//! Requests for a service that nobody here wrote: by path, as JSON, and what is refused.

use std::process::Command;

use serde_json::{Value, json};

use crate::run::{Run, at, command};
use crate::shop::Shop;

/// Calls a method of the shop; what it answered, which is what it was asked.
#[track_caller]
fn asked(shop: &Shop, method: &str, arguments: &[&str]) -> Value {
    let run = call(shop, method, arguments);
    assert_eq!(run.code, 0, "{arguments:?}: {}", run.stderr);
    let mut reply = serde_json::from_str(&run.stdout).unwrap();
    // Fields that hold their default say nothing here.
    drop_defaults(&mut reply);
    reply
}

fn call(shop: &Shop, method: &str, arguments: &[&str]) -> Run {
    at(shop.address(), &[&["call", method, "-o", "json"], arguments].concat())
}

fn drop_defaults(value: &mut Value) {
    let Value::Object(fields) = value else { return };
    fields.values_mut().for_each(drop_defaults);
    fields.retain(|_, value| {
        let default = [json!({}), json!([]), json!(""), json!("STATUS_UNSPECIFIED"), Value::Null];
        !default.contains(value)
    });
}

#[test]
fn nested_repeated_maps_enums_and_oneofs_go_by_path() {
    let shop = Shop::open();
    let order = asked(
        &shop,
        "PlaceOrder",
        &[
            "address.city=Seoul",
            "address.within.city=Korea",
            "items[0].name=tea",
            "items[0].count=2",
            "items[].name=cup",
            "tags=new",
            "tags=gift",
            "labels.colour=red",
            "labels[gift wrap]=yes",
            "status=STATUS_PAID",
            "voucher.name=V7",
            "floor=0",
            "ttl=1h 30m",
        ],
    );
    let expected = json!({
        "address": {"city": "Seoul", "within": {"city": "Korea"}},
        "items": [{"name": "tea", "count": 2}, {"name": "cup", "count": 0}],
        "tags": ["new", "gift"],
        "labels": {"colour": "red", "gift wrap": "yes"},
        "status": "STATUS_PAID",
        "voucher": {"name": "V7", "count": 0},
        "floor": 0,
        "ttl": "5400s",
    });
    assert_eq!(order, expected);
}

#[test]
fn a_whole_message_a_list_or_a_map_is_given_as_json() {
    let shop = Shop::open();
    let arguments = [
        r#"address={"city":"Seoul","street":"Sejong-daero"}"#,
        r#"items=[{"name":"tea","count":1}]"#,
        r#"labels={"a":"b"}"#,
        "labels.c=d",
        "status=1",
    ];
    let order = asked(&shop, "PlaceOrder", &arguments);
    let expected = json!({
        "address": {"city": "Seoul", "street": "Sejong-daero"},
        "items": [{"name": "tea", "count": 1}],
        "labels": {"a": "b", "c": "d"},
        "status": "STATUS_OPEN",
    });
    assert_eq!(order, expected);
    let data = expected.to_string();
    assert_eq!(asked(&shop, "PlaceOrder", &["-d", &data]), expected);
}

#[test]
fn bytes_are_base64_or_come_from_a_file_or_from_stdin() {
    let shop = Shop::open();
    assert_eq!(asked(&shop, "PlaceOrder", &["photo=AAH_"]), json!({"photo": "AAH/"}));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, [0, 1, 255]).unwrap();
    let named = format!("photo=@{}", file.path().display());
    assert_eq!(asked(&shop, "PlaceOrder", &[&named]), json!({"photo": "AAH/"}));

    let stdin = std::fs::File::open(file.path()).unwrap();
    let output = command(&["call", "PlaceOrder", "photo=@-", "-o", "json"])
        .env("UDP_RPC_SERVER", shop.address().to_string())
        .stdin(stdin)
        .output()
        .unwrap();
    let reply: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(reply["photo"], "AAH/");
    call(&shop, "PlaceOrder", &["photo=@/nowhere"]).fails(2, &["photo: cannot read /nowhere"]);
    // To a string an at sign is nothing special.
    assert_eq!(asked(&shop, "PlaceOrder", &["card=@-"]), json!({"card": "@-"}));
}

#[test]
fn maps_have_keys_of_every_type() {
    let shop = Shop::open();
    let keys = asked(
        &shop,
        "EchoKeys",
        &["by_int[-7]=m", "by_big.-9=STATUS_OPEN", "by_bool.true.count=3", "by_fixed[7]=0.5"],
    );
    let expected = json!({
        "byInt": {"-7": "m"},
        "byBig": {"-9": "STATUS_OPEN"},
        "byBool": {"true": {"count": 3}},
        "byFixed": {"7": 0.5},
    });
    assert_eq!(keys, expected);
    call(&shop, "EchoKeys", &["by_int.x=m"])
        .fails(2, &["by_int: as a key, \\\"x\\\" is not an int32"]);
}

#[test]
fn well_known_types_are_written_as_people_write_them() {
    let shop = Shop::open();
    let known = ["at=2026-01-02T03:04:05.5Z", "mask=address.city,floor", "count=-3", "sure=false"];
    let expected = json!({
        "at": "2026-01-02T03:04:05.500Z", "mask": "address.city,floor", "count": -3, "sure": false,
    });
    assert_eq!(asked(&shop, "EchoKnown", &known), expected);
    assert_eq!(asked(&shop, "EchoKnown", &["-d", &expected.to_string()]), expected);

    let any = r#"detail={"@type":"type.googleapis.com/shop.Item","count":3,"name":"tea"}"#;
    let free = asked(&shop, "EchoFree", &["extra.a=1", "extra.b[0]=x", any]);
    let expected = json!({
        "extra": {"a": 1.0, "b": ["x"]},
        "detail": {"@type": "type.googleapis.com/shop.Item", "count": 3, "name": "tea"},
    });
    assert_eq!(free, expected);
}

#[test]
fn what_does_not_fit_names_the_field_by_its_path() {
    let shop = Shop::open();
    let takes = "shop.Orders/PlaceOrder takes address shop.Address, items repeated shop.Item";
    for (argument, says) in [
        ("address.ctiy=x", "address: there is no field \"ctiy\""),
        ("address.ctiy=x", "did you mean city?"),
        ("adress.city=x", "did you mean address?"),
        ("items[0].count=-1", "items[0].count: -1 does not fit uint32"),
        ("items[2].count=1", "items: there is no [2], the next is [0]"),
        ("items.name=x", "items: it is a list, so [0].name is of the first"),
        ("status=PAID", "status: \"PAID\" is none of STATUS_UNSPECIFIED, STATUS_OPEN, STATUS_PAID"),
        ("status=PAID", "did you mean STATUS_PAID?"),
        ("photo=?", "photo: \"?\" is not base64"),
        ("ttl=soon", "ttl: \"soon\" is not a duration"),
        (r#"address={"city":5}"#, "address.city: 5 is not a string"),
        (r#"address={"city":5}"#, "(line 1, column 9)"),
    ] {
        let run = at(shop.address(), &["call", "PlaceOrder", argument]);
        run.fails(2, &[says, takes]);
    }
    let two = ["card=1", "voucher.name=x"];
    at(shop.address(), &[&["call", "PlaceOrder"], &two[..]].concat())
        .fails(2, &["only one of card and voucher may be given"]);
}

#[test]
fn json_that_does_not_fit_names_path_line_and_column() {
    let shop = Shop::open();
    for (data, says) in [
        (
            "{\n \"items\": [{\"count\": 1},\n  {\"count\": 4294967296}]\n}",
            "items[1].count: 4294967296 does not fit uint32 (line 3, column 22)",
        ),
        (r#"{"address":{"within":{"town":"x"}}}"#, "address.within: there is no field \"town\""),
        (r#"{"card":"1","voucher":{}}"#, "only one of card and voucher may be given"),
        (r#"{"card":"1","card":"2"}"#, "card: is given twice"),
        (r#"{"status":"PAID"}"#, "did you mean STATUS_PAID?"),
        (r#"{"tags":["a",}"#, "tags[1]: not JSON: expected value (line 1, column 14)"),
        (r#"{"tags":["a"]"#, "not JSON: EOF while parsing an object (line 1, column 13)"),
    ] {
        at(shop.address(), &["call", "PlaceOrder", "-d", data]).fails(2, &[says]);
    }
}

#[test]
fn nesting_bombs_are_refused_by_a_limit_that_is_named() {
    let shop = Shop::open();
    let limit = "100 levels, the limit";
    let file = tempfile::NamedTempFile::new().unwrap();
    let data = format!("@{}", file.path().display());
    for (start, level, end) in [
        (r#"{"address":"#, r#"{"within":"#, "}"),
        (r#"{"extra":{"x":"#, "[", "]"),
        (r#"{"extra":"#, r#"{"x":"#, "}"),
    ] {
        let method = if start.contains("extra") { "EchoFree" } else { "PlaceOrder" };
        let bomb = format!("{start}{}{}", level.repeat(100_000), end.repeat(100_000));
        std::fs::write(&file, &bomb).unwrap();
        let run = at(shop.address(), &["call", method, "-d", &data]);
        assert!(run.stderr.len() < 1_000, "{}", run.stderr.len());
        run.fails(2, &[limit]);
    }
    let path = format!("address{}.city=x", ".within".repeat(5_000));
    at(shop.address(), &["call", "PlaceOrder", &path]).fails(2, &[limit]);
    let value = format!("extra.x={}", "[".repeat(100_000));
    at(shop.address(), &["call", "EchoFree", &value]).fails(2, &[limit]);
    // What is just deep enough arrives.
    let path = format!("address{}.city=x", ".within".repeat(90));
    let run = at(shop.address(), &["call", "PlaceOrder", &path, "-o", "json"]);
    assert!(run.code == 0 && run.stdout.contains("\"x\""), "{}", run.stderr);
}

#[test]
fn endless_input_is_refused_by_a_limit_that_is_named() {
    let shop = Shop::open();
    for arguments in [&["-d", "@/dev/zero"][..], &["photo=@/dev/zero"]] {
        let run = at(shop.address(), &[&["call", "PlaceOrder"], arguments].concat());
        run.fails(2, &["is longer than 4 MiB, the limit"]);
    }
}

#[test]
fn the_examples_in_the_help_of_call_run() {
    let shop = Shop::open();
    let help = command(&["call", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let examples: Vec<&str> =
        help.lines().map(str::trim).filter(|line| line.starts_with("udp-rpc call ")).collect();
    assert!(examples.len() >= 10, "{help}");

    // What the examples name.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("photo.jpg"), b"\xff\xd8\xff").unwrap();
    std::fs::write(folder.path().join("sums.jsonl"), "{\"a\":1,\"b\":2}\n{\"a\":3}\n").unwrap();
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_udp-rpc"));
    let path = std::env::var_os("PATH").unwrap();
    let mut folders = vec![program.parent().unwrap().to_path_buf()];
    folders.extend(std::env::split_paths(&path));
    for example in examples {
        let output = Command::new("sh")
            .args(["-c", example])
            .current_dir(folder.path())
            .env("PATH", std::env::join_paths(&folders).unwrap())
            .env("UDP_RPC_SERVER", shop.address().to_string())
            .output()
            .unwrap();
        assert!(output.status.success(), "{example}: {output:?}");
        assert!(!output.stdout.is_empty(), "{example}");
    }
}
