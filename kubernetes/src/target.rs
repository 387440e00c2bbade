//! What an InferenceApi scales, as a person's tool looks at it: its pods, what has happened to them,
//! and a restart.

use crate::apis::{FIELD_MANAGER, in_time};
use crate::connect::Connection;
use crate::facts::{Pod as Fact, PodPhase};
use crate::failure::Failure;
use k8s_openapi::api::core::v1::{ContainerStatus, Event, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use serde_json::{Value, json};
use std::net::IpAddr;

/// The annotation by which a new pod template differs from the one before: as `kubectl rollout
/// restart` sets it.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

/// Pods that are looked at one by one.
const MOST_PODS: u32 = 500;

/// Events about one object that are looked at; the API server forgets them after an hour.
const MOST_EVENTS: u32 = 200;

/// Something with replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `apps/v1`
    pub api_version: String,
    /// `Deployment`
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// A pod of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// The pod's name.
    pub name: String,
    /// Where it is in its life.
    pub phase: PodPhase,
    /// Its address, once it has one.
    pub ip: Option<IpAddr>,
    /// The sidecar's admin port, if it has a sidecar.
    pub admin: Option<u16>,
    /// Its containers, those that end before the others begin left out.
    pub containers: Vec<Container>,
    /// When it was made, in seconds since the Unix epoch.
    pub created: Option<i64>,
    /// Why it is not scheduled, if it is not.
    pub pending: Option<String>,
}

/// A container of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Whether it is the sidecar.
    pub is_sidecar: bool,
    /// Whether it has begun, and so has a log.
    pub has_begun: bool,
    /// Whether it runs and is ready.
    pub is_ready: bool,
    /// How often it was begun anew.
    pub restarts: u32,
    /// Why it waits or has ended, in a word, and what is said of that.
    pub trouble: Option<(String, String)>,
}

/// Something that has happened to an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    /// When it happened last, in seconds since the Unix epoch.
    pub at: Option<i64>,
    /// Whether someone should look at it.
    pub is_warning: bool,
    /// A word.
    pub reason: String,
    /// The object, as in `Pod/digits-1`.
    pub about: String,
    /// A sentence.
    pub note: String,
    /// How often.
    pub count: u32,
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

impl Target {
    /// That of an `InferenceApi`'s object, if it names one, or has one made of its template.
    pub fn of(object: &Value) -> Option<Self> {
        let given = &object["spec"]["target"];
        let text = |field: &str, default: &str| given[field].as_str().unwrap_or(default).to_owned();
        let name = match given["name"].as_str() {
            Some(name) => name.to_owned(),
            None if is_owned(object) => object["metadata"]["name"].as_str()?.to_owned(),
            None => return None,
        };
        Some(Self {
            api_version: text("apiVersion", "apps/v1"),
            kind: text("kind", "Deployment"),
            name,
        })
    }

