//! What all hosts of a world share: true time, the queue of what will happen, the paths between.
//!
//! Everything that will happen is one entry in one queue, ordered by time and then by the order of
//! scheduling, so that a seed gives the same world on every machine.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::clock::Truth;
use super::oracle::Oracle;
use super::plan::{Dice, Direction};
use crate::core::Rule;
use crate::core::client::CallHandle;
use crate::core::fault::Fate;
use crate::wire::{Epoch, parse_from_client, parse_from_server};

/// Where the simulated server listens, or the first of them.
pub(super) const SERVER: SocketAddr = server_address(0);

/// Where nobody ever listens.
pub(super) const NOBODY: SocketAddr = server_address(8);

/// Where a server listens.
pub(super) const fn server_address(number: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1 + number)), 5860)
}

/// How often anything may happen at one instant before the world is held to stand still.
const SPINS_MAX: u32 = 100_000;

/// Who a datagram or a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner {
    /// A server, by number.
    Server(u8),
    /// A client, by number.
    Client(usize),
    /// An inquiry, by number.
    Inquiry(usize),
}

/// Something that will happen.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// A datagram arrives at an address.
    Arrive {
        /// Whence.
        from: SocketAddr,
        /// Whereto: whoever has this address by then gets it.
        to: SocketAddr,
        /// The datagram.
        bytes: Vec<u8>,
    },
    /// A socket is told that nobody listens.
    Unreachable {
        /// The socket's address.
        to: SocketAddr,
        /// Where nobody listens.
        server: SocketAddr,
    },
    /// Somebody's timer.
    Timer(Owner),
    /// Somebody's socket takes datagrams again.
    Writable(Owner),
    /// A worker starts what it claimed.
    WorkerStarts {
        /// The server.
        server: u8,
        /// The life of the server that claimed it.
        life: u32,
        /// The server's number for the job.
        job: u64,
    },
    /// A handler ends.
    WorkerEnds {
        /// The server.
        server: u8,
        /// The life of the server that runs it.
        life: u32,
        /// The server's number for the job.
        job: u64,
    },
    /// A server dies, or drains first.
    ServerFalls(u8),
    /// A server dies, drained or not.
    ServerDies {
        /// The server.
        server: u8,
        /// Which life ends.
        life: u32,
    },
    /// A server is started again.
    ServerRises(u8),
    /// A client makes its next call.
    Call(usize),
    /// A client cancels a call.
    Cancel {
        /// The client.
        client: usize,
        /// Its life.
        life: u32,
        /// The call.
        handle: CallHandle,
        /// How long it then waits for the server's word, if not until the deadline.
        patience: Option<Duration>,
    },
    /// A client gives a call's token away.
    GiveToken {
        /// The client.
        client: usize,
        /// Its life.
        life: u32,
        /// The call.
        handle: CallHandle,
    },
    /// Something befalls a client.
    Misfortune(usize),
    /// From now on all is well.
    Heal,
}

impl Event {
    /// True if the world is not over before it has happened.
    fn is_live(&self) -> bool {
        matches!(
            self,
            Self::Arrive { .. }
                | Self::Writable(_)
                | Self::WorkerStarts { .. }
                | Self::WorkerEnds { .. }
        )
    }
}

#[derive(Clone, Debug)]
struct Entry {
    at: Truth,
    serial: u64,
    event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.serial == other.serial
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.serial).cmp(&(other.at, other.serial))
    }
}

/// Datagrams of a world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Sent by anybody.
    pub sent: u64,
    /// Lost on the way.
    pub lost: u64,
    /// Arrived twice.
    pub duplicated: u64,
    /// Arrived damaged.
    pub corrupted: u64,
    /// Arrived somewhere.
    pub arrived: u64,
}

impl Traffic {
    /// Adds another world's.
    pub fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.corrupted += other.corrupted;
        self.arrived += other.arrived;
    }
}

/// What all hosts share.
#[derive(Debug)]
pub(super) struct Net {
    /// True time.
    pub(super) now: Truth,
    /// The source of chance.
    pub dice: Dice,
    /// The checker.
    pub oracle: Oracle,
    /// The rule that the cores do not keep, where a test drops one.
    pub dropped: Option<Rule>,
    /// Whether everything that happens is printed.
    pub trace: bool,
    /// Counts.
    pub traffic: Traffic,
    /// Which life of which server has which epoch.
    pub lives: BTreeMap<Epoch, u32>,
    paths: Vec<(Direction, Direction)>,
    /// Who has which address, and behind which path.
    owners: BTreeMap<SocketAddr, (Owner, usize)>,
    addresses: u16,
    queue: BinaryHeap<Reverse<Entry>>,
    serial: u64,
    live: usize,
    spins: u32,
}

