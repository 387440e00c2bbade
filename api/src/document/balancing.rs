//! `spec.balancing`: which replica a request is given, checked.

use crate::defaults;

/// Which of the replicas with a free slot a request is given.
#[derive(Debug, Clone, PartialEq)]
pub struct Balancing {
    /// The rule of the choice.
    pub policy: BalancingPolicy,
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
        Self { policy: BalancingPolicy::PowerOfTwo }
    }
}

// === impl HashBy ===

impl Default for HashBy {
    fn default() -> Self {
        Self::PromptPrefix(defaults::PROMPT_PREFIX)
    }
}
