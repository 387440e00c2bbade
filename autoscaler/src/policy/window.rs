//! Average in-flight requests over the last seconds, kept in a ring of one-second buckets.
//!
//! A bucket keeps two sums: request-seconds seen, and seconds seen. A window's average is the first
//! divided by the second, so it is exact whatever the length of the spans that were recorded.
//!
//! A second without a sample is unknown. It is no zero (a scrape that failed is no idle server) and
//! does not vanish either: the average is over what is known, and [`Average::filled`] says how
//! much that is, so that a caller can refuse to shrink on too little.

use super::snapshot::{Snapshot, age, moment};
use std::time::Duration;

/// The longest window, one day: bounds the memory of one API to 2 MiB.
const MOST_BUCKETS: u64 = 86_400;

/// A ring of one-second buckets.
#[derive(Debug, Clone)]
pub struct Window {
    buckets: Vec<Bucket>,
}

/// What is known about one second.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    /// Which second since the beginning, plus one; 0 is a bucket never used.
    stamp: u64,
    /// Request-seconds.
    area: f64,
    /// Seconds of this second that were seen.
    covered: f64,
}

/// The average over a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Average {
    /// Requests in flight, over the part of the window that is known.
    pub value: f64,
    /// The known part of the window, from above 0 to 1.
    pub filled: f64,
}

impl Window {
    /// A ring that can answer for windows up to `longest`.
    pub fn new(longest: Duration) -> Self {
        let seconds = whole_seconds(longest).min(MOST_BUCKETS);
        Self { buckets: (0..seconds).map(|_| Bucket::default()).collect() }
    }

    /// Records that from `from` to `to` there were `average` requests in flight.
    ///
    /// Ignored: what is no number, negative, or ends before it begins; and the part that is older
    /// than the ring is long.
    pub fn record(&mut self, from: Duration, to: Duration, average: f64) {
        if !average.is_finite() || average < 0.0 || to <= from {
            return;
        }
        let length = self.buckets.len() as u64;
        let (from, to) = (from.as_secs_f64(), to.as_secs_f64());
        let last = to.ceil() as u64;
        let first = (from.floor() as u64).max(last.saturating_sub(length));
        for second in first..last {
            let start = second as f64;
            let seen = to.min(start + 1.0) - from.max(start);
            if seen > 0.0 {
                self.add(second, seen, average);
            }
        }
    }

    /// The average over the `length` before `now`, or nothing where no sample lies in it.
    pub fn over(&self, length: Duration, now: Duration) -> Option<Average> {
        let ring = self.buckets.len() as u64;
        let seconds = whole_seconds(length).min(ring);
        // The second that ends at `now` or contains it is the window's last.
        let end = now.as_secs_f64().ceil() as u64;
        let mut area = 0.0;
        let mut covered = 0.0;
        for second in end.saturating_sub(seconds)..end {
            let bucket = self.buckets[(second % ring) as usize];
            if bucket.stamp == second + 1 {
                area += bucket.area;
                covered += bucket.covered;
            }
        }
        if covered <= 0.0 {
            return None;
        }
        let knowable = seconds as f64 - (end as f64 - now.as_secs_f64());
        Some(Average { value: area / covered, filled: (covered / knowable).min(1.0) })
    }

    /// Writes down each second that is known: its age, request-seconds and seconds seen.
    pub(super) fn save(&self, name: &str, to: &mut Snapshot, now: Duration) {
        let mut known: Vec<&Bucket> = self.buckets.iter().filter(|one| one.stamp > 0).collect();
        known.sort_by_key(|bucket| bucket.stamp);
        let row = |bucket: &Bucket| {
            [age(Duration::from_secs(bucket.stamp - 1), now), bucket.area, bucket.covered]
        };
        to.put(name, known.into_iter().map(row));
    }

    /// Records what was written down at `taken`.
    pub(super) fn load(&mut self, name: &str, from: &Snapshot, taken: Duration) {
        for [age, area, covered] in from.rows(name) {
            let Some(start) = moment(age, taken) else { continue };
            if covered > 0.0 && covered <= 1.0 {
                self.record(start, start + Duration::from_secs_f64(covered), area / covered);
            }
        }
    }

    fn add(&mut self, second: u64, seen: f64, average: f64) {
        let index = (second % self.buckets.len() as u64) as usize;
        let bucket = &mut self.buckets[index];
        let stamp = second + 1;
        if bucket.stamp > stamp {
            return; // The ring has moved on; this is older than the window.
        }
        if bucket.stamp < stamp {
            *bucket = Bucket { stamp, ..Bucket::default() };
        }
        bucket.area += average * seen;
        bucket.covered += seen;
    }
}

/// A length in whole seconds, rounded up, at least one.
fn whole_seconds(length: Duration) -> u64 {
    length.as_secs().saturating_add(u64::from(length.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn spans_that_cross_seconds_are_weighed_by_their_length() {
        let mut window = Window::new(at(10.0));
        window.record(at(0.4), at(1.4), 2.0);
        window.record(at(1.4), at(3.9), 6.0);
        let average = window.over(at(10.0), at(3.9)).unwrap();
        assert!((average.value - (2.0 + 15.0) / 3.5).abs() < 1e-12, "{average:?}");
        let short = window.over(at(1.0), at(3.9)).unwrap();
        assert!((short.value - 6.0).abs() < 1e-12);
        assert!((short.filled - 1.0).abs() < 1e-9, "{short:?}");
    }

    #[test]
    fn a_gap_is_neither_zero_nor_forgotten() {
        let mut window = Window::new(at(10.0));
        window.record(at(0.0), at(2.0), 4.0);
        window.record(at(7.0), at(10.0), 4.0);
        let average = window.over(at(10.0), at(10.0)).unwrap();
        assert_eq!(average, Average { value: 4.0, filled: 0.5 });
    }

    #[test]
    fn nothing_known_is_no_average() {
        let mut window = Window::new(at(5.0));
        assert_eq!(window.over(at(5.0), at(3.0)), None);
        window.record(at(0.0), at(1.0), 4.0);
        assert_eq!(window.over(at(5.0), at(6.0)), None);
    }

    #[test]
    fn what_is_no_load_is_ignored() {
        let mut window = Window::new(at(5.0));
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0] {
            window.record(at(0.0), at(1.0), bad);
        }
        window.record(at(2.0), at(2.0), 1.0);
        window.record(at(3.0), at(2.0), 1.0);
        assert_eq!(window.over(at(5.0), at(4.0)), None);
    }

    #[test]
    fn a_span_longer_than_the_ring_keeps_its_newest_part() {
        let mut window = Window::new(at(3.0));
        window.record(at(0.0), at(1000.5), 7.0);
        let average = window.over(at(3.0), at(1000.5)).unwrap();
        assert!((average.value - 7.0).abs() < 1e-12);
        assert!((average.filled - 1.0).abs() < 1e-9);
    }
}
