//! How long requests took of late: at the least, which nobody can go below, and on average.

use std::time::{Duration, Instant};

/// Two of these give it its memory, as with the drain rate.
const BUCKET: Duration = Duration::from_secs(10);
/// Fewer requests than this say nothing.
const ENOUGH: u32 = 10;

/// Minimum and mean of service times over the last one to two buckets.
#[derive(Debug, Clone)]
pub struct ServiceTime {
    bucket_start: Instant,
    current: Bucket,
    previous: Bucket,
}

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
        Self { bucket_start: now, current: Bucket::EMPTY, previous: Bucket::EMPTY }
    }

    /// A request has run for so long.
    pub fn add(&mut self, ran: Duration, now: Instant) {
        let elapsed = now.saturating_duration_since(self.bucket_start);
        if elapsed >= BUCKET {
            self.previous = if elapsed < 2 * BUCKET { self.current } else { Bucket::EMPTY };
            self.current = Bucket::EMPTY;
            self.bucket_start = now;
        }
        self.current.count = self.current.count.saturating_add(1);
        self.current.shortest = self.current.shortest.min(ran);
        self.current.sum = self.current.sum.saturating_add(ran);
    }

    /// The mean of late, or `None` if too little was seen.
    pub fn mean(&self, now: Instant) -> Option<Duration> {
        self.shortest(now)?;
        let count = self.current.count.saturating_add(self.previous.count);
        self.current.sum.saturating_add(self.previous.sum).checked_div(count)
    }

    /// The shortest of late, or `None` if too little was seen.
    pub fn shortest(&self, now: Instant) -> Option<Duration> {
        // Buckets roll when something is added; what is too old by then counts no more.
        if now.saturating_duration_since(self.bucket_start) >= 2 * BUCKET {
            return None;
        }
        let count = self.current.count.saturating_add(self.previous.count);
        (count >= ENOUGH).then(|| self.current.shortest.min(self.previous.shortest))
    }
}

// === impl Bucket ===

impl Bucket {
    const EMPTY: Self = Self { count: 0, shortest: Duration::MAX, sum: Duration::ZERO };
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
