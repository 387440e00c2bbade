//! Targets of kinds that nobody watches: what has a `/scale` is scaled.

use super::cluster::{Cluster, NAMESPACE};
use super::request::Place;
use super::scaling::spec;
use crate::support::eventually;
use serde_json::{Value, json};

const VERSION: &str = "argoproj.io/v1alpha1";

/// An API of two replicas at the least, whose target this is.
fn create_api(cluster: &Cluster, name: &str, kind: &str, version: &str) {
    let mut whole = spec(2, 4);
    whole["target"] = json!({"apiVersion": version, "kind": kind, "name": name});
    cluster.create_api(name, &whole);
}

fn rollout(cluster: &Cluster, name: &str) {
    let object = json!({"metadata": {"name": name}, "spec": {"replicas": 1,
        "selector": {"matchLabels": {"app": name}}}});
    cluster.create(VERSION, "rollouts", object);
}

fn replicas(cluster: &Cluster, name: &str) -> Value {
    let place = Place::of(VERSION, "rollouts", NAMESPACE, name);
    cluster.api.shared().store(|store| store.get(&place)).unwrap()["spec"]["replicas"].clone()
}

#[test]
fn whatever_has_a_scale_is_scaled_and_what_has_none_is_told_why() {
    let cluster = Cluster::start();
    cluster.api.refuse("GET /apis/argoproj.io/v1alpha1/namespaces/models/rollouts/shut/scale", 403);
    for name in ["canary", "shut"] {
        rollout(&cluster, name);
        create_api(&cluster, name, "Rollout", VERSION);
    }
    create_api(&cluster, "gone", "Rollout", VERSION);
    create_api(&cluster, "odd", "Widget", "example.com/v1");
    create_api(&cluster, "nokind", "Widget", VERSION);
    create_api(&cluster, "noscale", "PodDisruptionBudget", "policy/v1");
    let _autoscaler = cluster.autoscaler("one", &[]);
    eventually("it is scaled", || replicas(&cluster, "canary") == 2);
    eventually("the status says which pods are its own", || {
        cluster.status("canary")["selector"] == "app=canary"
    });
    for (name, reason) in [
        ("shut", "False NoScale"),
        ("gone", "False TargetNotFound"),
        ("odd", "False UnknownKind"),
        ("nokind", "False UnknownKind"),
        ("noscale", "False UnknownKind"),
    ] {
        eventually(reason, || cluster.condition(name, "Scaling") == reason);
    }
    assert_eq!(replicas(&cluster, "shut"), 1, "it is left alone");

    cluster.api.accept();
    eventually("it is scaled as soon as that is allowed", || replicas(&cluster, "shut") == 2);
    rollout(&cluster, "gone");
    eventually("it is scaled as soon as it is there", || replicas(&cluster, "gone") == 2);
}
