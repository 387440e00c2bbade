//! The only file that reads a clock. The autoscaler has one of its own, as it can be built without this crate.

use k8s_openapi::jiff::Timestamp;
use std::time::Duration;
use tokio::time::Instant;

/// A monotonic clock. It goes on while the process is stopped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that begins now.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// The time by this clock.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    pub(crate) fn now(&self) -> Duration {
        Instant::now().saturating_duration_since(self.start)
    }

    /// The time of day, for those who read objects. Nothing is decided by it.
    pub(crate) fn wall() -> Timestamp {
        Timestamp::now()
    }
}
