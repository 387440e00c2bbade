//! A percentile of times, as of late, in fixed memory: a histogram whose steps grow by a tenth.

use super::two_windows::TwoWindows;
use std::time::{Duration, Instant};

/// Two of these give it its memory.
const WINDOW: Duration = Duration::from_secs(10);
/// Fewer times than this say nothing of the slowest of them.
const ENOUGH: u32 = 50;
/// The first step ends here,
const FIRST_S: f64 = 1e-4;
/// and each further one at so many times the one before.
const GROWTH: f64 = 1.1;
/// The last step, which has no end, begins after half an hour.
const STEPS: usize = 176;
/// Where each step ends, in seconds. A logarithm would say which step it is, and bring a library of its
/// own into the process for that.
const ENDS_S: [f64; STEPS] = ends();

/// Times over the last one to two windows.
#[derive(Debug, Clone)]
pub struct Percentile(TwoWindows<Steps>);

#[derive(Debug, Clone, Copy)]
struct Steps([u32; STEPS]);

// === impl Percentile ===

impl Percentile {
    /// Nothing was seen.
    pub fn new(now: Instant) -> Self {
        Self(TwoWindows::new(WINDOW, now))
    }

    /// Something took so long.
    pub fn add(&mut self, took: Duration, now: Instant) {
        let took = took.as_secs_f64();
        let step = ENDS_S.partition_point(|end| *end < took);
        if let Some(count) = self.0.current(now).0.get_mut(step.min(STEPS - 1)) {
            *count = count.saturating_add(1);
        }
    }

    /// What this share of the times did not exceed, to a tenth, or `None` if too few were seen.
    pub fn at(&mut self, share: f64, now: Instant) -> Option<Duration> {
        self.0.current(now);
        let (current, previous) = self.0.both();
        let counts = || current.0.iter().zip(&previous.0).map(|(a, b)| a.saturating_add(*b));
        let all: u32 = counts().fold(0, u32::saturating_add);
        if all < ENOUGH {
            return None;
        }
        let wanted = (share * f64::from(all)).ceil();
        let mut seen = 0.0;
        let step = counts().position(|count| {
            seen += f64::from(count);
            seen >= wanted
        })?;
        ENDS_S.get(step).map(|end| Duration::from_secs_f64(*end))
    }
}

const fn ends() -> [f64; STEPS] {
    let mut ends = [FIRST_S; STEPS];
    let mut step = 1;
    while step < STEPS {
        ends[step] = ends[step - 1] * GROWTH;
        step += 1;
    }
    ends
}

// === impl Steps ===

impl Default for Steps {
    fn default() -> Self {
        Self([0; STEPS])
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "simulated time needs a start")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn few_times_say_nothing_and_old_ones_are_forgotten() {
        let start = Instant::now();
        let mut seen = Percentile::new(start);
        for count in 1..ENOUGH {
            seen.add(Duration::from_millis(10), start);
            assert_eq!(seen.at(0.9, start), None, "after {count}");
        }
        seen.add(Duration::from_millis(10), start);
        assert!(seen.at(0.9, start).is_some());
        assert!(seen.at(0.9, start + WINDOW).is_some());
        assert_eq!(seen.at(0.9, start + 4 * WINDOW), None);
    }

    proptest! {
        #[test]
        fn is_the_sorted_times_one_to_a_tenth(
            times_us in prop::collection::vec(100u64..1_000_000_000, 50..300),
            share in 0.01f64..1.0,
        ) {
            let now = Instant::now();
            let mut seen = Percentile::new(now);
            times_us.iter().for_each(|us| seen.add(Duration::from_micros(*us), now));
            let mut sorted = times_us.clone();
            sorted.sort_unstable();
            let rank = (share * sorted.len() as f64).ceil() as usize - 1;
            let exact = Duration::from_micros(sorted[rank]).as_secs_f64();
            let found = seen.at(share, now).unwrap().as_secs_f64();
            prop_assert!(found >= exact * 0.999 && found <= exact * GROWTH * 1.001, "{found} for {exact}");
        }
    }
}