impl Net {
    /// A world with these paths in which nothing happens yet.
    pub(super) fn new(dice: Dice, paths: Vec<(Direction, Direction)>) -> Self {
        Self {
            now: Truth(0),
            dice,
            oracle: Oracle::default(),
            dropped: None,
            trace: false,
            traffic: Traffic::default(),
            paths,
            lives: BTreeMap::new(),
            owners: BTreeMap::new(),
            addresses: 0,
            queue: BinaryHeap::new(),
            serial: 0,
            live: 0,
            spins: 0,
        }
    }

    /// Lets something happen after a while.
    pub(super) fn schedule(&mut self, after: Duration, event: Event) {
        self.schedule_at(self.now + after, event);
    }

    /// Lets something happen at a time.
    pub(super) fn schedule_at(&mut self, at: Truth, event: Event) {
        self.live += usize::from(event.is_live());
        self.serial += 1;
        self.queue.push(Reverse(Entry { at: at.max(self.now), serial: self.serial, event }));
    }

    /// The next thing that happens; time passes.
    pub(super) fn next_event(&mut self) -> Option<Event> {
        let Reverse(Entry { at, event, .. }) = self.queue.pop()?;
        self.live -= usize::from(event.is_live());
        self.spins = if at > self.now { 0 } else { self.spins + 1 };
        self.now = at;
        Some(event)
    }

    /// True if time does not pass any more.
    pub(super) fn is_stuck(&self) -> bool {
        self.spins > SPINS_MAX
    }

    /// True if no datagram is under way and no handler runs.
    pub(super) fn is_dry(&self) -> bool {
        self.live == 0
    }

    /// A new address for somebody behind this path. Some share a host, and so an IP address.
    pub(super) fn new_address(&mut self, owner: Owner, path: usize) -> SocketAddr {
        self.addresses += 1;
        let host = u8::try_from(self.dice.range(1, 3)).unwrap_or(1);
        let address = SocketAddr::from(([10, 1, 0, host], 1024 + self.addresses));
        self.owners.insert(address, (owner, path));
        address
    }

    /// Nobody has this address any more.
    pub(super) fn drop_address(&mut self, address: SocketAddr) {
        self.owners.remove(&address);
    }

    /// This address is now this one's.
    pub(super) fn give_address(&mut self, address: SocketAddr, owner: Owner, path: usize) {
        self.owners.insert(address, (owner, path));
    }

    /// Who has this address now.
    pub(super) fn owner(&self, address: SocketAddr) -> Option<Owner> {
        self.owners.get(&address).map(|(owner, _)| *owner)
    }

    /// Behind which path this address is.
    pub(super) fn path_of(&self, address: SocketAddr) -> Option<usize> {
        self.owners.get(&address).map(|(_, path)| *path)
    }

    /// Sends a datagram along a client's path: up is to the server.
    pub(super) fn send(
        &mut self,
        path: usize,
        up: bool,
        from: SocketAddr,
        to: SocketAddr,
        bytes: &[u8],
    ) {
        self.traffic.sent += 1;
        let Some((upwards, downwards)) = self.paths.get(path) else { return };
        let direction = if up { *upwards } else { *downwards };
        let fate = direction.faults.roll(&mut self.dice.0);
        match fate {
            Fate::Lost => self.traffic.lost += 1,
            Fate::Delivered { second, .. } => {
                self.traffic.duplicated += u64::from(second.is_some());
            }
        }
        if self.trace {
            println!("{:>12} {from} sends {}", self.now.0, says(bytes));
        }
        for copy in fate.copies() {
            let mut bytes = bytes.to_vec();
            if let Some(damage) = copy.damage {
                damage.apply(&mut bytes);
                self.traffic.corrupted += 1;
            }
            let mut delay = copy.delay;
            if self.dice.chance(direction.straggle) {
                delay += self.dice.log_range(Duration::from_secs(1), direction.straggle_most);
            }
            self.schedule(delay, Event::Arrive { from, to, bytes });
        }
    }

    /// From now on all paths are good.
    pub(super) fn heal(&mut self) {
        for path in &mut self.paths {
            *path = (Direction::good(&mut self.dice), Direction::good(&mut self.dice));
        }
    }

    /// A short random time to hand something over within a host.
    pub(super) fn hand_over(&mut self, most: Duration) -> Duration {
        self.dice.log_range(Duration::from_micros(1), most.max(Duration::from_micros(1)))
    }
}

/// What a datagram says, for people.
pub(super) fn says(bytes: &[u8]) -> String {
    match (parse_from_client(bytes), parse_from_server(bytes)) {
        (Ok(parsed), _) => format!("{}: {:?}", parsed.attempt, parsed.message),
        (_, Ok(parsed)) => format!("{}: {:?}", parsed.attempt, parsed.message),
        (Err(error), Err(_)) => error.to_string(),
    }
}
