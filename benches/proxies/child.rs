//! A process that the harness starts, keeps on a core, and ends by its own id.

use crate::{clock, pin, usage};
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsStr;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

/// How long a child may take to end when asked; then it is killed.
const END_PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at a child that is ending.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How much of what a child said is shown.
const MAX_SHOWN_BYTES: usize = 2000;

/// A running child. Dropped, it and its own children are ended.
pub(crate) struct Child {
    inner: std::process::Child,
    name: &'static str,
    said: PathBuf,
}

// === impl Child ===

impl Child {
    /// Starts a command on a core; the calling thread goes on on `back_to`. What it says goes to
    /// a file in `folder`.
    ///
    /// # Errors
    /// If it can't be started.
    pub(crate) fn start(
        name: &'static str,
        command: &[impl AsRef<OsStr>],
        core: usize,
        back_to: usize,
        folder: &Path,
    ) -> Result<Self> {
        let said = folder.join(format!("{name}.log"));
        let out = File::create(&said).with_context(|| format!("can't write {}", said.display()))?;
        let exe = std::env::current_exe().context("can't find this program's own file")?;
        let mut tied = Command::new(exe);
        // A peer is told all by its command: what the caller's environment says must not change it.
        for (variable, _) in std::env::vars_os() {
            if variable.as_encoded_bytes().starts_with(b"TIDEGATE_") {
                tied.env_remove(variable);
            }
        }
        tied.args(["tied", &std::process::id().to_string(), "--"])
            .args(command)
            .stdin(Stdio::null())
            .stdout(out.try_clone().context("can't share the log file")?)
            .stderr(out);
        pin::pin(core)?;
        let started = tied.spawn();
        pin::pin(back_to)?;
        let inner = started.with_context(|| format!("can't start {name}"))?;
        Ok(Self { inner, name, said })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.inner.id()
    }

    /// Fails if it has ended, with what it said.
    ///
    /// # Errors
    /// If it has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.inner.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended ({status}); it said: {}", self.name, self.said()),
        }
    }

    /// The end of what it said.
    pub(crate) fn said(&self) -> String {
        let bytes = std::fs::read(&self.said).unwrap_or_default();
        let tail = bytes.get(bytes.len().saturating_sub(MAX_SHOWN_BYTES)..).unwrap_or_default();
        String::from_utf8_lossy(tail).trim().to_owned()
    }

    /// Asks it to end, and waits for that.
    ///
    /// # Errors
    /// If it had to be killed.
    pub(crate) fn stop(&mut self) -> Result<ExitStatus> {
        let family = usage::family(self.inner.id());
        self.signal(Signal::TERM);
        let deadline = clock::now() + u64::try_from(END_PATIENCE.as_nanos()).unwrap_or(u64::MAX);
        while clock::now() < deadline {
            if let Some(status) = self.inner.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(LOOK_EVERY);
        }
        for pid in family {
            signal(pid, Signal::KILL);
        }
        self.inner.wait()?;
        bail!("{} did not end within {END_PATIENCE:?} and was killed", self.name)
    }

    fn signal(&self, which: Signal) {
        signal(self.inner.id(), which);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !matches!(self.inner.try_wait(), Ok(Some(_))) {
            // It is ended or killed now; there is nobody to tell which.
            self.stop().ok();
        }
    }
}

/// A process that is gone is no error.
fn signal(pid: u32, which: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        kill_process(pid, which).ok();
    }
}

/// So many addresses of this machine that nobody listens at.
///
/// # Errors
/// If there are not so many.
pub(crate) fn free_addresses(count: usize) -> Result<Vec<SocketAddr>> {
    // All are held until all are found, so that none is found twice.
    let held = (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    let held: Vec<_> =
        held.collect::<Result<_, _>>().context("can't find a free port on 127.0.0.1")?;
    let addresses = held.iter().map(TcpListener::local_addr);
    addresses.collect::<Result<_, _>>().context("can't read a listener's address")
}
