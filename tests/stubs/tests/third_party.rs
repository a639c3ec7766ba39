//! Files that nobody here wrote compile, and their services are served, called and described.

mod support;

use std::collections::BTreeMap;
use std::sync::Mutex;

use support::{Served, serve};
use udp_rpc::core::Outcome;
use udp_rpc::prost::{Message, Name};
use udp_rpc::prost_types::{Any, FileDescriptorSet, Timestamp};
use udp_rpc::service::generated::v1::reflection::{DESCRIBE, LIST};
use udp_rpc::service::generated::v1::{DescribeRequest, ListRequest, MethodSummary};
use udp_rpc::service::{Context, Idempotency, Registry, Status, builtin};
use udp_rpc::wire::Code;
use udp_rpc_stubs::third_party::google::cloud::location::{
    GetLocationRequest, ListLocationsRequest, ListLocationsResponse, Location, locations,
};
use udp_rpc_stubs::third_party::google::longrunning::{
    CancelOperationRequest, DeleteOperationRequest, GetOperationRequest, ListOperationsRequest,
    ListOperationsResponse, Operation, WaitOperationRequest, operation, operations,
};
use udp_rpc_stubs::third_party::google::rpc;
use udp_rpc_stubs::third_party::google::r#type::{Date, LatLng, Money};
use udp_rpc_stubs::third_party::grpc::health::v1::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse, health,
    health_check_response::ServingStatus,
};
use udp_rpc_stubs::third_party::grpc::reflection::{v1, v1alpha};

struct Healthy;

impl health::Health for Healthy {
    fn check(
        &self,
        _: &Context<'_>,
        request: HealthCheckRequest,
    ) -> Result<HealthCheckResponse, Status> {
        match request.service.as_str() {
            "" => Ok(HealthCheckResponse { status: ServingStatus::Serving.into() }),
            name => Err(Status::not_found(format!("no service {name}"))),
        }
    }

    fn list(&self, _: &Context<'_>, _: HealthListRequest) -> Result<HealthListResponse, Status> {
        let serving = HealthCheckResponse { status: ServingStatus::Serving.into() };
        Ok(HealthListResponse { statuses: [(String::new(), serving)].into() })
    }
}

/// Operations by their names.
#[derive(Default)]
struct Memory(Mutex<BTreeMap<String, Operation>>);

impl Memory {
    fn with(names: &[&str]) -> Self {
        let operations = names.iter().map(|name| {
            let operation = Operation { name: (*name).to_owned(), ..Operation::default() };
            ((*name).to_owned(), operation)
        });
        Self(Mutex::new(operations.collect()))
    }

    fn edit<T>(&self, name: &str, edit: impl FnOnce(&mut Operation) -> T) -> Result<T, Status> {
        let mut operations = self.0.lock().unwrap();
        let found = operations.get_mut(name);
        found.map(edit).ok_or_else(|| Status::not_found(format!("no operation {name}")))
    }
}

impl operations::Operations for Memory {
    fn list_operations(
        &self,
        _: &Context<'_>,
        request: ListOperationsRequest,
    ) -> Result<ListOperationsResponse, Status> {
        let operations = self.0.lock().unwrap();
        let size = usize::try_from(request.page_size).unwrap_or(0);
        let listed = operations.values().take(size).cloned().collect();
        Ok(ListOperationsResponse { operations: listed, ..Default::default() })
    }

    fn get_operation(
        &self,
        _: &Context<'_>,
        request: GetOperationRequest,
    ) -> Result<Operation, Status> {
        self.edit(&request.name, |operation| operation.clone())
    }

    fn delete_operation(
        &self,
        _: &Context<'_>,
        request: DeleteOperationRequest,
    ) -> Result<(), Status> {
        let removed = self.0.lock().unwrap().remove(&request.name);
        removed.map(drop).ok_or_else(|| Status::not_found("it is gone"))
    }

    fn cancel_operation(
        &self,
        _: &Context<'_>,
        request: CancelOperationRequest,
    ) -> Result<(), Status> {
        self.edit(&request.name, |operation| {
            operation.done = true;
            let error = rpc::Status { code: 1, message: "cancelled".into(), details: vec![] };
            operation.result = Some(operation::Result::Error(error));
        })
    }

    fn wait_operation(
        &self,
        _: &Context<'_>,
        request: WaitOperationRequest,
    ) -> Result<Operation, Status> {
        self.edit(&request.name, |operation| {
            let date = Date { year: 2026, month: 11, day: 21 };
            let response =
                Any::from_msg(&date).map_err(|error| Status::internal(error.to_string()));
            operation.result = Some(operation::Result::Response(response?));
            operation.done = true;
            Ok(operation.clone())
        })?
    }
}

struct Earth;

