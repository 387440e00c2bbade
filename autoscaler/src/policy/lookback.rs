//! The only window of a rule that has one, and the numbers it decides from.

use super::decision::Numbers;
use super::demand::Target;
use super::observation::{Observation, is_load};
use super::snapshot::Snapshot;
use super::window::{Average, Window};
use std::time::Duration;

/// A window and its length.
#[derive(Debug, Clone)]
pub struct Lookback {
    window: Window,
    length: Duration,
}

impl Lookback {
    /// A window of this length, in which nothing is known.
    pub fn new(length: Duration) -> Self {
        Self { window: Window::new(length), length }
    }

    /// Records what was seen, and says what is known of the window: an average that someone else
    /// kept stands before our own.
    pub fn learn(&mut self, seen: &Observation, now: Duration) -> Option<Average> {
        if let Some(load) = seen.load {
            self.window.record(load.from, now, load.average);
        }
        match seen.windows {
            Some(given) => {
                is_load(given.stable).then_some(Average { value: given.stable, filled: 1.0 })
            }
            None => self.window.over(self.length, now),
        }
    }

    /// What a rule with this window and `target` looked at.
    pub fn numbers(&self, target: Target, average: Option<Average>) -> Numbers {
        Numbers::Window { target: target.value(), average: (average, self.length) }
    }

    pub(super) fn save(&self, name: &str, to: &mut Snapshot, now: Duration) {
        self.window.save(name, to, now);
    }

    pub(super) fn load(&mut self, name: &str, from: &Snapshot, taken: Duration) {
        self.window.load(name, from, taken);
    }
}
