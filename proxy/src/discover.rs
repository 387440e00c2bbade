//! Adds, drains and removes a gateway's endpoints, as it is told where they are and as documents say it, and
//! takes over the weights that are told.

use crate::endpoint::Endpoint;
use crate::gate::Gate;
use crate::health::{self, Schedule};
use crate::names::Names;
use crate::policy::slots::{SlotId, Usability};
use crate::probe::Probe;
use crate::socket::Address;
use crate::split::WeightsInForce;
use crate::threads::Threads;
use crate::vacancy;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tidegate_api::document::{DnsName, Endpoints, EndpointsAt};
use tidegate_api::endpoints::{EndpointEntry, EndpointState, EndpointsFile};
use tidegate_api::names::path;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// Connections kept idle for each endpoint and worker at the most.
const MAX_IDLE: usize = 256;

/// How a gateway asks an endpoint: its sidecar, if it is known where that listens.
fn schedule(probe: Probe) -> Schedule {
    Schedule {
        probe,
        period: Duration::from_millis(250),
        timeout: Duration::from_secs(1),
        failure_threshold: 1,
    }
}

/// What endpoints are found for: all APIs, by name.
pub type Gates = Arc<HashMap<String, Reached>>;

/// An API as its endpoints see it.
#[derive(Clone)]
pub struct Reached {
    /// Where its requests wait.
    pub gate: Arc<Gate>,
    /// Where its document says that they are.
    pub said: Option<Said>,
}

/// What a document says of an API's endpoints.
#[derive(Debug, Clone)]
pub struct Said {
    /// Where they are.
    pub endpoints: Endpoints,
    /// How many requests each is given at once.
    pub concurrency: u32,
}

/// The endpoints of all APIs of a gateway.
pub struct Discovery {
    /// What was told last.
    listed: EndpointsFile,
    names: Names,
    told: watch::Receiver<Gates>,
    gates: Gates,
    weights: WeightsInForce,
    workers: usize,
    threads: Threads,
    known: HashMap<(String, String), Known>,
    probes: JoinSet<()>,
}

struct Known {
    slot: SlotId,
    entry: EndpointEntry,
    /// Whether its own port is asked, where there is no other.
    asks_port: bool,
    probe: Option<AbortHandle>,
}

/// What is to be there: by API and id, with whether an endpoint's own port is asked.
type Wanted = HashMap<(String, String), (EndpointEntry, bool)>;

// === impl Discovery ===

impl Discovery {
    /// None yet, for these gates; weights go to `weights`.
    pub fn new(
        told: watch::Receiver<Gates>,
        weights: WeightsInForce,
        (workers, threads): (usize, Threads),
        names: Names,
    ) -> Self {
        let (known, probes, listed) = (HashMap::new(), JoinSet::new(), EndpointsFile::default());
        let gates = Gates::default();
        Self { listed, names, told, gates, weights, workers, threads, known, probes }
    }

    /// Begins with what is listed already. Its weights are in force when this returns: no request may come
    /// before them, and go to a version that gets nothing any more.
    pub fn begin(&mut self, listed: EndpointsFile) {
        self.weights.store(Arc::new(listed.weights.clone()));
        self.listed = listed;
    }

    /// Follows what `next` says and what documents say, until dropped.
    pub async fn run(mut self, mut next: impl AsyncFnMut() -> EndpointsFile) {
        // What is listed and what documents say is known already; nothing else may ever be told.
        self.apply();
        loop {
            let mut coming = pin!(next());
            self.listed = loop {
                tokio::select! {
                    file = &mut coming => break file,
                    // An API whose endpoints were known before it was.
                    Ok(()) = self.told.changed() => {}
                    () = self.names.changed() => {}
                }
                self.apply();
            };
            self.apply();
        }
    }

    /// What the file and the documents say together; the file's word counts where both know an endpoint.
    fn wanted(&self) -> Wanted {
        let mut wanted = HashMap::new();
        for (api, reached) in &*self.gates {
            let Some(Said { endpoints, concurrency }) = &reached.said else { continue };
            let addresses = match &endpoints.at {
                EndpointsAt::Addresses(addresses) => addresses.iter().copied().collect(),
                EndpointsAt::Dns(name) => self.names.found(name),
            };
            for address in addresses {
                let port = endpoints.admin_port;
                let entry = EndpointEntry {
                    id: address.to_string(),
                    address,
                    admin: port.map(|port| SocketAddr::new(address.ip(), port.get())),
                    concurrency: *concurrency,
                    state: EndpointState::Active,
                };
                wanted.insert((api.clone(), entry.id.clone()), (entry, true));
            }
        }
        for (api, entries) in &self.listed.apis {
            if self.gates.contains_key(api) {
                let entry = |entry: &EndpointEntry| {
                    ((api.clone(), entry.id.clone()), (entry.clone(), false))
                };
                wanted.extend(entries.iter().map(entry));
            }
        }
        wanted
    }

