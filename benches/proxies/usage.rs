//! What a process and its children use of processor and memory, from /proc.

use anyhow::{Context, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A family of processes is no larger: more is a fork bomb, not a proxy.
const MAX_FAMILY: usize = 64;

/// Processor time of all threads up to a moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Usage {
    /// By process and thread.
    threads: BTreeMap<(u32, u32), Scheduled>,
    ticks: Ticks,
}

/// Clock ticks of the accounting, usually 10 ms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Ticks {
    user: u64,
    system: u64,
}

/// What the scheduler knows of a thread, in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Scheduled {
    /// On a processor.
    ran: u64,
    /// Ready to run, while others had the processor.
    waited: u64,
}

/// Processor time between two moments.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spent {
    /// Microseconds, user and system.
    pub(crate) total_us: f64,
    /// The user's part, from 0 to 1; unknown if less than a tick was used.
    pub(crate) user_share: Option<f64>,
    /// Microseconds in which others had the processor: how far the machine was not ours alone.
    pub(crate) waited_us: f64,
}

/// Memory of a family of processes, in KiB.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Memory {
    /// Resident, as `VmRSS`: pages that two processes share count twice.
    pub(crate) rss_kib: u64,
    /// Proportional: each page once, shared by those that use it. 0 if the system doesn't say.
    pub(crate) pss_kib: u64,
}

/// A process and all that descend from it.
pub(crate) fn family(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut at = 0;
    while at < found.len() && found.len() < MAX_FAMILY {
        let tasks = format!("/proc/{}/task", found[at]);
        for thread in numbers(Path::new(&tasks)) {
            let children = fs::read_to_string(format!("{tasks}/{thread}/children"));
            found.extend(
                children
                    .unwrap_or_default()
                    .split_whitespace()
                    .filter_map(|pid| pid.parse::<u32>().ok()),
            );
        }
        at += 1;
    }
    found
}

/// What a family has used until now.
///
/// # Errors
/// If the first of them is gone, or /proc is not as it must be.
pub(crate) fn usage(pid: u32) -> Result<Usage> {
    let mut usage = Usage::default();
    for pid in family(pid) {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| {
            format!("can't read the accounting of process {pid}: has it ended?")
        })?;
        let ticks = parse_stat(&stat).with_context(|| format!("/proc/{pid}/stat is unreadable"))?;
        usage.ticks.user += ticks.user;
        usage.ticks.system += ticks.system;
        let tasks = format!("/proc/{pid}/task");
        for thread in numbers(Path::new(&tasks)) {
            // A thread that ends between the two lines is left out.
            let text = fs::read_to_string(format!("{tasks}/{thread}/schedstat"));
            if let Some(scheduled) = text.ok().as_deref().and_then(parse_schedstat) {
                usage.threads.insert((pid, thread), scheduled);
            }
        }
    }
    Ok(usage)
}

/// What a family holds now.
///
/// # Errors
/// If the first of them is gone.
pub(crate) fn memory(pid: u32) -> Result<Memory> {
    let mut memory = Memory::default();
    for pid in family(pid) {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))
            .with_context(|| format!("can't read the memory of process {pid}: has it ended?"))?;
        memory.rss_kib += parse_kib(&status, "VmRSS:").unwrap_or(0);
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        memory.pss_kib += parse_kib(&rollup, "Pss:").unwrap_or(0);
    }
    Ok(memory)
}

// === impl Usage ===

impl Usage {
    /// What was used since `earlier`. To the nanosecond by the scheduler's statistics, else by
    /// ticks; only the ticks tell user from system.
    pub(crate) fn since(&self, earlier: &Self, ticks_per_second: u64) -> Spent {
        let grown = |of: fn(&Scheduled) -> u64| {
            let threads = self.threads.iter().map(|(thread, now)| {
                of(now).saturating_sub(earlier.threads.get(thread).map_or(0, of))
            });
            threads.sum::<u64>() as f64 / 1e3
        };
        let user = self.ticks.user.saturating_sub(earlier.ticks.user) as f64;
        let ticks = user + self.ticks.system.saturating_sub(earlier.ticks.system) as f64;
        let total_us = match self.threads.is_empty() {
            true => ticks * 1e6 / ticks_per_second as f64,
            false => grown(|thread| thread.ran),
        };
        Spent {
            total_us,
            user_share: (ticks > 0.0).then(|| user / ticks),
            waited_us: grown(|thread| thread.waited),
        }
    }
}

/// The entries of a folder that are numbers.
fn numbers(folder: &Path) -> Vec<u32> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Fields 14 and 15 of proc_pid_stat(5). The name before them may hold spaces and brackets.
fn parse_stat(text: &str) -> Option<Ticks> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    Some(Ticks { user: fields.next()?.parse().ok()?, system: fields.next()?.parse().ok()? })
}

/// The first two fields.
fn parse_schedstat(text: &str) -> Option<Scheduled> {
    let mut fields = text.split_whitespace();
    Some(Scheduled { ran: fields.next()?.parse().ok()?, waited: fields.next()?.parse().ok()? })
}

fn parse_kib(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_after_the_name() {
        let text = "7 (a) b (c) S 1 7 7 0 -1 4194560 12 0 0 0 123 45 6 7 20 0 1 0 99 1 2";
        assert_eq!(parse_stat(text), Some(Ticks { user: 123, system: 45 }));
        assert_eq!(parse_stat("7 (a) S 1"), None);
    }

    #[test]
    fn memory_is_read_by_name() {
        let text = "VmPeak:\t  900 kB\nVmRSS:\t    512 kB\n";
        assert_eq!(parse_kib(text, "VmRSS:"), Some(512));
        assert_eq!(parse_kib(text, "Pss:"), None);
    }

    #[test]
    fn threads_count_from_where_they_stood() {
        let of = |threads: &[(u32, u64, u64)], user, system| Usage {
            threads: threads
                .iter()
                .map(|&(thread, ran, waited)| ((1, thread), Scheduled { ran, waited }))
                .collect(),
            ticks: Ticks { user, system },
        };
        let before = of(&[(1, 1_000_000, 7000), (2, 500_000, 0)], 10, 10);
        let after = of(&[(1, 3_000_000, 9000), (3, 250_000, 0)], 11, 13);
        let spent = after.since(&before, 100);
        let expected = Spent { total_us: 2250.0, user_share: Some(0.25), waited_us: 2.0 };
        assert_eq!(spent, expected);
        let by_ticks = of(&[], 11, 13).since(&of(&[], 10, 10), 100);
        assert_eq!(by_ticks.total_us, 40_000.0);
        assert_eq!(after.since(&after, 100).user_share, None);
        assert_eq!(parse_schedstat("12 34 5\n"), Some(Scheduled { ran: 12, waited: 34 }));
        assert_eq!(parse_schedstat("12"), None);
    }

    #[test]
    fn this_process_uses_something() {
        let pid = std::process::id();
        let before = usage(pid).expect("readable");
        let mut sum = 0_u64;
        while usage(pid).expect("readable").since(&before, 100).total_us < 1000.0 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(memory(pid).expect("readable").rss_kib > 100);
    }
}
