//! What only a real API server can say: the definition's rules, the chart's objects, the call of a
//! webhook, and whose token somebody has.

use super::{API, Walk};
use crate::kubernetes::waking::wake;
use crate::support::process::Process;
use crate::support::{binary, eventually, now, root, say};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use tempfile::TempDir;
use tidegate_kubernetes::crd;
use tidegate_kubernetes::injector::make;
use tidegate_kubernetes::k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use tidegate_kubernetes::k8s_openapi::api::core::v1::ServiceAccount;
use tidegate_kubernetes::kube::api::{Patch, PatchParams, PostParams};
use tidegate_kubernetes::kube::{Api, Error};

/// They share the definition, which whoever has made it takes away.
static TURN: Mutex<()> = Mutex::new(());

/// The configuration that names the API server, and a turn at it.
pub(in crate::kubernetes) fn config() -> (PathBuf, MutexGuard<'static, ()>) {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let config = std::env::var_os("KUBECONFIG").expect("KUBECONFIG names the API server");
    (root().join(config), turn)
}

impl Walk {
    /// The definition's own rules and limits.
    pub(super) fn mistakes_are_refused(&mut self) {
        let target = json!({"name": "digits"});
        let with = |field: &str, value: Value| json!({"target": target, field: value});
        let few = json!({"minReplicas": 3, "maxReplicas": 2});
        let two = json!({"tcpSocket": {}, "exec": {"command": ["true"]}});
        for (name, spec, what) in [
            ("wrong", json!({}), "one of container, target, template, traffic and endpoints"),
            ("wrong", with("template", json!({"spec": {}})), "give one of them"),
            ("wrong", with("autoscaling", few), "at most maxReplicas"),
            ("wrong", with("readiness", two), "at most one of httpGet"),
            ("wro.ng", json!({"target": target}), "without dots"),
            ("wrong", with("concurrency", json!({"limit": 0})), "limit"),
            ("wrong", with("paused", json!("yes")), "paused"),
            ("wrong", with("timeouts", json!({"firstByte": "soon"})), "firstByte"),
        ] {
            let object = json!({"metadata": {"name": name}, "spec": spec});
            let made = self.try_create(API.0, API.1, &object);
            let Err(Error::Api(status)) = made else { panic!("taken: {what}") };
            assert_eq!(status.code, 422, "{what}: {}", status.message);
            assert!(status.message.contains(what), "{what}: {}", status.message);
        }
    }

