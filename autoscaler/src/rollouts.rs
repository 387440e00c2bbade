//! The rollouts: what the gateways count of an API's versions, and the weights that follow from it.

use crate::clock::Clock;
use crate::policy::rollout::verdict::RolloutReason;
use crate::policy::rollout::weights::adjust;
use crate::policy::rollout::{Condition, Look, Plan, Rollout, Stage, Step, Tally};
use crate::policy::snapshot::Snapshot;
use crate::state::{Before, RolloutState};
use crate::status::{RolloutChange, RolloutStatus};
use std::collections::BTreeMap;
use std::time::Duration;
use tidegate_api::document::{self, InferenceApi, RolloutCondition};
use tidegate_api::duration_text;
use tidegate_api::endpoints::TrafficWeights;

/// One API of which a version takes over.
#[derive(Debug)]
pub(crate) struct RolloutControl {
    /// The API.
    pub(crate) api: String,
    /// The version.
    pub(crate) to: String,
    /// The other versions with their weights in the document, as they are listed.
    others: Vec<(String, u32)>,
    /// What the document asks for, as text.
    plan: String,
    /// Whether the document holds it where it is.
    is_paused: bool,
    rollout: Rollout,
    /// What each gateway has said last.
    seen: BTreeMap<String, BTreeMap<String, Tally>>,
    reason: String,
    detail: String,
    /// As many as a rollout has steps, and an end.
    changes: Vec<RolloutChange>,
}

/// Where a rollout stands, without what was counted.
#[cfg(feature = "kubernetes")]
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Standing {
    /// What the document asks for, as text.
    pub(crate) plan: String,
    /// Its step, or how it has ended.
    pub(crate) stage: Stage,
    /// Why: a word.
    pub(crate) reason: String,
    /// The same in a sentence.
    pub(crate) detail: String,
}

impl RolloutControl {
    /// That of an API, as it was `before` if the document asks for the same; nothing where none is
    /// asked for.
    pub(crate) fn of(api: &InferenceApi, before: &mut Before, now: Duration) -> Option<Self> {
        let (traffic, wanted) = (api.traffic.as_ref()?, api.rollout.as_ref()?);
        let text = text(wanted);
        let kept = before.take_rollout(&api.name).filter(|kept| kept.plan == text);
        let plan = plan(wanted);
        let (rollout, why) = match kept {
            Some(RolloutState { reason, detail, series, .. }) => {
                let series = Snapshot::from_series(series);
                (Rollout::restore(plan, &series, before.ago, now), (reason, detail))
            }
            None => (Rollout::begin(plan, now), began()),
        };
        Some(Self::new((api, traffic, wanted), rollout, why))
    }

