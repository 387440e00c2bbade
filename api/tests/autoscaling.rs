//! `spec.autoscaling.metric`: what arrives, and what is refused.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tidegate_api::document::{MetricPolicy, MetricSource, Policy};
use tidegate_api::{Report, parse};

/// A document with these lines under `autoscaling`, in flow style.
fn document(autoscaling: &str) -> Result<Policy, Report> {
    let text = format!(
        "apiVersion: tidegate.dev/v1alpha1\nkind: InferenceApi\nmetadata: {{name: x}}\n\
         spec: {{container: {{command: [a]}}, autoscaling: {{{autoscaling}}}}}\n"
    );
    Ok(parse(&text, "x.yaml", Path::new("/"))?.remove(0).autoscaling.policy)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_query_and_a_pod_metric_arrive() {
    let query = |prometheus: Option<&str>| MetricSource::Query {
        query: "sum(up)".to_owned(),
        prometheus: prometheus.map(str::to_owned),
    };
    let shortest = MetricPolicy {
        source: query(None),
        target: 8.0,
        tolerance: 0.1,
        scale_down_delay: seconds(300),
        period: seconds(5),
        stale_after: seconds(60),
    };
    let given = document("policy: metric, metric: {query: sum(up), target: 8}").unwrap();
    assert_eq!(given, Policy::Metric(shortest.clone()));
    let whole = document(
        "policy: metric, metric: {query: sum(up), prometheus: 'http://Prom.example:90/x', \
         target: 0.5, tolerance: 0, scaleDownDelay: 0s, period: 1s, staleAfter: 1s}",
    );
    let expected = MetricPolicy {
        source: query(Some("http://Prom.example:90/x")),
        target: 0.5,
        tolerance: 0.0,
        scale_down_delay: Duration::ZERO,
        period: seconds(1),
        stale_after: seconds(1),
    };
    assert_eq!(whole.unwrap(), Policy::Metric(expected));
    for (labels, path, text) in [
        (BTreeMap::new(), "/metrics", "name: 'a:b_c'"),
        (
            BTreeMap::from([("model".to_owned(), "x \"y\"".to_owned())]),
            "/stats?all=1",
            "name: 'a:b_c', labels: {model: 'x \"y\"'}, path: '/stats?all=1'",
        ),
    ] {
        let (name, path) = ("a:b_c".to_owned(), path.to_owned());
        let source = MetricSource::Pod { name, labels, path };
        let metric = format!("policy: metric, metric: {{podMetric: {{{text}}}, target: 8}}");
        let expected = MetricPolicy { source, ..shortest.clone() };
        assert_eq!(document(&metric).unwrap(), Policy::Metric(expected));
    }
}

#[test]
fn a_metric_that_can_not_be_read_is_refused_where_it_is_chosen_and_mistakes_always() {
    assert!(document("metric: {tolerance: 0.2}").is_ok(), "another rule needs no source");
    for (text, path, what) in [
        ("policy: metric", "metric.target", "is missing"),
        ("policy: metric, metric: {target: 1}", "metric", "has no source"),
        ("metric: {target: 0}", "metric.target", "is 0"),
        ("metric: {query: ' '}", "metric.query", "is \" \""),
        ("metric: {query: a, podMetric: {name: b}}", "metric.podMetric", "is given beside `query`"),
        ("metric: {podMetric: {}}", "metric.podMetric.name", "is missing"),
        ("metric: {podMetric: {name: 1a}}", "metric.podMetric.name", "is \"1a\""),
        ("metric: {podMetric: {name: a, labels: {b-c: d}}}", "metric.podMetric.labels.b-c", ""),
        ("metric: {podMetric: {name: a, path: metrics}}", "metric.podMetric.path", ""),
        ("metric: {period: 10ms}", "metric.period", "is 10ms"),
        ("metric: {period: 2m}", "metric.staleAfter", "is 1m"),
        ("metric: {prometheus: 'https://a'}", "metric.prometheus", "is \"https://a\""),
        ("metric: {prometheus: 'a:9090'}", "metric.prometheus", ""),
        ("metric: {prometheus: 'http://a:0'}", "metric.prometheus", ""),
        ("metric: {prometheus: 'http://u@a/'}", "metric.prometheus", ""),
        ("metric: {prometheus: 'http://a/?q'}", "metric.prometheus", ""),
        ("metric: {tolerance: 1}", "metric.tolerance", "is 1"),
        ("metric: {scaleDownDelay: 2h}", "metric.scaleDownDelay", "is 2h"),
    ] {
        let report = document(text).expect_err(text);
        let found = report.mistakes.iter().any(|mistake| {
            mistake.path == format!("spec.autoscaling.{path}") && mistake.what.starts_with(what)
        });
        assert!(found, "{text}: {report}");
    }
    for good in ["http://a", "http://[::1]:9090/", "http://127.0.0.1:9/prom"] {
        assert!(document(&format!("metric: {{prometheus: '{good}'}}")).is_ok(), "{good}");
    }
}
