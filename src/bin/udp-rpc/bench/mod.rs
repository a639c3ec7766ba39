//! `bench`: load for a server, measured from where its callers stand.
//!
//! In a closed loop every answer makes room for the next call. With `--rate` calls are due at
//! fixed instants whatever the server does, and their latency counts from when they were due, so
//! that a server that stalls is charged for the calls that had to wait ("coordinated omission",
//! Gil Tene). Each client is a thread with a session of its own; the requests are made before the
//! run, so that the clients do nothing but make calls.

mod chart;
mod client;
mod cpu;
mod handles;
mod live;
mod measured;
mod meeting;
mod plan;
mod random;
mod report;
mod requests;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use udp_rpc::client::{BlockingClient, Method as Called, Options};
use udp_rpc::core::CallError;
use udp_rpc::service::Idempotency;

use crate::args::{BenchArgs, Format, Global};
use crate::call;
use crate::exit::Exit;
use crate::failure::{Ended, Failure};
use crate::interrupt::Interrupts;
use crate::local::Local;
use crate::metadata;
use crate::names;
use crate::output;
use crate::remote::Remote;
use crate::schema::Method;

use live::{Count, Live};
use measured::Measured;
use meeting::Meeting;
use plan::Plan;
use report::Report;
use requests::{Ingredients, Requests};

/// What all clients of a run share.
struct Shared {
    plan: Plan,
    called: Called,
    options: Options,
    requests: Requests,
    interrupts: Interrupts,
    /// Where clients wait for each other.
    meeting: Meeting,
    /// How far each is, for the live line.
    counts: Vec<Count>,
    /// Why there is nothing to measure any more.
    broken: Mutex<Option<CallError>>,
    is_broken: AtomicBool,
}

impl Shared {
    /// Whether no more calls are to be made.
    fn is_stopped(&self) -> bool {
        self.interrupts.pressed() || self.is_broken.load(Ordering::Relaxed)
    }

    /// Ends the run of all clients.
    fn give_up(&self, error: CallError) {
        let mut broken = self.broken.lock().unwrap_or_else(|poison| poison.into_inner());
        broken.get_or_insert(error);
        self.is_broken.store(true, Ordering::Relaxed);
    }
}

/// Makes the load, and prints what came of it.
///
/// # Errors
///
/// Nothing could be measured: the command line is wrong, or the server cannot be called.
pub(crate) fn run(global: &Global, args: &BenchArgs) -> Result<Exit, Failure> {
    let plan = Plan::new(args, global);
    let ingredients = Ingredients::gather(args).map_err(Failure::usage)?;
    let metadata = metadata::gather(&args.metadata).map_err(Failure::usage)?;
    let local = Local::open(&args.protos)?;
    let mut remote = Remote::open(global)?.with_metadata(metadata.clone());
    let method = match local {
        Some(local) => local.method(&args.method)?,
        None => remote.describe(&args.method)?,
    };
    let types = call::callable(&method)?;
    let requests = call::request(&method, types, || ingredients.requests(&types.request))?;

    let clients: Vec<BlockingClient> = (0..plan.clients)
        .map(|_| remote.another(global, plan.busy_poll))
        .collect::<Result<_, _>>()?;
    let shared = Shared {
        called: called(&method),
        options: Options { metadata, ..Options::within(plan.timeout) },
        requests,
        interrupts: remote.interrupts().clone(),
        meeting: Meeting::new(plan.clients),
        counts: (0..plan.clients).map(|_| Count::default()).collect(),
        broken: Mutex::new(None),
        is_broken: AtomicBool::new(false),
        plan,
    };
    let measured = drive(&shared, clients, global.verbose < 2)?;
    let interrupted = shared.interrupts.pressed();
    let broken = shared.broken.into_inner().unwrap_or_else(|poison| poison.into_inner());
    let server = remote.server();
    let Some(measured) = measured.filter(|measured| measured.calls() > 0) else {
        return match broken {
            Some(error) => Err(Failure::Call(Box::new(Ended { error, interrupted, server }))),
            None => {
                output::note("interrupted before any call that counts had ended");
                Ok(Exit::Interrupted)
            }
        };
    };
    let report = Report {
        method: method.name,
        server,
        plan: shared.plan,
        requests: shared.requests,
        measured,
        interrupted,
        broken,
    };
    let printed = match global.output {
        Format::Json => report.json().to_string() + "\n",
        Format::Text | Format::Raw => report.text(),
    };
    output::print(printed.as_bytes())?;
    if global.output != Format::Json {
        report.warnings().iter().for_each(|warning| output::note(&format!("warning: {warning}")));
    }
    Ok(report.exit())
}

fn called(method: &Method) -> Called {
    names::learn(&method.name);
    let idempotency = match method.no_side_effects() {
        true => Idempotency::NoSideEffects,
        false => Idempotency::Unknown,
    };
    Called::new(&method.name).with_idempotency(idempotency)
}

/// Runs all clients to their ends; `None` if they were not measured.
fn drive(
    shared: &Shared,
    clients: Vec<BlockingClient>,
    may_show: bool,
) -> Result<Option<Measured>, Failure> {
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for (number, client) in clients.into_iter().enumerate() {
            let thread = std::thread::Builder::new()
                .name(format!("client-{number}"))
                .spawn_scoped(scope, move || client::run(shared, number, client));
            match thread {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    shared.meeting.abandon();
                    let why = format!("no thread for client {}: {error}", number + 1);
                    return Err(Failure::Lost(why));
                }
            }
        }
        Live::new(shared, may_show).follow(|| threads.iter().all(|thread| thread.is_finished()));
        let ends = threads.into_iter().map(|thread| thread.join());
        let ends = ends.map(|end| end.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        Ok(ends.flatten().reduce(Measured::and))
    })
}
