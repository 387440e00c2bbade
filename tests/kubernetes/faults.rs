//! The API server misbehaves: the autoscaler goes on, says so, and shrinks nothing blind.

use super::cluster::{Autoscaler, Cluster};
use super::scaling::spec;
use crate::support::eventually;
use crate::support::http::metric;

fn failures(autoscaler: &Autoscaler, labels: &str) -> f64 {
    metric(autoscaler.admin, "tidegate_autoscaler_api_server_failures_total", labels)
}

#[test]
fn refused_writes_are_tried_again_and_counted() {
    let cluster = Cluster::start();
    cluster.serve("digits", 1, &spec(1, 8));
    let autoscaler = cluster.autoscaler("one", &[]);
    eventually("it is measured", || cluster.condition("digits", "Scaling") == "True Measured");
    let mut load = 1;
    for (status, code) in [(429, "throttled"), (500, "server"), (403, "forbidden")] {
        cluster.api.refuse("PATCH /apis/apps/v1", status);
        load += 2;
        cluster.load("digits", load);
        let labels = format!(r#"call="scale",code="{code}""#);
        eventually(code, || failures(&autoscaler, &labels) > 0.0);
        if status != 429 {
            eventually("the resource says so", || {
                cluster.condition("digits", "Scaling") == "False CanNotScale"
            });
        }
        cluster.api.accept();
        eventually("it scales again", || cluster.replicas("digits") == u64::from(load));
    }
    // A server that asks for a second of peace gets it: some ten ticks pass in each.
    let throttled = cluster.api.writes("/scale");
    let throttled: Vec<_> = throttled.iter().filter(|write| write.status == 429).collect();
    for pair in throttled.windows(2) {
        assert!((pair[1].at - pair[0].at).as_millis() >= 990, "asked again too soon");
    }
}

#[test]
fn closed_watches_and_forgotten_versions_lose_nothing() {
    let cluster = Cluster::start();
    cluster.serve("digits", 1, &spec(1, 8));
    let autoscaler = cluster.autoscaler("one", &[]);
    eventually("it is measured", || cluster.condition("digits", "Scaling") == "True Measured");
    cluster.api.cut();
    cluster.load("digits", 3);
    eventually("it scales after a cut", || cluster.replicas("digits") == 3);
    cluster.api.forget();
    cluster.serve("late", 1, &spec(1, 8));
    cluster.load("late", 2);
    eventually("what came meanwhile is seen", || cluster.replicas("late") == 2);
    assert!(failures(&autoscaler, r#"code="expired""#) > 0.0);
    assert!(cluster.scalings("digits").iter().all(|(_, replicas, _)| *replicas >= 3));
}

#[test]
fn a_definition_that_is_missing_is_named_and_may_come_later() {
    let cluster = Cluster::start();
    cluster.api.refuse("inferenceapis", 404);
    cluster.serve("digits", 1, &spec(2, 8));
    let autoscaler = cluster.autoscaler("one", &[]);
    autoscaler.process.wait_for_line("the cluster has no InferenceApi resource");
    eventually("the metrics say so", || failures(&autoscaler, r#"code="not-found""#) > 0.0);
    assert_eq!(cluster.replicas("digits"), 1);
    cluster.api.accept();
    eventually("it scales", || cluster.replicas("digits") == 2);
}

#[test]
fn an_api_server_that_was_away_finds_everything_as_it_was() {
    let cluster = Cluster::start();
    cluster.serve("digits", 1, &spec(1, 8));
    cluster.load("digits", 5);
    let autoscaler = cluster.autoscaler("one", &[]);
    eventually("it grows", || cluster.replicas("digits") == 5);
    cluster.api.away(true);
    autoscaler.process.wait_for_line("does not lead any more");
    eventually("the metrics say so", || {
        failures(&autoscaler, r#"code="unreachable""#) > 0.0
            && metric(autoscaler.admin, "tidegate_autoscaler_leader", "") == 0.0
    });
    let before = cluster.scalings("digits").len();
    cluster.api.away(false);
    eventually("it leads again", || {
        metric(autoscaler.admin, "tidegate_autoscaler_leader", "") == 1.0
    });
    cluster.load("digits", 7);
    eventually("it scales again", || cluster.replicas("digits") == 7);
    let since = &cluster.scalings("digits")[before..];
    assert!(since.iter().all(|(_, replicas, _)| *replicas >= 5), "{since:?}");
}
