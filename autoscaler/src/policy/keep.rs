//! When a replica that is not needed may go: a break-even rule for each replica by itself.
//!
//! To bring one back costs its cold start, in which it serves nobody. So it is kept for as long as
//! that: whatever then happens, no more than twice the least possible is spent (the ski-rental
//! argument of A. Karlin et al., Algorithmica 3, 1988).
//!
//! Bringing back also makes requests late. The objective allows a share of them, which is a budget.
//! The more of it is spent, the dearer is a return, up to the cold start divided by that share: then,
//! even if each return comes right after they went, no larger share of the time is spent returning
//! than the objective allows.
//!
//! A share of few requests is no budget: whoever is asked once an hour, from zero, has spent it for days. So
//! the requests of the last hour bound the price, too: each is worth one start. One that was asked once goes to
//! zero after a start, and one that is asked each minute and a half stays.
//!
//! Only what can be missed at once is kept at such a price: no more than by what the need has lately
//! outgrown its forecasts, nor beyond where it came by that. A load that comes back as slowly as it went is met by the
//! forecast. One that surely falls must turn before it can rise, so what is needed until then is less.
//!
//! Where a period says what comes, a larger share may be late while little of the budget is spent, and what can be missed
//! would not spend it either: the objective is a share over time, and not of each second.
//!
//! How long each number of replicas was not needed is remembered. Where these gaps are alike, the
//! next end is known: the replica goes early and is there again when it is needed (the pre-warm windows
//! of M. Shahrad et al., USENIX ATC 2020, for each number of replicas instead of each application).

use super::level::Level;
use super::observation::is_load;
use super::rise::Rise;
use super::snapshot::{Snapshot, age, moment};
use std::collections::VecDeque;
use std::time::Duration;

/// The shortest time a replica is kept: below, the windows that measure the load would flap.
pub(super) const SHORTEST: f64 = 15.0;
/// The longest: one day, after which what was is no sign of what comes.
const LONGEST: f64 = 86_400.0;
/// How long the budget remembers, in seconds: an hour, like the objective's usual reports.
const MEMORY: f64 = 3600.0;
/// The share of the budget from which on a return is dearer than its cold start. The rest is for
/// what nobody foresees.
const SPENDABLE: f64 = 0.5;
/// Cold starts for which requests are late at a return: one until replicas are ready, and as long
/// again until they have caught up.
const LATE_FOR: f64 = 2.0;
/// The share of a start for which one is kept that is not needed by a load that surely falls,
const FALLING: f64 = 1.0 / 3.0;
/// and the shortest time in seconds: some looks, so that it is no slip of one.
const SHORTEST_FALLING: f64 = 3.0;
/// Seconds for which a load must have surely fallen before that says what can be missed: a step looks like it for a few.
const SURELY: f64 = 10.0;
/// How many times as long a load goes on to fall as those take that would be started for its rise.
const TURN: f64 = 2.0;
/// Times the share of the objective that may be late where the budget is whole: a share of a load that moves is mostly
/// below what its replicas are for, as they are whole ones.
const MOST_SHARE: f64 = 5.0;
/// The most that may be late at any time, as in the objective.
const MOST_LATE: f64 = 0.5;
/// Replicas whose gaps are remembered: bounds the memory, and what is written down of it. Those beyond
/// go with the last one.
const MOST_LEVELS: usize = 2048;

/// What is remembered of needs, arrivals and late requests.
#[derive(Debug, Clone)]
pub struct Keep {
    /// For each number of replicas, from 1, whether and since when it is not needed.
    levels: Vec<Level>,
    needed: u32,
    /// What may have been needed, with the moment of it: an older one matters only while larger.
    falling: VecDeque<(Duration, u32)>,
    arrivals: f64,
    late: f64,
    /// The largest rate lately, in requests a second, and the replicas for it.
    busy: Busy,
    rise: Rise,
    /// Requests that would be late by the largest rise that may come now.
    risk: f64,
    /// Since when the load surely falls.
    falls_since: Option<Duration>,
}

/// A load.
#[derive(Debug, Clone, Copy, Default)]
struct Busy {
    rate: f64,
    replicas: f64,
}

/// What is needed, and what a return costs.
#[derive(Debug, Clone, Copy)]
pub struct Need {
    /// Replicas for what comes now.
    pub now: u32,
    /// Replicas for what comes when one that is started now is ready.
    pub soon: u32,
    /// Replicas for the most that may come now.
    pub most: u32,
    /// Replicas for the most that comes until one that went now could be back, where a period says so.
    pub again: Option<u32>,
    /// Requests a second,
    pub rate: f64,
    /// and by how many that surely falls each second.
    pub fall: f64,
    /// Seconds until a replica is ready.
    pub cold_start: f64,
    /// The share of requests that may be late.
    pub allowed_late: f64,
}

