//! Rules for `spec.template`, as far as they are ours: the rest is the API server's.

use super::Check;
use crate::defaults;
use crate::document::{Target, Template};
use crate::key_path::KeyPath;
use crate::raw::RawTemplate;
use serde_json::Value;

/// The keys of a pod template.
const KEYS: [&str; 2] = ["metadata", "spec"];

/// Checks the pods' template.
pub(super) fn check(raw: RawTemplate, check: &mut Check<'_>) -> Template {
    let path = KeyPath::keys("spec.template");
    let RawTemplate(template) = raw;
    for key in template.keys().filter(|key| !KEYS.contains(&key.as_str())) {
        let must = "one of `metadata` and `spec`: it is a pod template, as a Deployment has it";
        check.wrong(&path.key(key), "is unknown", must);
    }
    let metadata = template.get("metadata");
    for key in ["labels", "annotations"] {
        let given = metadata.and_then(|metadata| metadata.get(key));
        let is_text = |value: &Value| value.is_string();
        let is_fit = given
            .is_none_or(|given| given.as_object().is_some_and(|given| given.values().all(is_text)));
        if !is_fit {
            let path = path.key("metadata").key(key);
            check.wrong(&path, "is something else", "a mapping of keys and texts");
        }
    }
    let spec = template.get("spec").unwrap_or(&Value::Null);
    let containers = spec.get("containers").and_then(Value::as_array);
    if containers.is_none_or(Vec::is_empty) {
        let must = "a list of at least one container, in Kubernetes' form";
        check.wrong(&path.key("spec").key("containers"), "is missing", must);
    }
    Template(template)
}

/// What is scaled where Tidegate makes the pods: the Deployment of the API's name.
pub(super) fn target(name: &str) -> Target {
    Target {
        api_version: defaults::TARGET_API_VERSION.to_owned(),
        kind: defaults::TARGET_KIND.to_owned(),
        name: name.to_owned(),
    }
}