impl locations::Locations for Earth {
    fn list_locations(
        &self,
        context: &Context<'_>,
        request: ListLocationsRequest,
    ) -> Result<ListLocationsResponse, Status> {
        let location = self.get_location(context, GetLocationRequest { name: request.name })?;
        Ok(ListLocationsResponse { locations: vec![location], next_page_token: String::new() })
    }

    fn get_location(
        &self,
        _: &Context<'_>,
        request: GetLocationRequest,
    ) -> Result<Location, Status> {
        let place = LatLng { latitude: 37.5, longitude: 127.0 };
        let metadata =
            Any::from_msg(&place).map_err(|error| Status::internal(error.to_string()))?;
        Ok(Location {
            name: request.name,
            display_name: "Seoul".into(),
            labels: [("country".to_owned(), "KR".to_owned())].into(),
            metadata: Some(metadata),
            ..Location::default()
        })
    }
}

struct Streams;

impl v1::server_reflection::ServerReflection for Streams {}
impl v1alpha::server_reflection::ServerReflection for Streams {}

fn everything() -> Served {
    serve([
        health::service(Healthy),
        operations::service(Memory::with(&["operations/1", "operations/2"])),
        locations::service(Earth),
        v1::server_reflection::service(Streams),
        v1alpha::server_reflection::service(Streams),
    ])
}

#[test]
fn health_of_grpc_is_served_and_called() {
    let mut served = everything();
    let mut health = health::BlockingHealthClient::new(&mut served.blocking);
    let reply = health.check(&HealthCheckRequest::default()).unwrap();
    assert_eq!(reply.status(), ServingStatus::Serving);
    let error = health.check(&HealthCheckRequest { service: "x.Y".into() }).unwrap_err();
    assert_eq!((error.code, error.outcome), (Code::NotFound, Outcome::Executed));
    let client = health::HealthClient::new(served.client.clone());
    let reply = client.list(&HealthListRequest {}).wait().unwrap();
    assert_eq!(reply.statuses[""].status(), ServingStatus::Serving);
}

#[test]
fn operations_of_google_are_served_and_called() {
    let mut served = everything();
    let name = || "operations/1".to_owned();
    let client = operations::OperationsClient::new(served.client.clone());
    let list = ListOperationsRequest { page_size: 10, ..Default::default() };
    let listed = client.list_operations(&list).wait().unwrap().operations;
    assert_eq!(
        listed.iter().map(|o| &o.name).collect::<Vec<_>>(),
        ["operations/1", "operations/2"]
    );

    let waited = client.wait_operation(&WaitOperationRequest { name: name(), timeout: None });
    let Some(operation::Result::Response(any)) = waited.wait().unwrap().result else {
        panic!("no response");
    };
    assert_eq!(any.type_url, "type.googleapis.com/google.type.Date");
    assert_eq!(any.to_msg::<Date>().unwrap(), Date { year: 2026, month: 11, day: 21 });

    let mut operations = operations::BlockingOperationsClient::new(&mut served.blocking);
    operations.cancel_operation(&CancelOperationRequest { name: name() }).unwrap();
    let got = operations.get_operation(&GetOperationRequest { name: name() }).unwrap();
    assert!(got.done);
    assert!(matches!(got.result, Some(operation::Result::Error(error)) if error.code == 1));
    operations.delete_operation(&DeleteOperationRequest { name: name() }).unwrap();
    let error = operations.get_operation(&GetOperationRequest { name: name() }).unwrap_err();
    assert_eq!(error.message, "no operation operations/1");
}

#[test]
fn locations_of_google_are_served_and_called() {
    let mut served = everything();
    let mut locations = locations::BlockingLocationsClient::new(&mut served.blocking);
    let request = ListLocationsRequest { name: "projects/1".into(), ..Default::default() };
    let [location] = &locations.list_locations(&request).unwrap().locations[..] else {
        panic!("one location")
    };
    assert_eq!((location.name.as_str(), location.labels["country"].as_str()), ("projects/1", "KR"));
    let place: LatLng = location.metadata.as_ref().unwrap().to_msg().unwrap();
    assert_eq!(place, LatLng { latitude: 37.5, longitude: 127.0 });
}