/// What keeps replicas.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Kept {
    /// Replicas to keep if they are there.
    pub replicas: u32,
    /// Replicas to have because they are about to be needed again.
    pub due: u32,
    /// How long one is kept that is not needed, in seconds.
    pub seconds: f64,
}

impl Need {
    /// By how many replicas it surely falls within `seconds`.
    fn falls(&self, seconds: f64) -> f64 {
        if self.rate > 0.0 { self.fall / self.rate * f64::from(self.now) * seconds } else { 0.0 }
    }
}

impl Keep {
    /// The memory of an autoscaler that begins at `now` while `current` replicas run: they were
    /// needed a moment ago, for all it knows.
    pub fn begin(current: u32, now: Duration) -> Self {
        let mut keep = Self {
            levels: Vec::new(),
            needed: 0,
            falling: VecDeque::new(),
            arrivals: 0.0,
            late: 0.0,
            busy: Busy::default(),
            rise: Rise::begin(now),
            risk: 0.0,
            falls_since: None,
        };
        keep.note(current, f64::INFINITY, now);
        keep
    }

    /// Notes what came in a tick of `seconds`, and how many of those were late.
    pub fn came(&mut self, arrivals: f64, late: f64, seconds: f64) {
        let fade = (-seconds / MEMORY).exp();
        self.arrivals = self.arrivals * fade + arrivals;
        self.late = self.late * fade + late.min(arrivals);
        (self.busy.rate, self.busy.replicas) = (self.busy.rate * fade, self.busy.replicas * fade);
    }

    /// How much dearer than the least a late request is: 1 while the budget can pay for `more` of them,
    /// and up to one over the share that may be late.
    pub fn price(&self, more: f64, allowed: f64) -> f64 {
        let foreseen = (self.late + more) / self.arrivals.max(1.0);
        let spent = (foreseen / allowed - SPENDABLE) / (1.0 - SPENDABLE);
        allowed.recip().powf(spent.clamp(0.0, 1.0))
    }

    /// The share of those that come now that may be late, where `allowed` may be of all, and a period says what comes.
    pub fn share(&self, allowed: f64) -> f64 {
        let budget = self.arrivals * allowed;
        // The next one may be late already.
        let spent = self.late + self.risk + 1.0;
        let left = (budget - spent).max(0.0) / budget.max(1.0);
        (allowed * (1.0 + (MOST_SHARE - 1.0) * left)).min(MOST_LATE)
    }

    /// Requests that came lately, at least 1.
    pub fn came_lately(&self) -> u32 {
        self.arrivals.ceil().max(1.0) as u32
    }

    /// The share of recent requests that was late.
    pub fn late(&self) -> f64 {
        if self.arrivals > 0.0 { self.late / self.arrivals } else { 0.0 }
    }

    /// How many of `current` to keep.
    pub fn keep(&mut self, need: &Need, current: u32, now: Duration) -> Kept {
        let cold = need.cold_start.clamp(0.0, LONGEST);
        let short = cold.max(SHORTEST);
        let needs = (need.now, need.soon.max(need.now));
        // From those that, if started then, would have caught up by now, to those just ready; and what
        // may be kept for so long is remembered for so long.
        let since = LATE_FOR * short;
        self.rise.compare(needs, (since, short), MEMORY.max(since / need.allowed_late), now);
        self.note(need.now, short, now);
        // What may come beyond what is expected is over when a load surely falls.
        let most = if need.fall > 0.0 { need.now } else { need.most };
        self.may_need(need.soon.max(most), short, now);
        if need.rate >= self.busy.rate {
            self.busy = Busy { rate: need.rate, replicas: f64::from(need.now) };
        }
        self.falls_since = (need.fall > 0.0).then(|| self.falls_since.unwrap_or(now));
        let rise = self.beyond(need, since, now);
        let late_each = self.busy.rate / self.busy.replicas.max(1.0) * LATE_FOR * cold;
        self.risk = f64::from(self.rise.beyond(need.now)) * late_each;
        let missed = f64::from(current.saturating_sub(need.now).min(rise));
        let at_return = missed.min(self.busy.replicas.max(1.0)) * late_each;
        let price = self.price(at_return, need.allowed_late);
        let most_seconds = (cold * price).clamp(short, LONGEST);
        // Who is asked rarely can't keep within the budget, so each of those that come is worth one start.
        let seconds = most_seconds.min(cold * self.arrivals).max(short);
        let known = self.levels.len() as u32;
        let missed_at_once = need.now.saturating_add(rise).min(known);
        // Who rests until a known moment lets all rest that are needed later.
        let rests = |level: &u32| self.level(*level).rests(cold, now);
        let above = need.now.saturating_add(1);
        let top = (above..=known).find(rests).map_or(missed_at_once, |level| level - 1);
        let top = top.min(missed_at_once).min(current);
        // Who is not needed again for so long goes, and who is stays.
        let again = need.again.map(|again| again.max(need.now));
        let top = again.map_or(top, |again| top.min(again));
        let is_kept = |level: &u32| self.level(*level).keeps(seconds, most_seconds, now);
        let kept = (above..=top).rev().find(is_kept).unwrap_or(need.now);
        let is_due = |level: &u32| self.level(*level).is_due(cold, now);
        // Where a period says what comes next, the need holds it already, and gaps say it less exactly.
        let due = if again.is_some() { None } else { (above..=known).rev().find(is_due) };
        let due = due.unwrap_or(need.now);
        let possible = self.possible(need, short, now);
        // What is beyond the last level stays with it.
        let kept = if kept == MOST_LEVELS as u32 { current } else { kept };
        let kept = kept.max(again.unwrap_or(0).min(current));
        Kept { replicas: kept.max(due).max(possible), due, seconds }
    }

