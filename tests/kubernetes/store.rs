//! Objects as an API server keeps them: versions, generations, subresources, and what has changed.

use super::request::{Place, Selection};
use super::schema::complete;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// All objects, and every change since the oldest that is remembered.
#[derive(Debug, Default)]
pub(super) struct Store {
    objects: BTreeMap<(String, String, String), Value>,
    changes: Vec<Change>,
    revision: u64,
    /// Changes up to this one are forgotten.
    forgotten: u64,
}

#[derive(Debug, Clone)]
struct Change {
    revision: u64,
    resource: String,
    namespace: String,
    before: Option<Value>,
    after: Option<Value>,
}

/// Why something was not done: the status code, the reason and the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) u16, pub(super) &'static str, pub(super) String);

/// What a watch is told next.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum News {
    /// Events, and the revision up to which they tell everything.
    Events(Vec<Value>, u64),
    /// The changes since then are forgotten: list again.
    Expired,
}

fn resource(place: &Place) -> String {
    format!("{}/{}", place.group_version, place.plural)
}

fn key(place: &Place) -> (String, String, String) {
    (resource(place), place.namespace.clone(), place.name.clone())
}

impl Store {
    /// The revision of the last change.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// Forgets all changes: who watches must list again.
    pub(super) fn forget(&mut self) {
        self.forgotten = self.revision;
        self.changes.clear();
    }

    /// One object.
    pub(super) fn get(&self, place: &Place) -> Result<Value, Refusal> {
        let object = self.objects.get(&key(place)).cloned();
        let object = object.ok_or_else(|| {
            let message = format!("{} \"{}\" not found", place.plural, place.name);
            Refusal(404, "NotFound", message)
        })?;
        if place.subresource == "scale" { Ok(scale(&object)) } else { Ok(object) }
    }

    /// All that are meant.
    pub(super) fn list(&self, place: &Place, selection: &Selection) -> Vec<Value> {
        let of = resource(place);
        let objects = self.objects.iter().filter(|((resource, namespace, _), object)| {
            *resource == of
                && (place.namespace.is_empty() || *namespace == place.namespace)
                && selection.has(object)
        });
        objects.map(|(_, object)| object.clone()).collect()
    }

    /// What has changed since `from`.
    pub(super) fn since(&self, from: u64, place: &Place, selection: &Selection) -> News {
        if from < self.forgotten {
            return News::Expired;
        }
        let of = resource(place);
        let is_meant = |change: &&Change| {
            change.revision > from
                && change.resource == of
                && (place.namespace.is_empty() || change.namespace == place.namespace)
        };
        let event = |change: &Change| {
            let has = |object: &Option<Value>| {
                object.as_ref().is_some_and(|object| selection.has(object))
            };
            let (kind, object) = match (has(&change.before), has(&change.after)) {
                (false, true) => ("ADDED", change.after.clone()?),
                (true, true) => ("MODIFIED", change.after.clone()?),
                (true, false) => {
                    let mut last = change.after.clone().or_else(|| change.before.clone())?;
                    last["metadata"]["resourceVersion"] = json!(change.revision.to_string());
                    ("DELETED", last)
                }
                (false, false) => return None,
            };
            Some(json!({"type": kind, "object": object}))
        };
        News::Events(
            self.changes.iter().filter(is_meant).filter_map(event).collect(),
            self.revision,
        )
    }

    /// A new object.
    pub(super) fn create(&mut self, place: &Place, mut object: Value) -> Result<Value, Refusal> {
        let mut place = place.clone();
        let given = |field: &str| object["metadata"][field].as_str().unwrap_or("").to_owned();
        place.name = given("name");
        if place.name.is_empty() {
            place.name = format!("{}{:05x}", given("generateName"), self.revision + 1);
        }
        if self.objects.contains_key(&key(&place)) {
            let message = format!("{} \"{}\" already exists", place.plural, place.name);
            return Err(Refusal(409, "AlreadyExists", message));
        }
        object["apiVersion"] = json!(place.group_version);
        object["kind"] = json!(place.kind());
        object["metadata"]["name"] = json!(place.name);
        object["metadata"]["namespace"] = json!(place.namespace);
        object["metadata"]["uid"] = json!(format!("uid-{}", self.revision + 1));
        object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
        object["metadata"]["generation"] = json!(1);
        if place.plural == "deployments" && object["spec"]["replicas"].is_null() {
            object["spec"]["replicas"] = json!(1);
        }
        if place.plural == "customresourcedefinitions" {
            object["status"] = json!({"conditions": [{"type": "Established", "status": "True"}]});
        }
        if place.plural == "inferenceapis" {
            complete(&mut object);
        }
        Ok(self.put(&place, Some(object)))
    }

