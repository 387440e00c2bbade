//! A process and all that it starts, however deep and whoever adopts it: an environment is
//! inherited, so a mark in it tells them from everybody else's.

use super::eventually;
use super::process::signal_pid;
use rustix::process::Signal;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The variable that holds the mark.
const VARIABLE: &str = "TIDEGATE_TEST_FAMILY";

/// One family.
#[derive(Debug)]
pub(crate) struct Family(String);

/// A living member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its process id.
    pub(crate) pid: u32,
    /// Its command line.
    pub(crate) command: String,
}

impl Family {
    /// A new one, with the process that `command` is going to be.
    pub(crate) fn of(command: &mut Command) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mark = format!("{}-{count}", std::process::id());
        command.env(VARIABLE, &mark);
        Self(format!("{VARIABLE}={mark}"))
    }

    /// Who lives. A process that has ended and waits to be reaped has no environment any more.
    pub(crate) fn members(&self) -> Vec<Member> {
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        pids.filter(|pid| self.owns(*pid))
            .map(|pid| Member { pid, command: command(pid) })
            .collect()
    }

    /// The members whose command line contains `text`.
    pub(crate) fn running(&self, text: &str) -> Vec<Member> {
        let mut members = self.members();
        members.retain(|member| member.command.contains(text));
        members
    }

    /// Waits until nobody is left.
    pub(crate) fn wait_until_gone(&self) {
        eventually(&format!("nobody is left of {:?}", self.members()), || {
            self.members().is_empty()
        });
    }

    /// Fails if anybody is left now.
    pub(crate) fn assert_gone(&self) {
        assert_eq!(self.members(), Vec::new(), "left behind");
    }

    fn owns(&self, pid: u32) -> bool {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == self.0.as_bytes())
    }
}

/// A test that fails half way leaves nothing behind either.
impl Drop for Family {
    fn drop(&mut self) {
        self.members().iter().for_each(|member| signal_pid(member.pid, Signal::KILL));
    }
}

fn command(pid: u32) -> String {
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&words).replace('\0', " ").trim_end().to_owned()
}
