//! `spec.autoscaling.metric`: one source, a target, and how old a reading may be.

use super::MAX_WINDOW;
use crate::check::{Check, word};
use crate::document::{MetricPolicy, MetricSource};
use crate::key_path::KeyPath;
use crate::quantity::shown;
use crate::raw::{RawMetricPolicy, RawPodMetric};
use std::time::Duration;

/// The shortest time between two readings: more often, and reading is load itself.
const MIN_PERIOD: Duration = Duration::from_millis(100);

impl Check<'_> {
    /// What has no default is missed only where the policy is `chosen`.
    pub(super) fn metric_policy(&mut self, raw: RawMetricPolicy, chosen: bool) -> MetricPolicy {
        let path = KeyPath::keys("spec.autoscaling.metric");
        if chosen && raw.target.is_none() {
            self.wrong(&path.key("target"), "is missing", "a number above 0: what a replica takes");
        }
        let mut within = |key: &str, value, min, max| {
            self.duration(&format!("spec.autoscaling.metric.{key}"), value, min, max)
        };
        let delay = within("scaleDownDelay", raw.scale_down_delay, Duration::ZERO, MAX_WINDOW);
        let period = within("period", raw.period, MIN_PERIOD, MAX_WINDOW);
        let stale_after = within("staleAfter", raw.stale_after, MIN_PERIOD, MAX_WINDOW);
        if stale_after < period && !self.mistakes.touch(&path.key("period")) {
            let must = format!("at least `{}`, which is {}", path.key("period"), shown(period));
            self.wrong(&path.key("staleAfter"), format!("is {}", shown(stale_after)), must);
        }
        if let Some(address) = &raw.prometheus {
            let path = path.key("prometheus");
            self.text(&path, address, word::is_http_url, word::HTTP_URL);
        }
        MetricPolicy {
            source: self.metric_source(&path, raw.query, raw.prometheus, raw.pod_metric, chosen),
            target: raw.target.unwrap_or(1.0),
            tolerance: raw.tolerance,
            scale_down_delay: delay,
            period,
            stale_after,
        }
    }

    fn metric_source(
        &mut self,
        path: &KeyPath,
        query: Option<String>,
        prometheus: Option<String>,
        pod: Option<RawPodMetric>,
        chosen: bool,
    ) -> MetricSource {
        let query_path = path.key("query");
        if let Some(query) = &query {
            let is_query = |query: &str| !query.trim().is_empty() && word::has_no_nul(query);
            self.text(&query_path, query, is_query, "a query in PromQL");
        }
        match (query, pod) {
            (Some(_), Some(_)) => {
                let must = "the only source: `query` or `podMetric`";
                self.wrong(&path.key("podMetric"), "is given beside `query`", must);
            }
            (None, None) if chosen => {
                self.wrong(path, "has no source", "given a `query` or a `podMetric`");
            }
            (None, Some(pod)) => return self.pod_metric(&path.key("podMetric"), pod),
            (query, _) => {
                let query = query.unwrap_or_default();
                return MetricSource::Query { query, prometheus };
            }
        }
        // There is a mistake, so the document counts for nothing.
        MetricSource::Query { query: String::new(), prometheus }
    }

    fn pod_metric(&mut self, path: &KeyPath, pod: RawPodMetric) -> MetricSource {
        let name = pod.name.unwrap_or_default();
        self.text(&path.key("name"), &name, word::is_metric, word::METRIC);
        for label in pod.labels.keys() {
            self.text(&path.key("labels").key(label), label, word::is_label, word::LABEL);
        }
        let target = pod.path;
        self.text(&path.key("path"), &target, word::is_target, word::TARGET);
        MetricSource::Pod { name, labels: pod.labels, path: target }
    }
}
