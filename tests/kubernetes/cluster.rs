//! A cluster made of an API server, deployments that get their pods, and sidecars that tell a load.

use super::api_server::{ApiServer, Shared};
use super::request::{Place, Selection};
use super::sidecars::{Counter, Load, serve_text};
use super::store::merge;
use super::walk::deployment;
use crate::support::process::Process;
use crate::support::{binary, eventually, now};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;
use tempfile::TempDir;

/// The namespace of everything that is scaled.
pub(super) const NAMESPACE: &str = "models";
/// That of the autoscaler and its gateways.
pub(super) const OWN: &str = "tidegate";

/// The cost that the autoscaler marks a pod with.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// A cluster. Dropped, it is gone.
pub(super) struct Cluster {
    pub(super) api: ApiServer,
    load: Arc<Load>,
    folder: TempDir,
}

/// A running autoscaler of the cluster.
pub(super) struct Autoscaler {
    pub(super) process: Process,
    pub(super) admin: SocketAddr,
}

impl Cluster {
    /// A cluster in which nothing runs.
    pub(super) fn start() -> Self {
        let api = ApiServer::start();
        let load = Arc::new(Load::default());
        let (shared, of) = (api.shared(), Arc::clone(&load));
        api.spawn(async move {
            let mut changes = shared.changes();
            let mut made = 0;
            loop {
                changes.mark_unchanged();
                run_deployments(&shared, &of, &mut made).await;
                if changes.changed().await.is_err() {
                    return;
                }
            }
        });
        Self { api, load, folder: TempDir::new().unwrap() }
    }

    /// An autoscaler that calls itself `name`. It is quick, unless the flags say otherwise.
    pub(super) fn autoscaler(&self, name: &str, flags: &[&str]) -> Autoscaler {
        let config = self.config(name);
        let mut all = vec!["--own-namespace", OWN];
        all.extend(flags);
        start_autoscaler(&config, name, &all)
    }

    /// The configuration of a client that calls itself `name`.
    pub(super) fn config(&self, name: &str) -> PathBuf {
        let config = self.folder.path().join(format!("{name}.kubeconfig"));
        std::fs::write(&config, kubeconfig(self.api.address(), name)).unwrap();
        config
    }

    /// A deployment with so many replicas, and an `InferenceApi` that scales it.
    pub(super) fn serve(&self, name: &str, replicas: u32, spec: &Value) {
        self.deploy(name, replicas);
        self.create_api(name, spec);
        eventually("the deployment has its pods", || self.pods(name).len() == replicas as usize);
    }

    /// A deployment alone.
    pub(super) fn deploy(&self, name: &str, replicas: u32) {
        self.create("apps/v1", "deployments", deployment(name, replicas));
    }

    /// An `InferenceApi` that scales the deployment of its name, with more of its spec.
    pub(super) fn create_api(&self, name: &str, spec: &Value) {
        let mut whole = json!({"target": {"name": name}});
        merge(&mut whole, spec);
        let api = json!({"metadata": {"name": name}, "spec": whole});
        self.create("tidegate.dev/v1alpha1", "inferenceapis", api);
    }

    /// A gateway's pod.
    pub(super) fn gateway(&self) {
        let load = Arc::clone(&self.load);
        let shared = self.api.shared();
        self.api.spawn(async move {
            let text = move |_: &str| {
                let held = load.held.lock().unwrap();
                let queue = |(api, held): (&String, &u32)| {
                    format!("tidegate_requests_queued{{api=\"{api}\"}} {held}\n")
                };
                let first = "tidegate_build_info{version=\"1\"} 1\n".to_owned();
                std::iter::once(first).chain(held.iter().map(queue)).collect::<String>()
            };
            let port = serve_text("gateway".to_owned(), text).await;
            let place = Place::of("v1", "pods", OWN, "");
            let pod = pod_object("gateway-1", &json!({"app": "gateway"}), port);
            shared.store(|store| store.create(&place, pod)).unwrap();
        });
    }

    /// So many requests of `app` are in flight from now on, shared by its pods.
    pub(super) fn load(&self, app: &str, in_flight: u32) {
        self.load.demand.lock().unwrap().insert(app.to_owned(), in_flight);
    }

    /// So many requests are in flight at one pod from now on.
    pub(super) fn busy(&self, pod: &str, in_flight: u32) {
        self.load.busy.lock().unwrap().insert(pod.to_owned(), in_flight);
    }

