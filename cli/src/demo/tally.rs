//! Counts what became of each request while the demo runs.

use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::time::Duration;
use tidegate_api::reason::Reason;

/// Latencies from 1 µs to 10 minutes are told apart to 3 digits; longer ones count as 10 minutes.
const LATENCY_MICROS_MAX: u64 = 600_000_000;

/// What became of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The model answered.
    Answered {
        /// Whether with the true digit.
        right: bool,
    },
    /// Tidegate refused it and said why: the client knows, and may try again.
    Refused(Reason),
    /// Anything else, in words: it was lost.
    Failed(String),
}

/// One request that has come to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    /// What became of it.
    pub(crate) outcome: Outcome,
    /// From the moment it was due to be sent to the last byte of its answer.
    pub(crate) latency: Duration,
    /// How long it was held while the first replica started, if it was.
    pub(crate) cold_start: Option<Duration>,
}

/// Running counts.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    pub(crate) right: u64,
    pub(crate) refused: BTreeMap<&'static str, u64>,
    pub(crate) failed: BTreeMap<String, u64>,
    /// Requests that were held for a cold start, and the longest time one was.
    pub(crate) held: u64,
    pub(crate) cold_start: Duration,
    /// Of answered requests, in microseconds.
    pub(crate) latency: Histogram<u64>,
    second: Histogram<u64>,
}

/// Latency at the middle and near the end of the distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Percentiles {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

/// Kinds of failures that are told apart; the rest are counted together.
const FAILURE_KINDS: usize = 20;

impl Tally {
    /// All zero.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let histogram = Histogram::new_with_max(LATENCY_MICROS_MAX, 3)?;
        Ok(Self {
            sent: 0,
            answered: 0,
            right: 0,
            refused: BTreeMap::new(),
            failed: BTreeMap::new(),
            held: 0,
            cold_start: Duration::ZERO,
            second: histogram.clone(),
            latency: histogram,
        })
    }

    /// Counts a request that goes out.
    pub(crate) fn sends(&mut self) {
        self.sent += 1;
    }

    /// Counts a request's end.
    pub(crate) fn ends(&mut self, ended: Ended) {
        match ended.outcome {
            Outcome::Answered { right } => {
                self.answered += 1;
                self.right += u64::from(right);
                let micros = u64::try_from(ended.latency.as_micros()).unwrap_or(u64::MAX);
                self.latency.saturating_record(micros);
                self.second.saturating_record(micros);
            }
            Outcome::Refused(reason) => *self.refused.entry(reason.code()).or_default() += 1,
            Outcome::Failed(what) => {
                let known = self.failed.contains_key(&what) || self.failed.len() < FAILURE_KINDS;
                let kind = if known { what } else { "other failures".to_owned() };
                *self.failed.entry(kind).or_default() += 1;
            }
        }
        if let Some(held) = ended.cold_start {
            self.held += 1;
            self.cold_start = self.cold_start.max(held);
        }
    }

    /// Requests that were refused, for whatever reason.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.values().sum()
    }

    /// Requests that were lost.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.values().sum()
    }

    /// Requests that have no outcome yet.
    pub(crate) fn outstanding(&self) -> u64 {
        self.sent - self.answered - self.refused() - self.failed()
    }

    /// Latency of the requests answered since the last call; nothing if there were none.
    pub(crate) fn last_second(&mut self) -> Option<Percentiles> {
        let percentiles = (!self.second.is_empty())
            .then(|| Percentiles { p50: at(&self.second, 0.5), p99: at(&self.second, 0.99) });
        self.second.reset();
        percentiles
    }
}

/// The latency at a quantile.
pub(crate) fn at(histogram: &Histogram<u64>, quantile: f64) -> Duration {
    Duration::from_micros(histogram.value_at_quantile(quantile))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(outcome: Outcome, millis: u64) -> Ended {
        Ended { outcome, latency: Duration::from_millis(millis), cold_start: None }
    }

    #[test]
    fn every_request_is_counted_once() {
        let mut tally = Tally::new().unwrap();
        (0..10).for_each(|_| tally.sends());
        tally.ends(ended(Outcome::Answered { right: true }, 5));
        tally.ends(ended(Outcome::Answered { right: false }, 5));
        tally.ends(ended(Outcome::Refused(Reason::QueueFull), 1));
        tally.ends(ended(Outcome::Refused(Reason::QueueFull), 1));
        tally.ends(ended(Outcome::Refused(Reason::Draining), 1));
        tally.ends(ended(Outcome::Failed("reset".to_owned()), 1));
        assert_eq!((tally.answered, tally.right), (2, 1));
        assert_eq!((tally.refused["queue-full"], tally.refused["draining"]), (2, 1));
        assert_eq!((tally.refused(), tally.failed(), tally.outstanding()), (3, 1, 4));
    }

    #[test]
    fn a_second_knows_only_what_was_answered_in_it() {
        let mut tally = Tally::new().unwrap();
        assert_eq!(tally.last_second(), None);
        (0..101).for_each(|_| tally.sends());
        (1..=100).for_each(|ms| tally.ends(ended(Outcome::Answered { right: true }, ms)));
        tally.ends(ended(Outcome::Refused(Reason::QueueFull), 9_000));
        let second = tally.last_second().unwrap();
        assert!(second.p50.abs_diff(Duration::from_millis(50)) < Duration::from_millis(1));
        assert!(second.p99.abs_diff(Duration::from_millis(99)) < Duration::from_millis(1));
        assert_eq!(tally.last_second(), None);
        assert_eq!(tally.latency.len(), 100);
    }

    #[test]
    fn the_longest_hold_is_the_cold_start() {
        let mut tally = Tally::new().unwrap();
        for millis in [900, 2_500, 100] {
            tally.sends();
            let cold_start = Some(Duration::from_millis(millis));
            let outcome = Outcome::Answered { right: true };
            tally.ends(Ended { outcome, latency: Duration::ZERO, cold_start });
        }
        assert_eq!((tally.held, tally.cold_start), (3, Duration::from_millis(2_500)));
    }

    #[test]
    fn kinds_of_failures_are_bounded() {
        let mut tally = Tally::new().unwrap();
        for number in 0..50 {
            tally.sends();
            tally.ends(ended(Outcome::Failed(format!("failure {number}")), 1));
        }
        assert_eq!((tally.failed.len(), tally.failed()), (FAILURE_KINDS + 1, 50));
    }

    #[test]
    fn endless_latencies_are_kept_as_the_longest() {
        let mut tally = Tally::new().unwrap();
        tally.sends();
        tally.ends(ended(Outcome::Answered { right: true }, u64::MAX / 1_000_000));
        assert!(at(&tally.latency, 1.0) >= Duration::from_secs(599));
    }
}
