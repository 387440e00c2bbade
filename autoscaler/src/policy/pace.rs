//! How fast requests come, now and when a replica that is started now would be ready.
//!
//! A short window sees a change at once but is noisy, a long one is calm but late. So windows of
//! doubling lengths are asked, shortest first, for as long as chance explains how they differ: the
//! longest whose mean agrees with all shorter ones speaks (Lepski's principle, in the form of the
//! intersection of confidence intervals by A. Goldenshluger and A. Nemirovski, Mathematical Methods
//! of Statistics 6, 1997). Steady load is so averaged over minutes, and a step over the seconds
//! since it came. For shrinking the upper end of that window's interval counts. Between the two
//! nothing moves.
//!
//! A window's mean is what came half its length ago: where the rate surely moves ([`super::trend`]), so much is added or
//! taken off, within what the newest windows allow. A rise is carried forward, too, with a damped trend, as in the method
//! of E. Gardner and E. McKenzie (Management Science 31, 1985); a fall is not.

use super::arrivals::{Arrivals, CONFIDENCE, Span};
use super::snapshot::Snapshot;
use super::trend::Trend;
use std::time::Duration;

/// The windows in seconds, shortest first. The shortest is a tick, so a step is seen with the first
/// whole tick after it. The longest averages a few requests a second over thousands of requests.
const LENGTHS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// The longest window that says how little and how much may come now: what a longer one has seen of a load that moves is
/// another rate than that at its end.
const NEWEST: f64 = 8.0;

/// The trend's damping: it adds up to what it would in so many seconds, however far one looks. Five
/// minutes, longer than most replicas take to start,
const DAMPING: f64 = 300.0;
/// and no less than so many times as far as one looks: so damping never takes more than a tenth.
const DAMPING_TIMES: f64 = 5.0;

/// So many seconds without a request are quiet.
const QUIET: f64 = 15.0;

/// The window of means and of what is known: a minute, in which people think of rates.
const MINUTE: f64 = 60.0;

/// Rates of arrival.
#[derive(Debug, Clone)]
pub struct Pace {
    arrivals: Arrivals,
}

/// What is expected, in requests a second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Expected {
    /// What comes now.
    pub now: f64,
    /// The same without the trend,
    pub level: f64,
    /// and the least that it may be, as far as chance explains what came in the last seconds; no more than `level`.
    pub least: f64,
    /// What comes when a replica that is started now is ready; no less than `now`.
    pub soon: f64,
    /// The most that may come, as far as the same window says; no less than `now`.
    pub most: f64,
    /// What season and period bring when a replica that is started now is ready; 0 where they say nothing.
    pub season: f64,
    /// The last minute's mean.
    pub mean: f64,
    /// By how much the rate surely grows or falls each second; 0 where that is not sure.
    pub slope: f64,
    /// Whether nothing came for some seconds: a long window may still remember a load that is over.
    pub is_quiet: bool,
    /// The share of the last minute that is known.
    pub filled: f64,
}

/// A window's mean, and between which rates chance leaves it.
#[derive(Debug, Clone, Copy)]
struct Estimate {
    rate: f64,
    low: f64,
    high: f64,
    /// Seconds.
    length: f64,
}

/// The rate as windows say it that take it for steady.
#[derive(Debug, Clone, Copy)]
struct Level {
    /// The mean of the longest that agrees with the shorter ones, as far as those allow it.
    rate: f64,
    /// That window.
    longest: Estimate,
    /// What the newest windows allow, whatever came before.
    newest: (f64, f64),
}

impl Estimate {
    /// Of a Poisson process: a clump of arrivals is real demand, however common clumps are. The
    /// bounds are those of the score interval, which also hold for few arrivals or none.
    fn of(span: Span, length: f64) -> Self {
        let middle = span.count + CONFIDENCE * CONFIDENCE / 2.0;
        let around = CONFIDENCE * (span.count + CONFIDENCE * CONFIDENCE / 4.0).sqrt();
        let rate = |count: f64| count / span.seen;
        let (low, high) = (rate(middle - around), rate(middle + around));
        Self { rate: rate(span.count), low, high, length }
    }
}