    /// Changes an object by `change`, as a patch or a replacement to `place` does.
    pub(super) fn change(
        &mut self,
        place: &Place,
        change: impl FnOnce(&mut Value),
    ) -> Result<Value, Refusal> {
        let main = Place { subresource: String::new(), ..place.clone() };
        let before = self.get(&main)?;
        let mut shown = self.get(place)?;
        let version = before["metadata"]["resourceVersion"].clone();
        change(&mut shown);
        let given = &shown["metadata"]["resourceVersion"];
        if !given.is_null() && *given != version {
            let message = format!(
                "Operation cannot be fulfilled on {} \"{}\": the object has been modified; please \
                 apply your changes to the latest version and try again",
                place.plural, place.name
            );
            return Err(Refusal(409, "Conflict", message));
        }
        let mut after = before.clone();
        match place.subresource.as_str() {
            "scale" => after["spec"]["replicas"] = shown["spec"]["replicas"].clone(),
            "status" => {
                after["status"] = shown["status"].clone();
                let managers = &shown["metadata"]["managedFields"];
                if !managers.is_null() {
                    after["metadata"]["managedFields"] = managers.clone();
                }
            }
            _ => {
                let status = before["status"].clone();
                after = shown;
                after["metadata"]["resourceVersion"] = version;
                if place.plural != "pods" && !status.is_null() {
                    after["status"] = status;
                }
            }
        }
        if place.plural == "inferenceapis" {
            complete(&mut after);
        }
        if after == before {
            return self.get(place);
        }
        if after["spec"] != before["spec"] {
            let generation = before["metadata"]["generation"].as_u64().unwrap_or(0) + 1;
            after["metadata"]["generation"] = json!(generation);
        }
        self.put(&main, Some(after));
        self.get(place)
    }

    /// Takes an object away.
    pub(super) fn delete(&mut self, place: &Place) -> Result<Value, Refusal> {
        let object = self.get(place)?;
        self.put(place, None);
        Ok(object)
    }

    fn put(&mut self, place: &Place, mut object: Option<Value>) -> Value {
        self.revision += 1;
        if let Some(object) = &mut object {
            object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        }
        let before = match &object {
            Some(object) => self.objects.insert(key(place), object.clone()),
            None => self.objects.remove(&key(place)),
        };
        let after = object.clone();
        self.changes.push(Change {
            revision: self.revision,
            resource: resource(place),
            namespace: place.namespace.clone(),
            before,
            after,
        });
        object.unwrap_or_default()
    }
}

/// An object as its scale subresource shows it.
fn scale(object: &Value) -> Value {
    let metadata = &object["metadata"];
    let labels = object["spec"]["selector"]["matchLabels"].as_object().cloned().unwrap_or_default();
    let label =
        |(name, value): (&String, &Value)| format!("{name}={}", value.as_str().unwrap_or(""));
    let selector: Vec<String> = labels.iter().map(label).collect();
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
            "creationTimestamp": metadata["creationTimestamp"],
        },
        "spec": {"replicas": object["spec"]["replicas"]},
        "status": {
            "replicas": object["status"]["replicas"].as_u64().unwrap_or(0),
            "selector": selector.join(","),
        },
    })
}

/// A JSON merge patch (RFC 7396).
pub(super) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in fields {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(name);
        } else {
            merge(&mut target[name], value);
        }
    }
}

/// A strategic merge patch: as a merge patch, but lists of things with names are merged by name.
pub(super) fn merge_by_name(target: &mut Value, patch: &Value) {
    match (target, patch) {
        (Value::Array(items), Value::Array(changes))
            if changes.iter().all(|change| change["name"].is_string()) =>
        {
            for change in changes {
                match items.iter_mut().find(|item| item["name"] == change["name"]) {
                    Some(item) => merge_by_name(item, change),
                    None => items.push(change.clone()),
                }
            }
        }
        (Value::Object(fields), Value::Object(changes)) => {
            for (name, change) in changes {
                if change.is_null() {
                    fields.remove(name);
                } else {
                    merge_by_name(fields.entry(name).or_insert(Value::Null), change);
                }
            }
        }
        (target, patch) => *target = patch.clone(),
    }
}

#[test]
fn a_version_that_has_passed_is_a_conflict_and_no_change_is_none() {
    let mut store = Store::default();
    let place = Place::of("apps/v1", "deployments", "n", "d");
    let object = json!({"metadata": {"name": "d"}, "spec": {"replicas": 1}, "status": {"a": 1}});
    store.create(&place, object).unwrap();
    let scale = Place { subresource: "scale".to_owned(), ..place.clone() };
    let patch = |version: &str, replicas: u32| json!({"metadata": {"resourceVersion": version}, "spec": {"replicas": replicas}});
    let scaled = store.change(&scale, |object| merge(object, &patch("1", 3))).unwrap();
    assert_eq!(
        (&scaled["spec"]["replicas"], &scaled["metadata"]["resourceVersion"]),
        (&json!(3), &json!("2"))
    );
    let refused = store.change(&scale, |object| merge(object, &patch("1", 4))).unwrap_err();
    assert_eq!((refused.0, refused.1), (409, "Conflict"));
    store.change(&scale, |object| merge(object, &patch("2", 3))).unwrap();
    assert_eq!(store.revision(), 2, "nothing has changed");
    let all = Selection::default();
    let News::Events(events, 2) = store.since(1, &place, &all) else { panic!("not told") };
    assert_eq!(events[0]["type"], "MODIFIED");
    assert_eq!(events[0]["object"]["metadata"]["generation"], 2);
    store.forget();
    assert_eq!(store.since(1, &place, &all), News::Expired);
}
