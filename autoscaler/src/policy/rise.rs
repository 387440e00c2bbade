//! By how much the need outgrows its forecasts: so many replicas can be missed at once, and no more.

use super::snapshot::{Snapshot, age, moment};
use std::collections::VecDeque;
use std::time::Duration;

/// Forecasts that wait to be compared with what came: bounds the memory. A cold start of an hour has
/// one a second.
const MOST_FORECASTS: usize = 3600;

/// Forecasts, and the largest rise beyond one.
#[derive(Debug, Clone)]
pub(super) struct Rise {
    /// What was forecast from when on, as far back as it may still be compared.
    forecasts: VecDeque<(Duration, u32)>,
    /// The largest rise since `turned`, and in as long a time before.
    largest: [u32; 2],
    turned: Duration,
}

impl Rise {
    /// Nothing is known at `now`, and nothing forecast.
    pub(super) fn begin(now: Duration) -> Self {
        Self { forecasts: VecDeque::new(), largest: [0; 2], turned: now }
    }

    /// The largest rise lately.
    pub(super) fn largest(&self) -> u32 {
        self.largest[0].max(self.largest[1])
    }

    /// Sets what is needed now beside the least that was forecast `from` to `to` seconds ago, and
    /// takes down that `soon` is forecast now. A rise is remembered for `memory` seconds, or twice that.
    pub(super) fn compare(
        &mut self,
        (needed, soon): (u32, u32),
        (from, to): (f64, f64),
        memory: f64,
        now: Duration,
    ) {
        let is_over = |at: Duration, seconds: f64| now.saturating_sub(at).as_secs_f64() >= seconds;
        if is_over(self.turned, memory) {
            (self.largest, self.turned) = ([0, self.largest[0]], now);
        }
        while self.forecasts.get(1).is_some_and(|&(at, _)| is_over(at, from)) {
            self.forecasts.pop_front();
        }
        let known = self.forecasts.iter().take_while(|&&(at, _)| is_over(at, to));
        let foreseen = known.map(|&(_, replicas)| replicas).min().unwrap_or(0);
        self.largest[0] = self.largest[0].max(needed.saturating_sub(foreseen));
        if self.forecasts.back().is_none_or(|&(_, last)| last != soon) {
            self.forecasts.push_back((now, soon));
            if self.forecasts.len() > MOST_FORECASTS {
                self.forecasts.pop_front();
            }
        }
    }

    pub(super) fn save(&self, to: &mut Snapshot, now: Duration) {
        let row = |&(at, replicas): &(Duration, u32)| [age(at, now), f64::from(replicas)];
        to.put("slo.forecasts", self.forecasts.iter().map(row));
        to.put("slo.rise", [[f64::from(self.largest())]]);
    }

    /// What was written down at `taken`.
    pub(super) fn load(&mut self, from: &Snapshot, taken: Duration) {
        let Some([rise]) = from.row("slo.rise") else { return };
        self.largest = [0, rise as u32];
        let row = |[age, replicas]: [f64; 2]| Some((moment(age, taken)?, replicas as u32));
        self.forecasts = from.rows("slo.forecasts").filter_map(row).take(MOST_FORECASTS).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest rise where `need` is a function of the second, and so is the forecast.
    fn largest(need: impl Fn(u32) -> u32, soon: impl Fn(u32) -> u32) -> u32 {
        let mut rise = Rise::begin(Duration::ZERO);
        for second in 0..600 {
            let now = Duration::from_secs(u64::from(second));
            rise.compare((need(second), soon(second)), (60.0, 30.0), 3600.0, now);
        }
        rise.largest()
    }

    #[test]
    fn what_a_forecast_saw_coming_is_no_rise() {
        let slope = |second: u32| second.saturating_sub(100) / 10;
        // Seen half a minute ahead, what grows in the other half minute is left.
        assert_eq!(largest(slope, |second| slope(second + 30)), 3);
        assert_eq!(largest(slope, slope), 6);
        assert_eq!(largest(slope, |second| slope(second + 60)), 0);
        assert_eq!(largest(|_| 7, |_| 7), 7, "nothing was forecast at the beginning");
    }

    #[test]
    fn a_burst_after_another_is_one_from_the_quiet_between_them() {
        let bursts = |second: u32| if second % 100 > 80 { 9 } else { 1 };
        assert_eq!(largest(bursts, bursts), 8);
    }

    #[test]
    fn it_is_forgotten_in_time_and_not_by_a_restart() {
        let at = Duration::from_secs;
        let mut rise = Rise::begin(at(0));
        rise.compare((5, 5), (60.0, 30.0), 100.0, at(1));
        let mut snapshot = Snapshot::default();
        rise.save(&mut snapshot, at(50));
        let mut next = Rise::begin(at(7));
        next.load(&snapshot, at(7));
        for mut rise in [rise, next] {
            assert_eq!(rise.largest(), 5);
            for second in 8..=320 {
                rise.compare((1, 1), (60.0, 30.0), 100.0, at(second));
            }
            assert_eq!(rise.largest(), 0);
        }
    }
}
