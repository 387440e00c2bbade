//! What is scaled on Kubernetes.

/// Something on Kubernetes that has a scale, in the API's own namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Group and version: `apps/v1`, or `v1` for the core group.
    pub api_version: String,
    /// `Deployment`, `StatefulSet`, or a custom resource's kind.
    pub kind: String,
    /// Its name.
    pub name: String,
}
