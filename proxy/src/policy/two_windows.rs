//! What was seen of late: over the last one to two windows of time, with two values kept.

use std::time::{Duration, Instant};

/// What was seen in the window that runs, and in the one before.
#[derive(Debug, Clone)]
pub struct TwoWindows<T> {
    length: Duration,
    began: Instant,
    /// When the window that runs is over: to compare is cheaper than to subtract.
    ends: Instant,
    current: T,
    previous: T,
}

// === impl TwoWindows ===

impl<T: Copy + Default> TwoWindows<T> {
    /// Nothing was seen; a window is so long.
    pub fn new(length: Duration, now: Instant) -> Self {
        let (current, previous) = (T::default(), T::default());
        Self { length, began: now, ends: now + length, current, previous }
    }

    /// The window that runs, to be added to. A window runs from the first look after the end of the
    /// one before.
    pub fn current(&mut self, now: Instant) -> &mut T {
        if now >= self.ends {
            self.previous = if self.is_past(now) { T::default() } else { self.current };
            (self.current, self.began, self.ends) = (T::default(), now, now + self.length);
        }
        &mut self.current
    }

    /// What both have seen, as of the last look.
    pub fn both(&self) -> (T, T) {
        (self.current, self.previous)
    }

    /// Whether all of it is too old.
    pub fn is_past(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.began) >= 2 * self.length
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "simulated time needs a start")]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_two_windows_is_gone() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut seen = TwoWindows::new(Duration::from_secs(10), start);
        for (seconds, expected) in [
            (0, (1, 0)),
            (9, (2, 0)),
            (10, (1, 2)),
            // It runs from 10 on, not from a fixed grid.
            (19, (2, 2)),
            (25, (1, 2)),
            (45, (1, 0)),
        ] {
            *seen.current(at(seconds)) += 1;
            assert_eq!(seen.both(), expected, "at {seconds} s");
        }
        assert!(!seen.is_past(at(64)) && seen.is_past(at(65)));
    }
}
