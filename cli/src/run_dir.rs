//! The folder of one run: logs and the endpoints file. Each run has its own, so that several can
//! run side by side; those of the last few runs are kept to be read.

use anyhow::{Context, Result};
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Folders of earlier runs that are kept.
const KEPT: usize = 20;

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
        std::fs::create_dir(&path).with_context(failed)?;
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
    }
}
