//! What a gateway serves, and where it sends it, as the cluster changes.

use super::*;
use crate::facts::{Origin, Pod, Workload};
use crate::resource::{document, inference_api};
use kube::core::{DynamicObject, Selector};
use serde_json::{Value, json};
use std::num::NonZeroU32;

fn key(name: &str) -> Key {
    Key { namespace: "n".to_owned(), name: name.to_owned() }
}

fn resource(uid: &str, generation: i64, created: i64, spec: Value) -> Resource {
    let mut object = DynamicObject::new("a", &inference_api());
    object.data = json!({ "spec": spec });
    let document = document(&object).map(Arc::new).map_err(|_| Arc::from("mistakes"));
    let (uid, version, status) = (uid.to_owned(), "1".to_owned(), Arc::new(Value::Null));
    let origin = Origin::Resource;
    Resource { origin, uid, version, generation, created, document, status }
}

fn spec(path: &str) -> Value {
    json!({"target": {"name": "d"}, "routes": [{"path": path}], "concurrency": {"limit": 4}})
}

fn pod(phase: PodPhase, traffic: Option<u16>) -> Pod {
    Pod {
        labels: [("app".to_owned(), "d".to_owned())].into(),
        phase,
        ip: Some("10.0.0.7".parse().unwrap()),
        admin: Some(2),
        traffic,
        limit: None,
        cost: None,
    }
}

fn stores() -> Stores {
    let mut stores = Stores::default();
    let selector = Selector::from_iter([("app".to_owned(), "d".to_owned())]);
    let workload = Workload {
        version: "1".into(),
        owner: None,
        replicas: 1,
        present: 1,
        selector: Some(selector),
        asked: None,
        amiss: None,
    };
    stores.deployments().set(key("d"), Some(workload));
    stores
}

/// Each API's name and first path, in order; and the faults' resources, with a star if kept.
fn told(plan: &Plan) -> (Vec<String>, Vec<String>) {
    let api = |api: &Arc<InferenceApi>| format!("{} {}", api.name, api.routes[0].path);
    let fault =
        |fault: &Fault| format!("{}{}", fault.key.name, if fault.is_kept { "*" } else { "" });
    (plan.apis.iter().map(api).collect(), plan.faults.iter().map(fault).collect())
}

#[test]
fn a_wrong_resource_is_served_as_it_was_and_the_others_as_they_are() {
    let (mut stores, mut serving) = (stores(), Serving::default());
    stores.apis().set(key("a"), Some(resource("u1", 1, 1, spec("/a"))));
    stores.apis().set(key("b"), Some(resource("u2", 1, 2, spec("/b"))));
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let plan = serving.plan(&stores).unwrap();
    assert_eq!(told(&plan), (texts(&["n/a /a", "n/b /b"]), vec![]));
    assert_eq!(serving.plan(&stores), None, "nothing has changed");

    let wrong = json!({"target": 1});
    stores.apis().set(key("a"), Some(resource("u1", 2, 1, wrong.clone())));
    stores.apis().set(key("b"), Some(resource("u2", 2, 2, spec("/c"))));
    let plan = serving.plan(&stores).unwrap();
    assert_eq!(told(&plan), (texts(&["n/a /a", "n/b /c"]), texts(&["a*"])));

    // Another of the same name was never right.
    stores.apis().set(key("a"), Some(resource("u3", 1, 3, wrong)));
    let plan = serving.plan(&stores).unwrap();
    assert_eq!(told(&plan), (texts(&["n/b /c"]), texts(&["a"])));
}

#[test]
fn a_cluster_without_resources_is_known_too() {
    let mut serving = Serving::default();
    assert_eq!(serving.plan(&stores()), Some(Plan::default()));
    assert_eq!(serving.plan(&stores()), None);
}

#[test]
fn requests_are_split_within_the_namespace_and_a_version_that_is_gone_stays() {
    let (mut stores, mut serving) = (stores(), Serving::default());
    let split = json!({
        "routes": [{"path": "/x"}],
        "traffic": {"versions": [{"api": "v1", "weight": 50}, {"api": "v2", "weight": 50}]},
    });
    stores.apis().set(key("x"), Some(resource("u1", 1, 1, split)));
    for (name, uid) in [("v1", "u2"), ("v2", "u3")] {
        stores.apis().set(key(name), Some(resource(uid, 1, 2, spec(&format!("/{name}")))));
    }
    let plan = serving.plan(&stores).unwrap();
    assert_eq!((plan.apis.len(), plan.faults.len()), (3, 0), "{:?}", plan.faults);
    let versions = &plan.apis[0].traffic.as_ref().unwrap().versions;
    assert_eq!((&*versions[0].api, &*versions[1].api), ("n/v1", "n/v2"));

    stores.apis().set(key("v2"), None);
    let plan = serving.plan(&stores).unwrap();
    assert_eq!(told(&plan).1, ["v2*"]);
    assert_eq!(plan.apis.len(), 3);

    // A gateway that has never seen it can't.
    let plan = Serving::default().plan(&stores).unwrap();
    assert_eq!(told(&plan), (vec!["n/v1 /v1".to_owned()], vec!["x".to_owned()]));
}

