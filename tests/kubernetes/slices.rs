//! A gateway that finds replicas by EndpointSlices: the real program, and real sidecars and models.

use super::api_server::ApiServer;
use super::front::{Front, create, inference_api, patch};
use crate::support::eventually;
use crate::support::http::{connect, get, read_answer};
use crate::support::sidecar::Sidecar;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write;

const BY_SLICES: [&str; 2] = ["--discovery", "endpoint-slices"];
const SLICES: (&str, &str) = ("discovery.k8s.io/v1", "endpointslices");

/// What a slice says of a pod that has this sidecar.
fn endpoint(pod: &str, conditions: Value) -> Value {
    json!({"addresses": ["127.0.0.1"], "conditions": conditions,
        "targetRef": {"kind": "Pod", "name": pod}})
}

/// A slice of a Service with one pod: each has its own, as sidecars differ in their ports here.
fn slice(server: &ApiServer, pod: &str, service: &str, sidecar: &Sidecar) {
    let object = json!({
        "metadata": {"name": pod, "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": sidecar.data.port()},
            {"name": "tidegate-admin", "port": sidecar.admin.port()}],
        "endpoints": [endpoint(pod, json!({"ready": false}))],
    });
    create(server, SLICES.0, SLICES.1, object);
}

#[test]
fn a_gateway_sends_to_the_pods_behind_the_service_of_the_apis_name() {
    let server = ApiServer::start();
    inference_api(&server, "digits", &json!({"concurrency": {"limit": 3}}));
    let sidecar = Sidecar::start(&["--concurrency", "3"]);
    slice(&server, "digits-1", "digits", &sidecar);
    slice(&server, "other-1", "other", &sidecar);
    let front = Front::start(server, &BY_SLICES);
    front.wait_until_ready();
    // Its sidecar says that it is ready before the slice does.
    assert_eq!(get(front.data, "/digits/x").status, 200);
    assert_eq!(front.endpoints("digits"), [("digits-1".to_owned(), "ready".to_owned())]);
    assert_eq!(front.metric("tidegate_concurrency_limit", "models/digits"), 3.0);

    let right = |verb: &str, group: &str, resource: &str| {
        (verb.to_owned(), group.to_owned(), resource.to_owned())
    };
    let read = |group, resource| ["list", "watch"].map(|verb| right(verb, group, resource));
    let used: BTreeSet<_> = [
        read("tidegate.dev", "inferenceapis"),
        read("discovery.k8s.io", "endpointslices"),
        read("apps", "deployments"),
    ]
    .into_iter()
    .flatten()
    .collect();
    eventually("it reads no pods", || front.server.rights("gateway") == used);
}

#[test]
fn an_endpoint_that_terminates_gets_no_new_work_and_finishes_what_it_has() {
    let server = ApiServer::start();
    inference_api(&server, "digits", &json!({"concurrency": {"limit": 4}}));
    let start = || Sidecar::start(&["--concurrency", "4"]);
    let (old, new) = (start(), start());
    slice(&server, "old", "digits", &old);
    let front = Front::start(server, &BY_SLICES);
    front.wait_until_ready();
    let mut slow = connect(front.data);
    write!(slow, "GET /digits/sleep?ms=3000 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .unwrap();
    old.model.wait_for_line("REQUEST GET /sleep");
    let leaves = json!({"ready": false, "serving": true, "terminating": true});
    let leaving = json!({"endpoints": [endpoint("old", leaves)]});
    patch(&front.server, SLICES.0, SLICES.1, "old", &leaving);
    eventually("it drains", || {
        front.endpoints("digits") == [("old".to_owned(), "draining".to_owned())]
    });
    slice(&front.server, "new", "digits", &new);
    for _ in 0..8 {
        assert_eq!(get(front.data, "/digits/now").status, 200);
    }
    assert_eq!(old.model.count_lines("REQUEST GET /now"), 0);
    assert_eq!(read_answer(&mut slow).status, 200);
}
