//! Planners who know more than any rule can, and less than the future: how low they get says what a rule
//! could be asked for, where the plan made with foresight asks for too much.
//!
//! - `rate:SHARE` knows the rate of a made-up load at every moment, now and later, and the law of the service
//!   times, but none of the draws. At each moment it has the fewest replicas with which, by Erlang's formula,
//!   no more than SHARE would wait too long if the rate stayed. Starts are in time.
//! - `need:SPARE:HOLD` knows nothing of what comes. It sees at once, and not by samples, how many replicas would run all
//!   that has come and not ended if nobody had waited; and has, as soon as they can have started, as many as were
//!   needed at the most in the last HOLD, and SPARE more from the first request on. A start that is called off costs
//!   it nothing.
//!
//! With the parameters chosen in hindsight, the second is what rules that only react can be held against, and
//! the first those that forecast. Neither is a proof: a planner who knew the rate *and* saw who is in line could
//! do a little better than either.

use super::levels::{Segment, bridge, of_intervals};
use super::plan;
use super::unseen::first_start;
use crate::engine::{Driver, Progress, run};
use crate::error::SimulateError;
use crate::outcome::Outcome;
use crate::scene::Scene;
use crate::span::{Nanos, SECOND, nanos, of, seconds};
use crate::workload::shape::Plan as Shaped;
use crate::workload::{Request, Workload};
use std::time::Duration;
use tidegate_autoscaler::policy::erlang::Offered;

/// A planner and what is set for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Oracle {
    /// Knows the rate.
    Rate {
        /// The share that may wait too long at each moment.
        late: f64,
    },
    /// Knows what is needed now.
    Need {
        /// Replicas beyond that.
        spare: u32,
        /// For how long a need counts.
        hold: Duration,
    },
}

impl Oracle {
    /// By its words; nothing where they are those of another policy.
    pub(crate) fn of(policy: &str) -> Option<Result<Self, SimulateError>> {
        let (kind, words) = policy.split_once(':')?;
        let (found, example) = match kind {
            "rate" => (Self::rate(words), "rate:0.01, with a share above 0 and up to 0.5"),
            "need" => {
                (Self::need(words), "need:2:60s, with spare replicas and how long a need counts")
            }
            _ => return None,
        };
        let wrong = || SimulateError::Usage(format!("{policy:?} is no policy; write {example}"));
        Some(found.ok_or_else(wrong))
    }

    fn rate(words: &str) -> Option<Self> {
        let late: f64 = words.parse().ok()?;
        (late > 0.0 && late <= 0.5).then_some(Self::Rate { late })
    }

    fn need(words: &str) -> Option<Self> {
        let (spare, hold) = words.split_once(':')?;
        let hold = humantime::parse_duration(hold).ok()?;
        Some(Self::Need { spare: spare.parse().ok().filter(|spare| *spare <= 100_000)?, hold })
    }

    /// Whether it can know of a workload what it goes by.
    pub(crate) fn check(&self, workload: &Workload) -> Result<(), SimulateError> {
        match (self, &workload.law) {
            (Self::Rate { .. }, None) => Err(SimulateError::Usage(
                "neither a trace nor an MMPP has a rate that rate:SHARE could know; compare \
                 need:SPARE:HOLD, or take another made-up load"
                    .to_owned(),
            )),
            _ => Ok(()),
        }
    }

    /// What it comes to.
    pub(crate) fn play(
        &self,
        scene: &Scene,
        workload: &Workload,
        progress: Progress<'_>,
    ) -> Outcome {
        let segments = match (*self, &workload.law) {
            (Self::Rate { late }, Some(law)) => by_rate(scene, law, late, workload.end),
            (Self::Rate { .. }, None) => Vec::new(),
            (Self::Need { spare, hold }, _) => by_need(scene, workload, spare, of(hold)),
        };
        run(scene, workload, Driver::Plan(&plan(scene, &segments)), progress)
    }
}

/// When which level is there by a known rate. Gaps shorter than a start costs are stayed through.
fn by_rate(scene: &Scene, law: &Shaped, late: f64, end: Nanos) -> Vec<Segment> {
    let service = law.service;
    let replicas = |rate: f64| {
        let offered = Offered {
            load: rate * service.mean(),
            service: service.mean(),
            service_variation: service.squared_variation(),
            peakedness: 1.0,
        };
        let servers = offered.servers(seconds(scene.objective.wait), late);
        (servers / f64::from(scene.limits.concurrency)).ceil() as u32
    };
    let mut open: Vec<Nanos> = Vec::new();
    let mut segments = Vec::new();
    let mut last = (f64::NAN, 0);
    for second in 0..end.div_ceil(SECOND) {
        let at = second as f64;
        // No shape turns twice in a second.
        let rate = law.rate_at(at).max(law.rate_at(at + 1.0));
        if last.0 != rate {
            last = (rate, replicas(rate));
        }
        follow(&mut open, last.1, second * SECOND, &mut segments);
    }
    follow(&mut open, 0, end, &mut segments);
    let start_costs = nanos(scene.cold_start.mean()) + scene.drain_delay;
    bridge(segments, start_costs, scene.initial)
}

/// When which level is there by what is needed.
fn by_need(scene: &Scene, workload: &Workload, spare: u32, hold: Nanos) -> Vec<Segment> {
    let cold = scene.cold_start.least();
    let span = |request: &Request| (request.at, request.at.saturating_add(request.service.max(1)));
    let intervals: Vec<_> = workload.requests.iter().map(span).collect();
    // One that is needed again while it is held has not gone.
    let needs = bridge(of_intervals(&intervals, scene.limits.concurrency), hold, 0);
    let end = workload.end;
    let later = needs.into_iter().map(|need| Segment {
        level: need.level + spare,
        from: need.from.saturating_add(cold),
        to: need.to.saturating_add(hold).min(end),
        ..need
    });
    // Before the first request it knows of no load, as no rule does.
    let first = first_start(scene, workload).map_or(end, |at| at.saturating_add(cold));
    let spares = (1..=spare).map(|level| Segment { level, from: first, to: end, work: 0.0 });
    let all = spares.chain(later).filter(|segment| segment.from < segment.to).collect();
    bridge(all, 0, scene.initial)
}

/// From `at` on so many levels are open.
fn follow(open: &mut Vec<Nanos>, count: u32, at: Nanos, segments: &mut Vec<Segment>) {
    while open.len() < count as usize {
        open.push(at);
    }
    while open.len() > count as usize {
        let level = open.len() as u32;
        let from = open.pop().unwrap_or(at);
        segments.push(Segment { level, from, to: at, work: 0.0 });
    }
}

#[cfg(test)]
mod tests;
