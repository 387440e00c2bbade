//! How fast requests come, now and when a replica that is started now would be ready.
//!
//! The rate is averaged over windows of three lengths. A short window sees a step at once but is
//! noisy, a long one is calm but late. So a short window counts with its lower confidence bound: it
//! says that more comes only where chance does not explain it. For shrinking the upper bound of the
//! longest window counts. Between the two bounds nothing moves, which keeps steady load steady.
//!
//! A rise that has lasted is carried forward with a damped trend, as in the method of E. Gardner and
//! E. McKenzie (Management Science 31, 1985). It only ever adds.

use super::snapshot::{Snapshot, age, moment};
use super::window::{Average, Window};
use std::time::Duration;

/// The windows, shortest first. Two seconds hold two ticks, so a step is seen within them; a minute
/// is short beside how long replicas are kept, and long enough to be calm at a few requests a
/// second.
const LENGTHS: [Duration; 3] =
    [Duration::from_secs(2), Duration::from_secs(15), Duration::from_secs(60)];

/// Standard deviations that chance is given: a false alarm of a window once in 700 looks.
const CONFIDENCE: f64 = 3.0;

/// The window that tells a rise from noise: four times the longest, so half the noise.
const TREND: Duration = Duration::from_secs(240);

/// How long a rise must have lasted before it is carried forward: longer than the longest window, so
/// that a step, which is over once that is full, is not taken for a ramp.
const RISE: Duration = Duration::from_secs(75);

/// Ticks over which the trend is averaged: the middle window's length, whose noise it has.
const TREND_MEMORY: f64 = 15.0;

/// The trend's damping: it adds up to what it would in so many seconds, however far one looks. Five
/// minutes, longer than most replicas take to start.
const DAMPING: f64 = 300.0;

/// Rates of arrival.
#[derive(Debug, Clone)]
pub struct Pace {
    window: Window,
    rising_since: Option<Duration>,
    /// Growth of the rate in a second, while it has risen for long enough.
    trend: f64,
}

/// What is expected, in requests a second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Expected {
    /// What certainly comes now.
    pub now: f64,
    /// What comes when a replica that is started now is ready; no less than `now`.
    pub soon: f64,
    /// The most that may come, as far as the last minute says; no less than `now`.
    pub most: f64,
    /// The longest window's mean.
    pub mean: f64,
    /// The share of the longest window that is known.
    pub filled: f64,
}

impl Pace {
    /// The longest window of the level.
    pub(super) const WINDOW: Duration = LENGTHS[2];

    /// Nothing seen yet.
    pub fn new() -> Self {
        Self { window: Window::new(TREND), rising_since: None, trend: 0.0 }
    }

    /// Records `rate` requests a second from `from` to `now`.
    pub fn record(&mut self, from: Duration, now: Duration, rate: f64) {
        self.window.record(from, now, rate);
    }

    /// What to expect, now and `ahead` seconds from now. Nothing where nothing is known.
    ///
    /// `peakedness` is the variance of a count of arrivals over its mean.
    pub fn expect(&mut self, ahead: f64, peakedness: f64, now: Duration) -> Option<Expected> {
        let [short, middle, long] = LENGTHS.map(|length| self.window.over(length, now));
        let (mean, filled) = long.map(|long| (long.value, long.filled))?;
        let noise = |average: Option<Average>, length: Duration, spread: f64| {
            average.map_or(f64::INFINITY, |average| {
                let known = length.as_secs_f64() * average.filled;
                (spread * average.value.max(1.0 / known) / known).sqrt()
            })
        };
        let low = |average: Option<Average>, length| {
            // Poisson's spread: a clump of arrivals is real demand, however common clumps are.
            average.map_or(0.0, |average| {
                average.value - CONFIDENCE * noise(Some(average), length, 1.0)
            })
        };
        let level = mean.max(low(short, LENGTHS[0])).max(low(middle, LENGTHS[1]));
        let rise = self.rise(middle, long, CONFIDENCE * noise(long, LENGTHS[2], 1.0), now);
        let soon = level + rise * DAMPING * (1.0 - (-ahead.max(0.0) / DAMPING).exp());
        let doubt = CONFIDENCE * noise(long, LENGTHS[2], peakedness);
        let most = if mean > 0.0 { level.max(mean + doubt) } else { level };
        Some(Expected { now: level, soon, most, mean, filled })
    }

