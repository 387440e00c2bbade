//! One decision: demand, rates, burst, hold, limits, idle, in this order, and the reason.

use super::bounds::{Bound, Bounds};
use super::burst::Burst;
use super::demand::Target;
use super::hold::Hold;
use super::idle::{Idle, IdleSettings, Idleness, Stay};
pub use super::reason::{Decision, DecisionReason, Facts};
use super::window::Window;
use std::time::Duration;

/// The known share of the stable window below which nothing shrinks.
///
/// Half: after a restart or a long gap the first seconds must not speak for the whole window, and
/// a minute is not waited for in full either.
const ENOUGH: f64 = 0.5;

/// The `concurrency` policy's settings for one API, with the meaning they have in Knative.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConcurrencySettings {
    /// In-flight requests a replica is aimed at.
    pub target: Target,
    /// The window that decides in calm.
    pub stable_window: Duration,
    /// The window that decides in a burst.
    pub panic_window: Duration,
    /// A burst is when the panic window wants this many times what is ready.
    pub panic_threshold: f64,
    /// Rates, least and most.
    pub bounds: Bounds,
    /// How long fewer replicas must have been enough before some go.
    pub scale_down_delay: Duration,
    /// Whenever there is demand, at least this many replicas.
    pub activation_replicas: u32,
    /// How long the last replica stays.
    pub idle: IdleSettings,
}

/// What is seen at one tick.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// Replicas asked for now.
    pub current: u32,
    /// Replicas that are ready.
    pub ready: u32,
    /// Replicas that were started and are not ready yet.
    pub starting: u32,
    /// What was in flight since some moment, or nothing where no source could be read.
    pub load: Option<Load>,
    /// Whether every source was read. If not, part of `load` is what a source last said.
    pub complete: bool,
    /// Requests that run or wait at replicas now.
    pub running: u32,
    /// Requests that wait at the gateway now, handed to no replica yet.
    pub held: u32,
}

/// Requests in flight, running and waiting, at all replicas and the gateway.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// Since when. It ends at the tick.
    pub from: Duration,
    /// Requests in flight on average.
    pub average: f64,
}

/// What one API's policy remembers between ticks.
#[derive(Debug, Clone)]
pub struct State {
    window: Window,
    burst: Burst,
    hold: Hold,
    idle: Idle,
}

impl State {
    /// The state of an autoscaler that begins at `now` while `current` replicas run.
    pub fn begin(settings: &ConcurrencySettings, current: u32, now: Duration) -> Self {
        Self {
            window: Window::new(settings.stable_window.max(settings.panic_window)),
            burst: Burst::begin(current, now),
            hold: Hold::new(settings.scale_down_delay),
            idle: Idle::begin(now),
        }
    }

    /// Puts the burst rule into a given state, for those who replay a history.
    pub fn with_burst(mut self, burst: Burst) -> Self {
        self.burst = burst;
        self
    }

    /// The burst rule's state.
    pub fn burst(&self) -> &Burst {
        &self.burst
    }
}

/// Decides how many replicas an API should have. `now` never goes back between calls.
pub fn decide(
    settings: &ConcurrencySettings,
    seen: &Observation,
    state: &mut State,
    now: Duration,
) -> Decision {
    let facts = learn(settings, seen, state, now);
    let (wanted, reason) = if seen.ready == 0 && seen.held > 0 {
        wake(settings, seen, state, now)
    } else if let (Some(stable), Some(panic)) = (facts.stable.0, facts.panic.0) {
        let (wanted, reason) =
            recommend(settings, stable.value, panic.value, seen.ready, state, now);
        let (wanted, reason) = keep_if_blind(wanted, reason, seen, state, stable.filled);
        let held = state.hold.record(wanted, now);
        if held > wanted { (held, DecisionReason::ScaleDownDelay) } else { (wanted, reason) }
    } else {
        (seen.current, DecisionReason::NoSamples)
    };
    let (wanted, reason) = match settings.bounds.limit(wanted) {
        (limited, Some(Bound::Max)) => (limited, DecisionReason::MaxReplicas),
        (limited, Some(_)) => (limited, DecisionReason::MinReplicas),
        (wanted, None) => (wanted, reason),
    };
    let (replicas, reason) = last_replica(settings, wanted, reason, seen, state, now);
    Decision { replicas, reason, facts }
}

