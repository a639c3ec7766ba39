//! A trace through two services: hooks on both sides tell the spans of a call and of the calls
//! that its handler makes, and W3C Trace Context ties them together.
//!
//! Both ends of a call tell the same span: its client begins it, and sends its id as `traceparent`.
//! A server's handler has that in its scope, so that the calls which it makes begin children of
//! it, without a word of the handler's own. What is collected here in one process would go to a
//! tracing system from each.
//!
//! `cargo run --example tracing`

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use udp_rpc::client::{self, BlockingClient, Client, Ended, Starting};
use udp_rpc::net::trace_ids;
use udp_rpc::server::Server;
use udp_rpc::service::trace::{SpanId, TraceId, TraceIds, TraceParent};
use udp_rpc::service::{self, Context, Registry, Status, Unary};
use udp_rpc::wire::Code;

const ORDER: Unary<String, u64> = Unary::new("shop.Shop/Order");
const COOK: Unary<String, ()> = Unary::new("shop.Kitchen/Cook");
const CHARGE: Unary<u64, ()> = Unary::new("shop.Till/Charge");

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tracer = Tracer::new(trace_ids()?);

    let mut registry = Registry::new();
    registry.add(COOK.inline(|_, dish| match dish.as_str() {
        "stew" => Ok(()),
        other => Err(Status::not_found(format!("nobody here cooks {other}"))),
    }))?;
    registry.add(CHARGE.inline(|_, _cents| Ok(())))?;
    let kitchen = Server::builder(registry).hook(tracer.clone()).spawn_local()?;

    let suppliers = Client::builder().hook(tracer.clone()).connect(kitchen.local_addr())?;
    let mut registry = Registry::new();
    registry.add(ORDER.pooled(move |_, dish| {
        let cents = 1250;
        // Whatever these calls wait for, they wait no longer than the caller of this one.
        suppliers.call(&COOK, &dish).wait()?;
        suppliers.call(&CHARGE, &cents).wait()?;
        Ok(cents)
    }))?;
    let shop = Server::builder(registry).hook(tracer.clone()).spawn_local()?;

    let mut client = BlockingClient::builder().hook(tracer.clone()).connect(shop.local_addr())?;
    for dish in ["stew", "cake"] {
        match client.call(&ORDER, &dish.to_owned()) {
            Ok(cents) => println!("a {dish} for {cents} cents"),
            Err(error) => println!("no {dish}: {}", error.message),
        }
    }
    println!();
    tracer.print();
    Ok(())
}

/// What is known of a span so far.
#[derive(Debug)]
struct Span {
    trace: TraceId,
    parent: Option<SpanId>,
    method: String,
    /// How its client saw it end, and its server.
    client: Option<(Code, Duration)>,
    server: Option<(Code, Duration)>,
}

/// Gathers spans. Clones gather together.
#[derive(Clone)]
struct Tracer {
    ids: Arc<TraceIds>,
    /// By the order in which they began.
    spans: Arc<Mutex<Vec<(SpanId, Span)>>>,
}

impl Tracer {
    fn new(ids: TraceIds) -> Self {
        Self { ids: Arc::new(ids), spans: Arc::default() }
    }

    /// Changes what is known of a span, if anything is.
    fn update(&self, id: SpanId, change: impl FnOnce(&mut Span)) {
        let mut spans = self.spans.lock().unwrap();
        if let Some((_, span)) = spans.iter_mut().rev().find(|(other, _)| *other == id) {
            change(span);
        }
    }
}

impl client::Hook for Tracer {
    fn start(&self, call: &mut Starting<'_>) {
        // In a handler, this is the span of the call that it serves.
        let parent = TraceParent::of(call.metadata.borrow());
        let own = parent.map_or_else(|| self.ids.root(true), |parent| self.ids.child(parent));
        // A call whose metadata has no room for it goes without, rather than not at all.
        if own.insert_into(call.metadata).is_err() {
            return;
        }
        let span = Span {
            trace: own.trace,
            parent: parent.map(|parent| parent.span),
            method: call.method.to_owned(),
            client: None,
            server: None,
        };
        self.spans.lock().unwrap().push((own.span, span));
    }

    fn end(&self, call: &Ended<'_>) {
        let Some(own) = TraceParent::of(call.metadata.borrow()) else { return };
        let ended = match call.result {
            Ok(reply) => (Code::Ok, reply.elapsed),
            Err(error) => (error.code, error.elapsed),
        };
        self.update(own.span, |span| span.client = Some(ended));
    }
}

impl service::Hook for Tracer {
    fn end(&self, context: &Context<'_>, code: Code, took: Duration) {
        if let Some(own) = TraceParent::of(context.metadata) {
            self.update(own.span, |span| span.server = Some((code, took)));
        }
    }
}

impl Tracer {
    /// Prints every trace as a tree.
    fn print(&self) {
        let spans = self.spans.lock().unwrap();
        let mut depths: BTreeMap<SpanId, usize> = BTreeMap::new();
        for (id, span) in spans.iter() {
            // A child begins after its parent, so the parent's depth is known.
            let depth = span.parent.and_then(|parent| depths.get(&parent)).map_or(0, |d| d + 1);
            depths.insert(*id, depth);
            if depth == 0 {
                println!("trace {}", span.trace);
            }
            let told = |end: Option<(Code, Duration)>| {
                end.map_or("no end".to_owned(), |(code, took)| format!("{code} in {took:.1?}"))
            };
            println!(
                "{:indent$}{id} {}: client {}, server {}",
                "",
                span.method,
                told(span.client),
                told(span.server),
                indent = 2 + 2 * depth,
            );
        }
    }
}
