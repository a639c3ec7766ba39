//! Services as a library's user makes them: methods that run inline, on the pool, with a responder
//! or as futures, and what each of them is told about its call.
#![cfg(feature = "cli")]

#[path = "../common/mod.rs"]
mod common;

mod asynchronous;
mod contexts;
mod hooks;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use common::PATIENCE;
use common::calls::within;
use udp_rpc::client::BlockingClient;
use udp_rpc::server::{Running, Server};
use udp_rpc::service::{Executor, Method, Registry, Scope, Service, Status, Task, builtin};

fn serve(methods: impl IntoIterator<Item = Method>) -> Running {
    let mut registry = Registry::new();
    builtin::install_standard(&mut registry).unwrap();
    for method in methods {
        registry.add(method).unwrap();
    }
    Server::builder(registry).workers(2).spawn_local().unwrap()
}

fn connect(server: &Running) -> BlockingClient {
    BlockingClient::connect(server.local_addr()).unwrap()
}

/// An executor with one thread, so that a thread lost to a panic is noticed.
fn one_thread() -> Arc<dyn Executor> {
    let (tasks, queue) = smol::channel::unbounded::<Task>();
    thread::spawn(move || {
        let local = smol::LocalExecutor::new();
        smol::block_on(local.run(async {
            while let Ok(task) = queue.recv().await {
                local.spawn(task).detach();
            }
        }));
    });
    Arc::new(move |task: Task| tasks.try_send(task).unwrap())
}

#[test]
fn methods_run_where_their_service_says() {
    let thread_name = || thread::current().name().unwrap_or_default().as_bytes().to_vec();
    let pooled = |name: &str| {
        Method::pooled(name, move |_, _, reply| {
            reply.extend(thread_name());
            Ok(())
        })
    };
    let service = Service::new("Test", &[])
        .method(pooled("Test/Quick"))
        .method(pooled("Test/Slow"))
        .method(pooled("Test/Elsewhere"))
        .inline(&["Quick"])
        .replace(Method::deferred("Test/Elsewhere", move |_, _, responder| {
            let builder = thread::Builder::new().name("elsewhere".into());
            builder.spawn(move || responder.respond(Ok(thread_name()))).unwrap();
        }));
    let mut registry = Registry::new();
    registry.add_service(service).unwrap();
    let server = Server::spawn_local(registry).unwrap();
    let mut client = connect(&server);
    for (method, thread) in [
        ("Test/Quick", "udp-rpc-server"),
        ("Test/Slow", "udp-rpc-worker"),
        ("Test/Elsewhere", "elsewhere"),
    ] {
        let reply = client.call_raw(method, b"", &within(PATIENCE)).unwrap();
        let name = String::from_utf8(reply.body).unwrap();
        assert!(name.starts_with(thread), "{method} ran on {name}");
    }
}

#[test]
fn handlers_of_every_kind_run_in_the_scope_of_their_call() {
    /// Milliseconds that the scope of this thread has left, if it is in one.
    fn left() -> Result<Vec<u8>, Status> {
        let scope = Scope::current().ok_or_else(|| Status::internal("in no scope"))?;
        let left = scope.deadline.saturating_duration_since(Instant::now());
        Ok(u32::try_from(left.as_millis()).unwrap().to_be_bytes().to_vec())
    }
    let answer = |reply: &mut Vec<u8>| left().map(|left| reply.extend(left));
    let server = serve([
        Method::inline("Test/Inline", move |_, _, reply| answer(reply)),
        Method::pooled("Test/Pooled", move |_, _, reply| answer(reply)),
        Method::deferred("Test/Deferred", |_, _, responder| responder.respond(left())),
        Method::deferred("Test/Elsewhere", |context, _, responder| {
            thread::spawn(move || {
                let outside = left().is_err();
                let inside = context.scope().enter(left);
                responder.respond(if outside { inside } else { Err(Status::internal("inside")) });
            });
        }),
        Method::asynchronous("Test/Asynchronous", one_thread(), |_, _| {
            let before = left();
            async { before.and(left()) }
        }),
    ]);
    let mut client = connect(&server);
    for method in
        ["Test/Inline", "Test/Pooled", "Test/Deferred", "Test/Elsewhere", "Test/Asynchronous"]
    {
        let reply = client.call_raw(method, b"", &within(PATIENCE)).unwrap();
        let left = u32::from_be_bytes(reply.body.try_into().unwrap());
        let left = Duration::from_millis(left.into());
        assert!(left <= PATIENCE && !left.is_zero(), "{method}: {left:?}");
    }
    assert!(Scope::current().is_none());
}
