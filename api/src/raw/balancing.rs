//! `spec.balancing` as it is written: which replica a request is given.

use crate::defaults;
use crate::quantity::DurationText;
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
    /// When a replica is taken out for a while, by what became of the requests sent to it.
    pub(crate) ejection: RawEjection,
    /// What becomes of requests that never reached a model: they are sent to another replica.
    pub(crate) retries: RawRetries,
    /// How long a replica that became ready takes to be given as many requests as it may have at once:
    /// one at first, then evenly more. `0s` is off.
    pub(crate) slow_start: DurationText,
    /// Second tries for slow requests. Without it there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hedging: Option<RawHedging>,
}

/// A second try beside the first, on another replica with a free slot that nobody waits for, for requests
/// whose body is here as a whole; the first good answer counts. It is paid for as a retry.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawHedging {
    /// After the time that this share of such requests' answers did not take to begin.
    #[schemars(range(min = 0.5, max = 0.999))]
    pub(crate) percentile: f64,
    /// But not before this.
    pub(crate) floor: DurationText,
    /// For which requests: those that only read, unless it says otherwise. The try that lost may go on for
    /// a moment after the answer, so a `PUT` or `DELETE` may then undo what its client did next. `POST` is
    /// for models whose answers change nothing.
    pub(crate) methods: Vec<RawMethod>,
}

/// What a request wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum RawMethod {
    Get,
    Head,
    Options,
    Post,
    Put,
    Patch,
    Delete,
}

/// How often a request that never reached a model is sent to another replica.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawRetries {
    /// For one request, after it was first sent; 0 is off.
    #[schemars(range(min = 0, max = 10))]
    pub(crate) attempts: u32,
    /// For all: this share of the last ten to twenty seconds' requests.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(crate) budget: f64,
    /// And so many a second, however few requests there are.
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub(crate) floor_per_second: f64,
}

/// When a replica is taken out for a while. Answers 503 and 429 are back-pressure, not errors.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawEjection {
    /// So many requests in a row found no connection, or lost it before the answer; 0 is off.
    #[schemars(range(min = 0, max = 1000))]
    pub(crate) consecutive_errors: u32,
    /// This share of the last ten to twenty seconds' answers, of at least 20, were 5xx; 0 is off.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(crate) error_rate: f64,
    /// For how long, the first time; twice as long each time in a row.
    pub(crate) base_time: DurationText,
    /// For how long at the most; at least `baseTime`.
    pub(crate) max_time: DurationText,
    /// The largest share of the replicas that may be out at once; one is always in.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(crate) max_share: f64,
    /// Answers come so many times later than the median of the other replicas; 0 is off.
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub(crate) slow_factor: f64,
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

// === impl RawMethod ===

impl RawMethod {
    const ALL: [Self; 7] =
        [Self::Get, Self::Head, Self::Options, Self::Post, Self::Put, Self::Patch, Self::Delete];

    /// As it stands in a request.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

// === impl Default ===

impl Default for RawBalancing {
    fn default() -> Self {
        Self {
            policy: RawBalancingPolicy::default(),
            hash: None,
            load_factor: defaults::LOAD_FACTOR,
            ejection: RawEjection::default(),
            retries: RawRetries::default(),
            slow_start: DurationText(defaults::SLOW_START),
            hedging: None,
        }
    }
}

impl Default for RawHedging {
    fn default() -> Self {
        let floor = DurationText(defaults::HEDGE_FLOOR);
        let is_one = |method: &RawMethod| defaults::HEDGE_METHODS.contains(&method.name());
        let methods = RawMethod::ALL.into_iter().filter(is_one).collect();
        Self { percentile: defaults::HEDGE_PERCENTILE, floor, methods }
    }
}

impl Default for RawRetries {
    fn default() -> Self {
        Self {
            attempts: defaults::RETRY_ATTEMPTS,
            budget: defaults::RETRY_BUDGET,
            floor_per_second: defaults::RETRY_FLOOR_PER_SECOND,
        }
    }
}

impl Default for RawEjection {
    fn default() -> Self {
        Self {
            consecutive_errors: defaults::EJECT_CONSECUTIVE_ERRORS,
            error_rate: defaults::EJECT_ERROR_RATE,
            base_time: DurationText(defaults::EJECT_BASE_TIME),
            max_time: DurationText(defaults::EJECT_MAX_TIME),
            max_share: defaults::EJECT_MAX_SHARE,
            slow_factor: defaults::EJECT_SLOW_FACTOR,
        }
    }
}
