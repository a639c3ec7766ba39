//! Many calls at once from asynchronous tasks, on a client that they share: what one says of its
//! calls, what becomes of those whose callers lose interest, and what a hook sees of all of them.
//!
//! `cargo run --example concurrent`

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use udp_rpc::client::{Client, Ended, Hook, Options, Starting};
use udp_rpc::server::Server;
use udp_rpc::service::{Method, Registry, Status, Unary};

const SQUARE: Unary<u64, u64> = Unary::new("demo.Math/Square").no_side_effects();

/// Names the caller in each call, and counts how they end.
struct Tally {
    ok: Arc<AtomicUsize>,
    failed: Arc<AtomicUsize>,
}

impl Hook for Tally {
    fn start(&self, call: &mut Starting<'_>) {
        if let Err(error) = call.metadata.insert("caller", "the concurrent example") {
            call.refuse(Status::internal(error.to_string()));
        }
    }

    fn end(&self, call: &Ended<'_>) {
        let count = if call.result.is_ok() { &self.ok } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut registry = Registry::new();
    registry.add(SQUARE.inline(|_context, number| Ok(number * number)))?;
    registry.add(Method::pooled("demo.Kitchen/Simmer", |context, _request, _reply| {
        context.cancel.wait_timeout(Duration::from_secs(60));
        println!("simmering: cancelled is {}", context.cancel.is_cancelled());
        Ok(())
    }))?;
    let server = Server::builder(registry).listen("127.0.0.1:0").bind()?.spawn()?;

    let (ok, failed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let hook = Tally { ok: Arc::clone(&ok), failed: Arc::clone(&failed) };
    let client = Client::builder().hook(hook).connect(server.local_addr())?;

    // Every call has begun before the first is awaited.
    let calls: Vec<_> = (1..=1000).map(|number| client.call(&SQUARE, &number)).collect();
    let mut sum = 0;
    for call in calls {
        sum += call.await?;
    }
    println!("the first thousand squares add up to {sum}");

    // A task that loses interest: its future is dropped, and that fences the call. One that runs
    // sees its cancel token; one that has not started never will.
    let simmering = client.call_raw("demo.Kitchen/Simmer", b"", &Options::default());
    if tokio::time::timeout(Duration::from_millis(200), simmering).await.is_err() {
        println!("no longer interested");
    }

    // What a function that gives `io::Result` makes of an error; the outcome is inside.
    let unknown = client.call_raw("demo.Kitchen/Burn", b"", &Options::default()).await;
    let error = std::io::Error::from(unknown.expect_err("there is no such method"));
    println!("{:?}: {error}", error.kind());

    client.close().await;
    let (ok, failed) = (ok.load(Ordering::Relaxed), failed.load(Ordering::Relaxed));
    println!("{ok} calls ended well, {failed} did not");
    server.shutdown(Duration::from_secs(1))?;
    Ok(())
}
