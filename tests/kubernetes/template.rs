//! An `InferenceApi` with a pod template: what is made of it, kept as it says, and scaled.

use super::cluster::{Cluster, NAMESPACE};
use super::request::Place;
use crate::support::{eventually, now};
use serde_json::{Value, json};
use std::time::Duration;

const KINDS: [(&str, &str); 3] =
    [("apps/v1", "deployments"), ("v1", "services"), ("policy/v1", "poddisruptionbudgets")];

/// An API of so many replicas at the least, with a template.
fn create(cluster: &Cluster, name: &str, least: u32) {
    let spec = json!({
        "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [
            {"name": "model", "image": "model:1"}]}},
        "autoscaling": {"minReplicas": least, "maxReplicas": 8},
    });
    let api = json!({"metadata": {"name": name}, "spec": spec});
    cluster.create("tidegate.dev/v1alpha1", "inferenceapis", api);
}

/// What stands at the API server of what is made of `name`.
fn made(cluster: &Cluster, name: &str) -> Vec<Option<Value>> {
    let get = |(group, plural)| {
        let place = Place::of(group, plural, NAMESPACE, name);
        cluster.api.shared().store(|store| store.get(&place)).ok()
    };
    KINDS.map(get).to_vec()
}

fn image(cluster: &Cluster, name: &str) -> Value {
    let deployment = made(cluster, name)[0].clone().unwrap_or_default();
    deployment["spec"]["template"]["spec"]["containers"][0]["image"].clone()
}

#[test]
fn what_is_made_of_a_template_is_kept_and_scaled() {
    let cluster = Cluster::start();
    create(&cluster, "digits", 3);
    let _autoscaler = cluster.autoscaler("one", &[]);
    eventually("all is made", || made(&cluster, "digits").iter().all(Option::is_some));
    for object in made(&cluster, "digits").into_iter().flatten() {
        let owner = &object["metadata"]["ownerReferences"][0];
        assert_eq!((&owner["kind"], &owner["name"]), (&json!("InferenceApi"), &json!("digits")));
        assert!(owner["uid"].as_str().is_some_and(|uid| !uid.is_empty()), "{object}");
    }
    eventually("it is scaled", || cluster.replicas("digits") == 3);
    eventually("it says so", || cluster.condition("digits", "Applied") == "True Applied");
    eventually("it is ready", || cluster.condition("digits", "Ready") == "True Replicas");

    // A changed template is applied, and the number of replicas is left alone.
    let pods = json!([{"name": "model", "image": "model:2"}]);
    cluster.edit("digits", &json!({"template": {"spec": {"containers": pods}}}));
    eventually("the new image is applied", || image(&cluster, "digits") == "model:2");
    assert_eq!(cluster.replicas("digits"), 3);
    let whole = || {
        let mut all =
            cluster.api.writes("PATCH /apis/apps/v1/namespaces/models/deployments/digits");
        all.retain(|write| !write.what.ends_with("/scale"));
        all
    };
    // A write is remembered once it is answered, a moment after it is done.
    eventually("both applies are answered", || whole().len() >= 2);
    assert!(whole().iter().all(|write| write.body["spec"].get("replicas").is_none()));

    // What somebody has deleted is made anew.
    cluster.delete("apps/v1", "deployments", "digits");
    eventually("it is there again", || image(&cluster, "digits") == "model:2");
}

#[test]
fn a_template_with_a_field_that_no_pod_has_is_told_by_its_name_and_not_tried_hotly() {
    let cluster = Cluster::start();
    create(&cluster, "digits", 1);
    cluster.edit("digits", &json!({"template": {"spec": {"containres": []}}}));
    let _autoscaler = cluster.autoscaler("one", &[]);
    for kind in ["Applied", "Ready", "Scaling"] {
        eventually("it says so", || cluster.condition("digits", kind) == "False InvalidTemplate");
    }
    let status = cluster.status("digits");
    let all = status["conditions"].as_array().unwrap();
    let names_it = |one: &Value| {
        one["message"] == "spec.template.spec.containres: field not declared in schema"
    };
    assert!(all.iter().all(names_it), "{status}");
    eventually("an event tells it", || {
        cluster.events("digits").contains(&"InvalidTemplate".to_owned())
    });
    // Longer than what may mend itself is waited for at first.
    let tries = || cluster.api.writes("PATCH /apis/apps/v1/namespaces/models/deployments").len();
    let from = now();
    eventually("six seconds have passed", || now() - from > Duration::from_secs(6));
    assert_eq!(tries(), 1);
    cluster.edit("digits", &json!({"template": {"spec": {"containres": null}}}));
    eventually("it is mended", || cluster.condition("digits", "Applied") == "True Applied");
}

#[test]
fn what_is_somebody_elses_is_left_alone() {
    let cluster = Cluster::start();
    cluster.deploy("digits", 2);
    create(&cluster, "digits", 3);
    let _autoscaler = cluster.autoscaler("one", &[]);
    eventually("it says so", || cluster.condition("digits", "Applied") == "False CanNotApply");
    eventually("an event tells it", || {
        cluster.events("digits").contains(&"CanNotApply".to_owned())
    });
    let deployment = cluster.deployment("digits");
    assert_eq!(deployment["metadata"]["ownerReferences"], Value::Null);
    assert_eq!(deployment["spec"]["template"]["spec"]["containers"][0]["image"], "model:1");
    assert_eq!(cluster.scalings("digits"), [], "nor is it scaled");
}
