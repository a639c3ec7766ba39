use serde_json::json;

use super::*;
use crate::testing::order;

fn read(text: &str) -> Result<serde_json::Value, String> {
    let read = message(&order(), text).map_err(|wrong| wrong.to_string())?;
    Ok(serde_json::to_value(&read).unwrap())
}

#[track_caller]
fn refused(text: &str, says: &str) {
    assert_eq!(read(text).unwrap_err(), says, "{text}");
}

#[test]
fn everything_that_protobufs_mapping_knows_is_read() {
    let whole = json!({
        "place": {"city": "Seoul", "postalCode": "04524", "within": {"city": "Korea"}},
        "items": [{"name": "a", "count": 2, "sizes": [1, 2], "level": "LEVEL_HIGH"}, {}],
        "tags": ["x", ""], "labels": {"a.b": "c"}, "named": {"n": {"count": 1}},
        "byInt": {"-7": "m"}, "byBool": {"true": "t"},
        "byBig": {"18446744073709551615": "LEVEL_LOW"},
        "card": "4000", "maybe": 0, "photo": "AAH/", "level": "LEVEL_LOW",
        "at": "2026-01-02T03:04:05Z", "ttl": "604800s",
        "extra": {"k": [1.0, null, {"deep": true}]}, "anyJson": {"x": [false]},
        "list": ["a", 2.0], "mask": "a,b.cD", "wrapped": 5, "wrappedBytes": "AA==",
        "anything": {"@type": "type.googleapis.com/rich.Place", "city": "Busan"},
        "levels": ["LEVEL_LOW", 7], "weight": "NaN", "waits": ["1s"]
    });
    assert_eq!(read(&whole.to_string()).unwrap(), whole);
    // Names as in the .proto, and null for what is not there.
    let read = read(r#"{"by_int":{"1":"x"},"card":null,"later":true,"place":null}"#).unwrap();
    assert_eq!(read, json!({"byInt": {"1": "x"}, "later": true}));
}

#[test]
fn durations_are_as_people_write_them_at_any_depth() {
    let read = read(r#"{"ttl":"1h 30m","waits":["250ms","-1s"]}"#).unwrap();
    assert_eq!(read, json!({"ttl": "5400s", "waits": ["0.250s", "-1s"]}));
}

#[test]
fn errors_name_the_field_by_its_path_and_the_line_and_column() {
    refused(
        "{\n  \"items\": [{}, {\"count\": -1}]\n}",
        "items[1].count: -1 does not fit uint32 (line 2, column 28)",
    );
    refused(
        r#"{"place":{"within":{"ctiy":"x"}}}"#,
        "place.within: there is no field \"ctiy\" (rich.Place has city, postal_code, within, tags); \
         did you mean city? (line 1, column 26)",
    );
    for (text, says) in [
        (r#"{"named":{"k":{"sizes":["x"]}}}"#, "named[k].sizes[0]: \"x\" is not an int32"),
        (r#"{"maybe":2147483648}"#, "maybe: 2147483648 does not fit int32"),
        (r#"{"maybe":1.5}"#, "maybe: 1.5 is not an int32"),
        (r#"{"maybe":[1]}"#, "maybe: a list is not an int32"),
        (r#"{"maybe":"many"}"#, "maybe: \"many\" is not an int32"),
        (r#"{"byInt":{"x":""}}"#, "by_int[x]: \"x\" is not an int32"),
        (r#"{"byBool":{"yes":""}}"#, "by_bool[yes]: \"yes\" is neither true nor false"),
        (r#"{"tags":"x"}"#, "tags: \"x\" is not a list"),
        (r#"{"tags":[1]}"#, "tags[0]: 1 is not a string, which JSON writes in quotes"),
        (r#"{"labels":[]}"#, "labels: a list is not a map, an object"),
        (r#"{"place":"Seoul"}"#, "place: \"Seoul\" is not a rich.Place, an object"),
        (r#"{"level":"LOW"}"#, "did you mean LEVEL_LOW?"),
        (r#"{"levels":["LEVEL_HIHG"]}"#, "levels[0]: \"LEVEL_HIHG\" is none of LEVEL_UNSPECIFIED"),
        (r#"{"photo":"?"}"#, "photo: \"?\" is not base64"),
        (r#"{"photo":"@/etc/passwd"}"#, "photo: \"@/etc/passwd\" is not base64"),
        (r#"{"at":"noon"}"#, "at: \"noon\" is not a google.protobuf.Timestamp: "),
        (r#"{"ttl":"5"}"#, "ttl: \"5\" is not a duration: a unit is missing"),
        (r#"{"wrapped":"x"}"#, "wrapped: \"x\" is not an int32"),
        (r#"{"later":"yes"}"#, "later: \"yes\" is neither true nor false"),
        (r#"{"anything":{"@type":"x/no.Such"}}"#, "anything: message 'no.Such' not found"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains(says), "{text}: {error}");
        assert!(error.contains(" (line 1, column "), "{text}: {error}");
    }
}

#[test]
fn two_members_of_a_oneof_are_both_named_and_null_is_none() {
    let error = read(r#"{"card":"1","cash":{}}"#).unwrap_err();
    assert!(error.contains("only one of card and cash may be given"), "{error}");
    assert!(read(r#"{"card":null,"cash":{"name":null}}"#).is_ok());
    assert!(read(r#"{"card":"1","maybe":null,"cash":{}}"#).is_err());
}

#[test]
fn a_name_that_is_given_twice_is_refused_whichever_way_it_is_written() {
    for text in [r#"{"card":"1","card":"2"}"#, r#"{"anyJson":1,"any_json":2}"#] {
        assert!(read(text).unwrap_err().contains("is given twice"), "{text}");
    }
    assert!(
        read(r#"{"labels":{"a":"1","a":"2"}}"#).unwrap_err().starts_with("labels[a]: is given")
    );
}

#[test]
fn what_is_no_json_says_so_and_where() {
    for (text, says) in [
        ("", "not JSON: EOF while parsing a value (line 1, column 0)"),
        ("{\"tags\":[\"x\"", "tags[1]: not JSON: EOF while parsing a list (line 1, column 12)"),
        ("{} {}", "not JSON: trailing characters (line 1, column 4)"),
    ] {
        refused(text, says);
    }
    assert!(read("[]").unwrap_err().starts_with("a list is not a rich.Order, an object"));
}

#[test]
fn nesting_bombs_name_the_limit_and_take_no_stack() {
    let deep = 100_000;
    for (start, level) in [
        (r#"{"place":"#, r#"{"within":"#),
        (r#"{"extra":{"a":"#, "["),
        (r#"{"any_json":"#, r#"{"a":"#),
        (r#"{"list":"#, "["),
        (r#"{"anything":{"@type":"type.googleapis.com/google.protobuf.Value","value":"#, "["),
        (r#"{"anything":{"value":"#, "["),
    ] {
        let error = read(&format!("{start}{}", level.repeat(deep))).unwrap_err();
        assert!(error.contains("nested deeper than 100 levels, the limit"), "{start}: {error}");
        assert!(error.len() < 200, "{error}");
    }
    assert!(read(&"[".repeat(deep)).unwrap_err().starts_with("a list is not a rich.Order"));
    assert!(read(&r#"{"maybe":"#.repeat(deep)).unwrap_err().contains("an object is not an int32"));
    // As deep as is allowed.
    let levels = NESTING_MAX - 1;
    let text =
        format!(r#"{{"place":{}{{}}{}"#, r#"{"within":"#.repeat(levels - 1), "}".repeat(levels));
    assert!(read(&text).is_ok(), "{:?}", read(&text));
}

#[test]
fn a_field_alone_is_read_like_in_its_message() {
    let order = order();
    let one = |name: &str, text: &str| {
        let read = field(&order.get_field_by_name(name).unwrap(), text);
        read.map_err(|wrong| wrong.below(name))
    };
    assert_eq!(one("tags", r#"["a"]"#).unwrap().unwrap().as_list().unwrap().len(), 1);
    assert!(one("items", "null").unwrap().is_none());
    let error = one("items", r#"[{"count":"x"}]"#).unwrap_err();
    assert_eq!(error, "items[0].count: \"x\" is not a uint32 (line 1, column 13)");
}
