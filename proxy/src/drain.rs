//! The phases of a process's end, told to everything that must know.

use std::time::Duration;
use tokio::sync::watch;

/// Where a process is between serving and ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// All is served.
    Serving,
    /// Unready, so that nobody sends new requests; those that come all the same are served.
    Announced,
    /// No new connections; what runs and waits goes on to its end.
    Closing,
}

/// What is told.
#[derive(Debug, Clone, Copy)]
struct Told {
    phase: Phase,
    /// Another process has the listening sockets.
    taken_over: bool,
}

/// Moves a process through the phases.
#[derive(Debug)]
pub struct Drain {
    told: watch::Sender<Told>,
    /// From announcing to closing.
    pub delay: Duration,
    /// From closing to cutting off.
    pub timeout: Duration,
}

/// Sees the phases.
#[derive(Debug, Clone)]
pub struct DrainWatch(watch::Receiver<Told>);

// === impl Drain ===

impl Drain {
    /// A process that serves.
    pub fn new(delay: Duration, timeout: Duration) -> Self {
        let told = Told { phase: Phase::Serving, taken_over: false };
        Self { told: watch::Sender::new(told), delay, timeout }
    }

    /// Something that sees the phases.
    pub fn watch(&self) -> DrainWatch {
        DrainWatch(self.told.subscribe())
    }

    /// Announces the end, and after the delay closes. Where another process has the listening
    /// sockets, new connections are its own at once, and the delay serves to tell the clients on
    /// the connections that are open.
    pub async fn begin(&self, taken_over: bool) {
        self.told.send_replace(Told { phase: Phase::Announced, taken_over });
        tokio::time::sleep(self.delay).await;
        self.told.send_replace(Told { phase: Phase::Closing, taken_over });
    }
}

// === impl DrainWatch ===

impl DrainWatch {
    /// Whether the end was announced.
    pub fn is_draining(&self) -> bool {
        self.0.borrow().phase >= Phase::Announced
    }

    /// Whether another process has the listening sockets.
    pub fn is_taken_over(&self) -> bool {
        self.0.borrow().taken_over
    }

    /// Waits until the end is announced.
    pub async fn announced(&mut self) {
        self.wait_for(|told| told.phase >= Phase::Announced).await;
    }

    /// Waits until another process has the listening sockets.
    pub async fn taken_over(&mut self) {
        self.wait_for(|told| told.taken_over).await;
    }

    /// Waits until no new connections are to be accepted.
    pub async fn not_accepting(&mut self) {
        self.wait_for(|told| told.taken_over || told.phase >= Phase::Closing).await;
    }

    /// Waits until connections that carry nothing are to be closed.
    pub async fn closing(&mut self) {
        self.wait_for(|told| told.phase >= Phase::Closing).await;
    }

    async fn wait_for(&mut self, is_so: impl FnMut(&Told) -> bool) {
        // An error means that the sender is gone, and with it the process's owner: end too.
        drop(self.0.wait_for(is_so).await);
    }
}
