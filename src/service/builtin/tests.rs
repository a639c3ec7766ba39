//! Every built-in service through the methods that a server would run.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use prost::Message;

use super::counter::{COUNTER_NAME_LEN_MAX, COUNTERS_MAX};
use crate::service::generated::greeter::{HelloRequest, greeter};
use crate::service::generated::health::health;
use crate::service::generated::health::{HealthCheckRequest, health_check_response::ServingStatus};
use crate::service::generated::v1::*;
use crate::service::schema::Schema;
use crate::service::{
    Action, CancelToken, Gauges, Idempotency, Method, OwnedContext, Registry, Responder, Services,
    Status, Unary, testing,
};
use crate::wire::{Code, MAX_BODY};

fn services() -> Services {
    let mut registry = Registry::new();
    super::install(&mut registry).unwrap();
    registry.seal().unwrap()
}

fn method<'a>(services: &'a Services, name: &str) -> &'a Method {
    services.methods().iter().find(|method| &*method.name == name).unwrap()
}

fn call_in<Req: Message + Default + 'static, Rep: Message + Default + 'static>(
    context: OwnedContext,
    services: &Services,
    signature: Unary<Req, Rep>,
    request: Req,
) -> Result<Rep, Status> {
    let method = method(services, signature.name());
    let body = signature.encode_request(&request);
    signature.decode_reply(&testing::run_in(context, method, &body)?)
}

fn call<Req: Message + Default + 'static, Rep: Message + Default + 'static>(
    services: &Services,
    signature: Unary<Req, Rep>,
    request: Req,
) -> Result<Rep, Status> {
    call_in(testing::context(signature.name()), services, signature, request)
}

fn code<T: std::fmt::Debug>(result: Result<T, Status>) -> Code {
    result.unwrap_err().code
}

#[test]
fn all_built_in_descriptions_fit_a_datagram() {
    let services = services();
    for method in services.methods() {
        let reply = describe(&services, &method.name).unwrap();
        assert_eq!(reply.length as usize, reply.file_descriptor_set.len(), "{}", method.name);
    }
    assert_eq!(services.methods().len(), 14);
}

#[test]
fn semantics_of_the_signatures_are_those_of_the_descriptors() {
    let mut schema = Schema::default();
    schema.add(super::DESCRIPTORS).unwrap();
    macro_rules! signatures {
        ($($signature:path),* $(,)?) => {
            [$(($signature.name(), $signature.idempotency())),*]
        };
    }
    let signatures = signatures![
        calculator::ADD,
        calculator::SUBTRACT,
        calculator::MULTIPLY,
        calculator::DIVIDE,
        calculator::REMAINDER,
        counter::INCREMENT,
        counter::GET,
        echo::ECHO,
        greeter::SAY_HELLO,
        health::CHECK,
        reflection::DESCRIBE,
        reflection::LIST,
        sleep::SLEEP,
        statistics::READ,
    ];
    for (name, idempotency) in signatures {
        assert_eq!(schema.method(name).unwrap().idempotency, idempotency, "{name}");
    }
    assert_eq!(counter::INCREMENT.idempotency(), Idempotency::Unknown);
    assert_eq!(counter::GET.idempotency(), Idempotency::NoSideEffects);
}

#[test]
fn calculator_computes() {
    let services = services();
    for (signature, a, b, value) in [
        (calculator::ADD, 3, 4, 7),
        (calculator::ADD, 3, -3, 0),
        (calculator::SUBTRACT, 3, 4, -1),
        (calculator::MULTIPLY, 2, 5, 10),
        (calculator::DIVIDE, -7, 2, -3),
        (calculator::REMAINDER, -7, 2, -1),
        (calculator::ADD, i64::MAX, i64::MIN, -1),
    ] {
        let reply = call(&services, signature, Operands { a, b }).unwrap();
        assert_eq!(reply, Number { value }, "{signature:?} {a} {b}");
    }
}

#[test]
fn calculator_refuses_what_has_no_result() {
    let services = services();
    let run = |signature, a, b| code(call(&services, signature, Operands { a, b }));
    assert_eq!(run(calculator::ADD, i64::MAX, 1), Code::OutOfRange);
    assert_eq!(run(calculator::SUBTRACT, i64::MIN, 1), Code::OutOfRange);
    assert_eq!(run(calculator::MULTIPLY, i64::MAX, 2), Code::OutOfRange);
    assert_eq!(run(calculator::DIVIDE, i64::MIN, -1), Code::OutOfRange);
    assert_eq!(run(calculator::DIVIDE, 1, 0), Code::InvalidArgument);
    assert_eq!(run(calculator::REMAINDER, 1, 0), Code::InvalidArgument);
}

