//! The phases of a process's end, told to everything that must know.

use std::sync::Arc;
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
    /// The time is over: who still waits is told so, and then all is cut off.
    Over,
}

/// What is told.
#[derive(Debug, Clone, Copy)]
struct Told {
    phase: Phase,
    /// Another process has the listening sockets.
    taken_over: bool,
}

/// Moves a process through the phases. Clones move the same process.
#[derive(Debug, Clone)]
pub struct Drain {
    told: Arc<watch::Sender<Told>>,
    settings: DrainSettings,
}

/// How a process drains.
#[derive(Debug, Clone, Default)]
pub struct DrainSettings {
    /// From announcing to closing.
    pub delay: Duration,
    /// From closing to cutting off.
    pub timeout: Duration,
    /// What opens the admin page that drains; nothing where there is none.
    pub token: Option<String>,
}

/// Sees the phases.
#[derive(Debug, Clone)]
pub struct DrainWatch(watch::Receiver<Told>);

// === impl Drain ===

impl Drain {
    /// A process that serves.
    pub fn new(settings: DrainSettings) -> Self {
        let told = Told { phase: Phase::Serving, taken_over: false };
        Self { told: Arc::new(watch::Sender::new(told)), settings }
    }

    /// How it drains.
    pub fn settings(&self) -> &DrainSettings {
        &self.settings
    }

    /// Something that sees the phases.
    pub fn watch(&self) -> DrainWatch {
        DrainWatch(self.told.subscribe())
    }

    /// Whether the end was announced.
    pub fn is_draining(&self) -> bool {
        self.told.borrow().phase >= Phase::Announced
    }

    /// Announces the end, and after the delay closes. Where another process has the listening
    /// sockets, new connections are its own at once, and the delay serves to tell the clients on
    /// the connections that are open. Where it has begun already, only waits until it is closed.
    pub async fn begin(&self, taken_over: bool) {
        let mut is_first = false;
        self.told.send_modify(|told| {
            is_first = told.phase == Phase::Serving;
            told.phase = told.phase.max(Phase::Announced);
            told.taken_over |= taken_over;
        });
        if !is_first {
            return self.watch().closing().await;
        }
        tokio::time::sleep(self.settings.delay).await;
        self.told.send_modify(|told| told.phase = told.phase.max(Phase::Closing));
    }

    /// Says that nobody may wait any longer.
    pub fn end_waiting(&self) {
        self.told.send_modify(|told| told.phase = Phase::Over);
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

    /// Whether anything was told since this watch was made.
    pub fn has_news(&self) -> bool {
        // An error means that the owner is gone, which is news too.
        self.0.has_changed().unwrap_or(true)
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

    /// Waits for what takes its time, as long as anybody may wait.
    pub async fn while_waiting<T>(&self, waiting: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            output = waiting => Some(output),
            () = self.clone().over() => None,
        }
    }

    async fn over(mut self) {
        self.wait_for(|told| told.phase >= Phase::Over).await;
    }

    async fn wait_for(&mut self, is_so: impl FnMut(&Told) -> bool) {
        // An error means that the sender is gone, and with it the process's owner: end too.
        drop(self.0.wait_for(is_so).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_beginning_waits_for_the_first_and_never_goes_back() {
        let drain = Drain::new(DrainSettings {
            delay: Duration::from_millis(20),
            ..DrainSettings::default()
        });
        let (first, second) = (drain.clone(), drain.clone());
        let mut seen = drain.watch();
        let both = async { tokio::join!(first.begin(false), second.begin(false)) };
        both.await;
        seen.closing().await;
        // A third one, long after, finds all done.
        drain.begin(false).await;
        assert_eq!(drain.told.borrow().phase, Phase::Closing);
    }
}
