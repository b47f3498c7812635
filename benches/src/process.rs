//! What Linux says of a process: its processor time and its memory.

use std::fs;
use std::path::Path;

/// Processor time of all its threads so far, in microseconds.
pub(crate) fn cpu_us(pid: u32) -> f64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let of = |path: &Path| fs::read_to_string(path.join("schedstat")).ok()?.split(' ').next()?.parse::<f64>().ok();
    threads.filter_map(|thread| of(&thread.path())).sum::<f64>() / 1000.0
}

/// The most memory that was resident so far, in MiB.
pub(crate) fn peak_mib(pid: u32) -> f64 {
    line(pid, "VmHWM:")
}

/// The memory that is resident now, in MiB.
pub(crate) fn now_mib(pid: u32) -> f64 {
    line(pid, "VmRSS:")
}

fn line(pid: u32, name: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or(f64::NAN) / 1024.0
}