#[test]
fn echo_gives_back_what_it_gets() {
    let services = services();
    for message in ["", "hello", "안녕"] {
        let request = EchoRequest { message: message.into() };
        assert_eq!(call(&services, echo::ECHO, request).unwrap().message, message);
    }
}

#[test]
fn greeter_says_hi_as_in_the_tutorial() {
    let services = services();
    for (name, greeting, message) in
        [("Annie", "Hi", "Hi Annie"), ("Annie", "", "Annie"), ("", "Hi", "Hi"), ("", "", "")]
    {
        let request = HelloRequest { name: name.into(), greeting: greeting.into() };
        assert_eq!(call(&services, greeter::SAY_HELLO, request).unwrap().message, message);
    }
}

fn increment(services: &Services, name: &str, by: Option<u64>) -> Result<u64, Status> {
    let request = IncrementRequest { by, name: Some(name.into()) };
    call(services, counter::INCREMENT, request).map(|reply| reply.value)
}

#[test]
fn counter_counts_each_name_by_itself() {
    let services = services();
    let get = |name: Option<&str>| {
        let request = GetRequest { name: name.map(Into::into) };
        call(&services, counter::GET, request).unwrap().value
    };
    let nameless = call(&services, counter::INCREMENT, IncrementRequest::default()).unwrap();
    assert_eq!(nameless.value, 1);
    assert_eq!(increment(&services, "", None), Ok(2));
    assert_eq!(increment(&services, "a", Some(5)), Ok(5));
    assert_eq!((get(None), get(Some("a")), get(Some("b"))), (2, 5, 0));
}

#[test]
fn counter_that_would_overflow_stays_as_it_is() {
    let services = services();
    assert_eq!(increment(&services, "a", Some(u64::MAX)), Ok(u64::MAX));
    assert_eq!(code(increment(&services, "a", None)), Code::OutOfRange);
    assert_eq!(increment(&services, "a", Some(0)), Ok(u64::MAX));
}

#[test]
fn counters_are_bounded_in_number_and_name() {
    let services = services();
    for i in 0..COUNTERS_MAX {
        increment(&services, &format!("counter-{i}"), None).unwrap();
    }
    let status = increment(&services, "one-more", None).unwrap_err();
    assert_eq!(status.code, Code::ResourceExhausted);
    assert_eq!(status.message, "there are 1024 named counters already");
    assert_eq!(increment(&services, "counter-0", None), Ok(2));
    assert_eq!(increment(&services, "", None), Ok(1));
    let long = "n".repeat(COUNTER_NAME_LEN_MAX + 1);
    assert_eq!(code(increment(&services, &long, None)), Code::InvalidArgument);
}

/// Starts one sleep; its answer arrives in the receiver.
fn start_sleep(
    services: &Services,
    length: Duration,
) -> (CancelToken, mpsc::Receiver<Result<Vec<u8>, Status>>) {
    let Action::Deferred(run) = &method(services, sleep::SLEEP.name()).action else { panic!() };
    let context = testing::context(sleep::SLEEP.name());
    let cancel = context.cancel.clone();
    let (responder, answers) = testing::responder();
    let duration = Some(length.try_into().unwrap());
    run(context, sleep::SLEEP.encode_request(&SleepRequest { duration }), responder);
    (cancel, answers)
}

#[test]
fn thousands_sleep_at_once_and_none_wakes_early() {
    let services = services();
    let start = Instant::now();
    let length = Duration::from_millis(20);
    let sleeping: Vec<_> = (0..3000).map(|_| start_sleep(&services, length)).collect();
    for (_, answers) in sleeping {
        let reply = sleep::SLEEP.decode_reply(&answers.recv().unwrap().unwrap()).unwrap();
        assert!(Duration::try_from(reply.slept.unwrap()).unwrap() >= length);
    }
    assert!(start.elapsed() < length * 3000, "they slept one after the other");
}

#[test]
fn shorter_sleep_ends_before_a_longer_one_that_began_earlier() {
    let services = services();
    let (_long, unanswered) = start_sleep(&services, Duration::from_secs(3600));
    let (_short, answers) = start_sleep(&services, Duration::from_millis(1));
    answers.recv().unwrap().unwrap();
    assert!(unanswered.try_recv().is_err());
}

#[test]
fn sleep_ends_early_when_it_is_cancelled() {
    let services = services();
    let (cancel, answers) = start_sleep(&services, Duration::from_secs(3600));
    cancel.cancel();
    assert_eq!(code(answers.recv().unwrap()), Code::Cancelled);

    let request =
        SleepRequest { duration: Some(prost_types::Duration { seconds: 3600, nanos: 0 }) };
    let context = testing::context("");
    context.cancel.cancel();
    assert_eq!(code(call_in(context, &services, sleep::SLEEP, request)), Code::Cancelled);
}