#[test]
fn the_older_has_the_route_and_the_younger_keeps_what_it_had() {
    let (mut stores, mut serving) = (stores(), Serving::default());
    stores.apis().set(key("old"), Some(resource("u1", 1, 1, spec("/a"))));
    stores.apis().set(key("young"), Some(resource("u2", 1, 2, spec("/b"))));
    serving.plan(&stores).unwrap();
    stores.apis().set(key("young"), Some(resource("u2", 2, 2, spec("/a"))));
    let plan = serving.plan(&stores).unwrap();
    assert_eq!(told(&plan).0, ["n/old /a", "n/young /b"]);
    assert!(plan.faults[0].what.contains("that of n/old"), "{}", plan.faults[0].what);
    // The older takes that too: nothing is left for the younger.
    stores.apis().set(key("old"), Some(resource("u1", 2, 1, spec("/b"))));
    stores.apis().set(key("young"), Some(resource("u2", 3, 2, spec("/b"))));
    assert_eq!(told(&serving.plan(&stores).unwrap()).0, ["n/old /b"]);
    // Other models may share a route, also under the same name elsewhere.
    let model = |name: &str| {
        let mut spec = spec("/v1");
        spec["openai"] = json!({"models": [name], "whenNotFound": "refuse"});
        spec
    };
    let elsewhere = Key { namespace: "m".to_owned(), name: "old".to_owned() };
    stores.apis().set(key("old"), Some(resource("u1", 3, 1, model("x"))));
    stores.apis().set(elsewhere.clone(), Some(resource("u4", 1, 4, model("y"))));
    assert_eq!(serving.plan(&stores).unwrap().apis.len(), 3);
    stores.apis().set(elsewhere, Some(resource("u4", 2, 4, model("x"))));
    let plan = serving.plan(&stores).unwrap();
    assert!(plan.faults[0].what.contains("the model \"x\"") && plan.faults[0].is_kept);
}

#[test]
fn an_api_falls_back_to_one_of_its_namespace_and_is_served_without_where_that_is_gone() {
    let (mut stores, mut serving) = (stores(), Serving::default());
    let mut big = spec("/big");
    big["coldStart"] = json!({"fallback": {"api": "small"}});
    stores.apis().set(key("big"), Some(resource("u1", 1, 1, big)));
    let fallback = |plan: &Plan| {
        let fallback = plan.apis[0].cold_start.fallback.as_ref();
        (fallback.map(|of| of.api.clone()), told(plan).1)
    };
    let without = (None, vec!["big*".to_owned()]);
    let plan = serving.plan(&stores).unwrap();
    assert_eq!((plan.apis.len(), fallback(&plan)), (1, without.clone()));
    assert!(plan.faults[0].what.contains("\"n/small\", and no document"), "{:?}", plan.faults);
    let elsewhere = Key { namespace: "m".to_owned(), name: "small".to_owned() };
    stores.apis().set(elsewhere, Some(resource("u2", 1, 2, spec("/m"))));
    assert_eq!(fallback(&serving.plan(&stores).unwrap()), without);
    stores.apis().set(key("small"), Some(resource("u3", 1, 3, spec("/small"))));
    let plan = serving.plan(&stores).unwrap();
    assert_eq!(fallback(&plan), (Some("n/small".to_owned()), vec![]));
    stores.apis().set(key("small"), None);
    assert_eq!(fallback(&serving.plan(&stores).unwrap()), without);
}

