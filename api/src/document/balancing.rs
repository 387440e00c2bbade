//! `spec.balancing`: which replica a request is given, checked.

use crate::defaults;
use std::time::Duration;

/// Which of the replicas with a free slot a request is given.
#[derive(Debug, Clone, PartialEq)]
pub struct Balancing {
    /// The rule of the choice.
    pub policy: BalancingPolicy,
    /// When a replica is taken out for a while.
    pub ejection: Ejection,
    /// How often what never reached a model is sent elsewhere.
    pub retries: Retries,
    /// How long a replica that became ready takes to have all of its slots; zero is off.
    pub slow_start: Duration,
    /// When requests get a second try beside the first; without it none do.
    pub hedging: Option<Hedging>,
}

/// When a request gets a second try beside the first.
#[derive(Debug, Clone, PartialEq)]
pub struct Hedging {
    /// After the time that this share of the answers did not take, in [0.5, 1),
    pub percentile: f64,
    /// but not before this.
    pub floor: Duration,
    /// What those requests want done: names of HTTP methods.
    pub methods: Vec<&'static str>,
}

/// How often a request that never reached a model is sent to another replica.
#[derive(Debug, Clone, PartialEq)]
pub struct Retries {
    /// For one request, after it was first sent.
    pub attempts: u32,
    /// For all: this share of the requests.
    pub budget: f64,
    /// And so many a second.
    pub floor_per_second: f64,
}

/// When a replica is taken out for a while, by what became of the requests sent to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Ejection {
    /// Broken exchanges in a row; 0 is off.
    pub consecutive_errors: u32,
    /// Share of 5xx answers, without 503; 0 is off.
    pub error_rate: f64,
    /// For how long, the first time.
    pub base_time: Duration,
    /// For how long at the most; at least `base_time`.
    pub max_time: Duration,
    /// The largest share of the replicas that may be out at once.
    pub max_share: f64,
    /// How many times slower than the others is too slow; 0 is off.
    pub slow_factor: f64,
}

/// How a gateway chooses among the replicas that have a free slot.
#[derive(Debug, Clone, PartialEq)]
pub enum BalancingPolicy {
    /// The less loaded of two drawn at random.
    PowerOfTwo,
    /// The least loaded of all.
    LeastLoaded,
    /// The same replica for the same key, unless it has too much to do.
    ConsistentHash {
        /// What the key is made of.
        by: HashBy,
        /// The most that a replica may have, as a multiple of the mean: at least 1.
        load_factor: f64,
    },
}

/// What a request's hash key is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashBy {
    /// A header's value; its name in lower case.
    Header(String),
    /// A cookie's value.
    Cookie(String),
    /// So many bytes of the prompt, from its first.
    PromptPrefix(u32),
}

// === impl Balancing ===

impl Default for Balancing {
    fn default() -> Self {
        Self {
            policy: BalancingPolicy::PowerOfTwo,
            ejection: Ejection::default(),
            retries: Retries::default(),
            slow_start: defaults::SLOW_START,
            hedging: None,
        }
    }
}

// === impl Retries ===

impl Default for Retries {
    fn default() -> Self {
        Self {
            attempts: defaults::RETRY_ATTEMPTS,
            budget: defaults::RETRY_BUDGET,
            floor_per_second: defaults::RETRY_FLOOR_PER_SECOND,
        }
    }
}

// === impl Ejection ===

impl Default for Ejection {
    fn default() -> Self {
        Self {
            consecutive_errors: defaults::EJECT_CONSECUTIVE_ERRORS,
            error_rate: defaults::EJECT_ERROR_RATE,
            base_time: defaults::EJECT_BASE_TIME,
            max_time: defaults::EJECT_MAX_TIME,
            max_share: defaults::EJECT_MAX_SHARE,
            slow_factor: defaults::EJECT_SLOW_FACTOR,
        }
    }
}

// === impl HashBy ===

impl Default for HashBy {
    fn default() -> Self {
        Self::PromptPrefix(defaults::PROMPT_PREFIX)
    }
}
