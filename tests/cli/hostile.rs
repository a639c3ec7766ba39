//! Servers whose reflection lies: a clear error, in little time and memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto,
    FileDescriptorProto, FileDescriptorSet, MessageOptions, MethodDescriptorProto,
    ServiceDescriptorProto,
};
use udp_rpc::server::Running;
use udp_rpc::service::generated::v1::statistics::READ;
use udp_rpc::service::generated::v1::{
    DescribeReply, DescribeRequest, Gauge, ListReply, MethodSummary, ReadReply, ReadRequest,
};
use udp_rpc::service::{Registry, Status};

use crate::reflected::{SHOP, compile, listing, part, reflecting, serve};
use crate::run::{Run, at};

/// How every lie about the types is called.
const NO_GOOD: &str = "the description of place is no good: ";

/// Calls a method of a server that describes it so.
fn call(server: &Running) -> Run {
    at(server.local_addr(), &["call", "place", "-d", "{}", "-o", "raw"])
}

/// Checks that a lie is one to everybody who asks for types: the call is not sent, and nobody
/// panics.
#[track_caller]
fn is_refused(server: &Running, says: &str) {
    let asks: [&[&str]; 3] =
        [&["call", "place", "-d", "{}"], &["describe", "place"], &["describe", "-t", "place"]];
    for arguments in asks {
        let run = at(server.local_addr(), arguments);
        assert!(run.elapsed < Duration::from_secs(20), "{run:?}");
        let run = run.fails(3, &[NO_GOOD, says, "never sent"]);
        assert!(!run.stderr.contains("panicked"), "{run:?}");
    }
}

/// A server that describes its method by these files.
fn describes(file: Vec<FileDescriptorProto>) -> Running {
    let set = FileDescriptorSet { file }.encode_to_vec();
    reflecting(move |request| Ok(part(&set, &request)))
}

/// A server that describes its method honestly, but for what `lie` changes in the reply.
fn lying(lie: impl Fn(&DescribeRequest, &mut DescribeReply) + Send + Sync + 'static) -> Running {
    let set = compile(SHOP);
    assert!(set.len() > 3_000, "it takes several parts");
    reflecting(move |request| {
        let mut reply = part(&set, &request);
        lie(&request, &mut reply);
        Ok(reply)
    })
}

#[test]
fn an_honest_description_in_parts_is_taken() {
    assert_eq!(call(&lying(|_, _| {})).code, 0);
}

#[test]
fn an_answer_without_length_is_a_whole_description() {
    let small = "syntax = \"proto3\"; package shop.v1; message A {}
        service Orders { rpc Place(A) returns (A); }";
    let set = compile(small);
    let server = reflecting(move |request| {
        Ok(DescribeReply { length: 0, checksum: 0, ..part(&set, &request) })
    });
    assert_eq!(call(&server).code, 0);
    is_refused(&lying(|_, reply| reply.length = 0), "");
}

#[test]
fn lengths_and_parts_that_do_not_fit_together_are_refused() {
    is_refused(&lying(|_, reply| reply.length = u32::MAX), "no more than 1048576");
    is_refused(&lying(|_, reply| reply.length = 10), "of 10 in all");
    is_refused(&lying(|_, reply| reply.file_descriptor_set.truncate(1)), "parts of 1 bytes");
    is_refused(&lying(|_, reply| reply.file_descriptor_set.clear()), "parts of 0 bytes");
    let ends = |request: &DescribeRequest, reply: &mut DescribeReply| {
        if request.offset > 0 {
            reply.file_descriptor_set.clear();
        }
    };
    is_refused(&lying(ends), "a part of 0 bytes at 1000");
    is_refused(&lying(|_, reply| reply.method = None), "");
    is_refused(&lying(|request, reply| reply.length += request.offset), "do not fit together");
    is_refused(&lying(|request, reply| reply.checksum ^= request.offset), "do not fit together");
    is_refused(&lying(|_, reply| reply.checksum ^= 1), "do not fit together");
}

