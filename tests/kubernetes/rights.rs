//! The chart's roles list exactly the rights that are used: none is missing, none too many.

use super::api_server::ApiServer;
use super::cluster::{Cluster, NAMESPACE, OWN, kubeconfig, pod_object};
use super::front::{Front, deployment, inference_api};
use super::request::Place;
use super::scaling::spec;
use super::waking::wake;
use crate::support::process::Process;
use crate::support::{binary, eventually, root};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::Command;
use tempfile::TempDir;

type Rights = BTreeSet<(String, String, String)>;

/// The rights that the manifests' roles with this in their names give.
fn given(part: &str) -> Rights {
    let text = std::fs::read_to_string(root().join("deploy/manifests/tidegate.yaml")).unwrap();
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let is_role = |object: &&Value| {
        ["Role", "ClusterRole"].iter().any(|kind| object["kind"] == *kind)
            && object["metadata"]["name"].as_str().unwrap().contains(part)
    };
    let mut rights = Rights::new();
    for rule in objects.iter().filter(is_role).flat_map(|role| texts(&role["rules"])) {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                for verb in texts(&rule["verbs"]) {
                    let text = |value: &Value| value.as_str().unwrap().to_owned();
                    rights.insert((text(&verb), text(&group), text(&resource)));
                }
            }
        }
    }
    rights
}

fn texts(list: &Value) -> Vec<Value> {
    list.as_array().cloned().unwrap_or_default()
}

#[test]
fn the_autoscaler_has_the_rights_that_it_uses() {
    let cluster = Cluster::start();
    cluster.gateway();
    // One that shrinks, and is marked before.
    cluster.serve("digits", 3, &spec(1, 8));
    // A StatefulSet that grows; nobody makes pods for it here.
    let labels = json!({"app": "set"});
    cluster.create(
        "apps/v1",
        "statefulsets",
        json!({
            "metadata": {"name": "set"},
            "spec": {"replicas": 1, "serviceName": "x", "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}}},
        }),
    );
    cluster.create("v1", "pods", pod_object("set-0", &labels, 1));
    let mut set = spec(2, 8);
    set["target"] = json!({"kind": "StatefulSet"});
    cluster.create_api("set", &set);
    // One of whose template something is made.
    let template = json!({"spec": {"containers": [{"name": "model", "image": "model:1"}]}});
    let made = json!({"metadata": {"name": "made"}, "spec": {"template": template}});
    cluster.create("tidegate.dev/v1alpha1", "inferenceapis", made);
    cluster.api.give_token("a-token", "tidegate/tidegate-gateway", "tidegate-autoscaler");
    let accounts = ["--wake-service-accounts", "tidegate/tidegate-gateway"];
    let autoscaler = cluster.autoscaler("one", &accounts);
    let token = Some("Bearer a-token");
    eventually("it can be woken", || wake(autoscaler.admin, "models/digits", token) == 202);
    eventually("the Deployment shrinks", || cluster.replicas("digits") == 1);
    let set = Place::of("apps/v1", "statefulsets", NAMESPACE, "set");
    eventually("the StatefulSet grows", || {
        cluster.api.shared().store(|store| store.get(&set)).unwrap()["spec"]["replicas"] == 2
    });
    let given = given("tidegate-autoscaler");
    eventually("every right is used", || cluster.api.rights("one") == given);
    assert_eq!(cluster.api.programs("one"), ["tidegate-autoscaler"]);
}

#[test]
fn the_gateway_has_the_rights_that_it_uses() {
    let server = ApiServer::start();
    deployment(&server, "digits", 1);
    inference_api(&server, "digits", &json!({}));
    let front = Front::start(server, &[]);
    front.wait_until_ready();
    let given = given("gateway");
    eventually("every right is used", || front.server.rights("gateway") == given);
    assert_eq!(front.server.programs("gateway"), ["tidegate-gateway"]);
}

#[test]
fn the_injector_has_the_rights_that_it_uses() {
    let (server, folder) = (ApiServer::start(), TempDir::new().unwrap());
    let config = folder.path().join("kubeconfig");
    std::fs::write(&config, kubeconfig(server.address(), "injector")).unwrap();
    let hooks =
        Place::of("admissionregistration.k8s.io/v1", "mutatingwebhookconfigurations", "", "");
    let hook = json!({"metadata": {"name": "tidegate-injector"}, "webhooks": [
        {"name": "by-request.tidegate.dev", "clientConfig": {}}]});
    server.shared().store(|store| store.create(&hooks, hook)).unwrap();
    let start = || {
        let mut command = Command::new(binary("tidegate-autoscaler"));
        command.args(["inject", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        command.args(["--namespace", OWN]).env("KUBECONFIG", &config);
        let process = Process::start(&mut command);
        process.wait_for_line(r#""event":"listening""#);
        process
    };
    drop(start());
    // One that finds its certificate old makes another.
    let secret = Place::of("v1", "secrets", OWN, "tidegate-injector");
    let old = |secret: &mut Value| {
        secret["metadata"]["annotations"]["tidegate.dev/not-after"] = json!("1");
    };
    server.shared().store(|store| store.change(&secret, old)).unwrap();
    start().wait_for_line("made a certificate");
    assert_eq!(server.rights("injector"), given("injector"));
    assert_eq!(server.programs("injector"), ["tidegate-injector"]);
}
