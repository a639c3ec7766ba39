//! Several sockets on one address, between which the kernel spreads the datagrams by what they
//! say of themselves.
//!
//! The rule is one for all kinds of datagrams and all versions: socket = byte 8 modulo the number
//! of sockets. In a session id that byte is the shard that owns the session, and in a HELLO it is
//! random. So HELLOs spread, and whatever names a session comes to its owner, whatever the address
//! that it comes from.

use std::io;

use super::Socket;
use super::socket::unbound;

impl Socket {
    /// Another socket on the address of this one.
    ///
    /// Nobody else could have bound the address since this socket did, and only this very user
    /// still can, in this way. The kernel spreads by addresses until it is told to
    /// [`steer`](Self::steer).
    ///
    /// # Errors
    ///
    /// When this system has no such thing, or its kernel refuses.
    pub(crate) fn beside(&self) -> io::Result<Self> {
        set_reuse_port(&self.io, true)?;
        let socket = unbound(self.local())?;
        set_reuse_port(&socket, true)?;
        socket.bind(&self.local().into())?;
        Self::new(socket, false)
    }

    /// Has the kernel steer between the sockets on this address, of which there are `sockets`,
    /// numbered as they were bound; what a socket has received already it keeps. It does so while
    /// all of them are open. A further one would get nothing: the rule names none but these.
    ///
    /// # Errors
    ///
    /// As [`beside`](Self::beside).
    pub(crate) fn steer(&self, sockets: u16) -> io::Result<()> {
        attach(&self.io, sockets)
    }

    /// Alone on its address again, once the others are closed.
    pub(crate) fn unshare(&self) {
        // Where it cannot be turned off it was never on.
        let _ = set_reuse_port(&self.io, false);
    }
}

#[cfg(target_os = "linux")]
mod kernel {
    use std::io;
    use std::os::fd::AsFd;

    use nix::libc::{
        BPF_A, BPF_ABS, BPF_ALU, BPF_B, BPF_K, BPF_LD, BPF_MOD, BPF_RET, sock_filter, sock_fprog,
    };
    use nix::sys::socket::{setsockopt, sockopt};

    /// Where the session id begins, in all versions. Offsets count from the end of UDP's header.
    const SESSION: u32 = 8;

    pub(super) fn set_reuse_port(socket: &impl AsFd, whether: bool) -> io::Result<()> {
        Ok(setsockopt(socket, sockopt::ReusePort, &whether)?)
    }

    /// Attaches the rule to the sockets that share an address with this one.
    pub(super) fn attach(socket: &impl AsFd, sockets: u16) -> io::Result<()> {
        let operation = |code: u32, k| {
            let code = u16::try_from(code).unwrap_or_default();
            sock_filter { code, jt: 0, jf: 0, k }
        };
        let mut program = [
            // A datagram that is too short ends the program here: it goes to the first socket.
            operation(BPF_LD | BPF_B | BPF_ABS, SESSION),
            operation(BPF_ALU | BPF_MOD | BPF_K, sockets.into()),
            operation(BPF_RET | BPF_A, 0),
        ];
        let program = sock_fprog { len: 3, filter: program.as_mut_ptr() };
        Ok(setsockopt(socket, sockopt::AttachReusePortCbpf, &program)?)
    }
}

#[cfg(not(target_os = "linux"))]
mod kernel {
    use std::io;

    pub(super) fn set_reuse_port<S>(_: &S, _: bool) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn attach<S>(_: &S, _: u16) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

use kernel::{attach, set_reuse_port};

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
    use std::time::Duration;

    use super::super::Batch;
    use super::*;

    /// Sockets that share a port of this address.
    fn shared(address: SocketAddr, count: u16) -> Vec<Socket> {
        let first = Socket::bind(address).unwrap();
        let others: Vec<_> = (1..count).map(|_| first.beside().unwrap()).collect();
        first.steer(count).unwrap();
        std::iter::once(first).chain(others).collect()
    }

    /// What has come to each socket, once `count` datagrams have.
    fn received(sockets: &[Socket], count: usize) -> Vec<Vec<Vec<u8>>> {
        let mut batch = Batch::new();
        let mut all = vec![Vec::new(); sockets.len()];
        let begin = std::time::Instant::now();
        while all.iter().map(Vec::len).sum::<usize>() < count {
            assert!(begin.elapsed() < Duration::from_secs(10), "{all:?}");
            for (socket, its) in sockets.iter().zip(&mut all) {
                if socket.receive(&mut batch).is_ok() {
                    its.extend(batch.datagrams().map(|(_, _, bytes)| bytes.to_vec()));
                }
            }
        }
        all
    }

    #[test]
    fn datagrams_come_to_the_socket_that_byte_8_names_from_whatever_address() {
        for any in [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), (Ipv6Addr::LOCALHOST, 0).into()] {
            let Ok(probe) = std::net::UdpSocket::bind(any) else {
                eprintln!("skipped: there is no address {any}");
                continue;
            };
            drop(probe);
            let sockets = shared(any, 3);
            let server = sockets[0].local();
            for byte in 0..=255u8 {
                let mut client = Socket::connect(server).unwrap();
                client.send(server, None, &[[0; 8], [byte; 8]].concat(), None).unwrap();
            }
            for (number, its) in received(&sockets, 256).into_iter().enumerate() {
                assert!(its.iter().all(|datagram| usize::from(datagram[8]) % 3 == number));
                assert_eq!(its.len(), if number == 0 { 86 } else { 85 });
            }
        }
    }

    #[test]
    fn datagram_too_short_to_say_where_it_belongs_comes_to_the_first_socket() {
        let sockets = shared((Ipv4Addr::LOCALHOST, 0).into(), 4);
        let server = sockets[0].local();
        for length in 0..=8 {
            let mut client = Socket::connect(server).unwrap();
            client.send(server, None, &[255; 8][..length], None).unwrap();
        }
        assert_eq!(received(&sockets, 9)[0].len(), 9);
    }

    #[test]
    fn address_that_is_shared_is_still_refused_to_others() {
        let sockets = shared((Ipv4Addr::LOCALHOST, 0).into(), 2);
        let error = Socket::bind(sockets[1].local()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(std::net::UdpSocket::bind(sockets[1].local()).is_err());
        sockets[0].unshare();
        assert!(sockets[0].beside().is_ok(), "it can be shared again");
    }
}
