//! UDP sockets, in batches both ways.
//!
//! Receives with `recvmmsg` and UDP GRO, sends runs of equal-sized datagrams with UDP GSO, forbids
//! fragmentation, and tells which address a datagram was sent to: through `quinn-udp`, which falls
//! back where the kernel has none of it. Errors of a socket are never the end of anything: they
//! are told apart here and go on as values.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use mio::event::Source;
use mio::{Interest, Registry, Token};
use quinn_udp::{RecvMeta, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Type};

/// Receive buffer asked of the kernel for each socket, bytes: some 2,000 full datagrams, so that a
/// burst of a window's requests is not lost while a turn of the event loop is under way.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Send buffer asked of the kernel for each socket, bytes: a window's replies at once.
const SEND_BUFFER: usize = 4 << 20;

/// Buffers of one receive: as many runs of datagrams as one system call brings.
const BATCH: usize = 8;

/// Length of one buffer, bytes: the longest run that UDP GRO can make of datagrams, and longer
/// than any datagram, so that none arrives cut short.
const BUFFER_LEN: usize = 65_536;

/// After how long segmentation offload, once the kernel refused it, is tried again.
const REPROBE: Duration = Duration::from_secs(60);

/// Why a transmit did not leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SendError {
    /// The socket's buffer is full. The first `sent` bytes have left; when the socket is writable,
    /// the rest can be sent.
    WouldBlock { sent: usize },
    /// The kernel took none of it: nothing has left this host.
    Unsent(io::ErrorKind),
    /// It failed, and whether something left is not known.
    Failed(io::ErrorKind),
}

/// A non-blocking UDP socket.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(super) io: mio::net::UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
    /// All goes to one address, and comes from there.
    connected: bool,
    /// Most datagrams of one system call, while the kernel refuses none.
    segments_max: usize,
    /// When the kernel was last seen to refuse segmentation offload.
    segmentation_lost: Option<Instant>,
}

impl Socket {
    /// A server's socket: bound, never connected, and alone on its port.
    ///
    /// # Errors
    ///
    /// As `bind` has them; an address in use above all.
    pub(crate) fn bind(local: SocketAddr) -> io::Result<Self> {
        let socket = unbound(local)?;
        socket.bind(&local.into())?;
        Self::new(socket, false)
    }