impl Pace {
    /// How long it must look to know the load: the minute of which half must be known.
    pub(super) const WINDOW: Duration = Duration::from_secs(60);

    /// Nothing seen yet.
    pub fn new() -> Self {
        Self { arrivals: Arrivals::new(LENGTHS[LENGTHS.len() - 1] + 1.0) }
    }

    /// Records `rate` requests a second from `from` to `now`.
    pub fn record(&mut self, from: Duration, now: Duration, rate: f64) {
        self.arrivals.record(from, now, rate);
    }

    /// What to expect, now and `ahead` seconds from now. Nothing where nothing is known.
    ///
    /// `peakedness` is the variance of a count of arrivals over its mean. While a request `waits`, a growth is believed in
    /// sooner.
    pub fn expect(
        &self,
        ahead: f64,
        peakedness: f64,
        waits: bool,
        now: Duration,
    ) -> Option<Expected> {
        let minute = self.arrivals.between(MINUTE, 0.0, now);
        let mean = minute.rate()?;
        let level = self.level(minute, now);
        let Trend { slope, seconds, ahead: goes_on } =
            Trend::of(&self.arrivals, level.rate, waits, now);
        // It moved no longer than one can see.
        let since = level.longest.length.min(seconds) / 2.0;
        let damping = DAMPING.max(DAMPING_TIMES * ahead);
        let grown = |ahead: f64| slope * damping * (1.0 - (-ahead.max(0.0) / damping).exp());
        let (least, most) = level.newest;
        let (rate, grows) = if slope < 0.0 {
            ((level.longest.rate + slope * since).max(least).min(level.rate), 0.0)
        } else {
            (
                (level.rate + grown(since)).min(most),
                grown(since + ahead.min(goes_on)) - grown(since),
            )
        };
        let soon = rate + grows;
        let most = rate
            + if level.rate > 0.0 {
                (level.longest.high - level.rate).max(0.0) * peakedness.sqrt()
            } else {
                0.0
            };
        let lately = self.arrivals.between(QUIET, 0.0, now);
        let is_quiet = lately.is_known(QUIET) && lately.count <= 0.0;
        let filled = minute.seen / MINUTE;
        let (level, least) = (level.rate, least.min(level.rate));
        let (now, season) = (rate, 0.0);
        Some(Expected { now, level, least, soon, most, season, mean, slope, is_quiet, filled })
    }

    pub(super) fn save(&self, to: &mut Snapshot, now: Duration) {
        self.arrivals.save("slo.arrivals", to, now);
    }

    pub(super) fn load(&mut self, from: &Snapshot, taken: Duration) {
        self.arrivals.load("slo.arrivals", from, taken);
    }

    /// What the longest window says that agrees with all shorter ones.
    fn level(&self, minute: Span, now: Duration) -> Level {
        let mut longest = None;
        let (mut low, mut high) = (0.0_f64, f64::INFINITY);
        let mut newest = (low, high);
        for length in LENGTHS {
            let span = self.arrivals.between(length, 0.0, now);
            if !span.is_known(length) {
                continue;
            }
            let next = Estimate::of(span, length);
            let (from, to) = (low.max(next.low), high.min(next.high));
            if from > to {
                break;
            }
            (low, high, longest) = (from, to, Some(next));
            if length <= NEWEST {
                newest = (low, high);
            }
        }
        let longest = longest.unwrap_or_else(|| Estimate::of(minute, MINUTE));
        Level { rate: longest.rate.clamp(low, high), longest, newest }
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
        (0..seconds).for_each(|second| pace.record(at(second), at(second + 1), rate(second)));
        pace.expect(30.0, 1.0, false, at(seconds)).unwrap()
    }

