//! The code of a service: a module with a signature for every method, the trait that a server
//! implements, and typed clients.
//!
//! Every path in it is absolute, or begins with `super`: whatever the names in the `.proto` file,
//! none of them can stand in the way of another.

use prost_build::{Comments, Method, Service, ServiceGenerator};
use prost_types::method_options::IdempotencyLevel;

use crate::collisions::ServiceModules;
use crate::names;

/// What is generated, and for which library.
#[derive(Debug, Clone)]
pub(crate) struct Services {
    /// Path of the library.
    pub(crate) library: String,
    /// By the service's full name.
    pub(crate) modules: ServiceModules,
    /// Whether there are traits and functions for servers.
    pub(crate) servers: bool,
    /// Whether there are typed clients.
    pub(crate) clients: bool,
}

impl ServiceGenerator for Services {
    fn generate(&mut self, service: Service, code: &mut String) {
        let full = names::full(&service.package, &service.proto_name);
        let Some(module) = self.modules.get(&full) else { return };
        let mut out = Out { library: &self.library, service: &service, full: &full, code };
        out.docs(&service.comments, &format!("`{full}`."), "");
        out.deprecated(service.options.deprecated());
        out.line(&format!("pub mod {module} {{"));
        out.line("/// The service's full name.");
        out.line(&format!("pub const NAME: &str = {full:?};"));
        for method in &service.methods {
            out.signature(method);
        }
        if self.servers {
            out.servers();
        }
        if self.clients {
            out.client();
            out.blocking_client();
        }
        out.line("}");
    }
}

/// How many messages go each way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Unary,
    ServerStreaming,
    ClientStreaming,
    Bidirectional,
}

impl Shape {
    fn of(method: &Method) -> Self {
        match (method.client_streaming, method.server_streaming) {
            (false, false) => Self::Unary,
            (false, true) => Self::ServerStreaming,
            (true, false) => Self::ClientStreaming,
            (true, true) => Self::Bidirectional,
        }
    }

    fn type_name(self) -> &'static str {
        match self {
            Self::Unary => "Unary",
            Self::ServerStreaming => "ServerStreaming",
            Self::ClientStreaming => "ClientStreaming",
            Self::Bidirectional => "Bidirectional",
        }
    }
}

/// The code of one service, as it grows.
struct Out<'a> {
    library: &'a str,
    service: &'a Service,
    /// The service's full name.
    full: &'a str,
    code: &'a mut String,
}

