//! A decision: how many replicas, by which rule, from which numbers, step by step.

use super::metric::MetricNumbers;
use super::reason::DecisionReason;
use super::slo::SloNumbers;
use super::window::Average;
use std::time::Duration;

/// How many replicas there should be, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Replicas to ask for.
    pub replicas: u32,
    /// What the rule wanted, before the least, the most and the last replica's gate.
    pub raw: u32,
    /// The step that had the last word.
    pub reason: DecisionReason,
    /// The step of the rule that had the last word in `raw`.
    pub cause: DecisionReason,
    /// What it was decided from.
    pub facts: Facts,
    /// Each step, in order.
    pub steps: Vec<Step>,
}

/// The numbers a decision was made from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Facts {
    /// Replicas asked for before.
    pub current: u32,
    /// Replicas that are ready.
    pub ready: u32,
    /// Replicas that are starting.
    pub starting: u32,
    /// Requests that run or wait at replicas.
    pub running: u32,
    /// Requests held at the gateway.
    pub held: u32,
    /// The rule's own.
    pub numbers: Numbers,
}

/// What a rule looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Numbers {
    /// The `concurrency` rule.
    Concurrency {
        /// Requests in flight aimed at per replica.
        target: f64,
        /// The stable window and its length.
        stable: (Option<Average>, Duration),
        /// The panic window and its length.
        panic: (Option<Average>, Duration),
        /// Whether there is a burst.
        panicking: bool,
        /// The most replicas the burst has asked for.
        burst_most: u32,
    },
    /// A rule with one window.
    Window {
        /// Requests in flight aimed at per replica.
        target: f64,
        /// The window and its length.
        average: (Option<Average>, Duration),
    },
    /// The `slo` rule.
    Slo(SloNumbers),
    /// The `metric` rule.
    Metric(MetricNumbers),
}

/// One step of a decision: what went in and what came out, in replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Which.
    pub stage: Stage,
    /// Replicas before.
    pub from: u32,
    /// Replicas after.
    pub to: u32,
}

/// The steps there are, in the order in which they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// From load to replicas.
    Demand,
    /// What will have come when a replica that is started now is ready.
    Forecast,
    /// What clears the queue.
    Backlog,
    /// What one tick may change at most.
    Rates,
    /// What a burst keeps.
    Burst,
    /// What is kept for having been wanted lately.
    Hold,
    /// What is kept for want of samples.
    Certainty,
    /// The least and the most.
    Limits,
    /// The last replica's gate.
    Idle,
}

impl Step {
    /// A step from so many replicas to so many.
    pub fn new(stage: Stage, from: u32, to: u32) -> Self {
        Self { stage, from, to }
    }
}

impl Stage {
    /// The step's name where decisions are printed.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Demand => "demand",
            Self::Forecast => "forecast",
            Self::Backlog => "backlog",
            Self::Rates => "rates",
            Self::Burst => "burst",
            Self::Hold => "hold",
            Self::Certainty => "certainty",
            Self::Limits => "limits",
            Self::Idle => "idle",
        }
    }
}

impl Numbers {
    /// Whether a burst is on, where the rule knows bursts.
    pub fn is_panicking(&self) -> bool {
        matches!(self, Self::Concurrency { panicking: true, .. })
    }
}
