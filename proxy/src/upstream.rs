//! Connects to endpoints, and leases connections to one exchange at a time.

use crate::endpoint::Endpoint;
use crate::outbound::Connection;
use crate::outbound::ExchangeError;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long to try for a connection. An endpoint is near; one that is slower than this is gone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection for the time of one exchange.
pub struct Lease {
    /// The connection.
    pub connection: Connection,
    /// Whether it has served before: then the upstream may have closed it unseen.
    pub reused: bool,
    endpoint: Arc<Endpoint>,
    worker: usize,
}

/// What a worker connects with.
#[derive(Debug, Clone)]
pub struct Connector {
    /// Which of an endpoint's pools is this worker's.
    pub worker: usize,
    /// The most bytes a response head may have.
    pub max_head_bytes: usize,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// None could be made.
    #[error("can't connect")]
    Io(#[from] std::io::Error),
    /// None was made in time.
    #[error("no connection within {0:?}")]
    Timeout(Duration),
}

// === impl Connector ===

impl Connector {
    /// An idle connection, or a new one.
    ///
    /// # Errors
    /// If none can be made.
    pub async fn lease(
        &self,
        endpoint: &Arc<Endpoint>,
        now: Instant,
    ) -> Result<Lease, ConnectError> {
        match endpoint.pools[self.worker].take(now) {
            Some(connection) => Ok(self.leased(endpoint, connection, true)),
            None => self.lease_new(endpoint).await,
        }
    }

    /// A new connection.
    ///
    /// # Errors
    /// If none can be made.
    pub async fn lease_new(&self, endpoint: &Arc<Endpoint>) -> Result<Lease, ConnectError> {
        let socket = tokio::time::timeout(CONNECT_TIMEOUT, endpoint.address.connect())
            .await
            .map_err(|_| ConnectError::Timeout(CONNECT_TIMEOUT))??;
        Ok(self.leased(endpoint, Connection::new(socket, self.max_head_bytes), false))
    }

    fn leased(&self, endpoint: &Arc<Endpoint>, connection: Connection, reused: bool) -> Lease {
        Lease { connection, reused, endpoint: Arc::clone(endpoint), worker: self.worker }
    }
}

// === impl Lease ===

impl Lease {
    /// Whether a request that failed so may go out again: it was sent on a kept connection, which
    /// the upstream had closed, as no byte came back.
    pub fn was_stale(&self, error: &ExchangeError) -> bool {
        self.reused
            && !self.connection.heard()
            && matches!(error, ExchangeError::Ended | ExchangeError::Io(_))
    }

    /// Keeps the connection for the next exchange, if this one has left it clean.
    pub fn give_back(self, now: Instant) {
        if self.connection.is_reusable() {
            self.endpoint.pools[self.worker].put(self.connection, now);
        }
    }
}
