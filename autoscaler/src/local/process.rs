//! A child process that leads its own process group, so that what it starts can be stopped too.

use super::watchdog::{Watchdog, Watched};
use crate::clock::Clock;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use std::io;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::{Child, ChildStdout, Command};

/// Between two looks whether the rest of a group is gone.
const GROUP_POLL: Duration = Duration::from_millis(20);

/// A running child and its group. Dropping it kills the group.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    group: Pid,
    /// A model's group is watched for as long as it may have members.
    watched: Option<Watched>,
    /// The leader was reaped and the group is empty: its number may belong to others by now.
    gone: bool,
}

impl Process {
    /// Starts `command` in a process group of its own.
    pub(super) fn spawn(mut command: Command) -> io::Result<Self> {
        let child = command.process_group(0).kill_on_drop(true).spawn()?;
        let group = child
            .id()
            .and_then(|id| Pid::from_raw(id.cast_signed()))
            .ok_or_else(|| io::Error::other("the child has no process id"))?;
        Ok(Self { child, group, watched: None, gone: false })
    }

    /// Sees to it that the group does not outlive a killed autoscaler.
    pub(super) fn watched_by(mut self, watchdog: &Arc<Watchdog>) -> Self {
        self.watched = watchdog.watch(self.group);
        self
    }

    /// The leader's process id.
    pub(super) fn id(&self) -> u32 {
        self.group.as_raw_nonzero().get().cast_unsigned()
    }

    /// The leader's standard output, once, if it was piped.
    pub(super) fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Waits for the leader's end and reaps it. May be asked again, and be cancelled.
    pub(super) async fn exited(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Asks the leader to end, if it still runs.
    pub(super) fn terminate(&self) {
        // Some(id) means it was not reaped, so the number is still its own.
        if self.child.id().is_some() {
            rustix::process::kill_process(self.group, Signal::TERM).ok();
        }
    }

    /// Asks the whole group to end, and kills what is left of it after `grace`.
    pub(super) async fn stop(&mut self, clock: Clock, grace: Duration) {
        if self.gone {
            return;
        }
        kill_process_group(self.group, Signal::TERM).ok();
        tokio::select! {
            () = self.emptied() => self.gone = true,
            () = clock.sleep_until(clock.now() + grace) => self.kill().await,
        }
    }

    /// Kills the whole group and waits until it is gone.
    pub(super) async fn kill(&mut self) {
        if self.gone {
            return;
        }
        kill_process_group(self.group, Signal::KILL).ok();
        self.emptied().await;
        self.gone = true;
        self.watched = None;
    }

    /// Waits until the leader is reaped and nobody is left in its group.
    async fn emptied(&mut self) {
        if let Err(error) = self.child.wait().await {
            tracing::warn!(pid = self.id(), %error, "can't wait for a child process");
        }
        while test_kill_process_group(self.group).is_ok() {
            tokio::time::sleep(GROUP_POLL).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.gone {
            kill_process_group(self.group, Signal::KILL).ok();
        }
    }
}
