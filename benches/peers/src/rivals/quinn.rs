//! QUIC by quinn: one connection, a bidirectional stream for each call, sixteen bytes there and
//! eight back.

use std::sync::Arc;

use quinn::{
    ClientConfig, Connection, Endpoint, RecvStream, SendStream, ServerConfig, TransportConfig,
    VarInt,
};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use super::closed_loop;
use crate::measure::Sample;
use crate::operands::Operands;
use crate::settings::{Error, Load, Serve};

/// Streams that may be open at once: no fewer than calls in flight.
const STREAMS: u32 = 8192;

/// The name in the certificate.
const NAME: &str = "localhost";

fn transport() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport.max_concurrent_bidi_streams(VarInt::from_u32(STREAMS));
    Arc::new(transport)
}

pub(super) async fn serve(serve: &Serve) -> Result<(), Error> {
    let certified = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
    let certificate = certified.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let mut config = ServerConfig::with_single_cert(vec![certificate.clone()], key.into())?;
    config.transport_config(transport());
    let endpoint = Endpoint::server(config, serve.listen)?;
    super::listening(endpoint.local_addr()?, &hexadecimal(&certificate))?;
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move {
            if let Ok(connection) = incoming.await {
                while let Ok((send, receive)) = connection.accept_bi().await {
                    tokio::spawn(answer(send, receive));
                }
            }
        });
    }
    Ok(())
}

async fn answer(mut send: SendStream, mut receive: RecvStream) -> Result<(), Error> {
    let mut request = [0; 16];
    receive.read_exact(&mut request).await?;
    let (a, b) = request.split_at(8);
    let operands =
        Operands { a: i64::from_le_bytes(a.try_into()?), b: i64::from_le_bytes(b.try_into()?) };
    send.write_all(&operands.sum().to_le_bytes()).await?;
    send.finish()?;
    Ok(())
}

pub(super) async fn load(load: &Load) -> Result<Sample, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(bytes(&load.hint)?))?;
    let mut config = ClientConfig::with_root_certificates(Arc::new(roots))?;
    config.transport_config(transport());
    let any = if load.server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let mut endpoint = Endpoint::client(any.parse()?)?;
    endpoint.set_default_client_config(config);
    let connection = endpoint.connect(load.server, NAME)?.await?;
    closed_loop::run(load, move |operands| call(connection.clone(), operands)).await
}

async fn call(connection: Connection, Operands { a, b }: Operands) -> Result<i64, Error> {
    let (mut send, mut receive) = connection.open_bi().await?;
    let mut request = [0; 16];
    request[..8].copy_from_slice(&a.to_le_bytes());
    request[8..].copy_from_slice(&b.to_le_bytes());
    send.write_all(&request).await?;
    send.finish()?;
    let mut reply = [0; 8];
    receive.read_exact(&mut reply).await?;
    Ok(i64::from_le_bytes(reply))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hexadecimal: &str) -> Result<Vec<u8>, Error> {
    let digits = |place| hexadecimal.get(place..place + 2).ok_or("half a byte");
    (0..hexadecimal.len())
        .step_by(2)
        .map(|place| Ok(u8::from_str_radix(digits(place)?, 16)?))
        .collect()
}
