//! How one version takes over from the others: step by step, as long as it does well.
//!
//! A step lasts its pause. Then the counts since its beginning decide: the version goes on if it does
//! well, is taken back if it does badly and not by chance ([`evidence`]), and waits for more requests in
//! between, for so long as the document says. What is sure is not waited for: a version that fails is
//! taken back at once, before its pause is over. It then gets nothing, and stays so.
//!
//! Well is a share of failures and a share of slow requests that are allowed. Slow is what takes longer
//! than a percentile of the other versions' ([`latency`]), times a factor. Sure of slowness is only who
//! has also looked at the other versions long enough: their percentile is a guess too.

pub mod evidence;
pub mod latency;
pub mod verdict;
pub mod weights;

use super::snapshot::{Snapshot, age, moment};
use evidence::{LIKELY, SURE, difference, evidence};
use latency::Latency;
use std::time::Duration;
use verdict::{Finding, RolloutReason, TooFew, Verdict, Well, more};

/// A version that fails this many times as often as the others is worse than they are, though it may
/// fail no more often than is allowed.
const MANY_MORE: f64 = 2.0;

/// What all requests get.
const WHOLE: u32 = 100;

/// The way of one version.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Its weights, rising, and how long each lasts at the least. Not empty.
    pub steps: Vec<Step>,
    /// What must hold.
    pub condition: Condition,
}

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// How many of a hundred requests it gets.
    pub weight: u32,
    /// For how long at the least.
    pub pause: Duration,
}

/// What must hold for a version to go on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Condition {
    /// The least share of requests that must end well.
    pub success_rate: f64,
    /// Which percentile of how long requests take is compared.
    pub percentile: f64,
    /// How many times that of the others it may be; 0 is off.
    pub factor: f64,
    /// So many requests are needed.
    pub min_requests: f64,
    /// How long they are waited for.
    pub max_wait: Duration,
}

/// What became of one version's requests, or of several together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    /// Ended well.
    pub well: f64,
    /// Failed.
    pub failed: f64,
    /// How long they took.
    pub latency: Latency,
}

/// Where a version stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// In the step of this index.
    Step(usize),
    /// It gets all.
    Promoted,
    /// It gets nothing.
    TakenBack,
}

/// A version on its way.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollout {
    plan: Plan,
    stage: Stage,
    since: Duration,
    /// Since when its requests are counted, which may be later.
    counted_since: Duration,
    own: Tally,
    others: Tally,
}

/// What a look at a version has come to.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// Whether its weight changes.
    pub is_change: bool,
    /// Why.
    pub reason: RolloutReason,
    /// A sentence with the numbers.
    pub detail: String,
}

// === impl Tally ===

impl Tally {
    /// Requests that count.
    pub fn requests(&self) -> f64 {
        self.well + self.failed
    }

    /// Adds what was counted elsewhere or later.
    pub fn add(&mut self, more: &Self) {
        self.well += more.well;
        self.failed += more.failed;
        self.latency.add(&more.latency);
    }

    /// What was counted since an earlier look at the same source.
    pub fn since(&self, before: &Self) -> Self {
        let since = |now: f64, before: f64| if now >= before { now - before } else { now };
        Self {
            well: since(self.well, before.well),
            failed: since(self.failed, before.failed),
            latency: self.latency.since(&before.latency),
        }
    }
}

// === impl Rollout ===

impl Rollout {
    /// One that begins its first step.
    pub fn begin(plan: Plan, now: Duration) -> Self {
        let (own, others) = Default::default();
        Self { plan, stage: Stage::Step(0), since: now, counted_since: now, own, others }
    }

    /// One that has stood at a stage for so long, and of which nobody knows any more what was counted.
    /// A step that the plan does not have begins it anew.
    pub fn resume(plan: Plan, stage: Stage, stood_for: Duration, now: Duration) -> Self {
        let steps = plan.steps.len();
        let own = Self::begin(plan, now);
        if matches!(stage, Stage::Step(index) if index >= steps) {
            return own;
        }
        Self { stage, since: now.saturating_sub(stood_for), ..own }
    }

    /// Where it stands.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// How many steps there are.
    pub fn steps(&self) -> usize {
        self.plan.steps.len()
    }

    /// How many of a hundred requests the version gets.
    pub fn weight(&self) -> u32 {
        match self.stage {
            Stage::Step(index) => self.plan.steps.get(index).map_or(WHOLE, |step| step.weight),
            Stage::Promoted => WHOLE,
            Stage::TakenBack => 0,
        }
    }

