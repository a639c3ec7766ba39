//! Every feature of messages goes there and back through a real server, with both clients.

mod support;

use std::collections::HashMap;

use support::serve;
use udp_rpc::prost::{Message, Name};
use udp_rpc::prost_types;
use udp_rpc_stubs::proto::stubs::{legacy, scalars, structure, well_known};

/// What gives back what it gets.
struct Mirrored;

mirror!(scalars::mirror::Mirror {
    plain: scalars::Scalars,
    optional: scalars::OptionalScalars,
    repeated: scalars::RepeatedScalars,
    unpacked: scalars::UnpackedScalars,
});

mirror!(structure::mirror::Mirror {
    tree: structure::Tree,
    colours: structure::Colours,
    maps: structure::Maps,
    choice: structure::Choice,
});

mirror!(legacy::mirror::Mirror { old: legacy::Old });

fn scalars() -> scalars::Scalars {
    scalars::Scalars {
        double_value: -1.5e300,
        float_value: f32::MIN_POSITIVE,
        int32_value: i32::MIN,
        int64_value: i64::MIN,
        uint32_value: u32::MAX,
        uint64_value: u64::MAX,
        sint32_value: i32::MIN,
        sint64_value: i64::MIN,
        fixed32_value: u32::MAX,
        fixed64_value: u64::MAX,
        sfixed32_value: i32::MIN,
        sfixed64_value: i64::MIN,
        bool_value: true,
        string_value: "Grüße, 안녕\0".into(),
        bytes_value: (0..=255).collect(),
    }
}

#[test]
fn scalars_of_every_type() {
    let mut served = serve([scalars::mirror::service(Mirrored)]);
    assert_mirrored!(served, scalars::mirror, plain, [scalars(), scalars::Scalars::default()]);
}

#[test]
fn optional_scalars_that_are_set_to_their_default_are_not_left_out() {
    let zeroes = scalars::OptionalScalars {
        double_value: Some(0.0),
        float_value: Some(0.0),
        int32_value: Some(0),
        int64_value: Some(0),
        uint32_value: Some(0),
        uint64_value: Some(0),
        sint32_value: Some(0),
        sint64_value: Some(0),
        fixed32_value: Some(0),
        fixed64_value: Some(0),
        sfixed32_value: Some(0),
        sfixed64_value: Some(0),
        bool_value: Some(false),
        string_value: Some(String::new()),
        bytes_value: Some(Vec::new()),
    };
    let mut served = serve([scalars::mirror::service(Mirrored)]);
    let values = [zeroes, scalars::OptionalScalars::default()];
    assert_mirrored!(served, scalars::mirror, optional, values);
}

#[test]
fn repeated_scalars_packed_and_not() {
    let one = scalars();
    let lists = scalars::RepeatedScalars {
        double_value: vec![one.double_value, 0.0, f64::INFINITY],
        float_value: vec![one.float_value, f32::NEG_INFINITY],
        int32_value: vec![one.int32_value, 0, i32::MAX],
        int64_value: vec![one.int64_value, 0, i64::MAX],
        uint32_value: vec![one.uint32_value, 0],
        uint64_value: vec![one.uint64_value, 0],
        sint32_value: vec![one.sint32_value, 0, i32::MAX],
        sint64_value: vec![one.sint64_value, 0, i64::MAX],
        fixed32_value: vec![one.fixed32_value, 0],
        fixed64_value: vec![one.fixed64_value, 0],
        sfixed32_value: vec![one.sfixed32_value, 0, i32::MAX],
        sfixed64_value: vec![one.sfixed64_value, 0, i64::MAX],
        bool_value: vec![true, false],
        string_value: vec![one.string_value, String::new()],
        bytes_value: vec![Vec::new(), vec![0; 3]],
    };
    let unpacked =
        scalars::UnpackedScalars { int32_value: vec![1, -1], bool_value: vec![false, true] };
    // Key and value for each, in place of one key for all: so it really is unpacked.
    assert_eq!(unpacked.encode_to_vec().iter().filter(|byte| **byte == 0x08).count(), 2);
    let mut served = serve([scalars::mirror::service(Mirrored)]);
    assert_mirrored!(served, scalars::mirror, repeated, [lists]);
    assert_mirrored!(served, scalars::mirror, unpacked, [unpacked]);
}

