//! A target follows its load, and what somebody else has said is respected.

use super::cluster::Cluster;
use crate::support::eventually;
use crate::support::http::{get, metric};
use serde_json::{Value, json};

/// Windows that pass quickly.
pub(super) fn spec(min: u32, max: u32) -> Value {
    json!({
        "autoscaling": {
            "minReplicas": min,
            "maxReplicas": max,
            "concurrency": {
                "utilization": 1.0,
                "stableWindow": "2s",
                "panicWindow": "1s",
                "scaleToZeroGrace": "0s",
            },
        },
    })
}

#[test]
fn a_target_follows_its_load_and_the_resource_says_why() {
    let cluster = Cluster::start();
    cluster.serve("digits", 1, &spec(1, 8));
    cluster.load("digits", 4);
    let autoscaler = cluster.autoscaler("one", &[]);
    eventually("more replicas", || cluster.replicas("digits") == 4);
    eventually("the status tells it", || {
        let status = cluster.status("digits");
        status["wanted"] == 4 && status["ready"] == 4 && status["inFlight"] == 4
    });
    let status = cluster.status("digits");
    assert_eq!(
        (&status["observedGeneration"], &status["selector"]),
        (&json!(1), &json!("app=digits"))
    );
    assert_eq!(cluster.condition("digits", "Ready"), "True Replicas");
    assert_eq!(cluster.condition("digits", "Scaling"), "True Measured");
    assert!(status["message"].as_str().unwrap().len() > 20, "{status}");

    cluster.load("digits", 0);
    eventually("fewer replicas", || cluster.replicas("digits") == 1);
    eventually("events tell it", || cluster.events("digits").len() >= 2);
    assert!(cluster.events("digits").iter().all(|reason| reason == "Scaled"));

    let page = get(autoscaler.admin, "/status").text();
    let page: Value = serde_json::from_str(&page).unwrap();
    assert_eq!(page["apis"][0]["name"], "models/digits");
    assert_eq!(metric(autoscaler.admin, "tidegate_autoscaler_leader", ""), 1.0);
    assert_eq!(metric(autoscaler.admin, "tidegate_autoscaler_replicas_desired", "digits"), 1.0);
    assert_eq!(metric(autoscaler.admin, "tidegate_autoscaler_api_server_failures_total", ""), 0.0);

    cluster.delete("tidegate.dev/v1alpha1", "inferenceapis", "digits");
    eventually("its series are gone", || {
        !get(autoscaler.admin, "/metrics").text().contains("models/digits")
    });
}

#[test]
fn what_waits_at_a_gateway_wakes_a_target_from_zero_and_calm_puts_it_to_sleep() {
    let cluster = Cluster::start();
    cluster.serve("digits", 0, &spec(0, 8));
    cluster.gateway();
    let autoscaler = cluster.autoscaler("one", &[]);
    eventually("it sleeps", || cluster.condition("digits", "Ready") == "True Asleep");
    cluster.hold("digits", 3);
    eventually("as many replicas as the crowd needs", || cluster.replicas("digits") == 3);
    cluster.hold("digits", 0);
    eventually("it sleeps again", || cluster.replicas("digits") == 0);
    assert_eq!(autoscaler.process.count_lines("WARN"), 0, "{}", autoscaler.process.output());
}

#[test]
fn the_least_busy_pods_go_and_marks_are_made_only_then() {
    let cluster = Cluster::start();
    cluster.serve("digits", 4, &spec(1, 4));
    let pods = cluster.pods("digits");
    // The newest would go first, so the newest is the one that works.
    let busy =
        pods.iter().max_by_key(|pod| pod.rsplit('-').next().unwrap().parse::<u32>().unwrap());
    let busy = busy.unwrap().clone();
    cluster.busy(&busy, 1);
    let _autoscaler = cluster.autoscaler("one", &[]);
    eventually("one is left", || cluster.pods("digits").len() == 1);
    assert_eq!(cluster.pods("digits"), [busy]);
    let marks = cluster.api.writes("/pods/");
    let scalings = cluster.scalings("digits");
    assert!(!marks.is_empty());
    assert!(marks[0].at <= scalings[0].2, "marked before it shrinks");
    assert!(marks.iter().all(|mark| mark.body["metadata"]["annotations"].is_object()));

    // Growing marks nothing.
    let before = marks.len();
    cluster.load("digits", 3);
    eventually("more replicas", || cluster.replicas("digits") >= 3);
    assert_eq!(cluster.api.writes("/pods/").len(), before);
}

#[test]
fn a_number_that_a_human_asks_for_stands_for_a_window_within_the_limits() {
    let cluster = Cluster::start();
    cluster.serve("digits", 1, &spec(1, 6));
    let autoscaler = cluster.autoscaler("one", &[]);
    eventually("it is measured", || cluster.condition("digits", "Scaling") == "True Measured");
    cluster.scale("digits", 5);
    autoscaler.process.wait_for_line("somebody else scaled");
    eventually("it says whose number it is", || {
        get(autoscaler.admin, "/status").text().contains("somebody else asked for 5 replicas")
    });
    eventually("after a window it goes by the load", || cluster.replicas("digits") == 1);
    // From 5 to 1 at once or in steps, but never before a window of 2 s was seen.
    let adopted = autoscaler.process.wait_for_line("somebody else scaled");
    assert!(adopted.contains("from=1 to=5"), "{adopted}");

    cluster.scale("digits", 20);
    eventually("the most holds at once", || cluster.replicas("digits") <= 6);
    cluster.scale("digits", 0);
    eventually("so does the least", || cluster.replicas("digits") >= 1);
}

#[test]
fn a_target_that_is_not_ours_to_scale_is_left_alone() {
    let cluster = Cluster::start();
    let mut paused = spec(1, 8);
    paused["paused"] = json!(true);
    cluster.serve("paused", 1, &paused);
    cluster.serve("rivalled", 1, &spec(1, 8));
    cluster.create(
        "autoscaling/v2",
        "horizontalpodautoscalers",
        json!({
            "metadata": {"name": "rival"},
            "spec": {"maxReplicas": 3, "scaleTargetRef": {
                "apiVersion": "apps/v1", "kind": "Deployment", "name": "rivalled"}},
        }),
    );
    cluster.create_api("lost", &spec(1, 8));
    let mut wrong = spec(1, 8);
    wrong["concurrency"] = json!({"limit": 0});
    cluster.serve("wrong", 1, &wrong);
    cluster.serve("free", 1, &spec(1, 8));
    for name in ["paused", "rivalled", "wrong", "free"] {
        cluster.load(name, 4);
    }
    let _autoscaler = cluster.autoscaler("one", &[]);
    eventually("who is free is scaled", || cluster.replicas("free") == 4);
    for (name, condition, event) in [
        ("paused", "False Paused", "Paused"),
        ("rivalled", "False ConflictingAutoscaler", "ConflictingAutoscaler"),
        ("lost", "False TargetNotFound", "TargetNotFound"),
        ("wrong", "False InvalidSpec", "InvalidSpec"),
    ] {
        eventually(name, || cluster.condition(name, "Scaling") == condition);
        eventually(name, || cluster.events(name) == [event]);
        assert_eq!(cluster.scalings(name).len(), 0, "{name}");
    }
    // Once the reason is gone, it is scaled.
    cluster.edit("paused", &json!({"paused": false}));
    cluster.delete("autoscaling/v2", "horizontalpodautoscalers", "rival");
    cluster.edit("wrong", &json!({"concurrency": {"limit": 1}}));
    for name in ["paused", "rivalled", "wrong"] {
        eventually(name, || cluster.replicas(name) == 4);
    }
}
