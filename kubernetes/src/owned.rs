//! What Tidegate makes of an `InferenceApi` with a pod template: a Deployment, a Service before its
//! sidecars, and a PodDisruptionBudget. Pure.
//!
//! The number of replicas is never among what is applied: whoever says it owns it, and that is the
//! scale's business. A Deployment that is new has one, as Kubernetes has it.

use crate::facts::Key;
use serde_json::{Map, Value, json};
use tidegate_api::InferenceApi;
use tidegate_api::document::{Replicas, Template};
use tidegate_api::names::{API_KIND, API_VERSION, annotation, port};

/// The label by which an API's pods are found.
pub const API: &str = "tidegate.dev/api";
/// Who is said to manage what is made.
const MANAGER: &str = "tidegate";
/// The Service's port.
const SERVICE_PORT: u16 = 80;

/// Where it leads to the sidecars' admin ports: the number that they have by default.
const ADMIN_PORT: u16 = 8022;

/// An object to be applied.
#[derive(Debug, Clone, PartialEq)]
pub struct Owned {
    /// Group and version, kind, and the kind's name in addresses.
    pub resource: (&'static str, &'static str, &'static str),
    /// The whole of what we say of it.
    pub object: Value,
}

/// All that is made of an API of this uid; nothing of one without a template.
pub fn owned(api: &InferenceApi, key: &Key, uid: &str) -> Vec<Owned> {
    let Some(template) = &api.template else { return Vec::new() };
    let selector = json!({API: key.name});
    let all = [
        (
            ("apps/v1", "Deployment", "deployments"),
            json!({
                "selector": {"matchLabels": selector},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {
                    "maxSurge": replicas(api.rolling_update.max_surge),
                    "maxUnavailable": replicas(api.rolling_update.max_unavailable),
                }},
                "template": pods(api, template, &key.name),
            }),
        ),
        (
            ("v1", "Service", "services"),
            json!({
                "selector": selector,
                "ports": [
                    {"name": "http", "port": SERVICE_PORT, "protocol": "TCP", "targetPort": port::TRAFFIC},
                    // By it a gateway that goes by EndpointSlices finds out who is ready.
                    {"name": port::ADMIN, "port": ADMIN_PORT, "protocol": "TCP", "targetPort": port::ADMIN},
                ],
            }),
        ),
        (
            ("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
            json!({
                "selector": {"matchLabels": selector},
                "maxUnavailable": 1,
                // A pod that can't serve must not keep a node from being drained.
                "unhealthyPodEvictionPolicy": "AlwaysAllow",
            }),
        ),
    ];
    let object = |(resource, spec): ((&'static str, &'static str, &'static str), Value)| {
        let (version, kind, _) = resource;
        let metadata = metadata(key, uid);
        let object =
            json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec});
        Owned { resource, object }
    };
    all.into_iter().map(object).collect()
}

/// Deleted with the API, by Kubernetes' garbage collection.
fn metadata(key: &Key, uid: &str) -> Value {
    json!({
        "name": key.name,
        "namespace": key.namespace,
        "labels": {"app.kubernetes.io/managed-by": MANAGER, "app.kubernetes.io/name": key.name},
        "ownerReferences": [{
            "apiVersion": API_VERSION,
            "kind": API_KIND,
            "name": key.name,
            "uid": uid,
            "controller": true,
        }],
    })
}

fn replicas(replicas: Replicas) -> Value {
    match replicas {
        Replicas::Count(count) => json!(count),
        Replicas::Percent(share) => json!(format!("{share}%")),
    }
}

/// The pods' template: as it was given, with what finds the pods and what gives them their sidecar.
fn pods(api: &InferenceApi, Template(template): &Template, name: &str) -> Value {
    let mut template = template.clone();
    let mut metadata = filled(&mut template, "metadata", Vec::new());
    let concurrency = &api.concurrency;
    let timeout = tidegate_api::duration_text(concurrency.queue_timeout);
    let mut notes = vec![
        (annotation::CONCURRENCY_LIMIT, concurrency.limit.to_string()),
        (annotation::QUEUE_CAPACITY, concurrency.queue_capacity.to_string()),
        (annotation::QUEUE_BYTES, concurrency.queue_bytes.to_string()),
        (annotation::QUEUE_TIMEOUT, timeout),
    ];
    notes.extend(api.port.map(|port| (annotation::PORT, port.to_string())));
    let notes = filled(&mut metadata, "annotations", notes);
    let inject = vec![(annotation::INJECT, "true".to_owned())];
    let mut labels = filled(&mut metadata, "labels", inject);
    labels.insert(API.to_owned(), json!(name));
    metadata.insert("annotations".to_owned(), Value::Object(notes));
    metadata.insert("labels".to_owned(), Value::Object(labels));
    template.insert("metadata".to_owned(), Value::Object(metadata));
    Value::Object(template)
}

