//! From zero and back: a gateway holds a request, wakes the autoscaler, which asks for a replica,
//! which answers. All programs are real; the test is the kubelet.

use super::api_server::ApiServer;
use super::cluster::{Autoscaler, NAMESPACE, OWN, kubeconfig, pod_object, start_autoscaler};
use super::front::{Front, deployment, inference_api, patch, pod};
use super::request::Place;
use super::scaling::spec;
use crate::support::eventually;
use crate::support::http::{connect, read_answer};
use crate::support::sidecar::Sidecar;
use serde_json::json;
use std::io::Write;
use std::net::SocketAddr;
use tempfile::TempDir;

/// The gateways' service account.
const ACCOUNT: &str = "tidegate/tidegate-gateway";
/// Whom its token is for.
const AUDIENCE: &str = "tidegate-autoscaler";

/// An autoscaler of the cluster that lets this account wake.
fn autoscaler(server: &ApiServer, folder: &TempDir, name: &str) -> Autoscaler {
    let config = folder.path().join(name);
    std::fs::write(&config, kubeconfig(server.address(), name)).unwrap();
    let own = ["--own-namespace", OWN, "--wake-service-accounts", ACCOUNT];
    start_autoscaler(&config, name, &own)
}

/// A gateway that wakes these autoscalers with this token.
fn gateway(server: ApiServer, autoscalers: &[SocketAddr], folder: &TempDir, token: &str) -> Front {
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{token}\n")).unwrap();
    let to: Vec<String> = autoscalers.iter().map(SocketAddr::to_string).collect();
    let flags = ["--wake", &to.join(","), "--wake-token-file", file.to_str().unwrap()];
    Front::start(server, &flags)
}

/// The gateway's pod, by which an autoscaler finds it.
fn gateway_pod(front: &Front) {
    let pod = pod_object("gateway-1", &json!({"app": "gateway"}), front.admin.port());
    let place = Place::of("v1", "pods", OWN, "");
    front.server.shared().store(|store| store.create(&place, pod)).unwrap();
}

fn replicas(server: &ApiServer, name: &str) -> u64 {
    let place = Place::of("apps/v1", "deployments", NAMESPACE, name);
    server.shared().store(|store| store.get(&place)).unwrap()["spec"]["replicas"].as_u64().unwrap()
}

/// What `POST /wake/…` is answered, with this as `Authorization`.
pub(super) fn wake(autoscaler: SocketAddr, api: &str, authorization: Option<&str>) -> u16 {
    let mut stream = connect(autoscaler);
    let field = authorization.map_or_else(String::new, |text| format!("authorization: {text}\r\n"));
    write!(
        stream,
        "POST /wake/{api} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n{field}connection: close\r\n\r\n"
    )
    .unwrap();
    read_answer(&mut stream).status
}

