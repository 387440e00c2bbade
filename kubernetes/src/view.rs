//! The cluster as a scaling tick sees it: each API with its target and its pods. Pure.

mod index;
mod problem;

pub(crate) use index::PodIndex;
pub use problem::Problem;

use crate::claims::claims;
use crate::facts::{Key, Pod, PodPhase, Resource, Workload};
use crate::scalable::{Other, Scaling};
use crate::watch::Stores;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use tidegate_api::InferenceApi;
use tidegate_api::document::Target;

/// Everything that a tick goes by.
#[derive(Debug, Default)]
pub struct View {
    /// Of the stores that it was made of.
    pub revision: u64,
    shape: u64,
    /// Whether everything was seen at least once. If not, nothing can be concluded.
    pub is_known: bool,
    /// The APIs.
    pub apis: BTreeMap<Key, ApiView>,
    /// Gateways' admin ports, by pod.
    pub gateways: Vec<(String, SocketAddr)>,
}

/// One API.
#[derive(Debug, Clone)]
pub struct ApiView {
    /// The resource.
    pub resource: Resource,
    /// What it scales, where that is there.
    pub workload: Option<Workload>,
    /// The target's pods, by name.
    pub pods: Vec<PodView>,
    /// Why its target must be left alone, if it must.
    pub problem: Option<Problem>,
}

/// One pod of an API's target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodView {
    /// Its name.
    pub name: String,
    /// Where it is in its life.
    pub phase: PodPhase,
    /// Its sidecar's admin port, once it has an address.
    pub admin: Option<SocketAddr>,
    /// Where its sidecar takes requests, likewise.
    pub traffic: Option<SocketAddr>,
    /// How many its sidecar was told to give the model at once.
    pub limit: Option<NonZeroU32>,
    /// What somebody has said that deleting it costs.
    pub cost: Option<i32>,
}

impl ApiView {
    /// The document, if it has no mistakes.
    pub fn document(&self) -> Option<&Arc<InferenceApi>> {
        self.resource.document.as_ref().ok()
    }

    /// How many pods are in this phase.
    pub fn count(&self, phase: PodPhase) -> u32 {
        self.pods.iter().filter(|pod| pod.phase == phase).count() as u32
    }
}

impl View {
    /// Follows what is known: as a whole where that has another shape, else only what resources say.
    pub fn follow(&mut self, stores: &Stores) {
        if self.shape != stores.shape {
            *self = Self::of(stores);
        } else if self.revision != stores.revision {
            for (key, resource) in stores.resources() {
                if let Some(api) = self.apis.get_mut(key) {
                    api.resource.clone_from(resource);
                }
            }
            self.revision = stores.revision;
        }
    }

    /// The view of what is known.
    pub fn of(stores: &Stores) -> Self {
        let index = PodIndex::of(stores.all_pods());
        let claims = claims(stores);
        let owners = owners(&claims);
        let api = |(key, resource): (&Key, &Resource)| {
            let mut view = ApiView {
                resource: resource.clone(),
                workload: None,
                pods: Vec::new(),
                problem: None,
            };
            view.problem = fill(&mut view, key, stores, &index, &owners).err();
            (key.clone(), view)
        };
        let gateway = |(key, pod): (&Key, &Pod)| Some((key.to_string(), pod.admin()?));
        Self {
            revision: stores.revision,
            shape: stores.shape,
            is_known: stores.are_known(),
            apis: claims.iter().map(api).collect(),
            gateways: stores.all_gateways().iter().filter_map(gateway).collect(),
        }
    }
}

/// Finds an API's target and pods, as far as they are there, and why to leave them alone.
fn fill(
    view: &mut ApiView,
    key: &Key,
    stores: &Stores,
    index: &PodIndex<'_>,
    owners: &Owners<'_>,
) -> Result<(), Problem> {
    let document = view.resource.document.clone().map_err(Problem::Invalid)?;
    if document.traffic.is_some() {
        return Err(Problem::Split);
    }
    let target = document.target.as_ref().ok_or(Problem::NoTarget)?;
    let workload = match workload(stores, &key.namespace, target) {
        Err(Problem::NotFound { .. }) if document.template.is_some() => {
            return Err(Problem::Making);
        }
        found => found?,
    };
    if document.template.is_some() && workload.owner.as_ref() != Some(&view.resource.uid) {
        return Err(Problem::Foreign { kind: target.kind.clone(), name: target.name.clone() });
    }
    view.workload = Some(workload.clone());
    view.pods = pods(workload, &key.namespace, index)?;
    let rival = stores.all_rivals().iter().find(|(at, rival)| {
        at.namespace == key.namespace && rival.kind == target.kind && rival.target == target.name
    });
    if let Some((_, rival)) = rival {
        return Err(Problem::Rival { what: rival.what, name: rival.name.clone() });
    }
    match owners.get(&(&*key.namespace, &*target.kind, &*target.name)) {
        Some((_, owner)) if *owner != key => return Err(Problem::Contested(owner.name.clone())),
        _ => {}
    }
    let ready = || view.pods.iter().filter(|pod| pod.phase == PodPhase::Ready);
    if ready().count() > 0 && ready().all(|pod| pod.admin.is_none()) {
        return Err(Problem::NoSidecar);
    }
    if document.paused { Err(Problem::Paused) } else { Ok(()) }
}

