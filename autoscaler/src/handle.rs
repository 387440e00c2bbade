//! A running autoscaler, seen and told from elsewhere.

use crate::metrics::Metrics;
use crate::status::{DocumentsStatus, Status};
use crate::tick::{Prepared, Unfit};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tidegate_api::InferenceApi;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// A way to see and to stop a running autoscaler from elsewhere.
#[derive(Debug, Clone)]
pub struct Handle {
    status: Arc<Mutex<Status>>,
    metrics: Metrics,
    prometheus: Option<String>,
    changes: mpsc::Sender<Change>,
    kill: CancellationToken,
}

/// Other APIs to run, and who waits for it.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) prepared: Prepared,
    pub(crate) done: oneshot::Sender<()>,
}

impl Handle {
    pub(crate) fn new(
        status: Arc<Mutex<Status>>,
        metrics: Metrics,
        prometheus: Option<String>,
        changes: mpsc::Sender<Change>,
    ) -> Self {
        Self { status, metrics, prometheus, changes, kill: CancellationToken::new() }
    }

    /// Tells when the run is to end at once.
    pub(crate) fn killed(&self) -> &CancellationToken {
        &self.kill
    }

    /// What the autoscaler sees, and its last decisions.
    pub fn status(&self) -> Status {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Checks that other APIs could be run here. `python_bins` are the `bin` folders of their Python
    /// environments, by name.
    ///
    /// # Errors
    /// All that speaks against it.
    pub fn prepare(
        &self,
        apis: Vec<InferenceApi>,
        python_bins: &BTreeMap<String, PathBuf>,
    ) -> Result<Prepared, Unfit> {
        Prepared::new(apis, python_bins, self.prometheus.as_deref())
    }

    /// Runs these APIs from now on and no others. Returns once that is so, or the run has ended. `files`
    /// says of which state of which files they are ([`crate::Follow::seen`]), for the status.
    pub async fn adopt(&self, prepared: Prepared, files: BTreeMap<PathBuf, String>) {
        let (done, is_done) = oneshot::channel();
        if self.changes.send(Change { prepared, done }).await.is_ok() && is_done.await.is_ok() {
            let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
            let changes = status.documents.changes + 1;
            status.documents = DocumentsStatus { changes, files, refused: None };
        }
    }

    /// Tells in the status, in a metric and in the log why what the documents say now is not in
    /// force.
    pub fn refuse(&self, why: &str, files: BTreeMap<PathBuf, String>) {
        tracing::warn!(why, "can't use the documents; what was goes on");
        self.metrics.document_failed();
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.documents.refused = Some(why.to_owned());
        status.documents.files = files;
    }

    /// Ends the run and kills every replica at once, without draining.
    pub fn kill_now(&self) {
        self.kill.cancel();
    }
}
