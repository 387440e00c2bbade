//! The autoscaler's own metrics.

use crate::policy::reason::DecisionReason;
use crate::policy::rollout::verdict::RolloutReason;
use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

/// Counters and gauges by API, and for decisions by reason; both sets are bounded.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    registry: Registry,
    desired: IntGaugeVec,
    ready: IntGaugeVec,
    outdated: IntGaugeVec,
    stopped: IntGaugeVec,
    decisions: IntCounterVec,
    scrape_failures: IntCounterVec,
    rollout_weight: IntGaugeVec,
    rollout_changes: IntCounterVec,
    document_failures: IntCounter,
}

impl Metrics {
    /// Metrics in a registry of their own, with every series of `apis` at zero.
    pub(crate) fn new<'a>(apis: impl Iterator<Item = &'a str>) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            registry: Registry::new(),
            desired: IntGaugeVec::new(
                Opts::new("tidegate_autoscaler_replicas_desired", "Replicas asked for."),
                &["api"],
            )?,
            ready: IntGaugeVec::new(
                Opts::new("tidegate_autoscaler_replicas_ready", "Replicas that are ready."),
                &["api"],
            )?,
            outdated: IntGaugeVec::new(
                Opts::new(
                    "tidegate_autoscaler_replicas_outdated",
                    "Replicas that are not made as the document says, and do not drain yet.",
                ),
                &["api"],
            )?,
            stopped: IntGaugeVec::new(
                Opts::new(
                    "tidegate_autoscaler_replacement_stopped",
                    "1 while replicas are not exchanged, since new ones don't get ready.",
                ),
                &["api"],
            )?,
            decisions: IntCounterVec::new(
                Opts::new("tidegate_autoscaler_decisions_total", "Decisions, by deciding rule."),
                &["api", "reason"],
            )?,
            scrape_failures: IntCounterVec::new(
                Opts::new(
                    "tidegate_autoscaler_scrape_failures_total",
                    "Scrapes of a sidecar, the gateway or a metric that gave no sample.",
                ),
                &["api", "source"],
            )?,
            rollout_weight: IntGaugeVec::new(
                Opts::new(
                    "tidegate_autoscaler_rollout_weight",
                    "How many of a hundred requests the version gets that takes over.",
                ),
                &["api"],
            )?,
            rollout_changes: IntCounterVec::new(
                Opts::new(
                    "tidegate_autoscaler_rollout_changes_total",
                    "Changes of that weight, by what they were made for.",
                ),
                &["api", "reason"],
            )?,
            document_failures: IntCounter::new(
                "tidegate_autoscaler_document_failures_total",
                "Changes of documents that could not be used.",
            )?,
        };
        metrics.registry.register(Box::new(metrics.desired.clone()))?;
        metrics.registry.register(Box::new(metrics.ready.clone()))?;
        metrics.registry.register(Box::new(metrics.outdated.clone()))?;
        metrics.registry.register(Box::new(metrics.stopped.clone()))?;
        metrics.registry.register(Box::new(metrics.decisions.clone()))?;
        metrics.registry.register(Box::new(metrics.scrape_failures.clone()))?;
        metrics.registry.register(Box::new(metrics.rollout_weight.clone()))?;
        metrics.registry.register(Box::new(metrics.rollout_changes.clone()))?;
        metrics.registry.register(Box::new(metrics.document_failures.clone()))?;
        apis.for_each(|api| metrics.begin(api));
        Ok(metrics)
    }

    /// Every series of an API, at zero.
    pub(crate) fn begin(&self, api: &str) {
        self.replicas(api, 0, 0);
        self.replacement(api, 0, false);
        for reason in DecisionReason::ALL {
            self.decisions.with_label_values(&[api, reason.code()]).inc_by(0);
        }
        for source in Source::ALL {
            self.scrape_failures.with_label_values(&[api, source.code()]).inc_by(0);
        }
    }

    /// Forgets an API that is gone. A series that is not there is no fault.
    pub(crate) fn end(&self, api: &str) {
        self.desired.remove_label_values(&[api]).ok();
        self.ready.remove_label_values(&[api]).ok();
        self.outdated.remove_label_values(&[api]).ok();
        self.stopped.remove_label_values(&[api]).ok();
        for reason in DecisionReason::ALL {
            self.decisions.remove_label_values(&[api, reason.code()]).ok();
        }
        for source in Source::ALL {
            self.scrape_failures.remove_label_values(&[api, source.code()]).ok();
        }
    }

    /// Where more metrics of this process go.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// How many replicas an API should have and has.
    pub(crate) fn replicas(&self, api: &str, desired: u32, ready: u32) {
        self.desired.with_label_values(&[api]).set(i64::from(desired));
        self.ready.with_label_values(&[api]).set(i64::from(ready));
    }

    /// How many of an API's replicas are outdated, and whether their exchange has stopped.
    pub(crate) fn replacement(&self, api: &str, outdated: u32, stopped: bool) {
        self.outdated.with_label_values(&[api]).set(i64::from(outdated));
        self.stopped.with_label_values(&[api]).set(i64::from(stopped));
    }

    /// A change of documents that could not be used.
    pub(crate) fn document_failed(&self) {
        self.document_failures.inc();
    }

    /// One decision.
    pub(crate) fn decided(&self, api: &str, reason: DecisionReason) {
        self.decisions.with_label_values(&[api, reason.code()]).inc();
    }

    /// The weight of the version of an API that takes over.
    pub(crate) fn rollout(&self, api: &str, weight: u32) {
        self.rollout_weight.with_label_values(&[api]).set(i64::from(weight));
    }

    /// Forgets a rollout that is gone.
    pub(crate) fn end_rollout(&self, api: &str) {
        self.rollout_weight.remove_label_values(&[api]).ok();
        for reason in RolloutReason::ALL {
            self.rollout_changes.remove_label_values(&[api, reason.code()]).ok();
        }
    }

    /// One change of it.
    pub(crate) fn rolled(&self, api: &str, reason: RolloutReason) {
        self.rollout_changes.with_label_values(&[api, reason.code()]).inc();
    }

    /// One scrape that gave no sample.
    pub(crate) fn scrape_failed(&self, api: &str, source: Source) {
        self.scrape_failures.with_label_values(&[api, source.code()]).inc();
    }

    /// All in Prometheus text format.
    pub(crate) fn text(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

/// What was scraped.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source {
    /// A replica's sidecar.
    Sidecar,
    /// The gateway.
    Gateway,
    /// What the `metric` rule goes by.
    Metric,
}

impl Source {
    const ALL: [Self; 3] = [Self::Sidecar, Self::Gateway, Self::Metric];

    const fn code(self) -> &'static str {
        match self {
            Self::Sidecar => "sidecar",
            Self::Gateway => "gateway",
            Self::Metric => "metric",
        }
    }
}
