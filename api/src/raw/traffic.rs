//! `spec.traffic` and `spec.rollout` as they are written.

use crate::defaults;
use crate::quantity::DurationText;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Splits the API's requests among other APIs, its versions. Each has a document of its own, with
/// its own replicas, queue and scaling.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawTraffic {
    /// The APIs that share the requests, the older ones first. Their weights' sum is 100.
    #[schemars(required)]
    pub(crate) versions: Option<Vec<RawVersion>>,
    /// An API that is sent copies of requests. Its answers are dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) shadow: Option<RawShadow>,
    /// What keeps a client with its version, as long as weights allow: one of `header` and `cookie`.
    /// A request that has neither goes by the weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sticky: Option<RawSticky>,
    /// Lets a request name its version.
    #[serde(default, rename = "override", skip_serializing_if = "Option::is_none")]
    pub(crate) override_by: Option<RawOverride>,
}

/// One of the APIs that share the requests.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawVersion {
    /// The API's name: `metadata.name` of its document.
    #[schemars(required)]
    pub(crate) api: Option<String>,
    /// How many of a hundred requests it gets.
    #[schemars(required, range(min = 0, max = 100))]
    pub(crate) weight: Option<u32>,
}

/// An API that is sent copies of requests.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawShadow {
    /// The API's name. It is none of the versions.
    #[schemars(required)]
    pub(crate) api: Option<String>,
    /// Which share of the requests is copied: above 0, at most 1.
    #[serde(default = "share")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(crate) share: f64,
}

/// What clients are told apart by.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawSticky {
    /// The header whose value is the client's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) header: Option<String>,
    /// The cookie, set by the application, whose value is the client's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cookie: Option<String>,
}

/// How a request names its version.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawOverride {
    /// The header whose value is the name of the version's API. Whoever may send requests may send
    /// it, and reaches versions of weight 0 too; a value that names no version does nothing.
    #[schemars(required)]
    pub(crate) header: Option<String>,
}

/// Lets one version take over from the others, step by step, as long as it does well. If it does
/// not, it gets nothing any more, until this part of the document changes.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawRollout {
    /// The version that takes over: one of `traffic.versions`.
    #[schemars(required)]
    pub(crate) to: Option<String>,
    /// Its weights on the way, rising; after the last one it gets all. While there is a rollout they
    /// count instead of its weight in `traffic`; of the other versions the first listed give up
    /// theirs first.
    #[schemars(required)]
    pub(crate) steps: Option<Vec<RawRolloutStep>>,
    /// What must hold at the end of each step.
    #[serde(default)]
    pub(crate) condition: RawRolloutCondition,
}

/// One step of a rollout.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawRolloutStep {
    /// How many of a hundred requests the new version gets.
    #[schemars(required, range(min = 1, max = 99))]
    pub(crate) weight: Option<u32>,
    /// For how long at the least; what happens meanwhile is what the condition is about.
    #[schemars(required)]
    pub(crate) pause: Option<DurationText>,
}

/// What must hold for a rollout to go on.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawRolloutCondition {
    /// The least share of the new version's requests that must end well. A 5xx answer is a failure,
    /// whoever gave it; 429 and clients that leave count as neither.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(crate) success_rate: f64,
    /// How slow it may be beside the other versions.
    pub(crate) latency: RawLatencyCondition,
    /// So many of its requests are needed to judge; a step waits for them beyond its pause.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub(crate) min_requests: u32,
    /// For how long beyond its pause; then the version is taken back.
    pub(crate) max_wait: DurationText,
}

/// How slow a new version may be beside the others.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawLatencyCondition {
    /// Which percentile of the time from dispatch to the end of the answer is compared.
    #[schemars(range(min = 0.5, max = 0.999))]
    pub(crate) percentile: f64,
    /// How many times that of the other versions it may be; 0 is off.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub(crate) factor: f64,
}

fn share() -> f64 {
    defaults::SHADOW_SHARE
}

// === impl Default ===

impl Default for RawRolloutCondition {
    fn default() -> Self {
        Self {
            success_rate: defaults::ROLLOUT_SUCCESS_RATE,
            latency: RawLatencyCondition::default(),
            min_requests: defaults::ROLLOUT_MIN_REQUESTS,
            max_wait: DurationText(defaults::ROLLOUT_MAX_WAIT),
        }
    }
}

impl Default for RawLatencyCondition {
    fn default() -> Self {
        Self { percentile: defaults::ROLLOUT_PERCENTILE, factor: defaults::ROLLOUT_LATENCY_FACTOR }
    }
}