    /// The labels that its pods have, as a selector; nothing where it is not there.
    ///
    /// # Errors
    /// A [`Failure`].
    pub async fn selector(
        &self,
        connection: &Connection,
        namespace: &str,
    ) -> Result<Option<String>, Failure> {
        let api = self.api(&connection.client, namespace).await?;
        match in_time(api.get_scale(&self.name)).await {
            Ok(scale) => Ok(scale.status.and_then(|status| status.selector)),
            Err(failure) if failure.code == "not-found" => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Has its pods replaced, a few at a time, as its strategy says.
    ///
    /// # Errors
    /// A [`Failure`].
    pub async fn restart(
        &self,
        connection: &Connection,
        namespace: &str,
        now: &str,
    ) -> Result<(), Failure> {
        let api = self.api(&connection.client, namespace).await?;
        let note = json!({ "annotations": { RESTARTED_AT: now } });
        let patch = json!({"spec": {"template": {"metadata": note}}});
        let params =
            PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..Default::default() };
        in_time(api.patch(&self.name, &params, &Patch::Merge(&patch))).await.map(|_| ())
    }

    async fn api(&self, client: &Client, namespace: &str) -> Result<Api<DynamicObject>, Failure> {
        let (group, version) = self.api_version.split_once('/').unwrap_or(("", &self.api_version));
        let kind = GroupVersionKind::gvk(group, version, &self.kind);
        let resource = if self.api_version == "apps/v1" {
            ApiResource::from_gvk(&kind)
        } else {
            in_time(kube::discovery::pinned_kind(client, &kind)).await?.0
        };
        Ok(Api::namespaced_with(client.clone(), namespace, &resource))
    }
}

/// Whether an `InferenceApi`'s target is made of its template, and goes with it.
pub fn is_owned(object: &Value) -> bool {
    object["spec"]["template"].is_object() && object["spec"]["target"].is_null()
}

/// The pods with these labels, by name.
///
/// # Errors
/// A [`Failure`].
pub async fn replicas(
    connection: &Connection,
    namespace: &str,
    selector: &str,
) -> Result<Vec<Replica>, Failure> {
    let pods: Api<Pod> = Api::namespaced(connection.client.clone(), namespace);
    let params = ListParams::default().labels(selector).limit(MOST_PODS);
    let list = in_time(pods.list(&params)).await?;
    Ok(list.items.into_iter().filter_map(Replica::of).collect())
}

/// What has happened to the object of this kind and name, the latest last.
///
/// # Errors
/// A [`Failure`].
pub async fn events(
    connection: &Connection,
    namespace: &str,
    kind: &str,
    name: &str,
) -> Result<Vec<Happened>, Failure> {
    let events: Api<Event> = Api::namespaced(connection.client.clone(), namespace);
    let of = format!("involvedObject.kind={kind},involvedObject.name={name}");
    let params = ListParams::default().fields(&of).limit(MOST_EVENTS);
    let list = in_time(events.list(&params)).await?;
    let mut all: Vec<Happened> = list.items.into_iter().map(Happened::of).collect();
    all.sort_by_key(|event| event.at);
    Ok(all)
}

impl Replica {
    /// Of a pod's object; nothing of one that has ended.
    pub(crate) fn of(object: Pod) -> Option<Self> {
        let name = object.metadata.name.clone().unwrap_or_default();
        let created = object.metadata.creation_timestamp.as_ref().map(seconds);
        let (spec, status) = (object.spec.clone()?, object.status.clone().unwrap_or_default());
        let fact = Fact::of(object)?;
        let statuses: Vec<&ContainerStatus> = status
            .init_container_statuses
            .iter()
            .chain(&status.container_statuses)
            .flatten()
            .collect();
        let is_native = |policy: Option<&str>| policy == Some("Always");
        let init = spec.init_containers.iter().flatten();
        let init = init.filter(|container| is_native(container.restart_policy.as_deref()));
        let containers = init.chain(&spec.containers).map(|container| {
            let ports = container.ports.iter().flatten();
            let is_sidecar = ports.flat_map(|port| &port.name).any(|name| {
                [tidegate_api::names::port::ADMIN, tidegate_api::names::port::TRAFFIC]
                    .contains(&name.as_str())
            });
            let status = statuses.iter().find(|status| status.name == container.name);
            Container::of(&container.name, is_sidecar, status.copied())
        });
        let pending = status
            .conditions
            .iter()
            .flatten()
            .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
        Some(Self {
            name,
            phase: fact.phase,
            ip: fact.ip,
            admin: fact.admin,
            containers: containers.collect(),
            created,
            pending: pending.map(|condition| condition.message.clone().unwrap_or_default()),
        })
    }