    pub(super) fn save(&self, to: &mut Snapshot, now: Duration) {
        to.put("slo.levels", self.levels.iter().map(|level| level.row(now)));
        to.put("slo.needed", [[f64::from(self.needed)]]);
        let row = |&(at, replicas)| [age(at, now), f64::from(replicas)];
        to.put("slo.possible", self.falling.iter().map(row));
        let Busy { rate, replicas } = self.busy;
        to.put("slo.budget", [[self.arrivals, self.late, rate, replicas]]);
        self.rise.save(to, now);
    }

    pub(super) fn load(&mut self, from: &Snapshot, taken: Duration) {
        if let Some([needed]) = from.row("slo.needed") {
            let levels = from.rows("slo.levels").take(MOST_LEVELS);
            self.levels = levels.map(|row| Level::of_row(row, taken)).collect();
            self.needed = (needed as u32).min(self.levels.len() as u32);
        }
        let row = |[age, replicas]: [f64; 2]| Some((moment(age, taken)?, replicas as u32));
        if from.has("slo.possible") {
            self.falling = from.rows("slo.possible").filter_map(row).collect();
        }
        let budget = from.row("slo.budget").filter(|budget| budget.iter().all(|n| is_load(*n)));
        self.rise.load(from, taken);
        if let Some([arrivals, late, rate, replicas]) = budget {
            (self.arrivals, self.late) = (arrivals, late);
            self.busy = Busy { rate, replicas };
        }
    }

    /// Levels that are needed again have had a gap; those that no longer are begin one.
    fn note(&mut self, needed: u32, short: f64, now: Duration) {
        let needed = needed.min(MOST_LEVELS as u32);
        self.reach(needed);
        for level in self.needed..needed {
            self.levels[level as usize].needed(short, now);
        }
        for level in needed..self.needed {
            self.levels[level as usize].not_needed(now);
        }
        self.needed = needed;
    }

    fn reach(&mut self, count: u32) {
        if self.levels.len() < count as usize {
            self.levels.resize(count as usize, Level::default());
        }
    }

    /// What may have been needed counts for another `short` seconds.
    fn may_need(&mut self, replicas: u32, short: f64, now: Duration) {
        while self.falling.back().is_some_and(|&(_, last)| last <= replicas) {
            self.falling.pop_back();
        }
        self.falling.push_back((now, replicas));
        while self.falling.front().is_some_and(|&(at, _)| age(at, now) > short) {
            self.falling.pop_front();
        }
    }

    /// What may have been needed a moment ago, less what a load has surely fallen by since.
    fn possible(&self, need: &Need, short: f64, now: Duration) -> u32 {
        // Who knows what comes back waits no longer than it takes to see that chance does not bring it.
        let wait = if need.fall > 0.0 {
            (FALLING * need.cold_start).max(SHORTEST_FALLING)
        } else if need.again.is_some() {
            SHORTEST
        } else {
            short
        };
        let recent = self.falling.iter().filter(|&&(at, _)| age(at, now) <= wait);
        let left = |&(at, most): &(Duration, u32)| f64::from(most) - need.falls(age(at, now));
        recent.map(left).fold(0.0, f64::max).ceil() as u32
    }

    /// By how much the need can outgrow its forecasts now: when a load that surely falls could have turned, it is less.
    fn beyond(&self, need: &Need, since: f64, now: Duration) -> u32 {
        let falls = self.falls_since.is_some_and(|at| age(at, now) >= SURELY);
        let fallen = if falls { need.falls(TURN * since) } else { 0.0 };
        let turned = (f64::from(need.now) - fallen).max(0.0).ceil() as u32;
        turned.saturating_add(self.rise.beyond(turned)).saturating_sub(need.now)
    }

    /// The level of a number of replicas, from 1.
    fn level(&self, number: u32) -> Level {
        self.levels.get(number as usize - 1).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