    /// A client's socket, on a port of the kernel's choice. Where the system allows it, it is
    /// connected, so that the kernel drops what comes from elsewhere and tells of refused ports.
    ///
    /// # Errors
    ///
    /// As `bind` and `connect` have them; an unreachable network above all.
    pub(crate) fn connect(remote: SocketAddr) -> io::Result<Self> {
        let socket = socket2::Socket::new(domain(remote), Type::DGRAM, Some(Protocol::UDP))?;
        let any: IpAddr = match remote {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        socket.bind(&SocketAddr::new(any, 0).into())?;
        // Elsewhere a connected socket takes no address with a datagram.
        let connected = cfg!(any(target_os = "linux", target_os = "android"));
        if connected {
            socket.connect(&remote.into())?;
        }
        Self::new(socket, connected)
    }

    pub(super) fn new(socket: socket2::Socket, connected: bool) -> io::Result<Self> {
        // As much as the system grants; too small a buffer loses datagrams, and nothing else.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        let _ = socket.set_send_buffer_size(SEND_BUFFER);
        let io = mio::net::UdpSocket::from_std(socket.into());
        let local = io.local_addr()?;
        let state = set_up(&io, local)?;
        let segments_max = state.max_gso_segments();
        Ok(Self { io, state, local, connected, segments_max, segmentation_lost: None })
    }

    /// The address that it is bound to.
    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    /// The receive buffer that the kernel granted and the one asked for, bytes.
    pub(crate) fn receive_buffer(&self) -> (usize, usize) {
        let granted = self.state.recv_buffer_size(UdpSockRef::from(&self.io)).unwrap_or(0);
        (granted, RECEIVE_BUFFER)
    }

    /// Receives what is there, as much as fits `batch`.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when nothing is there; any other error is about an earlier datagram
    /// (`ConnectionRefused`: nobody listens there), and the socket goes on.
    pub(crate) fn receive(&self, batch: &mut Batch) -> io::Result<()> {
        batch.filled = 0;
        let mut slices = batch.buffers.each_mut().map(|buffer| IoSliceMut::new(buffer));
        batch.filled = self.state.recv(UdpSockRef::from(&self.io), &mut slices, &mut batch.meta)?;
        Ok(())
    }

    /// Sends one datagram, or, with `segment` bytes each, a run of them of which only the last
    /// may be shorter.
    ///
    /// # Errors
    ///
    /// See [`SendError`]. Of a run that failed, some may have left.
    pub(crate) fn send(
        &mut self,
        remote: SocketAddr,
        local: Option<IpAddr>,
        contents: &[u8],
        segment: Option<usize>,
    ) -> Result<(), SendError> {
        let segment = segment.filter(|size| *size > 0 && *size < contents.len());
        let Some(size) = segment else {
            return self.send_run(remote, local, contents, None);
        };
        self.reprobe_segmentation();
        let mut sent = 0;
        while let Some(rest) = contents.get(sent..).filter(|rest| !rest.is_empty()) {
            let most = self.state.max_gso_segments();
            let part = rest.get(..size * most).unwrap_or(rest);
            match self.send_run(remote, local, part, Some(size)) {
                Ok(()) => sent += part.len(),
                // The kernel refuses segmentation: the same once more, one by one.
                Err(SendError::Failed(_)) if most > 1 && self.state.max_gso_segments() == 1 => {}
                Err(error) => return Err(error.after(sent)),
            }
        }
        Ok(())
    }

    fn send_run(
        &self,
        destination: SocketAddr,
        src_ip: Option<IpAddr>,
        contents: &[u8],
        segment_size: Option<usize>,
    ) -> Result<(), SendError> {
        // A socket that has one address sends from there without being told.
        let src_ip = src_ip.filter(|_| self.local.ip().is_unspecified());
        let segment_size = segment_size.filter(|size| *size < contents.len());
        if src_ip.is_none() && segment_size.is_none() {
            return self.send_plainly(destination, contents);
        }
        let transmit =
            quinn_udp::Transmit { destination, ecn: None, contents, segment_size, src_ip };
        self.state.try_send(UdpSockRef::from(&self.io), &transmit).map_err(SendError::from)
    }

    /// Sends one datagram of which there is nothing more to say: a good deal less for the kernel
    /// to read.
    fn send_plainly(&self, destination: SocketAddr, contents: &[u8]) -> Result<(), SendError> {
        loop {
            let result = match self.connected {
                true => self.io.send(contents),
                false => self.io.send_to(contents, destination),
            };
            match result {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// One refusal turns segmentation offload off for good in `quinn-udp`; a passing cause (a
    /// route without it, a memory shortage) should not. Nor should the refusal of a lone datagram,
    /// which any peer can bring about: what came to a broadcast address cannot be answered from
    /// there.
    fn reprobe_segmentation(&mut self) {
        if self.state.max_gso_segments() == self.segments_max {
            return;
        }
        let lost = *self.segmentation_lost.get_or_insert_with(Instant::now);
        if lost.elapsed() >= REPROBE {
            if let Ok(state) = set_up(&self.io, self.local) {
                self.state = state;
            }
            self.segmentation_lost = None;
        }
    }
}

/// Has `quinn-udp` set a socket up, and takes away of it what nobody here reads: it would cost
/// time with every datagram that is received.
fn set_up(io: &mio::net::UdpSocket, local: SocketAddr) -> io::Result<UdpSocketState> {
    let state = UdpSocketState::new(UdpSockRef::from(io))?;
    // Where one of these fails it only stays as it was.
    #[cfg(target_os = "linux")]
    {
        use nix::sys::socket::{setsockopt, sockopt};

        let has_one_address = !local.ip().is_unspecified();
        let _ = setsockopt(io, sockopt::ReceiveTimestampns, &false);
        match local {
            SocketAddr::V4(_) => {
                let _ = setsockopt(io, sockopt::IpRecvTos, &false);
                let _ = setsockopt(io, sockopt::Ipv4PacketInfo, &!has_one_address);
            }
            SocketAddr::V6(_) => {
                let _ = setsockopt(io, sockopt::Ipv6RecvTClass, &false);
                let _ = setsockopt(io, sockopt::Ipv6RecvPacketInfo, &!has_one_address);
            }
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = local;
    Ok(state)
}

/// A socket of a server that is to listen there.
pub(super) fn unbound(local: SocketAddr) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(domain(local), Type::DGRAM, Some(Protocol::UDP))?;
    if local.is_ipv6() {
        // [::] and 0.0.0.0 are two addresses to listen on, as everywhere else in here.
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

fn domain(address: SocketAddr) -> Domain {
    match address {
        SocketAddr::V4(_) => Domain::IPV4,
        SocketAddr::V6(_) => Domain::IPV6,
    }
}

impl SendError {
    /// The error of a run of which the first `sent` bytes have left.
    fn after(self, sent: usize) -> Self {
        match self {
            SendError::WouldBlock { .. } => SendError::WouldBlock { sent },
            SendError::Unsent(kind) if sent > 0 => SendError::Failed(kind),
            error => error,
        }
    }
}

impl From<io::Error> for SendError {
    fn from(error: io::Error) -> Self {
        // What `sendmsg` says before it takes anything: too long for the path (EMSGSIZE),
        // forbidden by a filter (EPERM), no route (ENETUNREACH), or an earlier datagram's
        // refusal, for which this one was not sent (ECONNREFUSED).
        let unsent = matches!(
            error.kind(),
            io::ErrorKind::PermissionDenied
                | io::ErrorKind::ConnectionRefused
                | io::ErrorKind::NetworkUnreachable
        ) || error.raw_os_error() == Some(MESSAGE_TOO_LONG);
        match error.kind() {
            io::ErrorKind::WouldBlock => SendError::WouldBlock { sent: 0 },
            kind if unsent => SendError::Unsent(kind),
            kind => SendError::Failed(kind),
        }
    }
}

/// EMSGSIZE, for which `io::ErrorKind` has no name.
#[cfg(unix)]
const MESSAGE_TOO_LONG: i32 = nix::errno::Errno::EMSGSIZE as i32;
/// WSAEMSGSIZE.
#[cfg(not(unix))]
const MESSAGE_TOO_LONG: i32 = 10_040;

impl Source for Socket {
    fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        interests: Interest,
    ) -> io::Result<()> {
        self.io.register(registry, token, interests)
    }

    fn reregister(
        &mut self,
        registry: &Registry,
        token: Token,
        interests: Interest,
    ) -> io::Result<()> {
        self.io.reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.io.deregister(registry)
    }
}

/// What one receive brought.
pub(crate) struct Batch {
    buffers: [Box<[u8]>; BATCH],
    meta: [RecvMeta; BATCH],
    filled: usize,
}

impl Batch {
    pub(crate) fn new() -> Self {
        Self {
            buffers: std::array::from_fn(|_| vec![0; BUFFER_LEN].into_boxed_slice()),
            meta: std::array::from_fn(|_| RecvMeta::default()),
            filled: 0,
        }
    }

    /// Whether this is all that there was: fewer have come than there was room for. Elsewhere a
    /// system call may bring one, however many there are.
    pub(crate) fn is_all(&self) -> bool {
        cfg!(any(target_os = "linux", target_os = "android")) && self.filled < self.buffers.len()
    }

    /// What came, in the order of its arrival: runs of datagrams that came one way.
    pub(crate) fn runs(&self) -> impl Iterator<Item = Run<'_>> {
        self.meta.iter().zip(&self.buffers).take(self.filled).map(|(meta, buffer)| Run {
            remote: meta.addr,
            local: meta.dst_ip,
            contents: buffer.get(..meta.len).unwrap_or_default(),
            size: meta.stride,
        })
    }

    /// The datagrams, in the order of their arrival: from whom, to which address of ours, bytes.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = (SocketAddr, Option<IpAddr>, &[u8])> {
        self.runs().flat_map(|run| run.datagrams().map(move |bytes| (run.remote, run.local, bytes)))
    }
}

/// Datagrams of one size that came one way, one after the other; the last may be shorter.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    /// From whom.
    pub(crate) remote: SocketAddr,
    /// To which address of ours, where the socket has several.
    pub(crate) local: Option<IpAddr>,
    contents: &'a [u8],
    size: usize,
}

impl<'a> Run<'a> {
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        // An empty datagram is one too: it has to be counted.
        let empty = self.contents.is_empty().then_some(self.contents);
        empty.into_iter().chain(self.contents.chunks(self.size.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    fn receive_all(socket: &Socket, count: usize) -> Vec<Vec<u8>> {
        let mut poll = mio::Poll::new().unwrap();
        let mut events = mio::Events::with_capacity(4);
        let mut io = mio::net::UdpSocket::from_std(std::net::UdpSocket::bind(ANY).unwrap());
        poll.registry().register(&mut io, Token(0), Interest::READABLE).unwrap();
        let mut batch = Batch::new();
        let mut all = Vec::new();
        let begin = Instant::now();
        while all.len() < count && begin.elapsed() < Duration::from_secs(5) {
            match socket.receive(&mut batch) {
                Ok(()) => all.extend(batch.datagrams().map(|(_, _, bytes)| bytes.to_vec())),
                Err(_) => poll.poll(&mut events, Some(Duration::from_millis(1))).unwrap(),
            }
        }
        all
    }

    #[test]
    fn run_of_equal_sized_datagrams_arrives_as_datagrams() {
        let server = Socket::bind(ANY).unwrap();
        let mut client = Socket::connect(server.local()).unwrap();
        let run: Vec<u8> = (0..10u8).flat_map(|i| [i; 100]).chain([10; 30]).collect();
        client.send(server.local(), None, &run, Some(100)).unwrap();
        let received = receive_all(&server, 11);
        let expected: Vec<Vec<u8>> = run.chunks(100).map(<[u8]>::to_vec).collect();
        assert_eq!(received, expected);
    }

    #[test]
    fn empty_datagram_is_received_as_one() {
        let server = Socket::bind(ANY).unwrap();
        let mut client = Socket::connect(server.local()).unwrap();
        client.send(server.local(), None, &[], None).unwrap();
        assert_eq!(receive_all(&server, 1), [Vec::<u8>::new()]);
    }

    #[test]
    fn run_of_which_nothing_left_can_be_sent_again_and_one_that_was_stopped_can_go_on() {
        let blocked = SendError::WouldBlock { sent: 0 };
        let unsent = SendError::Unsent(io::ErrorKind::PermissionDenied);
        assert_eq!((blocked.after(0), unsent.after(0)), (blocked, unsent));
        assert_eq!(blocked.after(100), SendError::WouldBlock { sent: 100 });
        assert!(matches!(unsent.after(100), SendError::Failed(_)));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn run_is_sent_one_by_one_without_segmentation_which_is_tried_again_when_it_was_lost() {
        let server = Socket::bind(ANY).unwrap();
        let mut socket = Socket::bind((Ipv4Addr::UNSPECIFIED, 0).into()).unwrap();
        if socket.segments_max == 1 {
            eprintln!("skipped: no segmentation offload here");
            return;
        }
        // Whoever sends to a broadcast address makes the server answer from there.
        let broadcast = Some(Ipv4Addr::BROADCAST.into());
        assert!(socket.send(server.local(), broadcast, &[0; 48], None).is_err());
        assert_eq!(socket.state.max_gso_segments(), 1);
        let run: Vec<u8> = (0..10u8).flat_map(|i| [i; 48]).collect();
        socket.send(server.local(), None, &run, Some(48)).unwrap();
        assert_eq!(receive_all(&server, 10).concat(), run);
        let lost = socket.segmentation_lost.expect("it was noticed");
        if let Some(earlier) = lost.checked_sub(REPROBE) {
            socket.segmentation_lost = Some(earlier);
            socket.send(server.local(), None, &[0; 96], Some(48)).unwrap();
            assert_eq!(socket.state.max_gso_segments(), socket.segments_max);
            assert_eq!(receive_all(&server, 2).concat(), [0; 96]);
        }
    }

    #[test]
    fn datagram_too_long_for_the_path_is_unsent() {
        let server = Socket::bind(ANY).unwrap();
        let mut client = Socket::connect(server.local()).unwrap();
        let result = client.send(server.local(), None, &[0; 65_536], None);
        assert!(matches!(result, Err(SendError::Unsent(_))), "{result:?}");
    }
}
