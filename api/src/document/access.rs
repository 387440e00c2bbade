//! Who may use an API, and how much.

use std::path::PathBuf;
use std::time::Duration;

/// Who may use an API, and how much.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Access {
    /// The file of keys, absolute: a line `name:sha256-hex` for each. Without it everybody may.
    pub api_keys: Option<PathBuf>,
    /// How much each may use.
    pub rate_limit: Option<RateLimit>,
}

/// How much of an API one tenant may use.
#[derive(Debug, Clone, PartialEq)]
pub struct RateLimit {
    /// What tells tenants apart.
    pub by: RateLimitBy,
    /// Requests a second, above 0.
    pub requests_per_second: Option<f64>,
    /// Tokens a second, as they are estimated when a request comes; above 0.
    pub tokens_per_second: Option<f64>,
    /// As much as may come in this time may come at once. At least one request always may.
    pub burst: Duration,
}

/// What tells tenants apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RateLimitBy {
    /// The name of the API key; without keys, what the gateway's `--tenant-header` says.
    Tenant,
    /// What this header says; in lower case.
    Header(String),
}
