//! Follows the files that one end of TLS is made of: as they change, and on SIGHUP.

use crate::file_watch::{FileWatch, SETTLE};
use crate::hangup::Hangup;
use crate::metrics::tls::TlsMetrics;
use std::path::PathBuf;
use std::sync::Arc;

/// What one end of TLS is made of.
pub(super) trait Material: Send + 'static {
    /// All its files.
    fn paths(&self) -> Vec<PathBuf>;
    /// Takes what the files have now where that can be used: for each part its name, and whether it
    /// is something else, or why it stays as it was.
    fn read_again(&mut self) -> Vec<(String, Result<bool, String>)>;
    /// From now on this is in force.
    fn put_in_force(&self) -> Result<(), String>;
}

/// Follows the files until dropped. What can't be used changes nothing: an error says why, and it is
/// counted.
pub(super) async fn follow(
    mut material: impl Material,
    mut watch: FileWatch,
    metrics: Arc<TlsMetrics>,
) {
    let mut hangup = Hangup::listen();
    let mut complaints = Vec::new();
    loop {
        tokio::select! {
            () = watch.changed() => {}
            () = hangup.next() => complaints.clear(),
        }
        watch.reading();
        let mut faults = read(&mut material);
        if faults.iter().any(|fault| !complaints.contains(fault)) {
            tokio::time::sleep(SETTLE).await;
            faults = read(&mut material);
        }
        for (file, what) in faults.iter().filter(|fault| !complaints.contains(fault)) {
            metrics.reload_failures.inc();
            tracing::error!(file, what, "can't use the certificates; keeping what was");
        }
        complaints = faults;
    }
}

/// Puts in force what can be used of what has changed; returns what can't.
fn read(material: &mut impl Material) -> Vec<(String, String)> {
    let mut faults = Vec::new();
    let mut changed = Vec::new();
    for (file, read) in material.read_again() {
        match read {
            Ok(true) => changed.push(file),
            Ok(false) => {}
            Err(what) => faults.push((file, what)),
        }
    }
    if changed.is_empty() {
        return faults;
    }
    match material.put_in_force() {
        Ok(()) => tracing::info!(files = changed.join(", "), "certificates changed"),
        Err(what) => faults.push((changed.join(", "), what)),
    }
    faults
}
