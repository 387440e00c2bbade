//! The cluster as a gateway sees it: which APIs it serves, and where their replicas are. Pure.
//!
//! Each resource counts by itself: one that is wrong, or wants a route that an older one has, is
//! served as it was before, or not at all, and the others never notice.

use crate::claims::claims;
use crate::facts::{Key, PodPhase, Resource};
use crate::rollout;
use crate::scalable::{Other, selector};
use crate::slice;
use crate::view::{self, PodIndex, PodView};
use crate::watch::Stores;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use tidegate_api::document::{Clash, Route, Target};
use tidegate_api::endpoints::{EndpointEntry, EndpointState, EndpointsFile, TrafficWeights};
use tidegate_api::{InferenceApi, dangling_fallbacks, dangling_versions};

/// What is remembered between two looks.
#[derive(Debug, Default)]
pub struct Serving {
    /// What is served, and what was until lately: requests may still run there.
    served: BTreeMap<Key, Served>,
    /// The resources that the last look was at, with uid and generation; nothing before the first.
    seen: Option<Vec<(Key, String, i64)>>,
}

#[derive(Debug)]
struct Served {
    uid: String,
    document: Arc<InferenceApi>,
    is_leaving: bool,
}

/// What a gateway is to serve from now on.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// The documents, each under its namespace and name.
    pub apis: Vec<Arc<InferenceApi>>,
    /// Resources that can't be served as they are.
    pub faults: Vec<Fault>,
}

/// A resource that can't be served as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The resource.
    pub key: Key,
    /// What is wrong with it.
    pub what: String,
    /// Whether it is served all the same: as it was before, or without a fallback that is not there.
    pub is_kept: bool,
}

impl Serving {
    /// What is to be served, if the resources have changed since the last look.
    pub fn plan(&mut self, stores: &Stores) -> Option<Plan> {
        let claims = claims(stores);
        let mut resources: Vec<(&Key, &Resource)> = claims.iter().collect();
        let seen: Vec<_> = resources
            .iter()
            .map(|(key, resource)| ((*key).clone(), resource.uid.clone(), resource.generation))
            .collect();
        if self.seen.as_ref() == Some(&seen) {
            return None;
        }
        self.seen = Some(seen);
        // The older has the route, as everywhere on Kubernetes.
        resources.sort_by_key(|(key, resource)| (resource.created, *key));
        let (mut plan, mut claims) = (Plan::default(), Claims::default());
        let mut stays = BTreeSet::new();
        for (key, resource) in resources {
            let before = self.served.get(key).filter(|before| before.uid == resource.uid);
            let before = before.map(|before| Arc::clone(&before.document));
            let taken = match &resource.document {
                Ok(document) => {
                    let named = Arc::new(named(key, document));
                    claims.take(&named).map(|()| named)
                }
                Err(mistakes) => Err(mistakes.to_string()),
            };
            let document = taken.or_else(|what| {
                let kept = before.filter(|before| claims.take(before).is_ok());
                plan.faults.push(Fault { key: key.clone(), what, is_kept: kept.is_some() });
                kept.ok_or(())
            });
            let Ok(document) = document else { continue };
            plan.apis.push(Arc::clone(&document));
            stays.insert(key.clone());
            let served = Served { uid: resource.uid.clone(), document, is_leaving: false };
            self.served.insert(key.clone(), served);
        }
        self.complete(&mut plan, &mut stays);
        for (key, served) in &mut self.served {
            served.is_leaving = !stays.contains(key);
        }
        Some(plan)
    }

    /// A version that is gone stays as long as requests are split to it; what was never there can't
    /// be split to.
    fn complete(&self, plan: &mut Plan, stays: &mut BTreeSet<Key>) {
        let splits: Vec<Arc<InferenceApi>> =
            plan.apis.iter().filter(|api| api.traffic.is_some()).cloned().collect();
        for split in &splits {
            let named = |key: &&Key| {
                let name = key.to_string();
                split.traffic.as_ref().is_some_and(|traffic| traffic.version(&name).is_some())
            };
            let gone: Vec<Key> = self
                .served
                .keys()
                .filter(|key| !stays.contains(key))
                .filter(named)
                .cloned()
                .collect();
            for key in gone {
                let what = format!("it is gone, and {} sends requests there", split.name);
                plan.apis.push(Arc::clone(&self.served[&key].document));
                plan.faults.push(Fault { key: key.clone(), what, is_kept: true });
                stays.insert(key);
            }
        }
        let all: Vec<(&str, &InferenceApi)> =
            plan.apis.iter().map(|api| (api.name.as_str(), &**api)).collect();
        let wrong: BTreeMap<String, String> = dangling_versions(&all)
            .into_iter()
            .map(|(of, mistake)| (of.to_owned(), format!("{}: {}", mistake.path, mistake.what)))
            .collect();
        plan.apis.retain(|api| !wrong.contains_key(&api.name));
        stays.retain(|key| match wrong.get(&key.to_string()) {
            Some(what) => {
                plan.faults.push(Fault { key: key.clone(), what: what.clone(), is_kept: false });
                false
            }
            None => true,
        });
        without_fallbacks(plan);
    }

    /// Where the replicas are. Those of an API that is served no more stay known as long as
    /// `holds` says that requests are left there.
    pub fn endpoints(&mut self, stores: &Stores, holds: impl Fn(&str) -> bool) -> EndpointsFile {
        self.served.retain(|key, served| !served.is_leaving || holds(&key.to_string()));
        let index = PodIndex::of(stores.all_pods());
        let services = stores.services();
        let apis = self.served.iter().map(|(key, served)| {
            let document = &served.document;
            if let Some(services) = &services {
                let its_own = services.get(&(&*key.namespace, &*key.name));
                let slices = its_own.map(Vec::as_slice).unwrap_or_default();
                let limit = document.concurrency.limit.get();
                return (key.to_string(), slice::entries(slices, limit));
            }
            let target = document.target.as_ref();
            let pods = target.map(|target| pods(stores, key, target, &index)).unwrap_or_default();
            let entries = pods.iter().filter_map(|pod| entry(pod, document));
            (key.to_string(), entries.collect())
        });
        EndpointsFile { apis: apis.collect(), weights: self.weights(stores) }
    }

