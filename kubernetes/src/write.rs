//! What an autoscaler writes: scales, costs of deletion, statuses and events; only while it leads.

use crate::clock::Clock;
use crate::facts::{DELETION_COST, Key, Origin};
use crate::failure::{Failure, Tell};
use crate::leader::Leader;
use crate::owned::Owned;
use crate::resource::inference_api;
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tidegate_api::document::Target;
use tidegate_api::names::{API_KIND, API_VERSION};

/// Who wrote a field, as server-side apply tells it.
pub const FIELD_MANAGER: &str = "tidegate-autoscaler";

/// The longest note of an event, in bytes.
const MOST_NOTE: usize = 1000;

/// The longest name of who tells an event, in bytes.
const MOST_IDENTITY: usize = 128;

/// Writes to the API server.
pub struct Writer {
    client: Client,
    leader: Arc<Leader>,
    identity: String,
    deadline: Duration,
    /// What kinds outside of `apps/v1` are called in addresses.
    resources: Mutex<BTreeMap<(String, String), ApiResource>>,
    tell: Tell,
}

/// What happened to an `InferenceApi`, or to a Deployment that asks by annotations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The resource.
    pub key: Key,
    /// Its uid.
    pub uid: String,
    /// Whether someone should look at it.
    pub is_warning: bool,
    /// A word.
    pub reason: &'static str,
    /// A sentence.
    pub note: String,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

impl Writer {
    /// A writer that waits `deadline` for each answer.
    pub fn new(
        client: Client,
        leader: Arc<Leader>,
        identity: &str,
        deadline: Duration,
        tell: Tell,
    ) -> Self {
        let mut identity = identity.to_owned();
        identity.truncate(identity.floor_char_boundary(MOST_IDENTITY));
        Self { client, leader, identity, deadline, resources: Mutex::default(), tell }
    }

    /// Asks for so many replicas, unless the target is no longer what was seen: `version`.
    /// Returns the target's new version.
    ///
    /// The version keeps a process out that was stopped between its look at the Lease and this.
    ///
    /// # Errors
    /// A [`Failure`]; `conflict` where the target has changed.
    pub async fn scale(
        &self,
        namespace: &str,
        target: &Target,
        replicas: u32,
        version: &str,
    ) -> Result<String, Failure> {
        let patch = json!({
            "metadata": {"resourceVersion": version},
            "spec": {"replicas": replicas},
        });
        self.call("scale", async {
            let resource = self.resource(target).await?;
            let api: Api<DynamicObject> =
                Api::namespaced_with(self.client.clone(), namespace, &resource);
            let params = PatchParams::default();
            let scale = api.patch_scale(&target.name, &params, &Patch::Merge(&patch)).await?;
            Ok(scale.metadata.resource_version.unwrap_or_default())
        })
        .await
    }

    /// Says what deleting a pod costs; nothing takes that back.
    ///
    /// # Errors
    /// A [`Failure`].
    pub async fn deletion_cost(&self, pod: &Key, cost: Option<i32>) -> Result<(), Failure> {
        let cost = cost.map(|cost| cost.to_string());
        let patch = json!({"metadata": {"annotations": {DELETION_COST: cost}}});
        self.call("pods", async {
            let pods: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace);
            pods.patch_metadata(&pod.name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
            Ok(())
        })
        .await
    }

    /// Makes an object of an API's template, or changes it into what it should be.
    ///
    /// # Errors
    /// A [`Failure`]; `conflict` where there is one of that name that is not this API's: `uid`.
    pub async fn make(&self, owned: &Owned, key: &Key, uid: &str) -> Result<(), Failure> {
        let (version, kind, plural) = owned.resource;
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let resource =
            ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
        self.call(plural, async {
            let api: Api<DynamicObject> =
                Api::namespaced_with(self.client.clone(), &key.namespace, &resource);
            let there = api.get_opt(&key.name).await?;
            let is_ours = |object: &DynamicObject| {
                object.metadata.owner_references.iter().flatten().any(|owner| owner.uid == uid)
            };
            if there.is_some_and(|object| !is_ours(&object)) {
                return Err(Failure::not_ours(kind, &key.name));
            }
            let params = PatchParams::apply(FIELD_MANAGER).force();
            api.patch(&key.name, &params, &Patch::Apply(&owned.object)).await?;
            Ok(())
        })
        .await
    }

