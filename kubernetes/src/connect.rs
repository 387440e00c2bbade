//! A client of the API server: from `KUBECONFIG`, the user's configuration, or the pod's account.

use hyper::header::{HeaderValue, USER_AGENT};
use kube::Client;
use kube::config::{Config, KubeConfigOptions, KubeconfigError};
use std::error::Error as _;

/// A client, and the namespace that it means where none is named.
#[derive(Clone)]
pub struct Connection {
    /// The client. It tries nothing twice by itself: what is written must not be written later.
    pub client: Client,
    /// The context's or the pod's own namespace.
    pub namespace: String,
    /// Where the API server is.
    pub server: String,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("server", &self.server).finish_non_exhaustive()
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nothing says where a cluster is.
    #[error(
        "no Kubernetes cluster is configured: {}; set KUBECONFIG, or run in a pod with a service \
         account",
        unconfigured(.0)
    )]
    NoCluster(#[source] Box<kube::config::InferConfigError>),
    /// The named context can't be used.
    #[error(
        "the context {context} can't be used: {source}; `kubectl config get-contexts` lists them"
    )]
    Context {
        /// Its name.
        context: String,
        /// Why.
        source: Box<KubeconfigError>,
    },
    /// The configuration makes no client.
    #[error("the configuration of the cluster can't be used: {0}")]
    Client(#[source] Box<kube::Error>),
}

/// Why nothing says where a cluster is. Outside of a pod nobody wants to hear of what one would have.
fn unconfigured(error: &kube::config::InferConfigError) -> String {
    let is_pod = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    error.source().filter(|_| !is_pod).map_or_else(|| error.to_string(), ToString::to_string)
}

/// Where a cluster is, and who asks.
#[derive(Clone)]
pub struct Found(Config);

impl std::fmt::Debug for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Found").field(&self.0.cluster_url.to_string()).finish()
    }
}

impl Found {
    /// A client. What it needs runs on the runtime that this is called on.
    ///
    /// # Errors
    /// [`ConnectError::Client`]. Whether the API server answers shows with the first call.
    pub fn connect(self) -> Result<Connection, ConnectError> {
        let config = self.0;
        let (namespace, server) =
            (config.default_namespace.clone(), config.cluster_url.to_string());
        let client =
            Client::try_from(config).map_err(|error| ConnectError::Client(Box::new(error)))?;
        Ok(Connection { client, namespace, server })
    }
}

/// Finds the cluster that `context` of the user's configuration names, or that the environment does.
/// `program` is who asks: it stands in audit logs, and says whose fields are that are set without an
/// apply.
///
/// # Errors
/// [`ConnectError`] where there is none.
pub async fn find(program: &'static str, context: Option<&str>) -> Result<Found, ConnectError> {
    let mut config = match context {
        None => Config::infer().await.map_err(|error| ConnectError::NoCluster(Box::new(error)))?,
        Some(context) => {
            let options =
                KubeConfigOptions { context: Some(context.to_owned()), ..Default::default() };
            Config::from_kubeconfig(&options).await.map_err(|source| ConnectError::Context {
                context: context.to_owned(),
                source: Box::new(source),
            })?
        }
    };
    config.default_retry = false;
    let agent = format!("{program}/{}", env!("CARGO_PKG_VERSION"));
    if let Ok(agent) = HeaderValue::try_from(agent) {
        config.headers.push((USER_AGENT, agent));
    }
    Ok(Found(config))
}

/// Connects as `context` of the user's configuration says, or as the environment does.
///
/// # Errors
/// [`ConnectError`]. Whether the API server answers shows with the first call.
pub async fn connect(
    program: &'static str,
    context: Option<&str>,
) -> Result<Connection, ConnectError> {
    find(program, context).await?.connect()
}
