//! What becomes of copies of requests.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
use tidegate_api::names::{label, metric};

/// What became of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its answer came and was dropped; it was none of 5xx.
    Answered,
    /// The shadow refused it, broke off, or answered 5xx.
    Failed,
    /// There were as many copies on their way as may be, or as many bytes.
    NoRoom,
    /// It was never made: the request's body was not wholly here, or it was to switch protocols.
    NotWhole,
}

/// The counters of all APIs.
#[derive(Debug, Clone)]
pub struct ShadowMetrics(IntCounterVec);

/// The counters of one.
#[derive(Debug, Clone)]
pub struct ShadowCounts([IntCounter; 4]);

// === impl Outcome ===

impl Outcome {
    const ALL: [Self; 4] = [Self::Answered, Self::Failed, Self::NoRoom, Self::NotWhole];

    const fn code(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::NoRoom => "no-room",
            Self::NotWhole => "not-whole",
        }
    }
}

// === impl ShadowMetrics ===

impl ShadowMetrics {
    /// Registers the counters.
    ///
    /// # Errors
    /// If they are there already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let help = "Requests that were to be copied to their API's shadow, by what became of that.";
        let opts = Opts::new(metric::SHADOW_REQUESTS, help);
        let counters = IntCounterVec::new(opts, &[label::API, label::OUTCOME])?;
        registry.register(Box::new(counters.clone()))?;
        Ok(Self(counters))
    }

    /// Those of an API, which go on where it had some before.
    pub fn of(&self, api: &str) -> ShadowCounts {
        let counter = |outcome: Outcome| self.0.with_label_values(&[api, outcome.code()]);
        ShadowCounts(Outcome::ALL.map(counter))
    }

    /// Takes an API's off the page.
    pub fn forget(&self, api: &str) {
        for outcome in Outcome::ALL {
            // One that is not there is no fault.
            self.0.remove_label_values(&[api, outcome.code()]).ok();
        }
    }
}

// === impl ShadowCounts ===

impl ShadowCounts {
    /// One more.
    pub fn count(&self, outcome: Outcome) {
        self.0[outcome as usize].inc();
    }
}