    /// That of an API where it `stood`, for so long, if the document asks for the same; nobody knows
    /// any more what was counted. Nothing where none is asked for.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn resume(
        api: &InferenceApi,
        stood: Option<(Standing, Duration)>,
        now: Duration,
    ) -> Option<Self> {
        let (traffic, wanted) = (api.traffic.as_ref()?, api.rollout.as_ref()?);
        let (plan, text) = (plan(wanted), text(wanted));
        let (rollout, why) = match stood.filter(|(stood, _)| stood.plan == text) {
            Some((stood, stood_for)) => {
                let rollout = Rollout::resume(plan, stood.stage, stood_for, now);
                (rollout, (stood.reason, stood.detail))
            }
            None => (Rollout::begin(plan, now), began()),
        };
        Some(Self::new((api, traffic, wanted), rollout, why))
    }

    fn new(
        (api, traffic, wanted): (&InferenceApi, &document::Traffic, &document::Rollout),
        rollout: Rollout,
        (reason, detail): (String, String),
    ) -> Self {
        let others = traffic.versions.iter().filter(|version| version.api != wanted.to);
        let own = Self {
            api: api.name.clone(),
            to: wanted.to.clone(),
            others: others.map(|version| (version.api.clone(), version.weight)).collect(),
            plan: text(wanted),
            is_paused: api.paused,
            rollout,
            seen: BTreeMap::new(),
            reason,
            detail,
            changes: Vec::new(),
        };
        let (stage, weight, reason) = (own.stage(), own.rollout.weight(), own.reason.as_str());
        tracing::info!(api = own.api, version = own.to, stage, weight, reason, "rollout");
        own
    }

    /// Whether a document asks for the same.
    pub(crate) fn is_as(&self, api: &InferenceApi) -> bool {
        let (Some(traffic), Some(wanted)) = (&api.traffic, &api.rollout) else { return false };
        let others = traffic.versions.iter().filter(|version| version.api != wanted.to);
        let others = others.map(|version| (&version.api, version.weight));
        self.plan == text(wanted)
            && self.others.iter().map(|(api, weight)| (api, *weight)).eq(others)
    }

    /// How many of a hundred requests each version gets.
    pub(crate) fn weights(&self) -> TrafficWeights {
        let weight = self.rollout.weight();
        let before: Vec<u32> = self.others.iter().map(|(_, weight)| *weight).collect();
        let names = self.others.iter().map(|(name, _)| name.clone());
        let others = names.zip(adjust(&before, 100 - weight.min(100)));
        others.chain([(self.to.clone(), weight)]).collect()
    }

    /// The version's weight.
    pub(crate) fn weight(&self) -> u32 {
        self.rollout.weight()
    }

    /// Looks at what gateways say now; one that is not among them is not forgotten. Says what changes,
    /// if anything does.
    pub(crate) fn look(
        &mut self,
        gateways: &[(&str, &BTreeMap<String, Tally>)],
        now: Duration,
    ) -> Option<Look> {
        let (mut own, mut others) = (Tally::default(), Tally::default());
        for (gateway, said) in gateways {
            let before = self.seen.insert((*gateway).to_owned(), (*said).clone());
            // What it counted before it was first asked came at another time.
            let Some(before) = before else { continue };
            own.add(&since(said, &before, &self.to));
            for (name, _) in &self.others {
                others.add(&since(said, &before, name));
            }
        }
        if self.is_paused {
            self.hold(now);
            return None;
        }
        let from = self.rollout.weight();
        let look = self.rollout.look(&own, &others, now)?;
        self.follow(from, look, now)
    }

    /// Takes the version back, as its replicas can't be started. Says what changes, if anything does.
    pub(crate) fn fail(&mut self, why: &str, now: Duration) -> Option<Look> {
        let from = self.rollout.weight();
        let look = if self.is_paused { None } else { self.rollout.fail(why, now) }?;
        self.follow(from, look, now)
    }

    /// What was seen becomes what is said.
    fn follow(&mut self, from: u32, look: Look, now: Duration) -> Option<Look> {
        let is_news = look.reason.code() != self.reason;
        (self.reason, self.detail) = (look.reason.code().to_owned(), look.detail.clone());
        let (to, reason, detail) = (self.rollout.weight(), look.reason.code(), &look.detail);
        if look.is_change || is_news {
            self.log(from, &look);
        }
        if !look.is_change {
            return None;
        }
        self.changes.push(RolloutChange {
            at_seconds: Clock::since_start(now).as_secs_f64(),
            from,
            to,
            reason: reason.to_owned(),
            detail: detail.clone(),
        });
        Some(look)
    }

    /// Stays where it is, as long as the document says so.
    fn hold(&mut self, now: Duration) {
        self.rollout.hold(now);
        let (reason, is_on_its_way) =
            (RolloutReason::Paused, matches!(self.rollout.stage(), Stage::Step(_)));
        if !is_on_its_way || self.reason == reason.code() {
            return;
        }
        self.reason = reason.code().to_owned();
        self.detail = "spec.paused holds it where it is".to_owned();
        let detail = self.detail.clone();
        self.log(self.rollout.weight(), &Look { is_change: false, reason, detail });
    }

    /// Does as a document says that differs in nothing else: holds it or lets it go on.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn pause(&mut self, is_paused: bool) {
        self.is_paused = is_paused;
    }

    /// One event for every change and every new reason.
    fn log(&self, from: u32, look: &Look) {
        let (api, version, to) = (&*self.api, &*self.to, self.rollout.weight());
        let (reason, detail) = (look.reason.code(), &*look.detail);
        // A level has to be known when this is built.
        macro_rules! log {
            ($level:ident) => {
                tracing::$level!(api, version, from, to, reason, detail, "rollout")
            };
        }
        match self.rollout.stage() {
            Stage::TakenBack if look.is_change => log!(warn),
            _ => log!(info),
        }
    }

    /// For the next process.
    pub(crate) fn state(&self, now: Duration) -> RolloutState {
        RolloutState {
            plan: self.plan.clone(),
            reason: self.reason.clone(),
            detail: self.detail.clone(),
            series: self.rollout.snapshot(now).into_series(),
        }
    }

    /// Where it stands, for whoever takes over.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn standing(&self) -> Standing {
        Standing {
            plan: self.plan.clone(),
            stage: self.rollout.stage(),
            reason: self.reason.clone(),
            detail: self.detail.clone(),
        }
    }

    /// How many steps it has.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn steps(&self) -> usize {
        self.rollout.steps()
    }

    /// For those who ask.
    pub(crate) fn status(&self) -> RolloutStatus {
        RolloutStatus {
            api: self.api.clone(),
            to: self.to.clone(),
            stage: self.stage(),
            weights: self.weights(),
            reason: self.reason.clone(),
            detail: self.detail.clone(),
            changes: self.changes.clone(),
        }
    }

    fn stage(&self) -> String {
        match self.rollout.stage() {
            Stage::Step(index) => format!("step {} of {}", index + 1, self.rollout.steps()),
            Stage::Promoted => "promoted".to_owned(),
            Stage::TakenBack => "taken back".to_owned(),
        }
    }
}

fn began() -> (String, String) {
    (RolloutReason::Began.code().to_owned(), "its first step has begun".to_owned())
}

fn since(now: &BTreeMap<String, Tally>, before: &BTreeMap<String, Tally>, version: &str) -> Tally {
    match (now.get(version), before.get(version)) {
        (Some(now), Some(before)) => now.since(before),
        (Some(now), None) => now.clone(),
        (None, _) => Tally::default(),
    }
}

fn plan(wanted: &document::Rollout) -> Plan {
    let step = |step: &document::RolloutStep| Step { weight: step.weight, pause: step.pause };
    let RolloutCondition { success_rate, latency, min_requests, max_wait } = &wanted.condition;
    let condition = Condition {
        success_rate: *success_rate,
        percentile: latency.percentile,
        factor: latency.factor,
        min_requests: f64::from(*min_requests),
        max_wait: *max_wait,
    };
    Plan { steps: wanted.steps.iter().map(step).collect(), condition }
}

/// What the document asks for, so that it is seen when it asks for something else.
fn text(wanted: &document::Rollout) -> String {
    let document::Rollout { to, steps, condition } = wanted;
    let RolloutCondition { success_rate, latency, min_requests, max_wait } = condition;
    let steps =
        steps.iter().map(|step| format!("{} for {}", step.weight, duration_text(step.pause)));
    let steps = steps.collect::<Vec<_>>().join(", ");
    let (percentile, factor) = (latency.percentile, latency.factor);
    let wait = duration_text(*max_wait);
    format!("{to}: {steps}; {success_rate}, {percentile} x {factor}, {min_requests} in {wait}")
}

#[cfg(test)]
mod tests;
