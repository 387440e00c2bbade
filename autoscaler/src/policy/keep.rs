//! When a replica that is not needed may go: a break-even rule.
//!
//! To bring one back costs its cold start, in which it serves nobody. So it is kept for as long as
//! that: whatever then happens, no more than twice the least possible is spent (the ski-rental
//! argument of A. Karlin et al., Algorithmica 3, 1988).
//!
//! Bringing back also makes requests late. The objective allows a share of them, which is a budget.
//! While the budget can't pay for another return, replicas are kept for the cold start divided by
//! that share: then, even if each return comes right after they went, no larger share of the time
//! is spent returning than the objective allows.

use super::observation::is_load;
use super::snapshot::{Snapshot, age, moment};
use std::collections::VecDeque;
use std::time::Duration;

/// The shortest time a replica is kept: below, the windows that measure the load would flap.
const SHORTEST: f64 = 15.0;
/// The longest: one day, after which what was is no sign of what comes.
const LONGEST: f64 = 86_400.0;
/// How long the budget remembers, in seconds: an hour, like the objective's usual reports.
const MEMORY: f64 = 3600.0;
/// The share of the budget that may be spent on returns. The rest is for what nobody foresees.
const SPENDABLE: f64 = 0.5;
/// A new return counts for one part in so many in what a return is known to cost.
const RETURNS: f64 = 3.0;

/// What is remembered of needs, arrivals and late requests.
#[derive(Debug, Clone)]
pub struct Keep {
    /// Falling needs with the moment each was last seen: an older one matters only while larger.
    falling: VecDeque<(Duration, u32)>,
    arrivals: f64,
    late: f64,
    /// The largest rate lately, in requests a second.
    busy_rate: f64,
    /// Late requests at a return, as a share of those that come in a cold start.
    return_share: f64,
    growing: Option<Growing>,
}

/// A return that goes on: late requests are counted until its replicas are ready.
#[derive(Debug, Clone, Copy)]
struct Growing {
    until: Duration,
    arrivals: f64,
    late: f64,
}

/// What keeps replicas.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Kept {
    /// Replicas to have.
    pub replicas: u32,
    /// How long a need is remembered, in seconds.
    pub seconds: f64,
    /// The share of recent requests that was late.
    pub late: f64,
}

impl Keep {
    /// The memory of an autoscaler that begins at `now` while `current` replicas run: they were
    /// needed a moment ago, for all it knows.
    pub fn begin(current: u32, now: Duration) -> Self {
        Self {
            falling: VecDeque::from([(now, current)]),
            arrivals: 0.0,
            late: 0.0,
            busy_rate: 0.0,
            return_share: 1.0,
            growing: None,
        }
    }

    /// Notes what came in a tick of `seconds`, and how many of those were late.
    pub fn came(&mut self, arrivals: f64, late: f64, seconds: f64, now: Duration) {
        let fade = (-seconds / MEMORY).exp();
        self.arrivals = self.arrivals * fade + arrivals;
        self.late = self.late * fade + late.min(arrivals);
        self.busy_rate *= fade;
        if let Some(growing) = &mut self.growing {
            growing.arrivals += arrivals;
            growing.late += late.min(arrivals);
            if now >= growing.until {
                let share = growing.late / growing.arrivals.max(1.0);
                self.return_share += (share - self.return_share) / RETURNS;
                self.growing = None;
            }
        }
    }

    /// Notes that replicas were started, which are ready in `cold_start` seconds.
    pub fn grew(&mut self, cold_start: f64, now: Duration) {
        if self.growing.is_none() {
            let until = now.saturating_add(Duration::from_secs_f64(cold_start));
            self.growing = Some(Growing { until, arrivals: 0.0, late: 0.0 });
        }
    }