impl Out<'_> {
    fn line(&mut self, line: &str) {
        self.code.push_str(line);
        self.code.push('\n');
    }

    /// Adds code in which `{k}` is the library, `{Service}` the service's name in Rust, and the
    /// like for the names given.
    fn code(&mut self, template: &str, with: &[(&str, &str)]) {
        let mut code = template.replace("{k}", self.library);
        code = code.replace("{Service}", &self.service.name);
        // `Self_` is so called because nothing can be called `Self`; `SelfClient` can.
        code = code.replace("{Stem}", self.service.name.trim_end_matches('_'));
        code = code.replace("{full}", self.full);
        for (key, value) in with {
            code = code.replace(&format!("{{{key}}}"), value);
        }
        self.line(&code);
    }

    /// The comments of an item, or `otherwise` where there are none, and then what is known
    /// besides.
    fn docs(&mut self, comments: &Comments, otherwise: &str, besides: &str) {
        let parts = [comments.leading.join("\n"), comments.trailing.join("\n"), besides.into()];
        let mut parts: Vec<&str> = parts.iter().map(|part| part.as_str()).collect();
        if parts[0].is_empty() && parts[1].is_empty() {
            parts[0] = otherwise;
        }
        parts.retain(|part| !part.is_empty());
        for line in parts.join("\n\n").lines() {
            self.line(&format!("/// {line}"));
        }
    }

    fn deprecated(&mut self, is: bool) {
        if is {
            self.line("#[deprecated]");
        }
    }

    fn method_docs(&mut self, method: &Method, besides: &str) {
        let otherwise = format!("`{}/{}`.", self.full, method.proto_name);
        self.docs(&method.comments, &otherwise, besides);
        self.deprecated(method.options.deprecated());
    }

    /// Name, types and semantics of a method.
    fn signature(&mut self, method: &Method) {
        let (semantics, told) = match method.options.idempotency_level() {
            IdempotencyLevel::NoSideEffects => (".no_side_effects()", "It has no side effects."),
            IdempotencyLevel::Idempotent => {
                (".idempotent()", "A second run adds nothing to the first.")
            }
            IdempotencyLevel::IdempotencyUnknown => ("", ""),
        };
        self.method_docs(method, told);
        self.code(
            "pub const {NAME}: {k}::service::{Shape}<{Request}, {Reply}> = \
             {k}::service::{Shape}::new(\"{full}/{Method}\"){semantics};",
            &[
                ("NAME", &constant(method)),
                ("Shape", Shape::of(method).type_name()),
                ("Request", &self.path(&method.input_type)),
                ("Reply", &self.path(&method.output_type)),
                ("Method", &method.proto_name),
                ("semantics", semantics),
            ],
        );
    }

    /// A type's path as seen from the service's module, which is inside that of its package.
    fn path(&self, path: &str) -> String {
        let primitive =
            |path| ["()", "bool", "f32", "f64", "i32", "i64", "u32", "u64"].contains(&path);
        if path.starts_with("::") || path.starts_with("crate::") || primitive(path) {
            path.to_owned()
        } else {
            format!("super::{path}")
        }
    }

    /// The traits that servers implement, and what makes services of implementations.
    fn servers(&mut self) {
        let service = self.service;
        self.docs(&service.comments, "", SERVER_DOCS);
        self.code(
            "pub trait {Service}: ::core::marker::Send + ::core::marker::Sync + 'static {",
            &[],
        );
        self.each_unary("", |out, method, with| {
            out.method_docs(method, "");
            out.code(
                "fn {method}(&self, context: &{k}::service::Context<'_>, request: {Request}) \
                 -> ::core::result::Result<{Reply}, {k}::service::Status>;",
                with,
            );
        });
        self.line("}");
        self.docs(&service.comments, "", ASYNC_SERVER_DOCS);
        self.code(
            "pub trait Async{Stem}: ::core::marker::Send + ::core::marker::Sync + 'static {",
            &[],
        );
        self.each_unary("", |out, method, with| {
            out.method_docs(method, "");
            out.code(
                "fn {method}(&self, context: {k}::service::OwnedContext, request: {Request}) \
                 -> impl ::core::future::Future<Output = \
                 ::core::result::Result<{Reply}, {k}::service::Status>> + ::core::marker::Send;",
                with,
            );
        });
        self.line("}");
        // The way from this module to the root, where the descriptors are.
        let root = "super::".repeat(names::modules(&service.package).len() + 1);
        let root = [("root", root.as_str())];
        self.code(SERVICE, &root);
        self.each_unary("", |out, _, with| out.code(SERVICE_METHOD, with));
        self.code("let _ = implementation;\nservice\n}", &[]);
        self.code(ASYNC_SERVICE, &root);
        self.each_unary("", |out, _, with| out.code(ASYNC_SERVICE_METHOD, with));
        self.code("let _ = (implementation, executor);\nservice\n}", &[]);
    }

    /// The client whose calls are futures.
    fn client(&mut self) {
        self.code(CLIENT, &[]);
        self.each_unary("new", |out, method, with| {
            out.method_docs(method, "");
            out.code(CLIENT_METHOD, with);
            out.docs(&Comments::default(), &with_docs(with), "");
            out.deprecated(method.options.deprecated());
            out.code(CLIENT_METHOD_WITH, with);
        });
        self.streams("&self");
        self.line("}");
    }

    /// The client that waits.
    fn blocking_client(&mut self) {
        self.code(BLOCKING_CLIENT, &[]);
        self.each_unary("new", |out, method, with| {
            out.method_docs(method, BLOCKING_ERRORS);
            out.code(BLOCKING_METHOD, with);
            out.docs(&Comments::default(), &with_docs(with), BLOCKING_ERRORS);
            out.deprecated(method.options.deprecated());
            out.code(BLOCKING_METHOD_WITH, with);
        });
        self.streams("&mut self");
        self.line("}");
    }

    /// Does something for every unary method, with its names. A method called `taken` gets an
    /// underscore; so does one with options whose name another method has.
    fn each_unary(
        &mut self,
        taken: &str,
        mut each: impl FnMut(&mut Self, &Method, &[(&str, &str)]),
    ) {
        let service = self.service;
        let all: Vec<&str> = service.methods.iter().map(|method| method.name.as_str()).collect();
        for method in service.methods.iter().filter(|method| Shape::of(method) == Shape::Unary) {
            let name = own_name(method, taken);
            let word = method.name.trim_start_matches("r#").trim_end_matches('_');
            let mut with_options = format!("{word}_with");
            if all.contains(&with_options.as_str()) {
                with_options.push('_');
            }
            let (request, reply) = (self.path(&method.input_type), self.path(&method.output_type));
            let with = [
                ("method", name.as_str()),
                ("with", &with_options),
                ("NAME", &constant(method)),
                ("Request", &request),
                ("Reply", &reply),
            ];
            each(self, method, &with);
        }
    }

    /// Methods that stream are there, and cannot be called.
    fn streams(&mut self, receiver: &str) {
        let service = self.service;
        for method in service.methods.iter().filter(|method| Shape::of(method) != Shape::Unary) {
            self.method_docs(method, STREAM_DOCS);
            self.code(
                STREAM_METHOD,
                &[("method", &own_name(method, "new")), ("receiver", receiver)],
            );
        }
    }
}

/// The name of a method's signature.
fn constant(method: &Method) -> String {
    match names::upper(&method.proto_name) {
        name if name == "NAME" => "NAME_".into(),
        name => name,
    }
}

