//! What a process takes of the machine's memory.

/// Bytes that are resident now.
pub(crate) fn rss_bytes(pid: u32) -> u64 {
    of(pid, "VmRSS:")
}

/// Bytes of them that are the process's own: not what it has mapped of its file, of which the first
/// use of a protocol may add two megabytes in a debug build.
pub(crate) fn own_bytes(pid: u32) -> u64 {
    of(pid, "RssAnon:")
}

/// The most bytes that were ever resident.
pub(crate) fn peak_rss_bytes(pid: u32) -> u64 {
    of(pid, "VmHWM:")
}

fn of(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