    /// The weights in force where a version takes over: those of the resource's status.
    fn weights(&self, stores: &Stores) -> BTreeMap<String, TrafficWeights> {
        let weights = self.served.iter().filter_map(|(key, served)| {
            let resource = stores.resources().get(key).filter(|it| it.uid == served.uid)?;
            let weights = rollout::weights(key, &served.document, &resource.status)?;
            Some((key.to_string(), weights))
        });
        weights.collect()
    }
}

/// The pods of a target. A gateway asks for nobody's `/scale`: which pods are those of a kind that nobody
/// watches is what the autoscaler says in the resource's status.
fn pods(stores: &Stores, key: &Key, target: &Target, index: &PodIndex<'_>) -> Vec<PodView> {
    if Other::of(&key.namespace, target).is_some() {
        let resource = stores.resources().get(key);
        let text = resource.and_then(|resource| resource.status["selector"].as_str());
        let selector = text.and_then(selector);
        return selector.map_or_else(Vec::new, |selector| index.select(&key.namespace, &selector));
    }
    let workload = view::workload(stores, &key.namespace, target);
    let pods = workload.and_then(|workload| view::pods(workload, &key.namespace, index));
    pods.unwrap_or_default()
}

/// An API without another to fall back to is served all the same: resources come and go in any order.
fn without_fallbacks(plan: &mut Plan) {
    let all: Vec<(&str, &InferenceApi)> =
        plan.apis.iter().map(|api| (api.name.as_str(), &**api)).collect();
    let gone: BTreeMap<String, String> = dangling_fallbacks(&all)
        .into_iter()
        .map(|(of, mistake)| (of.to_owned(), format!("{}: {}", mistake.path, mistake.what)))
        .collect();
    for api in &mut plan.apis {
        let Some(what) = gone.get(&api.name) else { continue };
        Arc::make_mut(api).cold_start.fallback = None;
        if let Some((namespace, name)) = api.name.split_once('/') {
            let key = Key { namespace: namespace.to_owned(), name: name.to_owned() };
            plan.faults.push(Fault { key, what: what.clone(), is_kept: true });
        }
    }
}

/// A document under its namespace and name, as are the APIs that it names.
pub fn named(key: &Key, document: &InferenceApi) -> InferenceApi {
    let within = |name: &str| format!("{}/{name}", key.namespace);
    let mut document = InferenceApi { name: key.to_string(), ..document.clone() };
    if let Some(traffic) = &mut document.traffic {
        let shadow = traffic.shadow.iter_mut().map(|shadow| &mut shadow.api);
        let versions = traffic.versions.iter_mut().map(|version| &mut version.api);
        versions.chain(shadow).for_each(|api| *api = within(api));
    }
    if let Some(fallback) = &mut document.cold_start.fallback {
        fallback.api = within(&fallback.api);
    }
    if let Some(rollout) = &mut document.rollout {
        rollout.to = within(&rollout.to);
    }
    document
}

/// A pod as an endpoint, once its sidecar has an address. Whether it is ready the gateway finds out
/// by itself, sooner than the kubelet tells.
fn entry(pod: &PodView, document: &InferenceApi) -> Option<EndpointEntry> {
    let limit = pod.limit.unwrap_or(document.concurrency.limit);
    let is_leaving = pod.phase == PodPhase::Leaving;
    Some(EndpointEntry {
        id: pod.name.clone(),
        address: pod.traffic?,
        admin: Some(pod.admin?),
        concurrency: limit.get(),
        state: if is_leaving { EndpointState::Draining } else { EndpointState::Active },
    })
}

/// Who has which routes.
#[derive(Default)]
struct Claims {
    apis: Vec<Arc<InferenceApi>>,
    /// By the text of what a route matches by.
    by_route: HashMap<String, Vec<usize>>,
}

impl Claims {
    /// Gives an API its routes, all or none. An error says who has one already.
    fn take(&mut self, api: &Arc<InferenceApi>) -> Result<(), String> {
        for route in &api.routes {
            let others = self.by_route.get(&text(route)).into_iter().flatten();
            for other in others.map(|index| &self.apis[*index]) {
                let its = other.routes.iter().find(|its| its.key() == route.key());
                let its = (other.as_ref(), its.unwrap_or(route));
                if let Some(clash) = Clash::between((api, route), its) {
                    return Err(contradiction(route, other, clash));
                }
            }
        }
        for route in &api.routes {
            self.by_route.entry(text(route)).or_default().push(self.apis.len());
        }
        self.apis.push(Arc::clone(api));
        Ok(())
    }
}

fn text(route: &Route) -> String {
    format!("{:?}", route.key())
}

fn contradiction(route: &Route, other: &InferenceApi, clash: Clash<'_>) -> String {
    let name = &other.name;
    let what = match clash {
        Clash::Route => format!("the route {route} is that of {name}"),
        Clash::Model(model) => {
            format!("the model \"{model}\" on the route {route} is that of {name}")
        }
        Clash::Unnamed => {
            format!("what names no model on the route {route} is taken by {name} already")
        }
        Clash::Prefix => format!("the route {route} is that of {name} with another `stripPrefix`"),
    };
    format!("{what}, which is older; give one of them another host, path or header")
}

#[cfg(test)]
mod tests;