#[test]
fn messages_of_google_go_there_and_back() {
    // Ones that are in no service here.
    let money = Money { currency_code: "KRW".into(), units: -5, nanos: -1 };
    assert_eq!(Money::decode(&*money.encode_to_vec()).unwrap(), money);
    let status = rpc::Status {
        code: rpc::Code::Aborted.into(),
        message: "m".into(),
        details: vec![Any::from_msg(&money).unwrap()],
    };
    assert_eq!(rpc::Status::decode(&*status.encode_to_vec()).unwrap(), status);
    assert_eq!(rpc::Status::full_name(), "google.rpc.Status");
    use udp_rpc_stubs::third_party::google::logging::r#type::{HttpRequest, LogSeverity};
    let request =
        HttpRequest { status: 200, latency: Some(Default::default()), ..Default::default() };
    assert_eq!(HttpRequest::decode(&*request.encode_to_vec()).unwrap(), request);
    assert_eq!(LogSeverity::from_str_name("CRITICAL"), Some(LogSeverity::Critical));
    use udp_rpc_stubs::third_party::google::api;
    let rule = api::HttpRule {
        pattern: Some(api::http_rule::Pattern::Get("/v1/{name=x}".into())),
        additional_bindings: vec![api::HttpRule::default()],
        ..Default::default()
    };
    assert_eq!(api::HttpRule::decode(&*rule.encode_to_vec()).unwrap(), rule);
    let behaviour = [api::FieldBehavior::Required, api::FieldBehavior::Immutable];
    assert_eq!(behaviour.map(|value| value as i32), [2, 5]);
    let value = api::distribution::Exemplar {
        value: 0.5,
        timestamp: Some(Timestamp { seconds: 1, nanos: 0 }),
        attachments: vec![],
    };
    assert_eq!(api::distribution::Exemplar::decode(&*value.encode_to_vec()).unwrap(), value);
}

/// All methods that the server tells of.
fn list(served: &mut Served) -> Vec<MethodSummary> {
    let mut methods = Vec::new();
    let mut page_token = None;
    loop {
        let page = served.blocking.call(&LIST, &ListRequest { page_token }).unwrap();
        methods.extend(page.methods);
        if page.next_page_token.is_empty() {
            return methods;
        }
        page_token = Some(page.next_page_token);
    }
}

/// The description of a method, from as many parts as there are.
fn describe(served: &mut Served, name: &str) -> FileDescriptorSet {
    let mut bytes = Vec::new();
    loop {
        let offset = bytes.len().try_into().unwrap();
        let request =
            DescribeRequest { name: name.into(), offset, comments: true, ..Default::default() };
        let part = served.blocking.call(&DESCRIBE, &request).unwrap();
        bytes.extend(part.file_descriptor_set);
        if bytes.len() >= usize::try_from(part.length).unwrap() {
            return FileDescriptorSet::decode(&*bytes).unwrap();
        }
    }
}

#[test]
fn services_of_others_are_described_with_types_and_comments() {
    let mut served = everything();
    let methods = list(&mut served);
    let served_names: Vec<_> =
        methods.iter().filter(|method| method.served).map(|method| method.name.as_str()).collect();
    for signature in
        [operations::GET_OPERATION.name(), locations::GET_LOCATION.name(), health::CHECK.name()]
    {
        assert!(served_names.contains(&signature), "{signature} is not in {served_names:?}");
    }
    let watch = methods.iter().find(|method| method.name == health::WATCH.name()).unwrap();
    assert!(watch.server_streaming && !watch.served, "{watch:?}");

    for (method, types, comment) in [
        (
            operations::WAIT_OPERATION.name(),
            &["WaitOperationRequest", "Operation", "Status"][..],
            "Waits until the specified long-running operation is done",
        ),
        (
            locations::LIST_LOCATIONS.name(),
            &["ListLocationsRequest", "ListLocationsResponse", "Location"],
            "Lists information about the supported locations for this service.",
        ),
        (
            health::LIST.name(),
            &["HealthListRequest", "HealthListResponse", "HealthCheckResponse"],
            "List provides a non-atomic snapshot",
        ),
    ] {
        let set = describe(&mut served, method);
        let found: Vec<_> =
            set.file.iter().flat_map(|f| &f.message_type).map(|m| m.name()).collect();
        for name in types {
            assert!(found.contains(name), "{method}: {name} is not in {found:?}");
        }
        let comments =
            set.file.iter().flat_map(|file| &file.source_code_info).flat_map(|info| &info.location);
        let mut comments = comments.filter_map(|location| location.leading_comments.as_deref());
        assert!(comments.any(|text| text.contains(comment)), "{method} lost its comment");
    }
}

#[test]
fn semantics_of_files_that_say_nothing_are_unknown() {
    assert_eq!(operations::GET_OPERATION.idempotency(), Idempotency::Unknown);
    assert_eq!(health::CHECK.idempotency(), Idempotency::Unknown);
}

#[test]
fn files_beside_that_of_a_service_stand_in_nobodys_way() {
    // The built-in health is described by an older file of that name than the one here.
    let mut registry = Registry::new();
    builtin::install_standard(&mut registry).unwrap();
    registry.add_service(locations::service(Earth)).unwrap();
    let methods = registry.seal().unwrap();
    let names: Vec<_> = methods.methods().iter().map(|method| &*method.name).collect();
    assert!(names.contains(&health::CHECK.name()), "{names:?}");
    assert!(names.contains(&locations::GET_LOCATION.name()), "{names:?}");
}
