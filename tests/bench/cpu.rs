//! Processor time and memory of processes.

use rustix::process::Pid;

/// Seconds of processor that a process has used, its threads together.
pub(crate) fn seconds(pid: Pid) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap();
    // Behind the name, which may hold anything.
    let fields: Vec<&str> = text.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / rustix::param::clock_ticks_per_second() as f64
}

/// Seconds of processor that this process has used.
pub(crate) fn own() -> f64 {
    seconds(rustix::process::getpid())
}

/// Resident MiB of a process.
pub(crate) fn resident_mib(pid: Pid) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1024.0
}
