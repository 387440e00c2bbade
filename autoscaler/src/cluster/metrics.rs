//! What only an autoscaler of a cluster has to tell.

use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts, Registry};
use std::time::Duration;
use tidegate_kubernetes::failure::CODES;

/// What is asked of the API server, as the metric names it.
const CALLS: [&str; 13] = [
    "deployments",
    "events",
    "gateways",
    "horizontalpodautoscalers",
    "inferenceapis",
    "leases",
    "pods",
    "scale",
    "statefulsets",
    "status",
    "tokenreviews",
    "watch",
    "reviews",
];

/// Counters and gauges without an API's label; their sets are bounded.
#[derive(Debug, Clone)]
pub(crate) struct ClusterMetrics {
    leads: IntGauge,
    failures: IntCounterVec,
    ticks: Histogram,
    lag: Histogram,
    pods: IntGauge,
}

impl ClusterMetrics {
    /// Metrics in this registry, each at zero.
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let buckets = prometheus::exponential_buckets(0.001, 2.0, 14)?;
        let histogram = |name: &str, help: &str| {
            Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.clone()))
        };
        let metrics = Self {
            leads: IntGauge::new(
                "tidegate_autoscaler_leader",
                "1 while this autoscaler holds the lease and may write, else 0.",
            )?,
            failures: IntCounterVec::new(
                Opts::new(
                    "tidegate_autoscaler_api_server_failures_total",
                    "Calls of the Kubernetes API server that failed, by what was asked and why.",
                ),
                &["call", "code"],
            )?,
            ticks: histogram("tidegate_autoscaler_tick_seconds", "How long a tick took.")?,
            lag: histogram(
                "tidegate_autoscaler_tick_lag_seconds",
                "How much later than planned a tick began.",
            )?,
            pods: IntGauge::new(
                "tidegate_autoscaler_pods",
                "Pods of all APIs that have not ended.",
            )?,
        };
        registry.register(Box::new(metrics.leads.clone()))?;
        registry.register(Box::new(metrics.failures.clone()))?;
        registry.register(Box::new(metrics.ticks.clone()))?;
        registry.register(Box::new(metrics.lag.clone()))?;
        registry.register(Box::new(metrics.pods.clone()))?;
        for call in CALLS {
            for code in CODES {
                metrics.failures.with_label_values(&[call, code]).inc_by(0);
            }
        }
        Ok(metrics)
    }

    /// Whether this autoscaler may write.
    pub(crate) fn leads(&self, leads: bool) {
        self.leads.set(i64::from(leads));
    }

    /// A call that failed.
    pub(crate) fn failed(&self, call: &str, code: &str) {
        self.failures.with_label_values(&[call, code]).inc();
    }

    /// A tick that took so long and began so late, with so many pods.
    pub(crate) fn ticked(&self, took: Duration, late: Duration, pods: usize) {
        self.ticks.observe(took.as_secs_f64());
        self.lag.observe(late.as_secs_f64());
        self.pods.set(pods as i64);
    }
}