/// The name of a method's function where another has the name `taken`.
fn own_name(method: &Method, taken: &str) -> String {
    if method.name == taken { format!("{taken}_") } else { method.name.clone() }
}

fn with_docs(with: &[(&str, &str)]) -> String {
    let name = with.iter().find(|(key, _)| *key == "method").map_or("", |(_, name)| name);
    format!("[`{name}`](Self::{name}) with options, for the reply with all that is known about it.")
}

const SERVER_DOCS: &str = "\
What a server of it does: implement this, and [`service`] makes of it what a registry takes. \
Every method runs on the server's pool, where it may block.";

const ASYNC_SERVER_DOCS: &str = "\
The same for a server whose methods are futures: implement this, and [`async_service`] makes of \
it what a registry takes.";

const BLOCKING_ERRORS: &str = "\
# Errors

What went wrong, and whether the call ran.";

const STREAM_DOCS: &str = "It streams, and streams are not on the wire yet: it cannot be called.";

const SERVICE: &str = "
/// The service, done by this implementation, for a registry. Its methods run on the server's
/// pool, unless [`Service::inline`]({k}::service::Service::inline) or
/// [`Service::replace`]({k}::service::Service::replace) says otherwise.
pub fn service(implementation: impl {Service}) -> {k}::service::Service {
    let implementation = ::std::sync::Arc::new(implementation);
    let service = {k}::service::Service::new(NAME, {root}DESCRIPTORS);";

const SERVICE_METHOD: &str = "
    let service = service.method({NAME}.pooled({
        let implementation = ::std::sync::Arc::clone(&implementation);
        move |context, request| {Service}::{method}(&*implementation, context, request)
    }));";

const ASYNC_SERVICE: &str = "
/// The service, done by this implementation on this executor, for a registry.
pub fn async_service(
    implementation: impl Async{Stem},
    executor: impl {k}::service::Executor,
) -> {k}::service::Service {
    let implementation = ::std::sync::Arc::new(implementation);
    let executor: ::std::sync::Arc<dyn {k}::service::Executor> = ::std::sync::Arc::new(executor);
    let service = {k}::service::Service::new(NAME, {root}DESCRIPTORS);";

const ASYNC_SERVICE_METHOD: &str = "
    let service = service.method({NAME}.asynchronous(::std::sync::Arc::clone(&executor), {
        let implementation = ::std::sync::Arc::clone(&implementation);
        move |context, request| {
            let implementation = ::std::sync::Arc::clone(&implementation);
            async move { Async{Stem}::{method}(&*implementation, context, request).await }
        }
    }));";

const CLIENT: &str = "
/// Calls `{full}`: each call is a future, on any runtime, and can be waited for. Cloned freely.
#[derive(Clone, Debug)]
pub struct {Stem}Client {
    client: {k}::client::Client,
}

impl {Stem}Client {
    /// Calls the service through this client.
    pub fn new(client: {k}::client::Client) -> Self {
        Self { client }
    }";

const CLIENT_METHOD: &str = "
    pub fn {method}(&self, request: &{Request}) -> {k}::client::TypedCall<{Reply}> {
        self.client.call(&{NAME}, request)
    }";

const CLIENT_METHOD_WITH: &str = "
    pub fn {with}(
        &self,
        request: &{Request},
        options: &{k}::client::Options,
    ) -> {k}::client::TypedCall<{k}::client::Response<{Reply}>> {
        self.client.call_with(&{NAME}, request, options)
    }";

const BLOCKING_CLIENT: &str = "
/// Calls `{full}` and waits for each reply, through a client of its own or a borrowed one.
#[derive(Clone, Debug)]
pub struct Blocking{Stem}Client<C = {k}::client::BlockingClient> {
    client: C,
}

impl<C: ::core::borrow::BorrowMut<{k}::client::BlockingClient>> Blocking{Stem}Client<C> {
    /// Calls the service through this client, or through a `&mut` to it.
    pub fn new(client: C) -> Self {
        Self { client }
    }";

const BLOCKING_METHOD: &str = "
    pub fn {method}(
        &mut self,
        request: &{Request},
    ) -> ::core::result::Result<{Reply}, {k}::core::CallError> {
        let client: &mut {k}::client::BlockingClient =
            ::core::borrow::BorrowMut::borrow_mut(&mut self.client);
        client.call(&{NAME}, request)
    }";

const BLOCKING_METHOD_WITH: &str = "
    pub fn {with}(
        &mut self,
        request: &{Request},
        options: &{k}::client::Options,
    ) -> ::core::result::Result<{k}::client::Response<{Reply}>, {k}::core::CallError> {
        let client: &mut {k}::client::BlockingClient =
            ::core::borrow::BorrowMut::borrow_mut(&mut self.client);
        client.call_with(&{NAME}, request, options)
    }";

const STREAM_METHOD: &str = "
    pub fn {method}<Request: {k}::service::Streamed>({receiver}, request: Request) -> Request::Stream {
        {k}::service::Streamed::stream(request)
    }";