    fn apply(&mut self) {
        self.gates = Arc::clone(&self.told.borrow_and_update());
        self.names.follow(&names(&self.gates).collect());
        while self.probes.try_join_next().is_some() {}
        let weights = &self.listed.weights;
        if self.weights.load().as_ref() != weights {
            tracing::info!(?weights, "weights in force");
            self.weights.store(Arc::new(weights.clone()));
        }
        let wanted = self.wanted();
        let gone: Vec<_> =
            self.known.keys().filter(|key| !wanted.contains_key(*key)).cloned().collect();
        for key in gone {
            self.remove(&key);
        }
        for (key, (entry, asks_port)) in wanted {
            match self.known.get(&key) {
                Some(known) if known.entry == entry && known.asks_port == asks_port => {}
                Some(known) if entry.state == EndpointState::Draining => {
                    if let Some(probe) = &known.probe {
                        probe.abort();
                    }
                    if let Some(reached) = self.gates.get(&key.0) {
                        reached.gate.drain(known.slot);
                    }
                    tracing::info!(api = key.0, endpoint = key.1, "endpoint drains");
                    self.known.entry(key).and_modify(|known| known.entry = entry);
                }
                Some(_) => {
                    self.remove(&key);
                    self.add(key, entry, asks_port);
                }
                None if entry.state == EndpointState::Draining => {}
                None => self.add(key, entry, asks_port),
            }
        }
    }

    fn add(&mut self, key: (String, String), entry: EndpointEntry, asks_port: bool) {
        let Some(Reached { gate, .. }) = self.gates.get(&key.0) else { return };
        let max_idle =
            usize::try_from(entry.concurrency).map_or(MAX_IDLE, |limit| limit.clamp(1, MAX_IDLE));
        let endpoint =
            Arc::new(Endpoint::new(entry.id.clone(), entry.address.into(), self.workers, max_idle));
        let slot = gate.add(Arc::clone(&endpoint), entry.concurrency, Usability::Unusable);
        tracing::info!(api = key.0, endpoint = key.1, address = %entry.address, "endpoint added");
        let (gate, threads) = (Arc::clone(gate), self.threads.clone());
        let address = Address::from(entry.admin.unwrap_or(entry.address));
        let schedule = schedule(match entry.admin {
            Some(_) => Probe::Http(path::READYZ.to_owned()),
            None if asks_port => Probe::Tcp,
            None => Probe::None,
        });
        let probe = self.probes.spawn(async move {
            let changed = |ready| {
                let usability = if ready { Usability::Usable } else { Usability::Unusable };
                gate.set_usability(slot, usability);
            };
            let (told, full, asked) = (Arc::clone(&gate), Arc::clone(&endpoint), address.clone());
            let room = async {
                // Only a sidecar tells. Who waits for its word is on a worker's thread.
                if entry.admin.is_some() {
                    let said = move |load, pass| told.has_room(slot, load, pass);
                    let watch = async move { vacancy::watch(&full, &asked, said).await };
                    threads.run(slot.index(), watch).await;
                }
            };
            let health = health::watch(&endpoint, &address, &schedule, changed);
            tokio::join!(health, endpoint.sweep(), room);
        });
        self.known.insert(key, Known { slot, entry, asks_port, probe: Some(probe) });
    }

    fn remove(&mut self, key: &(String, String)) {
        let Some(known) = self.known.remove(key) else { return };
        if let Some(probe) = known.probe {
            probe.abort();
        }
        if let Some(reached) = self.gates.get(&key.0) {
            reached.gate.remove(known.slot);
        }
        tracing::info!(api = key.0, endpoint = key.1, "endpoint removed");
    }
}

/// The names that documents give.
fn names(gates: &Gates) -> impl Iterator<Item = &DnsName> {
    let said = gates.values().filter_map(|reached| reached.said.as_ref());
    said.filter_map(|said| match &said.endpoints.at {
        EndpointsAt::Dns(name) => Some(name),
        EndpointsAt::Addresses(_) => None,
    })
}
