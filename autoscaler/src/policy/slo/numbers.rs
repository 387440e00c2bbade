//! The numbers that a decision of the `slo` rule was made of.

use crate::policy::pace::Expected;

/// What the rule looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SloNumbers {
    /// Requests a second that are expected.
    pub expected: Expected,
    /// Mean service time in seconds.
    pub service: f64,
    /// Its squared coefficient of variation.
    pub service_variation: f64,
    /// Variance over mean of arrivals.
    pub peakedness: f64,
    /// Seconds until a replica is ready.
    pub cold_start: f64,
    /// Requests that one replica runs at once.
    pub per_replica: u32,
    /// The predicted share of late requests with the replicas wanted.
    pub late: f64,
    /// The share that may be late of those that come now: that of the objective, or more where a period says what comes
    /// and the budget is hardly spent.
    pub late_allowed: f64,
    /// The share of recent requests that was late.
    pub late_seen: f64,
    /// Seconds for which a replica is kept.
    pub kept_seconds: f64,
    /// Seconds after which the load repeats itself; 0 where it doesn't.
    pub period: f64,
    /// Whether anything is known of the load.
    pub known: bool,
}
