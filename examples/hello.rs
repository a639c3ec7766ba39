//! A server with one typed method and one that sees plain bytes, and a client that calls both.
//!
//! `cargo run --example hello`

use std::time::Duration;

use udp_rpc::client::{BlockingClient, Options};
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
    let server = Server::builder(registry).listen("127.0.0.1:0").bind()?.spawn()?;

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

    client.close();
    server.shutdown(Duration::from_secs(1))?;
    Ok(())
}
