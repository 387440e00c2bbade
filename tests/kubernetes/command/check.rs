//! `check`: a cluster as it should be, and one in which everything is wrong.

use super::run;
use crate::kubernetes::cluster::{Cluster, NAMESPACE, OWN};
use crate::kubernetes::request::Place;
use crate::kubernetes::scaling::spec;
use crate::support::eventually;
use serde_json::{Value, json};
use std::path::Path;
use tidegate_kubernetes::crd;
use tidegate_kubernetes::injector::make;
use tidegate_kubernetes::k8s_openapi::ByteString;

fn create(cluster: &Cluster, group_version: &str, plural: &str, namespace: &str, object: Value) {
    let place = Place::of(group_version, plural, namespace, "");
    cluster.api.shared().store(|store| store.create(&place, object)).unwrap();
}

/// What the chart installs.
fn install(cluster: &Cluster) {
    create(cluster, "apiextensions.k8s.io/v1", "customresourcedefinitions", "", crd::definition());
    for part in ["autoscaler", "injector", "gateway"] {
        let labels = json!({"app.kubernetes.io/name": "tidegate"});
        let its_own = json!({"app.kubernetes.io/name": "tidegate",
            "app.kubernetes.io/component": part});
        let object = json!({
            "metadata": {"name": format!("tidegate-{part}"), "labels": labels},
            "spec": {"replicas": 1, "selector": {"matchLabels": its_own},
                "template": {"metadata": {"labels": its_own}, "spec": {"containers": []}}},
            "status": {"availableReplicas": 1},
        });
        create(cluster, "apps/v1", "deployments", OWN, object);
    }
    let mine = json!({"metadata": {"name": "models", "labels": {"tidegate.dev/inject": "true"}}});
    create(cluster, "v1", "namespaces", "", mine);
}

/// An authority's certificate that is as old as a file.
fn authority(file: &Path) -> ByteString {
    let written = std::fs::metadata(file).unwrap().modified().unwrap();
    let since = written.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let made = make(&["tidegate-injector.tidegate.svc".to_owned()], since).unwrap();
    ByteString(made.authority.into_bytes())
}

fn webhook(cluster: &Cluster, bundle: Option<ByteString>) {
    let object = json!({"metadata": {"name": "tidegate-injector"}, "webhooks": [
        {"name": "by-request.tidegate.dev", "clientConfig": {"caBundle": bundle},
            "admissionReviewVersions": ["v1"], "sideEffects": "None"}]});
    let group = "admissionregistration.k8s.io/v1";
    create(cluster, group, "mutatingwebhookconfigurations", "", object);
}

fn service(cluster: &Cluster, target: &str) {
    let object = json!({"metadata": {"name": "digits"}, "spec": {"selector": {"app": "digits"},
        "ports": [{"port": 80, "targetPort": target}]}});
    create(cluster, "v1", "services", NAMESPACE, object);
}

/// What is found, as level and word, without what is fine.
fn troubles(config: &Path) -> (i32, Vec<String>) {
    let done = run(config, &["check", "-o", "json"]);
    let all: Vec<Value> = serde_json::from_str(&done.out).unwrap();
    let trouble = all.iter().filter(|finding| finding["level"] != "fine").map(|finding| {
        let text = |field: &str| finding[field].as_str().unwrap().to_owned();
        assert!(!text("advice").is_empty(), "{finding}");
        format!("{} {}: {}", text("level"), text("about"), text("what"))
    });
    (done.code, trouble.collect())
}

