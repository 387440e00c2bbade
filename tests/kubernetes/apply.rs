//! Server-side apply: who has set which field, conflicts, and fields that a manager no longer sets.
//!
//! As the API's documentation has it, but for lists: each is one field; and of schemas it knows the keys
//! of a pod.

use super::request::Place;
use super::store::{Refusal, Store, merge};
use serde_json::{Value, json};

/// An apply.
pub(super) struct Apply<'a> {
    pub(super) manager: &'a str,
    pub(super) force: bool,
    pub(super) body: &'a Value,
}

/// Applies to the store: the object, and whether it is new.
pub(super) fn apply(
    store: &mut Store,
    place: &Place,
    of: &Apply<'_>,
) -> Result<(Value, bool), Refusal> {
    let bad = |message: &str| Refusal(400, "BadRequest", message.to_owned());
    if of.manager.is_empty() {
        return Err(bad("fieldManager is required for apply patch"));
    }
    for field in ["apiVersion", "kind"] {
        if of.body[field].is_null() {
            return Err(bad(&format!("{field} must be set in an apply")));
        }
    }
    if let Some(unknown) = unknown(of.body) {
        let (kind, metadata) = (&of.body["kind"], &of.body["metadata"]);
        let what = [&metadata["namespace"], &metadata["name"], &of.body["apiVersion"], kind]
            .map(|part| part.as_str().unwrap_or(""));
        let [namespace, name, version, kind] = what;
        // So it says, and with this status, though the fault is the sender's.
        let message = format!(
            "failed to create typed patch object ({namespace}/{name}; {version}, Kind={kind}): \
             .spec.template.spec.{unknown}: field not declared in schema"
        );
        return Err(Refusal(500, "", message));
    }
    let is_there = store.get(&Place { subresource: String::new(), ..place.clone() }).is_ok();
    if !is_there && place.subresource.is_empty() {
        let mut object = of.body.clone();
        object["metadata"]["managedFields"] = json!([entry(of, "")]);
        return Ok((store.create(place, object)?, true));
    }
    let mut object = store.get(place)?;
    set(&mut object, of, &place.subresource)?;
    let changed = store.change(place, |before| *before = object)?;
    Ok((changed, false))
}

/// A key of a Deployment's pods that no pod has.
fn unknown(body: &Value) -> Option<&String> {
    const KNOWN: [&str; 3] = ["containers", "initContainers", "volumes"];
    let pod = body["spec"]["template"]["spec"].as_object().filter(|_| body["kind"] == "Deployment");
    pod?.keys().find(|key| !KNOWN.contains(&key.as_str()))
}

fn set(object: &mut Value, of: &Apply<'_>, subresource: &str) -> Result<(), Refusal> {
    let mut managers = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let new = leaves(&fields(of.body));
    let mut conflicts = Vec::new();
    let is_own = |entry: &Value| {
        entry["manager"] == of.manager && entry["subresource"].as_str().unwrap_or("") == subresource
    };
    for entry in managers.iter_mut().filter(|entry| !is_own(entry)) {
        let theirs = leaves(&entry["fieldsV1"]);
        for path in new.iter().filter(|path| theirs.contains(path)) {
            if at(object, path) == at(of.body, path) {
                continue;
            }
            if of.force {
                give_up(&mut entry["fieldsV1"], path);
            } else {
                let manager = entry["manager"].as_str().unwrap_or("");
                conflicts.push(format!("conflict with \"{manager}\": .{}", path.join(".")));
            }
        }
    }
    if !conflicts.is_empty() {
        let count = conflicts.len();
        let plural = if count == 1 { "" } else { "s" };
        let message =
            format!("Apply failed with {count} conflict{plural}: {}", conflicts.join("\n"));
        return Err(Refusal(409, "Conflict", message));
    }
    let before =
        managers.iter().find(|entry| is_own(entry)).map(|entry| leaves(&entry["fieldsV1"]));
    let others: Vec<Vec<String>> = managers
        .iter()
        .filter(|entry| !is_own(entry))
        .flat_map(|entry| leaves(&entry["fieldsV1"]))
        .collect();
    for path in before.unwrap_or_default() {
        if !new.contains(&path) && !others.contains(&path) {
            remove(object, &path);
        }
    }
    merge(object, of.body);
    managers.retain(|entry| !is_own(entry));
    managers.push(entry(of, subresource));
    object["metadata"]["managedFields"] = json!(managers);
    Ok(())
}

