//! How bursty arrivals are: the variance of a count of them over its mean, which is 1 for Poisson arrivals.
//!
//! Three things are told apart, as only what comes beyond a forecast makes anybody wait:
//!
//! - how counts scatter around what was expected, over some minutes: bursts, and forecasts that were wrong;
//! - how each differs from the one before it (J. von Neumann, Annals of Mathematical Statistics 12, 1941): bursts
//!   alone. That is enough where a load surely falls, as a forecast is too high there, if it is wrong, and where a
//!   period says what comes, which must not be believed the more for being wrong;
//! - how far they are above what was expected, lately (twice the semivariance, which is the variance where a forecast is
//!   right): a forecast that lags behind. It counts while a load surely grows.

use super::observation::is_load;
use super::snapshot::Snapshot;

/// Ticks that speak,
const MEMORY: f64 = 300.0;
/// and those that speak for a forecast that lags behind: it catches up within minutes.
const MEMORY_ABOVE: f64 = 100.0;
/// Its bound: arrivals that come in larger clumps are bursts for the forecast, not noise.
const MOST: f64 = 4.0;
/// The most that one tick says: as much as four standard deviations.
const MOST_AT_ONCE: f64 = MOST * MOST;
/// The same of a lag: what is more than two standard deviations above is a jump, which the windows see as well.
const MOST_ABOVE: f64 = 2.0 * 2.0 * 2.0;

/// What was learned of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Peakedness {
    /// Around what was expected.
    around: f64,
    /// From one tick to the next.
    between: f64,
    /// Above what was expected.
    above: f64,
    /// What came in the last tick, and how many seconds that was.
    last: Option<(f64, f64)>,
}

impl Peakedness {
    /// That of Poisson arrivals.
    pub(super) fn new() -> Self {
        Self { around: 1.0, between: 1.0, above: 1.0, last: None }
    }

    /// What counts while the rate surely grows or falls by `slope`, from 1 on; `foreseen` where a period says what comes.
    pub(super) fn of(&self, slope: f64, foreseen: bool) -> f64 {
        let only_bursts = foreseen || slope < 0.0;
        let around = if only_bursts { self.around.min(self.between) } else { self.around };
        let seen = if slope > 0.0 { around.max(self.above) } else { around };
        seen.clamp(1.0, MOST)
    }

    /// Learns from `arrivals` in a tick of `seconds` in which `expected` were to come.
    pub(super) fn arrived(&mut self, arrivals: f64, expected: f64, seconds: f64) {
        let last = self.last.replace((arrivals, seconds));
        if expected <= 0.0 || !expected.is_finite() || !is_load(arrivals) {
            return;
        }
        let off = arrivals - expected;
        let around = (off * off / expected).min(MOST_AT_ONCE);
        self.around += (around - self.around) / MEMORY;
        let above = (2.0 * off.max(0.0).powi(2) / expected).min(MOST_ABOVE);
        self.above += (above - self.above) / MEMORY_ABOVE;
        if let Some((last, before)) = last.filter(|&(last, before)| is_load(last) && before > 0.0) {
            // Of a tick as long as the other, twice the variance of either.
            let ratio = seconds / before;
            let between = (arrivals - last * ratio).powi(2) / (expected * (1.0 + ratio));
            self.between += (between.min(MOST_AT_ONCE) - self.between) / MEMORY;
        }
    }

    /// Around what was expected, which is written down with what else was learned.
    pub(super) fn around(&self) -> f64 {
        self.around
    }

    pub(super) fn save(&self, to: &mut Snapshot) {
        to.put("slo.peakedness", [[self.between, self.above]]);
    }

