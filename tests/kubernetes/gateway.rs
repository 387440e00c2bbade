//! The gateway finds APIs and replicas on a cluster: the real program, real sidecars and models.

use super::api_server::ApiServer;
use super::cluster::NAMESPACE;
use super::front::{Front, deployment, inference_api, patch, pod};
use super::request::Place;
use crate::support::eventually;
use crate::support::http::{connect, get, read_answer};
use crate::support::sidecar::Sidecar;
use serde_json::json;
use std::io::Write;

const API: (&str, &str) = ("tidegate.dev/v1alpha1", "inferenceapis");

#[test]
fn it_is_ready_once_it_has_seen_the_cluster_and_sends_to_the_targets_pods() {
    let server = ApiServer::start();
    deployment(&server, "digits", 1);
    inference_api(&server, "digits", &json!({"concurrency": {"limit": 3}}));
    let sidecar = Sidecar::start(&["--concurrency", "3"]);
    pod(&server, "digits-1", "digits", &sidecar);
    server.refuse("inferenceapis", 500);
    let front = Front::start(server, &[]);
    eventually("it says that it fails", || {
        front.metric("tidegate_discovery_failures_total", r#"code="server",what="inferenceapis""#)
            > 0.0
    });
    assert_eq!(get(front.admin, "/readyz").status, 503);
    assert_eq!(front.metric("tidegate_discovery_synced", ""), 0.0);
    front.server.accept();
    front.wait_until_ready();
    assert_eq!(front.metric("tidegate_discovery_synced", ""), 1.0);

    let answer = get(front.data, "/digits/x");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(front.endpoints("digits"), [("digits-1".to_owned(), "ready".to_owned())]);
    assert_eq!(front.metric("tidegate_concurrency_limit", "models/digits"), 3.0);
    // What the pod's own annotation says is what its sidecar does.
    let limit = json!({"metadata": {"annotations": {"tidegate.dev/concurrency-limit": "2"}}});
    patch(&front.server, "v1", "pods", "digits-1", &limit);
    eventually("it is known", || {
        front.metric("tidegate_concurrency_limit", "models/digits") == 2.0
    });
    assert_eq!(get(front.data, "/elsewhere").status, 404);
    assert_eq!(front.server.writes("").len(), 0, "it writes nothing");
}

#[test]
fn a_resource_that_is_wrong_is_served_as_it_was_and_disturbs_no_other() {
    let server = ApiServer::start();
    let sidecar = Sidecar::start(&["--concurrency", "8"]);
    for name in ["a", "b"] {
        deployment(&server, name, 1);
        inference_api(&server, name, &json!({"concurrency": {"limit": 8}}));
        pod(&server, &format!("{name}-1"), name, &sidecar);
    }
    let front = Front::start(server, &[]);
    front.wait_until_ready();
    let status = |path: &str| get(front.data, path).status;
    let states = |state: &str| front.metric("tidegate_discovery_apis", state);
    assert_eq!((status("/a/x"), status("/b/x"), states("served")), (200, 200, 2.0));

    let wrong = json!({"spec": {"concurrency": {"limit": 0}}});
    patch(&front.server, API.0, API.1, "a", &wrong);
    front.process.wait_for_line("can't serve an API as its resource says");
    eventually("it is counted", || states("kept") == 1.0);
    assert_eq!(front.metric("tidegate_reload_failures_total", ""), 1.0);
    let page = get(front.admin, "/config").text();
    assert!(page.contains("models/a: ") && page.contains("spec.concurrency.limit"), "{page}");
    patch(&front.server, API.0, API.1, "b", &json!({"spec": {"routes": [{"path": "/new"}]}}));
    eventually("the other one changes", || status("/new") == 200);
    assert_eq!((status("/a/x"), status("/b/x")), (200, 404));

    // A route that an older one has.
    inference_api(&front.server, "c", &json!({"routes": [{"path": "/new"}]}));
    let line = front.process.wait_for_line("is that of models/b");
    assert!(line.contains("models/c"), "{line}");
    eventually("it is counted", || states("refused") == 1.0);
    assert_eq!(status("/new"), 200);

    patch(&front.server, API.0, API.1, "a", &json!({"spec": {"concurrency": {"limit": 8}}}));
    let gone = Place::of(API.0, API.1, NAMESPACE, "c");
    front.server.shared().store(|store| store.delete(&gone)).unwrap();
    eventually("all is well", || states("served") == 2.0 && states("refused") == 0.0);
    assert!(!get(front.admin, "/config").text().contains("models/a: "));
}

#[test]
fn keys_that_are_missing_stop_one_api_only_and_until_they_come() {
    let server = ApiServer::start();
    let folder = tempfile::TempDir::new().unwrap();
    let keys = folder.path().join("keys");
    let sidecar = Sidecar::start(&[]);
    for (name, spec) in [("a", json!({"access": {"apiKeys": {"file": keys}}})), ("b", json!({}))] {
        deployment(&server, name, 1);
        inference_api(&server, name, &spec);
        pod(&server, &format!("{name}-1"), name, &sidecar);
    }
    let front = Front::start(server, &[]);
    front.wait_until_ready();
    assert_eq!((get(front.data, "/a/x").status, get(front.data, "/b/x").status), (404, 200));
    std::fs::write(&keys, format!("me:{}\n", "0".repeat(64))).unwrap();
    eventually("it asks for a key", || get(front.data, "/a/x").status == 401);
}

#[test]
fn a_pod_that_ends_gets_no_new_work_and_finishes_what_it_has() {
    let server = ApiServer::start();
    deployment(&server, "digits", 2);
    inference_api(&server, "digits", &json!({"concurrency": {"limit": 4}}));
    let (old, new) =
        (Sidecar::start(&["--concurrency", "4"]), Sidecar::start(&["--concurrency", "4"]));
    pod(&server, "old", "digits", &old);
    let front = Front::start(server, &[]);
    front.wait_until_ready();
    let mut slow = connect(front.data);
    write!(slow, "GET /digits/sleep?ms=3000 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .unwrap();
    old.model.wait_for_line("REQUEST GET /sleep");
    let deleted = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
    patch(&front.server, "v1", "pods", "old", &deleted);
    eventually("it drains", || {
        front.endpoints("digits") == [("old".to_owned(), "draining".to_owned())]
    });
    pod(&front.server, "new", "digits", &new);
    for _ in 0..5 {
        assert_eq!(get(front.data, "/digits/x").status, 200);
    }
    assert_eq!(old.model.count_lines("REQUEST"), 1);
    assert_eq!(read_answer(&mut slow).text(), "slept\n");
    let gone = Place::of("v1", "pods", NAMESPACE, "old");
    front.server.shared().store(|store| store.delete(&gone)).unwrap();
    eventually("it is gone", || front.endpoints("digits").len() == 1);
}

#[test]
fn the_api_server_may_be_away_and_what_was_known_goes_on() {
    let server = ApiServer::start();
    deployment(&server, "digits", 1);
    inference_api(&server, "digits", &json!({}));
    let (one, other) = (Sidecar::start(&[]), Sidecar::start(&[]));
    pod(&server, "one", "digits", &one);
    let front = Front::start(server, &[]);
    front.wait_until_ready();
    assert_eq!(get(front.data, "/digits/x").status, 200);
    front.server.away(true);
    eventually("it says so", || {
        front.metric("tidegate_discovery_failures_total", "unreachable") > 0.0
    });
    assert_eq!(get(front.data, "/digits/x").status, 200);
    assert_eq!(get(front.admin, "/readyz").status, 200);
    // What has changed meanwhile, and what is forgotten of it, is seen when it is back.
    pod(&front.server, "other", "digits", &other);
    front.server.forget();
    front.server.away(false);
    eventually("the other pod is found", || front.endpoints("digits").len() == 2);
    assert_eq!(get(front.data, "/digits/x").status, 200);
}

#[test]
fn an_api_that_goes_is_answered_to_the_end() {
    let server = ApiServer::start();
    deployment(&server, "digits", 1);
    inference_api(&server, "digits", &json!({"concurrency": {"limit": 1}}));
    let sidecar = Sidecar::start(&[]);
    pod(&server, "one", "digits", &sidecar);
    let front = Front::start(server, &[]);
    front.wait_until_ready();
    let ask = || {
        let mut stream = connect(front.data);
        write!(
            stream,
            "GET /digits/sleep?ms=1000 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        )
        .unwrap();
        stream
    };
    let mut both = [ask(), ask()];
    eventually("one runs and one waits", || {
        front.metric("tidegate_requests_queued", "models/digits") == 1.0
            && front.metric("tidegate_requests_in_flight", "models/digits") == 1.0
    });
    let gone = Place::of(API.0, API.1, NAMESPACE, "digits");
    front.server.shared().store(|store| store.delete(&gone)).unwrap();
    eventually("it is led to no more", || get(front.data, "/digits/x").status == 404);
    for stream in &mut both {
        assert_eq!(read_answer(stream).text(), "slept\n");
    }
    eventually("and forgotten", || !get(front.admin, "/metrics").text().contains("models/digits"));
}

#[test]
fn it_ends_with_a_reason_where_no_cluster_is_configured() {
    let mut command = std::process::Command::new(crate::support::binary("tidegate-proxy"));
    command.args(["gateway", "--kubernetes"]).env("KUBECONFIG", "/nowhere").env("HOME", "/nowhere");
    let mut process = crate::support::process::Process::start(&mut command);
    assert_eq!(process.wait().code(), Some(1));
    process.wait_for_line("no Kubernetes cluster is configured");
}
