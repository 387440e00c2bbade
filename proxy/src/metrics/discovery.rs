//! What is counted of a cluster that is followed.

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use tidegate_api::names::{label, metric};

/// The handles.
#[derive(Clone)]
pub struct DiscoveryMetrics {
    /// 1 once everything was seen at least once.
    pub synced: IntGauge,
    failures: IntCounterVec,
    apis: IntGaugeVec,
}

// === impl DiscoveryMetrics ===

impl DiscoveryMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// If they are registered already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let synced = IntGauge::new(
            metric::DISCOVERY_SYNCED,
            "1 once everything of the cluster was listed at least once.",
        )?;
        let failures = IntCounterVec::new(
            Opts::new(
                metric::DISCOVERY_FAILURES,
                "Lists and watches of the API server that failed, by what was asked for and why.",
            ),
            &[label::WHAT, label::CODE],
        )?;
        let apis = IntGaugeVec::new(
            Opts::new(
                metric::DISCOVERY_APIS,
                "InferenceApis: served as they are, kept as they were before, or refused.",
            ),
            &[label::STATE],
        )?;
        registry.register(Box::new(synced.clone()))?;
        registry.register(Box::new(failures.clone()))?;
        registry.register(Box::new(apis.clone()))?;
        Ok(Self { synced, failures, apis })
    }

    /// A list or watch has failed. Both words are of a bounded set.
    pub fn failed(&self, what: &str, code: &str) {
        self.failures.with_label_values(&[what, code]).inc();
    }

    /// So many resources are served as they are, as they were, and not at all.
    pub fn counted(&self, served: usize, kept: usize, refused: usize) {
        for (state, count) in [("served", served), ("kept", kept), ("refused", refused)] {
            self.apis.with_label_values(&[state]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}
