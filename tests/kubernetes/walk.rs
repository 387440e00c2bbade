//! One walk through all that is asked of an API server: on the one made here, and on any real one.
//!
//! The real one is that of `KUBECONFIG`. It needs no scheduler, kubelet or controllers, and no
//! network but its own port: pods are made ready by hand, and their sidecars listen on loopback.
//! Everything is made in a namespace of its own and taken away at the end.

use super::api_server::ApiServer;
use super::cluster::{Autoscaler, kubeconfig, start_autoscaler};
use super::scaling::spec;
use super::sidecars::serve_text;
use crate::support::http::metric;
use crate::support::{eventually, now, say};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;
use tidegate_kubernetes::crd;
use tidegate_kubernetes::kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use tidegate_kubernetes::kube::config::{Config, KubeConfigOptions, Kubeconfig};
use tidegate_kubernetes::kube::core::{ApiResource, GroupVersionKind};
use tidegate_kubernetes::kube::{Api, Client, Error};
use tokio::runtime::Runtime;

const LEASE: &str = "tidegate-autoscaler";

#[test]
fn the_walk_is_passed_on_the_api_server_made_here() {
    let (server, folder) = (ApiServer::start(), TempDir::new().unwrap());
    let config = folder.path().join("kubeconfig");
    std::fs::write(&config, kubeconfig(server.address(), "walker")).unwrap();
    walk(&config, false);
}

#[test]
#[ignore = "needs a Kubernetes API server: set KUBECONFIG"]
fn the_walk_is_passed_on_a_real_api_server() {
    let config = std::env::var_os("KUBECONFIG").expect("KUBECONFIG names the API server");
    walk(Path::new(&config), true);
}

/// Objects in one namespace of one API server.
pub(super) struct Walk {
    runtime: Runtime,
    client: Client,
    namespace: String,
    config: PathBuf,
    /// What to take away at the end, in this order.
    made: Vec<(ApiResource, String, String)>,
    /// Requests in flight at each pod.
    in_flight: Arc<AtomicU32>,
}

fn walk(config: &Path, is_real: bool) {
    let mut walk = Walk::begin(config);
    walk.define();
    if is_real {
        walk.mistakes_are_refused();
    }
    walk.create("apps/v1", "Deployment", deployment("digits", 1));
    walk.create("tidegate.dev/v1alpha1", "InferenceApi", inference_api("digits", &spec(1, 8)));
    walk.pod("digits-1");

    walk.in_flight.store(3, Ordering::Relaxed);
    let mut one = walk.autoscaler("one");
    eventually("one leads", || walk.leader() == "one");
    let two = walk.autoscaler("two");
    eventually("the scale follows the load", || walk.replicas() == 3);
    eventually("the status says so", || walk.status()["wanted"] == 3);
    eventually("and of which load", || walk.status()["inFlight"] == 3);
    let status = walk.status();
    assert_eq!(status["selector"], "app=digits", "{status}");
    assert_eq!(status["conditions"].as_array().unwrap().len(), 2, "{status}");
    eventually("an event tells it", || walk.has_event("Scaled"));

    walk.pod("digits-2");
    walk.in_flight.store(2, Ordering::Relaxed);
    eventually("two pods with two each", || walk.replicas() == 4);

    one.process.signal(Signal::KILL);
    one.process.wait();
    eventually("the other takes over", || walk.leader() == "two");
    walk.in_flight.store(3, Ordering::Relaxed);
    eventually("it scales", || walk.replicas() == 6);

    walk.change(
        "tidegate.dev/v1alpha1",
        "InferenceApi",
        "digits",
        &json!({"spec": {"paused": true}}),
    );
    eventually("it is paused", || walk.condition("Scaling") == "False Paused");
    walk.change("apps/v1", "Deployment", "digits", &json!({"spec": {"replicas": 2}}));
    eventually("what a human asks for is told", || walk.status()["wanted"] == 2);
    assert_eq!(walk.replicas(), 2);
    let failures = metric(two.admin, "tidegate_autoscaler_api_server_failures_total", "");
    let page = crate::support::http::get(two.admin, "/metrics").text();
    let failed: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("tidegate_autoscaler_api_server_failures_total"))
        .filter(|line| !line.ends_with(" 0"))
        .collect();
    say(&format!("{failures} calls failed on the way: {failed:?}"));
    assert!(failed.iter().all(|line| line.contains(r#"code="conflict""#)), "{failed:?}");
}

/// A Deployment with so many replicas.
pub(super) fn deployment(name: &str, replicas: u32) -> Value {
    let labels = json!({ "app": name });
    json!({
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "model", "image": "model:1"}]},
            },
        },
    })
}

fn inference_api(name: &str, spec: &Value) -> Value {
    let mut spec = spec.clone();
    spec["target"] = json!({ "name": name });
    json!({"metadata": {"name": name}, "spec": spec})
}

