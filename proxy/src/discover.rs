//! Adds, drains and removes a gateway's endpoints, as it is told where they are, and takes over the weights
//! that are told with them.

use crate::endpoint::Endpoint;
use crate::gate::Gate;
use crate::health::{self, Schedule};
use crate::policy::slots::{SlotId, Usability};
use crate::probe::Probe;
use crate::socket::Address;
use crate::split::WeightsInForce;
use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tidegate_api::endpoints::{EndpointEntry, EndpointState, EndpointsFile};
use tidegate_api::names::path;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// Connections kept idle for each endpoint and worker at the most.
const MAX_IDLE: usize = 256;

/// How a gateway asks a sidecar.
fn schedule(probed: bool) -> Schedule {
    Schedule {
        probe: if probed { Probe::Http(path::READYZ.to_owned()) } else { Probe::None },
        period: Duration::from_millis(250),
        timeout: Duration::from_secs(1),
        failure_threshold: 1,
    }
}

/// The gates of all APIs, by name.
pub type Gates = Arc<HashMap<String, Arc<Gate>>>;

/// The endpoints of all APIs of a gateway.
pub struct Discovery {
    told: watch::Receiver<Gates>,
    gates: Gates,
    weights: WeightsInForce,
    workers: usize,
    known: HashMap<(String, String), Known>,
    probes: JoinSet<()>,
}

struct Known {
    slot: SlotId,
    entry: EndpointEntry,
    probe: Option<AbortHandle>,
}

// === impl Discovery ===

impl Discovery {
    /// None yet, for these gates; weights go to `weights`.
    pub fn new(told: watch::Receiver<Gates>, weights: WeightsInForce, workers: usize) -> Self {
        let (known, probes) = (HashMap::new(), JoinSet::new());
        Self { told, gates: Gates::default(), weights, workers, known, probes }
    }

    /// Follows what `next` says, until dropped.
    pub async fn run(mut self, mut next: impl AsyncFnMut() -> EndpointsFile) {
        let mut now = EndpointsFile::default();
        loop {
            let mut coming = pin!(next());
            now = loop {
                tokio::select! {
                    file = &mut coming => break file,
                    // An API whose endpoints were known before it was.
                    Ok(()) = self.told.changed() => self.apply(&now),
                }
            };
            self.apply(&now);
        }
    }

    fn apply(&mut self, file: &EndpointsFile) {
        self.gates = Arc::clone(&self.told.borrow_and_update());
        while self.probes.try_join_next().is_some() {}
        if *self.weights.load().as_ref() != file.weights {
            tracing::info!(weights = ?file.weights, "weights in force");
            self.weights.store(Arc::new(file.weights.clone()));
        }
        let mut wanted = HashMap::new();
        for (api, entries) in &file.apis {
            if self.gates.contains_key(api) {
                let key = |entry: &EndpointEntry| (api.clone(), entry.id.clone());
                wanted.extend(entries.iter().map(|entry| (key(entry), entry.clone())));
            }
        }
        let gone: Vec<_> =
            self.known.keys().filter(|key| !wanted.contains_key(*key)).cloned().collect();
        for key in gone {
            self.remove(&key);
        }
        for (key, entry) in wanted {
            match self.known.get(&key) {
                Some(known) if known.entry == entry => {}
                Some(known) if entry.state == EndpointState::Draining => {
                    if let Some(probe) = &known.probe {
                        probe.abort();
                    }
                    if let Some(gate) = self.gates.get(&key.0) {
                        gate.drain(known.slot);
                    }
                    tracing::info!(api = key.0, endpoint = key.1, "endpoint drains");
                    self.known.entry(key).and_modify(|known| known.entry = entry);
                }
                Some(_) => {
                    self.remove(&key);
                    self.add(key, entry);
                }
                None if entry.state == EndpointState::Draining => {}
                None => self.add(key, entry),
            }
        }
    }

    fn add(&mut self, key: (String, String), entry: EndpointEntry) {
        let Some(gate) = self.gates.get(&key.0) else { return };
        let max_idle =
            usize::try_from(entry.concurrency).map_or(MAX_IDLE, |limit| limit.clamp(1, MAX_IDLE));
        let endpoint =
            Arc::new(Endpoint::new(entry.id.clone(), entry.address.into(), self.workers, max_idle));
        let slot = gate.add(Arc::clone(&endpoint), entry.concurrency, Usability::Unusable);
        tracing::info!(api = key.0, endpoint = key.1, address = %entry.address, "endpoint added");
        let gate = Arc::clone(gate);
        let (address, probed) =
            (Address::from(entry.admin.unwrap_or(entry.address)), entry.admin.is_some());
        let probe = self.probes.spawn(async move {
            let changed = |ready| {
                let usability = if ready { Usability::Usable } else { Usability::Unusable };
                gate.set_usability(slot, usability);
            };
            let schedule = schedule(probed);
            tokio::join!(health::watch(&endpoint, &address, &schedule, changed), endpoint.sweep());
        });
        self.known.insert(key, Known { slot, entry, probe: Some(probe) });
    }

    fn remove(&mut self, key: &(String, String)) {
        let Some(known) = self.known.remove(key) else { return };
        if let Some(probe) = known.probe {
            probe.abort();
        }
        if let Some(gate) = self.gates.get(&key.0) {
            gate.remove(known.slot);
        }
        tracing::info!(api = key.0, endpoint = key.1, "endpoint removed");
    }
}
