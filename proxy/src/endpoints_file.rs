//! Follows the endpoints file, which says where each API's replicas listen.

use crate::bounded_file;
use crate::error::StartError;
use crate::file_watch::FileWatch;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use tidegate_api::endpoints::EndpointsFile;

/// The most bytes an endpoints file may have: about a hundred thousand endpoints.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// The file.
pub struct FollowedEndpoints {
    file: PathBuf,
    watch: FileWatch,
    known: Option<EndpointsFile>,
    complained: bool,
}

// === impl FollowedEndpoints ===

impl FollowedEndpoints {
    /// Begins to watch the file's folder; the file need not be there yet.
    ///
    /// # Errors
    /// If the folder can't be watched.
    pub fn new(file: PathBuf) -> Result<Self, StartError> {
        let watch = FileWatch::new(&file)?;
        Ok(Self { file, watch, known: None, complained: false })
    }

    /// What the file says before it is followed; nothing if it can't be used.
    pub fn now(&self) -> EndpointsFile {
        read(&self.file).ok().flatten().unwrap_or_default()
    }

    /// What the file says, as soon as it is something else. A file that is missing, unreadable or
    /// broken changes nothing, and a warning says why. Nothing is lost when this is dropped.
    pub async fn next(&mut self) -> EndpointsFile {
        loop {
            self.watch.reading();
            match read(&self.file) {
                Ok(Some(file)) => {
                    self.complained = false;
                    if self.known.as_ref() != Some(&file) {
                        self.known = Some(file.clone());
                        return file;
                    }
                }
                Ok(None) => {}
                Err(error) if self.complained => {
                    tracing::debug!(%error, "endpoints file still unusable")
                }
                Err(error) => {
                    self.complained = true;
                    let file = self.file.display();
                    tracing::warn!(%error, %file, "can't use the endpoints file; keeping what was");
                }
            }
            self.watch.changed().await;
        }
    }
}

fn read(file: &Path) -> io::Result<Option<EndpointsFile>> {
    match bounded_file::bytes(file, MAX_FILE_BYTES) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
