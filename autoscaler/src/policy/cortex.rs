//! The `cortex` rule: that of Cortex's autoscaler, to the number.
//!
//! In order: demand over one window → tolerance → factors → limits → stabilization by the history
//! of recommendations. Each recommendation is cut by the factors before it is remembered, so growth
//! is about `max_upscale_factor` for each stabilization period.
//!
//! What differs, each for a known fault there: requests held while nothing is ready wake as many
//! replicas as they need (there: one); nothing shrinks on a guess. As there, nothing shrinks for
//! one downscale period after a start and nothing grows for one upscale period, but for a wake.

use super::bounds::Limits;
use super::decision::{Stage, Step};
use super::demand::Target;
use super::lookback::Lookback;
use super::observation::Observation;
use super::reason::DecisionReason;
use super::rule::{Rule, Wish};
use super::snapshot::{Snapshot, age, moment};
use std::collections::VecDeque;
use std::time::Duration;

/// The most recommendations remembered: two a second for the longest period, one hour.
const MOST_RECORDS: usize = 7200;

/// Settings, with the meaning they have in Cortex.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CortexSettings {
    /// In-flight requests a replica is meant for.
    pub target: Target,
    /// The window that is averaged over.
    pub window: Duration,
    /// How long more must have been recommended before some come.
    pub upscale_stabilization: Duration,
    /// How long fewer must have been recommended before some go.
    pub downscale_stabilization: Duration,
    /// The most a tick may multiply the replicas by.
    pub max_upscale_factor: f64,
    /// The least a tick may multiply the replicas by.
    pub max_downscale_factor: f64,
    /// The dead band above the present.
    pub upscale_tolerance: f64,
    /// The dead band below the present.
    pub downscale_tolerance: f64,
}

/// The rule and what it remembers.
#[derive(Debug, Clone)]
pub struct Cortex {
    settings: CortexSettings,
    limits: Limits,
    began: Duration,
    lookback: Lookback,
    records: VecDeque<(Duration, u32)>,
}

impl Cortex {
    /// The rule of an autoscaler that begins at `now` while `current` replicas run.
    pub fn begin(settings: CortexSettings, limits: Limits, current: u32, now: Duration) -> Self {
        let lookback = Lookback::new(settings.window);
        Self { settings, limits, began: now, lookback, records: VecDeque::from([(now, current)]) }
    }

    /// Puts recommendations into the history, oldest first, for those who replay one.
    pub fn with_records(mut self, records: impl IntoIterator<Item = (Duration, u32)>) -> Self {
        self.records = records.into_iter().collect();
        self
    }

    /// Cortex's rule for one tick: from the average in flight to the replicas to ask for.
    pub fn recommend(
        &mut self,
        average: f64,
        current: u32,
        now: Duration,
        steps: &mut Vec<Step>,
    ) -> (u32, DecisionReason) {
        let demand = self.settings.target.wanted(average);
        let (tolerated, mut reason) = self.tolerated(average, demand, current);
        steps.push(Step::new(Stage::Demand, demand, tolerated));
        let (lowest, highest) = self.reach(current);
        let rated = tolerated.max(lowest).min(highest);
        if rated > tolerated {
            reason = DecisionReason::ScaleDownRate;
        } else if rated < tolerated {
            reason = DecisionReason::ScaleUpRate;
        }
        steps.push(Step::new(Stage::Rates, tolerated, rated));
        let (limited, bound) = self.limits.limit(rated);
        if bound.is_some() {
            let is_most = limited < rated;
            reason =
                if is_most { DecisionReason::MaxReplicas } else { DecisionReason::MinReplicas };
        }
        self.record(limited, now);
        let (stable, reason) = self.stabilized(limited, reason, current, now);
        steps.push(Step::new(Stage::Hold, limited, stable));
        (stable, reason)
    }

    /// Within the dead band the present stays. Its edges are outside of it.
    fn tolerated(&self, average: f64, demand: u32, current: u32) -> (u32, DecisionReason) {
        let raw = average / self.settings.target.value();
        let now = f64::from(current);
        let below = raw > now * (1.0 - self.settings.downscale_tolerance) && raw < now;
        let above = raw > now && raw < now * (1.0 + self.settings.upscale_tolerance);
        if below || above {
            (current, DecisionReason::Tolerance)
        } else {
            (demand, DecisionReason::Window)
        }
    }

