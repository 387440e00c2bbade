//! The InferenceApis with their targets, pods, rivals and Services. Pure.

use super::Finding;
use crate::facts::{Key, Origin, PodPhase};
use crate::injector::cautions;
use crate::view::{ApiView, Problem, View};
use crate::watch::Stores;
use k8s_openapi::api::core::v1::{Pod, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::collections::BTreeMap;
use tidegate_api::named;
use tidegate_api::names::{label, port};

/// Pods that say what will not go as meant, and what that is.
pub(super) type Doubtful = BTreeMap<Key, Vec<String>>;

/// What a pod with a sidecar says that will not go as meant, if anything.
pub(super) fn doubtful(pod: &Pod) -> Option<(Key, Vec<String>)> {
    let labels = pod.metadata.labels.as_ref()?;
    labels.get(label::INJECTED).filter(|injected| *injected == "true")?;
    let told = cautions(&serde_json::to_value(pod).ok()?);
    (!told.is_empty()).then(|| (Key::of(&pod.metadata), told))
}

/// What is wrong with each; those with which nothing is, in one.
pub(super) fn examine(stores: &Stores, services: &[Service], doubtful: &Doubtful) -> Vec<Finding> {
    let view = View::of(stores);
    let mut findings = Vec::new();
    let mut fine = 0;
    for (key, api) in &view.apis {
        let before = findings.len();
        findings.extend(problem(key, api));
        findings.extend(names_nobody(key, api, &view));
        findings.extend(is_seen(key, api));
        findings.extend(past_the_sidecar(key, api, stores, services));
        findings.extend(does_not_go_as_meant(key, api, doubtful));
        fine += usize::from(findings.len() == before);
    }
    let what = match (view.apis.len(), fine) {
        (0, _) => "there are none yet: `tidegate deploy -f FILE` makes one".to_owned(),
        (1, 1) => "the one that there is, is as it should be".to_owned(),
        (all, fine) => format!("{fine} of {all} are as they should be"),
    };
    findings.push(Finding::fine("inferenceapis", what));
    findings
}

fn problem(key: &Key, api: &ApiView) -> Option<Finding> {
    let problem = api.problem.as_ref()?;
    let advice = match problem {
        Problem::Invalid(_) if api.resource.origin == Origin::Deployment => {
            "correct the Deployment's annotations"
        }
        Problem::Invalid(_) => "correct it, and `tidegate deploy` it again",
        Problem::NoSidecar => "see the injector above; `tidegate refresh` makes new pods",
        Problem::Paused => "`tidegate deploy` it without spec.paused to have it scaled again",
        Problem::NoScale { .. } => {
            "you need the right to get it; the autoscaler that and to patch it (the chart's \
             autoscaler.otherTargets)"
        }
        _ => "until then it is not scaled",
    };
    let what = format!("{key}: {problem}");
    // What may not be seen may be as it should be.
    let is_seen = !matches!(problem, Problem::NoScale { .. });
    Some(match problem.is_warning() && is_seen {
        true => Finding::wrong("inferenceapis", what, advice),
        false => Finding::doubt("inferenceapis", what, advice),
    })
}

/// The APIs that it names and that are not there.
fn names_nobody(key: &Key, api: &ApiView, view: &View) -> Vec<Finding> {
    let is_gone = |name: &&str| {
        let named = Key { namespace: key.namespace.clone(), name: (*name).to_owned() };
        !view.apis.contains_key(&named)
    };
    let told = |name: &str| {
        let what = format!("{key}: it names the API {name}, which its namespace has not");
        let advice =
            "`tidegate deploy` that too, or correct spec.traffic or spec.coldStart.fallback";
        Finding::wrong("inferenceapis", what, advice)
    };
    let document = api.document();
    document.map_or_else(Vec::new, |of| named(of).into_iter().filter(is_gone).map(told).collect())
}

/// What the first of its pods of which there is anything says that will not go as meant: the others
/// are made of the same template.
fn does_not_go_as_meant(key: &Key, api: &ApiView, doubtful: &Doubtful) -> Vec<Finding> {
    let of = |name: &str| Key { namespace: key.namespace.clone(), name: name.to_owned() };
    let mut pods = api.pods.iter().filter(|pod| pod.phase != PodPhase::Leaving);
    let found = pods.find_map(|pod| Some((&pod.name, doubtful.get(&of(&pod.name))?)));
    let Some((name, told)) = found else { return Vec::new() };
    let finding = |caution: &String| {
        let advice = "correct the pods' template";
        Finding::doubt("inferenceapis", format!("{key}: pod {name}: {caution}"), advice)
    };
    told.iter().map(finding).collect()
}

/// Whether the autoscaler has looked at what it says now. A Deployment has no status that says so.
fn is_seen(key: &Key, api: &ApiView) -> Option<Finding> {
    if api.resource.origin == Origin::Deployment {
        return None;
    }
    let seen = api.resource.status["observedGeneration"].as_i64().unwrap_or(0);
    (seen < api.resource.generation).then(|| {
        let what = format!("{key}: the autoscaler has not looked at its latest version");
        Finding::doubt(
            "inferenceapis",
            what,
            "see autoscaler and lease above; try again in a while",
        )
    })
}

/// Services that lead to the target's pods and none of whose ports is the sidecar's.
fn past_the_sidecar(
    key: &Key,
    api: &ApiView,
    stores: &Stores,
    services: &[Service],
) -> Vec<Finding> {
    let pod = |name: &str| {
        let key = Key { namespace: key.namespace.clone(), name: name.to_owned() };
        stores.all_pods().get(&key)
    };
    let with_sidecar =
        |pod: &&crate::view::PodView| pod.phase != PodPhase::Leaving && pod.admin.is_some();
    let Some(pod) = api.pods.iter().find(with_sidecar).and_then(|seen| pod(&seen.name)) else {
        return Vec::new();
    };
    let leads_there = |service: &&Service| {
        let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        service.metadata.namespace.as_deref() == Some(&key.namespace)
            && selector.is_some_and(|selector| {
                let has = |(label, value): (&String, &String)| pod.labels.get(label) == Some(value);
                !selector.is_empty() && selector.iter().all(has)
            })
    };
    let leads_to = |given: &ServicePort, name: &str, number: Option<u16>| match &given.target_port {
        Some(IntOrString::String(target)) => target == name,
        Some(IntOrString::Int(target)) => Some(*target) == number.map(i32::from),
        None => Some(given.port) == number.map(i32::from),
    };
    let passes = |service: &&Service| {
        let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_ref());
        // One that leads to nothing but admin ports is for scrapes.
        let mut ports = ports
            .into_iter()
            .flatten()
            .filter(|given| !leads_to(given, port::ADMIN, pod.admin))
            .peekable();
        ports.peek().is_some() && !ports.any(|given| leads_to(given, port::TRAFFIC, pod.traffic))
    };
    let finding = |service: &Service| {
        let name = service.metadata.name.as_deref().unwrap_or_default();
        let what = format!("{key}: the Service {name} leads past the sidecar to the model itself");
        let advice = format!("set its targetPort to `{}`", port::TRAFFIC);
        Finding::doubt("inferenceapis", what, advice)
    };
    services.iter().filter(leads_there).filter(passes).map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;
    use crate::facts::{Pod, Resource, Workload};
    use crate::resource::inference_api;
    use crate::scalable::{Other, Scaling};
    use kube::core::DynamicObject;
    use serde_json::{Value, json};

    fn stores(spec: Value, observed: i64, has_sidecar: bool) -> Stores {
        let mut stores = Stores::default();
        let key = |name: &str| Key { namespace: "n".to_owned(), name: name.to_owned() };
        let mut api = DynamicObject::new("a", &inference_api());
        api.metadata.generation = Some(2);
        api.data = json!({"spec": spec, "status": {"observedGeneration": observed}});
        stores.apis().set(key("a"), Resource::of(api, None));
        let labels = json!({"app": "a"});
        let workload = json!({"metadata": {}, "spec": {"selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}}}});
        let workload = Workload::of_deployment(serde_json::from_value(workload).unwrap());
        stores.deployments().set(key("d"), workload);
        let ports = match has_sidecar {
            true => json!([{"name": "tidegate", "containerPort": 8080},
                {"name": "tidegate-admin", "containerPort": 8081}]),
            false => json!([]),
        };
        let pod = json!({"metadata": {"labels": labels},
            "spec": {"containers": [{"name": "tidegate", "ports": ports}]},
            "status": {"podIP": "10.0.0.7", "conditions": [{"type": "Ready", "status": "True"}]}});
        stores.pods().set(key("p"), Pod::of(serde_json::from_value(pod).unwrap()));
        stores
    }

    fn service(target: Value) -> Service {
        let spec = json!({"selector": {"app": "a"}, "ports": [{"port": 80, "targetPort": target}]});
        serde_json::from_value(json!({"metadata": {"name": "s", "namespace": "n"}, "spec": spec}))
            .unwrap()
    }

    fn told(stores: &Stores, services: &[Service]) -> Vec<(Level, String)> {
        examine(stores, services, &Doubtful::new())
            .into_iter()
            .map(|found| (found.level, found.what))
            .collect()
    }

    #[test]
    fn what_is_wrong_is_told_and_what_is_not_is_counted() {
        let good = json!({"target": {"name": "d"}});
        let fine = told(&stores(good.clone(), 2, true), &[service(json!("tidegate"))]);
        assert_eq!(fine, [(Level::Fine, "the one that there is, is as it should be".to_owned())]);
        for (seen, level, what) in [
            (stores(json!({"target": {"name": "x"}}), 2, true), Level::Wrong, "no Deployment x"),
            (stores(json!({}), 2, true), Level::Wrong, "spec"),
            (stores(good.clone(), 2, false), Level::Wrong, "tidegate-admin"),
            (stores(good.clone(), 1, true), Level::Doubt, "latest version"),
            (
                stores(json!({"target": {"name": "d"}, "paused": true}), 2, true),
                Level::Doubt,
                "paused",
            ),
            (
                stores(
                    json!({"target": {"name": "d"}, "coldStart": {"fallback": {"api": "small"}}}),
                    2,
                    true,
                ),
                Level::Wrong,
                "the API small",
            ),
        ] {
            let found = told(&seen, &[]);
            assert!(found[0].0 == level && found[0].1.contains(what), "{what}: {found:?}");
            assert_eq!(found[1].1, "0 of 1 are as they should be");
        }
    }

    #[test]
    fn a_scale_that_may_not_be_seen_is_doubted() {
        let other = json!({"apiVersion": "example.com/v1", "kind": "Set", "name": "d"});
        let mut seen = stores(json!({ "target": other }), 2, true);
        let named = Other::all(seen.resources());
        let unseen = |other: &Other| (other.clone(), Scaling::Unknown("forbidden".into()));
        let found = named.iter().map(unseen).collect();
        seen.set_others(&named, found);
        let found = told(&seen, &[]);
        assert!(found[0].0 == Level::Doubt && found[0].1.contains("forbidden"), "{found:?}");
    }

    #[test]
    fn a_pod_that_says_what_will_not_go_as_meant_is_doubted() {
        let pod = |injected: &str| {
            serde_json::from_value(json!({
                "metadata": {"namespace": "n", "name": "p",
                    "labels": {"app": "a", "tidegate.dev/injected": injected}},
                "spec": {"containers": [
                    {"name": "model", "ports": [{"containerPort": 80, "hostPort": 81}]}]},
            }))
            .unwrap()
        };
        assert_eq!(doubtful(&pod("false")), None);
        let doubtful = doubtful(&pod("true")).into_iter().collect();
        let found = examine(&stores(json!({"target": {"name": "d"}}), 2, true), &[], &doubtful);
        assert_eq!(found[0].level, Level::Doubt);
        assert!(found[0].what.starts_with("n/a: pod p: hostPort 81 leads past"), "{found:?}");
    }

    #[test]
    fn a_deployment_by_its_annotations_is_no_resource_that_was_not_looked_at() {
        let of = |most: &str| {
            let mut stores = Stores::default();
            let workload = json!({
                "metadata": {"name": "d", "annotations": {"tidegate.dev/max-replicas": most}},
                "spec": {"selector": {"matchLabels": {"app": "a"}}, "template": {}}});
            let workload = Workload::of_deployment(serde_json::from_value(workload).unwrap());
            let key = Key { namespace: "n".to_owned(), name: "d".to_owned() };
            stores.deployments().set(key, workload);
            examine(&stores, &[], &Doubtful::new())
        };
        // Their generation is a hash: of several, some are more than nothing was seen of.
        for most in ["3", "4", "5", "6", "7", "8", "9", "10"] {
            let levels: Vec<Level> = of(most).iter().map(|found| found.level).collect();
            assert_eq!(levels, [Level::Fine], "{most}");
        }
        let wrong = of("many").remove(0);
        assert_eq!(wrong.level, Level::Wrong);
        assert!(wrong.advice.contains("annotations"));
    }

    #[test]
    fn a_service_that_leads_past_the_sidecar_is_doubted() {
        let seen = stores(json!({"target": {"name": "d"}}), 2, true);
        for (target, passes) in [
            (json!("tidegate"), false),
            (json!(8080), false),
            (json!("tidegate-admin"), false),
            (json!(8081), false),
            (json!("http"), true),
            (json!(8000), true),
            (Value::Null, true),
        ] {
            let found = told(&seen, &[service(target.clone())]);
            let is_told = found[0].1.contains("the Service s leads past the sidecar");
            assert_eq!(is_told, passes, "{target}: {found:?}");
        }
        let mut both = service(json!("http"));
        let more = service(json!("tidegate-admin")).spec.unwrap().ports.unwrap();
        both.spec.as_mut().unwrap().ports.as_mut().unwrap().extend(more);
        let told = |seen| told(seen, std::slice::from_ref(&both));
        assert!(told(&seen)[0].1.contains("leads past the sidecar"), "its admin port is no way in");
        let told = |seen: &Stores| self::told(seen, &[service(json!("http"))]);
        let without = stores(json!({"target": {"name": "d"}}), 2, false);
        assert!(told(&without)[0].1.contains("tidegate-admin"));
    }
}