    #[test]
    fn a_step_is_seen_with_the_first_second_after_it() {
        for seconds in 121..200 {
            let seen = after(seconds, |second| if second < 120 { 10.0 } else { 1000.0 });
            assert!((870.0..=1000.0).contains(&seen.now), "{seconds}: {seen:?}");
        }
    }

    #[test]
    fn noise_is_no_step() {
        // Ten a second, and for two seconds as many as chance brings once in an hour.
        let seen = after(120, |second| if second < 118 { 10.0 } else { 16.0 });
        assert!(seen.now < 10.5 && seen.most < 13.0, "{seen:?}");
    }

    #[test]
    fn a_ramp_is_carried_forward_and_a_step_is_not() {
        let ramp = after(400, |second| 10.0 * f64::from(second));
        assert!((4200.0..4300.0).contains(&ramp.soon), "{ramp:?}");
        assert!((3950.0..4050.0).contains(&ramp.now), "{ramp:?}");
        for seconds in 120..500 {
            let step = after(seconds, |second| if second < 110 { 10.0 } else { 1000.0 });
            assert!(step.soon <= 1001.0, "{seconds}: {step:?}");
        }
    }

    /// Counts of one a second on average, as Poisson has them.
    fn poisson(seed: u64) -> impl FnMut() -> f64 {
        let mut state = seed * 7919 + 12345;
        let mut next = move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as f64 / f64::from(1_u32 << 31)
        };
        move || {
            let mut left = next();
            let mut count = 0.0;
            while left > (-1.0_f64).exp() {
                left *= next();
                count += 1.0;
            }
            count
        }
    }

    #[test]
    fn what_seems_to_grow_for_half_a_minute_did_not_grow_for_longer() {
        for seed in 15..25 {
            let mut count = poisson(seed);
            let mut pace = Pace::new();
            for second in 1..600 {
                pace.record(at(second - 1), at(second), count());
                let seen = pace.expect(0.0, 1.0, false, at(second)).unwrap();
                assert!(second < 60 || seen.now < 3.0, "{seed}, {second} s: {seen:?}");
            }
        }
    }

    #[test]
    fn a_fall_is_seen_as_soon_as_chance_does_not_explain_it() {
        let seen = after(122, |second| if second < 120 { 100.0 } else { 0.0 });
        assert_eq!((seen.now, seen.soon), (0.0, 0.0), "{seen:?}");
        let seen = after(122, |second| if second < 120 { 4.0 } else { 0.0 });
        assert!(seen.now > 3.0, "two quiet seconds at four a second are chance: {seen:?}");
    }

    #[test]
    fn what_comes_at_a_crest_is_no_more_than_the_newest_seconds_allow() {
        let rate = |second: u32| 10.0 * f64::from(second.min(400));
        for seconds in 408..700 {
            let seen = after(seconds, rate);
            // Four standard deviations of what comes in eight seconds.
            let most = 4000.0 + 4.0 * (4000.0_f64 / 8.0).sqrt() + 2.0;
            assert!(seen.now <= most, "{seconds}: {seen:?}");
        }
    }

    #[test]
    fn the_least_that_may_come_is_no_more_than_what_a_falling_load_is_down_to() {
        let rate = |second: u32| 400.0 - f64::from(second);
        for seconds in 100..350 {
            let seen = after(seconds, rate);
            let (least, now) = (seen.least, rate(seconds));
            assert!(least <= now && least >= 0.4 * now, "{seconds}: {seen:?}");
        }
    }

    #[test]
    fn what_is_not_known_is_not_taken_for_none() {
        let mut pace = Pace::new();
        assert_eq!(pace.expect(30.0, 1.0, false, at(9)), None);
        pace.record(at(0), at(100), 50.0);
        pace.record(at(130), at(150), 50.0);
        let seen = pace.expect(30.0, 1.0, false, at(150)).unwrap();
        assert!((seen.now - 50.0).abs() < 1e-6 && seen.filled < 0.6, "{seen:?}");
    }
}
