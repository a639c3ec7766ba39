//! How a link waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::*;
use crate::core::client::{Client, ClientConfig};

const PATIENCE: Duration = Duration::from_secs(20);

/// A machine that has nothing to say, with or without something open.
#[derive(Default)]
struct Quiet {
    idle: bool,
    /// It was asked whether anything is open.
    asked: Arc<AtomicBool>,
}

const IDLE: bool = true;
const OPEN: bool = false;

fn quiet(idle: bool) -> Quiet {
    Quiet { idle, ..Quiet::default() }
}

impl Machine for Quiet {
    fn handle_datagram(&mut self, _: Time, _: SocketAddr, _: &[u8]) {}
    fn handle_refused(&mut self, _: Time, _: SocketAddr) {}
    fn handle_unsent(&mut self, _: Time, _: &Transmit) {}
    fn handle_timeout(&mut self, _: Time) {}
    fn poll_transmit(&mut self, _: Time, _: &mut Vec<u8>) -> Option<Transmit> {
        None
    }
    fn poll_timeout(&self) -> Option<Time> {
        None
    }
    fn has_news(&self) -> bool {
        false
    }
    fn is_idle(&self) -> bool {
        self.asked.store(true, Ordering::SeqCst);
        self.idle
    }
}

fn link(busy_poll: bool) -> Link {
    let mut link = Link::new(Faults::default(), &Seed::from_number(1), None).unwrap();
    link.set_busy_poll(busy_poll);
    link
}

#[track_caller]
fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited for {what}");
        std::thread::yield_now();
    }
}

/// Runs `meanwhile` during a turn of this link that nothing else ends.
fn during_a_turn(mut link: Link, mut machine: Quiet, meanwhile: impl FnOnce(&Interrupter)) {
    let interrupter = link.interrupter();
    let turning = std::thread::spawn(move || link.turn(&mut machine, Time::MAX).unwrap());
    meanwhile(&interrupter);
    wait_for("the end of the turn", || turning.is_finished());
    turning.join().unwrap();
}

#[test]
fn link_sleeps_unless_it_is_to_poll_and_something_is_open() {
    for (busy_poll, machine) in [(false, OPEN), (false, IDLE), (true, IDLE)] {
        during_a_turn(link(busy_poll), quiet(machine), |interrupter| {
            wait_for("sleep", || interrupter.is_asleep());
            interrupter.wake();
        });
    }
}

#[test]
fn link_that_polls_is_woken_without_the_kernel() {
    let machine = quiet(OPEN);
    let asked = Arc::clone(&machine.asked);
    during_a_turn(link(true), machine, |interrupter| {
        wait_for("the turn to begin", || asked.load(Ordering::SeqCst));
        interrupter.wake_the_awake();
    });
}

#[test]
fn link_that_polls_sees_what_it_waits_for_come_and_goes_no_further_than_asked() {
    let mut link = link(true);
    let machine = &mut quiet(OPEN);
    let until = link.now() + Duration::from_millis(1);
    assert!(!link.turn(machine, until).unwrap());
    assert!(link.now() >= until);
    assert!(link.polls_until >= until + POLL_ON, "counted from the end of the wait");
    link.interrupter().interrupt();
    assert!(link.turn(machine, Time::MAX).unwrap());
}

#[test]
fn wake_up_that_comes_before_the_sleep_ends_it() {
    for busy_poll in [false, true] {
        let mut link = link(busy_poll);
        link.interrupter().wake();
        assert!(!link.turn(&mut quiet(IDLE), Time::MAX).unwrap());
        link.interrupter().interrupt();
        assert!(link.turn(&mut quiet(IDLE), Time::MAX).unwrap());
    }
}

#[test]
fn run_that_waits_for_room_is_sent_unless_a_deadline_in_it_has_come() {
    let server = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let address = server.local_addr().unwrap();
    for (left, arrives) in [(Duration::from_secs(60), true), (Duration::ZERO, false)] {
        let mut link = link(false);
        let now = link.now();
        let mut core = Client::new(ClientConfig::default(), vec![address], Seed::from_number(1));
        core.ping(now, now + PATIENCE);
        let mut transmit = core.poll_transmit(now, &mut link.out).unwrap();
        transmit.segment_size = Some(transmit.size);
        transmit.until = now + left;
        link.blocked = Some(transmit);
        link.flush(&mut quiet(OPEN));
        assert!(link.blocked.is_none());
        assert_eq!(server.recv_from(&mut [0; 2048]).is_ok(), arrives);
    }
}

#[test]
fn wait_that_takes_no_time_sees_what_has_come() {
    for busy_poll in [false, true] {
        let server = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut link = link(busy_poll);
        let registry = link.poll.registry();
        link.peers.send(registry, server.local_addr().unwrap(), b"?", None).unwrap();
        let (_, client) = server.recv_from(&mut [0; 16]).unwrap();
        let machine = &mut quiet(OPEN);
        link.turn(machine, Time::ZERO).unwrap();
        server.send_to(b"!", client).unwrap();
        link.turn(machine, Time::ZERO).unwrap();
        let peer = link.peers.iter_mut().next().unwrap();
        let left = peer.socket.receive(&mut link.batch).unwrap_err();
        assert_eq!(left.kind(), io::ErrorKind::WouldBlock, "busy: {busy_poll}");
    }
}
