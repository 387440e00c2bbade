//! Plays the same requests once for each policy, and sets the optimum beside them.

use crate::args::limits;
use crate::engine::{Driver, run};
use crate::gateway::Limits;
use crate::ledger::Tally;
use crate::optimum::{Blind, MOST_PLAYS, Oracle, Rises, bound, clairvoyant, early, rises, unseen};
use crate::outcome::{Outcome, reached};
use crate::rule::{Fixed, Rule, of_document};
use crate::scene::{Objective, Scene};
use crate::span::{Nanos, seconds};
use crate::workload::Workload;
use indicatif::ProgressBar;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use tidegate_api::InferenceApi;

/// What is set beside the policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Optimum {
    /// A plan that was found, and the bound
    Plan,
    /// Only the bound
    Bound,
    /// Nothing
    Off,
}

/// One of those that are compared.
#[derive(Debug, Clone)]
pub(crate) struct Contender {
    /// Its name.
    pub(crate) policy: String,
    /// What is set for it and not for all, as words.
    pub(crate) settings: String,
    /// All of its settings.
    pub(crate) api: Box<InferenceApi>,
    /// Who steers.
    pub(crate) steering: Steering,
}

/// Who says how many replicas there are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Steering {
    /// The policy of the document.
    Policy,
    /// Nobody.
    Fixed(u32),
    /// Somebody who knows more than a rule can.
    Oracle(Oracle),
}

/// All results.
pub(crate) struct Comparison {
    pub(crate) workload: Facts,
    pub(crate) objective: Objective,
    /// Replica-seconds below which no schedule meets the objective, where it was asked for.
    pub(crate) bound: Option<f64>,
    /// Requests that were late whatever the policy, because nothing is ready at the start.
    pub(crate) early: usize,
    /// Requests that are late under every rule that asks for no more than it has seen a need for,
    /// the early ones among them; told where an optimum was asked for.
    pub(crate) unseen: Option<usize>,
    /// What must stand ready before the rises that were named.
    pub(crate) rises: Option<Rises>,
    /// What is paid for not knowing how long requests take, where it was asked for.
    pub(crate) blind: Option<Blind>,
    /// The optimum's plan first, if there is one.
    pub(crate) rows: Vec<Row>,
    /// What came of each row.
    pub(crate) outcomes: Vec<Outcome>,
}

impl Comparison {
    /// The policies with what came of each, without the optimum's plan.
    pub(crate) fn policies(&self) -> impl Iterator<Item = (&Row, &Outcome)> {
        let all = self.rows.iter().zip(&self.outcomes);
        all.filter(|(row, _)| row.policy != CLAIRVOYANT)
    }

    /// The optimum's plan, if there is one.
    pub(crate) fn best_row(&self) -> Option<&Row> {
        self.rows.first().filter(|row| row.policy == CLAIRVOYANT)
    }

    /// What came of the optimum's plan, if there is one.
    pub(crate) fn best(&self) -> Option<&Outcome> {
        self.best_row().and_then(|_| self.outcomes.first())
    }
}

/// What the requests are.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Facts {
    pub(crate) name: String,
    pub(crate) requests: usize,
    pub(crate) seconds: f64,
    /// Requests that would run on average if none had to wait.
    pub(crate) load: f64,
}

/// What one policy came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Row {
    pub(crate) policy: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) settings: String,
    pub(crate) replica_seconds: f64,
    /// Replica-seconds over those of the clairvoyant plan.
    pub(crate) of_clairvoyant: Option<f64>,
    /// Whether no more were late than may be.
    pub(crate) meets: bool,
    pub(crate) requests: Tally,
    /// The share that was late of those that came when a first replica could be ready.
    pub(crate) late_share_warm: f64,
    /// The most replicas at once.
    pub(crate) peak_replicas: u32,
    /// Replicas ever started.
    pub(crate) starts: usize,
    /// How often growth turned into shrinking or back.
    pub(crate) direction_changes: u32,
    /// Seconds from a step until 90 % of the right size was wanted, and until it was ready.
    pub(crate) step_wanted: Option<f64>,
    pub(crate) step_ready: Option<f64>,
    /// How many changes each reason made.
    pub(crate) reasons: BTreeMap<&'static str, u64>,
    /// By tenant, where a trace names any: those with the most requests first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tenants: Vec<(String, Tally)>,
}

/// Tenants that are told apart in a result.
const MOST_TENANTS: usize = 20;

/// The optimum's name among the policies.
pub(crate) const CLAIRVOYANT: &str = "clairvoyant";