/// What a target names.
pub(crate) fn workload<'a>(
    stores: &'a Stores,
    namespace: &str,
    target: &Target,
) -> Result<&'a Workload, Problem> {
    let (kind, name) = (target.kind.clone(), target.name.clone());
    if let Some(other) = Other::of(namespace, target) {
        return match stores.all_others().get(&other) {
            Some(Scaling::Known(workload)) => Ok(workload),
            Some(Scaling::Gone) => Err(Problem::NotFound { kind, name }),
            Some(Scaling::NoKind) => {
                Err(Problem::Kind(format!("{kind} of {}", target.api_version)))
            }
            Some(Scaling::Unknown(why)) => {
                Err(Problem::NoScale { kind, name, why: Arc::clone(why) })
            }
            None => Err(Problem::Asking { kind, name }),
        };
    }
    let of = Key { namespace: namespace.to_owned(), name: name.clone() };
    stores.workload(&kind, &of).ok_or(Problem::NotFound { kind, name })
}

/// The pods of a workload of this namespace.
pub(crate) fn pods(
    workload: &Workload,
    namespace: &str,
    index: &PodIndex<'_>,
) -> Result<Vec<PodView>, Problem> {
    let selector = workload.selector.as_ref().ok_or(Problem::Selector)?;
    Ok(index.select(namespace, selector))
}

