//! `spec.coldStart` as it is written.

use crate::defaults;
use crate::quantity::DurationText;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is done for requests while their API comes up from zero.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawColdStart {
    /// Clients that ask for a stream of events get its head, with status 200, after this time, and
    /// a comment each time it has passed again, until the model's answer follows. What the model
    /// answers but a stream of events, and what goes wrong, can then only be told in an event
    /// `error`. `0s` is off.
    pub(crate) keep_alive: DurationText,
    /// Where requests go instead, as long as nothing of this API can serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fallback: Option<RawFallback>,
}

/// Where the requests of an API at zero go instead. The API is woken all the same.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawFallback {
    /// Another API that the same gateway serves. Requests go there as they are, if it has a replica
    /// that can serve, and count as its own.
    #[schemars(required)]
    pub(crate) api: Option<String>,
    /// How long they wait for their own API before; at the latest they go when `timeouts.coldStart`
    /// is over.
    #[serde(default = "fallback_after")]
    pub(crate) after: DurationText,
}

fn fallback_after() -> DurationText {
    DurationText(defaults::FALLBACK_AFTER)
}

// === impl Default ===

impl Default for RawColdStart {
    fn default() -> Self {
        Self { keep_alive: DurationText(defaults::COLD_START_KEEP_ALIVE), fallback: None }
    }
}
