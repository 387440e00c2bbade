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
    let events = cluster.api.writes("POST /apis/events.k8s.io/v1");
    let note = events.last().unwrap().body["note"].as_str().unwrap().to_owned();
    assert!(note.contains("tidegate.dev/max-replicas is \"many\"; must be"), "{note}");

    // A resource for the same Deployment is what counts.
    annotate(&cluster.api, "asks", &quick("4"));
    cluster.create_api("asks", &spec(1, 6));
    cluster.load("asks", 6);
    eventually("as the resource says", || cluster.replicas("asks") == 6);
    assert_eq!((cluster.replicas("plain"), cluster.events("plain").len()), (1, 0));
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
