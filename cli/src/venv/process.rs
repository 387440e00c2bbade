//! Runs a Python program to its end, or kills it and what it started.

use super::{PythonVersion, VenvError};
use rustix::process::{Pid, Signal, kill_process_group};
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Longer lines are cut in the progress and the tail, not in the log.
const LINE_AT_MOST: usize = 300;

/// Asks a Python who it is. `base_prefix` is part of it since environments link to their Python.
pub(super) async fn version(python: &Path) -> Result<PythonVersion, VenvError> {
    const ASK: &str = "import platform, sys; v = sys.version_info; \
        print(v.major, v.minor, v.micro, platform.machine(), sys.implementation.name, sys.base_prefix)";
    let output = Command::new(python)
        .args(["-c", ASK])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|source| VenvError::NoPython { python: python.to_owned(), source })?;
    let said = String::from_utf8_lossy(&output.stdout);
    parse_version(said.trim()).ok_or_else(|| VenvError::BadPython {
        python: python.to_owned(),
        said: cut(&format!("{} {}", said.trim(), String::from_utf8_lossy(&output.stderr).trim())),
    })
}

/// `3 11 7 x86_64 cpython /usr` → its parts.
pub(super) fn parse_version(said: &str) -> Option<PythonVersion> {
    let mut words = said.split(' ');
    let major = words.next()?.parse().ok()?;
    let minor = words.next()?.parse().ok()?;
    words.next()?.parse::<u32>().ok()?;
    Some(PythonVersion { major, minor, identity: said.to_owned() })
}

/// Runs a command; each line of its output goes to `on_line`. Dropping the future kills the
/// command and all that it started.
pub(super) async fn run(command: Command, mut on_line: impl FnMut(&str)) -> io::Result<ExitStatus> {
    let (read, write) = io::pipe()?;
    let mut group = Group::spawn(command, write)?;
    let read = tokio::net::unix::pipe::Receiver::from_owned_fd(read.into())?;
    let mut lines = BufReader::new(read).split(b'\n');
    while let Some(line) = lines.next_segment().await? {
        on_line(String::from_utf8_lossy(&line).trim_end());
    }
    group.0.wait().await
}

/// A process that leads its own group; the whole group is killed when this is dropped early.
struct Group(Child);

impl Group {
    /// Own group: Ctrl-C in a terminal reaches Tidegate alone, which then stops what it started.
    fn spawn(mut command: Command, output: io::PipeWriter) -> io::Result<Self> {
        let errors = output.try_clone()?;
        // `command` holds the pipe's other ends until it is dropped here: only then can the pipe end.
        command.stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0);
        command.kill_on_drop(true).spawn().map(Self)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // No id once it has been waited for: the number may be another's by now.
        let pid = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // Fails only if the group is gone, which is what is wanted.
            kill_process_group(pid, Signal::KILL).ok();
        }
    }
}

/// The first part of a long line.
pub(super) fn cut(line: &str) -> String {
    line.chars().take(LINE_AT_MOST).collect()
}
