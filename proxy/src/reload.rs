//! Follows the file of live settings: as it changes, and on SIGHUP.

use crate::config::{file, shown};
use crate::error::StartError;
use crate::file_watch::{FileWatch, SETTLE};
use crate::gate::{Gate, LiveSettings};
use crate::hangup::Hangup;
use crate::in_force::InForce;
use crate::policy::slots::SlotId;
use prometheus::IntCounter;
use std::path::PathBuf;
use std::sync::Arc;

/// Follows one file for the gate of one endpoint.
pub struct Reload {
    file: Option<(PathBuf, FileWatch)>,
    flags: LiveSettings,
    gate: Arc<Gate>,
    slot: SlotId,
    current: LiveSettings,
    in_force: Arc<InForce>,
    failures: IntCounter,
}

// === impl Reload ===

impl Reload {
    /// Applies the flags, and what is in the file if it is there.
    ///
    /// # Errors
    /// If the file can't be used or its folder can't be watched.
    pub fn start(
        file: Option<PathBuf>,
        flags: LiveSettings,
        gate: Arc<Gate>,
        slot: SlotId,
        in_force: Arc<InForce>,
        failures: IntCounter,
    ) -> Result<Self, StartError> {
        let file = match file {
            Some(file) => {
                let watch = FileWatch::new(&file)?;
                Some((file, watch))
            }
            None => None,
        };
        let mut current = flags;
        if let Some((file, _)) = &file {
            let path = || file.display().to_string();
            let read = file::read(file, &flags);
            let read = read.map_err(|what| StartError::Config { path: path(), what })?;
            if read.is_none() {
                tracing::warn!(
                    file = path(),
                    "no settings there yet; the flags count until there are"
                );
            }
            current = read.unwrap_or(flags);
        }
        gate.apply(slot, &current);
        in_force.took(&shown::live(&current));
        Ok(Self { file, flags, gate, slot, current, in_force, failures })
    }

    /// Follows the file until dropped. One that is missing or wrong changes nothing, and a warning
    /// says why.
    pub async fn run(mut self) {
        let mut hangup = Hangup::listen();
        let mut complaint = None;
        loop {
            let mut hung_up = false;
            match &mut self.file {
                Some((_, watch)) => tokio::select! {
                    () = watch.changed() => {}
                    () = hangup.next() => hung_up = true,
                },
                None => {
                    hangup.next().await;
                    tracing::info!("got SIGHUP, but there is no --config to read again");
                }
            }
            if !hung_up && self.may_be_half_written() {
                tokio::time::sleep(SETTLE).await;
            }
            self.read(hung_up, &mut complaint);
        }
    }

    /// Whether something would go back to what its flag says: who writes a file in place empties it first.
    fn may_be_half_written(&mut self) -> bool {
        let Some((file, watch)) = &mut self.file else { return false };
        watch.reading();
        let read = file::read(file, &self.flags);
        read.is_ok_and(|read| read.is_some_and(|new| new.goes_back(&self.current, &self.flags)))
    }

    fn read(&mut self, asked: bool, complaint: &mut Option<String>) {
        let Some((file, watch)) = &mut self.file else { return };
        watch.reading();
        let path = file.display();
        match file::read(file, &self.flags) {
            Ok(Some(live)) => {
                *complaint = None;
                self.in_force.is_as_before();
                if live != self.current {
                    self.current = live;
                    self.gate.apply(self.slot, &live);
                    self.in_force.took(&shown::live(&live));
                    tracing::info!(file = %path, ?live, "settings changed");
                } else if asked {
                    tracing::info!(file = %path, "settings read again, nothing changed");
                }
            }
            Ok(None) if asked => {
                tracing::warn!(file = %path, "got SIGHUP, but the settings are not there; keeping what was");
            }
            // It may be about to be replaced.
            Ok(None) => {}
            Err(error) => {
                // Said once for each fault, not at each look.
                if asked || complaint.as_ref() != Some(&error) {
                    self.failures.inc();
                    self.in_force.keeps(&error);
                    tracing::warn!(%error, file = %path, "can't use the settings; keeping what was");
                }
                *complaint = Some(error);
            }
        }
    }
}
