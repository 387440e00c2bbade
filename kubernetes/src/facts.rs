//! What is needed of each object of the cluster, and no more: thousands of them are kept. Pure.

use crate::asked::Asked;
use crate::resource;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Pod as PodObject;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use kube::core::{DynamicObject, Selector};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use tidegate_api::names::{annotation, port};
use tidegate_api::{InferenceApi, annotated};

/// An object's namespace and name.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What says that something is to be scaled and served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// An `InferenceApi`.
    Resource,
    /// A Deployment's annotations.
    Deployment,
}

/// An `InferenceApi` of the cluster, or a Deployment's annotations that say the same.
#[derive(Debug, Clone)]
pub struct Resource {
    /// Which of the two.
    pub origin: Origin,
    /// Tells it from a later one of the same name.
    pub uid: String,
    /// Its `resourceVersion`.
    pub version: String,
    /// Grows with each change of its spec.
    pub generation: i64,
    /// When it was made, in seconds since the Unix epoch.
    pub created: i64,
    /// Its document, or what is wrong with it.
    pub document: Result<Arc<InferenceApi>, Arc<str>>,
    /// The status as it stands there.
    pub status: Arc<Value>,
}

/// Where a pod is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodPhase {
    /// It is not ready.
    Starting,
    /// Its readiness probes pass.
    Ready,
    /// It is being deleted.
    Leaving,
}

/// A pod that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Where it is in its life.
    pub phase: PodPhase,
    /// Its address, once it has one.
    pub ip: Option<IpAddr>,
    /// The sidecar's admin port: the container port of that name.
    pub admin: Option<u16>,
    /// The sidecar's port for requests, likewise.
    pub traffic: Option<u16>,
    /// How many requests its sidecar was told to give the model at once.
    pub limit: Option<NonZeroU32>,
    /// What somebody has said that deleting it costs.
    pub cost: Option<i32>,
}

/// Something with replicas.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// Its `resourceVersion`.
    pub version: String,
    /// The uid of what it was made of, if it was.
    pub owner: Option<String>,
    /// Replicas that are asked for.
    pub replicas: u32,
    /// Replicas that it has.
    pub present: u32,
    /// Which pods are its own. Nothing where it can't be understood.
    pub selector: Option<Selector>,
    /// What its annotations ask for.
    pub asked: Option<Asked>,
    /// What is wrong with its pods' annotations: their sidecars don't start.
    pub amiss: Option<Arc<str>>,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl Key {
    /// Of an object's metadata.
    pub fn of(metadata: &ObjectMeta) -> Self {
        Self {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
        }
    }
}

impl Resource {
    /// Of the resource's object, and of what was known of it `before`: a spec of the same generation is not
    /// read again, as each status that is written makes news of it.
    pub(crate) fn of(mut object: DynamicObject, before: Option<&Self>) -> Option<Self> {
        let uid = object.metadata.uid.clone().unwrap_or_default();
        let generation = object.metadata.generation.unwrap_or_default();
        let is_read = |before: &&Self| before.uid == uid && before.generation == generation;
        let document = match before.filter(is_read) {
            Some(before) => before.document.clone(),
            None => read(&object),
        };
        let created = object.metadata.creation_timestamp.as_ref();
        Some(Self {
            origin: Origin::Resource,
            uid,
            version: object.metadata.resource_version.clone().unwrap_or_default(),
            generation,
            created: created.map_or(0, |time| time.0.as_second()),
            document,
            status: Arc::new(object.data["status"].take()),
        })
    }
}

/// An object's document, or its mistakes in one line.
fn read(object: &DynamicObject) -> Result<Arc<InferenceApi>, Arc<str>> {
    resource::document(object).map(Arc::new).map_err(|report| {
        let lines = report.mistakes.iter().map(|mistake| mistake.to_string());
        Arc::from(lines.collect::<Vec<_>>().join("; "))
    })
}

