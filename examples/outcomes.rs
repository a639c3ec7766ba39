//! Deadlines, cancellation, and what may be said of a call that did not end well.
//!
//! `cargo run --example outcomes`

use std::sync::mpsc;
use std::time::Duration;

use udp_rpc::client::{Asked, BlockingClient, Fate, Options, inquire};
use udp_rpc::core::fault::Faults;
use udp_rpc::core::{CallError, Outcome};
use udp_rpc::server::Server;
use udp_rpc::service::{Method, Registry};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A handler that takes its responder to another thread and answers when it is told to.
    let (orders, kitchen) = mpsc::channel();
    let mut registry = Registry::new();
    registry.add(Method::deferred("demo.Kitchen/Cook", move |_context, dish, responder| {
        // Whoever has the responder owes an answer; dropping it answers INTERNAL.
        let _ = orders.send((dish, responder));
    }))?;
    // A handler that looks whether anybody still waits.
    let (started, simmering) = mpsc::channel();
    registry.add(Method::pooled("demo.Kitchen/Simmer", move |context, _request, reply| {
        let _ = started.send(());
        while context.check().is_ok() {
            context.cancel.wait_timeout(Duration::from_millis(20));
        }
        reply.extend_from_slice(b"nobody waits any more");
        Ok(())
    }))?;
    let server = Server::builder(registry).listen("127.0.0.1:0").workers(1).bind()?.spawn()?;
    let mut client = BlockingClient::connect(server.local_addr())?;

    // A deadline: the handler runs, and its answer comes too late.
    let brief = Options::within(Duration::from_millis(100));
    let error = client.call_raw("demo.Kitchen/Cook", b"a stew", &brief).expect_err("too late");
    println!("a stew: {}", what_now(&error));

    // The outcome is unknown, so nothing was sent again under another name; but any process that
    // has the token may ask later.
    let token = error.token.ok_or("an unknown outcome brings a token")?;
    let (dish, responder) = kitchen.recv()?;
    responder.respond(Ok([b"done: ".as_slice(), &dish].concat()));
    let fate = loop {
        match inquire(&token, Asked::Status, Duration::from_secs(5), Faults::NONE, None)? {
            // The answer is still on its way from the kitchen to the server.
            Fate::InProgress(_) => std::thread::sleep(Duration::from_millis(10)),
            fate => break fate,
        }
    };
    if let Fate::Executed { body, .. } = fate {
        println!("asked later: {}", String::from_utf8_lossy(&body));
    }

    // Cancellation: the only worker is busy, so the second call waits in the server's queue, where
    // a fence reaches it. The server promises that it will never run.
    let busy = client.submit("demo.Kitchen/Simmer", b"", &Options::default());
    client.flush(); // Calls are sent together, and this one is not to wait for others.
    simmering.recv()?;
    let waiting = client.submit("demo.Kitchen/Simmer", b"", &Options::default());
    // It has arrived when a later datagram of the same client has been answered.
    client.ping(Duration::from_secs(5))?;
    client.cancel(waiting);
    let error = client.wait(waiting).expect_err("cancelled");
    println!("a call that waits: {}", what_now(&error));

    // One that runs is told, and ends as its handler decides.
    client.cancel(busy);
    let reply = client.wait(busy)?;
    println!("a call that runs: {}", String::from_utf8_lossy(&reply.body));

    // A server that is gone proves nothing about calls that were sent; about one that was not, it
    // does not have to.
    let address = server.local_addr();
    drop(client);
    server.shutdown(Duration::from_secs(1))?;
    let mut client = BlockingClient::connect(address)?;
    let error = client.call_raw("demo.Kitchen/Cook", b"", &brief).expect_err("nobody is there");
    println!("nobody there: {}", what_now(&error));
    Ok(())
}

/// What a program may do with each outcome.
fn what_now(error: &CallError) -> String {
    let advice = match error.outcome {
        Outcome::Executed => "it ran: read the error, calling again runs it again",
        Outcome::NotExecuted(_) => "it did not run and never will: calling again is safe",
        Outcome::Unknown => "it ran at most once: ask by the token before calling again",
    };
    format!("{error}\n    {advice}")
}
