//! What is compared: the cases, in groups of which each has a table.

use serde::{Deserialize, Serialize};

use crate::settings::{Load, Program, Run, Serve, may_use};

/// Calls in flight, where many are.
pub(crate) const DEPTHS: [usize; 3] = [64, 512, 4096];

/// Clients with one call in flight each.
pub(crate) const CLIENTS: [usize; 2] = [256, 1000];

/// Losses each way, per cent.
pub(crate) const LOSSES: [u32; 4] = [0, 1, 5, 20];

/// Sessions, where there are many.
pub(crate) const SESSIONS: usize = 100_000;

/// Sessions, once.
pub(crate) const MILLION: usize = 1_000_000;

/// Work of a handler, µs of a core.
pub(crate) const BURN_US: u64 = 20;

/// Round trip of the long path, ms.
pub(crate) const PATH_MS: u64 = 50;

/// Loss on the long path each way, per cent.
pub(crate) const PATH_LOSS: u32 = 5;

/// Those with whom this project is compared.
pub(crate) const RIVALS: [Program; 3] = [Program::Tonic, Program::Tarpc, Program::Quinn];

/// Both clients of this project.
pub(crate) const OURS: [Program; 2] = [Program::UdpRpc, Program::UdpRpcAsync];

/// Cases that are shown together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Group {
    One,
    Spinning,
    Pipelined,
    Random,
    Many,
    Threads,
    Sessions,
    Loss,
    Path,
}

impl Group {
    /// Of its cases' names.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Spinning => "spinning",
            Self::Pipelined => "pipelined",
            Self::Random => "random",
            Self::Many => "many",
            Self::Threads => "threads",
            Self::Sessions => "sessions",
            Self::Loss => "loss",
            Self::Path => "path",
        }
    }

    /// Of its table.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::One => "One call in flight",
            Self::Spinning => "One call in flight, both sides never sleeping",
            Self::Pipelined => "Many calls in flight, the same operands in each",
            Self::Random => "Many calls in flight, random operands of every length",
            Self::Many => "Many clients with one call in flight each, on one thread, in turn",
            Self::Threads => {
                "Server threads, handlers that work for 20 µs; clients on the same two cores"
            }
            Self::Sessions => "Sessions of one server, 512 calls in flight over them at random",
            Self::Loss => "Random loss of single datagrams each way, 64 calls in flight",
            Self::Path => {
                "A path with a round trip of 50 ms and 5 % loss each way, 64 calls in flight"
            }
        }
    }

    /// Whether its cases need a network of their own.
    pub(crate) fn in_namespace(self) -> bool {
        self == Self::Loss
    }
}

/// One server, one client, and what is between them.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// Group, program, and what distinguishes it.
    pub(crate) name: String,
    pub(crate) group: Group,
    /// What the first column of the table says after the program.
    pub(crate) what: String,
    pub(crate) serve: Serve,
    pub(crate) load: Load,
    /// Loss each way, per cent.
    pub(crate) loss: u32,
    /// In the first round only.
    pub(crate) once: bool,
    /// Also in a quick run.
    quick: bool,
}

