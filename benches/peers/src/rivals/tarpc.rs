//! tarpc: one TCP connection, messages with their length before them, bincode.

use futures::StreamExt;
use tarpc::client;
use tarpc::context::{self, Context};
use tarpc::serde_transport;
use tarpc::server::{self, Channel};
use tarpc::tokio_serde::formats::Bincode;
use tarpc::tokio_util::codec::LengthDelimitedCodec;
use tokio::net::{TcpListener, TcpStream};

use super::closed_loop;
use crate::measure::Sample;
use crate::operands::Operands;
use crate::settings::{Error, Load, Serve};

/// Calls that its queues hold: no fewer than calls in flight.
const QUEUE: usize = 8192;

#[tarpc::service]
trait Calculator {
    /// The sum of both.
    async fn add(a: i64, b: i64) -> i64;
}

#[derive(Clone)]
struct Adder;

impl Calculator for Adder {
    async fn add(self, _: Context, a: i64, b: i64) -> i64 {
        Operands { a, b }.sum()
    }
}

pub(super) async fn serve(serve: &Serve) -> Result<(), Error> {
    let listener = TcpListener::bind(serve.listen).await?;
    super::listening(listener.local_addr()?, "")?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let framed = LengthDelimitedCodec::builder().new_framed(stream);
        let transport = serde_transport::new(framed, Bincode::default());
        let channel = server::Config { pending_response_buffer: QUEUE }
            .channel(transport)
            .execute(Adder.serve());
        tokio::spawn(channel.for_each(|call| async {
            tokio::spawn(call);
        }));
    }
}

pub(super) async fn load(load: &Load) -> Result<Sample, Error> {
    let stream = TcpStream::connect(load.server).await?;
    stream.set_nodelay(true)?;
    let framed = LengthDelimitedCodec::builder().new_framed(stream);
    let transport = serde_transport::new(framed, Bincode::default());
    let mut config = client::Config::default();
    config.max_in_flight_requests = QUEUE;
    config.pending_request_buffer = QUEUE;
    let client = CalculatorClient::new(config, transport).spawn();
    closed_loop::run(load, move |Operands { a, b }| {
        let client = client.clone();
        async move { Ok(client.add(context::current(), a, b).await?) }
    })
    .await
}
