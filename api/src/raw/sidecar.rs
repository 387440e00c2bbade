//! `spec.sidecar` as it is written.

use crate::defaults;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What each replica's sidecar does beside its work.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawSidecar {
    /// Which requests get a line of JSON in the replica's log: `off`, `errors`, `all`, or
    /// `sampled:SHARE` such as `sampled:0.01`.
    pub(crate) access_log: String,
    /// Whose API the model's answers follow, if their tokens are to be counted. The gateway then
    /// counts them too, from when it first serves the API.
    pub(crate) llm: RawLlm,
}

/// An API of language models.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RawLlm {
    /// None: no tokens are counted.
    #[default]
    Off,
    /// OpenAI's, and what is like it.
    Openai,
}

// === impl Default ===

impl Default for RawSidecar {
    fn default() -> Self {
        Self { access_log: defaults::ACCESS_LOG.to_owned(), llm: RawLlm::default() }
    }
}
