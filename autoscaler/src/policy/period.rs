//! A period that a load has by itself, of minutes or more than an hour: batches, reports, what a timer sends.
//!
//! Arrivals are counted in bins of ten seconds, and the period is found by how much the counts are
//! like those some bins before ([`lags`]). At least two whole ones must have been seen. Then the mean of what came
//! at this place of them is a forecast, for as long as it is right: at each bin it is judged by what came over the
//! whole last period, and counts for nothing if it was not better than to suppose that all stays as it is, or
//! was far off twice in a row. So there is nothing to unlearn. Who asks may only add by it, or choose how long to wait.
//!
//! Roots of counts are compared, since chance moves those by the same amount whatever the count (F. Anscombe,
//! Biometrika 35, 1948).

mod lags;

use super::observation::is_load;
use super::pace::Expected;
use super::snapshot::{Snapshot, age};
use lags::{LONGEST, Lags, MOST_VALUES};
use std::time::Duration;

/// Seconds of a bin: no longer than the shortest time for which a replica is kept.
pub(super) const BIN: f64 = 10.0;
/// Seconds by which a bin is looked at before it begins: half of it, where its mean is that of its middle.
const MARGIN: f64 = BIN / 2.0;
/// The share of a bin that must be known for its count to be.
const KNOWN: f64 = 0.5;
/// The longest sample in seconds that says anything of the bins it covers.
const LONGEST_SAMPLE: f64 = 60.0;
/// Standard deviations of chance beyond which a forecast was wrong,
const CONFIDENCE: f64 = 4.0;
/// where it was also wrong by this share of a root, which is twice the share of a rate.
const TOLERANCE: f64 = 0.1;
/// The root of more than anybody can count.
const MOST_ROOT: f64 = 1e9;
/// By how much a load is believed to grow from one time to the next.
const MOST_GROWTH: f64 = 2.0;
/// Added to a count, its root's chance is the same for small counts, too.
const ANSCOMBE: f64 = 0.375;
/// Requests in a bin that are forecast, at the least: of fewer one can't say when they come.
const LEAST: f64 = 1.0;
/// In a snapshot, in place of what nobody knows.
const UNKNOWN: f64 = -1.0;

/// Arrivals in bins, and the period they have.
#[derive(Debug, Clone)]
pub struct Period {
    lags: Lags,
    open: Option<Open>,
    /// Where bin 0 begins, in seconds of this process; before its beginning after a restart.
    origin: f64,
    /// Bins of a period that is right.
    bins: Option<usize>,
    /// What came in the last one over what the ones before had said.
    growth: f64,
}

/// The bin that is going on.
#[derive(Debug, Clone, Copy)]
struct Open {
    number: i64,
    count: f64,
    /// Seconds of it that are known.
    seen: f64,
}

/// What a forecast has to do.
#[derive(Debug, Clone, Copy)]
pub struct Task {
    /// Variance over mean of a count of arrivals.
    pub peakedness: f64,
    /// Seconds that are looked ahead.
    pub ahead: f64,
}

impl Period {
    /// Nothing known yet.
    pub fn new() -> Self {
        Self { lags: Lags::default(), open: None, origin: 0.0, bins: None, growth: 1.0 }
    }

    /// Records what came from `from` to `now`.
    pub fn record(&mut self, arrivals: f64, from: Duration, now: Duration, task: Task) {
        let (from, to) = (from.as_secs_f64(), now.as_secs_f64());
        let seconds = to - from;
        if !is_load(arrivals) || seconds <= 0.0 || seconds > LONGEST_SAMPLE {
            return;
        }
        for number in self.number(from)..=self.number(to) {
            let begin = self.origin + number as f64 * BIN;
            let part = to.min(begin + BIN) - from.max(begin);
            if part > 0.0 {
                self.fill(number, arrivals * part / seconds, part, task);
            }
        }
    }

    /// The length of the period in seconds, where one is right.
    pub fn length(&self) -> Option<f64> {
        self.bins.map(|bins| bins as f64 * BIN)
    }

    /// The most requests a second that it brings `from` to `to` seconds from now. Nothing where it says nothing.
    pub fn most(&self, from: f64, to: f64, now: Duration) -> Option<f64> {
        let (bins, open) = (self.bins?, self.open?);
        let at = |ahead: f64| self.number(now.as_secs_f64() + ahead).max(open.number);
        let (first, last) = (at(from), at(to).min(at(from) + bins as i64));
        // From the newest bin that is over to the one of the same place a period before that one.
        let age = |number: i64| (open.number - 1 - number).rem_euclid(bins as i64) as usize;
        let roots = (first..=last).filter_map(|number| self.mean(age(number), bins));
        let most = roots.reduce(f64::max)?;
        let count = (most / 2.0).powi(2) - ANSCOMBE;
        let count = if count < LEAST { 0.0 } else { count };
        // A load that grows from one time to the next goes on to. One that falls is seen to when it comes.
        Some(count * self.growth.max(1.0) / BIN)
    }

