//! Tells when files may have changed.

use crate::error::StartError;
use notify::{RecursiveMode, Watcher};
use std::path::Path;
use std::time::Duration;
use tokio::sync::watch;

/// Files are read again this often even if no change is told: some file systems tell none.
const REREAD_PERIOD: Duration = Duration::from_secs(5);

/// Who changes what belongs together by several writes, or a file in place, is between them for less than
/// this: what is amiss counts if it still is after it.
pub const SETTLE: Duration = Duration::from_millis(500);

/// Watches the folders of files, so that the files may come, go and be replaced.
pub struct FileWatch {
    told: watch::Receiver<()>,
    _watcher: notify::RecommendedWatcher,
}

// === impl FileWatch ===

impl FileWatch {
    /// Begins to watch; the file need not be there yet.
    ///
    /// # Errors
    /// If its folder can't be watched.
    pub fn new(file: &Path) -> Result<Self, StartError> {
        Self::over(&[file])
    }

    /// The same for several files.
    ///
    /// # Errors
    /// If a folder can't be watched.
    pub fn over(files: &[impl AsRef<Path>]) -> Result<Self, StartError> {
        let (sender, told) = watch::channel(());
        let failed = |file: Option<&Path>| {
            let path = file.map(|file| file.display().to_string()).unwrap_or_default();
            |source| StartError::Watch { path, source }
        };
        let mut watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                if event.is_ok_and(|event| !event.kind.is_access()) {
                    sender.send_replace(());
                }
            })
            .map_err(failed(files.first().map(AsRef::as_ref)))?;
        // A folder that is named twice is watched once.
        for file in files.iter().map(AsRef::as_ref) {
            let folder = match file.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => folder,
                _ => Path::new("."),
            };
            let watching = watcher.watch(folder, RecursiveMode::NonRecursive);
            watching.map_err(failed(Some(file)))?;
        }
        Ok(Self { told, _watcher: watcher })
    }

    /// Call before the file is read: a change from here on is told.
    pub fn reading(&mut self) {
        self.told.mark_unchanged();
    }

    /// Waits for a change since [`FileWatch::reading`], and not for too long.
    pub async fn changed(&mut self) {
        // The sender lives in the watcher, as long as this does.
        drop(tokio::time::timeout(REREAD_PERIOD, self.told.changed()).await);
    }
}
