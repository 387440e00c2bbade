//! `spec.access` as it is written.

use crate::defaults;
use crate::quantity::DurationText;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who may use the API, and how much. Without these keys everybody may, without a limit.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawAccess {
    /// Only who has a key may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) api_keys: Option<RawApiKeys>,
    /// How much each tenant may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rate_limit: Option<RawRateLimit>,
}

/// Keys that clients send as `authorization: Bearer KEY` or as `x-api-key: KEY`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawApiKeys {
    /// A file, seen from the document's folder, with a line `NAME:DIGEST` for each key, where DIGEST
    /// is the key's SHA-256 in hexadecimal digits. It is followed as it changes.
    #[schemars(required)]
    pub(crate) file: Option<String>,
}

/// How much one tenant may use, as a token bucket: `requestsPerSecond`, `tokensPerSecond` or both.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawRateLimit {
    /// What tells tenants apart: `tenant` is the name of the API key, or without keys what the
    /// gateway's `--tenant-header` says; `header:NAME` is what that header says.
    pub(crate) by: String,
    /// Requests a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000.0), extend("exclusiveMinimum" = 0))]
    pub(crate) requests_per_second: Option<f64>,
    /// Tokens a second, prompt and allowed answer, as they are estimated when a request comes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000_000.0), extend("exclusiveMinimum" = 0))]
    pub(crate) tokens_per_second: Option<f64>,
    /// As much as is allowed in this time may come at once, from 1ms to 1h; one request always may.
    pub(crate) burst: DurationText,
}

// === impl Default ===

impl Default for RawRateLimit {
    fn default() -> Self {
        Self {
            by: defaults::RATE_LIMIT_BY.to_owned(),
            requests_per_second: None,
            tokens_per_second: None,
            burst: DurationText(defaults::RATE_LIMIT_BURST),
        }
    }
}
