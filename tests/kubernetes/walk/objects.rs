//! Objects of any kind: made, changed, and taken away in the end.

use super::{LEASE, Walk};
use crate::support::{now, say};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tidegate_kubernetes::kube::api::{DeleteParams, DynamicObject, ListParams, Patch};
use tidegate_kubernetes::kube::api::{PatchParams, PostParams};
use tidegate_kubernetes::kube::core::{ApiResource, GroupVersionKind};
use tidegate_kubernetes::kube::{Api, Error};

/// The longest that something is waited for that is to go.
const GOING: Duration = Duration::from_secs(30);

impl Walk {
    pub(in crate::kubernetes) fn api(
        &self,
        namespace: &str,
        group_version: &str,
        kind: &str,
    ) -> Api<DynamicObject> {
        let resource = resource(group_version, kind);
        match namespace {
            "" => Api::all_with(self.client.clone(), &resource),
            namespace => Api::namespaced_with(self.client.clone(), namespace, &resource),
        }
    }

    pub(in crate::kubernetes) fn get(&self, group_version: &str, kind: &str, name: &str) -> Value {
        self.get_in(&self.namespace, group_version, kind, name)
    }

    pub(in crate::kubernetes) fn get_in(
        &self,
        namespace: &str,
        group_version: &str,
        kind: &str,
        name: &str,
    ) -> Value {
        let api = self.api(namespace, group_version, kind);
        serde_json::to_value(self.runtime.block_on(api.get(name)).unwrap()).unwrap()
    }

    pub(in crate::kubernetes) fn create(&mut self, group_version: &str, kind: &str, object: Value) {
        self.try_create(group_version, kind, &object).unwrap();
    }

    pub(in crate::kubernetes) fn try_create(
        &mut self,
        group_version: &str,
        kind: &str,
        object: &Value,
    ) -> Result<(), Error> {
        let namespace = self.namespace.clone();
        self.try_create_in(&namespace, group_version, kind, object)
    }

    pub(in crate::kubernetes) fn try_create_in(
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

    pub(in crate::kubernetes) fn apply(
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

    pub(in crate::kubernetes) fn change(
        &self,
        group_version: &str,
        kind: &str,
        name: &str,
        patch: &Value,
    ) {
        let api = self.api(&self.namespace, group_version, kind);
        let params = PatchParams::default();
        self.runtime.block_on(api.patch(name, &params, &Patch::Merge(patch))).unwrap();
    }

    /// Whether an object is there and being deleted.
    pub(in crate::kubernetes) fn is_going(
        &self,
        namespace: &str,
        group_version: &str,
        kind: &str,
        name: &str,
    ) -> bool {
        let api = self.api(namespace, group_version, kind);
        let found = self.runtime.block_on(api.get_opt(name)).unwrap();
        found.is_some_and(|object| object.metadata.deletion_timestamp.is_some())
    }

    /// Waits until an object is gone. Whether it is.
    pub(in crate::kubernetes) fn is_gone(
        &self,
        namespace: &str,
        group_version: &str,
        kind: &str,
        name: &str,
    ) -> bool {
        let (api, start) = (self.api(namespace, group_version, kind), now());
        while now() - start < GOING {
            if let Ok(None) = self.runtime.block_on(api.get_opt(name)) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        false
    }

    /// Ends the namespace where no controller does: what events are left, and then its finalizer.
    fn end_namespace(&self) {
        let namespaces = self.api("", "v1", "Namespace");
        let maps = self.api(&self.namespace, "v1", "ConfigMap");
        let is_kept = |found: Result<Option<DynamicObject>, Error>| !matches!(found, Ok(None));
        self.runtime.block_on(async {
            let Ok(Some(mut namespace)) = namespaces.get_opt(&self.namespace).await else { return };
            // A controller manager puts this into each namespace, and ends namespaces, too.
            if is_kept(maps.get_opt("kube-root-ca.crt").await) {
                return;
            }
            let events = self.api(&self.namespace, "v1", "Event");
            let all = ListParams::default();
            events.delete_collection(&DeleteParams::default(), &all).await.ok();
            namespace.data["spec"]["finalizers"] = json!([]);
            let params = PostParams::default();
            let ended = namespaces
                .replace_subresource("finalize", &self.namespace, &params, &namespace)
                .await;
            if let Err(error) = ended {
                say(&format!("left behind: the namespace {}: {error}", self.namespace));
            }
        });
    }
}

impl Drop for Walk {
    fn drop(&mut self) {
        // The last first: the namespace goes when it is empty. What fails is left and told.
        let lease = resource("coordination.k8s.io/v1", "Lease");
        self.made.push((lease, self.namespace.clone(), LEASE.to_owned()));
        for (resource, namespace, name) in std::mem::take(&mut self.made).into_iter().rev() {
            let client = self.client.clone();
            let api: Api<DynamicObject> = match namespace.as_str() {
                "" => Api::all_with(client, &resource),
                namespace => Api::namespaced_with(client, namespace, &resource),
            };
            let params = DeleteParams::default().grace_period(0);
            if let Err(error) = self.runtime.block_on(api.delete(&name, &params)) {
                say(&format!("left behind: {} {namespace}/{name}: {error}", resource.kind));
            }
            // The next test would take one that is going for its own.
            if resource.kind == "CustomResourceDefinition"
                && !self.is_gone("", "apiextensions.k8s.io/v1", &resource.kind, &name)
            {
                say(&format!("still there: {} {name}", resource.kind));
            }
        }
        self.end_namespace();
    }
}

pub(super) fn resource(group_version: &str, kind: &str) -> ApiResource {
    let plurals: BTreeMap<&str, &str> = [("InferenceApi", "inferenceapis")].into();
    let (group, version) = group_version.split_once('/').unwrap_or(("", group_version));
    let of = GroupVersionKind::gvk(group, version, kind);
    match plurals.get(kind) {
        Some(plural) => ApiResource::from_gvk_with_plural(&of, plural),
        None => ApiResource::from_gvk(&of),
    }
}
