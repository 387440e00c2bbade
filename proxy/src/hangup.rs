//! SIGHUP, on which files are read again.

use std::future::pending;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Waits for SIGHUP, where the system lets it.
#[derive(Debug)]
pub struct Hangup(Option<Signal>);

// === impl Hangup ===

impl Hangup {
    /// Listens from now on; needs a runtime.
    pub fn listen() -> Self {
        match signal(SignalKind::hangup()) {
            Ok(signal) => Self(Some(signal)),
            Err(error) => {
                tracing::warn!(%error, "can't wait for SIGHUP; the file is followed all the same");
                Self(None)
            }
        }
    }

    /// The next one. Nothing is lost when this is dropped.
    pub async fn next(&mut self) {
        match &mut self.0 {
            Some(signal) => drop(signal.recv().await),
            None => pending().await,
        }
    }
}