    /// Looks at what has come since the last look, of the version and of the others together. Nothing
    /// once it is promoted or taken back.
    pub fn look(&mut self, own: &Tally, others: &Tally, now: Duration) -> Option<Look> {
        let Stage::Step(index) = self.stage else { return None };
        let step = *self.plan.steps.get(index)?;
        self.own.add(own);
        self.others.add(others);
        let condition = self.plan.condition;
        let verdict = judge(&condition, &self.own, &self.others);
        if let Verdict::Bad(finding) = verdict {
            return Some(self.take_back(finding.reason(), finding.to_string(), now));
        }
        let waited = now.saturating_sub(self.since);
        if let Some(left) = step.pause.checked_sub(waited).filter(|left| !left.is_zero()) {
            return Some(waits(RolloutReason::Pause, more(left)));
        }
        let (reason, detail) = match verdict {
            Verdict::Well(well) => return Some(self.go_on(index, &well, now)),
            Verdict::Bad(finding) => (finding.reason(), finding.to_string()),
            Verdict::Unsure(finding) => (RolloutReason::Unsure, finding.to_string()),
            Verdict::TooFew(few) => (RolloutReason::TooFewRequests, few.to_string()),
        };
        // Who has just begun to count has not waited yet.
        let waits_since = self.counted_since.max(self.since + step.pause);
        if now < waits_since + condition.max_wait {
            return Some(waits(reason, detail));
        }
        let detail = format!("still not sure after all that may be waited: {detail}");
        Some(self.take_back(RolloutReason::MaxWait, detail, now))
    }

    /// Takes the version back, as its replicas can't be started: nobody has to wait for it in vain before
    /// that is known. Nothing once it is promoted or taken back.
    pub fn fail(&mut self, why: &str, now: Duration) -> Option<Look> {
        let is_on_its_way = matches!(self.stage, Stage::Step(_));
        is_on_its_way.then(|| {
            let detail = format!("its replicas don't start: {why}");
            self.take_back(RolloutReason::StartFailed, detail, now)
        })
    }

    /// Stays at its step, which begins anew once it may go on: what comes meanwhile does not count.
    pub fn hold(&mut self, now: Duration) {
        if matches!(self.stage, Stage::Step(_)) {
            self.enter(self.stage, now);
        }
    }

    fn go_on(&mut self, index: usize, well: &Well, now: Duration) -> Look {
        let (stage, reason) = match index + 1 {
            next if next < self.plan.steps.len() => (Stage::Step(next), RolloutReason::Passed),
            _ => (Stage::Promoted, RolloutReason::Promoted),
        };
        self.enter(stage, now);
        Look { is_change: true, reason, detail: well.to_string() }
    }

    fn take_back(&mut self, reason: RolloutReason, detail: String, now: Duration) -> Look {
        self.enter(Stage::TakenBack, now);
        Look { is_change: true, reason, detail }
    }

    fn enter(&mut self, stage: Stage, now: Duration) {
        (self.stage, self.since, self.counted_since) = (stage, now, now);
        (self.own, self.others) = Default::default();
    }

    /// What another process needs to go on.
    pub fn snapshot(&self, now: Duration) -> Snapshot {
        let mut kept = Snapshot::default();
        let stage = match self.stage {
            Stage::Step(index) => index as f64,
            Stage::Promoted => PROMOTED,
            Stage::TakenBack => TAKEN_BACK,
        };
        kept.put("stage", [[stage, age(self.since, now)]]);
        kept.put("counted", [[age(self.counted_since, now)]]);
        for (name, tally) in [("own", &self.own), ("others", &self.others)] {
            kept.put(name, [[tally.well, tally.failed, tally.latency.beyond]]);
            let buckets = tally.latency.buckets.iter().map(|(end, count)| [*end, *count]);
            kept.put(&format!("{name}.buckets"), buckets);
        }
        kept
    }

