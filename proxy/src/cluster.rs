//! Follows a cluster: which APIs are served, and which pods have their replicas.
//!
//! The API server may be away for as long as it likes: what was known goes on.

use crate::admin::IsReady;
use crate::config::{ClusterSettings, GatewayApi};
use crate::discover::Gates;
use crate::in_force::InForce;
use crate::keys::KeyFile;
use crate::metrics::discovery::DiscoveryMetrics;
use prometheus::{IntCounter, Registry};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tidegate_api::endpoints::EndpointsFile;
use tidegate_kubernetes::failure::Tell;
use tidegate_kubernetes::serving::{Plan, Serving};
use tidegate_kubernetes::watch::{Scope, Stores, Watched, watch_replicas};
use tokio::sync::watch;

/// The least time between two looks: in a rollout the cluster changes many times a second.
const LEAST_BETWEEN: Duration = Duration::from_millis(50);
/// How soon a file of keys that could not be read is looked for again.
const READ_AGAIN: Duration = Duration::from_secs(5);

/// A cluster that is followed.
pub struct Cluster {
    settings: ClusterSettings,
    gates: watch::Receiver<Gates>,
    metrics: DiscoveryMetrics,
    failures: IntCounter,
    serving: Serving,
    /// What the last look was at: the shape of the cluster, and the gates.
    looked: Option<(u64, Gates)>,
    plan: Plan,
    /// What was told last of each API.
    served: HashMap<String, GatewayApi>,
    /// What is wrong with which resource.
    faults: BTreeMap<String, String>,
    /// Whether a file of keys is among that.
    is_unreadable: bool,
    plans: watch::Sender<Option<Planned>>,
    endpoints: watch::Sender<EndpointsFile>,
}

/// What is to be served.
#[derive(Debug, Clone)]
struct Planned {
    apis: Vec<GatewayApi>,
    /// What is wrong with other resources.
    fault: Option<String>,
}

/// What is to be served, one plan after the other.
pub struct Plans {
    told: watch::Receiver<Option<Planned>>,
    in_force: Arc<InForce>,
    fault: Option<String>,
    /// Whether one was told.
    any: bool,
    /// Whether one is in force.
    ready: Arc<AtomicBool>,
}

/// Where the replicas are, one list after the other.
pub struct FoundEndpoints(watch::Receiver<EndpointsFile>);

// === impl Cluster ===

impl Cluster {
    /// One of which nothing is known yet.
    ///
    /// # Errors
    /// If its metrics are registered already.
    pub fn new(
        settings: ClusterSettings,
        gates: watch::Receiver<Gates>,
        registry: &Registry,
        failures: IntCounter,
    ) -> prometheus::Result<Self> {
        Ok(Self {
            settings,
            gates,
            metrics: DiscoveryMetrics::register(registry)?,
            failures,
            serving: Serving::default(),
            looked: None,
            plan: Plan::default(),
            served: HashMap::new(),
            faults: BTreeMap::new(),
            is_unreadable: false,
            plans: watch::channel(None).0,
            endpoints: watch::channel(EndpointsFile::default()).0,
        })
    }

    /// Hears what is to be served; and whether any of it is in force yet.
    pub fn plans(&self, in_force: Arc<InForce>) -> (Plans, IsReady) {
        let ready = Arc::new(AtomicBool::new(false));
        let told = self.plans.subscribe();
        let plans = Plans { told, in_force, fault: None, any: false, ready: Arc::clone(&ready) };
        (plans, Arc::new(move || ready.load(Ordering::Acquire)))
    }

    /// Hears where the replicas are.
    pub fn endpoints(&self) -> FoundEndpoints {
        FoundEndpoints(self.endpoints.subscribe())
    }

    /// Follows the cluster until dropped.
    pub async fn run(mut self) {
        let connection = match self.settings.found.clone().connect() {
            Ok(connection) => connection,
            Err(error) => return tracing::error!(%error, "the cluster can't be followed"),
        };
        tracing::info!(server = connection.server, "follows a cluster");
        let metrics = self.metrics.clone();
        let tell: Tell = Arc::new(move |what, code| metrics.failed(what, code));
        let scope = Scope {
            namespace: self.settings.namespace.clone(),
            pods: self.settings.pods.clone(),
            gateway_namespace: String::new(),
            gateways: String::new(),
        };
        let watched = Arc::new(Watched::default());
        let (client, by) = (connection.client, self.settings.discovery);
        let follows = watch_replicas(client, scope, by, Arc::clone(&watched), tell);
        tokio::select! {
            never = follows => match never {},
            never = self.look_on(&watched) => match never {},
        }
    }

