//! gRPC by tonic: one HTTP/2 connection over TCP, protobuf by prost. What `protoc` would generate
//! for the one method is written out here.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::uri::PathAndQuery;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::{NamedService, UnaryService};
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::closed_loop;
use crate::measure::Sample;
use crate::operands::{Number, Operands};
use crate::settings::{Error, Load, Serve};

const PATH: &str = "/udprpc.v1.Calculator/Add";

/// Requests that wait in the client's channel, and streams that the server allows at once: no
/// fewer than calls in flight.
const STREAMS: u32 = 8192;

#[derive(Clone)]
struct Calculator;

impl NamedService for Calculator {
    const NAME: &'static str = "udprpc.v1.Calculator";
}

type Pending<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

impl Service<http::Request<Body>> for Calculator {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pending<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            if request.uri().path() != PATH {
                return Ok(Status::unimplemented("no such method").into_http());
            }
            let codec = ProstCodec::<Number, Operands>::default();
            Ok(tonic::server::Grpc::new(codec).unary(Add, request).await)
        })
    }
}

struct Add;

impl UnaryService<Operands> for Add {
    type Response = Number;
    type Future = Pending<Response<Number>, Status>;

    fn call(&mut self, request: Request<Operands>) -> Self::Future {
        Box::pin(async move { Ok(Response::new(Number { value: request.into_inner().sum() })) })
    }
}

pub(super) async fn serve(serve: &Serve) -> Result<(), Error> {
    let listener = TcpListener::bind(serve.listen).await?;
    super::listening(listener.local_addr()?, "")?;
    // Not said by an incoming stream's owner, it would be as the kernel has it.
    use tokio_stream::StreamExt;
    let incoming = TcpListenerStream::new(listener).map(|stream| {
        let stream = stream?;
        stream.set_nodelay(true)?;
        Ok::<_, std::io::Error>(stream)
    });
    let server = Server::builder().max_concurrent_streams(STREAMS);
    Ok(server.serve_with_incoming(Calculator, incoming).await?)
}

pub(super) async fn load(load: &Load) -> Result<Sample, Error> {
    let endpoint = Endpoint::from_shared(format!("http://{}", load.server))?;
    let channel = endpoint.tcp_nodelay(true).buffer_size(STREAMS as usize).connect().await?;
    let client = tonic::client::Grpc::new(channel);
    closed_loop::run(load, move |operands| {
        let mut client = client.clone();
        async move {
            client.ready().await?;
            let codec = ProstCodec::<Operands, Number>::default();
            let path = PathAndQuery::from_static(PATH);
            let reply = client.unary(Request::new(operands), path, codec).await?;
            Ok(reply.into_inner().value)
        }
    })
    .await
}
