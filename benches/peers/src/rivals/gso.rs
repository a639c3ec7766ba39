//! What the kernel can do when it is asked well: runs of datagrams, sent back as they came, with
//! one walk through the kernel for up to 64 (UDP GSO and GRO).

use std::collections::VecDeque;
use std::io::{ErrorKind, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};

use super::raw::{LENGTH, connected, socket};
use crate::measure::{Recorder, Sample};
use crate::settings::{Error, Load, Serve};

/// Runs of one receive.
const BATCH: usize = 8;

/// Length of a buffer, bytes: the longest run.
const BUFFER_LEN: usize = 65_536;

/// Datagrams of one run, at most: what Linux takes.
const RUN: usize = 64;

/// How long a client waits before it takes what is in flight for lost.
const PATIENCE: Duration = Duration::from_millis(200);

pub(super) struct Socket {
    pub(super) io: UdpSocket,
    state: UdpSocketState,
    buffers: Vec<Vec<u8>>,
    meta: [RecvMeta; BATCH],
}

impl Socket {
    pub(super) fn new(io: UdpSocket) -> Result<Self, Error> {
        let state = UdpSocketState::new(UdpSockRef::from(&io))?;
        let buffers = vec![vec![0; BUFFER_LEN]; BATCH];
        Ok(Self { io, state, buffers, meta: [RecvMeta::default(); BATCH] })
    }

    /// Waits until runs have come, and gives their number; none when it waited too long.
    pub(super) fn receive(&mut self) -> Result<usize, Error> {
        loop {
            let mut buffers = self.buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer));
            let mut slices: [_; BATCH] = std::array::from_fn(|_| buffers.next().expect("as many"));
            match self.state.recv(UdpSockRef::from(&self.io), &mut slices, &mut self.meta) {
                Ok(runs) => return Ok(runs),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
            let mut wait = [PollFd::new(self.io.as_fd(), PollFlags::POLLIN)];
            let timeout = PollTimeout::try_from(PATIENCE)?;
            if poll(&mut wait, timeout)? == 0 {
                return Ok(0);
            }
        }
    }

    /// What the last receive brought in this run: its bytes, and the length of each datagram.
    pub(super) fn run(&self, number: usize) -> (&[u8], usize) {
        let meta = &self.meta[number];
        (&self.buffers[number][..meta.len], meta.stride.max(1))
    }

    /// Sends a run of datagrams of this size.
    pub(super) fn send(
        &self,
        destination: SocketAddr,
        contents: &[u8],
        size: usize,
    ) -> Result<(), Error> {
        for contents in contents.chunks(size * self.state.max_gso_segments()) {
            let segment_size = (contents.len() > size).then_some(size);
            let transmit =
                Transmit { destination, ecn: None, contents, segment_size, src_ip: None };
            loop {
                match self.state.try_send(UdpSockRef::from(&self.io), &transmit) {
                    Ok(()) => break,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        poll(
                            &mut [PollFd::new(self.io.as_fd(), PollFlags::POLLOUT)],
                            PollTimeout::NONE,
                        )?;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }
}

pub(super) fn serve(serve: &Serve) -> Result<(), Error> {
    let mut socket = Socket::new(socket(serve.listen)?)?;
    super::listening(socket.io.local_addr()?, "")?;
    loop {
        for number in 0..socket.receive()? {
            let meta = socket.meta[number];
            let contents = &socket.buffers[number][..meta.len];
            socket.send(meta.addr, contents, meta.stride)?;
        }
    }
}

pub(super) fn load(load: &Load) -> Result<Sample, Error> {
    let mut socket = Socket::new(connected(load.server)?)?;
    if socket.state.max_gso_segments() == 1 {
        return Err("the kernel has no UDP GSO".into());
    }
    let run = [7; LENGTH * RUN];
    let mut recorder = Recorder::new(load);
    // The runs in flight: how many of their datagrams have not come back, and when they went.
    let mut runs: VecDeque<(usize, Option<Instant>)> = VecDeque::new();
    let mut flying = 0;
    loop {
        while flying < load.depth {
            let count = RUN.min(load.depth - flying);
            runs.push_back((count, recorder.begin()));
            flying += count;
            socket.send(load.server, &run[..count * LENGTH], LENGTH)?;
        }
        let received = socket.receive()?;
        if received == 0 {
            // What has not come by now is lost, and sent anew.
            runs.clear();
            for _ in 0..std::mem::take(&mut flying) {
                if !recorder.fail("lost") {
                    return Ok(recorder.finish([]));
                }
            }
        }
        let count = socket.meta[..received].iter().map(|meta| meta.len.div_ceil(LENGTH)).sum();
        flying = usize::saturating_sub(flying, count);
        let mut left = count;
        while left > 0
            && let Some((count, _)) = runs.front_mut()
        {
            let here = left.min(*count);
            *count -= here;
            left -= here;
            let begun = if *count == 0 { runs.pop_front().and_then(|run| run.1) } else { None };
            if !recorder.end_many(here as u64, begun) {
                return Ok(recorder.finish([]));
            }
        }
    }
}