/// For each target, by namespace, kind and name, the API that has named it first, and since when.
type Owners<'a> = HashMap<(&'a str, &'a str, &'a str), (i64, &'a Key)>;

fn owners(resources: &BTreeMap<Key, Resource>) -> Owners<'_> {
    let mut owners = Owners::new();
    for (key, resource) in resources {
        let Ok(document) = &resource.document else { continue };
        let Some(target) = &document.target else { continue };
        let claim = (resource.created, key);
        let owner = owners.entry((&key.namespace, &target.kind, &target.name)).or_insert(claim);
        *owner = claim.min(*owner);
    }
    owners
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{document, inference_api};
    use crate::rival::Rival;
    use crate::watch::News;
    use kube::core::{DynamicObject, Expression, Selector};
    use serde_json::{Value, json};

    fn key(name: &str) -> Key {
        Key { namespace: "n".to_owned(), name: name.to_owned() }
    }

    fn resource(created: i64, spec: Value) -> Resource {
        let mut object = DynamicObject::new("a", &inference_api());
        object.data = json!({ "spec": spec });
        let document = document(&object).map(Arc::new).map_err(|_| Arc::from("mistakes"));
        let status = Arc::new(Value::Null);
        let version = "1".to_owned();
        let (origin, uid) = (crate::facts::Origin::Resource, "u".to_owned());
        Resource { origin, uid, version, generation: 1, created, document, status }
    }

    fn pod(app: &str, phase: PodPhase, admin: Option<u16>) -> Pod {
        Pod {
            labels: [("app".to_owned(), app.to_owned())].into(),
            phase,
            ip: Some("127.0.0.1".parse().unwrap()),
            admin,
            traffic: None,
            limit: None,
            cost: None,
        }
    }

    fn workload(app: &str) -> Workload {
        let selector = Selector::from_iter([("app".to_owned(), app.to_owned())]);
        Workload {
            version: "1".to_owned(),
            owner: None,
            replicas: 2,
            present: 2,
            selector: Some(selector),
            asked: None,
            amiss: None,
        }
    }

    fn stores(spec: Value) -> Stores {
        let mut stores = Stores::default();
        stores.apis().set(key("a"), Some(resource(5, spec)));
        stores.deployments().set(key("d"), Some(workload("d")));
        stores.pods().set(key("d-1"), Some(pod("d", PodPhase::Ready, Some(1))));
        stores.pods().set(key("d-2"), Some(pod("d", PodPhase::Starting, Some(2))));
        stores.pods().set(key("e-1"), Some(pod("e", PodPhase::Ready, Some(3))));
        stores
    }

    fn target() -> Value {
        json!({"target": {"name": "d"}})
    }

    fn reason(stores: &Stores) -> Option<&'static str> {
        View::of(stores).apis[&key("a")].problem.as_ref().map(Problem::reason)
    }

    #[test]
    fn what_was_not_made_of_the_template_is_left_alone() {
        let template = json!({"template": {"spec": {"containers": [{"name": "m"}]}}});
        let mut stores = stores(template);
        assert_eq!(reason(&stores), Some("Making"));
        let of =
            |owner: Option<&str>| Workload { owner: owner.map(str::to_owned), ..workload("d") };
        stores.deployments().set(key("a"), Some(of(None)));
        assert_eq!(reason(&stores), Some("NotOurs"));
        stores.deployments().set(key("a"), Some(of(Some("u"))));
        assert_eq!(reason(&stores), None);
    }

    #[test]
    fn an_api_has_its_targets_pods_and_no_others() {
        let view = View::of(&stores(target()));
        let api = &view.apis[&key("a")];
        let names: Vec<&str> = api.pods.iter().map(|pod| &*pod.name).collect();
        assert_eq!((names, api.problem.clone()), (vec!["d-1", "d-2"], None));
        assert_eq!((api.count(PodPhase::Ready), api.count(PodPhase::Leaving)), (1, 0));
        assert!(!view.is_known, "the lists are not whole yet");
    }

    #[test]
    fn a_status_is_taken_over_without_another_look_at_the_pods() {
        let mut stores = stores(target());
        let mut view = View::default();
        stores.count(News::Shape);
        view.follow(&stores);
        assert_eq!(view.apis[&key("a")].pods.len(), 2);
        let mut next = resource(5, target());
        next.status = Arc::new(json!({"inFlight": 7}));
        stores.apis().set(key("a"), Some(next));
        stores.pods().set(key("d-2"), None);
        stores.count(News::Aside);
        view.follow(&stores);
        assert_eq!(view.apis[&key("a")].resource.status["inFlight"], 7);
        assert_eq!((view.apis[&key("a")].pods.len(), view.revision), (2, stores.revision));
        stores.count(News::Shape);
        view.follow(&stores);
        assert_eq!(view.apis[&key("a")].pods.len(), 1);
    }

    #[test]
    fn every_reason_to_leave_a_target_alone() {
        assert_eq!(reason(&stores(target())), None);
        assert_eq!(reason(&stores(json!({"target": 1}))), Some("InvalidSpec"));
        let alone = json!({"container": {"command": ["m"]}});
        assert_eq!(reason(&stores(alone)), Some("NoTarget"));
        let split = json!({"traffic": {"versions": [{"api": "b", "weight": 100}]}});
        assert_eq!(reason(&stores(split)), Some("Split"));
        assert_eq!(reason(&stores(json!({"target": {"name": "x"}}))), Some("TargetNotFound"));
        let rollout = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "d"});
        let mut seen = stores(json!({ "target": rollout }));
        assert_eq!(reason(&seen), Some("Asking"));
        let named = Other::all(seen.resources());
        let mut found = |scaling: Scaling| {
            let found = named.iter().map(|other| (other.clone(), scaling.clone()));
            let found = found.collect();
            seen.set_others(&named, found);
            reason(&seen)
        };
        assert_eq!(found(Scaling::NoKind), Some("UnknownKind"));
        assert_eq!(found(Scaling::Unknown(Arc::from("forbidden"))), Some("NoScale"));
        assert_eq!(found(Scaling::Gone), Some("TargetNotFound"));
        assert_eq!(found(Scaling::Known(workload("d"))), None);
        let paused = json!({"target": {"name": "d"}, "paused": true});
        assert_eq!(reason(&stores(paused)), Some("Paused"));

        let mut seen = stores(target());
        seen.deployments().set(key("d"), Some(Workload { selector: None, ..workload("d") }));
        assert_eq!(reason(&seen), Some("InvalidSelector"));

        let mut seen = stores(target());
        let (kind, target_name) = ("Deployment".to_owned(), "d".to_owned());
        let what = "HorizontalPodAutoscaler";
        let rival = Rival { what, name: "hpa".to_owned(), kind, target: target_name };
        seen.rivals()
            .set(key("other"), Some(Rival { kind: "StatefulSet".into(), ..rival.clone() }));
        assert_eq!(reason(&seen), None, "another target");
        seen.rivals().set(key("hpa"), Some(rival));
        assert_eq!(reason(&seen), Some("ConflictingAutoscaler"));

        let mut seen = stores(target());
        seen.pods().set(key("d-1"), Some(pod("d", PodPhase::Ready, None)));
        assert_eq!(reason(&seen), Some("NoSidecar"));
    }

    #[test]
    fn the_older_of_two_apis_has_the_target() {
        for (created, problem) in [(4, Some("ConflictingAutoscaler")), (5, None), (6, None)] {
            let mut seen = stores(target());
            seen.apis().set(key("b"), Some(resource(created, target())));
            assert_eq!(reason(&seen), problem, "made at {created}, ours at 5");
            let others = View::of(&seen).apis[&key("b")].problem.is_some();
            assert_eq!(others, problem.is_none(), "one of the two has it");
        }
    }

    #[test]
    fn a_selector_without_equality_looks_at_all_pods() {
        let mut seen = stores(target());
        let selector = Selector::from(Expression::NotEqual("app".into(), "d".into()));
        let other = Workload { selector: Some(selector), ..workload("d") };
        seen.deployments().set(key("d"), Some(other));
        let view = View::of(&seen);
        assert_eq!(view.apis[&key("a")].pods.len(), 1);
    }
}
