use serde_json::json;

use super::*;
use crate::path;
use crate::testing::order;

/// The request that these arguments fill, as JSON.
fn filled(arguments: &[&str]) -> Result<serde_json::Value, String> {
    let mut filling = Filling::new(&order());
    for argument in arguments {
        let (steps, text) = path::split(argument)?.unwrap();
        filling.set(&steps, text)?;
    }
    Ok(serde_json::to_value(filling.finish()).unwrap())
}

#[track_caller]
fn fills(arguments: &[&str], json: serde_json::Value) {
    assert_eq!(filled(arguments).as_ref(), Ok(&json), "{arguments:?}");
}

#[track_caller]
fn refused(arguments: &[&str], says: &str) {
    let error = filled(arguments).unwrap_err();
    assert!(error.starts_with(says), "{arguments:?}: {error}");
}

#[test]
fn paths_go_into_messages_by_the_names_of_fields() {
    fills(
        &["place.city=Seoul", "place.postal_code=04524", "place.within.city=Korea"],
        json!({"place": {"city": "Seoul", "postalCode": "04524", "within": {"city": "Korea"}}}),
    );
    // In brackets, and by the name that JSON has for it.
    fills(&["place[postalCode]=1"], json!({"place": {"postalCode": "1"}}));
    fills(&[r#"place={"city":"Seoul"}"#], json!({"place": {"city": "Seoul"}}));
}

#[test]
fn lists_grow_by_repetition_by_index_and_by_json() {
    fills(&["tags=a", "tags=b"], json!({"tags": ["a", "b"]}));
    fills(&[r#"tags=["a","b"]"#, "tags=c", "tags[]=[d"], json!({"tags": ["a", "b", "c", "[d"]}));
    fills(
        &["items[0].name=x", "items[0].count=2", "items[1].name=y", "items[].sizes=7"],
        json!({"items": [{"name": "x", "count": 2}, {"name": "y"}, {"sizes": [7]}]}),
    );
    fills(&[r#"items={"name":"x"}"#], json!({"items": [{"name": "x"}]}));
    fills(&["levels=LEVEL_LOW", "levels=2"], json!({"levels": ["LEVEL_LOW", "LEVEL_HIGH"]}));
}

#[test]
fn maps_go_by_keys_of_every_type() {
    fills(
        &["labels.a=1", "labels[b.c]=2", r"labels.d\.e=3"],
        json!({"labels": {"a": "1", "b.c": "2", "d.e": "3"}}),
    );
    fills(
        &["by_int[-7]=m", "by_bool.true=t", "by_big[18446744073709551615]=LEVEL_LOW"],
        json!({"byInt": {"-7": "m"}, "byBool": {"true": "t"},
            "byBig": {"18446744073709551615": "LEVEL_LOW"}}),
    );
    fills(
        &["named.k.count=1", "named.k.sizes=2", r#"named={"j":{}}"#],
        json!({"named": {"k": {"count": 1, "sizes": [2]}, "j": {}}}),
    );
    refused(&["by_int.x=1"], "by_int: as a key, \"x\" is not an int32");
    refused(
        &["labels=a"],
        "labels: \"a\" is not a map, which is JSON, {…}, or given by keys ([string]=",
    );
    refused(&["labels[]=a"], "labels: a map's key is missing");
}

#[test]
fn well_known_types_are_written_as_people_write_them() {
    fills(
        &["at=2026-01-02T03:04:05Z", "ttl=7days", "mask=a,b.c_d", "wrapped=-5", "later=true"],
        json!({"at": "2026-01-02T03:04:05Z", "ttl": "604800s", "mask": "a,b.cD",
            "wrapped": -5, "later": true}),
    );
    fills(&["any_json=hello"], json!({"anyJson": "hello"}));
    fills(&["any_json=[1,true]"], json!({"anyJson": [1.0, true]}));
    fills(&["any_json=12"], json!({"anyJson": 12.0}));
    fills(
        &["extra.a=1", "extra.b.c=x", "extra.d[0]=true", "extra.d[1].e=null", "list[]=x"],
        json!({"extra": {"a": 1.0, "b": {"c": "x"}, "d": [true, {"e": null}]}, "list": ["x"]}),
    );
    fills(
        &[r#"anything={"@type":"type.googleapis.com/rich.Place","city":"Busan"}"#],
        json!({"anything": {"@type": "type.googleapis.com/rich.Place", "city": "Busan"}}),
    );
    fills(&["wrapped_bytes=AA=="], json!({"wrappedBytes": "AA=="}));
    refused(&["at=noon"], "at: \"noon\" is not a google.protobuf.Timestamp: ");
    refused(&["ttl=5"], "ttl: \"5\" is not a duration: a unit is missing");
    refused(&["extra.a[0]=1", "extra.a.b=1"], "extra[a]: is an object and a list at once");
}

#[test]
fn what_is_given_is_given_once() {
    refused(&["place.city=a", "place.city=b"], "place.city is given twice");
    refused(&["place.city=a", "place={}"], "place is given whole and by its parts");
    refused(&["place={}", "place.city=a"], "place is given whole and by its parts");
    refused(&["tags[0]=a", "tags[0]=b"], "tags[0] is given twice");
    refused(&["labels.a=1", "labels[a]=2"], "labels[a] is given twice");
    refused(&["by_int[1]=a", "by_int[01]=b"], "by_int[1] is given twice");
    refused(&["labels.a=1", r#"labels={"a":"2"}"#], "labels[a] is given twice");
    refused(&["items[0]={}", "items[0].name=a"], "items[0] is given whole and by its parts");
    refused(&["maybe=1", "maybe=1"], "maybe is given twice");
}

#[test]
fn two_members_of_a_oneof_are_both_named() {
    refused(&["card=1", "cash.count=1"], "only one of card and cash may be given");
    refused(&["cash.count=0", "later=true"], "only one of cash and later may be given");
    fills(&["cash.count=1", "cash.name=a"], json!({"cash": {"count": 1, "name": "a"}}));
    fills(&["card="], json!({"card": ""}));
}

#[test]
fn a_path_that_leads_nowhere_says_where_it_ends() {
    refused(&["place.ctiy=x"], "place: there is no field \"ctiy\" (rich.Place has city, ");
    refused(&["place.city.x=1"], "place.city: a string has no parts, so no x");
    refused(
        &["items.name=x"],
        "items: it is a list, so [0].name is of the first, [].name of a new",
    );
    refused(&["items[1].name=x"], "items: there is no [1], the next is [0]");
    refused(&["items[-1].name=x"], "items: [-1] is no element's number");
    refused(
        &["items[99999999999999999999].name=x"],
        "items: [99999999999999999999] is no element's",
    );
    refused(&["place[]=x"], "place: rich.Place is no list");
    refused(&["place=Seoul"], "place: \"Seoul\" is not a rich.Place, which is JSON");
    refused(&["items[0].count=-1"], "items[0].count: -1 does not fit uint32");
    refused(
        &[r#"items=[{"count":-1}]"#],
        "items[0].count: -1 does not fit uint32 (line 1, column ",
    );
    refused(&["tags=[x"], "tags[0]: not JSON: expected value (line 1, column 2); text that begins");
    refused(&[r#"place={"within":{"x":1}}"#], "place.within: there is no field \"x\"");
    refused(
        &["level=HIGH"],
        "level: \"HIGH\" is none of LEVEL_UNSPECIFIED, LEVEL_LOW, LEVEL_HIGH; did",
    );
}

#[test]
fn deep_json_for_a_field_names_the_limit() {
    let bomb = "[".repeat(100_000);
    refused(&[&format!("tags={bomb}")], "tags[0]: a list is not a string");
    for name in ["any_json", "list", "extra.x"] {
        let error = filled(&[&format!("{name}={bomb}")]).unwrap_err();
        assert!(error.contains("nested deeper than 100 levels, the limit"), "{error}");
    }
    let within = format!("place={}", r#"{"within":"#.repeat(50_000));
    assert!(filled(&[&within]).unwrap_err().contains("100 levels"));
}