    /// Every object of the manifests is taken as it is, in a namespace that there is.
    pub(super) fn the_chart_is_accepted(&self) {
        let text = std::fs::read_to_string(root().join("deploy/manifests/tidegate.yaml")).unwrap();
        let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        assert!(objects.len() > 10, "{} objects", objects.len());
        for mut object in objects {
            let text = |field: &Value| field.as_str().unwrap_or("").to_owned();
            let (group_version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
            let name = text(&object["metadata"]["name"]);
            let mut namespace = text(&object["metadata"]["namespace"]);
            if !namespace.is_empty() {
                object["metadata"]["namespace"] = json!(self.namespace);
                namespace.clone_from(&self.namespace);
            }
            let api = self.api(&namespace, &group_version, &kind);
            let params = PatchParams::apply("tidegate-test").force().dry_run().validation_strict();
            let done = self.runtime.block_on(api.patch(&name, &params, &Patch::Apply(&object)));
            assert!(done.is_ok(), "{kind} {name}: {:?}", done.err());
        }
    }

    /// The webhooks are taken with the certificate that the injector makes; a pod that asks for a
    /// sidecar has one, or is refused since nobody could be reached.
    pub(super) fn the_injector_is_called(&mut self) {
        let name = format!("{}-injector", self.namespace);
        let kind = ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration");
        let own = self.namespace.clone();
        let hook = |client: Value| {
            json!({
                "metadata": {"name": name},
                "webhooks": [{
                    "name": "by-request.tidegate.dev",
                    "admissionReviewVersions": ["v1"],
                    "sideEffects": "None",
                    "reinvocationPolicy": "IfNeeded",
                    "failurePolicy": "Fail",
                    "timeoutSeconds": 5,
                    "clientConfig": client,
                    "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"],
                        "resources": ["pods"], "scope": "Namespaced"}],
                    "objectSelector": {"matchLabels": {"tidegate.dev/inject": "true"}},
                    "namespaceSelector":
                        {"matchLabels": {"kubernetes.io/metadata.name": own}},
                }],
            })
        };
        let service = json!({"service": {"name": "tidegate-injector", "namespace": self.namespace,
            "path": "/mutate"}});
        let object = hook(service);
        self.try_create_in("", kind.0, kind.1, &object).unwrap();

        let bundle = |walk: &Self| {
            let hook = walk.get_in("", kind.0, kind.1, &name);
            hook["webhooks"][0]["clientConfig"]["caBundle"].clone()
        };
        let injector = self.injector(&["--webhook", &name, "--secret", "injector"]);
        let secret = super::objects::resource("v1", "Secret");
        self.made.push((secret, self.namespace.clone(), "injector".to_owned()));
        eventually("its certificate is trusted", || bundle(self).is_string());
        drop(injector);

        let folder = TempDir::new().unwrap();
        let since = SystemTime::UNIX_EPOCH;
        let wall = folder.path().metadata().unwrap().modified().unwrap();
        let made = make(&["127.0.0.1".to_owned()], wall.duration_since(since).unwrap()).unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (cert, key) = (file("tls.crt", &made.certificate), file("tls.key", &made.key));
        let (_process, data) = self.injector(&["--tls-cert", &cert, "--tls-key", &key]);
        let bytes = tidegate_kubernetes::k8s_openapi::ByteString(made.authority.into_bytes());
        let client = json!({"url": format!("https://{data}/mutate"), "caBundle": bytes});
        let object = hook(client);
        let params = PatchParams::default();
        let api = self.api("", kind.0, kind.1);
        self.runtime.block_on(api.patch(&name, &params, &Patch::Merge(&object))).unwrap();
        self.a_pod_has_its_sidecar();
    }

    /// What is told of a webhook is in force a moment later.
    fn a_pod_has_its_sidecar(&self) {
        let pods = self.api(&self.namespace, "v1", "Pod");
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "injected", "labels": {"tidegate.dev/inject": "true"}},
            "spec": {
                "automountServiceAccountToken": false,
                "containers": [{"name": "model", "image": "model:1",
                    "ports": [{"containerPort": 9000}]}],
            },
        });
        let pod = serde_json::from_value(pod).unwrap();
        let params = PostParams { dry_run: true, ..PostParams::default() };
        let start = now();
        eventually("the injector is called", || {
            match self.runtime.block_on(pods.create(&params, &pod)) {
                Ok(made) => made.data["spec"]["initContainers"][0]["name"] == "tidegate",
                // An API server elsewhere can't reach this machine's loopback.
                Err(Error::Api(status)) => {
                    let what = &status.message;
                    let is_call = what.contains("failed calling webhook");
                    assert!(is_call && !what.contains("x509"), "{what}");
                    let is_over = (now() - start).as_secs() > 10;
                    if is_over {
                        say(&format!("the injector was not reached: {what}"));
                    }
                    is_over
                }
                Err(error) => panic!("{error}"),
            }
        });
    }

    fn injector(&self, flags: &[&str]) -> (Process, SocketAddr) {
        let mut command = Command::new(binary("tidegate-autoscaler"));
        command
            .args(["inject", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(["--namespace", &self.namespace])
            .args(flags)
            .env("KUBECONFIG", &self.config);
        let process = Process::start(&mut command);
        let line = process.wait_for_line(r#""event":"listening""#);
        let line: Value = serde_json::from_str(&line).unwrap();
        (process, line["data"].as_str().unwrap().parse().unwrap())
    }

    /// A token counts that the API server has made for the gateway's account and for this.
    pub(super) fn only_the_right_token_wakes(&mut self, autoscaler: SocketAddr) {
        for account in ["gateway", "else"] {
            self.create("v1", "ServiceAccount", json!({"metadata": {"name": account}}));
        }
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.namespace);
        let token = |account: &str, audience: &str| {
            let spec = TokenRequestSpec {
                audiences: vec![audience.to_owned()],
                expiration_seconds: Some(600),
                ..TokenRequestSpec::default()
            };
            let request = TokenRequest { spec, ..TokenRequest::default() };
            let params = PostParams::default();
            let made = accounts.create_token_request(account, &params, &request);
            let made = self.runtime.block_on(made).unwrap();
            format!("Bearer {}", made.status.unwrap().token)
        };
        let api = format!("{}/digits", self.namespace);
        let audience = "tidegate-autoscaler";
        let right = token("gateway", audience);
        eventually("it can be woken", || wake(autoscaler, &api, Some(&right)) == 202);
        for (authorization, status) in [
            (token("else", audience), 403),
            (token("gateway", "somebody-else"), 401),
            ("Bearer nobody".to_owned(), 401),
        ] {
            assert_eq!(wake(autoscaler, &api, Some(&authorization)), status);
        }
    }
}

/// A message that no rule has is looked for in vain.
#[test]
fn the_messages_that_are_looked_for_are_those_of_the_rules() {
    let text = crd::definition().to_string();
    for what in [
        "one of container, target, template, traffic and endpoints",
        "give one of them",
        "at most maxReplicas",
        "at most one of httpGet",
        "without dots",
    ] {
        assert!(text.contains(what), "{what}");
    }
}
