//! What is counted of second tries.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
use std::collections::HashMap;
use tidegate_api::names::{label, metric};

/// Second tries beside a slow first.
pub struct HedgeCounts {
    won: IntCounter,
    lost: IntCounter,
    pub(super) all: IntCounterVec,
}

/// One that was sent; counted when it is dropped, whatever has ended it.
pub struct SentHedge<'a> {
    counts: &'a HedgeCounts,
    /// Whether its answer is the one that counts.
    pub won: bool,
}

// === impl HedgeCounts ===

impl HedgeCounts {
    pub(super) fn register(
        registry: &Registry,
        labels: HashMap<String, String>,
    ) -> prometheus::Result<Self> {
        let help = "Second tries beside a slow first, by whether theirs was the answer.";
        let opts = Opts::new(metric::HEDGES, help).const_labels(labels);
        let all = IntCounterVec::new(opts, &[label::OUTCOME])?;
        registry.register(Box::new(all.clone()))?;
        let of = |outcome| all.get_metric_with_label_values(&[outcome]);
        Ok(Self { won: of("won")?, lost: of("lost")?, all })
    }

    /// One is sent.
    pub fn sent(&self) -> SentHedge<'_> {
        SentHedge { counts: self, won: false }
    }
}

// === impl SentHedge ===

impl Drop for SentHedge<'_> {
    fn drop(&mut self) {
        if self.won { self.counts.won.inc() } else { self.counts.lost.inc() }
    }
}
