//! `spec.traffic` and `spec.rollout`: an API whose requests go to versions, and how one version
//! takes over from the others.

use crate::report::Mark;
use std::time::Duration;

/// An API's requests, split among other APIs.
#[derive(Debug, Clone, PartialEq)]
pub struct Traffic {
    /// The APIs that share the requests. Not empty, of different names; the weights' sum is 100.
    pub versions: Vec<Version>,
    /// Who is sent copies.
    pub shadow: Option<Shadow>,
    /// What keeps a client with its version.
    pub sticky: Option<Sticky>,
    /// `override.header`, in lower case: its value names a version.
    pub override_header: Option<String>,
}

/// One of the APIs that share an API's requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The API's name.
    pub api: String,
    /// How many of a hundred requests it gets.
    pub weight: u32,
    /// Where the document names it.
    pub(crate) mark: Mark,
}

/// Who is sent copies of requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Shadow {
    /// The API's name.
    pub api: String,
    /// The share of requests that is copied, above 0 and at most 1.
    pub share: f64,
    /// Where the document names it.
    pub(crate) mark: Mark,
}

/// What clients are told apart by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sticky {
    /// A header's value; its name in lower case.
    Header(String),
    /// A cookie's value.
    Cookie(String),
}

/// How one version takes over from the others, step by step.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollout {
    /// The version that takes over: one of `traffic.versions`.
    pub to: String,
    /// Its weights on the way, rising, below 100.
    pub steps: Vec<RolloutStep>,
    /// What must hold at the end of each step.
    pub condition: RolloutCondition,
}

/// One step of a rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutStep {
    /// How many of a hundred requests the new version gets, from 1 to 99.
    pub weight: u32,
    /// For how long at the least.
    pub pause: Duration,
}

/// What must hold for a rollout to go on.
#[derive(Debug, Clone, PartialEq)]
pub struct RolloutCondition {
    /// The least share of the new version's requests that must end well, in (0, 1].
    pub success_rate: f64,
    /// How slow it may be.
    pub latency: LatencyCondition,
    /// So many of its requests are needed to judge.
    pub min_requests: u32,
    /// How long a step waits for them beyond its pause.
    pub max_wait: Duration,
}

/// How slow a new version may be beside the old ones.
#[derive(Debug, Clone, PartialEq)]
pub struct LatencyCondition {
    /// Which percentile is compared, in [0.5, 1).
    pub percentile: f64,
    /// How many times that of the old versions it may be; 0 is off.
    pub factor: f64,
}

// === impl Traffic ===

impl Traffic {
    /// The version of this name.
    pub fn version(&self, api: &str) -> Option<&Version> {
        self.versions.iter().find(|version| version.api == api)
    }
}
