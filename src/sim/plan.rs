//! One world's parameters, drawn from its seed.
//!
//! Rates are drawn anew for each world from wide ranges, often zero: a bug that needs no loss but
//! much duplication is not found by a world with a little of everything.

use std::net::SocketAddr;
use std::time::Duration;

use super::net::{NOBODY, server_address};
use super::work::Method;
use crate::core::fault::Faults;
use crate::core::server::ServerConfig;
use crate::core::{Prf, Rule, Seed};

/// The world's own source of chance.
#[derive(Clone, Debug)]
pub(super) struct Dice(pub(crate) Prf);

impl Dice {
    /// The dice of one seed for one purpose.
    pub(super) fn new(seed: u64, label: &str) -> Self {
        Self(Prf::new(&Seed::from_number(seed), label))
    }

    /// True with this probability.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.0.unit() < probability
    }

    /// Uniform from `low` to `high`, both included.
    pub(super) fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.0.below(high - low + 1)
    }

    /// Between `low` and `high`, every order of magnitude equally often.
    pub(super) fn log_range(&mut self, low: Duration, high: Duration) -> Duration {
        let (low, high) = (low.as_secs_f64().max(1e-6).ln(), high.as_secs_f64().max(1e-6).ln());
        Duration::from_secs_f64((low + (high - low) * self.0.unit()).exp())
    }

    /// One of these.
    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.0.below(from.len() as u64)).unwrap_or(0)]
    }

    /// A seed for a core.
    pub(super) fn seed(&mut self) -> Seed {
        let mut seed = [0; 32];
        for chunk in seed.chunks_mut(8) {
            chunk.copy_from_slice(&self.0.next_u64().to_be_bytes());
        }
        Seed(seed)
    }

    /// Zero as often as not, otherwise up to `most`.
    fn rate(&mut self, most: f64) -> f64 {
        if self.chance(0.5) { 0.0 } else { most * self.0.unit() * self.0.unit() }
    }
}

/// What kind of world to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing breaks and the network is fair: every call must end Ok.
    Fair,
    /// Anything may happen.
    Hostile,
    /// Anything may happen for a while; then all is well, and from then on every new call must end
    /// Ok: whatever happened, nobody is stuck.
    Healing,
}

/// One direction of a client's path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Direction {
    /// The everyday faults.
    pub faults: Faults,
    /// Probability that a copy goes astray for long.
    pub straggle: f64,
    /// For how long at most; the least is a second.
    pub straggle_most: Duration,
}

/// What one client does.
#[derive(Clone, Debug)]
pub(super) struct Workload {
    /// The addresses of the name that it calls.
    pub servers: Vec<SocketAddr>,
    /// Calls to make.
    pub calls: u32,
    /// Calls at a time.
    pub(super) at_a_time: u32,
    /// Pause between the end of a call and the next, at most.
    pub think_most: Duration,
    /// Probability of such a pause.
    pub think: f64,
    /// Shortest and longest timeout.
    pub timeout: (Duration, Duration),
    /// The methods called, the oftener named the oftener called.
    pub methods: Vec<Method>,
    /// Longest service time.
    pub service_most: Duration,
    /// Probability that a call is cancelled.
    pub cancel: f64,
    /// Probability that whoever cancels a call waits only so long for the server's word.
    pub impatient: f64,
    /// Probability that a call is refused by its own side, and never made.
    pub refuse: f64,
    /// Probability that a call's token is given out and asked about.
    pub inquire: f64,
    /// Probability that the kernel takes a datagram not.
    pub unsent: f64,
    /// Probability that after some input the socket takes nothing for a while.
    pub blocked: f64,
    /// Whether the client closes its sessions at its end.
    pub close: bool,
    /// Mean time between two misfortunes of this client; `None` for none.
    pub misfortune: Option<Duration>,
    /// Whether it issues again by itself.
    pub retry: bool,
    /// Whether it waits for a server that is not there.
    pub wait: bool,
    /// Calls that may wait to be sent.
    pub max_waiting: usize,
}