#[test]
fn sleepers_are_answered_when_the_services_go() {
    let services = services();
    let (_cancel, answers) = start_sleep(&services, Duration::from_secs(3600));
    drop(services);
    assert_eq!(code(answers.recv().unwrap()), Code::Unavailable);
}

#[test]
fn sleep_takes_no_negative_time() {
    let services = services();
    let request =
        |seconds| SleepRequest { duration: Some(prost_types::Duration { seconds, nanos: 0 }) };
    assert_eq!(code(call(&services, sleep::SLEEP, request(-1))), Code::InvalidArgument);
    assert!(call(&services, sleep::SLEEP, SleepRequest { duration: None }).is_ok());
    let (_cancel, answers) = start_sleep(&services, Duration::from_secs(u32::MAX.into()));
    thread::yield_now();
    assert!(answers.try_recv().is_err());
}

#[test]
fn health_knows_the_server_and_its_services() {
    let services = services();
    let check = |service: &str| {
        let request = HealthCheckRequest { service: service.into() };
        call(&services, health::CHECK, request).map(|reply| reply.status())
    };
    for service in ["", "Greeter", "udprpc.v1.Calculator", "grpc.health.v1.Health"] {
        assert_eq!(check(service), Ok(ServingStatus::Serving), "{service}");
    }
    assert_eq!(code(check("udprpc.v1")), Code::NotFound);
}

fn describe(services: &Services, name: &str) -> Result<DescribeReply, Status> {
    call(
        services,
        reflection::DESCRIBE,
        DescribeRequest { name: name.into(), ..Default::default() },
    )
}

/// All parts of a description, and the first of them.
fn describe_whole(services: &Services, mut request: DescribeRequest) -> (Vec<u8>, DescribeReply) {
    let mut first: Option<DescribeReply> = None;
    let mut whole = Vec::new();
    loop {
        request.offset = u32::try_from(whole.len()).unwrap();
        let part = call(services, reflection::DESCRIBE, request.clone()).unwrap();
        assert!(part.encoded_len() <= MAX_BODY);
        whole.extend(&part.file_descriptor_set);
        let first = first.get_or_insert_with(|| part.clone());
        assert_eq!((part.length, part.checksum), (first.length, first.checksum));
        if whole.len() == part.length as usize {
            assert_eq!(crc32fast::hash(&whole), part.checksum);
            return (whole, first.clone());
        }
        let least = first.file_descriptor_set.len();
        assert!(part.file_descriptor_set.len() >= least, "a part shorter than the first");
    }
}

#[test]
fn short_names_of_all_built_in_methods_are_unique() {
    let services = services();
    for method in services.methods() {
        let (_, short) = method.name.rsplit_once('/').unwrap();
        let reply = describe(&services, &short.to_lowercase()).unwrap();
        let summary = reply.method.unwrap();
        assert_eq!(summary.name, *method.name);
        assert!(summary.served && summary.described);
        assert_eq!(Idempotency::from(summary.idempotency()), method.idempotency);
        assert!(!reply.file_descriptor_set.is_empty());
    }
}

#[test]
fn unknown_function_is_told_with_the_nearest_names() {
    let services = services();
    let status = describe(&services, "nosuch").unwrap_err();
    assert_eq!(status.code, Code::NotFound);
    assert!(status.message.starts_with("unknown function \"nosuch\"; the nearest are "));
    let status = describe(&services, "incremet").unwrap_err();
    assert!(status.message.contains("are udprpc.v1.Counter/Increment,"), "{status}");
    assert_eq!(code(describe(&services, &"x".repeat(1100))), Code::NotFound);
}

#[test]
fn streaming_methods_are_described_as_such_and_as_not_served() {
    let services = services();
    for (name, client, server) in [
        ("ParrotSaysHello", false, true),
        ("ChattyClientSaysHello", true, false),
        ("InteractingHello", true, true),
        ("watch", false, true),
    ] {
        let summary = describe(&services, name).unwrap().method.unwrap();
        assert_eq!(
            (summary.served, summary.client_streaming, summary.server_streaming),
            (false, client, server),
            "{name}"
        );
    }
}

