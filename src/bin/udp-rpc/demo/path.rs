//! The bad path of the demo: it stands between client and server as a network would, and neither
//! knows of it.
//!
//! Two sockets and three threads: what comes from either side enters [`FaultyPath`]s of the
//! library's one fault model and leaves it late, twice, or never. A [`Script`] besides hits the
//! one datagram that a story is about. Every datagram that enters is written down with what
//! became of it; the demo tells nothing else.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use udp_rpc::core::fault::{Fate, Faults, FaultyPath};
use udp_rpc::core::{Seed, Time};
use udp_rpc::net::Clock;
use udp_rpc::wire::{Kind, MAX_DATAGRAM};

use crate::datagram;

/// How long the path waits when nothing is under way, for it to be told what to do.
const IDLE: Duration = Duration::from_millis(100);

/// By how much a datagram of a [`Script::Echo`] comes late: more than the round trip of the
/// story's path, so that the answer to the first copy has passed it by.
const LATE: Duration = Duration::from_millis(40);

/// What is done to one datagram of a story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Script {
    /// The next datagram of this kind is lost.
    Lose(Kind),
    /// The next datagram of this kind arrives, and once more much later.
    Echo(Kind),
}

impl Script {
    /// The kind of datagram that it waits for.
    fn target(self) -> Kind {
        match self {
            Script::Lose(kind) | Script::Echo(kind) => kind,
        }
    }
}

/// What became of a datagram that entered the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Became {
    /// Copies that arrive.
    pub(super) copies: usize,
    /// One of them is held back so that later ones overtake it.
    pub(super) reordered: bool,
}

/// A datagram that entered the path.
#[derive(Clone, Debug)]
pub(super) struct Passage {
    /// When it entered, on the path's clock.
    pub(super) at: Time,
    /// The datagram.
    pub(super) datagram: Vec<u8>,
    /// What became of it.
    pub(super) became: Became,
}

/// What the demo tells the path, and the path's threads each other.
enum Message {
    FromClient(Vec<u8>, SocketAddr),
    FromServer(Vec<u8>),
    Script(Script),
    Faults(Faults, u64),
    /// Answer when nothing has been under way for this long.
    Settle(Duration, Sender<()>),
}

/// The demo's end of the path.
pub(super) struct Path {
    /// Where the client finds the server, as it believes.
    pub(super) address: SocketAddr,
    messages: Sender<Message>,
    passages: Arc<Mutex<Vec<Passage>>>,
}

impl Path {
    /// Opens a path to `server` whose only fault is a delay. Its threads end with the process.
    ///
    /// # Errors
    ///
    /// When sockets or threads are not to be had.
    pub(super) fn open(server: SocketAddr, delay: Duration) -> io::Result<Path> {
        let front = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let back = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        back.connect(server)?;
        let address = front.local_addr()?;
        let (messages, inbox) = mpsc::channel();
        let passages = Arc::new(Mutex::new(Vec::new()));
        let faults = Faults { delay, ..Faults::NONE };
        let middle = Middle {
            clock: Clock::start(),
            outward: Lane::new(faults, 0),
            inward: Lane::new(faults, 1),
            script: None,
            client: None,
            front: front.try_clone()?,
            back: back.try_clone()?,
            passages: Arc::clone(&passages),
            settling: None,
        };
        let (to_server, to_client) = (messages.clone(), messages.clone());
        spawn("demo-front", move || {
            read(&front, |bytes, from| to_server.send(Message::FromClient(bytes, from)).is_ok())
        })?;
        spawn("demo-back", move || {
            read(&back, |bytes, _| to_client.send(Message::FromServer(bytes)).is_ok())
        })?;
        spawn("demo-path", move || middle.run(&inbox))?;
        Ok(Path { address, messages, passages })
    }

    /// Hits one datagram to come.
    pub(super) fn script(&self, script: Script) {
        self.tell(Message::Script(script));
    }

    /// Becomes a path with these faults, by these dice.
    pub(super) fn faults(&self, faults: Faults, seed: u64) {
        self.tell(Message::Faults(faults, seed));
    }

    /// Waits until nothing has been under way for `quiet`.
    pub(super) fn settle(&self, quiet: Duration) {
        let (done, settled) = mpsc::channel();
        self.tell(Message::Settle(quiet, done));
        // An error is a path that has ended: nothing is under way in it.
        let _ = settled.recv();
    }