/// The mapping under this name, with these values where it has none of their keys.
fn filled(
    of: &mut Map<String, Value>,
    name: &str,
    values: Vec<(&str, String)>,
) -> Map<String, Value> {
    let mut inner = match of.remove(name) {
        Some(Value::Object(inner)) => inner,
        _ => Map::new(),
    };
    for (key, value) in values {
        inner.entry(key).or_insert_with(|| json!(value));
    }
    inner
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::apps::v1::Deployment;
    use k8s_openapi::api::core::v1::Service;
    use k8s_openapi::api::policy::v1::PodDisruptionBudget;
    use serde::Serialize;
    use serde::de::DeserializeOwned;
    use std::path::Path;

    fn made(spec: &str) -> Vec<Owned> {
        let text = format!(
            "apiVersion: {API_VERSION}\nkind: {API_KIND}\nmetadata: {{name: digits}}\nspec: {spec}"
        );
        let api = tidegate_api::parse(&text, "a", Path::new("/")).unwrap().remove(0);
        let key = Key { namespace: "models".to_owned(), name: "digits".to_owned() };
        owned(&api, &key, "u-1")
    }

    const PLAIN: &str = "{template: {spec: {containers: [{name: model, image: x}]}}}";

    /// What Kubernetes' own types don't know would be refused or lost there.
    fn is_known<T: DeserializeOwned + Serialize>(object: &Value) {
        let typed: T = serde_json::from_value(object.clone()).unwrap();
        let mut back = serde_json::to_value(typed).unwrap();
        if let Some(spec) = back["spec"].as_object_mut() {
            // A key of a Deployment that its type writes empty where it is not given.
            spec.retain(|_, value| !value.is_null());
        }
        assert_eq!(back, *object);
    }

    #[test]
    fn an_api_without_a_template_has_nothing_made() {
        assert_eq!(made("{target: {name: digits}}"), []);
    }

    #[test]
    fn everything_is_the_apis_own_and_of_its_name() {
        let all = made(PLAIN);
        let kinds: Vec<_> = all.iter().map(|owned| owned.resource.1).collect();
        assert_eq!(kinds, ["Deployment", "Service", "PodDisruptionBudget"]);
        for Owned { resource: (version, kind, _), object } in &all {
            assert_eq!((&object["apiVersion"], &object["kind"]), (&json!(version), &json!(kind)));
            let metadata = &object["metadata"];
            assert_eq!(
                (&metadata["namespace"], &metadata["name"]),
                (&json!("models"), &json!("digits"))
            );
            assert_eq!(metadata["ownerReferences"][0]["uid"], "u-1");
            assert_eq!(metadata["ownerReferences"][0]["controller"], true);
        }
        is_known::<Deployment>(&all[0].object);
        is_known::<Service>(&all[1].object);
        is_known::<PodDisruptionBudget>(&all[2].object);
    }

    #[test]
    fn nobody_says_how_many_replicas_there_are() {
        assert_eq!(made(PLAIN)[0].object["spec"].get("replicas"), None);
    }

    #[test]
    fn the_pods_are_found_and_get_their_sidecar() {
        let all = made(
            "{port: 8000, rollingUpdate: {maxSurge: 25%}, concurrency: {limit: 4, queueTimeout: 90s}, template: {metadata: \
             {labels: {team: red}, annotations: {tidegate.dev/queue-capacity: '7'}}, spec: \
             {containers: [{name: model, image: x}]}}}",
        );
        let strategy = &all[0].object["spec"]["strategy"]["rollingUpdate"];
        assert_eq!(*strategy, json!({"maxSurge": "25%", "maxUnavailable": 0}));
        let template = &all[0].object["spec"]["template"];
        let labels = json!({API: "digits", "team": "red", "tidegate.dev/inject": "true"});
        assert_eq!(template["metadata"]["labels"], labels);
        let notes = json!({
            "tidegate.dev/concurrency-limit": "4",
            "tidegate.dev/port": "8000",
            "tidegate.dev/queue-bytes": "67108864",
            "tidegate.dev/queue-capacity": "7",
            "tidegate.dev/queue-timeout": "1m30s",
        });
        assert_eq!(template["metadata"]["annotations"], notes);
        assert_eq!(template["spec"]["containers"][0]["image"], "x");
        let selector = json!({API: "digits"});
        assert_eq!(all[0].object["spec"]["selector"]["matchLabels"], selector);
        assert_eq!(all[1].object["spec"]["selector"], selector);
    }

    #[test]
    fn the_service_leads_to_the_sidecars() {
        let ports = &made(PLAIN)[1].object["spec"]["ports"];
        assert_eq!((&ports[0]["port"], &ports[0]["targetPort"]), (&json!(80), &json!("tidegate")));
        let (name, target) = (&ports[1]["name"], &ports[1]["targetPort"]);
        assert_eq!((name, target), (&json!("tidegate-admin"), &json!("tidegate-admin")));
    }
}
