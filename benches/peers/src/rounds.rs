//! Runs the cases: round after round, in each of them every case once, every time with processes
//! of its own.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::cases::{self, Case, Group};
use crate::host::Host;
use crate::lossy;
use crate::measure::Sample;
use crate::relay;
use crate::report::{self, Results};
use crate::rivals::burn_rounds;
use crate::settings::{Error, Run};

/// Rounds, unless said.
const ROUNDS: usize = 5;

/// How much longer than its run a client may take: for connecting, and for a path that loses.
const PATIENCE: Duration = Duration::from_secs(60);

/// What each case has shown, in each round; or why there is nothing to show.
pub(crate) type Shown = BTreeMap<String, Vec<Result<Sample, String>>>;

/// Runs the comparison, prints its tables and saves them.
pub(crate) fn run(run: &Run) -> Result<(), Error> {
    let cases = cases::chosen(run);
    if run.list {
        cases.iter().for_each(|case| println!("{}", case.name));
        return Ok(());
    }
    if cases.is_empty() {
        return Err("no case is called so; --list names them".into());
    }
    if cases.iter().any(|case| case.load.cores.is_empty()) {
        eprintln!("peers: not both cores are to be had: nothing is bound to any");
    }
    let begin = Instant::now();
    let (inside, outside): (Vec<_>, Vec<_>) =
        cases.iter().cloned().partition(|case| case.group.in_namespace());
    let mut shown = rounds(run, &outside);
    if !inside.is_empty() {
        shown.extend(lossy::outside(run, &inside));
    }
    let results = Results::new(Host::read(), run, &cases, shown);
    let text = report::markdown(&results, &cases);
    println!("{text}");
    std::fs::create_dir_all(&run.out)?;
    std::fs::write(run.out.join("results.md"), &text)?;
    std::fs::write(run.out.join("results.json"), serde_json::to_string_pretty(&results)?)?;
    if let Some(page) = &run.page {
        let with = report::within(&std::fs::read_to_string(page)?, &text)
            .ok_or("the page has no lines for the tables")?;
        std::fs::write(page, with)?;
    }
    eprintln!(
        "{} cases in {} s; saved in {}",
        cases.len(),
        begin.elapsed().as_secs(),
        run.out.display()
    );
    Ok(())
}

/// Runs these cases, in turn, as often as is asked for.
pub(crate) fn rounds(run: &Run, cases: &[Case]) -> Shown {
    let count = run.rounds.unwrap_or(if run.quick { 1 } else { ROUNDS });
    let burn = cases
        .iter()
        .any(|case| case.group == Group::Threads)
        .then(|| burn_rounds(Duration::from_micros(cases::BURN_US)));
    let mut shown = Shown::new();
    for round in 1..=count {
        for case in cases.iter().filter(|case| round == 1 || !case.once) {
            let mut case = case.clone();
            if case.serve.burn > 0 {
                case.serve.burn = burn.unwrap_or(0);
            }
            let result = run_case(&case);
            match &result {
                Ok(sample) => eprintln!(
                    "{round}/{count} {:32} {:>10.0} calls/s, p50 {:.1} µs, p99 {:.1} µs{}",
                    case.name,
                    sample.calls_per_s,
                    sample.p50_us,
                    sample.p99_us,
                    match &sample.first_error {
                        Some(error) => format!(", {} errors: {error}", sample.errors),
                        None => String::new(),
                    }
                ),
                Err(error) => eprintln!("{round}/{count} {:32} failed: {error}", case.name),
            }
            let result = result.map_err(|error| error.to_string());
            shown.entry(case.name).or_default().push(result);
        }
    }
    shown
}

/// A process that ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a process of this program that serves; its address, and what else it says.
fn start(
    command: &mut Command,
    arguments: Vec<String>,
) -> Result<(Running, String, String), Error> {
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = Running(command.spawn()?);
    let mut line = String::new();
    let stdout = running.0.stdout.take().ok_or("no standard output")?;
    BufReader::new(stdout).read_line(&mut line)?;
    let mut words = line.split_whitespace();
    match (words.next(), words.next()) {
        (Some("listening"), Some(address)) => {
            Ok((running, address.to_owned(), words.next().unwrap_or_default().to_owned()))
        }
        _ => Err(format!("a server did not start: {line}").into()),
    }
}

fn run_case(case: &Case) -> Result<Sample, Error> {
    let itself = std::env::current_exe()?;
    let mut serve = case.serve.clone();
    let mut command = Command::new(&itself);
    if case.group.in_namespace() {
        command = lossy::server_command(&itself)?;
        serve.listen = lossy::SERVER.into();
        lossy::lose(case.loss)?;
    }
    let (server, mut address, hint) = start(&mut command, serve.arguments())?;
    let _relay = match case.group {
        Group::Path => {
            let delay_ms = cases::PATH_MS / 2;
            let relay = relay::arguments(address.parse()?, delay_ms, case.loss);
            let (relay, its, _) = start(&mut Command::new(&itself), relay)?;
            address = its;
            Some(relay)
        }
        _ => None,
    };
    let mut load = case.load.clone();
    load.server = address.parse()?;
    load.hint = hint;
    load.server_pid = Some(server.0.id());
    let patience = load.warm_up() + load.run() + PATIENCE;
    let client = Command::new(&itself)
        .args(load.arguments())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let text = output(Running(client), patience)?;
    let mut sample: Sample = serde_json::from_str(&text)?;
    if case.group.in_namespace() {
        sample.more.extend(lossy::arrived()?);
    }
    Ok(sample)
}

/// What a process prints until it ends, if that is in time.
fn output(mut running: Running, patience: Duration) -> Result<String, Error> {
    let mut stdout = running.0.stdout.take().ok_or("no standard output")?;
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let result = stdout.read_to_string(&mut text).map(|_| text);
        let _ = done.send(result);
    });
    let text = ended.recv_timeout(patience).map_err(|_| "the client did not end")??;
    let status = running.0.wait()?;
    if status.success() { Ok(text) } else { Err(format!("the client failed: {status}").into()) }
}
