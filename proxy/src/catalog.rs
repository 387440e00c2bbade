//! What a gateway serves: made of its documents, and made anew as they change, while requests run.
//!
//! A change is taken as a whole or not at all. An API that stays keeps its gate and its counts, so
//! nobody loses a place in line. One that goes is led to no more; its endpoints serve what has come
//! already, and then it is forgotten.

mod told;

pub use told::{Teller, Told};

use crate::access::{Access, Limiter, Spent};
use crate::classify::Classifier;
use crate::clock;
use crate::config::{GatewayApi, shown};
use crate::discover::{Gates, Reached, Said};
use crate::error::{StartError, chain};
use crate::gate::Gate;
use crate::in_force::InForce;
use crate::keys::KeyFile;
use crate::metrics::GateCollector;
use crate::metrics::endpoints::EndpointCollector;
use crate::metrics::shadow::ShadowMetrics;
use crate::metrics::traffic::{ReadWeights, TrafficCollector};
use crate::overview;
use crate::policy::models::Target;
use crate::policy::overload::QueueOrder;
use crate::rewrite::UpstreamProtocol;
use crate::service::{Lead, Routes, Service, Services, Terms};
use crate::split::WeightsInForce;
use crate::wake::{self, WakeSettings};
use arc_swap::ArcSwap;
use http::HeaderName;
use prometheus::{IntCounter, Registry};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

mod refused;
mod splits;

use refused::{Refused, again};

/// How often it is looked whether an API that goes has served what it held.
const LOOK_PERIOD: Duration = Duration::from_millis(100);

/// What all APIs of a gateway have in common.
pub struct Common {
    /// Where metrics are registered.
    pub registry: Registry,
    /// What reads the gates for the page of metrics.
    pub gates: GateCollector,
    /// What reads their endpoints for it.
    pub endpoints: EndpointCollector,
    /// What reads how requests are split for it.
    pub traffic: TrafficCollector,
    /// The weights that count instead of the documents'.
    pub weights: WeightsInForce,
    /// Counts copies of requests.
    pub shadows: ShadowMetrics,
    /// What is read of heads.
    pub classifier: Arc<Classifier>,
    /// Which header names the tenant.
    pub tenant_header: Option<HeaderName>,
    /// In which order one tenant's requests are served.
    pub order: QueueOrder,
    /// Whether the tokens of all APIs' answers are counted.
    pub llm: bool,
    /// The autoscaler.
    pub wake: Option<Arc<WakeSettings>>,
    /// Counts files that could not be used.
    pub failures: IntCounter,
    /// Where it is shown what is served.
    pub in_force: Arc<InForce>,
}

/// What a gateway serves.
pub struct Catalog {
    common: Common,
    spent: Arc<Spent>,
    apis: HashMap<String, Served>,
    keys: HashMap<PathBuf, Followed>,
    /// APIs of which copies are counted.
    shadowed: BTreeSet<String>,
    routes: Arc<ArcSwap<Routes>>,
    services: Arc<Services>,
    gates: watch::Sender<Gates>,
    tasks: JoinSet<()>,
}

/// One API.
struct Served {
    service: Arc<Service>,
    /// What its document says of its endpoints, now or at last.
    said: Option<Said>,
    /// What goes on beside its requests.
    attendants: Vec<AbortHandle>,
    /// Whether nothing leads to it any more.
    is_leaving: bool,
}

/// A file of keys.
struct Followed {
    file: Arc<KeyFile>,
    follower: Option<AbortHandle>,
}

// === impl Catalog ===

impl Catalog {
    /// One that serves nothing.
    pub fn new(common: Common) -> Self {
        Self {
            common,
            spent: Arc::new(Spent::new(clock::now())),
            apis: HashMap::new(),
            keys: HashMap::new(),
            shadowed: BTreeSet::new(),
            routes: Arc::new(ArcSwap::from_pointee(Target::table(Vec::new()))),
            services: Arc::default(),
            gates: watch::channel(Gates::default()).0,
            tasks: JoinSet::new(),
        }
    }

    /// Which requests are whose, now and at any later time.
    pub fn routes(&self) -> Arc<ArcSwap<Routes>> {
        Arc::clone(&self.routes)
    }

    /// The APIs by name, now and at any later time.
    pub fn services(&self) -> Arc<Services> {
        Arc::clone(&self.services)
    }

    /// The gates, now and at any later time.
    pub fn gates(&self) -> watch::Receiver<Gates> {
        self.gates.subscribe()
    }

