//! The pods that Tidegate makes on Kubernetes, as they are written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A pod template, as a Deployment has it: `metadata` with labels and annotations, and the pods'
/// `spec`. Kubernetes' own rules hold for what is in it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
#[serde(transparent)]
pub(crate) struct RawTemplate(pub(crate) Map<String, Value>);
