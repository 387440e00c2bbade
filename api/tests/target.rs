//! What is scaled on Kubernetes.

use std::path::Path;
use tidegate_api::parse;

#[test]
fn a_target_will_do_instead_of_a_container_and_is_checked() {
    let document = |spec: &str| {
        format!(
            "apiVersion: tidegate.dev/v1alpha1\nkind: InferenceApi\nmetadata: {{name: a}}\nspec: {spec}\n"
        )
    };
    let read = |spec: &str| parse(&document(spec), "a.yaml", Path::new("/"));
    let api = read("{target: {name: digits}, paused: true}").unwrap().remove(0);
    let target = api.target.unwrap();
    assert_eq!(
        (&*target.api_version, &*target.kind, &*target.name),
        ("apps/v1", "Deployment", "digits")
    );
    assert!(api.paused && api.container.command.is_empty());
    for (spec, path) in [
        ("{paused: false}", "spec.container"),
        ("{target: {kind: Deployment}}", "spec.target.name"),
        ("{target: {name: Digits}}", "spec.target.name"),
        ("{target: {name: a, kind: deployment}}", "spec.target.kind"),
        ("{target: {name: a, apiVersion: apps/v1/x}}", "spec.target.apiVersion"),
    ] {
        let report = read(spec).unwrap_err();
        let paths: Vec<&str> = report.mistakes.iter().map(|mistake| &*mistake.path).collect();
        assert_eq!(paths, [path], "{spec}");
    }
}
