//! Who is to be scaled and served: the resources, and the Deployments that ask by annotations. Pure.

use crate::facts::{Key, Origin, Resource, Workload};
use crate::watch::Stores;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// All of them, by namespace and name. A resource counts rather than the annotations of what it
/// targets, and rather than a Deployment of its own name.
pub(crate) fn claims(stores: &Stores) -> BTreeMap<Key, Resource> {
    let mut claims = stores.resources().clone();
    let targeted: BTreeSet<(&str, &str)> = stores
        .resources()
        .iter()
        .filter_map(|(key, resource)| {
            let target = resource.document.as_ref().ok()?.target.as_ref()?;
            (target.kind == "Deployment").then_some((&*key.namespace, &*target.name))
        })
        .collect();
    for (key, workload) in stores.all_deployments() {
        if !targeted.contains(&(&*key.namespace, &*key.name)) && !claims.contains_key(key) {
            claims.extend(resource(workload).map(|resource| (key.clone(), resource)));
        }
    }
    claims
}

/// What a Deployment's annotations come to.
fn resource(workload: &Workload) -> Option<Resource> {
    let asked = workload.asked.as_ref()?;
    Some(Resource {
        origin: Origin::Deployment,
        uid: asked.uid.clone(),
        version: workload.version.clone(),
        generation: asked.generation,
        created: asked.created,
        document: asked.document.clone(),
        status: Arc::new(Value::Null),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asked::Asked;
    use crate::resource::{document, inference_api};
    use kube::core::DynamicObject;
    use serde_json::json;

    fn key(name: &str) -> Key {
        Key { namespace: "n".to_owned(), name: name.to_owned() }
    }

    fn asking(name: &str) -> Workload {
        let notes = [("tidegate.dev/max-replicas".to_owned(), "3".to_owned())].into();
        Workload {
            version: "1".to_owned(),
            owner: None,
            amiss: None,
            replicas: 1,
            present: 1,
            selector: None,
            asked: Asked::of(name, "uid", 7, &notes, &BTreeMap::new()),
        }
    }

    fn target(stores: &mut Stores, name: &str, target: &str) {
        let mut object = DynamicObject::new(name, &inference_api());
        object.data = json!({"spec": {"target": {"name": target}}});
        let resource = Resource {
            origin: Origin::Resource,
            uid: "r".to_owned(),
            version: "1".to_owned(),
            generation: 1,
            created: 1,
            document: document(&object).map(Arc::new).map_err(|_| Arc::from("mistakes")),
            status: Arc::new(Value::Null),
        };
        stores.apis().set(key(name), Some(resource));
    }

    #[test]
    fn a_resource_counts_rather_than_annotations() {
        let mut stores = Stores::default();
        for name in ["a", "b", "c"] {
            stores.deployments().set(key(name), Some(asking(name)));
        }
        stores.deployments().set(key("plain"), Some(Workload { asked: None, ..asking("plain") }));
        target(&mut stores, "other-name", "a");
        target(&mut stores, "b", "elsewhere");
        let claims = claims(&stores);
        let seen: Vec<_> = claims.iter().map(|(key, claim)| (&*key.name, claim.origin)).collect();
        let (resource, deployment) = (Origin::Resource, Origin::Deployment);
        assert_eq!(seen, [("b", resource), ("c", deployment), ("other-name", resource)]);
        let claim = &claims[&key("c")];
        assert_eq!((&*claim.uid, claim.created), ("uid", 7));
        assert_eq!(claim.document.as_ref().unwrap().autoscaling.max_replicas, 3);
    }

    #[test]
    fn what_is_asked_is_anew_when_an_annotation_changes_and_only_then() {
        let generation = |max: &str, other: &str| {
            let own = [
                ("tidegate.dev/max-replicas".to_owned(), max.to_owned()),
                ("deployment.kubernetes.io/revision".to_owned(), other.to_owned()),
            ];
            Asked::of("d", "uid", 7, &own.into(), &BTreeMap::new()).unwrap().generation
        };
        assert_eq!(generation("3", "1"), generation("3", "2"));
        assert_ne!(generation("3", "1"), generation("4", "1"));
    }
}
