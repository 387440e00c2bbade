//! Arrivals over the last minutes: how many came in any stretch of that time.
//!
//! Kept are running totals at the ends of the samples, so the number in a stretch is a difference of
//! two totals, and a stretch that no sample covers is unknown, not empty.

use super::observation::is_load;
use super::snapshot::Snapshot;
use std::collections::VecDeque;
use std::time::Duration;

/// Samples that are closer together, in seconds, are joined: bounds the memory.
const CLOSEST: f64 = 0.5;

/// A window of which less is known does not speak.
const KNOWN: f64 = 0.75;

/// Standard deviations that chance is given: with a look each second at ten windows, of which the
/// short ones are independent, a false alarm comes less than once an hour, and then only by what it
/// is beyond them.
pub(super) const CONFIDENCE: f64 = 4.0;

/// Arrivals of the last minutes.
#[derive(Debug, Clone)]
pub struct Arrivals {
    marks: VecDeque<Mark>,
    /// How far it looks back, in seconds.
    reach: f64,
}

/// Totals up to a moment.
#[derive(Debug, Clone, Copy)]
struct Mark {
    /// Seconds.
    at: f64,
    count: f64,
    /// Seconds that samples cover.
    seen: f64,
}

/// What came in a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// Requests.
    pub count: f64,
    /// Seconds of the stretch that are known.
    pub seen: f64,
}

impl Arrivals {
    /// Nothing seen yet; remembers so many seconds.
    pub fn new(reach: f64) -> Self {
        Self { marks: VecDeque::new(), reach }
    }

    /// Records `rate` requests a second from `from` to `to`.
    ///
    /// Ignored: what is no number, negative, or ends before it begins; and what was recorded before.
    pub fn record(&mut self, from: Duration, to: Duration, rate: f64) {
        let (from, to) = (from.as_secs_f64(), to.as_secs_f64());
        let last = self.marks.back().copied().unwrap_or(Mark { at: from, count: 0.0, seen: 0.0 });
        let from = from.max(last.at);
        if !rate.is_finite() || rate < 0.0 || to <= from {
            return;
        }
        let newest = self.marks.len();
        if newest == 0 || from > last.at {
            self.marks.push_back(Mark { at: from, ..last });
        } else if newest > 1 && to - self.marks[newest - 2].at < CLOSEST {
            self.marks.pop_back();
        }
        let seconds = to - from;
        let (count, seen) = (last.count + rate * seconds, last.seen + seconds);
        self.marks.push_back(Mark { at: to, count, seen });
        while self.marks.get(1).is_some_and(|second| second.at <= to - self.reach) {
            self.marks.pop_front();
        }
    }

    /// What came from `older` to `newer` seconds before `now`.
    pub fn between(&self, older: f64, newer: f64, now: Duration) -> Span {
        let now = now.as_secs_f64();
        let (from, to) = (self.until(now - older), self.until(now - newer));
        Span { count: to.count - from.count, seen: to.seen - from.seen }
    }

    pub(super) fn save(&self, name: &str, to: &mut Snapshot, now: Duration) {
        let now = now.as_secs_f64();
        to.put(name, self.marks.iter().map(|mark| [now - mark.at, mark.count, mark.seen]));
    }

    /// Marks that were written down at `taken`, as far as each says no less than the one before.
    pub(super) fn load(&mut self, name: &str, from: &Snapshot, taken: Duration) {
        let mark = |[age, count, seen]: [f64; 3]| {
            let is_sound = [age, count, seen].into_iter().all(is_load);
            is_sound.then_some(Mark { at: taken.as_secs_f64() - age, count, seen })
        };
        for next in from.rows(name).filter_map(mark) {
            let grows = |last: &Mark| {
                next.at > last.at && next.count >= last.count && next.seen >= last.seen
            };
            if self.marks.back().is_none_or(grows) {
                self.marks.push_back(next);
            }
        }
    }

    /// The totals up to a moment, even within a sample.
    fn until(&self, at: f64) -> Span {
        let after = self.marks.partition_point(|mark| mark.at <= at);
        let span = |mark: &Mark| Span { count: mark.count, seen: mark.seen };
        match (after.checked_sub(1).and_then(|index| self.marks.get(index)), self.marks.get(after))
        {
            (Some(before), Some(next)) => {
                let share = (at - before.at) / (next.at - before.at);
                Span {
                    count: before.count + share * (next.count - before.count),
                    seen: before.seen + share * (next.seen - before.seen),
                }
            }
            (Some(mark), None) | (None, Some(mark)) => span(mark),
            (None, None) => Span { count: 0.0, seen: 0.0 },
        }
    }
}

impl Span {
    /// Requests a second, where anything is known.
    pub fn rate(&self) -> Option<f64> {
        (self.seen > 0.0).then(|| self.count / self.seen)
    }

    /// Whether enough is known of a stretch of `length` seconds for it to speak.
    pub(super) fn is_known(&self, length: f64) -> bool {
        self.seen >= KNOWN * length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_stretch_may_begin_and_end_within_samples() {
        let mut arrivals = Arrivals::new(100.0);
        arrivals.record(at(0.0), at(2.0), 10.0);
        arrivals.record(at(2.0), at(4.0), 30.0);
        let span = arrivals.between(3.0, 1.0, at(4.0));
        assert_eq!(span, Span { count: 40.0, seen: 2.0 });
        assert_eq!(arrivals.between(9.0, 0.0, at(4.0)), Span { count: 80.0, seen: 4.0 });
    }

    #[test]
    fn a_gap_is_unknown_and_what_overlaps_counts_once() {
        let mut arrivals = Arrivals::new(100.0);
        arrivals.record(at(0.0), at(2.0), 10.0);
        arrivals.record(at(6.0), at(8.0), 10.0);
        arrivals.record(at(7.0), at(9.0), 10.0);
        assert_eq!(arrivals.between(9.0, 0.0, at(9.0)), Span { count: 50.0, seen: 5.0 });
        assert_eq!(arrivals.between(6.0, 4.0, at(9.0)).rate(), None);
    }

    #[test]
    fn what_is_no_rate_is_ignored_and_memory_is_bounded() {
        let mut arrivals = Arrivals::new(10.0);
        for bad in [f64::NAN, f64::INFINITY, -1.0] {
            arrivals.record(at(0.0), at(1.0), bad);
        }
        arrivals.record(at(3.0), at(2.0), 1.0);
        assert_eq!(arrivals.between(9.0, 0.0, at(3.0)).rate(), None);
        for tenth in 0..10_000_u32 {
            arrivals.record(at(f64::from(tenth) / 10.0), at(f64::from(tenth + 1) / 10.0), 5.0);
        }
        assert!(arrivals.marks.len() < 50, "{}", arrivals.marks.len());
        let rate = arrivals.between(8.0, 0.0, at(1000.0)).rate().unwrap();
        assert!((rate - 5.0).abs() < 1e-6);
    }
}