    /// How often its containers were begun anew.
    pub fn restarts(&self) -> u32 {
        self.containers.iter().map(|container| container.restarts).sum()
    }
}

impl Container {
    fn of(name: &str, is_sidecar: bool, status: Option<&ContainerStatus>) -> Self {
        let name = name.to_owned();
        let Some(status) = status else {
            let (has_begun, is_ready, restarts, trouble) = (false, false, 0, None);
            return Self { name, is_sidecar, has_begun, is_ready, restarts, trouble };
        };
        let state = status.state.clone().unwrap_or_default();
        let waits = state
            .waiting
            .map(|waits| (waits.reason.unwrap_or_default(), waits.message.unwrap_or_default()));
        let ended = state.terminated.map(|ended| {
            let reason = ended.reason.unwrap_or_default();
            (reason, format!("it ended with code {}", ended.exit_code))
        });
        let restarts = u32::try_from(status.restart_count).unwrap_or_default();
        let has_begun = state.running.is_some() || ended.is_some() || restarts > 0;
        // What begins as it should is no trouble.
        let trouble = waits.or(ended).filter(|(reason, _)| {
            !["", "ContainerCreating", "PodInitializing", "Completed"].contains(&reason.as_str())
        });
        Self { name, is_sidecar, has_begun, is_ready: status.ready, restarts, trouble }
    }
}

impl Happened {
    fn of(event: Event) -> Self {
        let about = event.involved_object;
        let series = event.series.unwrap_or_default();
        let micro = series.last_observed_time.or(event.event_time).map(|at| at.0.as_second());
        let made = event.metadata.creation_timestamp.as_ref().map(seconds);
        let count = series.count.or(event.count).and_then(|count| u32::try_from(count).ok());
        Self {
            at: event.last_timestamp.as_ref().map(seconds).or(micro).or(made),
            is_warning: event.type_.as_deref() == Some("Warning"),
            reason: event.reason.unwrap_or_default(),
            about: format!("{}/{}", about.kind.unwrap_or_default(), about.name.unwrap_or_default()),
            note: event.message.unwrap_or_default(),
            count: count.unwrap_or(1).max(1),
        }
    }
}

fn seconds(time: &Time) -> i64 {
    time.0.as_second()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_named_or_made_of_the_template() {
        let of = |spec: Value| {
            let object = json!({"metadata": {"name": "digits"}, "spec": spec});
            Target::of(&object).map(|target| target.to_string())
        };
        for (spec, target) in [
            (json!({"target": {"name": "a"}}), Some("Deployment/a")),
            (json!({"target": {"name": "a", "kind": "StatefulSet"}}), Some("StatefulSet/a")),
            (json!({"template": {}}), Some("Deployment/digits")),
            (json!({"target": {"name": "a"}, "template": {}}), Some("Deployment/a")),
            (json!({"target": {}}), None),
            (json!({}), None),
        ] {
            assert_eq!(of(spec.clone()).as_deref(), target, "{spec}");
        }
    }

    fn replica(state: Value, restarts: u32) -> Replica {
        let model = json!({"name": "model", "ready": false, "restartCount": restarts,
            "state": state, "image": "", "imageID": ""});
        let pod = json!({
            "metadata": {"name": "p", "creationTimestamp": "1970-01-01T00:00:07Z"},
            "spec": {
                "initContainers": [{"name": "fetch"}, {"name": "tidegate", "restartPolicy": "Always",
                    "ports": [{"name": "tidegate-admin", "containerPort": 8081}]}],
                "containers": [{"name": "model"}]},
            "status": {"phase": "Pending", "containerStatuses": [model]},
        });
        Replica::of(serde_json::from_value(pod).unwrap()).unwrap()
    }

    #[test]
    fn a_container_that_is_in_trouble_says_so_and_has_a_log_once_it_has_begun() {
        let waits = |reason: &str| json!({"waiting": {"reason": reason, "message": "so"}});
        let ended = json!({"terminated": {"exitCode": 3, "reason": "Error"}});
        for (state, restarts, trouble, has_begun) in [
            (json!({"running": {}}), 0, None, true),
            (waits("ContainerCreating"), 0, None, false),
            (waits("ImagePullBackOff"), 0, Some(("ImagePullBackOff", "so")), false),
            (waits("CrashLoopBackOff"), 4, Some(("CrashLoopBackOff", "so")), true),
            (ended, 0, Some(("Error", "it ended with code 3")), true),
        ] {
            let seen = replica(state.clone(), restarts);
            let [sidecar, model] = seen.containers.as_slice() else { panic!("{seen:?}") };
            assert!(sidecar.is_sidecar && !model.is_sidecar && !sidecar.has_begun);
            let told = model.trouble.as_ref().map(|(reason, what)| (&**reason, &**what));
            assert_eq!((told, model.has_begun), (trouble, has_begun), "{state}");
            assert_eq!(
                (seen.restarts(), seen.created, seen.admin),
                (restarts, Some(7), Some(8081))
            );
        }
    }

    #[test]
    fn an_event_is_as_old_as_its_last_time() {
        let of = |more: Value| {
            let mut event = json!({"metadata": {"creationTimestamp": "1970-01-01T00:00:01Z"},
                "involvedObject": {"kind": "Pod", "name": "p"}, "type": "Warning"});
            event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            Happened::of(serde_json::from_value(event).unwrap())
        };
        let seen = of(json!({}));
        assert_eq!((seen.at, seen.count, &*seen.about), (Some(1), 1, "Pod/p"));
        assert!(seen.is_warning);
        assert_eq!(of(json!({"eventTime": "1970-01-01T00:00:02.5Z"})).at, Some(2));
        let old = json!({"lastTimestamp": "1970-01-01T00:00:03Z", "count": 9});
        assert_eq!((of(old.clone()).at, of(old).count), (Some(3), 9));
        let series = json!({"series": {"count": 5, "lastObservedTime": "1970-01-01T00:00:04.0Z"}});
        assert_eq!((of(series.clone()).at, of(series).count), (Some(4), 5));
    }
}
