//! The phases of a process's end, told to everything that must know.

use std::time::Duration;
use tokio::sync::watch;

/// Where a process is between serving and ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// All is served.
    Serving,
    /// Unready, so that nobody sends new requests; those that come all the same are served.
    Announced,
    /// No new connections; what runs and waits goes on to its end.
    Closing,
}

/// Moves a process through the phases.
#[derive(Debug)]
pub struct Drain {
    phase: watch::Sender<Phase>,
    /// From announcing to closing.
    pub delay: Duration,
    /// From closing to cutting off.
    pub timeout: Duration,
}

/// Sees the phases.
#[derive(Debug, Clone)]
pub struct DrainWatch(watch::Receiver<Phase>);

// === impl Drain ===

impl Drain {
    /// A process that serves.
    pub fn new(delay: Duration, timeout: Duration) -> Self {
        Self { phase: watch::Sender::new(Phase::Serving), delay, timeout }
    }

    /// Something that sees the phases.
    pub fn watch(&self) -> DrainWatch {
        DrainWatch(self.phase.subscribe())
    }

    /// Announces the end, and after the delay closes.
    pub async fn begin(&self) {
        self.phase.send_replace(Phase::Announced);
        tokio::time::sleep(self.delay).await;
        self.phase.send_replace(Phase::Closing);
    }
}

// === impl DrainWatch ===

impl DrainWatch {
    /// Whether the end was announced.
    pub fn is_draining(&self) -> bool {
        *self.0.borrow() >= Phase::Announced
    }

    /// Waits until the end is announced.
    pub async fn announced(&mut self) {
        drop(self.0.wait_for(|phase| *phase >= Phase::Announced).await);
    }

    /// Waits until no new connections are to be taken.
    pub async fn closing(&mut self) {
        // An error means that the sender is gone, and with it the process's owner: close too.
        drop(self.0.wait_for(|phase| *phase >= Phase::Closing).await);
    }
}
