//! A gateway of a cluster, and pods that have real sidecars: what a kubelet would start.

use super::api_server::ApiServer;
use super::cluster::{NAMESPACE, kubeconfig};
use super::request::Place;
use super::store::merge;
use crate::support::http::{get, metric};
use crate::support::process::Process;
use crate::support::sidecar::Sidecar;
use crate::support::{binary, eventually};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::process::Command;
use tempfile::TempDir;

/// An API server and a gateway that follows it.
pub(super) struct Front {
    pub(super) server: ApiServer,
    pub(super) process: Process,
    pub(super) data: SocketAddr,
    pub(super) admin: SocketAddr,
    _folder: TempDir,
}

impl Front {
    /// A gateway of this API server, whose client has the token `gateway`.
    pub(super) fn start(server: ApiServer, flags: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let config = folder.path().join("kubeconfig");
        std::fs::write(&config, kubeconfig(server.address(), "gateway")).unwrap();
        let mut command = Command::new(binary("tidegate-proxy"));
        command
            .args(["gateway", "--kubernetes", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(["--workers", "2", "--drain-delay", "0s"])
            .args(flags)
            .env("KUBECONFIG", &config);
        let process = Process::start(&mut command);
        let line = process.wait_for_line(r#""event":"listening""#);
        let json: Value = serde_json::from_str(&line).unwrap();
        let address = |key: &str| json[key].as_str().unwrap().parse().unwrap();
        let (data, admin) = (address("data"), address("admin"));
        Self { server, process, data, admin, _folder: folder }
    }

    /// Waits until it may be sent traffic.
    pub(super) fn wait_until_ready(&self) {
        eventually("the gateway is ready", || get(self.admin, "/readyz").status == 200);
    }

    /// One of its metrics.
    pub(super) fn metric(&self, name: &str, labels: &str) -> f64 {
        metric(self.admin, name, labels)
    }

    /// What each endpoint of an API is up to: its id and its state.
    pub(super) fn endpoints(&self, api: &str) -> Vec<(String, String)> {
        let page: Value = serde_json::from_str(&get(self.admin, "/endpoints").text()).unwrap();
        let all = page["apis"][format!("{NAMESPACE}/{api}")].as_array().cloned();
        let text = |one: &Value, field: &str| one[field].as_str().unwrap().to_owned();
        let all = all.unwrap_or_default();
        all.iter().map(|one| (text(one, "id"), text(one, "state"))).collect()
    }
}

/// An object of the models' namespace.
pub(super) fn create(server: &ApiServer, group_version: &str, plural: &str, object: Value) {
    let place = Place::of(group_version, plural, NAMESPACE, "");
    server.shared().store(|store| store.create(&place, object)).unwrap();
}

/// Changes an object of the models' namespace by a merge patch.
pub(super) fn patch(
    server: &ApiServer,
    group_version: &str,
    plural: &str,
    name: &str,
    patch: &Value,
) {
    let place = Place::of(group_version, plural, NAMESPACE, name);
    let change = |object: &mut Value| merge(object, patch);
    server.shared().store(|store| store.change(&place, change)).unwrap();
}

/// A Deployment of so many replicas, for which nobody makes pods.
pub(super) fn deployment(server: &ApiServer, name: &str, replicas: u32) {
    let labels = json!({ "app": name });
    let object = json!({
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}}},
    });
    create(server, "apps/v1", "deployments", object);
}

/// An `InferenceApi` that targets the Deployment of its name, at the path of its name.
pub(super) fn inference_api(server: &ApiServer, name: &str, spec: &Value) {
    let mut whole = json!({
        "target": {"name": name},
        "routes": [{"path": format!("/{name}"), "stripPrefix": true}],
    });
    merge(&mut whole, spec);
    let object = json!({"metadata": {"name": name}, "spec": whole});
    create(server, "tidegate.dev/v1alpha1", "inferenceapis", object);
}

/// A pod of the Deployment `app`, whose sidecar is this one. Whether it is ready is for the gateway
/// to find out.
pub(super) fn pod(server: &ApiServer, name: &str, app: &str, sidecar: &Sidecar) {
    let object = json!({
        "metadata": {"name": name, "labels": {"app": app}},
        "spec": {
            "initContainers": [{
                "name": "tidegate",
                "image": "tidegate:1",
                "restartPolicy": "Always",
                "ports": [
                    {"name": "tidegate", "containerPort": sidecar.data.port()},
                    {"name": "tidegate-admin", "containerPort": sidecar.admin.port()},
                ],
            }],
            "containers": [{"name": "model", "image": "model:1"}],
        },
        "status": {"phase": "Running", "podIP": "127.0.0.1"},
    });
    create(server, "v1", "pods", object);
}