    /// One that goes on, `ago` after a snapshot of the same plan was taken. What makes no sense begins.
    pub fn restore(plan: Plan, kept: &Snapshot, ago: Duration, now: Duration) -> Self {
        let steps = plan.steps.len();
        let mut own = Self::begin(plan, now);
        let Some([stage, age]) = kept.row::<2>("stage") else { return own };
        own.stage = match stage {
            PROMOTED => Stage::Promoted,
            TAKEN_BACK => Stage::TakenBack,
            index if (0.0..steps as f64).contains(&index) => Stage::Step(index as usize),
            _ => return own,
        };
        own.since = moment(age + ago.as_secs_f64(), now).unwrap_or_default();
        // While nobody counted it has not waited.
        let counted = kept.row::<1>("counted").map_or(age, |[counted]| counted);
        own.counted_since = moment(counted, now).unwrap_or_default();
        let tally = |name: &str| {
            let [well, failed, beyond] = kept.row::<3>(name)?;
            let rows = format!("{name}.buckets");
            let buckets = kept.rows::<2>(&rows).map(|[end, count]| (end, count));
            let tally =
                Tally { well, failed, latency: Latency { buckets: buckets.collect(), beyond } };
            Some(tally).filter(|_| well >= 0.0 && failed >= 0.0 && beyond >= 0.0)
        };
        own.own = tally("own").unwrap_or_default();
        own.others = tally("others").unwrap_or_default();
        own
    }
}

/// How the stages that are no steps are kept.
const PROMOTED: f64 = -1.0;
const TAKEN_BACK: f64 = -2.0;

fn waits(reason: RolloutReason, detail: String) -> Look {
    Look { is_change: false, reason, detail }
}

/// What the counts say. What is surely bad comes first: it needs no more requests.
fn judge(condition: &Condition, own: &Tally, others: &Tally) -> Verdict {
    let (failed, requests) = (own.failed, own.requests());
    let allowed = 1.0 - condition.success_rate;
    let too_many = Finding::SuccessRate { failed, requests, allowed };
    let fails = failed > allowed * requests;
    if fails && evidence(failed, requests, allowed) >= SURE {
        return Verdict::Bad(too_many);
    }
    let elsewhere = (others.failed, others.requests());
    let is_many = failed * elsewhere.1 > MANY_MORE * elsewhere.0 * requests;
    if is_many && difference((failed, requests), elsewhere) >= SURE {
        return Verdict::Bad(Finding::MoreFailures { failed, requests, others: elsewhere });
    }
    if let Some(slow) = surely_slow(condition, own, others) {
        return Verdict::Bad(slow);
    }
    let needed = condition.min_requests;
    if requests < needed {
        return Verdict::TooFew(TooFew { requests, needed, of_others: false });
    }
    if fails {
        return Verdict::Unsure(too_many);
    }
    if condition.factor == 0.0 {
        return Verdict::Well(Well { requests, failed, latency: None });
    }
    let (own, others) = (&own.latency, &others.latency);
    for (of, of_others) in [(own, false), (others, true)] {
        if of.count() < needed {
            return Verdict::TooFew(TooFew { requests: of.count(), needed, of_others });
        }
    }
    let share = condition.percentile;
    let both = own.percentile(share).zip(others.percentile(share));
    let (mine, theirs) = both.unwrap_or_default();
    let limit = theirs * condition.factor;
    // Where the others take longer than any bucket, nobody is slow.
    let slow = if limit.is_finite() { own.longer_than(limit) } else { 0.0 };
    if slow > (1.0 - share) * own.count() {
        return Verdict::Unsure(finding(condition, slow, own.count(), limit));
    }
    Verdict::Well(Well { requests, failed, latency: Some((share, mine, theirs)) })
}

/// Whether so many requests are slow that it is no chance, by a limit that the other versions keep
/// most likely.
fn surely_slow(condition: &Condition, own: &Tally, others: &Tally) -> Option<Finding> {
    if condition.factor == 0.0 {
        return None;
    }
    let (own, others) = (&own.latency, &others.latency);
    let (count, all) = (own.count(), others.count());
    let allowed = 1.0 - condition.percentile;
    let is_above = |end: &f64| {
        let longer = others.longer_than(*end);
        longer < allowed * all && evidence(longer, all, allowed) >= LIKELY
    };
    let limit = others.ends().find(is_above)? * condition.factor;
    let slow = own.surely_longer_than(limit);
    let is_sure = slow > allowed * count && evidence(slow, count, allowed) >= SURE;
    is_sure.then(|| finding(condition, slow, count, limit))
}

fn finding(condition: &Condition, slow: f64, requests: f64, limit: f64) -> Finding {
    let (allowed, factor) = (1.0 - condition.percentile, condition.factor);
    Finding::Latency { slow, requests, limit, allowed, factor }
}

#[cfg(test)]
mod tests;