impl Walk {
    /// A namespace of its own.
    pub(super) fn begin(config: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let client = runtime.block_on(async {
            let kubeconfig = Kubeconfig::read_from(config).unwrap();
            let options = KubeConfigOptions::default();
            let config = Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
            Client::try_from(config).unwrap()
        });
        let namespace = format!("tidegate-test-{:08x}", fastrand::u32(..));
        let mut walk = Self {
            runtime,
            client,
            namespace: String::new(),
            config: config.to_owned(),
            made: Vec::new(),
            in_flight: Arc::default(),
        };
        walk.create("v1", "Namespace", json!({"metadata": {"name": namespace}}));
        walk.namespace = namespace;
        // Where no controller makes it, pods are refused without it.
        let account = json!({"metadata": {"name": "default"}});
        match walk.try_create("v1", "ServiceAccount", &account) {
            Ok(()) => {}
            Err(Error::Api(status)) if status.code == 409 => {}
            Err(error) => panic!("{error}"),
        }
        walk
    }

    /// Its namespace.
    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Defines the resource, unless somebody has. It is taken away only if it was made here.
    pub(super) fn define(&mut self) {
        let definition = crd::definition();
        let name = definition["metadata"]["name"].as_str().unwrap().to_owned();
        let (group, kind) = ("apiextensions.k8s.io/v1", "CustomResourceDefinition");
        match self.try_create_in("", group, kind, &definition) {
            Ok(()) => {}
            Err(Error::Api(status)) if status.code == 409 => {
                self.apply("", group, kind, &name, &definition);
            }
            Err(error) => panic!("{error}"),
        }
        eventually("it is established", || {
            let definition = self.get_in("", group, kind, &name);
            let conditions = definition["status"]["conditions"].as_array().cloned();
            conditions.unwrap_or_default().iter().any(|condition| {
                condition["type"] == "Established" && condition["status"] == "True"
            })
        });
    }

    /// The definition's own rules.
    fn mistakes_are_refused(&mut self) {
        let refused = |walk: &mut Self, spec: Value, what: &str| {
            let object = json!({"metadata": {"name": "wrong"}, "spec": spec});
            let made = walk.try_create("tidegate.dev/v1alpha1", "InferenceApi", &object);
            let Err(Error::Api(status)) = made else { panic!("taken: {what}") };
            assert_eq!(status.code, 422, "{what}: {}", status.message);
            assert!(status.message.contains(what), "{what}: {}", status.message);
        };
        refused(self, json!({}), "container and target");
        let target = json!({"name": "digits"});
        let limits = json!({"minReplicas": 3, "maxReplicas": 2});
        refused(self, json!({"target": target, "autoscaling": limits}), "at most maxReplicas");
        refused(self, json!({"target": target, "concurrency": {"limit": 0}}), "limit");
        refused(self, json!({"target": target, "paused": "yes"}), "paused");
    }

    pub(super) fn autoscaler(&self, name: &str) -> Autoscaler {
        let flags = ["--namespace", &self.namespace, "--own-namespace", &self.namespace];
        start_autoscaler(&self.config, name, &flags)
    }

    /// A pod of `digits` that is ready, with a sidecar on this machine.
    pub(super) fn pod(&mut self, name: &str) {
        let (in_flight, start) = (Arc::clone(&self.in_flight), now());
        let seconds = std::sync::Mutex::new((0.0, start));
        let text = move |_: &str| {
            let held = in_flight.load(Ordering::Relaxed);
            let (mut seconds, moment) = (seconds.lock().unwrap(), now());
            seconds.0 += (moment - seconds.1).as_secs_f64() * f64::from(held) * 0.99;
            seconds.1 = moment;
            format!(
                "tidegate_concurrency_seconds_total {}\ntidegate_queue_seconds_total 0\n\
                 tidegate_requests_in_flight {held}\ntidegate_requests_queued 0\n",
                seconds.0
            )
        };
        let port = self.runtime.block_on(serve_text(name.to_owned(), text));
        let mut pod = super::cluster::pod_object(name, &json!({"app": "digits"}), port);
        let status = pod["status"].take();
        pod.as_object_mut().unwrap().remove("status");
        pod["spec"]["automountServiceAccountToken"] = json!(false);
        self.create("v1", "Pod", pod);
        let pods = self.api(&self.namespace, "v1", "Pod");
        let patch = json!({ "status": status });
        let params = PatchParams::default();
        self.runtime.block_on(pods.patch_status(name, &params, &Patch::Merge(&patch))).unwrap();
    }

    fn replicas(&self) -> u64 {
        self.get("apps/v1", "Deployment", "digits")["spec"]["replicas"].as_u64().unwrap()
    }