    /// What is expected where there is a period: it stands in place of the trend, and says which of the rates
    /// that chance leaves possible now is likely. None below, so nothing goes by it alone.
    ///
    /// The times in seconds are that of a start, and that within which it pays to stay.
    pub fn refine(
        &self,
        expected: Expected,
        (start, again): (f64, f64),
        now: Duration,
    ) -> Expected {
        let most = |from: f64, to: f64| self.most(from, to + MARGIN, now);
        let (Some(rate), Some(ahead)) = (most(0.0, 0.0), most(start, start)) else {
            return expected;
        };
        let rate = rate.max(expected.least).min(expected.level);
        let again = most(0.0, again).unwrap_or(0.0);
        let most = expected.most.min(again).max(rate);
        let season = expected.season.max(ahead);
        Expected { now: rate, soon: rate, most, season, ..expected }
    }

    fn fill(&mut self, number: i64, count: f64, seen: f64, task: Task) {
        match &mut self.open {
            Some(open) if open.number == number => {
                (open.count, open.seen) = (open.count + count, open.seen + seen);
            }
            Some(open) if number < open.number => {}
            _ => {
                self.close(number, task);
                self.open = Some(Open { number, count, seen });
            }
        }
    }

    /// Ends the open bin; those from it to bin `next` were not seen.
    fn close(&mut self, next: i64, task: Task) {
        let Some(open) = self.open.take() else { return };
        let is_known = open.seen >= KNOWN * BIN;
        let root = 2.0 * (open.count / open.seen * BIN + ANSCOMBE).sqrt();
        self.lags.push(is_known.then_some(root.min(MOST_ROOT) as f32));
        let unseen = (open.number + 1)..next;
        unseen.take(MOST_VALUES).for_each(|_| self.lags.push(None));
        let noise = task.peakedness.max(1.0);
        let found = self.lags.period(noise);
        let growth = found.and_then(|bins| self.growth(bins, noise, task.ahead));
        self.bins = found.filter(|_| growth.is_some());
        self.growth = growth.unwrap_or(1.0);
    }

    /// What came in the last period over what the ones before had said. Nothing where they said it badly.
    fn growth(&self, bins: usize, noise: f64, ahead: f64) -> Option<f64> {
        let behind = ((ahead / BIN).ceil() as usize).clamp(1, LONGEST);
        let (mut with, mut without) = (0.0, 0.0);
        let (mut came, mut said) = (0.0, 0.0);
        let mut was_wrong = false;
        for age in 0..bins {
            let Some(root) = self.lags.at(age) else { continue };
            let is_wrong = self.is_far_off(root, age, bins, noise);
            if is_wrong && was_wrong {
                return None;
            }
            was_wrong = is_wrong;
            if let (Some(mean), Some(last)) =
                (self.mean(age + bins, bins), self.lags.at(age + behind))
            {
                with += (root - mean).powi(2);
                without += (root - last).powi(2);
                (came, said) = (came + root * root, said + mean * mean);
            }
        }
        (with < without && said > 0.0).then(|| (came / said).min(MOST_GROWTH))
    }

    /// Whether a bin is nothing like those at about its place in the periods before.
    fn is_far_off(&self, root: f64, age: usize, bins: usize, noise: f64) -> bool {
        let places = [age + bins, age + 2 * bins];
        let near = places.into_iter().flat_map(|place| (place - 1)..=(place + 1));
        let (low, high) = near
            .filter_map(|age| self.lags.at(age))
            .fold((f64::INFINITY, 0.0_f64), |(low, high), near| (low.min(near), high.max(near)));
        let off = (low - root).max(root - high);
        low <= high && off > CONFIDENCE * noise.sqrt() + TOLERANCE * root.max(high)
    }

    /// The mean at a place of the last three periods, as far as they are known.
    fn mean(&self, age: usize, bins: usize) -> Option<f64> {
        let roots = (0..3).filter_map(|period| self.lags.at(age + period * bins));
        let (sum, count) = roots.fold((0.0, 0.0), |(sum, count), root| (sum + root, count + 1.0));
        (count > 0.0).then(|| sum / count)
    }

    /// The bin of a moment, counted on from the first.
    fn number(&self, at: f64) -> i64 {
        ((at - self.origin) / BIN).floor() as i64
    }

    pub(super) fn save(&self, to: &mut Snapshot, now: Duration) {
        let Some(open) = self.open else { return };
        let begin = self.origin + open.number as f64 * BIN;
        let since = (age(Duration::ZERO, now) - begin).max(0.0);
        let bins = self.bins.unwrap_or(0) as f64;
        to.put("slo.period.open", [[since, open.count, open.seen, bins, self.growth]]);
        // Two digits are far below chance, and a file holds many of them.
        let short = |root: f32| (f64::from(root) * 100.0).round() / 100.0;
        to.put("slo.period", self.lags.values().map(|root| [root.map_or(UNKNOWN, short)]));
    }

    /// What was written down at `taken`.
    pub(super) fn load(&mut self, from: &Snapshot, taken: Duration) {
        let Some(open) = from.row::<5>("slo.period.open") else { return };
        if !open.into_iter().all(is_load) {
            return;
        }
        let [since, count, seen, bins, growth] = open;
        self.origin = taken.as_secs_f64() - since;
        self.open = Some(Open { number: 0, count, seen });
        let root = |[root]: [f64; 1]| (0.0..=MOST_ROOT).contains(&root).then_some(root as f32);
        self.lags = Lags::of(from.rows("slo.period").map(root));
        self.growth = growth.min(MOST_GROWTH);
        // Judged anew with the next bin.
        self.bins = Some(bins as usize).filter(|bins| (1..=LONGEST).contains(bins));
    }
}

impl Default for Period {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
