//! A network that loses: two network namespaces of our own with a virtual cable between them, whose
//! ends drop at random what arrives (nftables). Segmentation is done before the cable, so that
//! each datagram, or TCP segment, meets its own fate, whoever sent it and in how long a run; and
//! nothing joins them again on the way in.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use crate::cases::{self, Case};
use crate::rounds::{self, Shown};
use crate::settings::{Error, Run};

/// The server's end of the cable, and any port.
pub(crate) const SERVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 168, 77, 1), 0);

/// The client's end.
const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 2);

/// The process that keeps the server's namespace.
static KEEPER: OnceLock<u32> = OnceLock::new();

/// Runs these cases in a network of their own.
pub(crate) fn outside(run: &Run, cases: &[Case]) -> Shown {
    inside_of_process(run).unwrap_or_else(|error| {
        let why = |case: &Case| (case.name.clone(), vec![Err(format!("skipped: {error}"))]);
        eprintln!("loss: skipped: {error}");
        cases.iter().map(why).collect()
    })
}

fn inside_of_process(run: &Run) -> Result<Shown, Error> {
    // A user namespace makes us root in the network namespace, where that is allowed.
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--net", "--"]);
    command.arg(std::env::current_exe()?).arg("inside");
    if run.quick {
        command.arg("--quick");
    }
    if let Some(rounds) = run.rounds {
        command.args(["--rounds", &rounds.to_string()]);
    }
    if let Some(seconds) = run.seconds {
        command.args(["--seconds", &seconds.to_string()]);
    }
    command.args(["--server-core", &run.server_core.to_string()]);
    command.args(["--client-core", &run.client_core.to_string()]);
    if !run.only.is_empty() {
        command.args(["--only", &run.only.join(",")]);
    }
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err("no network namespaces, or no `ip` or `nft`, here".into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The inner part: this process is in the client's namespace, and has it for itself.
pub(crate) fn inside(run: &Run) -> Result<(), Error> {
    let mut keeper = Command::new("unshare")
        .args(["--net", "--", "sh", "-c", "echo ready; exec cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let done = connected(&mut keeper).and_then(|()| {
        let cases = cases::chosen(run);
        let inside: Vec<_> = cases.into_iter().filter(|case| case.group.in_namespace()).collect();
        let shown = rounds::rounds(run, &inside);
        println!("{}", serde_json::to_string(&shown)?);
        Ok(())
    });
    keeper.kill()?;
    keeper.wait()?;
    done
}

/// Lays the cable.
fn connected(keeper: &mut Child) -> Result<(), Error> {
    let mut line = String::new();
    BufReader::new(keeper.stdout.take().ok_or("no standard output")?).read_line(&mut line)?;
    let pid = keeper.id();
    KEEPER.set(pid).map_err(|_| "only once")?;
    let client = format!("{CLIENT}/24");
    let server = format!("{}/24", SERVER.ip());
    // What is longer than a segment is cut before it leaves, as by a card without offload.
    let lines = [
        format!("link add client type veth peer name server netns {pid}"),
        "link set client gso_max_segs 1".into(),
        format!("addr add {client} dev client"),
        "link set client up".into(),
        "link set lo up".into(),
    ];
    for line in lines {
        succeed(Command::new("ip").args(line.split(' ')))?;
    }
    let lines = [
        "link set server gso_max_segs 1".into(),
        format!("addr add {server} dev server"),
        "link set server up".into(),
        "link set lo up".to_owned(),
    ];
    for line in lines {
        succeed(beyond(pid, "ip").args(line.split(' ')))?;
    }
    lose(0)
}

/// A command in the server's namespace.
fn beyond(pid: u32, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["--net", "-t", &pid.to_string(), "--"]).arg(program);
    command
}

/// What starts this program in the server's namespace.
pub(crate) fn server_command(program: &Path) -> Result<Command, Error> {
    Ok(beyond(*KEEPER.get().ok_or("no cable has been laid")?, program))
}

/// From now on so many of a hundred datagrams are lost, each way.
pub(crate) fn lose(percent: u32) -> Result<(), Error> {
    let pid = *KEEPER.get().ok_or("no cable has been laid")?;
    let ends = [("client", Command::new("nft")), ("server", beyond(pid, "nft"))];
    for (name, mut command) in ends {
        let drop = match percent {
            0 => String::new(),
            percent => format!("iifname {name} numgen random mod 100 < {percent} counter drop"),
        };
        let rules = format!(
            "flush ruleset
             table ip faults {{
               chain input {{
                 type filter hook input priority 0
                 {drop}
                 iifname {name} counter
               }}
             }}
            "
        );
        let mut nft = command.args(["-f", "-"]).stdin(Stdio::piped()).spawn()?;
        nft.stdin.take().ok_or("no standard input")?.write_all(rules.as_bytes())?;
        if !nft.wait()?.success() {
            return Err("nft refuses its rules".into());
        }
    }
    Ok(())
}

/// What has arrived since [`lose`] was last called: at which end, what became of it, how many.
/// A run that arrived as one would count as one.
pub(crate) fn arrived() -> Result<Vec<(String, f64)>, Error> {
    let pid = *KEEPER.get().ok_or("no cable has been laid")?;
    let ends = [("client", Command::new("nft")), ("server", beyond(pid, "nft"))];
    let mut all = Vec::new();
    for (name, mut command) in ends {
        let output = command.args(["list", "ruleset"]).output()?;
        for line in String::from_utf8(output.stdout)?.lines() {
            let Some((_, counter)) = line.split_once("counter packets ") else { continue };
            let packets: f64 = counter.split(' ').next().unwrap_or_default().parse()?;
            let fate = if counter.ends_with("drop") { "lost_on_the_way_to" } else { "arrived_at" };
            all.push((format!("{fate}_{name}"), packets));
        }
    }
    Ok(all)
}

fn succeed(command: &mut Command) -> Result<(), Error> {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}").into()) }
}
