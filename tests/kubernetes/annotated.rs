//! Deployments that ask by annotations, without a resource.

use super::api_server::ApiServer;
use super::cluster::{Cluster, NAMESPACE};
use super::front::{Front, deployment, patch, pod};
use super::request::Place;
use super::scaling::spec;
use crate::support::eventually;
use crate::support::http::get;
use crate::support::sidecar::Sidecar;
use serde_json::{Value, json};

/// Says this on a Deployment.
fn annotate(server: &ApiServer, name: &str, annotations: &Value) {
    let change = json!({"metadata": {"annotations": annotations}});
    patch(server, "apps/v1", "deployments", name, &change);
}

fn quick(max: &str) -> Value {
    json!({
        "tidegate.dev/min-replicas": "1",
        "tidegate.dev/max-replicas": max,
        "tidegate.dev/utilization": "1.0",
        "tidegate.dev/stable-window": "10s",
    })
}

#[test]
fn a_deployment_scales_by_its_annotations_and_events_tell_it() {
    let cluster = Cluster::start();
    for name in ["asks", "plain"] {
        cluster.deploy(name, 1);
        cluster.load(name, 4);
    }
    annotate(&cluster.api, "asks", &quick("3"));
    let _autoscaler = cluster.autoscaler("one", &[]);
    eventually("as many as it may have", || cluster.replicas("asks") == 3);
    eventually("events tell it", || !cluster.events("asks").is_empty());
    assert!(cluster.events("asks").iter().all(|reason| reason == "Scaled"));
    let events = cluster.api.writes("POST /apis/events.k8s.io/v1");
    assert_eq!(
        (&events[0].body["regarding"]["kind"], &events[0].body["regarding"]["apiVersion"]),
        (&json!("Deployment"), &json!("apps/v1"))
    );
    assert_eq!(cluster.api.writes("/status").len(), 0, "its status is not ours");
    annotate(&cluster.api, "asks", &quick("4"));
    eventually("what it says now counts", || cluster.replicas("asks") == 4);

    annotate(&cluster.api, "asks", &json!({"tidegate.dev/max-replicas": "many"}));
    eventually("a mistake is told", || {
        cluster.events("asks").last().is_some_and(|reason| reason == "InvalidSpec")
    });
    let note = || {
        let events = cluster.api.writes("POST /apis/events.k8s.io/v1");
        events.last().unwrap().body["note"].as_str().unwrap().to_owned()
    };
    assert!(note().contains("tidegate.dev/max-replicas is \"many\"; must be"), "{}", note());
    annotate(&cluster.api, "asks", &json!({"tidegate.dev/max-replicas": "lots"}));
    eventually("another mistake is told too", || {
        note().contains("tidegate.dev/max-replicas is \"lots\"; must be")
    });

    // A resource for the same Deployment is what counts.
    annotate(&cluster.api, "asks", &quick("4"));
    cluster.create_api("asks", &spec(1, 6));
    cluster.load("asks", 6);
    eventually("as the resource says", || cluster.replicas("asks") == 6);
    assert_eq!((cluster.replicas("plain"), cluster.events("plain").len()), (1, 0));
}

#[test]
fn settings_that_no_sidecar_starts_with_are_told_by_an_event() {
    let cluster = Cluster::start();
    cluster.serve("digits", 1, &spec(1, 2));
    let _autoscaler = cluster.autoscaler("one", &[]);
    let template = |limit: &str| {
        let metadata = json!({"annotations": {"tidegate.dev/concurrency-limit": limit}});
        let change = json!({"spec": {"template": {"metadata": metadata}}});
        patch(&cluster.api, "apps/v1", "deployments", "digits", &change);
    };
    let told = || cluster.events("digits").iter().filter(|it| *it == "InvalidAnnotations").count();
    template("lots");
    eventually("it is told", || told() == 1);
    let events = cluster.api.writes("POST /apis/events.k8s.io/v1");
    let of = events.iter().find(|event| event.body["reason"] == "InvalidAnnotations").unwrap();
    let note = of.body["note"].as_str().unwrap();
    assert!(note.contains("tidegate.dev/concurrency-limit is \"lots\""), "{note}");
    template("8");
    template("many");
    eventually("and again", || told() == 2);
}

#[test]
fn a_gateway_serves_a_deployment_by_its_annotations() {
    let server = ApiServer::start();
    deployment(&server, "digits", 1);
    let sidecar = Sidecar::start(&[]);
    pod(&server, "digits-1", "digits", &sidecar);
    let front = Front::start(server, &[]);
    front.wait_until_ready();
    assert_eq!(get(front.data, "/digits/x").status, 404);
    let path = json!({"tidegate.dev/path": "/digits", "tidegate.dev/strip-prefix": "true"});
    annotate(&front.server, "digits", &path);
    eventually("it is led to", || get(front.data, "/digits/x").status == 200);
    sidecar.model.wait_for_line("REQUEST GET /x");
    annotate(&front.server, "digits", &json!({"tidegate.dev/path": "digits"}));
    eventually("a mistake is counted", || front.metric("tidegate_discovery_apis", "kept") == 1.0);
    assert_eq!(get(front.data, "/digits/x").status, 200);
    let gone = Place::of("apps/v1", "deployments", NAMESPACE, "digits");
    front.server.shared().store(|store| store.delete(&gone)).unwrap();
    eventually("it is led to no more", || get(front.data, "/digits/x").status == 404);
}
