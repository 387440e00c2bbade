//! Ctrl-C and SIGTERM, counted: the first asks to stop, the second to stop at once.

use crate::exit;
use anyhow::{Context, Result};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Runs a command until it is done, or until the first signal ends it.
pub(crate) fn until_interrupted(
    command: impl Future<Output = Result<ExitCode>>,
) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let signals = Signals::listen()?;
        tokio::select! {
            done = command => done,
            () = signals.first() => Ok(exit::interrupted()),
        }
    })
}

/// Counts signals for as long as it lives.
#[derive(Debug)]
pub(crate) struct Signals {
    count: watch::Receiver<u32>,
    _listener: JoinSet<()>,
}

impl Signals {
    /// From now on signals no longer end the process by themselves.
    pub(crate) fn listen() -> Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt()).context("can't listen for Ctrl-C")?;
        let mut terminate = signal(SignalKind::terminate()).context("can't listen for SIGTERM")?;
        let (sender, count) = watch::channel(0);
        let mut listener = JoinSet::new();
        listener.spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                sender.send_modify(|count| *count += 1);
            }
        });
        Ok(Self { count, _listener: listener })
    }

    /// Waits for the first signal; at once if it has come already.
    pub(crate) async fn first(&self) {
        self.at_least(1).await;
    }

    /// Waits for the second signal.
    pub(crate) async fn second(&self) {
        self.at_least(2).await;
    }

    /// Whether a signal has come.
    pub(crate) fn came(&self) -> bool {
        *self.count.borrow() > 0
    }

    async fn at_least(&self, wanted: u32) {
        let mut count = self.count.clone();
        if count.wait_for(|count| *count >= wanted).await.is_err() {
            // The listener lives as long as `self`; if it were gone, no signal could come.
            std::future::pending::<()>().await;
        }
    }
}
