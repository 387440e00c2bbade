//! Whether the rate of arrivals grows or falls for sure, and how fast.
//!
//! A line is laid through the means of eight parts of a window. It is a trend where the whole and both halves go the same
//! way beyond chance; a step shows in one half only, so it is none. A long window still remembers a growth that is over:
//! no trend is steeper than all shorter windows leave possible.

use super::arrivals::{Arrivals, CONFIDENCE};
use std::time::Duration;

/// Windows that are asked, in seconds, shortest first.
const LENGTHS: [f64; 5] = [32.0, 64.0, 128.0, 256.0, 512.0];

/// One that is asked only while requests wait, where no other shows a growth: what is so brief is more often chance than
/// the beginning of something, but who waits pays more for a doubt than for a replica.
const HASTY: f64 = 16.0;
/// It is not carried forward for longer than so many times the window.
const HASTY_TIMES: f64 = 2.0;

/// Parts of a window: four make a line for each half.
const PARTS: usize = 8;

/// Standard deviations by which each half must grow: by chance both do so once in some 200 looks, and
/// the whole, which must by [`CONFIDENCE`], far more rarely.
const HALF_CONFIDENCE: f64 = 1.5;

/// The lesser of two noisy slopes is below what they are of; so many times it is no more than that of
/// the whole. A fall is not believed to be steeper than its lesser half.
const RECOVERY: f64 = 1.5;

/// How a rate moves.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Trend {
    /// Requests a second, in a second: negative where it falls, 0 where that is not sure.
    pub slope: f64,
    /// The length in seconds of the window that shows it.
    pub seconds: f64,
    /// For how many seconds more it is believed to go on.
    pub ahead: f64,
}

/// A line through the rates of a window. All slopes are in requests a second, in a second.
struct Line {
    seconds: f64,
    slope: f64,
    /// A standard deviation of the slope, and of each half's.
    doubt: f64,
    half_doubt: f64,
    older: f64,
    newer: f64,
}

impl Trend {
    /// Where `rate` requests come in a second, as of `now`: the steepest growth that is sure, or else the steepest fall.
    pub(super) fn of(arrivals: &Arrivals, rate: f64, waits: bool, now: Duration) -> Self {
        let line = |seconds: f64| Line::of(arrivals, seconds, rate, now);
        let lines: Vec<Line> = LENGTHS.into_iter().filter_map(line).collect();
        let growth = steepest(&lines, RECOVERY);
        if growth.slope > 0.0 {
            return growth;
        }
        let hasty = waits.then(|| line(HASTY)).flatten();
        let growth = hasty.map(|line| steepest(&[line], RECOVERY)).unwrap_or_default();
        if growth.slope > 0.0 {
            return Self { ahead: HASTY_TIMES * HASTY, ..growth };
        }
        let falls: Vec<Line> = lines.into_iter().map(Line::upside_down).collect();
        let fall = steepest(&falls, 1.0);
        Self { slope: -fall.slope, ..fall }
    }
}

/// The steepest growth of the lines, shortest first, that is sure.
fn steepest(lines: &[Line], recovery: f64) -> Trend {
    let mut possible = f64::INFINITY;
    let mut steepest = Trend::default();
    for line in lines {
        possible = possible.min((line.slope + CONFIDENCE * line.doubt).max(0.0));
        let slope = line.slope.min(recovery * line.older.min(line.newer)).min(possible);
        if line.grows() && slope > steepest.slope {
            steepest = Trend { slope, seconds: line.seconds, ahead: f64::INFINITY };
        }
    }
    steepest
}