impl Pod {
    /// Of a pod's object; nothing of one that has ended.
    pub(crate) fn of(object: PodObject) -> Option<Self> {
        let PodObject { metadata, spec, status } = object;
        let (spec, status) = (spec.unwrap_or_default(), status.unwrap_or_default());
        if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
            return None;
        }
        let holds = |kind: &str| {
            let mut conditions = status.conditions.iter().flatten();
            conditions.any(|condition| condition.type_ == kind && condition.status == "True")
        };
        let phase = match metadata.deletion_timestamp {
            Some(_) => PodPhase::Leaving,
            None if holds("Ready") => PodPhase::Ready,
            None => PodPhase::Starting,
        };
        let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
        let ports = containers.flat_map(|container| container.ports.iter().flatten());
        let port = |name: &str| {
            let port = ports.clone().find(|given| given.name.as_deref() == Some(name))?;
            u16::try_from(port.container_port).ok()
        };
        let note = |name: &str| metadata.annotations.as_ref().and_then(|notes| notes.get(name));
        let (cost, limit) = (note(DELETION_COST), note(annotation::CONCURRENCY_LIMIT));
        Some(Self {
            phase,
            ip: status.pod_ip.as_deref().and_then(|ip| ip.parse().ok()),
            admin: port(port::ADMIN),
            traffic: port(port::TRAFFIC),
            limit: limit.and_then(|limit| limit.parse().ok()),
            // What is no number counts as 0, as it does for a ReplicaSet.
            cost: cost.map(|cost| cost.parse().unwrap_or(0)),
            labels: metadata.labels.unwrap_or_default(),
        })
    }

    /// Where its sidecar's admin port is, once it has an address.
    pub fn admin(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.ip?, self.admin?))
    }

    /// Where its sidecar takes requests, once it has an address.
    pub fn traffic(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.ip?, self.traffic?))
    }
}

/// The annotation by which a ReplicaSet chooses whom to delete first.
pub const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

impl Workload {
    fn new(
        metadata: &ObjectMeta,
        replicas: Option<i32>,
        present: Option<i32>,
        selector: LabelSelector,
    ) -> Self {
        let count = |count: i32| u32::try_from(count).unwrap_or_default();
        let selector = Selector::try_from(selector).ok();
        Self {
            version: metadata.resource_version.clone().unwrap_or_default(),
            owner: metadata
                .owner_references
                .iter()
                .flatten()
                .find(|owner| owner.controller == Some(true))
                .map(|owner| owner.uid.clone()),
            // What the API server fills in where nothing is said.
            replicas: replicas.map_or(1, count),
            present: present.map_or(0, count),
            // One that selects everything would make every pod its own.
            selector: selector.filter(|selector| !selector.selects_all()),
            asked: None,
            amiss: None,
        }
    }

