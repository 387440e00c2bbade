//! From samples to the average number of requests in flight between two of them. Pure.
//!
//! A counter of request-seconds is read twice: its growth over the time between, by our own clock,
//! is the exact average. Where that can't be had, a rule says what counts instead:
//!
//! - first sample (a fresh replica): the requests it holds right now;
//! - counter went back (it was restarted): likewise, and measuring begins anew;
//! - lost scrape: as busy as it last was. The next scrape measures the whole time since the last one, so
//!   nothing is lost by a gap. What was said in the last [`LATELY`] still counts; older, it is a guess, and
//!   nothing shrinks by it. Else many sources, each lost now and then, would let nothing shrink ever.

use crate::policy::observation::{LATELY, Load};
use std::time::Duration;

/// One source's counter and what it said last.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    last: Option<(Duration, f64)>,
    average: f64,
}

/// What one source adds to the load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Part {
    /// Requests in flight on average.
    average: f64,
    /// Since when that was measured; nothing where it is this moment's number or a guess.
    from: Option<Duration>,
    /// Whether the source was asked in vain.
    lost: bool,
    /// Whether it is what the source said too long ago.
    guess: bool,
}

impl Meter {
    /// A sample: `counter` request-seconds at `at`, and `now` requests held at that moment.
    pub fn read(&mut self, at: Duration, counter: f64, now: u32) -> Part {
        let before = self.last.replace((at, counter));
        let measured = before.and_then(|(from, old)| {
            let seconds = at.saturating_sub(from).as_secs_f64();
            (counter >= old && seconds > 0.0).then(|| (from, (counter - old) / seconds))
        });
        let (from, average) = match measured {
            Some((from, average)) => (Some(from), average),
            None => (None, f64::from(now)),
        };
        self.average = average;
        Part { average, from, lost: false, guess: false }
    }

    /// No sample, as it was not its turn: as busy as it last was.
    pub fn unread(&self) -> Part {
        Part { average: self.average, from: None, lost: false, guess: false }
    }

    /// A scrape that was lost at `now`.
    pub fn lost(&self, now: Duration) -> Part {
        let guess = self.last.is_none_or(|(at, _)| now.saturating_sub(at) > LATELY);
        Part { average: self.average, from: None, lost: true, guess }
    }
}

/// The load of one API.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Total {
    /// Nothing where every source was lost.
    pub load: Option<Load>,
    /// Whether no part is a guess.
    pub complete: bool,
    /// Whether a part is what its source said earlier, as it was asked in vain.
    pub lost: bool,
}

/// Adds the parts up. `previous` is when the load was last known.
///
/// No sources at all (no replicas, no gateway) is a known load of zero.
pub fn total(parts: &[Part], previous: Duration) -> Total {
    let complete = parts.iter().all(|part| !part.guess);
    let lost = parts.iter().any(|part| part.lost);
    if !parts.is_empty() && parts.iter().all(|part| part.lost) {
        return Total { load: None, complete, lost };
    }
    let from = parts.iter().filter_map(|part| part.from).min();
    let load = Load {
        from: from.map_or(previous, |from| from.max(previous)),
        average: parts.iter().map(|part| part.average).sum(),
    };
    Total { load: Some(load), complete, lost }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn growth_over_our_own_time_is_the_average() {
        let mut meter = Meter::default();
        assert_eq!(
            meter.read(at(1.0), 10.0, 3),
            Part { average: 3.0, from: None, lost: false, guess: false }
        );
        assert_eq!(
            meter.read(at(3.0), 15.0, 9),
            Part { average: 2.5, from: Some(at(1.0)), lost: false, guess: false }
        );
    }

    #[test]
    fn a_counter_that_went_back_counts_with_what_it_holds_and_begins_anew() {
        let mut meter = Meter::default();
        meter.read(at(1.0), 10.0, 3);
        assert_eq!(
            meter.read(at(2.0), 0.5, 4),
            Part { average: 4.0, from: None, lost: false, guess: false }
        );
        assert_eq!(meter.read(at(3.0), 2.5, 0).average, 2.0);
    }

    #[test]
    fn a_lost_scrape_counts_as_busy_as_before_and_the_next_measures_the_whole_gap() {
        let mut meter = Meter::default();
        meter.read(at(1.0), 10.0, 3);
        meter.read(at(2.0), 14.0, 3);
        let lost = |guess| Part { average: 4.0, from: None, lost: true, guess };
        assert_eq!(meter.lost(at(3.0)), lost(false));
        assert_eq!(meter.lost(at(8.0)), lost(false), "what it said six seconds ago still counts");
        assert_eq!(meter.lost(at(8.1)), lost(true));
        assert!(Meter::default().lost(at(1.0)).guess, "it never said anything");
        assert_eq!(
            meter.read(at(4.0), 16.0, 0),
            Part { average: 1.0, from: Some(at(2.0)), lost: false, guess: false }
        );
    }

    #[test]
    fn two_samples_of_one_moment_divide_by_nothing() {
        let mut meter = Meter::default();
        meter.read(at(1.0), 10.0, 3);
        assert_eq!(meter.read(at(1.0), 12.0, 5).average, 5.0);
    }

    #[test]
    fn the_total_is_known_unless_every_source_was_lost() {
        let known = Part { average: 2.0, from: Some(at(4.0)), lost: false, guess: false };
        let guess = Part { average: 3.0, from: None, lost: true, guess: true };
        let late = Part { guess: false, ..guess };
        let load = |from, average| Some(Load { from: at(from), average });
        for (parts, previous, want) in [
            (vec![], 5.0, Total { load: load(5.0, 0.0), complete: true, lost: false }),
            (vec![known], 3.0, Total { load: load(4.0, 2.0), complete: true, lost: false }),
            (vec![known], 4.5, Total { load: load(4.5, 2.0), complete: true, lost: false }),
            (vec![known, guess], 4.0, Total { load: load(4.0, 5.0), complete: false, lost: true }),
            (vec![known, late], 4.0, Total { load: load(4.0, 5.0), complete: true, lost: true }),
            (vec![guess], 4.0, Total { load: None, complete: false, lost: true }),
            (vec![late], 4.0, Total { load: None, complete: true, lost: true }),
        ] {
            assert_eq!(total(&parts, at(previous)), want, "{parts:?}");
        }
    }
}
