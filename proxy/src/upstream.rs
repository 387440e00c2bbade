//! Connections to one endpoint: made or reused, leased to one request at a time.

use crate::endpoint::Endpoint;
use crate::error::UpstreamError;
use crate::request_body::RequestBody;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;

/// How long to try for a connection. An endpoint is near; one that is slower than this is gone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection for the time of one exchange.
pub struct Lease {
    /// What sends a request.
    pub sender: SendRequest<RequestBody>,
    /// Whether it has served before: then the upstream may have closed it unseen.
    pub reused: bool,
    endpoint: Arc<Endpoint>,
    worker: usize,
}

/// What a worker connects with.
#[derive(Clone)]
pub struct Connector {
    /// Which of an endpoint's pools is this worker's.
    pub worker: usize,
    /// Owns the tasks that drive connections. A drain doesn't wait for them: an idle connection to
    /// an upstream that lives on would hold it up until it is swept.
    pub tasks: TaskTracker,
    /// Owns the tunnels, which go on beside the connections that began them.
    pub tunnels: TaskTracker,
    /// The most bytes a response head may have.
    pub max_head_bytes: usize,
}

// === impl Connector ===

impl Connector {
    /// An idle connection, or a new one.
    ///
    /// # Errors
    /// If none can be made.
    pub async fn lease(&self, endpoint: &Arc<Endpoint>) -> Result<Lease, UpstreamError> {
        match endpoint.pools[self.worker].take() {
            Some(sender) => Ok(self.leased(endpoint, sender, true)),
            None => self.lease_new(endpoint).await,
        }
    }

    /// A new connection.
    ///
    /// # Errors
    /// If none can be made.
    pub async fn lease_new(&self, endpoint: &Arc<Endpoint>) -> Result<Lease, UpstreamError> {
        let connecting = TcpStream::connect(endpoint.address);
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, connecting)
            .await
            .map_err(|_| UpstreamError::ConnectTimeout(CONNECT_TIMEOUT))?
            .map_err(UpstreamError::Connect)?;
        // Small writes go at once: a token must not wait for the next.
        stream.set_nodelay(true).map_err(UpstreamError::Connect)?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(self.max_head_bytes)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(UpstreamError::Handshake)?;
        self.tasks.spawn(async move {
            // How it ends is told to whoever waits for the exchange's answer or body.
            if let Err(error) = connection.with_upgrades().await {
                tracing::trace!(%error, "upstream connection ended");
            }
        });
        Ok(self.leased(endpoint, sender, false))
    }

    fn leased(
        &self,
        endpoint: &Arc<Endpoint>,
        sender: SendRequest<RequestBody>,
        reused: bool,
    ) -> Lease {
        Lease { sender, reused, endpoint: Arc::clone(endpoint), worker: self.worker }
    }
}

// === impl Lease ===

impl Lease {
    /// Keeps the connection for the next request, once the response's last byte is here.
    pub fn give_back(self) {
        let Self { sender, endpoint, worker, .. } = self;
        if !sender.is_closed() {
            endpoint.pools[worker].put(sender);
        }
    }
}
