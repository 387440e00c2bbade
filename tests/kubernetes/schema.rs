//! What an API server makes of an `InferenceApi` by its definition: it drops what the schema does not
//! know, and fills in what is left out. Its rules and limits are a real one's business.

use serde_json::Value;
use std::sync::LazyLock;
use tidegate_kubernetes::crd;

static SCHEMA: LazyLock<Value> =
    LazyLock::new(|| crd::definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone());

/// Makes the spec and the status what would be stored.
pub(super) fn complete(object: &mut Value) {
    for part in ["spec", "status"] {
        if let Some(value) = object.get_mut(part) {
            complete_by(&SCHEMA["properties"][part], value);
        }
    }
}

fn complete_by(schema: &Value, value: &mut Value) {
    if schema["x-kubernetes-preserve-unknown-fields"] == true {
        return;
    }
    match value {
        Value::Array(items) => {
            items.iter_mut().for_each(|item| complete_by(&schema["items"], item));
        }
        Value::Object(fields) => {
            if let Some(each) = schema.get("additionalProperties") {
                return fields.values_mut().for_each(|field| complete_by(each, field));
            }
            let nothing = serde_json::Map::new();
            let known = schema["properties"].as_object().unwrap_or(&nothing);
            fields.retain(|name, _| known.contains_key(name));
            for (name, schema) in known {
                let is_given = fields.get(name).is_some_and(|field| !field.is_null());
                if let (false, Some(default)) = (is_given, schema.get("default")) {
                    fields.insert(name.clone(), default.clone());
                }
                if let Some(field) = fields.get_mut(name) {
                    complete_by(schema, field);
                }
            }
        }
        _ => {}
    }
}

#[test]
fn what_is_unknown_goes_and_what_is_left_out_comes() {
    let mut object = serde_json::json!({
        "metadata": {"name": "a", "x": 1},
        "spec": {"target": {"name": "d", "x": 1}, "template": {"x": 1}, "x": 1},
        "status": {"rollout": {"weights": {"a": 1}, "x": 1}, "x": 1},
    });
    complete(&mut object);
    assert_eq!(object["metadata"]["x"], 1);
    assert_eq!(object["spec"]["target"]["kind"], "Deployment");
    assert_eq!(object["spec"]["template"]["x"], 1);
    assert_eq!(object["status"]["rollout"], serde_json::json!({"weights": {"a": 1}}));
    assert_eq!((object["spec"].get("x"), object["status"].get("x")), (None, None));
    assert!(object["spec"]["concurrency"]["limit"].is_number(), "{object}");
}

/// Who reads what the API server has filled in must read what was meant.
#[test]
fn a_document_means_the_same_when_it_is_filled_in() {
    use serde_json::json;
    use tidegate_kubernetes::kube::core::DynamicObject;
    let target = |more: Value| {
        let mut spec = json!({"target": {"name": "d"}});
        super::store::merge(&mut spec, &more);
        spec
    };
    let policy = |policy: &str, more: Value| {
        target(json!({"autoscaling": {"policy": policy, policy: more}}))
    };
    let mut specs = vec![
        target(json!({})),
        policy("concurrency", json!({})),
        policy("cortex", json!({})),
        policy("ray", json!({})),
        policy("slo", json!({})),
        policy("metric", json!({"query": "sum(up)", "target": 2})),
        json!({"container": {"command": ["m", "{port}"]}, "readiness": {"httpGet": {"path": "/h"}}}),
        json!({"template": {"spec": {"containers": [{"name": "m", "image": "m:1"}]}}}),
        target(json!({"routes": [{"path": "/a"}], "openai": {"models": ["a"]}, "access": {},
            "balancing": {}, "coldStart": {}, "timeouts": {}, "concurrency": {}})),
        json!({"traffic": {"versions": [{"api": "a", "weight": 100}, {"api": "b", "weight": 0}]},
            "rollout": {"to": "b", "steps": [{"weight": 1, "pause": "1m"}]}}),
    ];
    let root = crate::support::root();
    for file in ["api/examples/full.yaml", "examples/text/versions.yaml", "deploy/kind/model.yaml"]
    {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        let apis = objects.into_iter().filter(|object| object["kind"] == "InferenceApi");
        specs.extend(apis.map(|object| object["spec"].clone()));
    }
    assert!(specs.len() > 13, "files without documents");
    let resource = tidegate_kubernetes::resource::inference_api();
    for spec in specs {
        let read = |spec: &Value| {
            let mut object = DynamicObject::new("x", &resource);
            object.data = json!({ "spec": spec });
            tidegate_kubernetes::resource::document(&object)
        };
        let meant = read(&spec).unwrap_or_else(|report| panic!("{spec}: {:?}", report.mistakes));
        let mut object = json!({ "spec": spec });
        complete(&mut object);
        match read(&object["spec"]) {
            Ok(filled) => assert_eq!(unplaced(&filled), unplaced(&meant), "{spec}"),
            Err(report) => panic!("{spec}: {:?}", report.mistakes),
        }
    }
}

/// A document without the places of its parts in the text.
fn unplaced(document: &tidegate_api::InferenceApi) -> String {
    let text = format!("{document:?}");
    let mut parts = text.split("column: ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        text + part.trim_start_matches(|letter: char| letter.is_ascii_digit())
    })
}
