//! The only file that reads a clock.

use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// What lies before the beginning: time that an earlier process has seen, as long as a rule may
/// remember.
const BEFORE: Duration = Duration::from_secs(31 * 86_400);

/// A monotonic clock. Its own beginning is not 0, so that moments before it can be told.
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
        BEFORE + Instant::now().saturating_duration_since(self.start)
    }

    /// The time of day, since the Unix epoch. It may go back; only schedules go by it.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    pub(crate) fn wall(&self) -> Duration {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }

    /// The time that has passed between the clock's beginning and `moment`.
    pub(crate) fn since_start(moment: Duration) -> Duration {
        moment.saturating_sub(BEFORE)
    }

    /// Sleeps until `moment` by this clock; not at all if that has passed.
    pub(crate) async fn sleep_until(&self, moment: Duration) {
        tokio::time::sleep_until(self.start + Self::since_start(moment)).await;
    }
}
