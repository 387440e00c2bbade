//! Who may wake APIs: on one machine whoever reaches the port, on a cluster whom its API server knows.

use hyper::StatusCode;
use std::pin::Pin;
use std::sync::Arc;

/// Judges who comes with this token.
pub(crate) type Door = Arc<
    dyn Fn(Option<String>) -> Pin<Box<dyn Future<Output = Result<(), Closed>> + Send>>
        + Send
        + Sync,
>;

/// Why somebody may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Closed {
    /// What it is answered with.
    pub(crate) status: StatusCode,
    /// A sentence.
    pub(crate) what: String,
}
