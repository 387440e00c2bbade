//! One walk through all that is asked of an API server: on the one made here, and on any real one.
//!
//! The real one is that of `KUBECONFIG`, an absolute path or one seen from the repository's root:
//!
//! ```sh
//! KUBECONFIG=/path/to/kubeconfig cargo test --workspace --test tests -- --ignored real_api_server
//! ```
//!
//! What is assumed of it:
//!
//! - It is of 1.29 or newer, with the admission plugins that it has by default, and lets the user of
//!   `KUBECONFIG` do everything. Its Services get their addresses from itself, as they do by default.
//! - There need not be controllers. Nobody else then makes pods, statuses of Deployments, service
//!   accounts, endpoint slices, or ends what has an owner or lies in a namespace: the account `default`
//!   is made here, as pods are refused without it; what is made of a template is taken away here; and
//!   the namespace's finalizer is taken off here. Where there are controllers they do no harm.
//! - There need not be a scheduler, a kubelet or a network: pods are made ready by hand, and their
//!   sidecars and the gateways listen on this machine's loopback, where the autoscaler runs too.
//! - It need not reach this machine. Where it does it calls the injector; where not, its refusal must
//!   say that it tried.
//! - It may need a moment to serve what it has said to be established.
//!
//! Everything is made in a namespace of its own and taken away at the end; the definition and the
//! webhooks only if they were made here. The tests that use a real one run one after the other.

mod objects;
pub(super) mod real;

use super::api_server::ApiServer;
use super::cluster::{Autoscaler, kubeconfig, start_autoscaler};
use super::scaling::spec;
use super::sidecars::serve_text;
use crate::support::http::metric;
use crate::support::{eventually, now, say};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;
use tidegate_kubernetes::crd;
use tidegate_kubernetes::kube::api::{Patch, PatchParams};
use tidegate_kubernetes::kube::config::{Config, KubeConfigOptions, Kubeconfig};
use tidegate_kubernetes::kube::core::ApiResource;
use tidegate_kubernetes::kube::{Client, Error};
use tokio::runtime::Runtime;

const API: (&str, &str) = ("tidegate.dev/v1alpha1", "InferenceApi");
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
    let (config, _turn) = real::config();
    walk(&config, true);
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
        walk.the_chart_is_accepted();
        walk.the_injector_is_called();
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

    walk.a_rollout_is_kept();
    walk.a_template_is_applied();
    if is_real {
        walk.only_the_right_token_wakes(two.admin);
    }

    walk.change(API.0, API.1, "digits", &json!({"spec": {"paused": true}}));
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
        if self.is_going("", group, kind, &name) {
            assert!(self.is_gone("", group, kind, &name), "{name} is being deleted, for long");
        }
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
        // Who serves it hears of that a moment later.
        let apis = self.api(&self.namespace, API.0, API.1);
        eventually("it is served", || {
            self.runtime.block_on(apis.list(&Default::default())).is_ok()
        });
    }

    /// One version takes over: the status says where it stands, and says no more of it afterwards.
    fn a_rollout_is_kept(&mut self) {
        let versions = json!([{"api": "digits", "weight": 90}, {"api": "next", "weight": 10}]);
        let rollout = json!({"to": "next", "steps": [{"weight": 20, "pause": "1h"}]});
        let spec = json!({"traffic": {"versions": versions}, "rollout": rollout});
        self.create(API.0, API.1, json!({"metadata": {"name": "split"}, "spec": spec}));
        let status = |walk: &Self| walk.get(API.0, API.1, "split")["status"].clone();
        let progressing = |walk: &Self| {
            let status = status(walk);
            let all = status["conditions"].as_array().cloned().unwrap_or_default();
            all.into_iter().find(|condition| condition["type"] == "RolloutProgressing")
        };
        eventually("the first step", || status(self)["rollout"]["stage"] == "Step");
        let weights = json!({"digits": 80, "next": 20});
        assert_eq!(status(self)["rollout"]["weights"], weights, "{}", status(self));
        assert_eq!(progressing(self).unwrap()["status"], "True");
        eventually("an event tells it", || self.has_event("RolloutStarted"));
        self.change(API.0, API.1, "split", &json!({"spec": {"rollout": null}}));
        eventually("nothing is left of it", || {
            status(self)["rollout"]["stage"].is_null() && progressing(self).is_none()
        });
    }

    /// What is made of a template is taken, and changed with it.
    fn a_template_is_applied(&mut self) {
        let template = |image: &str| {
            json!({"template": {"spec": {"containers": [
                {"name": "model", "image": image, "ports": [{"containerPort": 9000}]}]}}})
        };
        self.create(
            API.0,
            API.1,
            json!({"metadata": {"name": "made"}, "spec": template("model:1")}),
        );
        let applied = |walk: &Self| {
            let status = walk.get(API.0, API.1, "made")["status"].clone();
            let all = status["conditions"].as_array().cloned().unwrap_or_default();
            let one = all.into_iter().find(|condition| condition["type"] == "Applied");
            one.map(|one| format!("{} {}", one["status"], one["message"]))
        };
        eventually("it is applied", || {
            let said = applied(self);
            assert!(!said.iter().any(|said| said.contains("False")), "{said:?}");
            said.is_some()
        });
        for (group_version, kind) in
            [("apps/v1", "Deployment"), ("v1", "Service"), ("policy/v1", "PodDisruptionBudget")]
        {
            let object = self.get(group_version, kind, "made");
            assert_eq!(object["metadata"]["ownerReferences"][0]["kind"], API.1, "{object}");
            self.made.push((
                objects::resource(group_version, kind),
                self.namespace.clone(),
                "made".to_owned(),
            ));
        }
        self.change(API.0, API.1, "made", &json!({"spec": template("model:2")}));
        eventually("it is changed", || {
            let deployment = self.get("apps/v1", "Deployment", "made");
            deployment["spec"]["template"]["spec"]["containers"][0]["image"] == "model:2"
        });
    }

    pub(super) fn autoscaler(&self, name: &str) -> Autoscaler {
        let account = format!("{}/gateway", self.namespace);
        let flags = [
            ["--namespace", &self.namespace],
            ["--own-namespace", &self.namespace],
            ["--wake-service-accounts", &account],
        ];
        start_autoscaler(&self.config, name, &flags.concat())
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
}