    /// Serves these APIs from now on, and no others.
    ///
    /// # Errors
    /// If a file of keys can't be used, an API is named twice, or one is split among others that are not
    /// there, or falls back to one. Then nothing has changed.
    pub fn apply(&mut self, apis: Vec<GatewayApi>) -> Result<(), StartError> {
        let keys = self.key_files(&apis)?;
        splits::check(&apis)?;
        let known: Arc<[_]> = keys.values().map(|followed| Arc::clone(&followed.file)).collect();
        let (mut served, mut said) = (HashMap::new(), HashMap::new());
        let mut routed = Vec::new();
        let mut made: Vec<Arc<Service>> = Vec::new();
        let shown = shown::apis(&apis);
        let (split, whole) = apis.into_iter().partition(|api| api.split.is_some());
        let (split, whole): (Vec<GatewayApi>, Vec<GatewayApi>) = (split, whole);
        for api in whole {
            let own = api.keys.as_ref().and_then(|path| keys.get(path));
            let access = self.access(&api, own, &known);
            let before = self.apis.get(&api.name);
            let service = match before {
                Some(before) => Ok(before.service.changed(terms(&api), access)),
                None => self.common.service(&api, access),
            };
            let service = match service {
                Ok(service) => Arc::new(service),
                Err(error) => {
                    made.iter().for_each(|service| self.common.forget(service));
                    return Err(error);
                }
            };
            if before.is_none() {
                made.push(Arc::clone(&service));
            }
            if let Some(endpoints) = api.endpoints.clone() {
                let concurrency = api.concurrency;
                said.insert(api.name.clone(), Said { endpoints, concurrency });
            }
            served.insert(api.name.clone(), Arc::clone(&service));
            routed.push((api, Lead::Api(service)));
        }
        routed.extend(split.into_iter().filter_map(|mut api| {
            let settings = api.split.take()?;
            let split = self.common.split(&api.name, settings, &served);
            Some((api, Lead::Split(Arc::new(split))))
        }));
        self.swap(served, said, routed, keys);
        self.common.in_force.took(&shown);
        Ok(())
    }

    /// Wakes, follows, and forgets what has gone. Takes what is to be served from `told`, as it
    /// comes, until dropped.
    pub async fn run(mut self, mut told: impl AsyncFnMut() -> Told) {
        let mut refused: Option<Refused> = None;
        loop {
            self.attend();
            let mut coming = pin!(told());
            let (Told { apis, answer }, before) = loop {
                let is_leaving = self.apis.values().any(|served| served.is_leaving);
                tokio::select! {
                    told = &mut coming => break (told, None),
                    (apis, before) = again(&mut refused), if refused.is_some() => {
                        break (Told::unasked(apis), before);
                    }
                    () = tokio::time::sleep(LOOK_PERIOD), if is_leaving => self.forget_idle(),
                }
            };
            let (applied, is_asked) = (self.apply(apis.clone()), answer.is_some());
            if let Some(answer) = answer {
                // Who asked may have left.
                answer.send(applied.as_ref().copied().map_err(|error| chain(error))).ok();
            }
            // Who was told that it can't be does not find it done later.
            refused = self.judge(apis, applied, before.as_deref()).filter(|_| !is_asked);
        }
    }

    /// The files that these APIs name; those that are known go on being followed.
    fn key_files(&self, apis: &[GatewayApi]) -> Result<HashMap<PathBuf, Followed>, StartError> {
        let paths: BTreeSet<_> = apis.iter().filter_map(|api| api.keys.clone()).collect();
        let read = |path: PathBuf| {
            if let Some(Followed { file, follower }) = self.keys.get(&path) {
                let (file, follower) = (Arc::clone(file), follower.clone());
                return Ok((path, Followed { file, follower }));
            }
            let shown = path.display().to_string();
            match KeyFile::read(path.clone()) {
                Ok(file) => Ok((path, Followed { file: Arc::new(file), follower: None })),
                Err(what) => Err(StartError::Keys { path: shown, what }),
            }
        };
        paths.into_iter().map(read).collect()
    }

    fn access(
        &self,
        api: &GatewayApi,
        keys: Option<&Followed>,
        known: &Arc<[Arc<KeyFile>]>,
    ) -> Access {
        let limiter = api.rate_limit.clone().map(|limit| {
            let limit = limit.of_gateway(&self.common.tenant_header);
            Limiter::new(&api.name, limit, Arc::clone(&self.spent))
        });
        Access::new(keys.map(|keys| Arc::clone(&keys.file)), Arc::clone(known), limiter)
    }

