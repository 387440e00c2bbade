//! What is scaled on Kubernetes, as it is written.

use crate::defaults;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something on Kubernetes that has a scale: a Deployment, a StatefulSet, a custom resource.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawTarget {
    /// Its group and version, such as `apps/v1`.
    #[serde(default = "api_version")]
    pub(crate) api_version: String,
    /// Its kind.
    #[serde(default = "kind")]
    pub(crate) kind: String,
    /// Its name.
    #[schemars(required)]
    pub(crate) name: Option<String>,
}

fn api_version() -> String {
    defaults::TARGET_API_VERSION.to_owned()
}

fn kind() -> String {
    defaults::TARGET_KIND.to_owned()
}
