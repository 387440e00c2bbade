//! The definition of the `InferenceApi` resource (CustomResourceDefinition), made of the schema
//! that documents on one machine have.

use crate::resource::{GROUP, PLURAL, VERSION};
use crate::structural::structural;
use serde_json::{Value, json};
use tidegate_api::names::API_KIND;

/// The definition, as the API server takes it.
pub fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{PLURAL}.{GROUP}")},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": API_KIND,
                "listKind": format!("{API_KIND}List"),
                "plural": PLURAL,
                "singular": "inferenceapi",
                "shortNames": ["iapi"],
                "categories": ["all"],
            },
            "scope": "Namespaced",
            "versions": [{
                "name": VERSION,
                "served": true,
                "storage": true,
                "schema": {"openAPIV3Schema": schema()},
                "additionalPrinterColumns": columns(),
                "subresources": {
                    "status": {},
                    "scale": {
                        // `kubectl scale iapi` says how many there must be at the least.
                        "specReplicasPath": ".spec.autoscaling.minReplicas",
                        "statusReplicasPath": ".status.replicas",
                        "labelSelectorPath": ".status.selector",
                    },
                },
            }],
        },
    })
}

/// The definition as YAML, with a line that says how it was made.
///
/// # Errors
/// None that are known: the definition is plain data.
pub fn yaml() -> Result<String, serde_saphyr::SerializeError> {
    let definition = serde_saphyr::to_string(&definition())?;
    Ok(format!("# Made by `tidegate crd`.\n{definition}"))
}

fn columns() -> Value {
    let column = |name: &str, kind: &str, path: &str, what: &str| json!({"name": name, "type": kind, "jsonPath": path, "description": what});
    json!([
        column("Ready", "integer", ".status.ready", "Replicas that can serve."),
        column("Wanted", "integer", ".status.wanted", "Replicas that are asked for."),
        column("In-Flight", "integer", ".status.inFlight", "Requests that run or wait."),
        column("Policy", "string", ".spec.autoscaling.policy", "The rule that decides."),
        column(
            "Reason",
            "string",
            ".status.reason",
            "Why it is not scaled, else why so many are asked for."
        ),
        column("Age", "date", ".metadata.creationTimestamp", "Since when it exists."),
    ])
}

fn schema() -> Value {
    let document = structural(&tidegate_api::json_schema());
    let mut spec = document["properties"]["spec"].clone();
    let rules = |all: &[(&str, &str)]| {
        let rule = |(rule, message): &(&str, &str)| json!({"rule": rule, "message": message});
        Value::Array(all.iter().map(rule).collect())
    };
    spec["x-kubernetes-validations"] = rules(&[
        (
            "has(self.container) || has(self.target) || has(self.template) || has(self.traffic) || \
             has(self.endpoints)",
            "one of container, target, template, traffic and endpoints must be given",
        ),
        (
            "!has(self.target) || !has(self.template)",
            "target says what exists, template what to make: give one of them",
        ),
    ]);
    spec["properties"]["autoscaling"]["x-kubernetes-validations"] = rules(&[(
        "!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",
        "minReplicas must be at most maxReplicas",
    )]);
    spec["properties"]["readiness"]["x-kubernetes-validations"] = rules(&[(
        "[has(self.httpGet), has(self.tcpSocket), has(self.grpc), has(self.exec)]\
         .filter(given, given).size() <= 1",
        "at most one of httpGet, tcpSocket, grpc and exec may be given",
    )]);
    json!({
        "type": "object",
        "description": document["description"],
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status(),
        },
        "x-kubernetes-validations": rules(&[(
            "self.metadata.name.size() <= 63 && !self.metadata.name.contains('.')",
            "the name must be at most 63 characters, without dots",
        )]),
    })
}

