//! `spec.endpoints` as it is written.

use crate::defaults;
use crate::quantity::DurationText;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the API's endpoints are, for a gateway without an autoscaler: one of `addresses` and `dns`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawEndpoints {
    /// IP addresses with ports, such as `10.0.0.1:8012` or `[::1]:8012`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) addresses: Option<Vec<String>>,
    /// A name, all of whose addresses are endpoints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dns: Option<RawDns>,
    /// A sidecar's admin port, on the same addresses: an endpoint is used while `/readyz` there says
    /// so. Without it an endpoint is used while its port takes connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub(crate) admin_port: Option<u16>,
}

/// A name, all of whose addresses are endpoints.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawDns {
    /// The name, looked up as the system does (A and AAAA).
    #[schemars(required)]
    pub(crate) name: Option<String>,
    /// The port of each.
    #[schemars(required, range(min = 1, max = 65535))]
    pub(crate) port: Option<u16>,
    /// How often it is looked up. While that fails, the endpoints stay what they were.
    #[serde(default = "period")]
    pub(crate) period: DurationText,
}

impl Default for RawDns {
    fn default() -> Self {
        Self { name: None, port: None, period: period() }
    }
}

fn period() -> DurationText {
    DurationText(defaults::DNS_PERIOD)
}
