//! Why a replica did not come up, and when to stop trying.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

/// Lines of the log that an error shows.
const TAIL_LINES: usize = 10;

/// Bytes read from the log's end to find them.
const TAIL_BYTES: u64 = 8 * 1024;

/// Why one start of a replica failed.
#[derive(Debug, thiserror::Error)]
pub enum StartFailure {
    /// The model ended before it was ready.
    #[error("the model ended ({0}) before it was ready")]
    ModelExited(ExitStatus),
    /// The model could not be started.
    #[error("the model can't be started: {0}")]
    ModelSpawn(std::io::Error),
    /// The model runs but is not ready.
    #[error("not ready within {}", humantime::format_duration(*.0))]
    NotReady(Duration),
    /// The sidecar could not be started.
    #[error("the sidecar can't be started: {0}")]
    SidecarSpawn(std::io::Error),
    /// The sidecar ended before the model was ready.
    #[error("the sidecar ended ({0}) before the replica was ready")]
    SidecarExited(ExitStatus),
    /// The sidecar did not say where it listens.
    #[error("the sidecar did not say where it listens: {0}")]
    SidecarSilent(String),
}

impl StartFailure {
    /// Whether the sidecar is to blame, and not the model.
    pub(super) const fn is_sidecar(&self) -> bool {
        matches!(self, Self::SidecarSpawn(_) | Self::SidecarExited(_) | Self::SidecarSilent(_))
    }
}

/// An API whose replicas fail to start again and again and that never was ready.
#[derive(Debug, thiserror::Error)]
#[error(
    "api {api}: gave up after {failures} failed starts in a row: {failure}\n  command: {command}\n  \
     log: {}{tail}", log.display()
)]
pub struct GaveUp {
    /// The API.
    pub api: String,
    /// Failed starts in a row.
    pub failures: u32,
    /// Why the last one failed.
    pub failure: StartFailure,
    /// The model's command, or the sidecar's if that is to blame.
    pub command: String,
    /// Where the replica's output went.
    pub log: PathBuf,
    /// The log's last lines, each on a line of its own; empty where there are none.
    pub tail: String,
}

/// The last lines of a file, for an error message.
pub(super) fn tail(path: &Path) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let Ok(bytes) = read() else { return String::new() };
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines
        .iter()
        .skip(lines.len().saturating_sub(TAIL_LINES))
        .map(|line| format!("\n  | {line}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_the_last_ten_lines() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let lines: String = (0..2000).map(|line| format!("line {line}\n\n")).collect();
        std::fs::write(file.path(), lines).unwrap();
        let tail = tail(file.path());
        assert_eq!(tail.lines().count(), 1 + TAIL_LINES, "{tail}");
        assert!(tail.starts_with("\n  | line 1990\n") && tail.ends_with("| line 1999"), "{tail}");
    }

    #[test]
    fn no_log_has_no_tail() {
        assert_eq!(tail(Path::new("/nonexistent/log")), "");
    }
}