#[test]
fn reflection_tells_about_methods_that_were_added_after_it() {
    let mut registry = Registry::new();
    super::install_standard(&mut registry).unwrap();
    registry.add(Method::inline("a.B/Raw", |_, _, _| Ok(())).no_side_effects()).unwrap();
    registry.add(Method::inline("c.D/Describe", |_, _, _| Ok(()))).unwrap();
    let services = registry.seal().unwrap();

    let reply = describe(&services, "raw").unwrap();
    let summary = reply.method.unwrap();
    assert_eq!((summary.served, summary.described), (true, false));
    assert_eq!(summary.idempotency(), IdempotencyLevel::NoSideEffects);
    assert!(reply.file_descriptor_set.is_empty());

    let status = describe(&services, "describe").unwrap_err();
    assert_eq!(status.code, Code::InvalidArgument);
    assert_eq!(
        status.message,
        "\"describe\" is ambiguous: c.D/Describe, udprpc.v1.Reflection/Describe"
    );
    assert_eq!(code(describe(&services, "calculator")), Code::NotFound, "it is not served here");
    let number = DescribeRequest { name: "Number".into(), symbols: true, ..Default::default() };
    assert_eq!(code(call(&services, reflection::DESCRIBE, number)), Code::NotFound);
}

#[test]
fn list_tells_every_method_once_and_each_page_fits() {
    let mut registry = Registry::new();
    super::install(&mut registry).unwrap();
    for i in 0..200 {
        let name = format!("{}.Service/Method{i}", "long".repeat(i % 55 + 1));
        registry.add(Method::inline(&name, |_, _, _| Ok(()))).unwrap();
    }
    let services = registry.seal().unwrap();
    let mut listed: Vec<MethodSummary> = Vec::new();
    let mut token = None;
    loop {
        let request = ListRequest { page_token: token };
        let reply = call(&services, reflection::LIST, request).unwrap();
        assert!(reply.encoded_len() <= MAX_BODY);
        listed.extend(reply.methods);
        if reply.next_page_token.is_empty() {
            break;
        }
        token = Some(reply.next_page_token);
    }
    assert!(listed.is_sorted_by(|a, b| a.name < b.name));
    let served: Vec<_> = listed.iter().filter(|m| m.served).map(|m| m.name.as_str()).collect();
    let mut expected: Vec<_> = services.methods().iter().map(|m| &*m.name).collect();
    expected.sort_unstable();
    assert_eq!(served, expected);
    let unserved = listed.iter().filter(|m| !m.served).map(|m| m.name.as_str());
    assert_eq!(
        unserved.collect::<Vec<_>>(),
        [
            "Greeter/ChattyClientSaysHello",
            "Greeter/InteractingHello",
            "Greeter/ParrotSaysHello",
            "grpc.health.v1.Health/Watch"
        ]
    );
}

/// A registry with a service whose description takes many datagrams.
fn broad() -> Services {
    let fields: String = (1..2000).map(|i| format!("int64 field{i} = {i}; // {i}\n")).collect();
    let source = format!(
        "syntax = \"proto3\"; message Wide {{ {fields} }}
         service Broad {{
             // Whatever.
             rpc Call(Wide) returns (Wide) {{ option deprecated = true; }}
         }}"
    );
    let mut registry = Registry::new();
    super::install_standard(&mut registry).unwrap();
    registry.describe(&testing::compile(&source)).unwrap();
    registry.add(Method::inline("Broad/Call", |_, _, _| Ok(()))).unwrap();
    registry.seal().unwrap()
}

#[test]
fn description_of_any_length_is_told_in_parts() {
    let services = broad();
    let request = DescribeRequest { name: "call".into(), ..Default::default() };
    let (plain, first) = describe_whole(&services, request.clone());
    let summary = first.method.unwrap();
    assert_eq!((&*summary.name, summary.deprecated), ("Broad/Call", true));
    assert!(plain.len() > 20 * MAX_BODY, "{} bytes", plain.len());
    let set = prost_types::FileDescriptorSet::decode(&*plain).unwrap();
    assert_eq!(set.file[0].message_type[0].field.len(), 1999);

    let (told, _) = describe_whole(&services, DescribeRequest { comments: true, ..request });
    let set = prost_types::FileDescriptorSet::decode(&*told).unwrap();
    assert_eq!(set.file[0].source_code_info.as_ref().unwrap().location.len(), 2000);
}

#[test]
fn parts_leave_room_for_the_metadata_of_the_reply() {
    let services = broad();
    let context = testing::context("");
    context.reply_metadata.insert("key", "x".repeat(500)).unwrap();
    let request = DescribeRequest { name: "call".into(), ..Default::default() };
    let taken = context.reply_metadata.get().borrow().option_len();
    let reply = call_in(context, &services, reflection::DESCRIBE, request).unwrap();
    assert!((MAX_BODY - 2..=MAX_BODY).contains(&(reply.encoded_len() + taken)), "{taken}");
}