    /// Of a Deployment.
    pub(crate) fn of_deployment(object: Deployment) -> Option<Self> {
        let spec = object.spec?;
        let present = object.status.and_then(|status| status.replicas);
        let metadata = &object.metadata;
        let of_pods = spec.template.metadata.and_then(|metadata| metadata.annotations);
        let of_pods = of_pods.unwrap_or_default();
        let created = metadata.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second());
        let asked = Asked::of(
            metadata.name.as_deref().unwrap_or_default(),
            metadata.uid.as_deref().unwrap_or_default(),
            created,
            metadata.annotations.as_ref().unwrap_or(&BTreeMap::new()),
            &of_pods,
        );
        let amiss = annotated::wrong_of_pods(&of_pods).map(Arc::from);
        Some(Self { asked, amiss, ..Self::new(metadata, spec.replicas, present, spec.selector) })
    }

    /// Of a StatefulSet.
    pub(crate) fn of_stateful_set(object: StatefulSet) -> Option<Self> {
        let spec = object.spec?;
        let present = object.status.map(|status| status.replicas);
        let of_pods = spec.template.metadata.and_then(|metadata| metadata.annotations);
        let amiss = annotated::wrong_of_pods(&of_pods.unwrap_or_default()).map(Arc::from);
        let seen = Self::new(&object.metadata, spec.replicas, present, spec.selector);
        Some(Self { amiss, ..seen })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::DeserializeOwned;
    use serde_json::json;

    fn object<T: DeserializeOwned>(value: Value) -> T {
        serde_json::from_value(value).unwrap()
    }

    fn pod(status: Value, metadata: Value) -> Option<Pod> {
        let sidecar = json!({"name": "tidegate", "ports": [
            {"name": "tidegate", "containerPort": 8080},
            {"name": "tidegate-admin", "containerPort": 8081},
        ]});
        Pod::of(object(json!({
            "metadata": metadata,
            "spec": {"initContainers": [sidecar], "containers": [{"name": "model"}]},
            "status": status,
        })))
    }

    #[test]
    fn a_pod_is_ready_by_its_condition_until_it_is_deleted() {
        let ready = json!([{"type": "Ready", "status": "True"}]);
        let status = json!({"phase": "Running", "podIP": "10.0.0.7", "conditions": ready});
        let seen = pod(status.clone(), json!({"labels": {"app": "a"}})).unwrap();
        assert_eq!(seen.phase, PodPhase::Ready);
        assert_eq!(seen.admin(), Some("10.0.0.7:8081".parse().unwrap()));
        assert_eq!(seen.traffic(), Some("10.0.0.7:8080".parse().unwrap()));
        let deleted = json!({"deletionTimestamp": "2026-01-01T00:00:00Z"});
        assert_eq!(pod(status, deleted).unwrap().phase, PodPhase::Leaving);
        let young = pod(json!({"phase": "Pending"}), json!({})).unwrap();
        assert_eq!((young.phase, young.admin()), (PodPhase::Starting, None));
        for (limit, expected) in [("8", NonZeroU32::new(8)), ("auto", None), ("0", None)] {
            let notes = json!({"annotations": {"tidegate.dev/concurrency-limit": limit}});
            assert_eq!(pod(json!({}), notes).unwrap().limit, expected, "{limit}");
        }
        assert_eq!(pod(json!({"phase": "Failed"}), json!({})), None);
        assert_eq!(pod(json!({"phase": "Succeeded"}), json!({})), None);
    }

    #[test]
    fn a_pod_without_a_sidecar_has_no_admin_port() {
        let plain = json!({"metadata": {}, "spec": {"containers": [{"name": "model", "ports": [
            {"name": "http", "containerPort": 80}]}]}, "status": {"podIP": "10.0.0.7"}});
        assert_eq!(Pod::of(object(plain)).unwrap().admin(), None);
    }

    #[test]
    fn a_workload_without_replicas_has_one_and_never_every_pod() {
        let of = |spec: Value| {
            Workload::of_deployment(object(json!({
                "metadata": {"name": "a", "resourceVersion": "7"}, "spec": spec,
                "status": {"replicas": 2},
            })))
            .unwrap()
        };
        let template = json!({"metadata": {}});
        let seen = of(json!({"selector": {"matchLabels": {"app": "a"}}, "template": template}));
        assert_eq!((seen.replicas, seen.present, seen.version.as_str()), (1, 2, "7"));
        assert_eq!(seen.selector.unwrap().to_string(), "app=a");
        assert_eq!(of(json!({"selector": {}, "replicas": 0, "template": template})).selector, None);
    }

    #[test]
    fn a_resource_is_its_document_or_its_mistakes() {
        let of = |spec: Value| {
            let mut object = DynamicObject::new("a", &resource::inference_api());
            object.metadata.generation = Some(3);
            object.data = json!({"spec": spec, "status": {"wanted": 2}});
            Resource::of(object, None).unwrap()
        };
        let seen = of(json!({"target": {"name": "d"}}));
        assert_eq!((seen.generation, seen.status["wanted"].as_u64()), (3, Some(2)));
        assert!(seen.document.is_ok());
        let wrong = of(json!({"target": {}, "paused": 1})).document.unwrap_err();
        assert!(wrong.contains("spec.paused") && wrong.contains("spec.target.name"), "{wrong}");
    }

    #[test]
    fn a_spec_is_read_once_for_each_generation() {
        let object = |uid: &str, generation, status: Value| {
            let mut object = DynamicObject::new("a", &resource::inference_api());
            object.metadata.uid = Some(uid.to_owned());
            object.metadata.generation = Some(generation);
            object.data = json!({"spec": {"target": {"name": "d"}}, "status": status});
            object
        };
        let first = Resource::of(object("u", 1, json!({})), None).unwrap();
        let document = |resource: &Resource| resource.document.clone().unwrap();
        let news = Resource::of(object("u", 1, json!({"wanted": 2})), Some(&first)).unwrap();
        assert!(Arc::ptr_eq(&document(&first), &document(&news)));
        assert_eq!(news.status["wanted"], 2);
        for (uid, generation) in [("u", 2), ("v", 1)] {
            let other = Resource::of(object(uid, generation, json!({})), Some(&first)).unwrap();
            assert!(!Arc::ptr_eq(&document(&first), &document(&other)), "{uid} {generation}");
        }
    }
}
