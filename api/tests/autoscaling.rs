//! `spec.autoscaling.metric` and `.schedules`: what arrives, and what is refused.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tidegate_api::document::{Autoscaling, MetricPolicy, MetricSource, Policy};
use tidegate_api::schedule::{floor, wall_time};
use tidegate_api::{Report, parse};

fn document(autoscaling: &str) -> Result<Policy, Report> {
    Ok(parsed(autoscaling)?.policy)
}

/// A document with these lines under `autoscaling`, in flow style.
fn parsed(autoscaling: &str) -> Result<Autoscaling, Report> {
    let text = format!(
        "apiVersion: tidegate.dev/v1alpha1\nkind: InferenceApi\nmetadata: {{name: x}}\n\
         spec: {{container: {{command: [a]}}, autoscaling: {{{autoscaling}}}}}\n"
    );
    Ok(parse(&text, "x.yaml", Path::new("/"))?.remove(0).autoscaling)
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

#[test]
fn schedules_arrive_and_their_zone_is_utc_by_default() {
    let schedules = parsed(
        "schedules: [{cron: '0 8 * * *', minReplicas: 3, duration: 2h}, \
         {cron: '0 8 * * *', timeZone: Asia/Tokyo, minReplicas: 5, duration: 1h}]",
    );
    let schedules = schedules.unwrap().schedules;
    let at = |time| floor(&schedules, wall_time(time).unwrap()).replicas;
    assert_eq!(at("2026-01-05T08:30:00Z"), Some(3));
    assert_eq!(at("2026-01-05T08:30:00+09:00"), Some(5));
    assert_eq!(at("2026-01-05T12:00:00Z"), None);
    let lasting =
        "schedules: [{cron: '0 8 * * *', minReplicas: 3}, {cron: '0 9 * * *', minReplicas: 0}]";
    assert_eq!(parsed(lasting).unwrap().schedules.len(), 2);
}

#[test]
fn a_schedule_that_can_not_be_is_named_with_what_is_wrong() {
    for (schedule, key, what, must) in [
        ("minReplicas: 1, duration: 1h", "cron", "is missing", "given"),
        ("cron: '0 8 * * *', duration: 1h", "minReplicas", "is missing", "given"),
        (
            "cron: '0 8 * *', minReplicas: 1, duration: 1h",
            "cron",
            "is \"0 8 * *\": ",
            "a cron pattern",
        ),
        ("cron: '0 25 * * *', minReplicas: 1, duration: 1h", "cron", "is \"0 25 * * *\": ", ""),
        (
            "cron: '0 0 30 2 *', minReplicas: 1, duration: 1h",
            "cron",
            "is \"0 0 30 2 *\": it never fires",
            "",
        ),
        (
            "cron: '0 8 * * *', timeZone: Mars/Base, minReplicas: 1, duration: 1h",
            "timeZone",
            "is \"Mars/Base\"",
            "the name",
        ),
        (
            "cron: '0 8 * * *', minReplicas: 11, duration: 1h",
            "minReplicas",
            "is 11",
            "at most `spec.autoscaling.maxReplicas`",
        ),
        ("cron: '0 8 * * *', minReplicas: 1", "duration", "is missing", "given, or beside another"),
        ("cron: '0 8 * * *', minReplicas: 1, duration: 0s", "duration", "is 0s", "from 1ms"),
    ] {
        let report = parsed(&format!("schedules: [{{{schedule}}}]")).expect_err(schedule);
        let [mistake] = report.mistakes.as_slice() else { panic!("{report}") };
        assert_eq!(mistake.path, format!("spec.autoscaling.schedules[0].{key}"));
        assert!(mistake.what.starts_with(what) && mistake.must.starts_with(must), "{report}");
    }
    let many = "{cron: '0 8 * * *', minReplicas: 1, duration: 1h},".repeat(101);
    let report = parsed(&format!("schedules: [{many}]")).unwrap_err();
    assert_eq!(report.mistakes[0].what, "has 101");
}
