//! Time integral of a count: exact averages between any two readings, whatever the interval.

use std::time::{Duration, Instant};

/// Integral over time of a count that changes in steps.
#[derive(Debug, Clone)]
pub struct Integral {
    count: u32,
    since: Instant,
    /// Count times nanoseconds. 2^128 holds 2^32 requests for longer than there is time.
    area_ns: u128,
}

impl Integral {
    /// Starts at a count of zero.
    pub fn new(now: Instant) -> Self {
        Self { count: 0, since: now, area_ns: 0 }
    }

    /// The count from `now` on.
    pub fn set(&mut self, count: u32, now: Instant) {
        self.advance(now);
        self.count = count;
    }

    /// The count now.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The integral up to `now`, in count-seconds.
    pub fn seconds(&self, now: Instant) -> f64 {
        let pending = area_ns(self.count, now.saturating_duration_since(self.since));
        (self.area_ns + pending) as f64 / 1e9
    }

    fn advance(&mut self, now: Instant) {
        self.area_ns += area_ns(self.count, now.saturating_duration_since(self.since));
        // Threads read the clock before they take the lock: an older `now` must not turn time back.
        self.since = self.since.max(now);
    }
}

fn area_ns(count: u32, elapsed: Duration) -> u128 {
    u128::from(count) * elapsed.as_nanos()
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "simulated time needs a start")]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn adds_count_times_time() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut integral = Integral::new(start);
        integral.set(2, at(1_000));
        integral.set(5, at(3_000));
        integral.set(0, at(3_100));
        assert!((integral.seconds(at(9_000)) - 4.5).abs() < 1e-9);
    }

    #[test]
    fn a_late_reading_of_an_early_clock_adds_nothing_twice() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut integral = Integral::new(start);
        integral.set(1, at(0));
        integral.set(2, at(1_000));
        integral.set(1, at(500));
        assert!((integral.seconds(at(2_000)) - 2.0).abs() < 1e-9);
    }

    /// Knative's published cases (Serving's networking, Apache-2.0; the file names its source): reports
    /// of the average between two readings, to the number. What came over a gateway is not told apart
    /// here: a gateway counts only what it has not handed on yet, so nothing is counted twice.
    #[test]
    fn averages_between_two_readings_are_knatives() {
        let file: Value =
            serde_json::from_str(include_str!("integral/request_stats.json")).unwrap();
        let start = Instant::now();
        for case in file["cases"].as_array().unwrap() {
            let mut integral = Integral::new(start);
            let (mut before, mut reported, mut came) = (start, 0.0, 0);
            let mut wanted = case["want_reports"].as_array().unwrap().iter();
            for event in case["events"].as_array().unwrap() {
                let now = start + Duration::from_millis(event[1].as_u64().unwrap());
                match event[0].as_str().unwrap() {
                    "in" | "inP" => {
                        integral.set(integral.count() + 1, now);
                        came += 1;
                    }
                    "out" | "outP" => integral.set(integral.count() - 1, now),
                    "report" => {
                        let want = wanted.next().unwrap();
                        let (sum, elapsed) = (integral.seconds(now), (now - before).as_secs_f64());
                        let average = (sum - reported) / elapsed;
                        let off = average - want["avg_concurrency"].as_f64().unwrap();
                        assert!(off.abs() < 1e-9, "{}: {average}", case["name"]);
                        assert_eq!(want["requests"], came, "{}", case["name"]);
                        (before, reported, came) = (now, sum, 0);
                    }
                    other => panic!("{other}"),
                }
            }
            assert!(wanted.next().is_none());
        }
    }
}