    /// What has entered since the last time this was asked, in order.
    pub(super) fn take(&self) -> Vec<Passage> {
        std::mem::take(&mut *self.passages.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn tell(&self, message: Message) {
        // The path's thread ends when this process does, and not before.
        let _ = self.messages.send(message);
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name(name.into()).spawn(body).map(drop)
}

/// Hands on what a socket receives, until nobody wants it.
fn read(socket: &UdpSocket, mut hand_on: impl FnMut(Vec<u8>, SocketAddr) -> bool) {
    let mut buffer = [0; MAX_DATAGRAM + 1];
    loop {
        match socket.recv_from(&mut buffer) {
            Ok((length, from)) => {
                let datagram = buffer.get(..length).unwrap_or_default().to_vec();
                if !hand_on(datagram, from) {
                    return;
                }
            }
            // About a datagram sent before; nothing that concerns this one.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// One direction: the path proper, and the way of a scripted late copy.
struct Lane {
    path: FaultyPath<Vec<u8>>,
    late: FaultyPath<Vec<u8>>,
}

impl Lane {
    fn new(faults: Faults, seed: u64) -> Lane {
        let mut bytes = [0; 32];
        let (head, _) = bytes.split_at_mut(8);
        head.copy_from_slice(&seed.to_be_bytes());
        let seed = Seed(bytes);
        let late = Faults { delay: faults.delay + LATE, ..Faults::NONE };
        Lane { path: FaultyPath::new(faults, &seed), late: FaultyPath::new(late, &seed) }
    }

    fn push(&mut self, now: Time, datagram: &[u8], script: Option<Script>) -> Became {
        match script {
            Some(Script::Lose(_)) => Became { copies: 0, reordered: false },
            Some(Script::Echo(_)) => {
                self.path.push(now, datagram.to_vec());
                self.late.push(now, datagram.to_vec());
                Became { copies: 2, reordered: true }
            }
            None => {
                let fate: Fate = self.path.push(now, datagram.to_vec());
                let reordered = fate.copies().any(|copy| copy.reordered);
                Became { copies: fate.copies().count(), reordered }
            }
        }
    }

    fn poll(&mut self, now: Time) -> Option<Vec<u8>> {
        self.path.poll(now).or_else(|| self.late.poll(now))
    }

    fn timeout(&self) -> Option<Time> {
        self.path.poll_timeout().into_iter().chain(self.late.poll_timeout()).min()
    }
}

/// The path's thread.
struct Middle {
    clock: Clock,
    outward: Lane,
    inward: Lane,
    script: Option<Script>,
    /// Where the client was last heard of.
    client: Option<SocketAddr>,
    front: UdpSocket,
    back: UdpSocket,
    passages: Arc<Mutex<Vec<Passage>>>,
    settling: Option<(Duration, Time, Sender<()>)>,
}

impl Middle {
    fn run(mut self, inbox: &Receiver<Message>) {
        loop {
            let now = self.clock.now();
            let due = self.outward.timeout().into_iter().chain(self.inward.timeout()).min();
            let quiet = self.settling.as_ref().map(|(quiet, since, _)| *since + *quiet);
            let next = due.or(quiet).map_or(IDLE, |time| time.since(now));
            match inbox.recv_timeout(next) {
                Ok(message) => self.handle(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.deliver();
            self.answer_settled();
        }
    }

    fn handle(&mut self, message: Message) {
        let now = self.clock.now();
        match message {
            Message::FromClient(datagram, from) => {
                self.client = Some(from);
                self.enter(now, datagram);
            }
            Message::FromServer(datagram) => self.enter(now, datagram),
            Message::Script(script) => self.script = Some(script),
            Message::Faults(faults, seed) => {
                // Two directions, two seeds.
                self.outward = Lane::new(faults, seed.wrapping_mul(2));
                self.inward = Lane::new(faults, seed.wrapping_mul(2).wrapping_add(1));
            }
            Message::Settle(quiet, done) => self.settling = Some((quiet, now, done)),
        }
    }

    fn enter(&mut self, now: Time, datagram: Vec<u8>) {
        let kind = datagram::kind(&datagram);
        let script = self.script.take_if(|script| Some(script.target()) == kind);
        let inwards = datagram::is_from_server(&datagram);
        let lane = if inwards { &mut self.inward } else { &mut self.outward };
        let became = lane.push(now, &datagram, script);
        if let Some((_, since, _)) = &mut self.settling {
            *since = now;
        }
        let passage = Passage { at: now, datagram, became };
        self.passages.lock().unwrap_or_else(PoisonError::into_inner).push(passage);
    }

    /// Sends on what has arrived at an end of the path. What the kernel does not take is lost, as
    /// in any network.
    fn deliver(&mut self) {
        let now = self.clock.now();
        while let Some(datagram) = self.outward.poll(now) {
            let _ = self.back.send(&datagram);
        }
        while let Some(datagram) = self.inward.poll(now) {
            if let Some(client) = self.client {
                let _ = self.front.send_to(&datagram, client);
            }
        }
    }

    fn answer_settled(&mut self) {
        let now = self.clock.now();
        let idle = self.outward.timeout().is_none() && self.inward.timeout().is_none();
        let settled =
            self.settling.take_if(|(quiet, since, _)| idle && now.since(*since) >= *quiet);
        if let Some((_, _, done)) = settled {
            let _ = done.send(());
        }
    }
}
