//! Reads `InferenceApi` documents from files.

use std::path::{Path, PathBuf};
use tidegate_api::document::InferenceApi;

/// Why files can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// One can't be read.
    #[error("can't read {}: {source}; check the path given to {flag}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The flag that named it.
        flag: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The reports of all files with mistakes.
    #[error("{0}")]
    Mistakes(String),
}

/// All documents of all files; `flag` is what named them.
pub(crate) fn read(files: &[PathBuf], flag: &'static str) -> Result<Vec<InferenceApi>, ReadError> {
    let mut apis = Vec::new();
    let mut reports = Vec::new();
    for path in files {
        let failed = |source| ReadError::Read { path: path.clone(), flag, source };
        let text = std::fs::read_to_string(path).map_err(failed)?;
        let absolute = std::path::absolute(path).map_err(failed)?;
        let folder = absolute.parent().unwrap_or_else(|| Path::new("/"));
        match tidegate_api::parse(&text, &path.display().to_string(), folder) {
            Ok(more) => apis.extend(more.into_iter().map(|api| (path.display().to_string(), api))),
            Err(report) => reports.push(report.to_string()),
        }
    }
    if reports.is_empty() {
        let documents: Vec<_> = apis.iter().map(|(file, api)| (file.as_str(), api)).collect();
        let dangling = tidegate_api::dangling(&documents);
        reports.extend(dangling.iter().map(|(file, mistake)| format!("{file}:{mistake}")));
    }
    if reports.is_empty() {
        return Ok(apis.into_iter().map(|(_, api)| api).collect());
    }
    Err(ReadError::Mistakes(reports.join("\n")))
}
