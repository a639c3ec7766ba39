//! `list` and `describe` of what a server's reflection says.

use serde_json::Value;

use crate::common::Daemon;
use crate::reflected::{compile, serve, shop};
use crate::run::{at, at_with_input, json_line, on};
use udp_rpc::service::{Method, Registry, builtin};

#[test]
fn list_shows_every_procedure_under_its_service_and_a_part_of_the_name_narrows_it() {
    let daemon = Daemon::start();
    let run = on(&daemon, &["list"]);
    assert_eq!(run.code, 0, "{run:?}");
    for lines in [
        "Greeter\n  ChattyClientSaysHello     not served here, client streaming\n",
        "\n\nudprpc.v1.Calculator\n  Add                       no side effects\n",
    ] {
        assert!(run.stdout.contains(lines), "no {lines:?} in {}", run.stdout);
    }
    assert!(run.stdout.lines().all(|line| line.chars().count() <= 80), "{}", run.stdout);
    assert_eq!(on(&daemon, &["list", "calculator/"]).stdout.lines().count(), 1 + 5);
}

#[test]
fn list_as_json_is_an_object_a_line() {
    let shop = shop();
    let run = at(shop.local_addr(), &["list", "shop", "-o", "json"]);
    assert_eq!(run.code, 0, "{run:?}");
    let methods: Vec<Value> = run.stdout.lines().map(json_line).collect();
    let names: Vec<&str> = methods.iter().map(|method| method["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["shop.v1.Orders/Follow", "shop.v1.Orders/Look", "shop.v1.Orders/Place"]);
    let [follow, look, place] = methods.as_slice() else { panic!("{methods:?}") };
    assert_eq!(
        (&follow["idempotency"], &follow["serverStreaming"], &follow["served"]),
        (&"IDEMPOTENT".into(), &true.into(), &false.into())
    );
    assert_eq!(
        (&look["idempotency"], &look["deprecated"], &look["described"]),
        (&"NO_SIDE_EFFECTS".into(), &true.into(), &true.into())
    );
    assert_eq!(place["deprecated"], false);
}

/// What `describe Place` says.
const PLACE: &str = r#"// Takes orders.
//
// Not open on Sundays.
service shop.v1.Orders {
  // Places an order, and answers its number in a sentence that is long enough
  // to be broken once more than once.
  rpc Place(shop.v1.PlaceRequest) returns (shop.v1.PlaceReply);
      // may have side effects
}

// What is ordered.
message shop.v1.PlaceRequest {
  // Who orders.
  //
  // By full name.
  string customer = 1;
  repeated shop.v1.PlaceRequest.Item items = 2;
  map<string, shop.v1.Colour> wrapping = 3;
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
  shop.v1.PlaceRequest before = 10;
  string old_note = 11;  // deprecated
}

message shop.v1.PlaceReply {
  int64 number = 1;
}

// One line of an order.
message shop.v1.PlaceRequest.Item {
  string article = 1;
  uint32 count = 2;
  double price = 3;
  shop.v1.Colour colour = 4;
}

// A colour.
enum shop.v1.Colour {
  // Nobody cares.
  COLOUR_ANY = 0;

  // As a fire engine.
  RED = 1;
  GREEN = 2;
}

udp-rpc describe --template shop.v1.Orders/Place > request.json
udp-rpc call shop.v1.Orders/Place -d @request.json
"#;

#[test]
fn describe_tells_a_method_with_its_comments_types_and_promises() {
    let shop = shop();
    at(shop.local_addr(), &["describe", "place"]).expect(0, PLACE);
    let run = at(shop.local_addr(), &["describe", "look", "follow"]);
    for words in [
        "// no side effects, deprecated\n",
        "rpc Follow(shop.v1.PlaceReply) returns (stream shop.v1.PlaceRequest);\n",
        "// not served here, server streaming\n",
    ] {
        assert!(run.stdout.contains(words), "no {words:?} in {}", run.stdout);
    }
    assert!(run.stdout.contains("udp-rpc call shop.v1.Orders/Look number=INT64\n"));
}

#[test]
fn describe_tells_services_messages_and_enums() {
    let shop = shop();
    let run = at(shop.local_addr(), &["describe", "Orders"]);
    assert_eq!(run.code, 0, "{run:?}");
    for words in [
        "// Takes orders.\n",
        "rpc Place(",
        "rpc Look(",
        "not served here, server streaming",
        "message shop.v1.PlaceReply {",
    ] {
        assert!(run.stdout.contains(words), "no {words:?} in {}", run.stdout);
    }
    assert!(run.stdout.lines().all(|line| line.chars().count() <= 80), "{}", run.stdout);
    let colour = &PLACE[PLACE.find("// A colour.").unwrap()..PLACE.find("\nudp-rpc").unwrap()];
    at(shop.local_addr(), &["describe", "colour"]).expect(0, colour);
    let run = at(shop.local_addr(), &["describe", "item", "google.protobuf.Duration"]);
    assert!(run.stdout.starts_with("// One line of an order.\nmessage shop.v1.Place"), "{run:?}");
    assert!(run.stdout.contains("message google.protobuf.Duration {"), "{run:?}");
    let words = ["unknown function \"nosuch\"", "outcome: not executed"];
    at(shop.local_addr(), &["describe", "nosuch"]).fails(3, &words);
}

#[test]
fn describe_as_json_is_the_documented_object() {
    let shop = shop();
    let run = at(shop.local_addr(), &["describe", "place", "colour", "Orders", "-o", "json"]);
    assert_eq!(run.code, 0, "{run:?}");
    let described: Vec<Value> = run.stdout.lines().map(json_line).collect();
    let [place, colour, orders] = described.as_slice() else { panic!("{run:?}") };

    assert_eq!(
        (&place["kind"], &place["name"]),
        (&"method".into(), &"shop.v1.Orders/Place".into())
    );
    let method = &place["methods"][0];
    assert_eq!(
        (&method["request"], &method["served"]),
        (&"shop.v1.PlaceRequest".into(), &true.into())
    );
    let request = &place["messages"]["shop.v1.PlaceRequest"];
    assert_eq!(request["comment"], "What is ordered.");
    assert_eq!(request["oneofs"][0]["comment"], "How it is paid.");
    let field = |name: &str| {
        let fields = request["fields"].as_array().unwrap();
        fields.iter().find(|field| field["name"] == name).unwrap()
    };
    assert_eq!(field("customer")["comment"], "Who orders.\n\nBy full name.");
    let wrapping = field("wrapping");
    assert_eq!(
        (&wrapping["label"], &wrapping["keyType"], &wrapping["type"]),
        (&"map".into(), &"string".into(), &"shop.v1.Colour".into())
    );
    assert_eq!(
        (&field("gift")["label"], &field("gift")["oneof"]),
        (&"optional".into(), &Value::Null)
    );
    assert_eq!(field("voucher")["oneof"], "payment");
    assert_eq!(
        (&field("old_note")["deprecated"], &field("old_note")["jsonName"]),
        (&true.into(), &"oldNote".into())
    );
    assert!(place["messages"]["shop.v1.PlaceRequest.Item"].is_object());
    assert_eq!(place["enums"]["shop.v1.Colour"]["values"][1]["comment"], "As a fire engine.");

    assert_eq!((&colour["kind"], &colour["methods"]), (&"enum".into(), &Value::Array(vec![])));
    assert_eq!(orders["methods"].as_array().unwrap().len(), 3);
    assert_eq!(orders["comment"], "Takes orders.\n\nNot open on Sundays.");

    // What the help says is in it.
    let help = at(shop.local_addr(), &["describe", "--help"]).stdout;
    let keys = [place, method, request, field("gift"), &place["enums"]["shop.v1.Colour"]];
    for key in keys.iter().flat_map(|object| object.as_object().unwrap().keys()) {
        let of_list = method[key] == at(shop.local_addr(), &["list", "place", "-o", "json"]).stdout;
        assert!(help.contains(key.as_str()) || of_list || LISTED.contains(&key.as_str()), "{key}");
    }
}

/// Keys that `list` documents.
const LISTED: [&str; 5] =
    ["idempotency", "clientStreaming", "serverStreaming", "served", "described"];

#[test]
fn a_template_is_accepted_as_it_is_and_says_what_it_leaves_open() {
    let shop = shop();
    let run = at(shop.local_addr(), &["describe", "--template", "place"]);
    assert_eq!(run.code, 0, "{run:?}");
    let request: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(request["items"][0]["colour"], "COLOUR_ANY");
    assert_eq!(request["wrapping"]["key"], "COLOUR_ANY");
    assert_eq!(
        (&request["before"], &request["by"]),
        (&Value::Null, &"1970-01-01T00:00:00Z".into())
    );
    assert_eq!((request.get("card"), request.get("voucher")), (Some(&"".into()), None));
    for note in ["card: in its place there may be voucher", "before: left out", "more: any message"]
    {
        assert!(run.stderr.contains(note), "no {note:?} in {}", run.stderr);
    }
    let call = ["call", "place", "-d", "@-", "-o", "raw"];
    let called = at_with_input(shop.local_addr(), &call, &run.stdout);
    assert_eq!((called.code, called.stderr.as_str()), (0, ""), "{called:?}");
    let line = at(shop.local_addr(), &["describe", "-t", "place", "-o", "json"]);
    assert_eq!(line.stdout.lines().count(), 1, "{line:?}");
    assert_eq!(json_line(&line.stdout), request);
    assert!(line.stderr.lines().all(|line| json_line(line)["note"].is_string()), "{line:?}");
}

#[test]
fn every_built_in_procedure_takes_its_own_template() {
    let daemon = Daemon::start();
    for line in on(&daemon, &["list", "-o", "json"]).stdout.lines() {
        let method = json_line(line);
        let name = method["name"].as_str().unwrap();
        let template = on(&daemon, &["describe", "--template", name]);
        assert_eq!(template.code, 0, "{template:?}");
        if method["served"] == true && name != "udprpc.v1.Reflection/Describe" {
            let run =
                at_with_input(daemon.address(), &["call", name, "-d", "@-"], &template.stdout);
            // 0 ÷ 0 is the caller's.
            assert!(run.code == 0 || run.stderr.contains("INVALID_ARGUMENT: "), "{name}: {run:?}");
            assert!(run.code != 2, "{name}: {run:?}");
        }
    }
}

#[test]
fn a_description_of_a_hundred_kilobytes_is_fetched_whole() {
    let fields: String = (1..4000)
        .map(|i| format!("// Comment on field number {i}.\nint64 field{i} = {i};\n"))
        .collect();
    let source = format!(
        "syntax = \"proto3\"; package wide; message Wide {{ {fields} }}
         service Wide_ {{ rpc Call(Wide) returns (Wide); }}"
    );
    let mut registry = Registry::new();
    builtin::install_standard(&mut registry).unwrap();
    registry.describe(&compile(&source)).unwrap();
    registry.add(Method::inline("wide.Wide_/Call", |_, _, _| Ok(()))).unwrap();
    let server = serve(registry);
    let run = at(server.local_addr(), &["describe", "call", "-o", "json"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let fields = json_line(&run.stdout)["messages"]["wide.Wide"]["fields"].clone();
    assert_eq!(fields.as_array().unwrap().len(), 3999);
    assert_eq!(fields[3998]["comment"], "Comment on field number 3999.");
    // And over a bad path.
    let bad = ["call", "call", "-d", r#"{"field3999":"7"}"#, "--loss", "10%", "--duplicate", "10%"];
    let run = at(server.local_addr(), &[&bad[..], &["-o", "raw"]].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
}
