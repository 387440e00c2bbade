//! Why a simulation can't be had.

use crate::workload::WorkloadError;
use std::path::PathBuf;

/// Why a simulation can't be had.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// Flags or a trace that can't be used.
    #[error("{0}")]
    Usage(String),
    /// A document, or settings on top of it, with mistakes: the whole report.
    #[error("{0}")]
    Document(String),
    /// Results that can't be written.
    #[error("can't write standard output: {0}; is there room?")]
    Output(std::io::Error),
    /// A picture that can't be written.
    #[error("can't write {path}: {why}; name another file with --plot")]
    Plot {
        /// The file.
        path: PathBuf,
        /// What failed.
        why: String,
    },
}

impl From<WorkloadError> for SimulateError {
    fn from(error: WorkloadError) -> Self {
        Self::Usage(error.to_string())
    }
}
