//! The floor: datagrams that are sent back as they came, one a system call each way. The client
//! keeps its number in flight; with several sockets it serves them in turn.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::measure::{Recorder, Sample};
use crate::settings::{Error, Load, Serve};

/// Length of a datagram, bytes: that of a request of this project with constant operands.
pub(super) const LENGTH: usize = 64;

/// Buffers asked of the kernel, bytes: as this project asks for.
pub(super) const BUFFER: usize = 4 << 20;

/// How long a client waits before it takes what is in flight for lost.
pub(super) const PATIENCE: Duration = Duration::from_millis(200);

/// A socket with long buffers.
pub(super) fn socket(local: SocketAddr) -> Result<UdpSocket, Error> {
    let socket = UdpSocket::bind(local)?;
    let reference = socket2::SockRef::from(&socket);
    reference.set_recv_buffer_size(BUFFER)?;
    reference.set_send_buffer_size(BUFFER)?;
    Ok(socket)
}

/// A client's socket.
pub(super) fn connected(server: SocketAddr) -> Result<UdpSocket, Error> {
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = socket(any.parse()?)?;
    socket.connect(server)?;
    Ok(socket)
}

pub(super) fn serve(serve: &Serve, spinning: bool) -> Result<(), Error> {
    let socket = socket(serve.listen)?;
    socket.set_nonblocking(spinning)?;
    super::listening(socket.local_addr()?, "")?;
    let mut buffer = [0; 2048];
    loop {
        match socket.recv_from(&mut buffer) {
            Ok((length, from)) => {
                // What does not fit is lost, as with any datagram.
                let _ = socket.send_to(&buffer[..length], from);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::hint::spin_loop(),
            Err(_) => {}
        }
    }
}

/// One of the client's sockets.
struct Peer {
    socket: UdpSocket,
    /// When those in flight were sent, if they are timed, in the order in which they come back.
    begun: VecDeque<Option<Instant>>,
}

pub(super) fn load(load: &Load, spinning: bool) -> Result<Sample, Error> {
    let mut peers = Vec::new();
    for _ in 0..load.clients {
        let socket = connected(load.server)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_nonblocking(spinning)?;
        peers.push(Peer { socket, begun: VecDeque::new() });
    }
    let mut recorder = Recorder::new(load);
    let datagram = [7; LENGTH];
    for peer in &mut peers {
        for _ in 0..load.depth {
            peer.begun.push_back(recorder.begin());
            peer.socket.send(&datagram)?;
        }
    }
    let mut buffer = [0; 2048];
    'run: loop {
        for peer in &mut peers {
            match receive(&peer.socket, &mut buffer, spinning) {
                Ok(length) if buffer[..length] == datagram => {
                    if !recorder.end(peer.begun.pop_front().flatten()) {
                        break 'run;
                    }
                }
                Ok(_) => return Err("not what was sent".into()),
                Err(error) => {
                    // All of this socket's are lost, and sent anew.
                    let lost = std::mem::take(&mut peer.begun).len();
                    for number in 0..lost {
                        if !recorder.fail(&error) {
                            break 'run;
                        }
                        if number > 0 {
                            peer.begun.push_back(None);
                            peer.socket.send(&datagram)?;
                        }
                    }
                }
            }
            peer.begun.push_back(recorder.begin());
            peer.socket.send(&datagram)?;
        }
    }
    let unfinished = peers.iter().flat_map(|peer| &peer.begun);
    Ok(recorder.finish(unfinished.copied().flatten()))
}

fn receive(socket: &UdpSocket, buffer: &mut [u8], spinning: bool) -> std::io::Result<usize> {
    if !spinning {
        return socket.recv(buffer);
    }
    // The clock is read only now and then.
    let begin = Instant::now();
    loop {
        for _ in 0..1000 {
            match socket.recv(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::hint::spin_loop(),
                result => return result,
            }
        }
        if begin.elapsed() > PATIENCE {
            return Err(ErrorKind::TimedOut.into());
        }
    }
}