impl Case {
    fn new(group: Group, program: Program, what: impl ToString) -> Self {
        let what = what.to_string();
        let server = match program {
            Program::UdpRpcAsync | Program::UdpRpcSessions => Program::UdpRpc,
            program => program,
        };
        Self {
            name: format!("{}/{}/{what}", group.name(), program.name()),
            group,
            what,
            serve: Serve::new(server),
            load: Load::new(program),
            loss: 0,
            once: false,
            quick: false,
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// The name of a case.
pub(crate) fn name(group: Group, program: Program, what: impl ToString) -> String {
    Case::new(group, program, what).name
}

/// All cases, in the order in which a round runs them.
fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    for program in [Program::RawBlocking].into_iter().chain(OURS).chain(RIVALS) {
        cases.push(Case::new(Group::One, program, 1).with(|case| case.quick = true));
    }
    for program in [Program::RawSpinning, Program::UdpRpc] {
        cases.push(Case::new(Group::Spinning, program, 1).with(|case| {
            case.quick = true;
            case.serve.busy_poll = true;
            case.load.busy_poll = true;
        }));
    }
    for depth in DEPTHS {
        // One by one, more datagrams than this do not fit a socket's buffer.
        let one_by_one = (depth <= 512).then_some(Program::RawBlocking);
        for program in one_by_one.into_iter().chain([Program::RawGso]).chain(OURS).chain(RIVALS) {
            cases.push(Case::new(Group::Pipelined, program, depth).with(|case| {
                case.load.depth = depth;
                case.quick = depth == 512;
            }));
        }
    }
    for depth in [1].into_iter().chain(DEPTHS) {
        for program in OURS.into_iter().chain(RIVALS) {
            cases.push(Case::new(Group::Random, program, depth).with(|case| {
                case.load.depth = depth;
                case.load.random = true;
                case.quick = depth == 512 && OURS.contains(&program);
            }));
        }
    }
    for clients in CLIENTS {
        for program in [Program::RawBlocking, Program::UdpRpc, Program::UdpRpcSessions] {
            cases.push(Case::new(Group::Many, program, clients).with(|case| {
                case.load.clients = clients;
                case.quick = clients == CLIENTS[0];
            }));
        }
    }
    for threads in [1, 2] {
        cases.push(Case::new(Group::Threads, Program::UdpRpc, threads).with(|case| {
            case.serve.threads = threads;
            case.serve.burn = BURN_US;
            case.load.burn = true;
            case.load.threads = true;
            case.load.clients = 16;
            case.load.depth = 8;
            case.quick = true;
        }));
    }
    for sessions in [1, SESSIONS, MILLION] {
        cases.push(Case::new(Group::Sessions, Program::UdpRpcSessions, sessions).with(|case| {
            case.serve.sessions = sessions;
            case.load.sessions = sessions;
            case.load.depth = 512;
            case.once = sessions == MILLION;
            case.quick = sessions < MILLION;
        }));
    }
    for program in [Program::RawBlocking, Program::RawGso] {
        // What one walk through the kernel for each datagram allows.
        cases.push(Case::new(Group::Loss, program, 0).with(|case| case.load.depth = 64));
    }
    for loss in LOSSES {
        for program in OURS.into_iter().chain(RIVALS.into_iter().rev()) {
            cases.push(Case::new(Group::Loss, program, loss).with(|case| {
                case.loss = loss;
                case.load.depth = 64;
                case.load.lossy = true;
                case.quick = loss == 5 && [Program::UdpRpc, Program::Quinn].contains(&program);
            }));
        }
    }
    for program in [Program::UdpRpc, Program::Quinn] {
        cases.push(Case::new(Group::Path, program, PATH_LOSS).with(|case| {
            case.loss = PATH_LOSS;
            case.load.depth = 64;
            case.load.lossy = true;
        }));
    }
    cases
}

/// Those that are to be run.
pub(crate) fn chosen(run: &Run) -> Vec<Case> {
    let seconds = run.seconds.unwrap_or(if run.quick { 0.15 } else { 0.45 });
    let ms = |seconds: f64| (seconds * 1000.0).round() as u64;
    let bound = may_use(&[run.server_core, run.client_core]);
    let mut cases = all();
    cases.retain(|case| case.quick || !run.quick);
    cases.retain(|case| {
        run.only.is_empty() || run.only.iter().any(|word| case.name.contains(word.as_str()))
    });
    for case in &mut cases {
        // Calls that take long are few in a short time.
        let longer = if case.load.lossy { 3.0 } else { 1.0 };
        case.load.run_ms = ms(seconds * longer);
        case.load.warm_up_ms = ms(seconds * longer / 3.0);
        if !bound {
            continue;
        }
        case.serve.cores = vec![run.server_core];
        case.load.cores = vec![run.client_core];
        if case.group == Group::Threads {
            // Two threads need both cores, and one gets the same help.
            case.serve.cores = vec![run.server_core, run.client_core];
            case.load.cores = vec![run.server_core, run.client_core];
        }
    }
    cases
}
