//! The shim in front of each child: its life is tied to the harness's.
//!
//! It asks the kernel to end this process when the thread that spawned it ends, and becomes the
//! command. So nothing is left behind even if the harness is killed.

use anyhow::{Context, Error, anyhow};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Becomes the command; returns only why that failed.
pub(crate) fn become_command(parent: i32, command: Vec<OsString>) -> Error {
    let mut words = command.into_iter();
    let Some(program) = words.next() else { return anyhow!("no command was given after `--`") };
    // TERM, as nginx' master would leave its worker behind if it were killed.
    if let Err(error) = set_parent_process_death_signal(Some(Signal::TERM)) {
        return Error::new(error).context("can't tie this process to its parent's life");
    }
    // A parent that ended before the line above sends no signal any more.
    if getppid().map(Pid::as_raw_pid) != Some(parent) {
        return anyhow!("the parent process {parent} has ended already");
    }
    let error = Command::new(&program).args(words).exec();
    Err::<(), _>(error)
        .with_context(|| format!("can't run {}", program.display()))
        .err()
        .unwrap_or_else(|| anyhow!("the command returned"))
}