/// What befalls the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fortune {
    /// Mean time between two crashes; `None` for none.
    pub crash: Option<Duration>,
    /// Longest time until it is back.
    pub down_most: Duration,
    /// Probability that it drains before it dies.
    pub drain: f64,
    /// Shards of the process.
    pub shards: u8,
    /// Probability that a datagram is brought to any shard, not to the one that it belongs to.
    pub astray: f64,
    /// Workers of the pool.
    pub workers: u32,
    /// Probability that a call is turned away by the hook, before its handler's first instruction.
    pub turned_away: f64,
    /// Longest time from a worker's claim to the handler's first instruction.
    pub hand_over_most: Duration,
    /// Probability that a client hears at once that nobody listens.
    pub refused_hint: f64,
    /// Probability that after some input the socket takes nothing for a while.
    pub blocked: f64,
}

/// All of a world.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Its kind.
    pub kind: Kind,
    /// How many servers there are.
    pub servers: u8,
    /// Each one's configuration.
    pub server: ServerConfig,
    /// What befalls each.
    pub fortune: Fortune,
    /// Up and down, per client.
    pub paths: Vec<(Direction, Direction)>,
    /// Per client.
    pub work: Vec<Workload>,
    /// When all becomes well; `None` for never.
    pub heals: Option<Duration>,
    /// Whether everything that happens is printed.
    pub trace: bool,
    /// A rule that the cores do not keep.
    pub dropped: Option<Rule>,
    /// Rate errors in parts per million: the server's, then each client's.
    pub errors_ppm: Vec<i32>,
}

impl Plan {
    /// The world of this seed, with about `calls` calls.
    pub(super) fn draw(seed: u64, kind: Kind, calls: u32) -> Self {
        let dice = &mut Dice::new(seed, "plan");
        let clients = u32::try_from(dice.range(1, 6)).unwrap_or(1);
        let server = match kind {
            Kind::Fair | Kind::Healing => ServerConfig::default(),
            Kind::Hostile => hostile_server(dice),
        };
        let fortune = match kind {
            Kind::Fair => Fortune {
                crash: None,
                down_most: Duration::ZERO,
                drain: 0.0,
                shards: dice.pick(&[1, 2, 3]),
                astray: dice.rate(0.1),
                workers: 64,
                turned_away: 0.0,
                hand_over_most: Duration::from_micros(100),
                refused_hint: 0.0,
                blocked: 0.0,
            },
            Kind::Healing => Fortune {
                workers: 64,
                hand_over_most: Duration::from_micros(100),
                ..hostile_fortune(dice)
            },
            Kind::Hostile => hostile_fortune(dice),
        };
        let servers = if kind == Kind::Hostile && dice.chance(0.3) { 2 } else { 1 };
        let paths: Vec<_> = (0..clients).map(|_| path(dice, kind)).collect();
        let longest = server.longest_deadline;
        let calls = calls / clients;
        let work = paths.iter().map(|path| workload(dice, kind, rtt(path), longest, calls));
        let mut work: Vec<_> = work.collect();
        for work in &mut work {
            work.servers = addresses(dice, kind, servers);
        }
        let heals = match kind {
            Kind::Healing => Some(dice.log_range(Duration::from_secs(1), Duration::from_secs(900))),
            Kind::Fair | Kind::Hostile => None,
        };
        let errors_ppm = (0..=clients).map(|_| error_ppm(dice)).collect();
        Self {
            kind,
            servers,
            server,
            fortune,
            paths,
            work,
            heals,
            trace: false,
            dropped: None,
            errors_ppm,
        }
    }
}

/// Two of them differ by at most a thousand, which is what the protocol allows for.
fn error_ppm(dice: &mut Dice) -> i32 {
    let size = dice.pick(&[0, 20, 200, 500]);
    if dice.chance(0.5) { size } else { -size }
}

fn path(dice: &mut Dice, kind: Kind) -> (Direction, Direction) {
    let up = direction(dice, kind);
    let down = if dice.chance(0.5) { up } else { direction(dice, kind) };
    (up, down)
}