    /// So many requests for the API `name` wait at the gateway from now on.
    pub(super) fn hold(&self, name: &str, queued: u32) {
        self.load.held.lock().unwrap().insert(format!("{NAMESPACE}/{name}"), queued);
    }

    /// The deployment, as it stands.
    pub(super) fn deployment(&self, name: &str) -> Value {
        let place = Place::of("apps/v1", "deployments", NAMESPACE, name);
        self.api.shared().store(|store| store.get(&place)).unwrap()
    }

    /// How many replicas are asked for.
    pub(super) fn replicas(&self, name: &str) -> u64 {
        self.deployment(name)["spec"]["replicas"].as_u64().unwrap()
    }

    /// Asks for so many replicas, as `kubectl scale` does.
    pub(super) fn scale(&self, name: &str, replicas: u32) {
        let place = Place::of("apps/v1", "deployments", NAMESPACE, name);
        let change = |object: &mut Value| object["spec"]["replicas"] = json!(replicas);
        self.api.shared().store(|store| store.change(&place, change)).unwrap();
    }

    /// Changes the spec of an `InferenceApi`.
    pub(super) fn edit(&self, name: &str, spec: &Value) {
        let place = Place::of("tidegate.dev/v1alpha1", "inferenceapis", NAMESPACE, name);
        let change = |object: &mut Value| merge(&mut object["spec"], spec);
        self.api.shared().store(|store| store.change(&place, change)).unwrap();
    }

    /// An object of another kind.
    pub(super) fn create(&self, group_version: &str, plural: &str, object: Value) {
        let place = Place::of(group_version, plural, NAMESPACE, "");
        self.api.shared().store(|store| store.create(&place, object)).unwrap();
    }

    /// Takes such an object away.
    pub(super) fn delete(&self, group_version: &str, plural: &str, name: &str) {
        let place = Place::of(group_version, plural, NAMESPACE, name);
        self.api.shared().store(|store| store.delete(&place)).unwrap();
    }

    /// The names of the pods of `app`.
    pub(super) fn pods(&self, app: &str) -> Vec<String> {
        self.api.shared().store(|store| {
            let all = Place::of("v1", "pods", NAMESPACE, "");
            let pods = store.list(&all, &Selection::default());
            let its_own = pods.iter().filter(|pod| pod["metadata"]["labels"]["app"] == app);
            its_own.map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect()
        })
    }

    /// The status of an `InferenceApi`.
    pub(super) fn status(&self, name: &str) -> Value {
        let place = Place::of("tidegate.dev/v1alpha1", "inferenceapis", NAMESPACE, name);
        self.api.shared().store(|store| store.get(&place)).unwrap()["status"].clone()
    }

    /// The status and reason of a condition, as in `True Measured`.
    pub(super) fn condition(&self, name: &str, kind: &str) -> String {
        let status = self.status(name);
        let all = status["conditions"].as_array().cloned().unwrap_or_default();
        let one = all.into_iter().find(|condition| condition["type"] == kind).unwrap_or_default();
        let text = |field: &str| one[field].as_str().unwrap_or("none").to_owned();
        format!("{} {}", text("status"), text("reason"))
    }

    /// The reasons of all events about `name`, oldest first.
    pub(super) fn events(&self, name: &str) -> Vec<String> {
        let writes = self.api.writes("POST /apis/events.k8s.io/v1");
        let about = writes.iter().filter(|write| write.body["regarding"]["name"] == name);
        about.map(|write| write.body["reason"].as_str().unwrap_or("").to_owned()).collect()
    }

    /// Every number of replicas that the deployment was asked for, and by whom.
    pub(super) fn scalings(&self, name: &str) -> Vec<(String, u64, Instant)> {
        let writes = self.api.writes(&format!("/deployments/{name}/scale"));
        let done = writes.iter().filter(|write| write.status == 200);
        done.map(|write| {
            (write.who.clone(), write.body["spec"]["replicas"].as_u64().unwrap(), write.at)
        })
        .collect()
    }

    /// Who has the lease; empty for nobody.
    pub(super) fn leader(&self) -> String {
        let place = Place::of("coordination.k8s.io/v1", "leases", OWN, "tidegate-autoscaler");
        let lease = self.api.shared().store(|store| store.get(&place)).unwrap_or_default();
        lease["spec"]["holderIdentity"].as_str().unwrap_or("").to_owned()
    }
}

