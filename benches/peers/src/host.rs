//! What the system tells of processes and of itself.

use std::fs;

use serde::Serialize;

/// Processor time that a process has used, nanoseconds: all its threads that still run.
pub(crate) fn processor_ns(pid: u32) -> Option<u64> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let mut sum = 0;
    for task in tasks {
        let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        sum += text.split_whitespace().next()?.parse::<u64>().ok()?;
    }
    Some(sum)
}

/// Memory of a process that is resident, bytes.
pub(crate) fn resident(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Where a run was made.
#[derive(Debug, Serialize)]
pub(crate) struct Host {
    /// Kernel and its version.
    pub(crate) kernel: String,
    /// The processor's name.
    pub(crate) processor: String,
    /// Cores that this process may use.
    pub(crate) cores: usize,
    /// This project, and the neighbours with the versions in `Cargo.lock`.
    pub(crate) programs: Vec<String>,
}

impl Host {
    pub(crate) fn read() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let processor = read("/proc/cpuinfo")
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
            .map_or_else(|| "unknown".into(), |(_, name)| name.trim().to_owned());
        Self {
            kernel: format!(
                "{} {}",
                read("/proc/sys/kernel/ostype"),
                read("/proc/sys/kernel/osrelease")
            ),
            processor,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            programs: programs(include_str!("../Cargo.lock")),
        }
    }
}

/// The packages that are compared, as the lock file has them.
fn programs(lock: &str) -> Vec<String> {
    let compared = ["udp-rpc", "tonic", "tarpc", "quinn", "quinn-udp", "tokio"];
    let mut found = Vec::new();
    for package in lock.split("[[package]]") {
        let field = |name: &str| {
            package
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "))
                .map(|v| v.trim_matches('"'))
        };
        if let (Some(name), Some(version)) = (field("name"), field("version"))
            && compared.contains(&name)
        {
            found.push(format!("{name} {version}"));
        }
    }
    found
}
