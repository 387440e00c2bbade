//! The pods that Tidegate makes on Kubernetes.

use serde_json::{Map, Value};

/// A pod template in Kubernetes' own form; it has at least one container.
#[derive(Debug, Clone, PartialEq)]
pub struct Template(pub Map<String, Value>);
