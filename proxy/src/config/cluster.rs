//! Flags of `gateway --kubernetes`, and what they come to.

use clap::Args;
use tidegate_kubernetes::connect::{ConnectError, Found, find};
use tidegate_kubernetes::watch::Discovery;

/// What only a cluster needs.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Kubernetes")]
pub struct ClusterArgs {
    /// Serve the InferenceApis of a cluster, and send to the pods of what they target. The cluster
    /// is that of KUBECONFIG or, in a pod, its own. Nothing is written there
    #[arg(long, env = "TIDEGATE_KUBERNETES", conflicts_with_all = ["config", "endpoints"])]
    pub kubernetes: bool,
    /// The context of KUBECONFIG; by default the current one
    #[arg(long, env = "TIDEGATE_CONTEXT", value_name = "NAME", requires = "kubernetes")]
    pub context: Option<String>,
    /// Only InferenceApis and pods of this namespace; by default those of all
    #[arg(long, env = "TIDEGATE_NAMESPACE", value_name = "NAME", requires = "kubernetes")]
    pub namespace: Option<String>,
    /// Only pods with these labels, as in `tidegate.dev/injected=true`; by default all
    #[arg(
        long,
        env = "TIDEGATE_PODS",
        value_name = "LABELS",
        default_value = "",
        hide_default_value = true
    )]
    pub pods: String,
    /// By what replicas are found. pods: those of what an API targets, each with its own limit.
    /// endpoint-slices: those of the Service that has the API's name; no pod is read then
    #[arg(
        long,
        env = "TIDEGATE_DISCOVERY",
        value_enum,
        default_value = "pods",
        value_name = "KIND",
        requires = "kubernetes"
    )]
    pub discovery: Discovery,
}

/// Which cluster is followed, and what of it.
#[derive(Debug, Clone)]
pub struct ClusterSettings {
    /// The cluster.
    pub found: Found,
    /// Only this namespace; nothing for all.
    pub namespace: Option<String>,
    /// Only pods with these labels; empty for all.
    pub pods: String,
    /// By what replicas are found.
    pub discovery: Discovery,
}

impl ClusterArgs {
    /// Finds the cluster, and sees that a client can be made for it.
    pub(crate) async fn settings(&self) -> Result<ClusterSettings, ConnectError> {
        let found = find("tidegate-gateway", self.context.as_deref()).await?;
        found.clone().connect()?;
        Ok(ClusterSettings {
            found,
            namespace: self.namespace.clone(),
            pods: self.pods.clone(),
            discovery: self.discovery,
        })
    }
}
