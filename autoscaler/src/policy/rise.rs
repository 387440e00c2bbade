//! By how much the need outgrows its forecasts: so many replicas can be missed at once, and no more.
//!
//! How high the need came by each rise is remembered with it. A rise of eight from four to twelve says that twelve may be
//! needed where four are, but not that thirty may be where twenty-two are, as the forecast may have seen all of that.

use super::snapshot::{Snapshot, age, moment};
use std::collections::VecDeque;
use std::time::Duration;

/// Forecasts that wait to be compared with what came: bounds the memory. A cold start of an hour has
/// one a second.
const MOST_FORECASTS: usize = 3600;
/// Rises that are remembered at once: bounds the memory. The smallest of too many are forgotten, though they came highest.
const MOST_RISES: usize = 64;

/// Forecasts, and the rises beyond them.
#[derive(Debug, Clone)]
pub(super) struct Rise {
    /// What was forecast from when on, as far back as it may still be compared.
    forecasts: VecDeque<(Duration, u32)>,
    /// The rises since `turned`, and in as long a time before.
    rises: [Rises; 2],
    turned: Duration,
}

/// Rises of which none is both smaller than another and less high.
type Rises = Vec<Reached>;

/// A rise beyond a forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reached {
    /// Replicas that were needed then,
    top: u32,
    /// and by how many that was more than was forecast.
    rise: u32,
}

impl Rise {
    /// Nothing is known at `now`, and nothing forecast.
    pub(super) fn begin(now: Duration) -> Self {
        Self { forecasts: VecDeque::new(), rises: [Vec::new(), Vec::new()], turned: now }
    }

    /// By how much more than `need` may be needed, unforeseen, by what was seen lately.
    pub(super) fn beyond(&self, need: u32) -> u32 {
        let reached = |seen: &Reached| seen.top.min(need.saturating_add(seen.rise));
        let most = self.rises.iter().flatten().map(reached).max().unwrap_or(0);
        most.saturating_sub(need)
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
            let [lately, _] = std::mem::take(&mut self.rises);
            (self.rises, self.turned) = ([Vec::new(), lately], now);
        }
        while self.forecasts.get(1).is_some_and(|&(at, _)| is_over(at, from)) {
            self.forecasts.pop_front();
        }
        let known = self.forecasts.iter().take_while(|&&(at, _)| is_over(at, to));
        let foreseen = known.map(|&(_, replicas)| replicas).min().unwrap_or(0);
        remember(
            &mut self.rises[0],
            Reached { top: needed, rise: needed.saturating_sub(foreseen) },
        );
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
        let row = |seen: &Reached| [f64::from(seen.top), f64::from(seen.rise)];
        to.put("slo.rises", self.rises.iter().flatten().map(row));
    }

    /// What was written down at `taken`.
    pub(super) fn load(&mut self, from: &Snapshot, taken: Duration) {
        for [top, rise] in from.rows("slo.rises").take(2 * MOST_RISES) {
            remember(&mut self.rises[1], Reached { top: top as u32, rise: rise as u32 });
        }
        // Those of before did not say how high they came.
        if let Some([rise]) = from.row("slo.rise").filter(|_| !from.has("slo.rises")) {
            remember(&mut self.rises[1], Reached { top: u32::MAX, rise: rise as u32 });
        }
        let row = |[age, replicas]: [f64; 2]| Some((moment(age, taken)?, replicas as u32));
        self.forecasts = from.rows("slo.forecasts").filter_map(row).take(MOST_FORECASTS).collect();
    }
}

/// Remembers a rise, in the place of those that it is as large and as high as.
fn remember(rises: &mut Rises, new: Reached) {
    let covers = |one: &Reached, other: &Reached| one.top >= other.top && one.rise >= other.rise;
    if new.rise == 0 || rises.iter().any(|seen| covers(seen, &new)) {
        return;
    }
    rises.retain(|seen| !covers(&new, seen));
    rises.push(new);
    if rises.len() > MOST_RISES {
        let least = rises.iter().map(|seen| seen.rise).min();
        rises.retain(|seen| Some(seen.rise) != least);
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
        rise.beyond(0)
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
        // What was written down before did not say how high a rise came.
        let mut old = Rise::begin(at(7));
        let mut snapshot = Snapshot::default();
        snapshot.put("slo.rise", [[5.0]]);
        old.load(&snapshot, at(7));
        assert_eq!(old.beyond(100), 5);
        for mut rise in [rise, next, old] {
            assert_eq!(rise.beyond(0), 5);
            for second in 8..=320 {
                rise.compare((1, 1), (60.0, 30.0), 100.0, at(second));
            }
            assert_eq!(rise.beyond(0), 0);
        }
    }

    #[test]
    fn a_rise_says_nothing_of_where_it_did_not_reach() {
        let mut rises = Rises::new();
        // One by eight from four to twelve, and one by two from 28.
        [(12, 8), (30, 2), (11, 7)]
            .into_iter()
            .for_each(|(top, rise)| remember(&mut rises, Reached { top, rise }));
        let rise = Rise { rises: [rises, Vec::new()], ..Rise::begin(Duration::ZERO) };
        let beyond = [0, 4, 8, 10, 20, 29, 30].map(|need| rise.beyond(need));
        assert_eq!(beyond, [8, 8, 4, 2, 2, 1, 0]);
    }

    #[test]
    fn too_many_rises_lose_the_smallest() {
        let mut rises = Rises::new();
        let all = 2 * MOST_RISES as u32;
        (1..=all).for_each(|rise| remember(&mut rises, Reached { top: 1000 - rise, rise }));
        assert_eq!(rises.len(), MOST_RISES);
        assert!(rises.iter().all(|seen| seen.rise > all - MOST_RISES as u32), "{rises:?}");
    }
}
