//! `spec.balancing` as it is written: which replica a request is given.

use crate::defaults;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which of the replicas with a free slot a request is given.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawBalancing {
    /// How the gateway chooses.
    pub(crate) policy: RawBalancingPolicy,
    /// What the policy `consistentHash` tells requests apart by: one of `header`, `cookie` and
    /// `promptPrefix`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hash: Option<RawHash>,
    /// With `consistentHash`: the most requests that a replica may have, as a multiple of the mean.
    /// What is beyond goes to the key's next replica.
    #[schemars(range(min = 1.0, max = 100.0))]
    pub(crate) load_factor: f64,
}

/// The rules of the choice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RawBalancingPolicy {
    /// The less loaded of two replicas drawn at random.
    #[default]
    PowerOfTwo,
    /// The least loaded of all replicas.
    LeastLoaded,
    /// The same replica for the same key, unless it has too much to do.
    ConsistentHash,
}

/// What requests are told apart by.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawHash {
    /// The header whose value is the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) header: Option<String>,
    /// The cookie whose value is the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cookie: Option<String>,
    /// How many bytes of an OpenAI-style request's prompt or messages are the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65536))]
    pub(crate) prompt_prefix: Option<u32>,
}

// === impl Default ===

impl Default for RawBalancing {
    fn default() -> Self {
        Self {
            policy: RawBalancingPolicy::default(),
            hash: None,
            load_factor: defaults::LOAD_FACTOR,
        }
    }
}