    /// What was made whole takes the place of what was.
    fn swap(
        &mut self,
        mut served: HashMap<String, Arc<Service>>,
        mut said: HashMap<String, Said>,
        routed: Vec<(GatewayApi, Lead)>,
        keys: HashMap<PathBuf, Followed>,
    ) {
        self.services.store(Arc::new(served.clone()));
        let mut weights = BTreeMap::new();
        let shadowed = std::mem::take(&mut self.shadowed);
        for (api, lead) in &routed {
            match lead {
                Lead::Api(service) => service.gate.retune(&api.gate(self.common.order)),
                Lead::Split(split) => {
                    if split.shadow.is_some() {
                        self.shadowed.insert(api.name.clone());
                    }
                    let split = Arc::clone(split);
                    let read: ReadWeights = Box::new(move || split.weights());
                    weights.insert(api.name.clone(), read);
                }
            }
        }
        self.common.traffic.read(weights);
        shadowed.difference(&self.shadowed).for_each(|api| self.common.shadows.forget(api));
        for (name, before) in &mut self.apis {
            match served.remove(name) {
                Some(service) => {
                    let said = said.remove(name);
                    (before.service, before.said, before.is_leaving) = (service, said, false);
                }
                None => before.is_leaving = true,
            }
        }
        let new = |(name, service): (String, Arc<Service>)| {
            let (attendants, said) = (Vec::new(), said.remove(&name));
            (name, Served { service, said, attendants, is_leaving: false })
        };
        self.apis.extend(served.into_iter().map(new));
        self.tell_gates();
        let routed = routed.into_iter().map(|(api, lead)| (api.rules, api.models, lead));
        self.routes.store(Arc::new(Target::table(routed.collect())));
        let gone = self.keys.iter().filter(|(path, _)| !keys.contains_key(*path));
        gone.filter_map(|(_, followed)| followed.follower.as_ref()).for_each(AbortHandle::abort);
        self.keys = keys;
    }

    fn tell_gates(&self) {
        let reached = |(name, served): (&String, &Served)| {
            let (gate, said) = (Arc::clone(&served.service.gate), served.said.clone());
            (name.clone(), Reached { gate, said })
        };
        self.gates.send_replace(Arc::new(self.apis.iter().map(reached).collect()));
    }

    /// Begins what each API and each file needs beside the requests.
    fn attend(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        for (name, served) in self.apis.iter_mut().filter(|(_, of)| of.attendants.is_empty()) {
            let gate = || Arc::clone(&served.service.gate);
            served.attendants.push(self.tasks.spawn(gate().tend()));
            if let Some(autoscaler) = &self.common.wake {
                let push = wake::push(Arc::clone(autoscaler), name.clone(), gate());
                served.attendants.push(self.tasks.spawn(push));
            }
        }
        for followed in self.keys.values_mut().filter(|followed| followed.follower.is_none()) {
            let following = Arc::clone(&followed.file).follow(self.common.failures.clone());
            followed.follower = Some(self.tasks.spawn(following));
        }
    }

    /// Forgets the APIs that go and hold nothing any more. Who waits there for what nobody starts is told so: a
    /// request may have been led there in the moment in which the API and its endpoints went.
    fn forget_idle(&mut self) {
        let leaving = self.apis.values().filter(|served| served.is_leaving);
        leaving.for_each(|served| served.service.gate.turn_away());
        let is_done = |served: &Served| {
            let seen = served.service.gate.snapshot();
            served.is_leaving && seen.running + seen.waiting == 0
        };
        let gone: Vec<_> = self.apis.extract_if(|_, served| is_done(served)).collect();
        for (name, served) in &gone {
            served.attendants.iter().for_each(AbortHandle::abort);
            self.common.forget(&served.service);
            tracing::info!(api = name, "serves no more, and all that it held is answered");
        }
        if !gone.is_empty() {
            self.tell_gates();
        }
    }
}

// === impl Common ===

impl Common {
    /// A new API.
    fn service(&self, api: &GatewayApi, access: Access) -> Result<Service, StartError> {
        let gate = Gate::new(api.gate(self.order));
        let read = Arc::clone(&gate);
        let service = Service::register(
            (&self.registry, &self.gates),
            Some(&api.name),
            (gate, &self.classifier),
            (terms(api), access),
            self.llm || api.llm,
        )?;
        let counts = Box::new(move || overview::counts(&read));
        self.endpoints.add(&api.name, counts);
        Ok(service)
    }

    /// Takes an API's metrics off the page.
    fn forget(&self, service: &Service) {
        service.metrics.unregister(&self.registry);
        self.gates.remove(Some(&service.metrics.api));
        self.endpoints.remove(&service.metrics.api);
    }
}

/// How a document has an API's requests served.
fn terms(api: &GatewayApi) -> Terms {
    Terms {
        timeouts: api.timeouts.clone(),
        protocol: UpstreamProtocol::Auto,
        affinity: api.affinity.clone(),
        cold_start: api.cold_start.clone(),
        hedged: api.hedged.clone(),
    }
}
