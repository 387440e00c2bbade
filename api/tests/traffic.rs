//! An API that splits its requests: what arrives, and what is refused, in one document and in several.

use std::path::Path;
use std::time::Duration;
use tidegate_api::document::{RolloutStep, Sticky};
use tidegate_api::{
    InferenceApi, Mistake, Report, dangling, dangling_beside, dangling_fallbacks,
    dangling_versions, parse, parse_all,
};

const HEAD: &str = "apiVersion: tidegate.dev/v1alpha1\nkind: InferenceApi\n";
const TWO: &str = "versions: [{api: v1, weight: 90}, {api: v2, weight: 10}]";

/// A document of this name and `spec`.
fn document(name: &str, spec: &str) -> String {
    format!("---\n{HEAD}metadata: {{name: {name}}}\nspec: {{{spec}}}\n")
}

/// A version that only a split leads to.
fn version(name: &str) -> String {
    document(name, "container: {command: [a]}, routes: []")
}

fn read(spec: &str) -> Result<InferenceApi, Report> {
    let parsed = parse(&document("s", spec), "a.yaml", Path::new("/apps"));
    parsed.map(|mut apis| apis.remove(0))
}

#[test]
fn a_split_arrives_with_its_defaults() {
    let api = read(&format!("traffic: {{{TWO}}}")).unwrap();
    let traffic = api.traffic.as_ref().unwrap();
    let shares = |of: &InferenceApi| {
        let versions = &of.traffic.as_ref().unwrap().versions;
        versions.iter().map(|one| (one.api.clone(), one.weight)).collect::<Vec<_>>()
    };
    assert_eq!(shares(&api), [("v1".to_owned(), 90), ("v2".to_owned(), 10)]);
    assert_eq!((&traffic.shadow, &traffic.sticky, &traffic.override_header), (&None, &None, &None));
    assert_eq!((api.routes.len(), api.rollout, api.container.command.len()), (1, None, 0));

    let spec = format!(
        "routes: [{{path: /m}}], openai: {{models: [m]}}, traffic: {{{TWO}, shadow: {{api: v3}}, \
         sticky: {{header: X-User}}, override: {{header: X-Version}}}}, \
         rollout: {{to: v2, steps: [{{weight: 5, pause: 1s}}, {{weight: 50, pause: 2m}}]}}"
    );
    let api = read(&spec).unwrap();
    let (traffic, rollout) = (api.traffic.unwrap(), api.rollout.unwrap());
    let shadow = traffic.shadow.unwrap();
    assert_eq!((shadow.api.as_str(), shadow.share), ("v3", 1.0));
    assert_eq!(traffic.sticky, Some(Sticky::Header("x-user".to_owned())));
    assert_eq!(traffic.override_header.as_deref(), Some("x-version"));
    let second = RolloutStep { weight: 50, pause: Duration::from_secs(120) };
    assert_eq!((rollout.to.as_str(), &rollout.steps[1]), ("v2", &second));
    let condition = rollout.condition;
    assert_eq!((condition.success_rate, condition.min_requests), (0.99, 50));
    assert_eq!((condition.latency.percentile, condition.latency.factor), (0.95, 1.2));
    assert_eq!(condition.max_wait, Duration::from_secs(3600));
}

#[test]
fn no_routes_are_none_and_say_so_in_no_conflict() {
    let text = version("v1") + &version("v2") + &document("s", &format!("traffic: {{{TWO}}}"));
    let apis = parse_all(&text, "a.yaml", Path::new("/")).unwrap();
    let routes: Vec<_> = apis.iter().map(|api| api.routes.len()).collect();
    assert_eq!(routes, [0, 0, 1]);
}

