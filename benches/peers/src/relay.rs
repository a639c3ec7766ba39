//! A long path: holds each datagram up for a while and loses some, each for itself. For those who
//! speak UDP.

use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;

use crate::operands::random;
use crate::settings::Error;

/// What the path is like.
#[derive(Debug, Args)]
pub(crate) struct Relay {
    /// The server's address.
    #[arg(long)]
    server: SocketAddr,
    /// Milliseconds each way.
    #[arg(long)]
    delay_ms: u64,
    /// Loss each way, per cent.
    #[arg(long)]
    loss: u32,
}

/// The arguments of such a relay.
pub(crate) fn arguments(server: SocketAddr, delay_ms: u64, loss: u32) -> Vec<String> {
    let words = ["relay", "--server", &server.to_string(), "--delay-ms", &delay_ms.to_string()];
    let words = words.into_iter().chain(["--loss"]).map(str::to_owned);
    words.chain([loss.to_string()]).collect()
}

/// A datagram, and when it is to go on.
type Held = (Instant, Vec<u8>);

/// Relays between the server and whoever speaks first, until standard input ends.
pub(crate) fn run(relay: &Relay) -> Result<(), Error> {
    let front = Arc::new(UdpSocket::bind("127.0.0.1:0")?);
    let back = Arc::new(UdpSocket::bind("127.0.0.1:0")?);
    back.connect(relay.server)?;
    let client: Arc<OnceLock<SocketAddr>> = Arc::default();
    let delay = Duration::from_millis(relay.delay_ms);
    println!("listening {}", front.local_addr()?);
    let (hold_out, outward) = channel();
    let (hold_in, inward) = channel();
    let (loss, from, its) = (relay.loss, Arc::clone(&front), Arc::clone(&client));
    thread::spawn(move || {
        hold(&hold_out, delay, loss, 1, |buffer| {
            let (length, address) = from.recv_from(buffer)?;
            its.get_or_init(|| address);
            Ok(length)
        });
    });
    let from = Arc::clone(&back);
    thread::spawn(move || hold(&hold_in, delay, loss, 2, |buffer| from.recv(buffer)));
    thread::spawn(move || go_on(&outward, |datagram| back.send(datagram)));
    thread::spawn(move || {
        go_on(&inward, |datagram| match client.get() {
            Some(client) => front.send_to(datagram, client),
            None => Ok(0),
        });
    });
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

fn hold(
    held: &Sender<Held>,
    delay: Duration,
    loss: u32,
    seed: u64,
    mut receive: impl FnMut(&mut [u8]) -> std::io::Result<usize>,
) {
    let mut dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut buffer = [0; 65_536];
    loop {
        let Ok(length) = receive(&mut buffer) else { continue };
        let lost = random(&mut dice) % 100 < u64::from(loss);
        if !lost && held.send((Instant::now() + delay, buffer[..length].to_vec())).is_err() {
            return;
        }
    }
}

fn go_on(held: &Receiver<Held>, mut send: impl FnMut(&[u8]) -> std::io::Result<usize>) {
    for (due, datagram) in held {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        // A datagram that cannot be sent is lost, as on any path.
        let _ = send(&datagram);
    }
}