/// Knative's rule for one tick, from window averages to a wish: demand by both windows, rates,
/// activation scale, burst. Least and most, delay and zero come later.
pub fn recommend(
    settings: &ConcurrencySettings,
    stable: f64,
    panic: f64,
    ready: u32,
    state: &mut State,
    now: Duration,
) -> (u32, DecisionReason) {
    let stable_demand = settings.target.wanted(stable);
    let panic_demand = settings.target.wanted(panic);
    let (stable_wanted, stable_bound) = rated(settings, stable_demand, ready);
    let (panic_wanted, panic_bound) = rated(settings, panic_demand, ready);

    let over = f64::from(panic_demand) / f64::from(ready.max(1)) >= settings.panic_threshold;
    state.burst.observe(over, settings.stable_window, now);
    if !state.burst.is_active() {
        return (stable_wanted, bound_reason(stable_bound, DecisionReason::StableWindow));
    }
    let wanted = state.burst.raise(stable_wanted.max(panic_wanted));
    let cut = wanted == panic_wanted && panic_bound == Some(Bound::UpRate);
    (wanted, if cut { DecisionReason::ScaleUpRate } else { DecisionReason::Burst })
}

/// Records what was seen and reads the windows.
fn learn(
    settings: &ConcurrencySettings,
    seen: &Observation,
    state: &mut State,
    now: Duration,
) -> Facts {
    if let Some(load) = seen.load {
        state.window.record(load.from, now, load.average);
    }
    let working = seen.load.is_some_and(|load| load.average > 0.0);
    state.idle.observe(working || seen.running > 0 || seen.held > 0, now);
    Facts {
        current: seen.current,
        ready: seen.ready,
        held: seen.held,
        target: settings.target.value(),
        stable: (state.window.over(settings.stable_window, now), settings.stable_window),
        panic: (state.window.over(settings.panic_window, now), settings.panic_window),
    }
}

/// Requests are held and nothing is ready: decides at once, from their number alone.
///
/// It begins a burst, because the windows know nothing yet of a load that has just begun and would
/// take back at the next tick what was just started.
fn wake(
    settings: &ConcurrencySettings,
    seen: &Observation,
    state: &mut State,
    now: Duration,
) -> (u32, DecisionReason) {
    let demand = settings.target.wanted(f64::from(seen.held));
    let (wanted, _) = rated(settings, demand, 0);
    state.burst.observe(true, settings.stable_window, now);
    let wanted = state.burst.raise(wanted.max(seen.current));
    (state.hold.record(wanted, now), DecisionReason::Wake)
}

/// A demand as far as the rates allow, and no less than the activation scale if there is any.
fn rated(settings: &ConcurrencySettings, demand: u32, ready: u32) -> (u32, Option<Bound>) {
    let (wanted, bound) = settings.bounds.rate(demand, ready);
    if demand > 0 { (wanted.max(settings.activation_replicas), bound) } else { (wanted, bound) }
}

/// Nothing shrinks in a burst, on a guess, or on a window that is mostly unknown.
fn keep_if_blind(
    wanted: u32,
    reason: DecisionReason,
    seen: &Observation,
    state: &State,
    filled: f64,
) -> (u32, DecisionReason) {
    if wanted >= seen.current {
        (wanted, reason)
    } else if state.burst.is_active() {
        (seen.current, DecisionReason::Burst)
    } else if !seen.complete || !seen.load.is_some_and(|load| is_load(load.average)) {
        (seen.current, DecisionReason::IncompleteSamples)
    } else if filled < ENOUGH {
        (seen.current, DecisionReason::ShortHistory)
    } else {
        (wanted, reason)
    }
}

/// Zero only through the gate of [`Idle`]; else one replica stays.
fn last_replica(
    settings: &ConcurrencySettings,
    wanted: u32,
    reason: DecisionReason,
    seen: &Observation,
    state: &mut State,
    now: Duration,
) -> (u32, DecisionReason) {
    if wanted > 0 {
        state.idle.wanted();
        return (wanted, reason);
    }
    if seen.current == 0 {
        return (0, DecisionReason::Idle);
    }
    let idleness = Idleness {
        busy: seen.running > 0 || seen.held > 0,
        starting: seen.starting > 0,
        certain: seen.complete,
    };
    match state.idle.zero(settings.idle, idleness, now) {
        None => (0, DecisionReason::Idle),
        Some(Stay::Busy) => (1, DecisionReason::Busy),
        Some(Stay::Starting) => (1, DecisionReason::Starting),
        Some(Stay::Uncertain) => (1, DecisionReason::IncompleteSamples),
        Some(Stay::Grace) => (1, DecisionReason::ScaleToZeroGrace),
        Some(Stay::Retention) => (1, DecisionReason::LastReplicaRetention),
    }
}

fn bound_reason(bound: Option<Bound>, otherwise: DecisionReason) -> DecisionReason {
    match bound {
        Some(Bound::UpRate) => DecisionReason::ScaleUpRate,
        Some(Bound::DownRate) => DecisionReason::ScaleDownRate,
        _ => otherwise,
    }
}

fn is_load(average: f64) -> bool {
    average.is_finite() && average >= 0.0
}
