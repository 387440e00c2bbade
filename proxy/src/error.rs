//! What can end a request early, and what can keep the proxy from starting.

use std::net::SocketAddr;
use std::time::Duration;
use tidegate_api::reason::Reason;

/// A request that the proxy answers by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// For `Retry-After`, where coming back makes sense.
    pub retry_after_s: Option<u64>,
}

/// Why the proxy could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address can't be listened on.
    #[error("can't listen on {address} ({flag}): is another process using it?")]
    Listen {
        /// The flag that sets the address.
        flag: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A thread or its runtime can't be made.
    #[error("can't start worker {worker}: the system refused a thread or its event queue")]
    Worker {
        /// Which worker.
        worker: usize,
        /// What the system said.
        source: std::io::Error,
    },
    /// Two things of one name.
    #[error("can't register metrics: is one API named twice?")]
    Metrics(#[from] prometheus::Error),
    /// A file can't be watched.
    #[error("can't watch the endpoints file {path}: its folder must exist and be readable")]
    Watch {
        /// The file.
        path: String,
        /// What the system said.
        source: notify::Error,
    },
}

/// Why an exchange with the upstream failed.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// No connection was made.
    #[error("can't connect")]
    Connect(#[source] std::io::Error),
    /// No connection was made in time.
    #[error("no connection within {0:?}")]
    ConnectTimeout(Duration),
    /// The HTTP handshake on a new connection failed, before a request was sent.
    #[error("can't begin HTTP")]
    Handshake(#[source] hyper::Error),
    /// The connection broke, or the answer was not HTTP.
    #[error("the exchange broke off")]
    Exchange(#[source] hyper::Error),
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { reason, retry_after_s: None }
    }
}