    pub(super) fn load(&mut self, around: f64, from: &Snapshot) {
        let seen = from.row("slo.peakedness").filter(|row| row.iter().all(|seen| is_load(*seen)));
        let [between, above] = seen.unwrap_or([around, 1.0]);
        let bounded = [around, between, above].map(|seen| seen.min(MOST_AT_ONCE));
        [self.around, self.between, self.above] = bounded;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is learned from 600 ticks, given what came and what was expected in each.
    fn learned(of: impl Fn(usize) -> (f64, f64)) -> Peakedness {
        let mut learned = Peakedness::new();
        for tick in 0..600 {
            let (arrivals, expected) = of(tick);
            learned.arrived(arrivals, expected, 1.0);
        }
        learned
    }

    /// 90 and 110 by turns: a variance of as much as Poisson's, but in pairs and not one by one.
    fn noise(tick: usize) -> f64 {
        if (tick / 2).is_multiple_of(2) { 10.0 } else { -10.0 }
    }

    #[test]
    fn a_forecast_that_is_right_leaves_what_chance_does() {
        let right = learned(|tick| (100.0 + noise(tick), 100.0));
        for slope in [-1.0, 0.0, 1.0] {
            assert!((1.0..1.1).contains(&right.of(slope, false)), "{slope}: {right:?}");
        }
    }

    #[test]
    fn a_forecast_that_is_too_high_is_no_burst_where_a_load_falls() {
        let high = learned(|tick| (100.0 + noise(tick), 115.0));
        assert!(high.of(0.0, false) > 2.0, "{high:?}");
        assert!(high.of(-1.0, false) < 1.1, "{high:?}");
    }

    #[test]
    fn nor_where_a_period_says_more_than_what_comes() {
        let high = learned(|tick| (100.0 + noise(tick), 115.0));
        assert!(high.of(0.0, true) < 1.1, "{high:?}");
        // What comes beyond it counts while the load grows.
        let low = learned(|tick| (115.0 + noise(tick), 100.0));
        assert!(low.of(1.0, true) > 1.5 && low.of(0.0, true) < 1.1, "{low:?}");
    }

    #[test]
    fn a_forecast_that_lags_behind_a_growth_counts_sooner_than_bursts() {
        let mut lags = Peakedness::new();
        for tick in 0..60 {
            lags.arrived(115.0 + noise(tick), 100.0, 1.0);
        }
        let (calm, grows) = (lags.of(0.0, false), lags.of(1.0, false));
        assert!(grows > 1.5 && grows > calm + 0.2, "{calm} {grows}");
        // And is over soon.
        (0..300).for_each(|tick| lags.arrived(100.0 + noise(tick), 100.0, 1.0));
        assert!(lags.of(1.0, false) < 1.25, "{lags:?}");
    }

    #[test]
    fn bursts_are_bursts_wherever_a_load_goes() {
        let bursts = learned(|tick| (if tick % 4 == 0 { 400.0 } else { 0.0 }, 100.0));
        for slope in [-1.0, 0.0, 1.0] {
            assert_eq!(bursts.of(slope, false), MOST, "{slope}: {bursts:?}");
        }
    }

    #[test]
    fn ticks_of_different_lengths_are_not_taken_for_bursts() {
        let mut learned = Peakedness::new();
        for tick in 0..600 {
            let seconds = if tick % 3 == 0 { 2.0 } else { 1.0 };
            learned.arrived(100.0 * seconds, 100.0 * seconds, seconds);
        }
        assert!(learned.between < 0.2 && learned.around < 0.2, "{learned:?}");
    }

    #[test]
    fn nonsense_teaches_nothing() {
        let mut learned = Peakedness::new();
        for (arrivals, expected) in [(f64::NAN, 1.0), (1.0, 0.0), (1.0, f64::INFINITY), (-1.0, 1.0)]
        {
            learned.arrived(arrivals, expected, 1.0);
        }
        learned.arrived(100.0, 100.0, 1.0);
        assert_eq!([-1.0, 0.0, 1.0].map(|slope| learned.of(slope, false)), [1.0; 3], "{learned:?}");
        // Nor does what was written down of it.
        let mut snapshot = Snapshot::default();
        snapshot.put("slo.peakedness", [[1e12, -1.0]]);
        learned.load(1e12, &snapshot);
        for _ in 0..1000 {
            learned.arrived(100.0, 100.0, 1.0);
        }
        assert_eq!(learned.of(0.0, false), 1.0, "{learned:?}");
    }
}