impl Line {
    /// Nothing where too little is known.
    fn of(arrivals: &Arrivals, seconds: f64, rate: f64, now: Duration) -> Option<Self> {
        let part = seconds / PARTS as f64;
        let mut means = [0.0; PARTS];
        for (number, mean) in (0..).zip(means.iter_mut().rev()) {
            let newer = f64::from(number) * part;
            let span = arrivals.between(newer + part, newer, now);
            *mean = span.rate().filter(|_| span.is_known(part))?;
        }
        // What chance makes of the mean of one part: no less for a window in which more came.
        let mean = means.iter().sum::<f64>() / PARTS as f64;
        let noise = (rate.max(mean) / part).sqrt();
        let (older, newer) = means.split_at(PARTS / 2);
        let [whole, older, newer] = [&means, older, newer].map(slope);
        Some(Self {
            seconds,
            slope: whole.0 / part,
            doubt: whole.1 * noise / part,
            half_doubt: newer.1 * noise / part,
            older: older.0 / part,
            newer: newer.0 / part,
        })
    }

    fn grows(&self) -> bool {
        let half = HALF_CONFIDENCE * self.half_doubt;
        self.slope > CONFIDENCE * self.doubt && self.older > half && self.newer > half
    }

    fn upside_down(self) -> Self {
        Self { slope: -self.slope, older: -self.older, newer: -self.newer, ..self }
    }
}

/// The slope of the line of least squares through values one apart, and how many times their own
/// deviation it is off by.
fn slope(values: &[f64]) -> (f64, f64) {
    let middle = (values.len() as f64 - 1.0) / 2.0;
    let offsets = || (0..values.len()).map(|index| index as f64 - middle);
    let squares: f64 = offsets().map(|offset| offset * offset).sum();
    let sum: f64 = offsets().zip(values).map(|(offset, value)| offset * value).sum();
    (sum / squares, squares.sqrt().recip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u32) -> Duration {
        Duration::from_secs(u64::from(seconds))
    }

    /// The trend after `seconds` of a rate that is a function of the second.
    fn after(seconds: u32, waits: bool, rate: impl Fn(u32) -> f64) -> Trend {
        let mut arrivals = Arrivals::new(513.0);
        for second in 0..seconds {
            arrivals.record(at(second), at(second + 1), rate(second));
        }
        Trend::of(&arrivals, rate(seconds - 1), waits, at(seconds))
    }

    #[test]
    fn a_ramp_has_its_slope_up_and_down() {
        let up = after(400, false, |second| 50.0 + 2.0 * f64::from(second));
        assert!((up.slope - 2.0).abs() < 0.01, "{up:?}");
        let down = after(400, false, |second| 900.0 - 2.0 * f64::from(second));
        assert!((down.slope + 2.0).abs() < 0.01, "{down:?}");
    }

    #[test]
    fn a_step_is_no_trend() {
        for (low, high) in [(10.0, 400.0), (400.0, 10.0)] {
            for seconds in 110..600 {
                let step = |second: u32| if second < 110 { low } else { high };
                assert_eq!(after(seconds, true, step).slope.abs(), 0.0, "{seconds}");
            }
        }
    }

    #[test]
    fn a_growth_that_is_over_is_none_however_long_it_took() {
        let ramp = |second: u32| 10.0 + 1.2 * f64::from(second.min(300));
        assert!((after(300, false, ramp).slope - 1.2).abs() < 0.01);
        // Within a minute it is half, and then less and less: the windows that see no growth are longer.
        let half = after(360, false, ramp).slope;
        assert!(half < 0.6, "{half}");
        let rest = after(430, false, ramp).slope;
        assert!(rest < 0.25, "{rest}");
    }

    #[test]
    fn who_waits_is_told_of_a_growth_sooner() {
        let ramp = |second: u32| 10.0 + 2.0 * f64::from(second.saturating_sub(100));
        let seen = |waits: bool| (100..200).find(|end| after(*end, waits, ramp).slope > 0.0);
        let (waits, calm) = (seen(true).unwrap(), seen(false).unwrap());
        assert!(waits < calm && calm < 135, "{waits} {calm}");
    }

    #[test]
    fn who_knows_nothing_sees_no_trend() {
        let nothing = Trend::of(&Arrivals::new(513.0), 0.0, true, at(100));
        assert_eq!(nothing.slope.abs(), 0.0);
    }
}
