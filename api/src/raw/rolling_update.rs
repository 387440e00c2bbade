//! `spec.rollingUpdate` as it is written.

use crate::defaults;
use crate::quantity::ReplicasText;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many replicas are exchanged at once when what they are made of changes. Numbers, or shares of
/// the replicas that there should be, as in a Kubernetes Deployment.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawRollingUpdate {
    /// How many more there may be meanwhile. A share is rounded up.
    pub(crate) max_surge: ReplicasText,
    /// How many of them may be not ready meanwhile. A share is rounded down.
    pub(crate) max_unavailable: ReplicasText,
}

// === impl Default ===

impl Default for RawRollingUpdate {
    fn default() -> Self {
        Self {
            max_surge: ReplicasText(defaults::MAX_SURGE),
            max_unavailable: ReplicasText(defaults::MAX_UNAVAILABLE),
        }
    }
}