fn status() -> Value {
    let count = |what: &str| json!({"type": "integer", "minimum": 0, "description": what});
    let text = |what: &str| json!({"type": "string", "description": what});
    json!({
        "type": "object",
        "description": "What the autoscaler sees, and its last decision.",
        "properties": {
            "observedGeneration": {
                "type": "integer",
                "format": "int64",
                "description": "The generation of the spec that this status is about.",
            },
            "replicas": count("Replicas that the target has."),
            "ready": count("Replicas that can serve."),
            "wanted": count("Replicas that are asked for."),
            "inFlight": count("Requests that run or wait."),
            "queued": count("Those of them that wait."),
            "reason": text("Why it is not scaled, else why so many are asked for: a word."),
            "message": text("The same: a sentence."),
            "selector": text("The labels that the target's pods have."),
            "rollout": rollout(),
            "conditions": {
                "type": "array",
                "description": "What is, and since when.",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
                "items": {
                    "type": "object",
                    "required": ["type", "status", "lastTransitionTime", "reason", "message"],
                    "properties": {
                        "type": text(
                            "What it is about: `Ready`, `Scaling`, `Applied` or \
                             `RolloutProgressing`.",
                        ),
                        "status": {
                            "type": "string",
                            "enum": ["True", "False", "Unknown"],
                            "description": "Whether it holds.",
                        },
                        "observedGeneration": {
                            "type": "integer",
                            "format": "int64",
                            "description": "The generation of the spec that this is about.",
                        },
                        "lastTransitionTime": {
                            "type": "string",
                            "format": "date-time",
                            "description": "When `status` last changed.",
                        },
                        "reason": text("Why: a word."),
                        "message": text("Why: a sentence."),
                    },
                },
            },
        },
    })
}

/// Of [`crate::rollout::RolloutRecord`].
fn rollout() -> Value {
    let count = |what: &str| json!({"type": "integer", "minimum": 0, "description": what});
    let text = |what: &str| json!({"type": "string", "description": what});
    json!({
        "type": "object",
        "description": "How far one version has taken over. Gateways go by it.",
        "properties": {
            "to": text("The version that takes over."),
            "stage": text("Where it stands: `Step`, `Promoted` or `TakenBack`."),
            "step": count("Which step it is in, or was in last, counted from 1."),
            "steps": count("How many there are."),
            "since": text("Since when it stands there."),
            "weights": {
                "type": "object",
                "description": "How many of a hundred requests each version gets.",
                "additionalProperties": {"type": "integer", "minimum": 0},
            },
            "reason": text("Why it stands there: a word."),
            "message": text("Why it stands there: a sentence."),
            "plan": text("What `spec.rollout` asked for: when that changes, it begins anew."),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

    #[test]
    fn the_definition_in_deploy_is_the_one_of_this_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/crd.yaml");
        let committed = std::fs::read_to_string(path).expect("it is there");
        let how = "run `tidegate crd > deploy/crd.yaml`";
        assert_eq!(committed, yaml().unwrap(), "{how}");
    }

    /// What Kubernetes' own types don't know would be lost on the way through them.
    #[test]
    fn kubernetes_own_types_know_every_key() {
        let definition = definition();
        let typed: CustomResourceDefinition = serde_json::from_value(definition.clone()).unwrap();
        let mut back = serde_json::to_value(typed).unwrap();
        numbers(&mut back);
        let mut want = definition;
        numbers(&mut want);
        assert_eq!(back, want);
    }

    /// The types hold limits as floating point: 1 and 1.0 are the same here.
    fn numbers(value: &mut Value) {
        match value {
            Value::Number(number) => *value = json!(number.as_f64()),
            Value::Array(all) => all.iter_mut().for_each(numbers),
            Value::Object(all) => all.values_mut().for_each(numbers),
            _ => {}
        }
    }

    #[test]
    fn the_schema_is_structural() {
        let mut seen = 0;
        is_structural(&schema(), "", &mut seen);
        assert!(seen > 100, "the schema has lost places: {seen}");
    }

    /// The rules of the API server's own check.
    fn is_structural(schema: &Value, path: &str, seen: &mut u32) {
        *seen += 1;
        let has = |key: &str| schema.get(key).is_some();
        assert!(schema["type"].is_string() || has("x-kubernetes-int-or-string"), "{path}: no type");
        for bad in ["$ref", "oneOf", "anyOf", "allOf", "not", "const", "$schema", "title"] {
            assert!(!has(bad), "{path}: {bad}");
        }
        assert!(!(has("properties") && has("additionalProperties")), "{path}: both");
        assert!(!schema["additionalProperties"].is_boolean(), "{path}: additionalProperties");
        assert!(!has("exclusiveMinimum") || schema["exclusiveMinimum"].is_boolean(), "{path}");
        assert_eq!(schema["type"] == "array", has("items"), "{path}: items");
        for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
            is_structural(inner, &format!("{path}.{name}"), seen);
        }
        for key in ["items", "additionalProperties"] {
            schema.get(key).into_iter().for_each(|inner| is_structural(inner, path, seen));
        }
    }
}