    async fn look_on(&mut self, watched: &Watched) -> Infallible {
        let mut changes = watched.changes();
        loop {
            changes.mark_unchanged();
            self.gates.mark_unchanged();
            if watched.read(Stores::are_known) {
                self.look(watched);
            }
            tokio::time::sleep(LEAST_BETWEEN).await;
            tokio::select! {
                Ok(()) = changes.changed() => {}
                Ok(()) = self.gates.changed() => {}
                () = tokio::time::sleep(READ_AGAIN), if self.is_unreadable => {}
            }
        }
    }

    fn look(&mut self, watched: &Watched) {
        self.metrics.synced.set(1);
        let gates = Arc::clone(&self.gates.borrow());
        let shape = watched.read(|stores| stores.shape);
        let is_as_before =
            |(looked, at): &(u64, Gates)| *looked == shape && Arc::ptr_eq(at, &gates);
        if !self.is_unreadable && self.looked.as_ref().is_some_and(is_as_before) {
            return;
        }
        self.looked = Some((shape, Arc::clone(&gates)));
        let serving = &mut self.serving;
        let (plan, endpoints) = watched.read(|stores| {
            let plan = serving.plan(stores);
            (plan, serving.endpoints(stores, |name| gates.contains_key(name)))
        });
        if plan.is_some() || self.is_unreadable {
            let is_new = plan.is_some();
            self.plan = plan.unwrap_or_else(|| std::mem::take(&mut self.plan));
            self.tell(is_new);
        }
        self.endpoints.send_if_modified(|known| {
            let is_new = *known != endpoints;
            *known = endpoints;
            is_new
        });
    }

    /// Tells what is to be served, if that has changed, and what is wrong, once.
    fn tell(&mut self, is_new: bool) {
        let mut faults = BTreeMap::new();
        for fault in &self.plan.faults {
            faults.insert(fault.key.to_string(), fault.what.clone());
        }
        let mut apis: Vec<GatewayApi> = Vec::new();
        self.is_unreadable = false;
        for document in &self.plan.apis {
            let api = GatewayApi::from_document(document);
            let read = api.keys.clone().map_or(Ok(()), |path| KeyFile::read(path).map(drop));
            let Err(error) = read else {
                apis.push(api);
                continue;
            };
            self.is_unreadable = true;
            let file = api.keys.as_ref().map(|path| path.display().to_string());
            let what = format!(
                "can't use {} (spec.access.apiKeys.file): {error}",
                file.unwrap_or_default()
            );
            faults.insert(api.name.clone(), what);
            apis.extend(self.served.get(&api.name).cloned());
        }
        let names: HashSet<String> = apis.iter().map(|api| api.name.clone()).collect();
        for GatewayApi { cold_start, .. } in &mut apis {
            cold_start.fallback.take_if(|of| !names.contains(&of.api));
        }
        let kept = faults.keys().filter(|api| names.contains(*api)).count();
        self.metrics.counted(apis.len() - kept, kept, faults.len() - kept);
        for (api, what) in &faults {
            if self.faults.get(api) != Some(what) {
                self.failures.inc();
                let kept = names.contains(api);
                tracing::warn!(api, kept, what, "can't serve an API as its resource says");
            }
        }
        if !is_new && faults == self.faults {
            return;
        }
        let texts: Vec<String> =
            faults.iter().map(|(api, what)| format!("{api}: {what}")).collect();
        let fault = (!texts.is_empty()).then(|| texts.join("\n"));
        self.faults = faults;
        self.served = apis.iter().map(|api| (api.name.clone(), api.clone())).collect();
        self.plans.send_replace(Some(Planned { apis, fault }));
    }
}

// === impl Plans ===

impl Plans {
    /// What is to be served from now on. Called again when that is in force.
    pub async fn next(&mut self) -> Vec<GatewayApi> {
        self.ready.fetch_or(self.any, Ordering::AcqRel);
        if let Some(fault) = self.fault.take() {
            self.in_force.keeps(&fault);
        }
        loop {
            if self.told.changed().await.is_err() {
                pending().await
            }
            let planned = self.told.borrow_and_update().clone();
            if let Some(Planned { apis, fault }) = planned {
                (self.fault, self.any) = (fault, true);
                return apis;
            }
        }
    }
}

// === impl FoundEndpoints ===

impl FoundEndpoints {
    /// Where the replicas are, as soon as it is somewhere else.
    pub async fn next(&mut self) -> EndpointsFile {
        if self.0.changed().await.is_err() {
            pending().await
        }
        self.0.borrow_and_update().clone()
    }
}
