//! The cores of client and server without an event loop: driven by hand over two of the standard
//! library's sockets, on one thread.
//!
//! `cargo run --example std_udp`

use std::io;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use udp_rpc::core::client::{Client, ClientConfig, Event, NewCall};
use udp_rpc::core::server::{End, Execution, MethodSpec, Route, Server, ServerConfig};
use udp_rpc::core::{Seed, Time};
use udp_rpc::wire::{Code, MAX_DATAGRAM, Metadata, MetadataRef, MethodId};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let start = Instant::now();
    // Time is what the driver says it is. A real one counts suspend too: `udp_rpc::net::Clock`.
    let now = || Time::from_micros(1) + start.elapsed();

    let shout = MethodSpec {
        id: MethodId::of("demo.Text/Shout"),
        execution: Execution::Inline,
        longest_reply: 1000,
        longest_request: 1000,
    };
    let mut server = Server::new(ServerConfig::default(), vec![shout.clone()], seed()?, now())?;
    let server_socket = UdpSocket::bind("127.0.0.1:0")?;
    server_socket.set_nonblocking(true)?;
    let address = server_socket.local_addr()?;

    let mut client = Client::new(ClientConfig::default(), vec![address], seed()?);
    let client_socket = UdpSocket::bind("127.0.0.1:0")?;
    client_socket.set_nonblocking(true)?;

    let call = NewCall {
        method: shout.id,
        metadata: Metadata::new(),
        body: b"hello".to_vec(),
        deadline: now() + Duration::from_secs(5),
        no_side_effects: true,
        retry: None,
    };
    client.call(now(), call);

    let mut buffer = [0; MAX_DATAGRAM];
    let mut out = Vec::new();
    loop {
        // The client: what it has to say goes out, what comes goes in, and time passes.
        while let Some(transmit) = client.poll_transmit(now(), &mut out) {
            for datagram in out.chunks(transmit.segment_size.unwrap_or(out.len())) {
                client_socket.send_to(datagram, transmit.remote)?;
            }
            out.clear();
        }
        while let Some((length, from)) = received(client_socket.recv_from(&mut buffer))? {
            client.handle_datagram(now(), from, &buffer[..length]);
        }
        client.handle_timeout(now());

        // The server likewise; a call that is to run at once is handed out.
        while let Some((length, remote)) = received(server_socket.recv_from(&mut buffer))? {
            let route = Route { remote, local: None, socket: 0 };
            if let Some(start) = server.handle_datagram(now(), &route, &buffer[..length]) {
                let body = start.body.to_ascii_uppercase();
                let key = start.key;
                server.complete(
                    now(),
                    key,
                    End::Done { status: Code::Ok, metadata: MetadataRef::EMPTY, body: &body },
                );
            }
        }
        server.handle_timeout(now());
        while let Some(transmit) = server.poll_transmit(now(), &mut out) {
            for datagram in out.chunks(transmit.segment_size.unwrap_or(out.len())) {
                server_socket.send_to(datagram, transmit.route.remote)?;
            }
            out.clear();
        }

        if let Some(Event::Ended { result, .. }) = client.poll_event() {
            println!("{}", String::from_utf8_lossy(&result?.body));
            return Ok(());
        }
        std::thread::yield_now();
    }
}

/// Nothing there is no error.
fn received<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Secrets come from the operating system.
fn seed() -> io::Result<Seed> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(Seed(bytes))
}
