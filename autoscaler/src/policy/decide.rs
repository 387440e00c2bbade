//! One decision: the rule's wish, then the least and the most, then zero, and the reason.

use super::bounds::{Bound, Limits};
use super::concurrency::{Concurrency, ConcurrencySettings};
use super::cortex::{Cortex, CortexSettings};
use super::decision::{Decision, Facts, Stage, Step};
use super::idle::{Idle, IdleSettings, Idleness, Stay};
use super::metric::{Metric, MetricSettings};
use super::observation::Observation;
use super::ray::{Ray, RaySettings};
use super::reason::DecisionReason;
use super::rule::Rule;
use super::slo::{Slo, SloSettings};
use super::snapshot::Snapshot;
use std::time::Duration;

/// How one API is scaled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScalerSettings {
    /// The rule.
    pub rule: RuleSettings,
    /// The least and the most, whatever the rule wants.
    pub limits: Limits,
    /// How long the last replica stays.
    pub idle: IdleSettings,
}

/// The rules there are, each with its settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RuleSettings {
    /// Knative's.
    Concurrency(ConcurrencySettings),
    /// Cortex's.
    Cortex(CortexSettings),
    /// Ray Serve's.
    Ray(RaySettings),
    /// The fewest whose predicted wait meets an objective.
    Slo(SloSettings),
    /// A number from elsewhere.
    Metric(MetricSettings),
}

/// Decides for one API, tick after tick.
#[derive(Debug)]
pub struct Scaler {
    rule: Box<dyn Rule>,
    limits: Limits,
    idle_settings: IdleSettings,
    idle: Idle,
    /// After a restart, until when nothing shrinks.
    settled: Option<Duration>,
}

impl RuleSettings {
    /// The rule of an autoscaler that begins at `now` while `current` replicas run.
    pub fn begin(self, limits: Limits, current: u32, now: Duration) -> Box<dyn Rule> {
        match self {
            Self::Concurrency(settings) => Box::new(Concurrency::begin(settings, current, now)),
            Self::Cortex(settings) => Box::new(Cortex::begin(settings, limits, current, now)),
            Self::Ray(settings) => Box::new(Ray::begin(settings, limits)),
            Self::Slo(settings) => Box::new(Slo::begin(settings, current, now)),
            Self::Metric(settings) => Box::new(Metric::begin(settings, current, now)),
        }
    }

    /// How long the rule must look to know what the load is.
    fn window(&self) -> Duration {
        match self {
            Self::Concurrency(settings) => settings.stable_window,
            Self::Cortex(settings) => settings.window,
            Self::Ray(settings) => settings.look_back,
            Self::Slo(_) => Slo::WINDOW,
            Self::Metric(settings) => settings.stale_after,
        }
    }
}

impl Scaler {
    /// A scaler that begins at `now` while `current` replicas run.
    pub fn begin(settings: &ScalerSettings, current: u32, now: Duration) -> Self {
        let rule = settings.rule.begin(settings.limits, current, now);
        Self::with_rule(rule, settings.limits, settings.idle, now)
    }

    /// A scaler with a rule of one's own.
    pub fn with_rule(
        rule: Box<dyn Rule>,
        limits: Limits,
        idle_settings: IdleSettings,
        now: Duration,
    ) -> Self {
        Self { rule, limits, idle_settings, idle: Idle::begin(now), settled: None }
    }

    /// What it remembers at `now`.
    pub fn snapshot(&self, now: Duration) -> Snapshot {
        let mut snapshot = Snapshot::default();
        self.rule.save(&mut snapshot, now);
        snapshot
    }

    /// A scaler that goes on after a restart: at `now`, `ago` after the snapshot was taken, while
    /// `current` replicas are asked for.
    ///
    /// Nobody looked in between, so nothing shrinks before a whole window was seen.
    pub fn restore(
        settings: &ScalerSettings,
        snapshot: &Snapshot,
        current: u32,
        ago: Duration,
        now: Duration,
    ) -> Self {
        let mut scaler = Self::begin(settings, current, now);
        let taken = now.saturating_sub(ago);
        scaler.rule.load(snapshot, taken);
        scaler.settled = Some(now.saturating_add(settings.rule.window()));
        scaler
    }

