//! The sidecar's container, as it is put into a pod. Pure.

use super::model::Model;
use serde_json::{Map, Value, json};
use tidegate_api::names::port;

/// The container's and its volume's name.
pub(super) const NAME: &str = "tidegate";

/// Where the pod's annotations are, for settings that change while it runs.
const FOLDER: &str = "/etc/tidegate";

/// How a sidecar is put into a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// As an init container that goes on: it starts before the model and ends after it. Since
    /// Kubernetes 1.29.
    Native,
    /// As one more container: on any Kubernetes.
    Plain,
}

/// What every sidecar is made of.
#[derive(Debug, Clone)]
pub struct InjectSettings {
    /// Its image.
    pub image: String,
    /// When the image is fetched; nothing leaves it to Kubernetes.
    pub pull_policy: Option<String>,
    /// How it is put in.
    pub mode: Mode,
    /// Where it takes requests.
    pub listen: u16,
    /// Its admin port.
    pub admin: u16,
    /// What it asks for and may take: `requests` and `limits`, as in a container.
    pub resources: Value,
    /// Whose word it believes about earlier hops; nothing for the pod's own processes only.
    pub trusted_hops: Option<String>,
}

/// How long draining takes, in seconds, of the time that a pod has to end.
pub(super) struct Drain {
    delay: u64,
    timeout: u64,
}

impl Drain {
    /// The larger part is for requests to finish; a sixth at most for each of: being taken out of
    /// the endpoints, and the model's own end.
    pub(super) fn within(grace_seconds: u64) -> Self {
        let part = (grace_seconds / 6).min(5);
        Self { delay: part, timeout: grace_seconds.saturating_sub(part * 2).max(1) }
    }
}

/// The container. `token` opens the page that drains it. Where a `budget` is given to the pod as a whole,
/// it takes its part of that: what all containers ask for may not be more.
pub(super) fn container(
    settings: &InjectSettings,
    model: &Model,
    drain: &Drain,
    token: Option<&str>,
    budget: Option<&Value>,
) -> Value {
    let InjectSettings { listen, admin, .. } = settings;
    let mut args = vec![
        "sidecar".to_owned(),
        format!("--listen=[::]:{listen}"),
        format!("--admin=[::]:{admin}"),
        format!("--upstream=localhost:{}", model.port),
        format!("--config={FOLDER}/annotations"),
        format!("--drain-delay={}s", drain.delay),
        format!("--drain-timeout={}s", drain.timeout),
    ];
    if let Some(probe) = &model.probe {
        args.push(format!("--readiness=http:{}", probe.path));
        args.push(format!("--readiness-period={}s", probe.period_seconds));
        args.push(format!("--readiness-timeout={}s", probe.timeout_seconds));
        args.push(format!("--readiness-failures={}", probe.failures));
    }
    args.extend(settings.trusted_hops.iter().map(|hops| format!("--trusted-hops={hops}")));
    args.extend(token.map(|token| format!("--drain-token={token}")));
    let get = |path: &str| json!({"path": path, "port": port::ADMIN});
    let mut container = Map::new();
    let mut put = |name: &str, value: Value| container.insert(name.to_owned(), value);
    put("name", json!(NAME));
    put("image", json!(settings.image));
    put("args", json!(args));
    put(
        "ports",
        json!([
            {"name": port::TRAFFIC, "containerPort": listen, "protocol": "TCP"},
            {"name": port::ADMIN, "containerPort": admin, "protocol": "TCP"},
        ]),
    );
    if budget.is_none_or(Value::is_null) {
        put("resources", settings.resources.clone());
    }
    // Started when it listens: a native sidecar holds the model back until then.
    put(
        "startupProbe",
        json!({"httpGet": get("/healthz"), "periodSeconds": 1, "failureThreshold": 60}),
    );
    put("livenessProbe", json!({"httpGet": get("/healthz"), "periodSeconds": 10}));
    put(
        "readinessProbe",
        json!({"httpGet": get("/readyz"), "periodSeconds": 1, "failureThreshold": 1}),
    );
    put(
        "securityContext",
        json!({
            "runAsNonRoot": true,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "readOnlyRootFilesystem": true,
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        }),
    );
    put("volumeMounts", json!([{"name": NAME, "mountPath": FOLDER, "readOnly": true}]));
    if let Some(policy) = &settings.pull_policy {
        put("imagePullPolicy", json!(policy));
    }
    if settings.mode == Mode::Native {
        put("restartPolicy", json!("Always"));
    }
    Value::Object(container)
}

/// The volume with the pod's annotations, which change as they do.
pub(super) fn volume() -> Value {
    json!({
        "name": NAME,
        "downwardAPI": {
            "items": [{"path": "annotations", "fieldRef": {"fieldPath": "metadata.annotations"}}],
        },
    })
}

#[cfg(test)]
impl InjectSettings {
    /// What the tests of the injector go by.
    pub(super) fn example(mode: Mode) -> Self {
        Self {
            image: "tidegate/proxy:1".to_owned(),
            pull_policy: None,
            mode,
            listen: 8012,
            admin: 8022,
            resources: json!({"requests": {"cpu": "50m", "memory": "32Mi"}}),
            trusted_hops: None,
        }
    }
}