#[test]
fn messages_that_contain_themselves() {
    use structure::{Tree, tree::Also};
    let leaf = |n| Tree { also: Some(Also::Leaf(n)), ..Tree::default() };
    let tree = Tree {
        name: "root".into(),
        left: Some(Box::new(leaf(1))),
        children: vec![leaf(2), Tree { left: Some(Box::new(leaf(3))), ..Tree::default() }],
        named: HashMap::from([("four".into(), leaf(4)), (String::new(), leaf(5))]),
        also: Some(Also::Other(Box::new(leaf(6)))),
    };
    let mut served = serve([structure::mirror::service(Mirrored)]);
    assert_mirrored!(served, structure::mirror, tree, [tree, Tree::default()]);
}

#[test]
fn enums_with_aliases_negative_and_unknown_values() {
    use structure::{Colour, Colours, colours::Mix, colours::Shade, colours::mix::Part};
    let colours = Colours {
        one: Colour::DeepBlue.into(),
        perhaps: Some(Colour::Unspecified.into()),
        many: vec![Colour::Red.into(), 77],
        shade: Shade::Below.into(),
        mix: Some(Mix { parts: vec![Part { colour: 1, shade: Shade::Light.into() }] }),
    };
    assert_eq!(colours.one(), Colour::DeepBlue);
    assert_eq!(Colour::try_from(77).ok(), None);
    assert_eq!(Shade::Below as i32, -1);
    let mut served = serve([structure::mirror::service(Mirrored)]);
    assert_mirrored!(served, structure::mirror, colours, [colours, Colours::default()]);
}

#[test]
fn maps_with_keys_and_values_of_every_type() {
    use structure::{Colour, Maps, colours::Mix, colours::Shade, colours::mix::Part};
    let part = Part { colour: Colour::Red.into(), shade: Shade::None.into() };
    let maps = Maps {
        int32_keys: [(-1, "minus".into()), (0, String::new())].into(),
        int64_keys: [(i64::MIN, vec![0, 255])].into(),
        uint32_keys: [(u32::MAX, 0.25)].into(),
        uint64_keys: [(u64::MAX, true), (0, false)].into(),
        sint32_keys: [(i32::MIN, i64::MIN)].into(),
        sint64_keys: [(i64::MIN, i32::MIN)].into(),
        fixed32_keys: [(7, -0.5)].into(),
        fixed64_keys: [(7, u64::MAX)].into(),
        sfixed32_keys: [(-7, i64::MAX)].into(),
        sfixed64_keys: [(-7, Colour::DeepBlue.into()), (8, Colour::Unspecified.into())].into(),
        bool_keys: [(false, Shade::Below.into()), (true, Shade::Light.into())].into(),
        string_keys: [("mix".into(), Mix { parts: vec![part] })].into(),
    };
    let mut served = serve([structure::mirror::service(Mirrored)]);
    assert_mirrored!(served, structure::mirror, maps, [maps, Maps::default()]);
}

#[test]
fn alternatives_of_every_kind_even_when_they_are_default() {
    use structure::choice::{Kind, KindOneOf, Second};
    use structure::{Choice, Colour};
    let kinds = [
        KindOneOf::Number(0.0),
        KindOneOf::Text(String::new()),
        KindOneOf::Raw(vec![1]),
        KindOneOf::Colour(Colour::Red.into()),
        KindOneOf::Message(Kind { of_a_kind: true }),
        KindOneOf::Yes(false),
    ];
    let mut values: Vec<Choice> =
        kinds.map(|kind| Choice { kind: Some(kind), ..Choice::default() }).into();
    let beside = Some("both".to_owned());
    values.push(Choice { second: Some(Second::Low(-1)), beside, ..Choice::default() });
    values.push(Choice { second: Some(Second::High(0)), ..Choice::default() });
    values.push(Choice::default());
    let mut served = serve([structure::mirror::service(Mirrored)]);
    assert_mirrored!(served, structure::mirror, choice, values);
}

