//! How much a series is like itself some steps before, for many lags at once.
//!
//! For each lag the squared differences are summed up between values and those one lag before them, over the
//! last two lags: so three whole periods are compared, each with the next, or two that must be more alike. With a new
//! value two terms change of each sum. This is the difference function of A. de Cheveigné and H. Kawahara (Journal of the
//! Acoustical Society of America 111, 2002), and one over the variance is the autocorrelation. As there, the
//! shortest lag that is good enough is the period, and not one of its multiples; and as with M. Vlachos, P. Yu
//! and V. Castelli (SIAM International Conference on Data Mining, 2005) it must be the top of a hill: next to
//! no lag all that changes slowly is like itself.

/// The shortest lag: of fewer steps one can't say what is chance.
const SHORTEST: usize = 12;
/// The longest lag: bounds the memory, three times as many values.
pub(super) const LONGEST: usize = 480;
/// Values that are remembered: three periods of the longest lag, and the one that falls out.
pub(super) const MOST_VALUES: usize = 3 * LONGEST + 1;
/// The correlation that makes a period, with what chance takes from it put back: what differs from one time to the
/// next is a fifth of what the period explains.
const ALIKE: f64 = 0.8;
/// The same while hardly more than two periods were seen: what differs is a tenth, as two may be alike by chance.
const ALIKE_AT_FIRST: f64 = 0.9;
/// A hill begins where the correlation has been below this.
const VALLEY: f64 = 0.5;
/// Standard deviations of the correlation of chance: with hundreds of lags tried each few seconds.
const CONFIDENCE: f64 = 4.0;
/// The share of the pairs that must be known.
const KNOWN: f64 = 0.9;

/// Values whose chance has about the same size everywhere, and how much they are alike.
#[derive(Debug, Clone, Default)]
pub(super) struct Lags {
    /// Oldest first, no number where it isn't known; the last [`MOST_VALUES`] count, and twice as many are held,
    /// so that they are seldom moved.
    values: Vec<f32>,
    /// For each lag from [`SHORTEST`] on.
    sums: Vec<Sum>,
}

/// Of the pairs of a lag.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    squares: f64,
    pairs: u32,
}

impl Sum {
    fn with(self, square: Option<f64>) -> Self {
        let Some(square) = square else { return self };
        Self { squares: self.squares + square, pairs: self.pairs + 1 }
    }

    fn without(self, square: Option<f64>) -> Self {
        let Some(square) = square else { return self };
        Self { squares: self.squares - square, pairs: self.pairs.saturating_sub(1) }
    }
}

impl Lags {
    /// All that is remembered, oldest first.
    pub(super) fn of(values: impl Iterator<Item = Option<f32>>) -> Self {
        let values: Vec<f32> =
            values.take(MOST_VALUES).map(|value| value.unwrap_or(f32::NAN)).collect();
        let mut lags = Self { values, sums: Vec::new() };
        let sum = |lag: usize| {
            (0..2 * lag).fold(Sum::default(), |sum, age| sum.with(lags.square(age, age + lag)))
        };
        lags.sums = (SHORTEST..=LONGEST).map(sum).collect();
        lags
    }

    /// The next value.
    pub(super) fn push(&mut self, value: Option<f32>) {
        self.sums.resize(LONGEST + 1 - SHORTEST, Sum::default());
        if self.values.len() >= 2 * MOST_VALUES {
            self.values.drain(..=MOST_VALUES);
        }
        self.values.push(value.unwrap_or(f32::NAN));
        for lag in SHORTEST..=LONGEST.min(self.values.len()) {
            let (new, old) = (self.square(0, lag), self.square(2 * lag, 3 * lag));
            let sum = &mut self.sums[lag - SHORTEST];
            *sum = sum.with(new).without(old);
        }
    }

    /// The value so many steps before the newest, which is at 0.
    pub(super) fn at(&self, age: usize) -> Option<f64> {
        let index = self.values.len().checked_sub(age + 1).filter(|_| age < MOST_VALUES)?;
        self.values.get(index).filter(|value| !value.is_nan()).map(|value| f64::from(*value))
    }

    /// All that is remembered, oldest first.
    pub(super) fn values(&self) -> impl Iterator<Item = Option<f32>> {
        let old = self.values.len().saturating_sub(MOST_VALUES);
        self.values[old..].iter().map(|value| (!value.is_nan()).then_some(*value))
    }

    /// The period in steps, where there is one. `noise` is the variance that chance gives a value.
    pub(super) fn period(&self, noise: f64) -> Option<usize> {
        let longest = (self.values.len() / 2).min(LONGEST);
        let mut moments = Moments::default();
        let mut is_past_valley = false;
        let mut best: Option<(usize, f64)> = None;
        for lag in SHORTEST..=longest {
            (moments.seen..3 * lag).for_each(|age| moments.add(self.at(age)));
            let likeness = self.likeness(lag, moments.variance(), noise).unwrap_or(0.0);
            is_past_valley |= likeness < VALLEY;
            let alike = if self.knows(2 * lag, lag) { ALIKE } else { ALIKE_AT_FIRST };
            if is_past_valley && likeness >= alike {
                best = best.filter(|&(_, top)| top >= likeness).or(Some((lag, likeness)));
            } else if best.is_some() && likeness < ALIKE {
                break;
            }
        }
        // What still rises with the last lag may have its top beyond.
        best.map(|(lag, _)| lag).filter(|lag| *lag < longest)
    }

    /// The correlation at a lag, without what chance takes from it; nothing where it may be chance itself.
    fn likeness(&self, lag: usize, variance: f64, noise: f64) -> Option<f64> {
        let sum = self.sums.get(lag - SHORTEST)?;
        let pairs = f64::from(sum.pairs);
        // What changes no more than chance changes it has no period that is worth knowing.
        if !self.knows(lag, lag) || variance < 2.0 * noise {
            return None;
        }
        let difference = (sum.squares / pairs / 2.0).max(0.0);
        let raw = 1.0 - difference / variance;
        let explained = 1.0 - (difference - noise).max(0.0) / (variance - noise);
        (raw >= CONFIDENCE / pairs.sqrt()).then_some(explained)
    }

    /// Whether so many pairs of a lag are known.
    fn knows(&self, pairs: usize, lag: usize) -> bool {
        let known = self.sums.get(lag - SHORTEST).map_or(0, |sum| sum.pairs);
        f64::from(known) >= KNOWN * pairs as f64
    }

    /// The largest difference of any sum, as a share.
    #[cfg(test)]
    pub(super) fn sums_differ_from(&self, other: &Self) -> f64 {
        let pairs = self.sums.iter().zip(&other.sums);
        assert!(pairs.clone().all(|(one, other)| one.pairs == other.pairs));
        pairs.map(|(one, other)| (one.squares / other.squares - 1.0).abs()).fold(0.0, f64::max)
    }

    fn square(&self, newer: usize, older: usize) -> Option<f64> {
        Some((self.at(newer)? - self.at(older)?).powi(2))
    }
}

/// Of the newest values.
#[derive(Default)]
struct Moments {
    seen: usize,
    known: f64,
    sum: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, value: Option<f64>) {
        self.seen += 1;
        if let Some(value) = value {
            self.known += 1.0;
            self.sum += value;
            self.squares += value * value;
        }
    }

    fn variance(&self) -> f64 {
        let known = self.known.max(1.0);
        (self.squares / known - (self.sum / known).powi(2)).max(0.0)
    }
}
