//! A server in this process, and both clients of it.
#![allow(dead_code, reason = "each test uses a part")]

use udp_rpc::client::{BlockingClient, Client};
use udp_rpc::server::{Running, Server};
use udp_rpc::service::{Registry, Service, builtin};

/// A server of these services, with reflection.
pub(crate) struct Served {
    /// Ends when it is dropped.
    pub(crate) server: Running,
    pub(crate) blocking: BlockingClient,
    pub(crate) client: Client,
}

/// Serves these services on a port of the system's choice.
pub(crate) fn serve(services: impl IntoIterator<Item = Service>) -> Served {
    let mut registry = Registry::new();
    builtin::reflection::install(&mut registry).unwrap();
    for service in services {
        registry.add_service(service).unwrap();
    }
    let server = Server::builder(registry).listen("127.0.0.1:0").bind().unwrap().spawn().unwrap();
    let blocking = BlockingClient::connect(server.local_addr()).unwrap();
    let client = Client::connect(server.local_addr()).unwrap();
    Served { server, blocking, client }
}

/// Calls a method of a mirror with every stub, and expects to get back what was sent.
#[macro_export]
macro_rules! assert_mirrored {
    ($served:ident, $service:path, $method:ident, $values:expr) => {{
        use $service as service;
        let mut blocking = service::BlockingMirrorClient::new(&mut $served.blocking);
        let client = service::MirrorClient::new($served.client.clone());
        for value in $values {
            assert_eq!(blocking.$method(&value).unwrap(), value);
            assert_eq!(smol::block_on(client.$method(&value)).unwrap(), value);
        }
    }};
}

/// Implements a mirror: every method gives back what it gets.
#[macro_export]
macro_rules! mirror {
    ($service:path { $($method:ident: $Message:ty),* $(,)? }) => {
        impl $service for $crate::Mirrored {
            $(fn $method(
                &self,
                _: &udp_rpc::service::Context<'_>,
                request: $Message,
            ) -> Result<$Message, udp_rpc::service::Status> {
                Ok(request)
            })*
        }
    };
}
