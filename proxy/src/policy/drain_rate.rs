//! How fast a queue empties, for `Retry-After`.

use std::time::{Duration, Instant};

/// Two of these give the rate its memory: long enough to see slow models, short enough to follow.
const BUCKET: Duration = Duration::from_secs(10);
/// One completion in the first milliseconds is not yet a rate.
const SHORTEST_AVERAGE: Duration = Duration::from_secs(1);
/// Never tell a client to come back sooner: a refused request costs both sides.
const RETRY_AFTER_MIN_S: u64 = 1;
/// Never send a client away for longer: replicas may have been added by then.
const RETRY_AFTER_MAX_S: u64 = 60;

/// Completions a second, over the last one to two buckets.
#[derive(Debug, Clone)]
pub struct DrainRate {
    bucket_start: Instant,
    /// To compare is cheaper than to subtract.
    bucket_end: Instant,
    current: u32,
    /// `None` until a whole bucket has passed: then only what was seen so far is averaged.
    previous: Option<u32>,
}

impl DrainRate {
    /// Begins with no completions.
    pub fn new(now: Instant) -> Self {
        Self { bucket_start: now, bucket_end: now + BUCKET, current: 0, previous: None }
    }

    /// Counts one completion.
    pub fn completed(&mut self, now: Instant) {
        self.roll(now);
        self.current = self.current.saturating_add(1);
    }

    /// Seconds after which a place in a queue of `waiting` is likely free, within 1 to 60.
    pub fn retry_after_s(&mut self, waiting: u32, now: Instant) -> u64 {
        let rate = self.per_second(now);
        if rate <= 0.0 {
            return RETRY_AFTER_MIN_S;
        }
        // `as` saturates, and the clamp bounds what is left.
        ((f64::from(waiting) / rate).ceil() as u64).clamp(RETRY_AFTER_MIN_S, RETRY_AFTER_MAX_S)
    }

    fn per_second(&mut self, now: Instant) -> f64 {
        self.roll(now);
        let into = now.saturating_duration_since(self.bucket_start).as_secs_f64();
        let bucket = BUCKET.as_secs_f64();
        match self.previous {
            Some(previous) => {
                (f64::from(self.current) + f64::from(previous) * (1.0 - into / bucket)) / bucket
            }
            None => f64::from(self.current) / into.max(SHORTEST_AVERAGE.as_secs_f64()),
        }
    }

    fn roll(&mut self, now: Instant) {
        if now < self.bucket_end {
            return;
        }
        let elapsed = now.saturating_duration_since(self.bucket_start);
        if elapsed >= 2 * BUCKET {
            (self.previous, self.current, self.bucket_start) = (Some(0), 0, now);
        } else if elapsed >= BUCKET {
            (self.previous, self.current) = (Some(self.current), 0);
            self.bucket_start += BUCKET;
        }
        self.bucket_end = self.bucket_start + BUCKET;
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "simulated time needs a start")]
mod tests {
    use super::*;

    #[test]
    fn the_wait_is_the_queue_over_the_rate() {
        let start = Instant::now();
        let mut rate = DrainRate::new(start);
        for ms in (0..10_000).step_by(500) {
            rate.completed(start + Duration::from_millis(ms));
        }
        // Twenty completions in ten seconds: two a second, so forty waiting take twenty seconds.
        assert_eq!(rate.retry_after_s(40, start + Duration::from_millis(9_999)), 20);
    }

    #[test]
    fn a_young_process_averages_over_what_it_has_seen() {
        let start = Instant::now();
        let mut rate = DrainRate::new(start);
        for _ in 0..8 {
            rate.completed(start);
        }
        // Eight completions in two seconds, not in ten.
        assert_eq!(rate.retry_after_s(20, start + Duration::from_secs(2)), 5);
    }

    #[test]
    fn the_answer_has_bounds() {
        let start = Instant::now();
        let mut rate = DrainRate::new(start);
        assert_eq!(rate.retry_after_s(100, start), 1);
        rate.completed(start);
        assert_eq!(rate.retry_after_s(1_000_000, start), 60);
        assert_eq!(rate.retry_after_s(1_000_000, start + 3 * BUCKET), 1);
    }
}
