//! Documents that could not be used for want of a file of keys: they count as soon as it is there.

use super::Catalog;
use crate::config::GatewayApi;
use crate::error::{StartError, chain};
use crate::file_watch::FileWatch;
use std::future::pending;
use std::path::Path;

/// Documents that could not be used for want of a file of keys.
pub(super) struct Refused {
    apis: Vec<GatewayApi>,
    error: String,
    /// Tells when the file may be there.
    watch: FileWatch,
}

// === impl Catalog ===

impl Catalog {
    /// Says what became of an attempt to serve these APIs. Returns them if a file may come that makes
    /// them good. `before` is what was wrong with them already.
    pub(super) fn judge(
        &self,
        apis: Vec<GatewayApi>,
        applied: Result<(), StartError>,
        before: Option<&str>,
    ) -> Option<Refused> {
        let error = match applied {
            Ok(()) => {
                let apis = self.apis.values().filter(|served| !served.is_leaving).count();
                tracing::info!(apis, "serving what the documents say now");
                return None;
            }
            Err(error) => error,
        };
        let watch = match &error {
            StartError::Keys { path, .. } => FileWatch::new(Path::new(path)).ok(),
            _ => None,
        };
        let error = chain(&error);
        if before != Some(&error) {
            self.common.failures.inc();
            self.common.in_force.keeps(&error);
            let until = if watch.is_some() { "that file changes" } else { "they change" };
            let what = "can't use the documents; keeping what was";
            tracing::warn!(error, "{what} until {until} or SIGHUP comes");
        }
        watch.map(|watch| Refused { apis, error, watch })
    }
}

/// What was refused, as soon as it may be good, with what was wrong with it.
pub(super) async fn again(refused: &mut Option<Refused>) -> (Vec<GatewayApi>, Option<String>) {
    let Some(refused) = refused else { return pending().await };
    refused.watch.changed().await;
    (refused.apis.clone(), Some(refused.error.clone()))
}
