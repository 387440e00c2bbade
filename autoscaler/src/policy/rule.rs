//! What a scaling rule is: from what is seen to a wish, before the least, the most and zero.

use super::decision::{Numbers, Step};
use super::observation::Observation;
use super::reason::DecisionReason;
use super::snapshot::Snapshot;
use std::fmt::Debug;
use std::time::Duration;

/// A scaling rule with its settings and what it remembers. `now` never goes back between calls.
pub trait Rule: Debug + Send {
    /// How many replicas it wants. The least, the most and the last replica are not its concern.
    fn wish(&mut self, seen: &Observation, now: Duration) -> Wish;

    /// Requests are held and nothing is ready: how many to wake with, from their number alone.
    ///
    /// The rule remembers it, so that its windows, which have not seen the load yet, don't take
    /// back at the next tick what was just started.
    fn wake(&mut self, seen: &Observation, now: Duration) -> Wish;

    /// Writes down what it remembers.
    fn save(&self, to: &mut Snapshot, now: Duration);

    /// Remembers what a rule like it wrote down at `taken`, by the clock of this process. What is
    /// missing stays as it is at the beginning.
    fn load(&mut self, from: &Snapshot, taken: Duration);
}

/// What a rule wants, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    /// Replicas wanted.
    pub replicas: u32,
    /// The step that had the last word.
    pub reason: DecisionReason,
    /// What it was made of.
    pub numbers: Numbers,
    /// Each step, in order.
    pub steps: Vec<Step>,
}
