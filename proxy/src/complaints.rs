//! What would be said again and again while it lasts is said once in a while.

use std::time::{Duration, Instant};

/// From one time that it is said to the next.
const PAUSE: Duration = Duration::from_secs(10);

/// Remembers when it was said.
#[derive(Debug, Default)]
pub struct Complaints {
    last: Option<Instant>,
}

// === impl Complaints ===

impl Complaints {
    /// For what is normal for a while, from this time on.
    pub fn since(start: Instant) -> Self {
        Self { last: Some(start) }
    }

    /// Whether it is time to say it.
    pub fn may(&mut self, now: Instant) -> bool {
        let said = self.last.is_some_and(|last| now.saturating_duration_since(last) < PAUSE);
        if !said {
            self.last = Some(now);
        }
        !said
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "simulated time needs a start")]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_once_in_a_while() {
        let (mut complaints, start) = (Complaints::default(), Instant::now());
        let said =
            (0..250).filter(|tenths| complaints.may(start + Duration::from_millis(100) * *tenths));
        assert_eq!(said.collect::<Vec<_>>(), [0, 100, 200]);
    }
}