/// Each of these parts of `spec` has one mistake, at this key.
fn name_their_mistakes(cases: &[(String, &str, &str)]) {
    for (spec, path, what) in cases {
        let report = read(spec).expect_err(spec);
        let [mistake] = report.mistakes.as_slice() else { panic!("{spec}:\n{report}") };
        let path = match path.starts_with("spec") {
            true => (*path).to_owned(),
            false => format!("spec.traffic.{path}"),
        };
        assert_eq!((mistake.path.as_str(), mistake.what.as_str()), (&*path, *what), "{spec}");
        assert!(mistake.line > 1, "{mistake}");
    }
}

#[test]
fn each_mistake_of_a_split_is_named_with_its_key() {
    let traffic = |more: &str| format!("traffic: {{{TWO}, {more}}}");
    name_their_mistakes(&[
        ("traffic: {}".to_owned(), "versions", "is missing"),
        ("traffic: {versions: []}".to_owned(), "versions", "is empty"),
        (
            "traffic: {versions: [{api: v1, weight: 90}, {api: v2, weight: 9}]}".to_owned(),
            "versions",
            "has weights with the sum 99",
        ),
        (
            "traffic: {versions: [{api: v1, weight: 50}, {api: v1, weight: 50}]}".to_owned(),
            "versions[1].api",
            "is \"v1\" again",
        ),
        (
            "traffic: {versions: [{api: s, weight: 100}]}".to_owned(),
            "versions[0].api",
            "is \"s\", this API itself",
        ),
        ("traffic: {versions: [{api: A, weight: 100}]}".to_owned(), "versions[0].api", "is \"A\""),
        ("traffic: {versions: [{api: v1}]}".to_owned(), "versions[0].weight", "is missing"),
        (traffic("shadow: {api: v2}"), "shadow.api", "is \"v2\", one of the versions"),
        (traffic("shadow: {api: s}"), "shadow.api", "is \"s\", this API itself"),
        (traffic("shadow: {api: v3, share: 0}"), "shadow.share", "is 0"),
        (traffic("sticky: {}"), "sticky", "has 0 of the two keys"),
        (traffic("sticky: {header: a, cookie: b}"), "sticky", "has 2 of the two keys"),
        (traffic("override: {header: 'a b'}"), "override.header", "is \"a b\""),
    ]);
}

#[test]
fn each_mistake_of_a_rollout_is_named_with_its_key() {
    let rollout = |of: &str| format!("traffic: {{{TWO}}}, rollout: {{{of}}}");
    let steps = "steps: [{weight: 5, pause: 1s}]";
    name_their_mistakes(&[
        (
            rollout(&format!("to: v3, {steps}")),
            "spec.rollout.to",
            "is \"v3\", none of the versions",
        ),
        (
            format!(
                "traffic: {{versions: [{{api: v, weight: 100}}]}}, rollout: {{to: v, {steps}}}"
            ),
            "spec.rollout.to",
            "is the only version",
        ),
        (rollout("to: v2, steps: []"), "spec.rollout.steps", "is empty"),
        (
            rollout("to: v2, steps: [{weight: 5, pause: 1s}, {weight: 5, pause: 1s}]"),
            "spec.rollout.steps[1].weight",
            "is 5, after 5",
        ),
        (
            rollout("to: v2, steps: [{weight: 100, pause: 1s}]"),
            "spec.rollout.steps[0].weight",
            "is 100",
        ),
        (
            rollout("to: v2, steps: [{weight: 5, pause: 0s}]"),
            "spec.rollout.steps[0].pause",
            "is 0s",
        ),
        (
            rollout(&format!("to: v2, {steps}, condition: {{successRate: 0}}")),
            "spec.rollout.condition.successRate",
            "is 0",
        ),
        (
            rollout(&format!("to: v2, {steps}, condition: {{latency: {{factor: 0.5}}}}")),
            "spec.rollout.condition.latency.factor",
            "is 0.5",
        ),
        (
            format!("container: {{command: [a]}}, rollout: {{to: v2, {steps}}}"),
            "spec.rollout",
            "is given without `traffic`",
        ),
        (format!("routes: [], traffic: {{{TWO}}}"), "spec.routes", "is empty beside `traffic`"),
        (
            format!("container: {{command: [a]}}, traffic: {{{TWO}}}"),
            "spec.container",
            "is given beside `traffic`",
        ),
        (
            format!("autoscaling: {{maxReplicas: 3}}, traffic: {{{TWO}}}"),
            "spec.autoscaling",
            "is given beside `traffic`",
        ),
    ]);
}