    /// How many of `current` to keep where `needed` are, at a mean `rate` of requests.
    pub fn keep(
        &mut self,
        needed: u32,
        current: u32,
        rate: f64,
        allowed_late: f64,
        cold_start: f64,
        now: Duration,
    ) -> Kept {
        self.busy_rate = self.busy_rate.max(rate);
        self.note(needed, now);
        let short = cold_start.clamp(SHORTEST, LONGEST);
        let long = (cold_start / allowed_late).clamp(short, LONGEST);
        let lately = self.most_within(short, now);
        let gone = f64::from(current.saturating_sub(lately)) / f64::from(current.max(1));
        let cost = self.return_share * self.busy_rate * cold_start * gone;
        let budget = SPENDABLE * allowed_late * self.arrivals - self.late;
        let seconds = if cost <= budget { short } else { long };
        let replicas = self.most_within(seconds, now).max(needed);
        let late = if self.arrivals > 0.0 { self.late / self.arrivals } else { 0.0 };
        Kept { replicas, seconds, late }
    }

    pub(super) fn save(&self, to: &mut Snapshot, now: Duration) {
        let row = |&(at, needed)| [age(at, now), f64::from(needed)];
        to.put("slo.needed", self.falling.iter().map(row));
        to.put("slo.budget", [[self.arrivals, self.late, self.busy_rate, self.return_share]]);
    }

    pub(super) fn load(&mut self, from: &Snapshot, taken: Duration) {
        let row = |[age, needed]: [f64; 2]| Some((moment(age, taken)?, needed as u32));
        if from.has("slo.needed") {
            self.falling.clear();
            from.rows("slo.needed").filter_map(row).for_each(|(at, needed)| self.note(needed, at));
        }
        let budget = from.row("slo.budget").filter(|budget| budget.iter().all(|n| is_load(*n)));
        if let Some([arrivals, late, busy_rate, return_share]) = budget {
            (self.arrivals, self.late, self.busy_rate) = (arrivals, late, busy_rate);
            self.return_share = return_share;
        }
    }

    fn note(&mut self, needed: u32, now: Duration) {
        while self.falling.back().is_some_and(|&(_, last)| last <= needed) {
            self.falling.pop_back();
        }
        self.falling.push_back((now, needed));
        let longest = Duration::from_secs_f64(LONGEST);
        while self.falling.front().is_some_and(|&(at, _)| now.saturating_sub(at) > longest) {
            self.falling.pop_front();
        }
    }

    /// The most that was needed in the last `seconds`.
    fn most_within(&self, seconds: f64, now: Duration) -> u32 {
        let recent = |at: Duration| now.saturating_sub(at).as_secs_f64() <= seconds;
        self.falling.iter().find(|(at, _)| recent(*at)).map_or(0, |&(_, needed)| needed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// Seconds until fewer than ten are kept, once three are needed; `late` of 10,000 were late.
    fn kept_for(late: f64, cold_start: f64) -> f64 {
        let mut keep = Keep::begin(10, at(0.0));
        keep.came(10_000.0, late, 1.0, at(0.0));
        keep.keep(10, 10, 0.5, 0.01, cold_start, at(0.0));
        let mut now = 0.0;
        loop {
            now += 1.0;
            if keep.keep(3, 10, 0.5, 0.01, cold_start, at(now)).replicas < 10 {
                return now;
            }
        }
    }

    #[test]
    fn a_replica_is_kept_for_its_cold_start_while_the_budget_can_pay_for_a_return() {
        assert_eq!(kept_for(0.0, 30.0), 31.0);
        assert_eq!(kept_for(0.0, 1.0), SHORTEST + 1.0);
    }

    #[test]
    fn and_for_that_divided_by_the_allowed_share_while_it_can_not() {
        assert_eq!(kept_for(100.0, 30.0), 3001.0);
    }

    #[test]
    fn returns_that_made_nobody_late_become_cheap() {
        let mut keep = Keep::begin(1, at(0.0));
        for round in 1..20_u32 {
            let now = at(f64::from(round) * 100.0);
            keep.grew(10.0, now);
            keep.came(100.0, 0.0, 20.0, now + at(20.0));
        }
        assert!(keep.return_share < 0.01, "{}", keep.return_share);
    }
}