#[test]
fn a_description_that_never_ends_is_refused_at_once() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let server = lying(move |_, reply| {
        count.fetch_add(1, Ordering::SeqCst);
        reply.length = 1 << 21;
        reply.file_descriptor_set = vec![0; 1_000];
    });
    call(&server).fails(3, &[NO_GOOD, "2097152 bytes", "1048576"]);
    assert_eq!(asked.load(Ordering::SeqCst), 1, "one part said enough");
}

#[test]
fn a_server_restarted_in_the_middle_is_asked_from_the_beginning() {
    let (old, new) = (compile(SHOP), compile(&SHOP.replace("Sundays", "Mondays")));
    let asked = AtomicUsize::new(0);
    let server = reflecting(move |request| {
        let restarted = asked.fetch_add(1, Ordering::SeqCst) > 1;
        Ok(part(if restarted { &new } else { &old }, &request))
    });
    let run = at(server.local_addr(), &["describe", "place"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("Not open on Mondays."), "{run:?}");
}

#[test]
fn a_description_that_always_changes_is_given_up() {
    let (one, other) = (compile(SHOP), compile(&SHOP.replace("Sundays", "Mondays")));
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let server = reflecting(move |request| {
        let turn = count.fetch_add(1, Ordering::SeqCst);
        Ok(part(if turn.is_multiple_of(2) { &one } else { &other }, &request))
    });
    call(&server).fails(3, &[NO_GOOD, "do not fit together"]);
    assert!(asked.load(Ordering::SeqCst) < 200, "{asked:?}");
}

/// A file with the method that is called, and a request and a reply of this type.
fn file(message: DescriptorProto) -> FileDescriptorProto {
    let name = Some(format!(".shop.v1.{}", message.name()));
    let method = MethodDescriptorProto {
        name: Some("Place".into()),
        input_type: name.clone(),
        output_type: name,
        ..Default::default()
    };
    let service = ServiceDescriptorProto {
        name: Some("Orders".into()),
        method: vec![method],
        ..Default::default()
    };
    FileDescriptorProto {
        name: Some("shop.proto".into()),
        package: Some("shop.v1".into()),
        syntax: Some("proto3".into()),
        message_type: vec![message],
        service: vec![service],
        ..Default::default()
    }
}

fn message(name: &str, field: Vec<FieldDescriptorProto>) -> DescriptorProto {
    DescriptorProto { name: Some(name.into()), field, ..Default::default() }
}

fn field(name: &str, number: i32, kind: Type, type_name: Option<&str>) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.into()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(kind.into()),
        type_name: type_name.map(Into::into),
        ..Default::default()
    }
}

#[test]
fn messages_nested_too_deep_are_refused() {
    let deep = |levels: usize| {
        let around =
            |inner, _| DescriptorProto { nested_type: vec![inner], ..message("A", vec![]) };
        (1..levels).fold(message("A", vec![]), around)
    };
    is_refused(&describes(vec![file(deep(40))]), "32 deep");
    is_refused(&describes(vec![file(deep(400))]), "do not decode");
}

#[test]
fn files_that_import_each_other_or_what_is_missing_are_refused() {
    let imports = |name: &str, import: &str| FileDescriptorProto {
        name: Some(name.into()),
        dependency: vec![import.into()],
        public_dependency: vec![0],
        ..file(message("A", vec![]))
    };
    is_refused(&describes(vec![imports("a", "b"), imports("b", "a")]), "imports itself");
    is_refused(&describes(vec![imports("a", "a")]), "imports itself");
    is_refused(&describes(vec![imports("a", "nosuch")]), "nosuch");
}