#[test]
fn what_is_as_by_default_may_stand_beside_traffic() {
    // An API server may have filled it in.
    read(&format!("timeouts: {{idle: 300s}}, concurrency: {{limit: 1}}, traffic: {{{TWO}}}"))
        .unwrap();
}

#[test]
fn what_is_named_must_be_there_with_replicas_of_its_own() {
    let whole = |versions: &str| document("s", &format!("traffic: {{versions: [{versions}]}}"));
    let both = version("v1") + &version("v2");
    let shadow = document("s", "traffic: {versions: [{api: v1, weight: 100}], shadow: {api: v9}}");
    let other = document("t", "routes: [{path: /t}], traffic: {versions: [{api: s, weight: 100}]}");
    let cycle = whole("{api: t, weight: 100}");
    for (text, expected) in [
        (both.clone() + &whole("{api: v1, weight: 50}, {api: v2, weight: 50}"), vec![]),
        (
            both.clone() + &whole("{api: v1, weight: 50}, {api: v3, weight: 50}"),
            vec!["15: spec.traffic.versions[1].api: is \"v3\", and no document has that name"],
        ),
        (
            both + &shadow,
            vec!["15: spec.traffic.shadow.api: is \"v9\", and no document has that name"],
        ),
        (
            cycle + &other,
            vec![
                "5: spec.traffic.versions[0].api: is \"t\", which splits its own requests",
                "10: spec.traffic.versions[0].api: is \"s\", which splits its own requests",
            ],
        ),
    ] {
        // Alone each document is well; another file may have the rest.
        let apis = parse(&text, "a.yaml", Path::new("/")).unwrap();
        let documents: Vec<_> = apis.iter().map(|api| ("a.yaml", api)).collect();
        let found: Vec<_> = dangling(&documents)
            .iter()
            .map(|(_, mistake)| format!("{}: {}: {}", mistake.line, mistake.path, mistake.what))
            .collect();
        assert_eq!(found, expected, "{text}");
        assert_eq!(parse_all(&text, "a.yaml", Path::new("/")).is_err(), !expected.is_empty());
    }
}

#[test]
fn an_api_to_fall_back_to_must_be_there_and_have_replicas() {
    let falls_back = |name: &str, to: &str| {
        let fallback = format!("coldStart: {{fallback: {{api: {to}}}}}");
        document(name, &format!("container: {{command: [a]}}, routes: [], {fallback}"))
    };
    let split = document("s", "traffic: {versions: [{api: b, weight: 100}]}");
    for (text, expected) in [
        (falls_back("a", "b") + &falls_back("b", "a"), None),
        (
            falls_back("a", "b"),
            Some("5: spec.coldStart.fallback.api: is \"b\", and no document has that name"),
        ),
        (
            falls_back("a", "s") + &split + &version("b"),
            Some("5: spec.coldStart.fallback.api: is \"s\", which splits its own requests"),
        ),
    ] {
        let apis = parse(&text, "a.yaml", Path::new("/")).unwrap();
        let documents: Vec<_> = apis.iter().map(|api| ("a.yaml", api)).collect();
        let told = |found: Vec<(&str, Mistake)>| {
            let mut found = found.into_iter();
            let first = found.next();
            first.map(|(_, of)| format!("{}: {}: {}", of.line, of.path, of.what))
        };
        assert_eq!(told(dangling(&documents)).as_deref(), expected, "{text}");
        assert_eq!(told(dangling_fallbacks(&documents)).as_deref(), expected, "{text}");
        assert_eq!(told(dangling_versions(&documents)), None);
        assert_eq!(told(dangling_beside(&documents, &["b"])).is_some(), text.contains("api: s}"));
    }
}