#[test]
fn proto2_with_defaults_required_fields_and_groups() {
    use legacy::{Old, old};
    let bare = Old { name: "bare".into(), ..Old::default() };
    assert_eq!((bare.count(), bare.text(), bare.raw()), (7, "a \"b\" c", &[0, 255][..]));
    assert_eq!(bare.kind(), old::Kind::Second);
    let full = Old {
        count: Some(0),
        text: Some(String::new()),
        raw: Some(vec![]),
        kind: Some(old::Kind::First.into()),
        unpacked: vec![1, 2],
        packed: vec![3, 4],
        part: vec![old::Part { flag: Some(true) }, old::Part { flag: None }],
        ..bare.clone()
    };
    let mut served = serve([legacy::mirror::service(Mirrored)]);
    assert_mirrored!(served, legacy::mirror, old, [bare, full]);
}

type Answer<T> = Result<T, udp_rpc::service::Status>;
type Call<'a> = udp_rpc::service::Context<'a>;

impl well_known::mirror::Mirror for Mirrored {
    fn all(&self, _: &Call<'_>, request: well_known::All) -> Answer<well_known::All> {
        Ok(request)
    }
    fn any(&self, _: &Call<'_>, request: prost_types::Any) -> Answer<prost_types::Any> {
        Ok(request)
    }
    fn api(&self, _: &Call<'_>, request: prost_types::Api) -> Answer<prost_types::Api> {
        Ok(request)
    }
    fn duration(
        &self,
        _: &Call<'_>,
        request: prost_types::Duration,
    ) -> Answer<prost_types::Duration> {
        Ok(request)
    }
    fn empty(&self, _: &Call<'_>, (): ()) -> Answer<()> {
        Ok(())
    }
    fn field_mask(
        &self,
        _: &Call<'_>,
        request: prost_types::FieldMask,
    ) -> Answer<prost_types::FieldMask> {
        Ok(request)
    }
    fn source_context(
        &self,
        _: &Call<'_>,
        request: prost_types::SourceContext,
    ) -> Answer<prost_types::SourceContext> {
        Ok(request)
    }
    fn r#struct(&self, _: &Call<'_>, request: prost_types::Struct) -> Answer<prost_types::Struct> {
        Ok(request)
    }
    fn value(&self, _: &Call<'_>, request: prost_types::Value) -> Answer<prost_types::ListValue> {
        Ok(prost_types::ListValue { values: vec![request] })
    }
    fn timestamp(
        &self,
        _: &Call<'_>,
        request: prost_types::Timestamp,
    ) -> Answer<prost_types::Timestamp> {
        Ok(request)
    }
    fn r#type(&self, _: &Call<'_>, request: prost_types::Type) -> Answer<prost_types::Type> {
        Ok(request)
    }
    fn double(&self, _: &Call<'_>, request: f64) -> Answer<f64> {
        Ok(request)
    }
    fn float(&self, _: &Call<'_>, request: f32) -> Answer<f32> {
        Ok(request)
    }
    fn int64(&self, _: &Call<'_>, request: i64) -> Answer<i64> {
        Ok(request)
    }
    fn u_int64(&self, _: &Call<'_>, request: u64) -> Answer<u64> {
        Ok(request)
    }
    fn int32(&self, _: &Call<'_>, request: i32) -> Answer<i32> {
        Ok(request)
    }
    fn u_int32(&self, _: &Call<'_>, request: u32) -> Answer<u32> {
        Ok(request)
    }
    fn bool(&self, _: &Call<'_>, request: bool) -> Answer<bool> {
        Ok(request)
    }
    fn string(&self, _: &Call<'_>, request: String) -> Answer<String> {
        Ok(request)
    }
    fn bytes(&self, _: &Call<'_>, request: Vec<u8>) -> Answer<Vec<u8>> {
        Ok(request)
    }
}

fn value(kind: prost_types::value::Kind) -> prost_types::Value {
    prost_types::Value { kind: Some(kind) }
}