    /// Goes on by other settings, at `now`, while `current` replicas are asked for.
    ///
    /// What it has seen still counts. Another rule knows nothing of that, so nothing shrinks before
    /// it has seen a whole window.
    pub fn revise(
        &mut self,
        before: &ScalerSettings,
        settings: &ScalerSettings,
        current: u32,
        now: Duration,
    ) {
        let kind = |settings: &ScalerSettings| std::mem::discriminant(&settings.rule);
        let (snapshot, settled, idle) = (self.snapshot(now), self.settled, self.idle.clone());
        *self = Self::restore(settings, &snapshot, current, Duration::ZERO, now);
        if kind(before) == kind(settings) {
            (self.settled, self.idle) = (settled, idle);
        }
    }

    /// Decides how many replicas there should be. `now` never goes back between calls.
    pub fn decide(&mut self, seen: &Observation, now: Duration) -> Decision {
        let working = seen.load.is_some_and(|load| load.average > 0.0);
        self.idle.observe(working || seen.running > 0 || seen.held > 0, now);
        let waking = seen.ready == 0 && seen.held > 0;
        let mut wish = if waking { self.rule.wake(seen, now) } else { self.rule.wish(seen, now) };
        if wish.replicas < seen.current && self.settled.is_some_and(|settled| now < settled) {
            wish.steps.push(Step::new(Stage::Certainty, wish.replicas, seen.current));
            (wish.replicas, wish.reason) = (seen.current, DecisionReason::Restart);
        }
        let (raw, cause) = (wish.replicas, wish.reason);
        let floor = seen.floor.unwrap_or(0);
        let limits = Limits { min: self.limits.min.max(floor), ..self.limits };
        let (limited, reason) = match limits.limit(raw) {
            (limited, Some(Bound::Highest)) => (limited, DecisionReason::MaxReplicas),
            (limited, Some(Bound::Lowest)) if floor > self.limits.min => {
                (limited, DecisionReason::Schedule)
            }
            (limited, Some(Bound::Lowest)) => (limited, DecisionReason::MinReplicas),
            (limited, None) => (limited, cause),
        };
        wish.steps.push(Step::new(Stage::Limits, raw, limited));
        let (replicas, reason) = self.last_replica(limited, reason, seen, now);
        wish.steps.push(Step::new(Stage::Idle, limited, replicas));
        let Observation { current, ready, starting, running, held, .. } = *seen;
        let facts = Facts { current, ready, starting, running, held, numbers: wish.numbers };
        Decision { replicas, raw, reason, cause, facts, steps: wish.steps }
    }

    /// Zero only through the gate of [`Idle`]; else one replica stays.
    fn last_replica(
        &mut self,
        wanted: u32,
        reason: DecisionReason,
        seen: &Observation,
        now: Duration,
    ) -> (u32, DecisionReason) {
        if wanted > 0 {
            self.idle.wanted();
            return (wanted, reason);
        }
        if seen.current == 0 {
            return (0, DecisionReason::Idle);
        }
        let idleness = Idleness {
            busy: seen.running > 0 || seen.held > 0,
            starting: seen.starting > 0,
            certain: seen.complete && !seen.lost,
        };
        match self.idle.zero(self.idle_settings, idleness, now) {
            None => (0, DecisionReason::Idle),
            Some(Stay::Busy) => (1, DecisionReason::Busy),
            Some(Stay::Starting) => (1, DecisionReason::Starting),
            Some(Stay::Uncertain) => (1, DecisionReason::IncompleteSamples),
            Some(Stay::Grace) => (1, DecisionReason::ScaleToZeroGrace),
            Some(Stay::Retention) => (1, DecisionReason::LastReplicaRetention),
        }
    }
}