#[test]
fn types_that_are_missing_or_no_types_are_refused() {
    let refers = |to| file(message("A", vec![field("a", 1, Type::Message, Some(to))]));
    is_refused(&describes(vec![refers(".shop.v1.Nosuch")]), "Nosuch");
    is_refused(&describes(vec![refers(".shop.v1.Orders")]), "Orders");
    is_refused(
        &describes(vec![FileDescriptorProto { service: vec![], ..refers(".shop.v1.A") }]),
        "",
    );
    let strange = FieldDescriptorProto { r#type: Some(99), ..field("a", 1, Type::Int32, None) };
    is_refused(&describes(vec![file(message("A", vec![strange]))]), "that nobody knows");
    let oneof = FieldDescriptorProto { oneof_index: Some(7), ..field("a", 1, Type::Int32, None) };
    is_refused(&describes(vec![file(message("A", vec![oneof]))]), "");
}

#[test]
fn map_entries_that_are_none_are_refused() {
    let entry = |fields| DescriptorProto {
        options: Some(MessageOptions { map_entry: Some(true), ..Default::default() }),
        ..message("MapEntry", fields)
    };
    let key = |kind| field("key", 1, kind, None);
    let value = || field("value", 2, Type::Int32, None);
    let many = FieldDescriptorProto { label: Some(Label::Repeated.into()), ..value() };
    for fields in [
        vec![],
        vec![key(Type::String)],
        vec![value()],
        vec![key(Type::Double), value()],
        vec![key(Type::String), many],
    ] {
        let map = FieldDescriptorProto {
            label: Some(Label::Repeated.into()),
            ..field("map", 1, Type::Message, Some(".shop.v1.A.MapEntry"))
        };
        let a = DescriptorProto { nested_type: vec![entry(fields)], ..message("A", vec![map]) };
        is_refused(&describes(vec![file(a)]), "is no map entry");
    }
}

#[test]
fn names_that_are_none_do_not_reach_the_terminal() {
    for name in ["\x1b[2J", "", "a b", "ä"] {
        let a = message("A", vec![field(name, 1, Type::Int32, None)]);
        is_refused(&describes(vec![file(a)]), "is no name");
    }
    let file =
        FileDescriptorProto { package: Some("a.".repeat(100_000)), ..file(message("A", vec![])) };
    is_refused(&describes(vec![file]), "name");
}

#[test]
fn options_and_syntax_that_are_none_are_refused() {
    let mut sound = file(message("A", vec![])).encode_to_vec();
    // Field 8, options, of a length that its content does not have.
    sound.extend([0x42, 3, 0xff, 0xff, 0xff]);
    let mut set = vec![0x0a];
    prost::encode_length_delimiter(sound.len(), &mut set).unwrap();
    set.extend(sound);
    is_refused(&reflecting(move |request| Ok(part(&set, &request))), "do not decode");
    let new = FileDescriptorProto { syntax: Some("editions".into()), ..file(message("A", vec![])) };
    is_refused(&describes(vec![new]), "this version reads proto2 and proto3");
}

#[test]
fn garbage_is_refused() {
    let garbage: Vec<u8> = (0..5_000_u32).map(|i| (i * i % 251) as u8).collect();
    is_refused(&reflecting(move |request| Ok(part(&garbage, &request))), "do not decode");
}

/// Memory that a run may take, KiB of address space.
const MEMORY_KIB: u32 = 600_000;

/// Runs a command with little memory.
fn with_little_memory(server: &Running, arguments: &[&str]) -> Run {
    let script = format!("ulimit -v {MEMORY_KIB}; exec \"$@\"");
    crate::run::under(server.local_addr(), &["sh", "-c", &script, "sh"], arguments)
}

#[test]
fn as_many_fields_as_fit_are_read_in_little_time_and_memory() {
    // From 20,000 on, because some numbers before that are protobuf's own.
    let many = |i: i32| field(&format!("f{i}"), i, Type::Int32, None);
    let wide = describes(vec![file(message("A", (20_000..68_000).map(many).collect()))]);
    for arguments in [&["call", "place", "-d", "{}", "-o", "raw"][..], &["describe", "place"]] {
        let run = with_little_memory(&wide, arguments);
        assert!(run.elapsed < Duration::from_secs(20), "{arguments:?}: {:?}", run.elapsed);
        assert_eq!(run.code, 0, "{arguments:?}: {}", run.stderr);
    }
    let template = with_little_memory(&wide, &["describe", "-t", "place"]);
    assert!(
        template.code == 0 && template.stderr.contains("cut at 2000 fields"),
        "{}",
        template.stderr
    );
}

#[test]
fn types_in_a_long_chain_are_read_to_the_end() {
    // Whoever recurses from type to type ends here.
    let next = |i: i32| {
        message(
            &format!("M{i}"),
            vec![field("n", 1, Type::Message, Some(&format!(".shop.v1.M{}", i + 1)))],
        )
    };
    let mut chain = file(next(0));
    chain.message_type.extend((1..20_000).map(next));
    chain.message_type.push(message("M20000", vec![]));
    let server = describes(vec![chain]);
    let run = with_little_memory(&server, &["describe", "place"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.contains("message shop.v1.M20000 {"));
    let run = with_little_memory(&server, &["describe", "-t", "place"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("left out"), "{}", run.stderr);
    let call =
        with_little_memory(&server, &["call", "place", "-d", "{\"n\":{\"n\":{}}}", "-o", "raw"]);
    assert_eq!(call.code, 0, "{}", call.stderr);
}

#[test]
fn what_takes_little_on_the_way_and_much_in_memory_is_refused() {
    // Long names around many others, and files that all import each other's imports.
    let name = "w".repeat(200_000);
    let wide = file(message(&name, vec![]));
    is_refused(&describes(vec![wide]), "bytes long");
    let mut around = message(&"w".repeat(450), vec![]);
    around.nested_type = (0..75_000).map(|i| message(&format!("m{i}"), vec![])).collect();
    let server = describes(vec![file(around)]);
    with_little_memory(&server, &["call", "place", "-d", "{}"]).fails(3, &["names take more than"]);
    let mut files: Vec<_> = (0..20_000)
        .map(|i: u32| FileDescriptorProto {
            name: Some(format!("{i}")),
            dependency: i.checked_sub(1).map(|before| before.to_string()).into_iter().collect(),
            public_dependency: if i == 0 { vec![] } else { vec![0] },
            ..Default::default()
        })
        .collect();
    files.push(file(message("A", vec![])));
    let server = describes(files);
    with_little_memory(&server, &["call", "place", "-d", "{}"]).fails(3, &["20001 files"]);
}

#[test]
fn what_takes_long_ends_with_the_timeout() {
    // Every default is looked for among all values.
    let value = |i: i32| EnumValueDescriptorProto {
        name: Some(format!("V{i}")),
        number: Some(i),
        options: None,
    };
    let values = EnumDescriptorProto {
        name: Some("E".into()),
        value: (0..38_000).map(value).collect(),
        ..Default::default()
    };
    let last = |i: i32| FieldDescriptorProto {
        default_value: Some("V37999".into()),
        ..field(&format!("f{i}"), i, Type::Enum, Some("E"))
    };
    let mut slow = file(message("A", (20_000..36_000).map(last).collect()));
    slow.syntax = None;
    slow.enum_type.push(values);
    let server = describes(vec![slow]);
    let arguments = ["call", "place", "-d", "{}", "-o", "raw", "--timeout", "2s"];
    let run = at(server.local_addr(), &arguments);
    assert!(run.elapsed < Duration::from_secs(6), "{run:?}");
    assert!(run.code == 0 || run.stderr.contains("no time left"), "{run:?}");
}

#[test]
fn an_answer_nested_without_end_is_no_answer() {
    // A message that holds itself, a hundred thousand deep; the shop echoes it.
    let tree = file(message("A", vec![field("a", 1, Type::Message, Some(".shop.v1.A"))]));
    let server = describes(vec![tree]);
    let nested = format!("{}{}", "{\"a\":".repeat(120), "{}".to_owned() + &"}".repeat(120));
    let run = at(server.local_addr(), &["call", "place", "-d", &nested]);
    assert!(matches!(run.code, 1 | 2), "{run:?}");
    let deeper = format!("{}{}", "{\"a\":".repeat(100_000), "{}".to_owned() + &"}".repeat(100_000));
    let call = ["call", "place", "-d", "@-"];
    crate::run::at_with_input(server.local_addr(), &call, &deeper).fails(2, &["nested deeper"]);
}

/// A page that says where to go on.
fn page(name: &str, next_page_token: &str) -> ListReply {
    let method = MethodSummary { name: name.into(), served: true, ..Default::default() };
    ListReply { methods: vec![method], next_page_token: next_page_token.into() }
}

#[test]
fn a_list_that_does_not_go_on_is_refused() {
    let stays = listing(|_| Ok(page("a.B/C", "a.B/C")));
    let turns =
        listing(|request| Ok(page("a.B/C", if request.page_token() == "a" { "b" } else { "a" })));
    let empty = listing(|request| {
        let next_page_token = format!("{}x", request.page_token());
        Ok(ListReply { methods: Vec::new(), next_page_token })
    });
    for server in [stays, turns, empty] {
        let run = at(server.local_addr(), &["list"]);
        assert!(run.code == 1 && run.stderr.contains("the list does not go on"), "{run:?}");
    }
}

#[test]
fn a_list_that_never_ends_is_cut() {
    let asked = AtomicUsize::new(0);
    let endless = listing(move |_| {
        let page_number = asked.fetch_add(1, Ordering::SeqCst);
        let method = |i| MethodSummary { name: format!("a/{i}"), ..Default::default() };
        let methods = (0..120).map(method).collect();
        Ok(ListReply { methods, next_page_token: format!("{page_number:09}") })
    });
    let run = at(endless.local_addr(), &["list"]);
    assert!(run.code == 1 && run.stderr.contains("more than 100000 procedures"), "{}", run.stderr);
}

#[test]
fn names_in_a_list_do_not_play_with_the_terminal() {
    let server = listing(|_| Ok(page("a\x1b[2J.B/\x07C", "")));
    let run = at(server.local_addr(), &["list"]);
    assert!(run.code == 0 && !run.stdout.contains(['\x1b', '\x07']), "{run:?}");
}

/// A server whose counters are the test's own.
fn counting(
    read: impl Fn(ReadRequest) -> Result<ReadReply, Status> + Send + Sync + 'static,
) -> Running {
    let mut registry = Registry::new();
    registry.add(READ.inline(move |_, request| read(request))).unwrap();
    serve(registry)
}

fn counters(name: &str, next_page_token: &str) -> ReadReply {
    let gauges = vec![Gauge { name: name.into(), value: 1 }];
    ReadReply { gauges, next_page_token: next_page_token.into(), ..Default::default() }
}

#[test]
fn names_of_counters_do_not_play_with_the_terminal() {
    let server = counting(|_| Ok(counters("a\x1b[2J.\x07b", "")));
    let run = at(server.local_addr(), &["stats"]);
    assert!(run.code == 0 && !run.stdout.contains(['\x1b', '\x07']), "{run:?}");
}

#[test]
fn counters_that_do_not_go_on_or_never_end_are_refused() {
    let stays = counting(|_| Ok(counters("a", "a")));
    let turns =
        counting(|request| Ok(counters("a", if request.page_token() == "a" { "b" } else { "a" })));
    let empty = counting(|request| {
        let next_page_token = format!("{}x", request.page_token());
        Ok(ReadReply { next_page_token, ..Default::default() })
    });
    for server in [stays, turns, empty] {
        let run = at(server.local_addr(), &["stats"]);
        assert!(run.code == 1 && run.stderr.contains("the counters do not go on"), "{run:?}");
    }
    let asked = AtomicUsize::new(0);
    let endless = counting(move |_| {
        let page = asked.fetch_add(1, Ordering::SeqCst);
        let gauges = (0..120).map(|i| Gauge { name: format!("a{i}"), value: 0 }).collect();
        Ok(ReadReply { gauges, next_page_token: format!("{page:09}"), ..Default::default() })
    });
    let run = at(endless.local_addr(), &["stats"]);
    assert!(run.code == 1 && run.stderr.contains("more than 100000 counters"), "{run:?}");
}
