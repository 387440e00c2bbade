//! What can end a request early, and what can keep the proxy from starting.

use std::net::SocketAddr;
use tidegate_api::reason::Reason;

/// A request that the proxy answers by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// For `Retry-After`, where coming back makes sense.
    pub retry_after_s: Option<u64>,
    /// Whether it is its client's own deadline that it can't meet.
    pub too_late: bool,
}

/// Why a request's body broke off.
#[derive(Debug, thiserror::Error)]
pub enum IncomingError {
    /// The connection ended or failed.
    #[error("the client left")]
    Gone,
    /// The framing is not what HTTP allows.
    #[error("the client's framing is malformed")]
    Malformed,
}

/// Why the proxy could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address can't be listened on.
    #[error("can't listen on {address} ({flag})")]
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
    /// The access log's thread can't be made.
    #[error("can't start the access log: the system refused a thread")]
    AccessLog(#[source] std::io::Error),
    /// The sockets of the process before can't be taken over, or none offered to the next.
    #[error("can't use {path} (--takeover) to take over from the process before: {what}")]
    Takeover {
        /// Where both meet.
        path: String,
        /// What went wrong.
        what: String,
    },
    /// Two things of one name.
    #[error("can't register metrics: is one API named twice?")]
    Metrics(#[from] prometheus::Error),
    /// A file can't be watched.
    #[error("can't watch {path}: its folder must exist and be readable")]
    Watch {
        /// The file.
        path: String,
        /// What the system said.
        source: notify::Error,
    },
    /// An API is split among others that are not there.
    #[error(
        "api {api}: {key} names {other}, which is not among the documents or splits its own requests"
    )]
    Dangling {
        /// The API.
        api: String,
        /// Where it does.
        key: &'static str,
        /// What it names.
        other: String,
    },
    /// A certificate, its key or those who are believed can't be used.
    #[error("can't use {path} ({flag}): {what}")]
    Tls {
        /// The flag that names it.
        flag: &'static str,
        /// The file.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// A file of API keys can't be used.
    #[error("can't use {path} (spec.access.apiKeys.file): {what}")]
    Keys {
        /// The file.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// The file of live settings is there and can't be used.
    #[error("can't use {path} (--config): {what}")]
    Config {
        /// The file.
        path: String,
        /// What is wrong in it and what it must be.
        what: String,
    },
}

/// An error with all its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { reason, retry_after_s: None, too_late: false }
    }
}
