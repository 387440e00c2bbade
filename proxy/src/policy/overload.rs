//! When newest first is better than oldest first: CoDel's rule for a queue that is late for good.

use std::time::{Duration, Instant};

/// In which order one tenant's requests are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QueueOrder {
    /// First come, first served.
    #[default]
    Fifo,
    /// The newest first while the oldest has waited for longer than `target` all through a time of
    /// `target`: those who came first have likely given up, and serving them would make all late.
    LifoOnOverload {
        /// How long a wait is no overload. A burst that is gone within twice this changes nothing.
        target: Duration,
    },
}

/// Whether a queue has been late for an interval without a break. (Nichols and Jacobson,
/// "Controlling Queue Delay", ACM Queue 2012; with its consequence as in Maurer, "Fail at Scale",
/// ACM Queue 2015. Here the interval is the target, so that there is one number to choose, and what
/// is measured is the oldest waiter: the newest, served first, would seem to end every overload.)
#[derive(Debug, Default)]
pub struct Lateness {
    since: Option<Instant>,
}

// === impl Lateness ===

impl Lateness {
    /// Whether the newest is next in a line whose oldest waiter came at `oldest`.
    pub fn newest_first(&mut self, order: QueueOrder, oldest: Instant, now: Instant) -> bool {
        let QueueOrder::LifoOnOverload { target } = order else { return false };
        if now.saturating_duration_since(oldest) <= target {
            self.since = None;
            return false;
        }
        now.saturating_duration_since(*self.since.get_or_insert(now)) >= target
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "simulated time needs a start")]
mod tests {
    use super::*;

    #[test]
    fn is_late_only_after_a_whole_interval_above_the_target() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let order = QueueOrder::LifoOnOverload { target: Duration::from_millis(100) };
        let mut lateness = Lateness::default();
        for (oldest, now, expected) in [
            (0, 100, false),   // on the target
            (0, 150, false),   // above it, the interval begins
            (100, 249, false), // 99 ms later
            (100, 250, true),  // 100 ms later
            (200, 400, true),  // still above
            (350, 410, false), // below: it is over
            (350, 460, false), // and begins anew
            (400, 560, true),
        ] {
            assert_eq!(lateness.newest_first(order, at(oldest), at(now)), expected, "at {now}");
        }
        assert!(!lateness.newest_first(QueueOrder::Fifo, at(0), at(60_000)));
    }
}
