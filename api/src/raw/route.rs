//! `spec.routes` and `spec.openai` as they are written.

use crate::defaults;
use crate::quantity::Size;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Requests that are this API's: all that is given must match. Of several routes that match, the one
/// with the more definite host counts (a whole name before `*.…` before none), then the exact path
/// before the longer prefix, then the one with more headers. At most one of `path`, `exactPath` and
/// `grpc`; without any it is every path.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawRoute {
    /// A host without its port; `*.example.com` takes every name below it. Without it, any host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) host: Option<String>,
    /// A path prefix of whole segments: `/v1` takes `/v1` and `/v1/x`, not `/v10`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
    /// The whole path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exact_path: Option<String>,
    /// Calls of a gRPC service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) grpc: Option<RawGrpcRoute>,
    /// Headers that must be there, each with just this value.
    pub(crate) headers: BTreeMap<String, String>,
    /// Whether the prefix is taken off before the model sees the request.
    pub(crate) strip_prefix: bool,
}

/// Calls of a gRPC service.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawGrpcRoute {
    /// The service's full name, such as `digits.Reader`.
    #[schemars(required)]
    pub(crate) service: Option<String>,
    /// One of its methods, such as `Predict`. Without it, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) method: Option<String>,
}

/// What of OpenAI's API is this API's.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawOpenAi {
    /// The names of the model: all are accepted, the first is what `GET /v1/models` lists.
    #[schemars(required)]
    pub(crate) models: Option<Vec<String>>,
    /// How far into a request's body its `model` is looked for, from 1k to 64Mi.
    #[serde(default = "scan_limit")]
    pub(crate) scan_limit: Size,
    /// What becomes of a request on these routes that names no model, or one that nobody has.
    #[serde(default)]
    pub(crate) when_not_found: RawWhenNotFound,
}

/// What becomes of a request that names no model, or one that nobody has.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RawWhenNotFound {
    /// It is refused, with an error in the form that OpenAI's API has.
    #[default]
    Refuse,
    /// This API takes it.
    Serve,
}

fn scan_limit() -> Size {
    Size(defaults::SCAN_LIMIT)
}

// === impl Default ===

impl Default for RawOpenAi {
    fn default() -> Self {
        Self { models: None, scan_limit: scan_limit(), when_not_found: RawWhenNotFound::default() }
    }
}