    /// Replaces what we have said in a resource's status, unless it is no longer what was seen:
    /// `version`. Returns its new version.
    ///
    /// # Errors
    /// A [`Failure`]; `conflict` where the resource has changed.
    pub async fn status(
        &self,
        key: &Key,
        version: &str,
        status: &Value,
    ) -> Result<String, Failure> {
        let patch = json!({
            "apiVersion": API_VERSION,
            "kind": API_KIND,
            "metadata": {"name": key.name, "resourceVersion": version},
            "status": status,
        });
        self.call("status", async {
            let resource = inference_api();
            let api: Api<DynamicObject> =
                Api::namespaced_with(self.client.clone(), &key.namespace, &resource);
            let params = PatchParams::apply(FIELD_MANAGER).force();
            let resource = api.patch_status(&key.name, &params, &Patch::Apply(&patch)).await?;
            Ok(resource.metadata.resource_version.unwrap_or_default())
        })
        .await
    }

    /// Tells an event about the resource or the Deployment. Each is an object of its own: taken together, all would have the first's note.
    ///
    /// # Errors
    /// A [`Failure`].
    pub async fn tell(&self, told: &Told, origin: Origin) -> Result<(), Failure> {
        let Key { namespace, name } = &told.key;
        let (api_version, kind) = match origin {
            Origin::Resource => (API_VERSION, API_KIND),
            Origin::Deployment => ("apps/v1", "Deployment"),
        };
        let mut note = told.note.clone();
        note.truncate(note.floor_char_boundary(MOST_NOTE));
        let now = Clock::wall();
        let about = ObjectReference {
            api_version: Some(api_version.to_owned()),
            kind: Some(kind.to_owned()),
            name: Some(name.clone()),
            namespace: Some(namespace.clone()),
            uid: Some(told.uid.clone()),
            ..ObjectReference::default()
        };
        let event = Event {
            metadata: ObjectMeta {
                name: Some(format!("{name}.{:x}", now.as_nanosecond())),
                namespace: Some(namespace.clone()),
                ..ObjectMeta::default()
            },
            type_: Some(if told.is_warning { "Warning" } else { "Normal" }.to_owned()),
            reason: Some(told.reason.to_owned()),
            action: Some("Scale".to_owned()),
            note: Some(note),
            event_time: Some(MicroTime(now)),
            regarding: Some(about),
            reporting_controller: Some(FIELD_MANAGER.to_owned()),
            reporting_instance: Some(self.identity.clone()),
            ..Event::default()
        };
        self.call("events", async {
            let events: Api<Event> = Api::namespaced(self.client.clone(), namespace);
            events.create(&PostParams::default(), &event).await?;
            Ok(())
        })
        .await
    }

    /// A call, if we lead, in its time; a failure is counted.
    async fn call<T>(
        &self,
        what: &'static str,
        call: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        if !self.leader.may_write() {
            return Err(Failure::not_leading());
        }
        let deadline = self.deadline;
        let done = tokio::time::timeout(deadline, call)
            .await
            .unwrap_or_else(|_| Err(Failure::deadline(deadline)));
        if let Err(failure) = &done {
            (self.tell)(what, failure.code);
        }
        done
    }

    /// What a target's kind is called in addresses.
    async fn resource(&self, target: &Target) -> Result<ApiResource, Failure> {
        let (group, version) =
            target.api_version.split_once('/').unwrap_or(("", &target.api_version));
        let kind = GroupVersionKind::gvk(group, version, &target.kind);
        if target.api_version == "apps/v1" {
            return Ok(ApiResource::from_gvk(&kind));
        }
        let of = (target.api_version.clone(), target.kind.clone());
        let known = || self.resources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(resource) = known().get(&of) {
            return Ok(resource.clone());
        }
        let (resource, _) = kube::discovery::pinned_kind(&self.client, &kind).await?;
        known().insert(of, resource.clone());
        Ok(resource)
    }
}