/// An autoscaler that calls itself `name`. It is quick, unless the flags say otherwise.
pub(super) fn start_autoscaler(config: &Path, name: &str, flags: &[&str]) -> Autoscaler {
    let mut command = Command::new(binary("tidegate-autoscaler"));
    command
        .args(["run", "--kubernetes", "--admin", "127.0.0.1:0"])
        .args(["--gateways", "app=gateway", "--identity", name])
        .args(flags)
        .env("KUBECONFIG", config)
        .env("NO_COLOR", "1");
    for (flag, value) in [("--tick", "100ms"), ("--lease-duration", "3s")] {
        if !flags.contains(&flag) {
            command.args([flag, value]);
        }
    }
    let process = Process::start(&mut command);
    let line = process.wait_for_line(r#""event":"listening""#);
    let line: Value = serde_json::from_str(&line).unwrap();
    let admin = line["admin"].as_str().unwrap().parse().unwrap();
    Autoscaler { process, admin }
}

/// A client's configuration, with the name as its token.
pub(super) fn kubeconfig(server: SocketAddr, name: &str) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "here", "cluster": {"server": format!("http://{server}")}}],
        "users": [{"name": "me", "user": {"token": name}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "current-context": "here",
    })
    .to_string()
}

/// What the controllers of Deployments and ReplicaSets do, and the kubelet: pods come and go.
async fn run_deployments(shared: &Arc<Shared>, load: &Arc<Load>, made: &mut u32) {
    let all = Selection::default();
    let list = |group: &str, plural: &str| {
        shared.store(|store| store.list(&Place::of(group, plural, NAMESPACE, ""), &all))
    };
    for deployment in list("apps/v1", "deployments") {
        let name = deployment["metadata"]["name"].as_str().unwrap().to_owned();
        let wanted = deployment["spec"]["replicas"].as_u64().unwrap_or(1) as usize;
        let labels = deployment["spec"]["template"]["metadata"]["labels"].clone();
        let mut pods = list("v1", "pods");
        pods.retain(|pod| pod["metadata"]["labels"] == labels);
        // As a ReplicaSet does among pods that are all ready: the cheapest first, then the newest.
        pods.sort_by_key(|pod| {
            let cost = pod["metadata"]["annotations"][DELETION_COST].as_str();
            let age = pod["metadata"]["uid"].as_str().unwrap().trim_start_matches("uid-");
            let age: u64 = age.parse().unwrap();
            (cost.map_or(0, |cost| cost.parse::<i64>().unwrap()), std::cmp::Reverse(age))
        });
        for pod in pods.iter().take(pods.len().saturating_sub(wanted)) {
            let pod = pod["metadata"]["name"].as_str().unwrap();
            shared.store(|store| store.delete(&Place::of("v1", "pods", NAMESPACE, pod))).unwrap();
            load.pods.lock().unwrap().remove(pod);
        }
        for _ in pods.len()..wanted {
            *made += 1;
            let pod = format!("{name}-{made}");
            let of = Arc::clone(load);
            let counter = Counter { app: name.clone(), seconds: 0.0, since: now() };
            load.pods.lock().unwrap().insert(pod.clone(), counter);
            let port = serve_text(pod.clone(), move |pod| of.sidecar(pod)).await;
            let object = pod_object(&pod, &labels, port);
            let place = Place::of("v1", "pods", NAMESPACE, "");
            shared.store(|store| store.create(&place, object)).unwrap();
        }
        let place = Place::of("apps/v1", "deployments", NAMESPACE, &name);
        let place = Place { subresource: "status".to_owned(), ..place };
        let status = json!({"replicas": wanted, "readyReplicas": wanted});
        shared.store(|store| store.change(&place, |object| object["status"] = status)).unwrap();
    }
}

/// A pod that is ready, whose sidecar listens on a port of this machine.
pub(super) fn pod_object(name: &str, labels: &Value, port: u16) -> Value {
    json!({
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "initContainers": [{
                "name": "tidegate",
                "image": "tidegate:1",
                "restartPolicy": "Always",
                "ports": [{"name": "tidegate-admin", "containerPort": port}],
            }],
            "containers": [{"name": "model", "image": "model:1"}],
        },
        "status": {
            "phase": "Running",
            "podIP": "127.0.0.1",
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    })
}