#[test]
fn well_known_types_in_fields() {
    use prost_types::value::Kind;
    let time = prost_types::Timestamp { seconds: -1, nanos: 999_999_999 };
    let duration = prost_types::Duration { seconds: -3, nanos: -5 };
    let list = prost_types::ListValue {
        values: vec![value(Kind::NullValue(0)), value(Kind::BoolValue(true))],
    };
    let fields = [("list".to_owned(), value(Kind::ListValue(list.clone())))];
    let all = well_known::All {
        any: Some(prost_types::Any::from_msg(&scalars()).unwrap()),
        duration: Some(duration),
        empty: Some(()),
        field_mask: Some(prost_types::FieldMask { paths: vec!["a.b".into()] }),
        r#struct: Some(prost_types::Struct { fields: fields.into() }),
        value: Some(value(Kind::NumberValue(0.5))),
        list_value: Some(list),
        null_value: prost_types::NullValue::NullValue.into(),
        timestamp: Some(time),
        double_value: Some(0.0),
        string_value: Some(String::new()),
        bytes_value: Some(vec![0]),
        times: vec![time, prost_types::Timestamp::default()],
        durations: [("d".to_owned(), duration)].into(),
        either: Some(well_known::all::Either::Flag(false)),
    };
    let any = all.any.as_ref().unwrap();
    assert_eq!(any.type_url, "type.googleapis.com/stubs.scalars.Scalars");
    assert_eq!(any.to_msg::<scalars::Scalars>().unwrap(), scalars());
    assert_eq!(any.type_url, scalars::Scalars::type_url());
    let mut served = serve([well_known::mirror::service(Mirrored)]);
    assert_mirrored!(served, well_known::mirror, all, [all, well_known::All::default()]);
}

#[test]
fn well_known_types_as_whole_requests_and_replies() {
    use prost_types::value::Kind;
    let mut served = serve([well_known::mirror::service(Mirrored)]);
    let any = prost_types::Any { type_url: "x/y".into(), value: vec![1] };
    assert_mirrored!(served, well_known::mirror, any, [any]);
    let context = prost_types::SourceContext { file_name: "a".into() };
    let api = prost_types::Api {
        name: "api".into(),
        source_context: Some(context.clone()),
        ..prost_types::Api::default()
    };
    assert_mirrored!(served, well_known::mirror, api, [api]);
    let duration = prost_types::Duration { seconds: 1, nanos: 2 };
    assert_mirrored!(served, well_known::mirror, duration, [duration]);
    assert_mirrored!(served, well_known::mirror, empty, [()]);
    let mask = prost_types::FieldMask { paths: vec!["a".into(), "b".into()] };
    assert_mirrored!(served, well_known::mirror, field_mask, [mask]);
    assert_mirrored!(served, well_known::mirror, source_context, [context]);
    let fields = [("n".to_owned(), value(Kind::NumberValue(1.0)))];
    let object = prost_types::Struct { fields: fields.into() };
    assert_mirrored!(served, well_known::mirror, r#struct, [object]);
    let time = prost_types::Timestamp { seconds: 1, nanos: 2 };
    assert_mirrored!(served, well_known::mirror, timestamp, [time]);
    let item = prost_types::Type { name: "t".into(), ..prost_types::Type::default() };
    assert_mirrored!(served, well_known::mirror, r#type, [item]);
    assert_mirrored!(served, well_known::mirror, double, [0.0, -0.5]);
    assert_mirrored!(served, well_known::mirror, float, [0.0, -0.5]);
    assert_mirrored!(served, well_known::mirror, int64, [0, i64::MIN]);
    assert_mirrored!(served, well_known::mirror, u_int64, [0, u64::MAX]);
    assert_mirrored!(served, well_known::mirror, int32, [0, i32::MIN]);
    assert_mirrored!(served, well_known::mirror, u_int32, [0, u32::MAX]);
    assert_mirrored!(served, well_known::mirror, bool, [false, true]);
    assert_mirrored!(served, well_known::mirror, string, [String::new(), "ü".to_owned()]);
    assert_mirrored!(served, well_known::mirror, bytes, [vec![], vec![0, 255]]);
    let text = value(Kind::StringValue("v".into()));
    let mut blocking = well_known::mirror::BlockingMirrorClient::new(&mut served.blocking);
    assert_eq!(blocking.value(&text).unwrap().values, [text]);
}
