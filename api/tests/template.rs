//! `spec.template`: pods that Tidegate makes on Kubernetes.

use serde_json::json;
use std::path::Path;
use tidegate_api::{InferenceApi, Report, parse};

fn read(spec: &str) -> Result<Vec<InferenceApi>, Report> {
    let text = format!(
        "apiVersion: tidegate.dev/v1alpha1\nkind: InferenceApi\nmetadata: {{name: digits}}\n\
         spec: {spec}\n"
    );
    parse(&text, "app.yaml", Path::new("/apps"))
}

#[test]
fn a_template_is_kept_as_it_is_and_names_its_target() {
    let spec = "{template: {metadata: {labels: {a: b}}, spec: {containers: \
                [{name: model, image: x, env: [{name: N, value: '1'}]}], priority: 5, hostIPC: false}}}";
    let api = read(spec).unwrap().remove(0);
    let target = api.target.unwrap();
    assert_eq!((&*target.kind, &*target.name), ("Deployment", "digits"));
    let want = json!({
        "metadata": {"labels": {"a": "b"}},
        "spec": {
            "containers": [{"name": "model", "image": "x", "env": [{"name": "N", "value": "1"}]}],
            "priority": 5,
            "hostIPC": false,
        },
    });
    assert_eq!(serde_json::Value::Object(api.template.unwrap().0), want);
}

#[test]
fn what_is_no_template_is_told() {
    for (spec, path) in [
        ("{template: {spec: {containers: []}}}", "spec.template.spec.containers"),
        (
            "{template: {spec: {containers: [{name: a}]}, containers: []}}",
            "spec.template.containers",
        ),
        ("{template: {spec: {containers: [{name: a}]}}, target: {name: d}}", "spec.target"),
        (
            "{template: {metadata: {labels: {a: 1}}, spec: {containers: [{name: a}]}}}",
            "spec.template.metadata.labels",
        ),
        ("{template: model:1}", "spec.template"),
    ] {
        let report = read(spec).unwrap_err();
        assert!(report.mistakes.iter().any(|mistake| mistake.path == path), "{spec}: {report}");
    }
}