#[test]
fn endpoints_are_the_targets_pods_with_a_sidecar_and_an_address() {
    let (mut stores, mut serving) = (stores(), Serving::default());
    stores.apis().set(key("a"), Some(resource("u1", 1, 1, spec("/a"))));
    stores.pods().set(key("d-1"), Some(pod(PodPhase::Starting, Some(1))));
    stores.pods().set(key("d-2"), Some(pod(PodPhase::Leaving, Some(1))));
    stores.pods().set(key("d-3"), Some(pod(PodPhase::Ready, None)));
    let limited = Pod { limit: NonZeroU32::new(9), ..pod(PodPhase::Ready, Some(1)) };
    stores.pods().set(key("d-4"), Some(limited));
    stores.pods().set(key("d-5"), Some(Pod { ip: None, ..pod(PodPhase::Starting, Some(1)) }));
    serving.plan(&stores).unwrap();
    let file = serving.endpoints(&stores, |_| true);
    let seen: Vec<_> =
        file.apis["n/a"].iter().map(|entry| (&*entry.id, entry.concurrency, entry.state)).collect();
    let (active, draining) = (EndpointState::Active, EndpointState::Draining);
    assert_eq!(seen, [("d-1", 4, active), ("d-2", 4, draining), ("d-4", 9, active)]);
    assert_eq!(file.apis["n/a"][0].address, "10.0.0.7:1".parse().unwrap());
    assert_eq!(file.apis["n/a"][0].admin, "10.0.0.7:2".parse().ok());

    // A document that is wrong now still has its endpoints.
    stores.apis().set(key("a"), Some(resource("u1", 2, 1, json!({"target": 1}))));
    serving.plan(&stores).unwrap();
    assert_eq!(serving.endpoints(&stores, |_| true), file);
}

#[test]
fn pods_of_a_kind_that_nobody_watches_are_those_that_the_status_selects() {
    let (mut stores, mut serving) = (Stores::default(), Serving::default());
    let other = json!({"apiVersion": "example.com/v1", "kind": "Set", "name": "d"});
    let mut seen = resource("u1", 1, 1, json!({"target": other, "routes": [{"path": "/a"}]}));
    stores.apis().set(key("a"), Some(seen.clone()));
    stores.pods().set(key("p"), Some(pod(PodPhase::Ready, Some(1))));
    serving.plan(&stores);
    assert!(serving.endpoints(&stores, |_| true).apis["n/a"].is_empty(), "nobody has said it yet");
    seen.status = Arc::new(json!({"selector": "app=d"}));
    stores.apis().set(key("a"), Some(seen));
    assert_eq!(serving.endpoints(&stores, |_| true).apis["n/a"].len(), 1);
}

#[test]
fn an_api_that_goes_has_its_endpoints_until_its_requests_are_answered() {
    let (mut stores, mut serving) = (stores(), Serving::default());
    stores.apis().set(key("a"), Some(resource("u1", 1, 1, spec("/a"))));
    stores.pods().set(key("d-1"), Some(pod(PodPhase::Ready, Some(1))));
    serving.plan(&stores).unwrap();
    stores.apis().set(key("a"), None);
    assert_eq!(serving.plan(&stores).unwrap(), Plan::default());
    assert_eq!(serving.endpoints(&stores, |name| name == "n/a").apis["n/a"].len(), 1);
    assert!(serving.endpoints(&stores, |_| false).apis.is_empty());
    assert!(serving.endpoints(&stores, |_| true).apis.is_empty(), "it is forgotten");
}

#[test]
fn weights_are_those_of_the_status_and_change_without_a_new_plan() {
    let (mut stores, mut serving) = (stores(), Serving::default());
    for (index, name) in ["old", "new"].into_iter().enumerate() {
        let api = resource(name, 1, index as i64, spec(&format!("/{name}")));
        stores.apis().set(key(name), Some(api));
    }
    let versions = json!([{"api": "old", "weight": 90}, {"api": "new", "weight": 10}]);
    let rollout = json!({"to": "new", "steps": [{"weight": 10, "pause": "1m"}]});
    let split = json!({"traffic": {"versions": versions}, "rollout": rollout,
        "routes": [{"path": "/s"}]});
    let mut with = |serving: &mut Serving, status: Value| {
        let resource = resource("s", 1, 9, split.clone());
        stores.apis().set(key("s"), Some(Resource { status: Arc::new(status), ..resource }));
        let plan = serving.plan(&stores);
        (plan.is_some(), serving.endpoints(&stores, |_| false).weights)
    };
    assert_eq!(with(&mut serving, Value::Null), (true, BTreeMap::new()));
    let status = json!({"rollout": {"to": "new", "stage": "Step", "step": 1, "steps": 1,
        "since": "", "weights": {"old": 40, "new": 60}, "reason": "", "message": "", "plan": ""}});
    let told = [("n/old".to_owned(), 40), ("n/new".to_owned(), 60)].into();
    assert_eq!(with(&mut serving, status), (false, [("n/s".to_owned(), told)].into()));
}
