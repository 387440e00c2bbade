//! Looks over a cluster's set-up, and says what is wrong with it and what to do.
//!
//! - `finding`: what is said;
//! - `installed`: the definition of the resource; `parts`: autoscaler, injector and gateway, the lease and
//!   the webhook; `scaled`: the InferenceApis with what they scale. All pure;
//! - `rights`: what the user may do.
//!
//! What may not be read is told, and the rest is looked at all the same.

mod finding;
mod installed;
mod parts;
mod rights;
mod scaled;

pub use finding::{Finding, Level};

use crate::apis::in_time;
use crate::clock::Clock;
use crate::connect::Connection;
use crate::facts::{Key, Pod as PodFact, Resource, Workload};
use crate::failure::Failure;
use crate::resource::{GROUP, PLURAL, inference_api};
use crate::rival::Rival;
use crate::scalable::{Other, Scaling};
use crate::watch::{Stores, once};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use kube::api::ListParams;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Resource as Kind};
use parts::Parts;
use scaled::Doubtful;
use serde::de::DeserializeOwned;
use std::fmt::Debug;

/// Objects in one answer; the rest comes with the next.
const PAGE: u32 = 500;

/// The most objects of one kind that are looked at.
const MOST_OBJECTS: usize = 20_000;

/// Looks at everything; `namespace` limits the InferenceApis that are looked at.
pub async fn examine(connection: &Connection, namespace: Option<&str>) -> Vec<Finding> {
    let version = match in_time(connection.client.apiserver_version()).await {
        Ok(version) => version,
        Err(failure) => {
            let what = format!("the API server {} does not answer: {failure}", connection.server);
            return vec![Finding::wrong("api-server", what, failure.advice())];
        }
    };
    let mut findings = vec![installed::version(&version, &connection.server)];
    let is_defined = definition(connection, &mut findings).await;
    findings.extend(rights::examine(connection, namespace).await);
    control(connection, &mut findings).await;
    if is_defined {
        scaled(connection, namespace, &mut findings).await;
    }
    findings
}

/// The resource's definition. False where there is none.
async fn definition(connection: &Connection, findings: &mut Vec<Finding>) -> bool {
    let kind = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let api: Api<DynamicObject> =
        Api::all_with(connection.client.clone(), &ApiResource::from_gvk(&kind));
    let found = in_time(api.get_opt(&format!("{PLURAL}.{GROUP}"))).await;
    let is_missing = matches!(found, Ok(None));
    findings.push(match found {
        Ok(found) => installed::definition(found.map(|object| object.data).as_ref()),
        Err(failure) => Finding::unknown("definition", &failure),
    });
    !is_missing
}

/// Autoscaler, injector and gateway, with what they keep in the cluster.
async fn control(connection: &Connection, findings: &mut Vec<Finding>) {
    let its_own = ListParams::default().labels(parts::LABELS);
    let deployments: Vec<Deployment> = match all(connection, None, its_own).await {
        Ok(all) => all,
        Err(failure) => {
            findings.push(Finding::unknown("autoscaler", &failure));
            return;
        }
    };
    let parts = Parts::of(deployments);
    findings.extend(parts.are_available());
    if let Some((namespace, name)) = parts.lease() {
        let leases: Api<Lease> = Api::namespaced(connection.client.clone(), &namespace);
        let now = Clock::wall();
        findings.push(match in_time(leases.get_opt(&name)).await {
            Ok(lease) => parts::lease(lease.as_ref(), &namespace, &name, now),
            Err(failure) => Finding::unknown("lease", &failure),
        });
    }
    let hooks = all_of(connection, ListParams::default()).await;
    let hooks: Vec<MutatingWebhookConfiguration> = match hooks {
        Ok(hooks) => hooks,
        Err(failure) => {
            findings.push(Finding::unknown("webhook", &failure));
            return;
        }
    };
    findings.extend(parts.webhooks(&hooks, Clock::wall()));
    if parts.has_injector() {
        let labelled = ListParams::default().labels(parts::INJECTED);
        findings.push(match all_of::<Namespace>(connection, labelled).await {
            Ok(namespaces) => parts::namespaces(&namespaces),
            Err(failure) => Finding::unknown("namespaces", &failure),
        });
    }
}

/// The InferenceApis with their targets, pods, rivals and Services.
async fn scaled(connection: &Connection, namespace: Option<&str>, findings: &mut Vec<Finding>) {
    let seen = async {
        let mut stores = Stores::default();
        let client = connection.client.clone();
        let apis: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &inference_api()),
            None => Api::all_with(client, &inference_api()),
        };
        let objects = pages(apis, ListParams::default()).await?;
        for object in objects {
            stores.apis().set(Key::of(&object.metadata), Resource::of(object, None));
        }
        let none = ListParams::default;
        let mut doubtful = Doubtful::new();
        for pod in all::<Pod>(connection, namespace, none()).await? {
            if let Some((key, told)) = scaled::doubtful(&pod) {
                doubtful.insert(key, told);
            }
            stores.pods().set(Key::of(&pod.metadata), PodFact::of(pod));
        }
        for one in all::<Deployment>(connection, namespace, none()).await? {
            stores.deployments().set(Key::of(&one.metadata), Workload::of_deployment(one));
        }
        for one in all::<StatefulSet>(connection, namespace, none()).await? {
            stores.stateful_sets().set(Key::of(&one.metadata), Workload::of_stateful_set(one));
        }
        for one in all::<HorizontalPodAutoscaler>(connection, namespace, none()).await? {
            stores.rivals().set(Key::of(&one.metadata), Rival::of(one));
        }
        let others = Other::all(stores.resources());
        let mut found = Vec::new();
        for other in &others {
            let scaling = once(&connection.client, other).await;
            let failed = |failure: Failure| Scaling::Unknown(failure.message.into());
            found.push((other.clone(), scaling.unwrap_or_else(failed)));
        }
        stores.set_others(&others, found);
        let services = all::<Service>(connection, namespace, none()).await?;
        Ok::<_, Failure>((stores, services, doubtful))
    };
    findings.extend(match seen.await {
        Ok((stores, services, doubtful)) => scaled::examine(&stores, &services, &doubtful),
        Err(failure) => vec![Finding::unknown("inferenceapis", &failure)],
    });
}

/// All objects of a kind that have a namespace.
async fn all<K>(
    connection: &Connection,
    namespace: Option<&str>,
    params: ListParams,
) -> Result<Vec<K>, Failure>
where
    K: Kind<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let client = connection.client.clone();
    let api = match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    pages(api, params).await
}

/// All objects of a kind, whether it has namespaces or not.
async fn all_of<K>(connection: &Connection, params: ListParams) -> Result<Vec<K>, Failure>
where
    K: Kind<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    pages(Api::all(connection.client.clone()), params).await
}

async fn pages<K>(api: Api<K>, params: ListParams) -> Result<Vec<K>, Failure>
where
    K: Clone + DeserializeOwned + Debug,
{
    let mut found = Vec::new();
    let mut params = params.limit(PAGE);
    loop {
        let page = in_time(api.list(&params)).await?;
        found.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) if found.len() < MOST_OBJECTS => params = params.continue_token(&token),
            _ => return Ok(found),
        }
    }
}
