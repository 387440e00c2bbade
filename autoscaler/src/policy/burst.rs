//! Burst mode: while the short window asks for far more than is ready, the scale may only grow.
//!
//! It begins when the short window wants `threshold` times what is ready, is extended each time it
//! does so again, and ends once that is longer ago than the stable window.

use super::snapshot::{Snapshot, age, moment};
use std::time::Duration;

/// Whether there is a burst, and the most it has asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Burst {
    last_over: Option<Duration>,
    most: u32,
}

impl Burst {
    /// The state of an autoscaler that begins while `current` replicas run.
    ///
    /// More than one means that an earlier autoscaler had its reasons, which this one has yet to
    /// learn: it begins inside a burst, so nothing shrinks for one stable window.
    pub fn begin(current: u32, now: Duration) -> Self {
        Self { last_over: (current > 1).then_some(now), most: current }
    }

    /// A burst that was last over its threshold at `last_over` and asked for `most` replicas.
    pub fn resume(last_over: Duration, most: u32) -> Self {
        Self { last_over: Some(last_over), most }
    }

    /// Whether there is a burst.
    pub fn is_active(&self) -> bool {
        self.last_over.is_some()
    }

    /// The most replicas the burst has asked for.
    pub fn most(&self) -> u32 {
        self.most
    }

    /// When the short window was last over its threshold, if there is a burst.
    pub fn last_over(&self) -> Option<Duration> {
        self.last_over
    }

    pub(super) fn save(&self, name: &str, to: &mut Snapshot, now: Duration) {
        to.put(name, self.last_over.map(|last| [age(last, now), f64::from(self.most)]));
    }

    pub(super) fn load(&mut self, name: &str, from: &Snapshot, taken: Duration) {
        if from.has(name) {
            let burst =
                |[age, most]: [f64; 2]| Some(Self::resume(moment(age, taken)?, most as u32));
            *self = from.row(name).and_then(burst).unwrap_or_default();
        }
    }

    /// Enters, extends or leaves, as the short window is `over` its threshold or not.
    pub fn observe(&mut self, over: bool, stable_window: Duration, now: Duration) {
        if over {
            self.last_over = Some(now);
        } else if self.last_over.is_some_and(|last| last.saturating_add(stable_window) < now) {
            *self = Self::default();
        }
    }

    /// Inside a burst: `wanted`, or the most that was wanted since it began. Else just `wanted`.
    pub fn raise(&mut self, wanted: u32) -> u32 {
        if !self.is_active() {
            return wanted;
        }
        self.most = self.most.max(wanted);
        self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn enters_extends_and_leaves_after_a_whole_calm_window() {
        let mut burst = Burst::begin(1, at(0));
        assert!(!burst.is_active());
        for (second, over, active) in [
            (1, false, false),
            (2, true, true),
            (50, true, true), // extended: counts from here
            (109, false, true),
            (110, false, true), // exactly a window later is not yet over
            (111, false, false),
        ] {
            burst.observe(over, WINDOW, at(second));
            assert_eq!(burst.is_active(), active, "at {second} s");
        }
    }

    #[test]
    fn never_shrinks_inside_and_forgets_afterwards() {
        let mut burst = Burst::begin(1, at(0));
        burst.observe(true, WINDOW, at(1));
        assert_eq!([5, 3, 7, 1].map(|wanted| burst.raise(wanted)), [5, 5, 7, 7]);
        burst.observe(false, WINDOW, at(62));
        assert_eq!(burst.raise(2), 2);
    }

    #[test]
    fn begins_inside_a_burst_where_replicas_run_already() {
        let mut burst = Burst::begin(4, at(0));
        assert!(burst.is_active());
        assert_eq!(burst.raise(1), 4);
    }
}
