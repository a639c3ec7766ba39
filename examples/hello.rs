//! A server with one typed method and one that sees plain bytes, and both kinds of client.
//!
//! `cargo run --example hello`

use std::time::Duration;

use udp_rpc::client::{BlockingClient, Client, Options};
use udp_rpc::core::Outcome;
use udp_rpc::server::Server;
use udp_rpc::service::{Method, Registry, Status, Unary};

/// Name, types and semantics of a method, in one place for server and client.
const HALF: Unary<i64, i64> = Unary::new("demo.Math/Half").no_side_effects();

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut registry = Registry::new();
    registry.add(HALF.inline(|_context, number| match number % 2 {
        0 => Ok(number / 2),
        _ => Err(Status::invalid_argument(format!("{number} is odd"))),
    }))?;
    registry.add(Method::inline("demo.Text/Reverse", |_context, request, reply| {
        reply.extend(request.iter().rev());
        Ok(())
    }))?;
    // On a free port of this host; anywhere else it is `builder`, `listen` and an address.
    let server = Server::spawn_local(registry)?;

    let mut client = BlockingClient::connect(server.local_addr())?;
    println!("half of 14 is {}", client.call(&HALF, &14)?);

    let reply = client.call_raw("demo.Text/Reverse", b"tnedrawkcab", &Options::default())?;
    println!("reversed: {}", String::from_utf8_lossy(&reply.body));

    // An error says whether the call ran.
    let error = client.call(&HALF, &15).expect_err("15 is odd");
    assert_eq!(error.outcome, Outcome::Executed);
    println!("half of 15: {error}");

    let error = client.call_raw("demo.Text/Rewind", b"", &Options::default());
    let error = error.expect_err("there is no such method");
    assert!(matches!(error.outcome, Outcome::NotExecuted(_)));
    println!("rewind: {error}");

    // The other client makes any number of calls at once. Each is under way as soon as it is made,
    // and is waited for here; an asynchronous program awaits it.
    let shared = Client::connect(server.local_addr())?;
    let calls: Vec<_> = (1..=1000).map(|number| shared.call(&HALF, &(2 * number))).collect();
    let mut sum = 0;
    for call in calls {
        sum += call.wait()?;
    }
    println!("the halves of a thousand even numbers: {sum} in all");

    client.close();
    server.shutdown(Duration::from_secs(1))?;
    Ok(())
}