#[test]
fn a_request_to_nothing_is_answered_and_nothing_is_left_when_it_is_calm() {
    let (server, folder) = (ApiServer::start(), TempDir::new().unwrap());
    server.give_token("a-token", ACCOUNT, AUDIENCE);
    deployment(&server, "digits", 0);
    inference_api(&server, "digits", &spec(0, 4));
    let leader = autoscaler(&server, &folder, "one");
    leader.process.wait_for_line(" leads");
    let other = autoscaler(&server, &folder, "two");
    let front = gateway(server, &[other.admin, leader.admin], &folder, "a-token");
    gateway_pod(&front);
    front.wait_until_ready();
    let mut asked = connect(front.data);
    write!(asked, "GET /digits/x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    eventually("a replica is asked for", || replicas(&front.server, "digits") == 1);
    leader.process.wait_for_line("reason=\"wake\"");
    // What a kubelet does. The pod is not ready: the gateway finds out before anybody says so.
    let sidecar = Sidecar::start(&[]);
    pod(&front.server, "digits-1", "digits", &sidecar);
    let answer = read_answer(&mut asked);
    assert_eq!(answer.status, 200, "{answer:?}");
    let waited: u64 = answer.header("x-tidegate-cold-start").parse().unwrap();
    assert!(waited > 0);

    // The kubelet has seen it, too: as long as one starts, the last one stays.
    let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    patch(&front.server, "v1", "pods", "digits-1", &ready);
    eventually("nothing is left", || replicas(&front.server, "digits") == 0);
    assert_eq!(other.process.count_lines(" scale "), 0, "{}", other.process.output());
}

#[test]
fn only_the_named_account_wakes_with_a_token_for_the_autoscaler() {
    let (server, folder) = (ApiServer::start(), TempDir::new().unwrap());
    server.give_token("right", ACCOUNT, AUDIENCE);
    server.give_token("other-account", "tidegate/else", AUDIENCE);
    server.give_token("other-audience", ACCOUNT, "https://kubernetes.default.svc");
    deployment(&server, "digits", 0);
    inference_api(&server, "digits", &spec(0, 4));
    let scaler = autoscaler(&server, &folder, "one");
    let api = "models/digits";
    eventually("it can be woken", || wake(scaler.admin, api, Some("Bearer right")) == 202);
    for (authorization, status) in [
        (None, 401),
        (Some("right"), 401),
        (Some("Basic right"), 401),
        (Some("Bearer "), 401),
        (Some("Bearer nobody"), 401),
        (Some("Bearer other-audience"), 401),
        (Some("Bearer other-account"), 403),
        (Some("bearer right"), 202),
    ] {
        assert_eq!(wake(scaler.admin, api, authorization), status, "{authorization:?}");
    }
    assert_eq!(wake(scaler.admin, "models/else", Some("Bearer right")), 404);
    // A verdict counts for a while: the API server is not asked each time.
    let reviews = || server.writes("POST /apis/authentication.k8s.io/v1/tokenreviews").len();
    let before = reviews();
    for _ in 0..10 {
        assert_eq!(wake(scaler.admin, api, Some("Bearer right")), 202);
    }
    assert_eq!(reviews(), before);
    server.refuse("tokenreviews", 500);
    assert_eq!(wake(scaler.admin, api, Some("Bearer new")), 503);

    let closed = start_closed(&server, &folder);
    assert_eq!(wake(closed.admin, api, Some("Bearer right")), 403);
}

/// An autoscaler that lets nobody wake.
fn start_closed(server: &ApiServer, folder: &TempDir) -> Autoscaler {
    let config = folder.path().join("closed");
    std::fs::write(&config, kubeconfig(server.address(), "closed")).unwrap();
    start_autoscaler(&config, "closed", &["--own-namespace", OWN])
}

#[test]
fn a_token_is_read_anew_when_it_is_exchanged() {
    let (server, folder) = (ApiServer::start(), TempDir::new().unwrap());
    server.give_token("new", ACCOUNT, AUDIENCE);
    deployment(&server, "digits", 0);
    inference_api(&server, "digits", &spec(0, 4));
    let scaler = autoscaler(&server, &folder, "one");
    // The autoscaler does not know its pod: what it holds is seen by nothing but the wake.
    let front = gateway(server, &[scaler.admin], &folder, "old");
    front.wait_until_ready();
    let mut asked = connect(front.data);
    write!(asked, "GET /digits/x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    front.process.wait_for_line("it answered 401");
    assert_eq!(replicas(&front.server, "digits"), 0);
    crate::support::replace(&folder.path().join("token"), "new\n");
    eventually("it wakes", || replicas(&front.server, "digits") == 1);
}

#[test]
fn a_crowd_wakes_as_many_replicas_as_it_needs() {
    let (server, folder) = (ApiServer::start(), TempDir::new().unwrap());
    server.give_token("a-token", ACCOUNT, AUDIENCE);
    deployment(&server, "digits", 0);
    inference_api(&server, "digits", &spec(0, 8));
    let scaler = autoscaler(&server, &folder, "one");
    let front = gateway(server, &[scaler.admin], &folder, "a-token");
    gateway_pod(&front);
    front.wait_until_ready();
    let mut crowd: Vec<_> = (0..3)
        .map(|_| {
            let mut asked = connect(front.data);
            write!(
                asked,
                "GET /digits/sleep?ms=200 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
            )
            .unwrap();
            asked
        })
        .collect();
    eventually("three are asked for", || replicas(&front.server, "digits") == 3);
    let sidecars: Vec<_> = (0..3).map(|_| Sidecar::start(&[])).collect();
    for (index, sidecar) in sidecars.iter().enumerate() {
        pod(&front.server, &format!("digits-{index}"), "digits", sidecar);
    }
    for asked in &mut crowd {
        assert_eq!(read_answer(asked).status, 200);
    }
}
