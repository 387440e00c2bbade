//! The folder of one run: logs, the endpoints file, where its ports are, and what was deployed to it.
//! Each run has its own, so that several can run side by side; those of the last few runs are kept to
//! be read.
//!
//! Only its user may enter it: whoever can write a document there can have any command run.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, File};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The file in which a run tells of itself.
const ANNOUNCED: &str = "run.json";

/// Folders of earlier runs that are kept.
const KEPT: usize = 20;

/// What a run tells of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Announcement {
    /// Where requests are taken.
    pub(crate) requests: SocketAddr,
    /// The gateway's admin port.
    pub(crate) gateway: SocketAddr,
    /// The autoscaler's.
    pub(crate) autoscaler: SocketAddr,
    /// The files of documents that it was started with, absolute.
    pub(crate) files: Vec<PathBuf>,
}

/// A run that goes on, seen by another process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Running {
    /// Its process id, and the name of its folder.
    pub(crate) id: String,
    /// Its folder.
    pub(crate) path: PathBuf,
    /// When it began.
    pub(crate) begun: Option<SystemTime>,
    /// What it tells of itself.
    pub(crate) told: Announcement,
}

/// A run's folder; locked, so that nobody clears it away, until this is dropped.
#[derive(Debug)]
pub(crate) struct RunDir {
    path: PathBuf,
    _lock: File,
}

impl RunDir {
    /// Makes `<data dir>/runs/<process id>`, and removes the oldest folders of runs that ended.
    pub(crate) fn create(data_dir: &Path) -> Result<Self> {
        let runs = data_dir.join("runs");
        let path = runs.join(std::process::id().to_string());
        let failed =
            || format!("can't write {}; name another folder with --data-dir", path.display());
        std::fs::create_dir_all(&runs).with_context(failed)?;
        prune(&runs, KEPT);
        // An earlier process had the same number.
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(failed);
            }
            _ => {}
        }
        DirBuilder::new().mode(0o700).create(&path).with_context(failed)?;
        std::fs::create_dir(documents(&path)).with_context(failed)?;
        let lock = File::create(path.join("lock")).with_context(failed)?;
        lock.lock().with_context(failed)?;
        Ok(Self { path, _lock: lock })
    }

    /// Of this process itself.
    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("tidegate.log")
    }

    /// Of the replicas, one file each.
    pub(crate) fn replica_logs(&self) -> PathBuf {
        self.path.join("replicas")
    }

    /// Where the autoscaler tells the gateway about replicas.
    pub(crate) fn endpoints(&self) -> PathBuf {
        self.path.join("endpoints.json")
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Tells others where its ports are.
    pub(crate) fn announce(&self, told: &Announcement) -> Result<()> {
        let (file, beside) = (self.path.join(ANNOUNCED), self.path.join("run.new"));
        let failed = || format!("can't write {}", file.display());
        std::fs::write(&beside, serde_json::to_vec_pretty(told)?).with_context(failed)?;
        std::fs::rename(&beside, &file).with_context(failed)
    }
}

/// Where documents lie that were deployed to the run in this folder.
pub(crate) fn documents(run: &Path) -> PathBuf {
    run.join("documents")
}

/// The files of the documents that were deployed to it, by name.
pub(crate) fn deployed(run: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(documents(run)).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "json"));
    files.sort();
    files
}

/// The runs of this data folder that go on, oldest first.
pub(crate) fn running(data_dir: &Path) -> Vec<Running> {
    let entries = std::fs::read_dir(data_dir.join("runs")).into_iter().flatten().flatten();
    let mut runs: Vec<Running> = entries
        .filter_map(|entry| {
            let path = entry.path();
            let lock = File::open(path.join("lock")).ok()?;
            // Who runs holds it.
            lock.try_lock().is_err().then_some(())?;
            let told = std::fs::read(path.join(ANNOUNCED)).ok()?;
            let told = serde_json::from_slice(&told).ok()?;
            let begun = std::fs::metadata(path.join("lock")).and_then(|file| file.modified()).ok();
            let id = entry.file_name().to_string_lossy().into_owned();
            Some(Running { id, path, begun, told })
        })
        .collect();
    runs.sort_by(|one, other| (one.begun, &one.id).cmp(&(other.begun, &other.id)));
    runs
}

/// Keeps the newest folders; of the others removes those that nobody holds. What can't be removed
/// now can be the next time.
fn prune(runs: &Path, kept: usize) {
    let entries = std::fs::read_dir(runs).into_iter().flatten().flatten();
    let mut folders: Vec<(SystemTime, PathBuf)> = entries
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    folders.sort();
    let old = folders.len().saturating_sub(kept);
    for (_, folder) in folders.into_iter().take(old) {
        let free = File::open(folder.join("lock")).is_ok_and(|lock| lock.try_lock().is_ok());
        if free {
            std::fs::remove_dir_all(folder).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_folders_that_nobody_holds_are_removed() {
        let runs = tempfile::tempdir().unwrap();
        let mut locks = Vec::new();
        for name in ["1", "2", "3", "4"] {
            let folder = runs.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            let lock = File::create(folder.join("lock")).unwrap();
            if name == "1" {
                lock.lock().unwrap();
                locks.push(lock);
            }
        }
        prune(runs.path(), 4);
        assert_eq!(std::fs::read_dir(runs.path()).unwrap().count(), 4);
        prune(runs.path(), 0);
        assert!(runs.path().join("1").exists());
        assert_eq!(std::fs::read_dir(runs.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_run_has_its_own_folder() {
        let data = tempfile::tempdir().unwrap();
        let first = RunDir::create(data.path()).unwrap();
        assert!(first.path().ends_with(format!("runs/{}", std::process::id())));
        assert!(first.path().is_dir() && first.log().starts_with(first.path()));
        let mode = std::fs::metadata(first.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn a_run_that_has_told_where_it_is_is_found_while_it_goes_on() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(running(data.path()), []);
        let run = RunDir::create(data.path()).unwrap();
        assert_eq!(running(data.path()), [], "it has not told yet");
        let port = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let (requests, gateway, autoscaler) = (port(1), port(2), port(3));
        let files = vec![PathBuf::from("/a.yaml")];
        let told = Announcement { requests, gateway, autoscaler, files };
        run.announce(&told).unwrap();
        let path = run.path().to_owned();
        let found = running(data.path());
        assert_eq!(found.len(), 1);
        assert_eq!((&found[0].id, &found[0].told), (&std::process::id().to_string(), &told));
        assert_eq!((&found[0].path, found[0].begun.is_some()), (&path, true));
        for name in ["b.json", "a.json", "a.json.new"] {
            std::fs::write(documents(&path).join(name), "").unwrap();
        }
        let names = ["a.json", "b.json"].map(|name| documents(&path).join(name));
        assert_eq!(deployed(&path), names);
        drop(run);
        assert_eq!(running(data.path()), [], "it has ended");
    }
}