/// Plays all of it.
pub(crate) fn compare(
    scene: &Scene,
    workload: &Workload,
    contenders: &[Contender],
    optimum: Optimum,
    bar: &ProgressBar,
) -> Comparison {
    // Where limits are swept, each of them is compared with a plan of its own.
    let mut plans: BTreeMap<Limits, f64> = BTreeMap::new();
    let searches = match optimum {
        Optimum::Plan => {
            let swept = contenders.iter().map(|contender| limits(&contender.api));
            MOST_PLAYS * swept.chain([scene.limits]).collect::<BTreeSet<_>>().len()
        }
        Optimum::Bound | Optimum::Off => 0,
    };
    bar.set_length(((contenders.len() + searches) * workload.requests.len()) as u64);
    let progress = |requests| bar.inc(requests);
    let search = |scene: &Scene| {
        bar.set_message(CLAIRVOYANT);
        let end = bar.position() + (MOST_PLAYS * workload.requests.len()) as u64;
        let outcome = clairvoyant(scene, workload, &progress);
        // Most searches end before the last play they may make.
        bar.set_position(end);
        outcome
    };
    let mut rows = Vec::new();
    let mut outcomes = Vec::new();
    let early = early(scene, workload);
    if optimum == Optimum::Plan {
        let outcome = search(scene);
        plans.insert(scene.limits, outcome.replica_seconds);
        // Who plans ahead is warm from the first request on.
        let row = row((CLAIRVOYANT, ""), &outcome, scene, workload, 0);
        rows.push(Row { of_clairvoyant: Some(1.0), ..row });
        outcomes.push(outcome);
    }
    for contender in contenders {
        bar.set_message(contender.policy.clone());
        let scene = Scene { limits: limits(&contender.api), ..*scene };
        let by_rule =
            |mut rule: Box<dyn Rule>| run(&scene, workload, Driver::Rule(rule.as_mut()), &progress);
        let outcome = match contender.steering {
            Steering::Policy => by_rule(of_document(&contender.api, scene.initial, scene.start)),
            Steering::Fixed(count) => by_rule(Box::new(Fixed(count))),
            Steering::Oracle(oracle) => oracle.play(&scene, workload, &progress),
        };
        let name = (&*contender.policy, &*contender.settings);
        let mut row = row(name, &outcome, &scene, workload, early);
        if optimum == Optimum::Plan {
            let best = *plans.entry(scene.limits).or_insert_with(|| search(&scene).replica_seconds);
            row.of_clairvoyant = (best > 0.0).then(|| row.replica_seconds / best);
        }
        rows.push(row);
        outcomes.push(outcome);
    }
    Comparison {
        workload: Facts {
            name: workload.name.clone(),
            requests: workload.requests.len(),
            seconds: seconds(workload.end),
            load: workload.load(),
        },
        objective: scene.objective,
        bound: (optimum != Optimum::Off).then(|| bound(scene, workload)),
        early,
        unseen: (optimum != Optimum::Off).then(|| unseen(scene, workload)),
        rises: (!workload.rises.is_empty()).then(|| rises(scene, workload)),
        blind: None,
        rows,
        outcomes,
    }
}

/// What one policy came to. The first `cold` requests came before a replica of its could be ready.
fn row(
    (policy, settings): (&str, &str),
    outcome: &Outcome,
    scene: &Scene,
    workload: &Workload,
    cold: usize,
) -> Row {
    let requests = outcome.ledger.tally(&scene.objective, |_| true);
    let right = |load: f64| {
        let size = (load / f64::from(scene.limits.concurrency)).ceil();
        (0.9 * size).ceil() as u32
    };
    let after_step = |list: &[(Nanos, u32)]| {
        let step = workload.step?;
        let moment = reached(list, right(step.load), step.at)?;
        Some(seconds(moment - step.at))
    };
    Row {
        policy: policy.to_owned(),
        settings: settings.to_owned(),
        replica_seconds: outcome.replica_seconds,
        of_clairvoyant: None,
        meets: requests.late <= scene.objective.allowance(requests.arrived),
        requests,
        late_share_warm: outcome.ledger.late_share_after(cold, &scene.objective),
        peak_replicas: outcome.most,
        starts: outcome.started,
        direction_changes: outcome.record.turns(),
        step_wanted: after_step(&outcome.record.wanted),
        step_ready: after_step(&outcome.record.ready),
        reasons: outcome.record.reasons.clone(),
        tenants: tenants(outcome, scene, workload),
    }
}

fn tenants(outcome: &Outcome, scene: &Scene, workload: &Workload) -> Vec<(String, Tally)> {
    if workload.tenants.len() < 2 {
        return Vec::new();
    }
    let mut counts = vec![0_usize; workload.tenants.len()];
    workload.requests.iter().for_each(|request| counts[request.tenant as usize] += 1);
    let mut largest: Vec<usize> = (0..counts.len()).collect();
    largest.sort_by_key(|tenant| std::cmp::Reverse(counts[*tenant]));
    largest.truncate(MOST_TENANTS);
    let tally = |tenant: usize| {
        let is_of = |request: usize| workload.requests[request].tenant as usize == tenant;
        (workload.tenants[tenant].clone(), outcome.ledger.tally(&scene.objective, is_of))
    };
    largest.into_iter().map(tally).collect()
}

#[cfg(test)]
mod tests;