fn direction(dice: &mut Dice, kind: Kind) -> Direction {
    let (worst, slowest) = match kind {
        Kind::Fair => (0.1, Duration::from_millis(40)),
        Kind::Hostile => (0.9, Duration::from_secs(2)),
        // Not so slow that the RTO learnt from it outlives the calls made when all is well.
        Kind::Healing => (0.9, Duration::from_millis(200)),
    };
    let delay = dice.log_range(Duration::from_micros(20), slowest);
    let faults = Faults {
        loss: dice.rate(worst),
        duplicate: dice.rate(1.0),
        reorder: dice.rate(1.0),
        corrupt: dice.rate(worst / 3.0),
        delay,
        jitter: delay.mul_f64(dice.rate(4.0)),
    };
    let straggle = match kind {
        Kind::Fair => 0.0,
        Kind::Hostile | Kind::Healing => dice.rate(0.3),
    };
    let longest = Duration::from_secs(if kind == Kind::Healing { 2 } else { 3000 });
    let straggle_most = dice.log_range(Duration::from_secs(2), longest);
    Direction { faults, straggle, straggle_most }
}

/// The addresses of a name, of which the client takes the first that answers.
fn addresses(dice: &mut Dice, kind: Kind, servers: u8) -> Vec<SocketAddr> {
    let mut addresses: Vec<_> = (0..servers).map(server_address).collect();
    if kind != Kind::Fair && dice.chance(0.1) {
        addresses.push(NOBODY);
    }
    if dice.chance(0.5) {
        addresses.reverse();
    }
    addresses
}

impl Direction {
    /// A good path.
    pub(super) fn good(dice: &mut Dice) -> Self {
        let delay = dice.log_range(Duration::from_micros(20), Duration::from_millis(40));
        let duplicate = dice.rate(0.2);
        let faults = Faults { duplicate, delay, jitter: delay / 4, ..Faults::NONE };
        Self { faults, straggle: 0.0, straggle_most: Duration::ZERO }
    }
}

impl Workload {
    /// The same client when all is well: it makes a few more calls, with time enough.
    pub(super) fn healed(self) -> Self {
        Self {
            calls: 40,
            think_most: Duration::from_secs(20),
            think: 0.1,
            timeout: (Duration::from_secs(20), Duration::from_secs(50)),
            methods: vec![Method::Count, Method::Work, Method::Read],
            service_most: Duration::from_millis(500),
            cancel: 0.0,
            impatient: 0.0,
            refuse: 0.0,
            inquire: 0.0,
            unsent: 0.0,
            blocked: 0.0,
            misfortune: None,
            retry: true,
            ..self
        }
    }
}

/// How long a round trip takes on a good day.
fn rtt((up, down): &(Direction, Direction)) -> Duration {
    up.faults.delay + up.faults.jitter + down.faults.delay + down.faults.jitter
}

fn workload(dice: &mut Dice, kind: Kind, rtt: Duration, longest: Duration, calls: u32) -> Workload {
    let at_a_time = dice.pick(&[1, 1, 4, 16, 64]);
    match kind {
        Kind::Fair => Workload {
            servers: Vec::new(),
            calls,
            at_a_time,
            think_most: Duration::from_secs(1000),
            think: dice.pick(&[0.0, 0.001, 0.01]),
            timeout: (Duration::from_secs(55), Duration::from_secs(59)),
            methods: vec![Method::Count, Method::Count, Method::Work, Method::Read],
            service_most: dice.log_range(Duration::from_micros(10), Duration::from_millis(300)),
            cancel: 0.0,
            impatient: 0.0,
            refuse: 0.0,
            inquire: 0.0,
            unsent: 0.0,
            blocked: 0.0,
            close: dice.chance(0.5),
            misfortune: None,
            retry: true,
            wait: false,
            max_waiting: 1000,
        },
        Kind::Hostile | Kind::Healing => Workload {
            servers: Vec::new(),
            calls,
            at_a_time,
            think_most: dice.log_range(Duration::from_millis(1), Duration::from_secs(2000)),
            think: dice.pick(&[0.0, 0.01, 0.1, 1.0]),
            timeout: hostile_timeouts(dice, rtt, longest),
            methods: (0..8).map(|_| hostile_method(dice)).collect(),
            service_most: dice.log_range(Duration::from_micros(10), Duration::from_secs(20)),
            cancel: dice.rate(0.5),
            impatient: 0.5,
            refuse: 0.02,
            inquire: dice.rate(0.2),
            unsent: dice.rate(0.5),
            blocked: dice.rate(0.2),
            close: dice.chance(0.7),
            misfortune: dice
                .chance(0.6)
                .then(|| dice.log_range(Duration::from_secs(1), Duration::from_secs(300))),
            retry: dice.chance(0.8),
            wait: dice.chance(0.3),
            max_waiting: match kind {
                Kind::Hostile => dice.pick(&[1, 10, 1000, 1000, 1000]),
                Kind::Fair | Kind::Healing => 1000,
            },
        },
    }
}

