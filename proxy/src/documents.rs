//! Follows the file of documents that a gateway serves: as it changes, and on SIGHUP.

use crate::bounded_file;
use crate::config::GatewayApi;
use crate::error::StartError;
use crate::file_watch::FileWatch;
use crate::hangup::Hangup;
use crate::in_force::InForce;
use prometheus::IntCounter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// No file of documents is larger: the parser refuses what has more than half of this.
const MAX_FILE_BYTES: u64 = 2 << 20;

/// The file of documents.
pub struct Documents {
    path: PathBuf,
    watch: FileWatch,
    failures: IntCounter,
    in_force: Arc<InForce>,
    /// Listened for from within the runtime.
    hangup: Option<Hangup>,
    /// What was read last.
    text: Option<String>,
    complaint: Option<String>,
}

// === impl Documents ===

impl Documents {
    /// Begins to watch the file, of which `text` has been read already.
    ///
    /// # Errors
    /// If its folder can't be watched.
    pub fn new(
        path: PathBuf,
        text: String,
        failures: IntCounter,
        in_force: Arc<InForce>,
    ) -> Result<Self, StartError> {
        let watch = FileWatch::new(&path)?;
        Ok(Self {
            path,
            watch,
            failures,
            in_force,
            hangup: None,
            text: Some(text),
            complaint: None,
        })
    }

    /// What is to be served, as soon as it is something else. A file that is gone or wrong changes
    /// nothing: a warning says why, and it is counted. Nothing is lost when this is dropped.
    pub async fn changed(&mut self) -> Vec<GatewayApi> {
        let hangup = self.hangup.get_or_insert_with(Hangup::listen);
        loop {
            self.watch.reading();
            let (path, known) = (self.path.clone(), self.text.clone());
            // A file of ten thousand routes takes a while to read.
            let reading = tokio::task::spawn_blocking(move || read(&path, known.as_deref()));
            match reading.await.unwrap_or_else(|error| Err(error.to_string())) {
                Ok(None) if self.complaint.take().is_some() => self.in_force.is_as_before(),
                Ok(None) => {}
                Ok(Some((text, apis))) => {
                    (self.text, self.complaint) = (Some(text), None);
                    return apis;
                }
                Err(error) if self.complaint.as_ref() == Some(&error) => {}
                Err(error) => {
                    self.failures.inc();
                    self.in_force.keeps(&error);
                    let file = self.path.display();
                    tracing::warn!(%error, %file, "can't use the documents; keeping what was");
                    self.complaint = Some(error);
                }
            }
            tokio::select! {
                () = self.watch.changed() => {}
                () = hangup.next() => self.text = None,
            }
        }
    }
}

/// What the file says, if that is not what is known already.
fn read(path: &Path, known: Option<&str>) -> Result<Option<(String, Vec<GatewayApi>)>, String> {
    let text = bounded_file::text(path, MAX_FILE_BYTES).map_err(|error| error.to_string())?;
    if known == Some(text.as_str()) {
        return Ok(None);
    }
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let apis = tidegate_api::parse_all(&text, &path.display().to_string(), folder);
    let apis = apis.map_err(|report| report.to_string())?;
    Ok(Some((text, apis.iter().map(GatewayApi::from_document).collect())))
}
