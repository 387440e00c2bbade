//! A process that outlives a killed autoscaler for a moment, to kill what models have started.
//!
//! The kernel ends a model with its parent (see [`crate::child`]), but not the model's own children:
//! those of `sh -c "python app.py & wait"` would live on. The watchdog holds the other end of a pipe
//! over which it is told the models' process groups. However the autoscaler ends, the pipe does too;
//! then the watchdog kills the groups that are left. What leaves its group escapes it.

use rustix::process::Pid;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::process::{Child, Command};

/// The watchdog, which is started with the first model.
#[derive(Debug)]
pub(super) struct Watchdog {
    /// The shim's command; empty for no watchdog.
    shim: Vec<OsString>,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    process: Child,
    /// A few bytes a model: a pipe's buffer holds thousands, so that writing does not wait.
    pipe: std::fs::File,
}

/// A group that is watched until this is dropped.
#[derive(Debug)]
pub(super) struct Watched {
    watchdog: Arc<Watchdog>,
    group: Pid,
}

impl Watchdog {
    /// A watchdog that is not started yet.
    pub(super) fn new(shim: Vec<OsString>) -> Arc<Self> {
        Arc::new(Self { shim, running: Mutex::new(None) })
    }

    /// Watches a group. Where that fails it is told, and the model runs unwatched.
    pub(super) fn watch(self: &Arc<Self>, group: Pid) -> Option<Watched> {
        let (program, rest) = self.shim.split_first()?;
        let mut running = self.running();
        if running.is_none() {
            match start(program, rest) {
                Ok(started) => *running = Some(started),
                Err(error) => {
                    tracing::warn!(%error, "no watchdog, models' children may outlive a kill");
                    return None;
                }
            }
        }
        drop(running);
        self.tell('+', group);
        Some(Watched { watchdog: Arc::clone(self), group })
    }

    /// Lets the watchdog go, and waits for its end: nobody is left to watch.
    pub(super) async fn end(&self) {
        let Some(Running { mut process, pipe }) = self.running().take() else { return };
        drop(pipe);
        if let Err(error) = process.wait().await {
            tracing::warn!(%error, "can't wait for the watchdog");
        }
    }

    fn tell(&self, sign: char, group: Pid) {
        let mut running = self.running();
        let Some(Running { pipe, .. }) = running.as_mut() else { return };
        if let Err(error) = writeln!(pipe, "{sign}{}", group.as_raw_nonzero()) {
            tracing::warn!(%error, "the watchdog is gone, the next model starts another");
            *running = None;
        }
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        // Nothing panics while it is held, and what is in it would be sound if it did.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watchdog.tell('-', self.group);
    }
}

fn start(program: &OsString, rest: &[OsString]) -> io::Result<Running> {
    let mut process = Command::new(program)
        .args(rest)
        .arg("--watchdog")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // A Ctrl-C at the terminal is not meant for it.
        .process_group(0)
        .spawn()?;
    let pipe = process.stdin.take().ok_or_else(|| io::Error::other("it has no standard input"))?;
    Ok(Running { process, pipe: pipe.into_owned_fd()?.into() })
}
