//! What is said of parts, leases and webhooks.

use super::*;
use crate::doctor::Level;
use crate::injector::make;
use k8s_openapi::ByteString;
use serde_json::{Value, json};
use std::time::Duration;

const NOW: i64 = 1_800_000_000;

fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

fn parts(all: &[(&str, i32)]) -> Parts {
    let deployment = |(component, available): &(&str, i32)| {
        serde_json::from_value(json!({
            "metadata": {"name": format!("x-{component}"), "namespace": "tidegate"},
            "spec": {"replicas": 2, "selector": {}, "template": {
                "metadata": {"labels": {COMPONENT: component}},
                "spec": {"containers": [{"name": "a", "args": ["run", "--lease=x-lease"]}]}}},
            "status": {"availableReplicas": available},
        }))
        .unwrap()
    };
    Parts::of(all.iter().map(deployment).collect())
}

#[test]
fn parts_are_there_and_run() {
    let levels = |parts: &Parts| {
        parts.are_available().iter().map(|finding| finding.level).collect::<Vec<_>>()
    };
    assert_eq!(levels(&parts(&[])), [Level::Wrong, Level::Doubt, Level::Doubt]);
    let all = [("autoscaler", 2), ("injector", 2), ("gateway", 2)];
    assert_eq!(levels(&parts(&all)), [Level::Fine; 3]);
    let some = parts(&[("autoscaler", 1), ("injector", 0), ("gateway", 0)]);
    assert_eq!(levels(&some), [Level::Doubt, Level::Wrong, Level::Wrong]);
    assert_eq!(some.lease(), Some(("tidegate".to_owned(), "x-lease".to_owned())));
    assert_eq!(parts(&[("injector", 2)]).lease(), None);
}

#[test]
fn a_lease_is_held_and_fresh() {
    let of = |holder: &str, age: i64| {
        let renewed = Timestamp::from_second(NOW - age).unwrap();
        let spec = json!({"holderIdentity": holder, "leaseDurationSeconds": 15,
            "renewTime": format!("{renewed:.6}")});
        let object: Lease = serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap();
        lease(Some(&object), "tidegate", "l", now())
    };
    assert_eq!(lease(None, "tidegate", "l", now()).level, Level::Wrong);
    for (holder, age, level) in [
        ("one", 0, Level::Fine),
        ("one", 15, Level::Fine),
        ("one", 21, Level::Wrong),
        ("one", -3, Level::Fine),
        ("one", -60, Level::Doubt),
        ("", 0, Level::Wrong),
    ] {
        assert_eq!(of(holder, age).level, level, "{holder} {age}");
    }
    assert!(of("one", 90).what.contains("of one was not renewed for 90 s"));
}

#[test]
fn a_webhook_is_trusted_until_its_certificate_ends() {
    let of = |bundle: Option<Vec<u8>>| {
        let bundle = bundle.map(ByteString);
        let hook = json!({"name": "by-request.tidegate.dev", "sideEffects": "None",
            "admissionReviewVersions": ["v1"], "clientConfig": {"caBundle": bundle}});
        let configuration: MutatingWebhookConfiguration =
            serde_json::from_value(json!({"metadata": {"name": "h"}, "webhooks": [hook]})).unwrap();
        parts(&[("injector", 2)]).webhooks(&[configuration], now()).remove(0)
    };
    let made = |at: i64| {
        let at = Duration::from_secs(u64::try_from(at).unwrap());
        make(&["i.tidegate.svc".to_owned()], at).unwrap().authority.into_bytes()
    };
    let (year, day) = (365 * 86_400, 86_400);
    for (bundle, level) in [
        (None, Level::Wrong),
        (Some(Vec::new()), Level::Wrong),
        (Some(b"nothing".to_vec()), Level::Wrong),
        (Some(made(NOW)), Level::Fine),
        (Some(made(NOW - year + 3 * day)), Level::Doubt),
        (Some(made(NOW - year - day)), Level::Wrong),
        // While a new authority takes over from an old one.
        (Some([made(NOW), made(NOW - year - day)].concat()), Level::Fine),
    ] {
        let finding = of(bundle);
        assert_eq!(finding.level, level, "{finding:?}");
    }
    let foreign: MutatingWebhookConfiguration =
        serde_json::from_value::<MutatingWebhookConfiguration>(
            json!({"metadata": {}, "webhooks": Value::Null}),
        )
        .unwrap();
    assert_eq!(parts(&[]).webhooks(std::slice::from_ref(&foreign), now()), []);
    assert_eq!(parts(&[("injector", 1)]).webhooks(&[foreign], now())[0].level, Level::Wrong);
}