#[test]
fn a_cluster_as_it_should_be_is_said_to_be() {
    let cluster = Cluster::start();
    let config = cluster.config("me");
    install(&cluster);
    webhook(&cluster, Some(authority(&config)));
    service(&cluster, "tidegate");
    cluster.serve("digits", 1, &spec(1, 8));
    let _autoscaler = cluster.autoscaler("one", &[]);
    eventually("it is looked at", || cluster.status("digits")["observedGeneration"] == 1);
    assert_eq!(troubles(&config), (0, Vec::new()));
    let done = run(&config, &["check"]);
    assert_eq!(done.code, 0);
    for part in [
        "✓ api-server    http://127.0.0.1:",
        "✓ definition    the InferenceApi resource v1alpha1 is that of this version",
        "✓ rights        you may do all that tidegate does in namespace models",
        "✓ autoscaler    tidegate/tidegate-autoscaler: 1 of 1 replicas are available",
        "✓ gateway       tidegate/tidegate-gateway: 1 of 1 replicas are available",
        "✓ lease         the Lease tidegate/tidegate-autoscaler is held by one, renewed ",
        "✓ webhook       the MutatingWebhookConfiguration tidegate-injector is there",
        "✓ namespaces    all pods get a sidecar in models",
        "✓ inferenceapis the one that there is, is as it should be",
        "all is as it should be",
    ] {
        assert!(done.out.contains(part), "{part}: {}", done.out);
    }
}

#[test]
fn a_cluster_in_which_nothing_is_installed_is_told_what_to_do() {
    let cluster = Cluster::start();
    let config = cluster.config("me");
    cluster.api.deny("delete", "inferenceapis");
    cluster.api.deny("get", "pods/log");
    let (code, found) = troubles(&config);
    assert_eq!(code, 1);
    let found: Vec<&str> = found.iter().map(|line| line.split(':').next().unwrap()).collect();
    let all =
        ["wrong definition", "doubt rights", "wrong autoscaler", "doubt injector", "doubt gateway"];
    assert_eq!(found, all);
    let done = run(&config, &["check"]);
    assert!(done.out.contains("    → run `tidegate crd | kubectl apply"), "{done:?}");
    assert!(done.out.contains("    → install it: `helm install"), "{done:?}");
    let rights = "you may not, in namespace models: delete inferenceapis (for `delete`), get \
                  pods/log (for `logs`)";
    assert!(done.out.contains(rights), "{done:?}");
    assert!(done.out.ends_with("2 wrong, 3 doubtful\n"), "{done:?}");
}

#[test]
fn what_is_wrong_with_apis_and_parts_is_told() {
    let cluster = Cluster::start();
    let config = cluster.config("me");
    install(&cluster);
    webhook(&cluster, None);
    service(&cluster, "http");
    cluster.serve("digits", 1, &spec(1, 8));
    cluster.create_api("lost", &spec(1, 8));
    cluster.deploy("rival", 1);
    cluster.create_api("rival", &spec(1, 8));
    let rival = json!({"metadata": {"name": "hpa"}, "spec": {"maxReplicas": 3,
        "scaleTargetRef": {"kind": "Deployment", "name": "rival"}}});
    cluster.create("autoscaling/v2", "horizontalpodautoscalers", rival);
    let (code, found) = troubles(&config);
    assert_eq!(code, 1);
    for part in [
        "wrong lease: the Lease tidegate/tidegate-autoscaler is not there",
        "wrong webhook: the MutatingWebhookConfiguration tidegate-injector has no caBundle",
        "wrong inferenceapis: models/lost: there is no Deployment lost",
        "wrong inferenceapis: models/rival: HorizontalPodAutoscaler hpa scales the same target",
        "doubt inferenceapis: models/digits: the autoscaler has not looked",
        "doubt inferenceapis: models/digits: the Service digits leads past the sidecar",
    ] {
        assert!(found.iter().any(|line| line.starts_with(part)), "{part}: {found:#?}");
    }
}

#[test]
fn what_may_not_be_seen_is_told_and_the_rest_is_looked_at() {
    let cluster = Cluster::start();
    let config = cluster.config("me");
    install(&cluster);
    for hidden in ["customresourcedefinitions", "mutatingwebhookconfigurations"] {
        cluster.api.refuse(hidden, 403);
    }
    let (code, found) = troubles(&config);
    assert_eq!(code, 1, "there is no lease: {found:#?}");
    let unseen = found.iter().filter(|line| line.contains("can't be seen")).count();
    assert_eq!(unseen, 2, "{found:#?}");
    cluster.api.away(true);
    let (code, found) = troubles(&config);
    assert_eq!((code, found.len()), (1, 1), "{found:#?}");
    assert!(found[0].starts_with("wrong api-server: the API server http://"), "{found:#?}");
}