    pub(super) fn save(&self, to: &mut Snapshot, now: Duration) {
        self.window.save("slo.window", to, now);
        to.put("slo.rise", self.rising_since.map(|since| [age(since, now), self.trend]));
    }

    pub(super) fn load(&mut self, from: &Snapshot, taken: Duration) {
        self.window.load("slo.window", from, taken);
        if let Some([age, trend]) = from.row("slo.rise") {
            (self.rising_since, self.trend) = (moment(age, taken), trend);
        }
    }

    /// The growth of the rate in a second, if it has risen for long enough; else 0.
    fn rise(
        &mut self,
        middle: Option<Average>,
        long: Option<Average>,
        noise: f64,
        now: Duration,
    ) -> f64 {
        let before = self.window.over(TREND, now).filter(|before| before.filled >= 0.5);
        let (Some(middle), Some(long), Some(before)) = (middle, long, before) else { return 0.0 };
        if long.value - before.value <= noise {
            self.rising_since = None;
            self.trend = 0.0;
            return 0.0;
        }
        let since = *self.rising_since.get_or_insert(now);
        if now.saturating_sub(since) < RISE {
            return 0.0;
        }
        // The windows' centres are half their difference apart.
        let apart = |one: Duration, other: Duration| (other - one).as_secs_f64() / 2.0;
        let lately = (middle.value - long.value) / apart(LENGTHS[1], LENGTHS[2]);
        let so_far = (long.value - before.value) / apart(LENGTHS[2], TREND);
        self.trend += (lately.min(so_far) - self.trend) / TREND_MEMORY;
        self.trend.max(0.0)
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u32) -> Duration {
        Duration::from_secs(u64::from(seconds))
    }

    /// What is expected after `seconds` of a rate that is a function of the second.
    fn after(seconds: u32, rate: impl Fn(u32) -> f64) -> Expected {
        let mut pace = Pace::new();
        let mut last = Expected::default();
        for second in 0..seconds {
            pace.record(at(second), at(second + 1), rate(second));
            last = pace.expect(30.0, 1.0, at(second + 1)).unwrap();
        }
        last
    }

    #[test]
    fn a_step_is_seen_within_two_seconds() {
        let seen = after(122, |second| if second < 120 { 10.0 } else { 1000.0 });
        assert!(seen.now > 930.0, "{seen:?}");
    }

    #[test]
    fn noise_is_no_step() {
        // Ten a second, and for two seconds as many as chance brings once in an hour.
        let seen = after(120, |second| if second < 118 { 10.0 } else { 16.0 });
        assert!(seen.now < 10.5 && seen.most < 12.5, "{seen:?}");
    }

    #[test]
    fn a_ramp_is_carried_forward_and_a_step_is_not() {
        let ramp = after(400, |second| 10.0 * f64::from(second));
        assert!(ramp.soon > ramp.now + 200.0, "{ramp:?}");
        for seconds in 120..500 {
            let step = after(seconds, |second| if second < 110 { 10.0 } else { 1000.0 });
            assert!(step.soon <= 1001.0, "{seconds}: {step:?}");
        }
    }

    #[test]
    fn a_fall_is_believed_once_the_longest_window_says_so() {
        let seen = after(130, |second| if second < 120 { 100.0 } else { 0.0 });
        assert!(seen.most > 80.0);
        let seen = after(180, |second| if second < 120 { 100.0 } else { 0.0 });
        assert_eq!(seen.most, 0.0);
    }
}