    fn status(&self) -> Value {
        self.get("tidegate.dev/v1alpha1", "InferenceApi", "digits")["status"].clone()
    }

    fn condition(&self, kind: &str) -> String {
        let status = self.status();
        let all = status["conditions"].as_array().cloned().unwrap_or_default();
        let one = all.into_iter().find(|condition| condition["type"] == kind).unwrap_or_default();
        format!("{} {}", one["status"].as_str().unwrap_or(""), one["reason"].as_str().unwrap_or(""))
    }

    fn leader(&self) -> String {
        let leases = self.api(&self.namespace, "coordination.k8s.io/v1", "Lease");
        let lease = self.runtime.block_on(leases.get_opt(LEASE)).unwrap();
        let holder = lease.map(|lease| lease.data["spec"]["holderIdentity"].clone());
        holder.and_then(|holder| holder.as_str().map(str::to_owned)).unwrap_or_default()
    }

    fn has_event(&self, reason: &str) -> bool {
        let events = self.api(&self.namespace, "events.k8s.io/v1", "Event");
        let events = self.runtime.block_on(events.list(&Default::default())).unwrap();
        events.iter().any(|event| event.data["reason"] == reason)
    }

    // === objects of any kind ===

    fn api(&self, namespace: &str, group_version: &str, kind: &str) -> Api<DynamicObject> {
        let resource = resource(group_version, kind);
        match namespace {
            "" => Api::all_with(self.client.clone(), &resource),
            namespace => Api::namespaced_with(self.client.clone(), namespace, &resource),
        }
    }

    pub(super) fn get(&self, group_version: &str, kind: &str, name: &str) -> Value {
        self.get_in(&self.namespace, group_version, kind, name)
    }

    fn get_in(&self, namespace: &str, group_version: &str, kind: &str, name: &str) -> Value {
        let api = self.api(namespace, group_version, kind);
        serde_json::to_value(self.runtime.block_on(api.get(name)).unwrap()).unwrap()
    }

    pub(super) fn create(&mut self, group_version: &str, kind: &str, object: Value) {
        self.try_create(group_version, kind, &object).unwrap();
    }

    fn try_create(&mut self, group_version: &str, kind: &str, object: &Value) -> Result<(), Error> {
        let namespace = self.namespace.clone();
        self.try_create_in(&namespace, group_version, kind, object)
    }

    fn try_create_in(
        &mut self,
        namespace: &str,
        group_version: &str,
        kind: &str,
        object: &Value,
    ) -> Result<(), Error> {
        let api = self.api(namespace, group_version, kind);
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let mut object = object.clone();
        object["apiVersion"] = json!(group_version);
        object["kind"] = json!(kind);
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        self.runtime.block_on(api.create(&PostParams::default(), &object))?;
        self.made.push((resource(group_version, kind), namespace.to_owned(), name));
        Ok(())
    }

    pub(super) fn apply(
        &self,
        namespace: &str,
        group_version: &str,
        kind: &str,
        name: &str,
        object: &Value,
    ) {
        let api = self.api(namespace, group_version, kind);
        let params = PatchParams::apply("tidegate-test").force();
        self.runtime.block_on(api.patch(name, &params, &Patch::Apply(object))).unwrap();
    }

    fn change(&self, group_version: &str, kind: &str, name: &str, patch: &Value) {
        let api = self.api(&self.namespace, group_version, kind);
        let params = PatchParams::default();
        self.runtime.block_on(api.patch(name, &params, &Patch::Merge(patch))).unwrap();
    }
}

impl Drop for Walk {
    fn drop(&mut self) {
        // The last first: the namespace goes when it is empty. What fails is left and told.
        let lease = resource("coordination.k8s.io/v1", "Lease");
        self.made.push((lease, self.namespace.clone(), LEASE.to_owned()));
        for (resource, namespace, name) in self.made.drain(..).rev() {
            let client = self.client.clone();
            let api: Api<DynamicObject> = match namespace.as_str() {
                "" => Api::all_with(client, &resource),
                namespace => Api::namespaced_with(client, namespace, &resource),
            };
            let params = DeleteParams::default().grace_period(0);
            if let Err(error) = self.runtime.block_on(api.delete(&name, &params)) {
                say(&format!("left behind: {} {namespace}/{name}: {error}", resource.kind));
            }
        }
    }
}

fn resource(group_version: &str, kind: &str) -> ApiResource {
    let plurals: BTreeMap<&str, &str> = [("InferenceApi", "inferenceapis")].into();
    let (group, version) = group_version.split_once('/').unwrap_or(("", group_version));
    let of = GroupVersionKind::gvk(group, version, kind);
    match plurals.get(kind) {
        Some(plural) => ApiResource::from_gvk_with_plural(&of, plural),
        None => ApiResource::from_gvk(&of),
    }
}