/// Mostly within what the server takes.
fn hostile_timeouts(dice: &mut Dice, rtt: Duration, longest: Duration) -> (Duration, Duration) {
    let most = longest.mul_f64(dice.pick(&[1.0, 1.0, 1.0, 1.1]));
    let least = (rtt * dice.pick(&[1, 3, 10])).max(Duration::from_millis(1)).min(most);
    let one = dice.log_range(least, most);
    let other = dice.log_range(least, most);
    (one.min(other), one.max(other))
}

fn hostile_method(dice: &mut Dice) -> Method {
    let all = [
        Method::Count,
        Method::Count,
        Method::Count,
        Method::Work,
        Method::Work,
        Method::Read,
        Method::Fail,
        Method::Panic,
        Method::Large,
    ];
    if dice.chance(0.01) { Method::Missing } else { dice.pick(&all) }
}

fn hostile_server(dice: &mut Dice) -> ServerConfig {
    let longest_deadline = Duration::from_secs(dice.pick(&[1, 10, 60]));
    let least = longest_deadline + Duration::from_secs(240);
    let mut config = ServerConfig {
        window: dice.pick(&[2, 3, 8, 64, 1000, 4096]),
        longest_deadline,
        lease: least + Duration::from_secs(dice.pick(&[0, 0, 30, 1000])),
        ..ServerConfig::default()
    };
    if dice.chance(0.3) {
        config.max_sessions = dice.pick(&[1, 2, 3, 5]);
    }
    if dice.chance(0.3) {
        config.max_sessions_per_source = dice.pick(&[1, 2, 5]);
    }
    if dice.chance(0.3) {
        config.max_tombstones = dice.pick(&[0, 1, 5]);
    }
    if dice.chance(0.2) {
        config.max_answers = dice.pick(&[1, 2, 8]);
    }
    if dice.chance(0.3) {
        config.max_queued = dice.pick(&[1, 2, 8]);
    }
    if dice.chance(0.3) {
        config.reply_memory = dice.pick(&[1_000, 4_000, 20_000]);
    }
    if dice.chance(0.3) {
        config.record_memory = dice.pick(&[1_000, 5_000, 20_000, 100_000]);
    }
    config
}

fn hostile_fortune(dice: &mut Dice) -> Fortune {
    let crash = dice.log_range(Duration::from_millis(200), Duration::from_secs(1000));
    Fortune {
        crash: dice.chance(0.5).then_some(crash),
        down_most: dice.log_range(Duration::from_millis(1), crash / 10),
        drain: dice.pick(&[0.0, 0.5, 1.0]),
        shards: dice.pick(&[1, 1, 2, 3]),
        astray: dice.rate(0.5),
        workers: dice.pick(&[1, 2, 8, 64]),
        turned_away: 0.02,
        hand_over_most: dice.log_range(Duration::from_micros(1), Duration::from_secs(5)),
        refused_hint: dice.pick(&[0.0, 0.5, 1.0]),
        blocked: dice.rate(0.2),
    }
}
