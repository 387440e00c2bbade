//! How long requests took of late: at the least, which nobody can go below, and on average.

use super::two_windows::TwoWindows;
use std::time::{Duration, Instant};

/// Two of these give it its memory, as with the drain rate.
const BUCKET: Duration = Duration::from_secs(10);
/// Fewer requests than this say nothing.
const ENOUGH: u32 = 10;

/// Minimum and mean of service times over the last one to two buckets.
#[derive(Debug, Clone)]
pub struct ServiceTime(TwoWindows<Bucket>);

#[derive(Debug, Clone, Copy)]
struct Bucket {
    count: u32,
    shortest: Duration,
    sum: Duration,
}

// === impl ServiceTime ===

impl ServiceTime {
    /// Nothing is known yet.
    pub fn new(now: Instant) -> Self {
        Self(TwoWindows::new(BUCKET, now))
    }

    /// A request has run for so long.
    pub fn add(&mut self, ran: Duration, now: Instant) {
        let current = self.0.current(now);
        current.count = current.count.saturating_add(1);
        current.shortest = current.shortest.min(ran);
        current.sum = current.sum.saturating_add(ran);
    }

    /// The mean of late, or `None` if too little was seen.
    pub fn mean(&self, now: Instant) -> Option<Duration> {
        self.shortest(now)?;
        let (current, previous) = self.0.both();
        let count = current.count.saturating_add(previous.count);
        current.sum.saturating_add(previous.sum).checked_div(count)
    }

    /// The shortest of late, or `None` if too little was seen.
    pub fn shortest(&self, now: Instant) -> Option<Duration> {
        // Buckets roll when something is added; what is too old by then counts no more.
        if self.0.is_past(now) {
            return None;
        }
        let (current, previous) = self.0.both();
        let count = current.count.saturating_add(previous.count);
        (count >= ENOUGH).then(|| current.shortest.min(previous.shortest))
    }
}

// === impl Bucket ===

impl Default for Bucket {
    fn default() -> Self {
        Self { count: 0, shortest: Duration::MAX, sum: Duration::ZERO }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "simulated time needs a start")]
mod tests {
    use super::*;

    #[test]
    fn is_of_late_and_nothing_before_enough_was_seen() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let ms = Duration::from_millis;
        let mut time = ServiceTime::new(start);
        for _ in 0..9 {
            time.add(ms(50), at(1));
        }
        assert_eq!(time.shortest(at(1)), None);
        time.add(ms(70), at(1));
        assert_eq!(time.shortest(at(1)), Some(ms(50)));
        assert_eq!(time.mean(at(1)), Some(ms(52)));
        for _ in 0..10 {
            time.add(ms(90), at(12));
        }
        assert_eq!(time.shortest(at(12)), Some(ms(50)), "the bucket before still counts");
        time.add(ms(90), at(23));
        assert_eq!(time.shortest(at(23)), Some(ms(90)));
        assert_eq!(time.shortest(at(43)), None, "too long ago");
    }
}