    /// The least and the most one tick may recommend.
    fn reach(&self, current: u32) -> (u32, u32) {
        let times = |factor: f64| (f64::from(current) * factor).ceil() as u32;
        let lowest = current.saturating_sub(1).min(times(self.settings.max_downscale_factor));
        let highest = current.saturating_add(1).max(times(self.settings.max_upscale_factor));
        (lowest, highest)
    }

    fn stabilized(
        &self,
        recommended: u32,
        reason: DecisionReason,
        current: u32,
        now: Duration,
    ) -> (u32, DecisionReason) {
        let age = now.saturating_sub(self.began);
        let CortexSettings { downscale_stabilization, upscale_stabilization, .. } = self.settings;
        if recommended < current {
            if age < downscale_stabilization {
                return (current, DecisionReason::ScaleDownDelay);
            }
            let most = self.within(downscale_stabilization, now).max().unwrap_or(recommended);
            let held = recommended.max(most.min(current));
            return (
                held,
                if held > recommended { DecisionReason::ScaleDownDelay } else { reason },
            );
        }
        if recommended > current {
            if age < upscale_stabilization {
                return (current, DecisionReason::ScaleUpDelay);
            }
            let least = self.within(upscale_stabilization, now).min().unwrap_or(recommended);
            let held = recommended.min(least.max(current));
            return (held, if held < recommended { DecisionReason::ScaleUpDelay } else { reason });
        }
        (current, reason)
    }

    /// What was recommended in the `period` before `now`.
    fn within(&self, period: Duration, now: Duration) -> impl Iterator<Item = u32> {
        let recent = move |at: Duration| now.saturating_sub(at) <= period;
        self.records.iter().filter(move |(at, _)| recent(*at)).map(|&(_, replicas)| replicas)
    }

    fn record(&mut self, recommended: u32, now: Duration) {
        let longest =
            self.settings.downscale_stabilization.max(self.settings.upscale_stabilization);
        self.records.push_back((now, recommended));
        while self.records.len() > MOST_RECORDS
            || self.records.front().is_some_and(|(at, _)| now.saturating_sub(*at) > longest)
        {
            self.records.pop_front();
        }
    }
}

impl Rule for Cortex {
    fn wish(&mut self, seen: &Observation, now: Duration) -> Wish {
        let average = self.lookback.learn(seen, now);
        let mut steps = Vec::new();
        let (replicas, reason) = match average {
            None => (seen.current, DecisionReason::NoSamples),
            Some(known) => {
                let (wanted, reason) = self.recommend(known.value, seen.current, now, &mut steps);
                if wanted < seen.current && !seen.is_certain() {
                    steps.push(Step::new(Stage::Certainty, wanted, seen.current));
                    (seen.current, DecisionReason::IncompleteSamples)
                } else {
                    (wanted, reason)
                }
            }
        };
        Wish {
            replicas,
            reason,
            numbers: self.lookback.numbers(self.settings.target, average),
            steps,
        }
    }

    /// It is remembered as a recommendation, which holds it for the downscale period.
    fn wake(&mut self, seen: &Observation, now: Duration) -> Wish {
        let average = self.lookback.learn(seen, now);
        let demand = self.settings.target.wanted(f64::from(seen.held));
        let replicas = demand.max(seen.current).max(1);
        self.record(replicas, now);
        let steps = vec![Step::new(Stage::Demand, demand, replicas)];
        Wish {
            replicas,
            reason: DecisionReason::Wake,
            numbers: self.lookback.numbers(self.settings.target, average),
            steps,
        }
    }

    fn save(&self, to: &mut Snapshot, now: Duration) {
        self.lookback.save("cortex.window", to, now);
        let row = |&(at, replicas)| [age(at, now), f64::from(replicas)];
        to.put("cortex.records", self.records.iter().map(row));
        to.put("cortex.began", [[age(self.began, now)]]);
    }

    fn load(&mut self, from: &Snapshot, taken: Duration) {
        self.lookback.load("cortex.window", from, taken);
        let record = |[age, replicas]: [f64; 2]| Some((moment(age, taken)?, replicas as u32));
        if from.has("cortex.records") {
            self.records = from.rows("cortex.records").filter_map(record).collect();
        }
        if let Some(began) = from.row("cortex.began").and_then(|[age]| moment(age, taken)) {
            self.began = began;
        }
    }
}