#[test]
fn parts_past_the_end_are_empty_and_say_the_length() {
    let services = broad();
    let request = DescribeRequest { name: "call".into(), ..Default::default() };
    let length = describe(&services, "call").unwrap().length;
    for offset in [length, length + 1, u32::MAX] {
        let part = DescribeRequest { offset, ..request.clone() };
        let part = call(&services, reflection::DESCRIBE, part).unwrap();
        assert_eq!((part.file_descriptor_set.len(), part.length), (0, length));
    }
}

#[test]
fn services_and_types_are_described_if_they_are_asked_for() {
    let services = services();
    let symbol = |name: &str| {
        let request = DescribeRequest { name: name.into(), symbols: true, ..Default::default() };
        call(&services, reflection::DESCRIBE, request)
    };
    for (query, name) in [
        ("calculator", "udprpc.v1.Calculator"),
        ("udprpc.v1.Operands", "udprpc.v1.Operands"),
        ("servingstatus", "grpc.health.v1.HealthCheckResponse.ServingStatus"),
    ] {
        let reply = symbol(query).unwrap();
        assert_eq!((&*reply.symbol, &reply.method), (name, &None));
        assert!(!reply.file_descriptor_set.is_empty());
        assert_eq!(code(describe(&services, query)), Code::NotFound);
    }
    // A method goes before what has the same name otherwise.
    let reply = symbol("sleep").unwrap();
    assert_eq!((&*reply.method.unwrap().name, &*reply.symbol), ("udprpc.v1.Sleep/Sleep", ""));
    let status = symbol("nosuch").unwrap_err();
    assert!(status.message.starts_with("unknown function \"nosuch\""), "{status}");
}

#[test]
fn method_that_the_schema_declares_as_streaming_cannot_be_served() {
    let mut registry = Registry::new();
    registry.describe(super::DESCRIPTORS).unwrap();
    registry.add(Method::inline("Greeter/ParrotSaysHello", |_, _, _| Ok(()))).unwrap();
    assert_eq!(
        registry.seal().unwrap_err().to_string(),
        "method Greeter/ParrotSaysHello is declared as streaming and registered as unary"
    );
}

#[test]
fn semantics_of_a_raw_method_come_from_its_schema() {
    let mut registry = Registry::new();
    registry.describe(super::DESCRIPTORS).unwrap();
    registry.add(Method::inline("udprpc.v1.Echo/Echo", |_, _, _| Ok(()))).unwrap();
    let services = registry.seal().unwrap();
    assert_eq!(services.methods()[0].idempotency, Idempotency::NoSideEffects);
}

/// As many gauges as the test wants.
struct Many(u64);

impl Gauges for Many {
    fn read(&self, visit: &mut dyn FnMut(&str, u64)) {
        for i in (0..self.0).rev() {
            visit(&format!("server.datagrams.of_kind_{i:04}"), i);
        }
        visit(&"x".repeat(2000), 1);
    }
}

#[test]
fn statistics_tell_every_gauge_once_and_each_page_fits() {
    let services = services();
    let mut read = BTreeMap::new();
    let mut request = ReadRequest::default();
    loop {
        let mut context = testing::context("");
        context.gauges = Arc::new(Many(300));
        let reply = call_in(context, &services, statistics::READ, request).unwrap();
        assert!(reply.encoded_len() <= MAX_BODY);
        assert!(reply.software.starts_with("udp-rpc ") && reply.uptime.is_some());
        for gauge in reply.gauges {
            assert_eq!(read.insert(gauge.name, gauge.value), None);
        }
        if reply.next_page_token.is_empty() {
            break;
        }
        request = ReadRequest { page_token: Some(reply.next_page_token), ..Default::default() };
    }
    assert_eq!(read.len(), 300);
    assert_eq!(read["server.datagrams.of_kind_0007"], 7);
}

#[test]
fn statistics_tell_only_the_prefix_that_is_asked_for() {
    let services = services();
    let mut context = testing::context("");
    context.gauges = Arc::new(Many(30));
    let prefix = Some("server.datagrams.of_kind_002".into());
    let request = ReadRequest { prefix, ..Default::default() };
    let reply = call_in(context, &services, statistics::READ, request).unwrap();
    assert_eq!(reply.gauges.len(), 10);
}

#[test]
fn responder_dropped_by_a_service_answers_internal() {
    let method = Method::deferred("a.B/C", |_, _, responder: Responder| drop(responder));
    assert_eq!(code(testing::run(&method, b"")), Code::Internal);
}