fn entry(of: &Apply<'_>, subresource: &str) -> Value {
    let mut entry = json!({
        "manager": of.manager,
        "operation": "Apply",
        "apiVersion": of.body["apiVersion"],
        "fieldsType": "FieldsV1",
        "fieldsV1": fields(of.body),
    });
    if !subresource.is_empty() {
        entry["subresource"] = json!(subresource);
    }
    entry
}

/// A body's fields as `fieldsV1` has them, without what every object has.
fn fields(body: &Value) -> Value {
    fn of(value: &Value) -> Value {
        let fields = value.as_object().into_iter().flatten();
        Value::Object(fields.map(|(name, value)| (format!("f:{name}"), of(value))).collect())
    }
    let mut body = body.clone();
    let all = body.as_object_mut().unwrap();
    all.remove("apiVersion");
    all.remove("kind");
    if let Some(metadata) = all.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in ["name", "namespace", "resourceVersion"] {
            metadata.remove(field);
        }
        if metadata.is_empty() {
            all.remove("metadata");
        }
    }
    of(&body)
}

/// The paths of all leaves of a `fieldsV1`.
fn leaves(fields: &Value) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (name, below) in fields.as_object().into_iter().flatten() {
        let name = name.trim_start_matches("f:").to_owned();
        let below = leaves(below);
        match below.is_empty() {
            true => found.push(vec![name]),
            false => found.extend(
                below.into_iter().map(|path| std::iter::once(name.clone()).chain(path).collect()),
            ),
        }
    }
    found
}

fn at<'a>(object: &'a Value, path: &[String]) -> &'a Value {
    path.iter().fold(object, |at, part| &at[part])
}

/// Takes a leaf out of a `fieldsV1`, and what is empty without it.
fn give_up(fields: &mut Value, path: &[String]) {
    let Some((first, rest)) = path.split_first() else { return };
    let Some(all) = fields.as_object_mut() else { return };
    let key = format!("f:{first}");
    if let Some(below) = all.get_mut(&key).filter(|_| !rest.is_empty()) {
        give_up(below, rest);
        if below.as_object().is_some_and(|below| !below.is_empty()) {
            return;
        }
    }
    all.remove(&key);
}

fn remove(object: &mut Value, path: &[String]) {
    let Some((last, parents)) = path.split_last() else { return };
    let parent = parents.iter().try_fold(&mut *object, |at, part| at.get_mut(part));
    if let Some(fields) = parent.and_then(Value::as_object_mut) {
        fields.remove(last);
        // What has nothing left in it goes, too.
        if fields.is_empty() && !parents.is_empty() {
            remove(object, parents);
        }
    }
}

#[test]
fn fields_have_managers_and_go_with_the_last_of_them() {
    let (mut store, place) = (Store::default(), Place::of("v1", "pods", "n", "a"));
    let mut put = |manager: &str, force: bool, spec: Value| {
        let body =
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec});
        apply(&mut store, &place, &Apply { manager, force, body: &body })
    };
    assert!(put("one", false, json!({"a": 1, "b": {"c": 2}})).unwrap().1);
    let same = put("one", false, json!({"a": 1, "b": {"c": 2}})).unwrap();
    assert_eq!((same.1, &same.0["metadata"]["resourceVersion"]), (false, &json!("1")));
    let refused = put("two", false, json!({"b": {"c": 3}})).unwrap_err();
    assert_eq!(refused.2, "Apply failed with 1 conflict: conflict with \"one\": .spec.b.c");
    put("two", true, json!({"b": {"c": 3}})).unwrap();
    let (left, _) = put("one", false, json!({"d": 4})).unwrap();
    assert_eq!(left["spec"], json!({"b": {"c": 3}, "d": 4}));
}

#[test]
fn a_status_is_what_its_manager_says_now() {
    let (mut store, place) = (Store::default(), Place::of("v1", "pods", "n", "a"));
    store.create(&place, json!({"metadata": {"name": "a"}, "spec": {"a": 1}})).unwrap();
    let place = Place { subresource: "status".to_owned(), ..place };
    let mut put = |status: Value| {
        let body = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"},
            "status": status});
        apply(&mut store, &place, &Apply { manager: "one", force: true, body: &body }).unwrap().0
    };
    put(json!({"a": 1, "b": {"c": 2}}));
    let left = put(json!({"a": 2}));
    assert_eq!((&left["status"], &left["spec"]), (&json!({"a": 2}), &json!({"a": 1})));
    assert_eq!(left["metadata"]["managedFields"].as_array().unwrap().len(), 1);
}
