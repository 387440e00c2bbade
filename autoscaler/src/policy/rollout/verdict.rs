//! What is thought of a version that takes over, and why: for the log, the status and the metric.

use std::fmt;
use std::time::Duration;

/// Why a rollout is where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RolloutReason {
    /// Its first step began.
    Began,
    /// The step's pause is not over.
    Pause,
    /// The document holds it where it is.
    Paused,
    /// Too few requests have come to judge.
    TooFewRequests,
    /// It looks bad, which may be chance.
    Unsure,
    /// A step did well.
    Passed,
    /// The last step did well.
    Promoted,
    /// Too many requests fail.
    SuccessRate,
    /// Many more requests fail than before.
    MoreFailures,
    /// It is too slow.
    Latency,
    /// It could not be judged in time.
    MaxWait,
    /// Its replicas can't be started.
    StartFailed,
}

impl RolloutReason {
    /// Every reason.
    pub const ALL: [Self; 12] = [
        Self::Began,
        Self::Pause,
        Self::Paused,
        Self::TooFewRequests,
        Self::Unsure,
        Self::Passed,
        Self::Promoted,
        Self::SuccessRate,
        Self::MoreFailures,
        Self::Latency,
        Self::MaxWait,
        Self::StartFailed,
    ];

    /// The word in the log, the status and the metric.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Began => "began",
            Self::Pause => "pause",
            Self::Paused => "paused",
            Self::TooFewRequests => "too-few-requests",
            Self::Unsure => "unsure",
            Self::Passed => "passed",
            Self::Promoted => "promoted",
            Self::SuccessRate => "success-rate",
            Self::MoreFailures => "more-failures",
            Self::Latency => "latency",
            Self::MaxWait => "max-wait",
            Self::StartFailed => "start-failed",
        }
    }
}

/// What the counts say.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It does well.
    Well(Well),
    /// It does badly, and not by chance.
    Bad(Finding),
    /// It looks bad, which may be chance.
    Unsure(Finding),
    /// There is too little to go by.
    TooFew(TooFew),
}

/// What is said of one that does well.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Well {
    /// Its requests.
    pub requests: f64,
    /// How many failed.
    pub failed: f64,
    /// A percentile of how long they took, and that of the others, in seconds.
    pub latency: Option<(f64, f64, f64)>,
}

/// Requests that are missing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TooFew {
    /// How many have come.
    pub requests: f64,
    /// How many it takes.
    pub needed: f64,
    /// Whether it is the other versions that lack them.
    pub of_others: bool,
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Finding {
    /// Too many requests fail.
    SuccessRate {
        /// How many failed.
        failed: f64,
        /// Of how many.
        requests: f64,
        /// The share that may.
        allowed: f64,
    },
    /// Many more requests fail than with the others.
    MoreFailures {
        /// How many failed.
        failed: f64,
        /// Of how many.
        requests: f64,
        /// The same of the other versions.
        others: (f64, f64),
    },
    /// Too many requests are slow.
    Latency {
        /// How many took longer than they may.
        slow: f64,
        /// Of how many.
        requests: f64,
        /// How long they may take, in seconds.
        limit: f64,
        /// The share that may take longer.
        allowed: f64,
        /// How many times as long as the others that is.
        factor: f64,
    },
}

// === impl Finding ===

impl Finding {
    /// Why the version is taken back.
    pub const fn reason(&self) -> RolloutReason {
        match self {
            Self::SuccessRate { .. } => RolloutReason::SuccessRate,
            Self::MoreFailures { .. } => RolloutReason::MoreFailures,
            Self::Latency { .. } => RolloutReason::Latency,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::SuccessRate { failed, requests, allowed } => write!(
                f,
                "{failed:.0} of {requests:.0} requests failed ({}), where {} may",
                percent(failed, requests),
                percent(allowed, 1.0)
            ),
            Self::MoreFailures { failed, requests, others } => write!(
                f,
                "{failed:.0} of {requests:.0} requests failed ({}), and {:.0} of {:.0} ({}) with the \
                 other versions",
                percent(failed, requests),
                others.0,
                others.1,
                percent(others.0, others.1)
            ),
            Self::Latency { slow, requests, limit, allowed, factor } => write!(
                f,
                "{slow:.0} of {requests:.0} requests took longer than {}, {factor} times as long as \
                 with the other versions ({}), where {} may",
                seconds(limit),
                percent(slow, requests),
                percent(allowed, 1.0)
            ),
        }
    }
}

impl fmt::Display for Well {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} of {:.0} requests failed", self.failed, self.requests)?;
        if let Some((share, own, others)) = self.latency {
            let rank = share * 100.0;
            write!(f, ", percentile {rank} is {} beside {}", seconds(own), seconds(others))?;
        }
        Ok(())
    }
}

impl fmt::Display for TooFew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = if self.of_others { "of the other versions' requests" } else { "requests" };
        write!(f, "{:.0} {whose} have come, where {:.0} are needed", self.requests, self.needed)
    }
}

/// "for 1m 30s more".
pub(super) fn more(left: Duration) -> String {
    format!("for {:.0} s more", left.as_secs_f64().ceil())
}

fn percent(part: f64, whole: f64) -> String {
    let share = if whole > 0.0 { part / whole * 100.0 } else { 0.0 };
    // Two digits that count.
    let digits = if share >= 10.0 || share == 0.0 { 0 } else { 2 };
    let text = format!("{share:.digits$}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} %")
}

fn seconds(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.1} ms", seconds * 1e3) } else { format!("{seconds:.2} s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_sentences_with_their_numbers() {
        let failed = Finding::SuccessRate { failed: 12.0, requests: 60.0, allowed: 0.01 };
        assert_eq!(failed.to_string(), "12 of 60 requests failed (20 %), where 1 % may");
        let more = Finding::MoreFailures { failed: 12.0, requests: 600.0, others: (3.0, 5400.0) };
        let what =
            "12 of 600 requests failed (2 %), and 3 of 5400 (0.06 %) with the other versions";
        assert_eq!(more.to_string(), what);
        let slow = Finding::Latency {
            slow: 33.0,
            requests: 120.0,
            limit: 0.31,
            allowed: 0.05,
            factor: 1.2,
        };
        let what = "33 of 120 requests took longer than 310.0 ms, 1.2 times as long as with the \
                    other versions (28 %), where 5 % may";
        assert_eq!(slow.to_string(), what);
    }
}
