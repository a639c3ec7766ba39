//! A peer that sends whatever datagrams a test makes up.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use udp_rpc::wire::{
    CallId, Datagram, Flags, FromClient, FromServer, HELLO_LEN, HelloAck, MetadataRef, MethodId,
    Proofs, SessionId, VERSION, parse_from_server,
};

/// From the handshake to the expiry of requests, µs: within the longest deadline of a server that
/// is not told otherwise.
const EXPIRY_US: u64 = 50_000_000;

/// A socket, connected to a server.
pub(crate) struct Peer {
    socket: UdpSocket,
}

/// A session that a peer was offered.
#[derive(Clone, Copy)]
pub(crate) struct Offer {
    pub(crate) session: SessionId,
    pub(crate) clock: u64,
    pub(crate) ack: HelloAck,
}

impl Peer {
    pub(crate) fn new(server: SocketAddr) -> Self {
        let local: SocketAddr =
            if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }.parse().unwrap();
        let socket = UdpSocket::bind(local).unwrap();
        socket.connect(server).unwrap();
        Self { socket }
    }

    pub(crate) fn local(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// The socket itself.
    pub(crate) fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Sends these bytes, whatever they are.
    pub(crate) fn send(&self, datagram: &[u8]) {
        // A flood may find the socket's buffer full.
        while let Err(error) = self.socket.send(datagram) {
            assert!(
                matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionRefused)
                    || error.raw_os_error() == Some(105),
                "{error}"
            );
        }
    }

    /// Sends datagrams of one size as one run of segmentation offload; false where there is no
    /// such thing.
    pub(crate) fn send_run(&self, contents: &[u8], size: usize) -> bool {
        let socket = quinn_udp::UdpSockRef::from(&self.socket);
        let state = quinn_udp::UdpSocketState::new(socket).unwrap();
        // Which has made it one that does not block.
        self.socket.set_nonblocking(false).unwrap();
        let destination = self.socket.peer_addr().unwrap();
        let segment_size = Some(size);
        let run =
            quinn_udp::Transmit { destination, ecn: None, contents, segment_size, src_ip: None };
        state.max_gso_segments() > 1
            && state.try_send(quinn_udp::UdpSockRef::from(&self.socket), &run).is_ok()
    }

    /// What comes within this time.
    pub(crate) fn receive(&self, within: Duration) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 65_536];
        let until = Instant::now() + within;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            self.socket.set_read_timeout(Some(left)).unwrap();
            if let Ok(length) = self.socket.recv(&mut buffer) {
                buffer.truncate(length);
                return Some(buffer);
            }
        }
    }

    /// What is there already.
    pub(crate) fn received(&self) -> Vec<Vec<u8>> {
        self.socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 2048];
        let mut all = Vec::new();
        while let Ok(length) = self.socket.recv(&mut buffer) {
            all.push(buffer[..length].to_vec());
        }
        self.socket.set_nonblocking(false).unwrap();
        all
    }

    /// Sends a datagram until it is answered by one that `wanted` takes.
    #[track_caller]
    pub(crate) fn ask<T>(
        &self,
        datagram: &[u8],
        mut wanted: impl FnMut(&Datagram<FromServer<'_>>) -> Option<T>,
    ) -> T {
        super::wait_for("an answer", || {
            self.send(datagram);
            while let Some(answer) = self.receive(Duration::from_millis(200)) {
                let answer = parse_from_server(&answer).expect("the server speaks the protocol");
                if let Some(found) = wanted(&answer) {
                    return Some(found);
                }
            }
            None
        })
    }

    /// Shakes hands.
    #[track_caller]
    pub(crate) fn hello(&self, nonce: u128) -> Offer {
        self.ask(&hello(nonce), |answer| match answer.message {
            FromServer::HelloAck { session, nonce: echoed, clock, ack } if echoed == nonce => {
                Some(Offer { session, clock, ack })
            }
            _ => None,
        })
    }

    /// A session that the server has created.
    #[track_caller]
    pub(crate) fn open(&self, nonce: u128) -> Offer {
        let offer = self.hello(nonce);
        self.ask(&offer.ping(), |answer| {
            matches!(answer.message, FromServer::Pong { .. }).then_some(())
        });
        offer
    }
}

impl Offer {
    /// Both proofs.
    pub(crate) fn proofs(&self) -> Proofs {
        Proofs { birth: Some(self.ack.birth), path: Some(self.ack.path) }
    }

    /// A PING with the proofs.
    pub(crate) fn ping(&self) -> Vec<u8> {
        emit(FromClient::Ping { session: self.session, call: CallId(1), proofs: self.proofs() })
    }

    /// A REQUEST without options, valid for fifty seconds from the handshake.
    pub(crate) fn request(&self, call: u64, method: MethodId, body: &[u8]) -> Vec<u8> {
        self.request_with(call, method, body, Proofs::default())
    }

    /// A REQUEST, valid for fifty seconds from the handshake.
    pub(crate) fn request_with(
        &self,
        call: u64,
        method: MethodId,
        body: &[u8],
        proofs: Proofs,
    ) -> Vec<u8> {
        emit(FromClient::Request {
            session: self.session,
            call: CallId(call),
            expiry: self.clock + EXPIRY_US,
            method,
            flags: Flags::WHOLE,
            cell: 0,
            proofs,
            metadata: MetadataRef::EMPTY,
            unknown_critical: false,
            options: &[],
            body,
        })
    }
}

/// A HELLO of the shortest length.
pub(crate) fn hello(nonce: u128) -> Vec<u8> {
    emit(FromClient::Hello {
        session: SessionId(nonce as u64),
        nonce,
        lowest: VERSION,
        highest: VERSION,
        length: HELLO_LEN,
    })
}

/// The bytes of a first copy.
pub(crate) fn emit(message: FromClient<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    Datagram { attempt: 1, message }.emit(&mut out);
    out
}
