//! The `concurrency` rule: Knative's autoscaler, to the number.
//!
//! In order: demand by two windows → rates → burst → hold. What differs, each for a known fault
//! there: a second without a sample is unknown, not zero, and nothing shrinks on a window that is
//! mostly unknown; requests held at the gateway wake as many replicas as they need.

use super::bounds::{Bound, Rates};
use super::burst::Burst;
use super::decision::{Numbers, Stage, Step};
use super::demand::Target;
use super::hold::Hold;
use super::observation::{Observation, is_load};
use super::reason::DecisionReason;
use super::rule::{Rule, Wish};
use super::snapshot::Snapshot;
use super::window::{Average, Window};
use std::time::Duration;

/// The known share of the stable window below which nothing shrinks.
///
/// Half: after a restart or a long gap the first seconds must not speak for the whole window, and
/// a minute is not waited for in full either.
pub(super) const ENOUGH: f64 = 0.5;

/// Settings, with the meaning they have in Knative.
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
    /// How far one tick may move.
    pub rates: Rates,
    /// How long fewer replicas must have been enough before some go.
    pub scale_down_delay: Duration,
    /// Whenever there is demand, at least this many replicas.
    pub activation_replicas: u32,
}

/// The rule and what it remembers.
#[derive(Debug, Clone)]
pub struct Concurrency {
    settings: ConcurrencySettings,
    window: Window,
    burst: Burst,
    hold: Hold,
}

impl Concurrency {
    /// The rule of an autoscaler that begins at `now` while `current` replicas run.
    pub fn begin(settings: ConcurrencySettings, current: u32, now: Duration) -> Self {
        Self {
            window: Window::new(settings.stable_window.max(settings.panic_window)),
            burst: Burst::begin(current, now),
            hold: Hold::new(settings.scale_down_delay),
            settings,
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

    /// Knative's rule for one tick, from window averages to a wish: demand by both windows, rates,
    /// activation scale, burst, delay. `steps` gets each of them.
    pub fn recommend(
        &mut self,
        (stable, panic): (f64, f64),
        ready: u32,
        now: Duration,
        steps: &mut Vec<Step>,
    ) -> (u32, DecisionReason) {
        let settings = self.settings;
        let demand = (settings.target.wanted(stable), settings.target.wanted(panic));
        let (calm, calm_bound) = self.rated(demand.0, ready);
        let (hasty, hasty_bound) = self.rated(demand.1, ready);
        let over = f64::from(demand.1) / f64::from(ready.max(1)) >= settings.panic_threshold;
        self.burst.observe(over, settings.stable_window, now);

        let (wanted, reason) = if self.burst.is_active() {
            let rated = calm.max(hasty);
            let wanted = self.burst.raise(rated);
            steps.push(Step::new(Stage::Demand, demand.0, demand.0.max(demand.1)));
            steps.push(Step::new(Stage::Rates, demand.0.max(demand.1), rated));
            steps.push(Step::new(Stage::Burst, rated, wanted));
            let cut = wanted == hasty && hasty_bound == Some(Bound::Highest);
            (wanted, if cut { DecisionReason::ScaleUpRate } else { DecisionReason::Burst })
        } else {
            steps.push(Step::new(Stage::Demand, demand.0, demand.0));
            steps.push(Step::new(Stage::Rates, demand.0, calm));
            let reason = match calm_bound {
                Some(Bound::Highest) => DecisionReason::ScaleUpRate,
                Some(Bound::Lowest) => DecisionReason::ScaleDownRate,
                None => DecisionReason::StableWindow,
            };
            (calm, reason)
        };
        self.held(wanted, reason, now, steps)
    }

    /// The scale-down delay.
    fn held(
        &mut self,
        wanted: u32,
        reason: DecisionReason,
        now: Duration,
        steps: &mut Vec<Step>,
    ) -> (u32, DecisionReason) {
        let held = self.hold.record(wanted, now);
        steps.push(Step::new(Stage::Hold, wanted, held));
        if held > wanted { (held, DecisionReason::ScaleDownDelay) } else { (wanted, reason) }
    }

    /// A demand as far as the rates allow, and no less than the activation scale if there is any.
    fn rated(&self, demand: u32, ready: u32) -> (u32, Option<Bound>) {
        let (wanted, bound) = self.settings.rates.rate(demand, ready);
        if demand > 0 {
            (wanted.max(self.settings.activation_replicas), bound)
        } else {
            (wanted, bound)
        }
    }

    /// Nothing shrinks in a burst, on a guess, or on a window that is mostly unknown.
    fn keep_if_blind(
        &self,
        wanted: u32,
        reason: DecisionReason,
        seen: &Observation,
        filled: f64,
    ) -> (u32, DecisionReason) {
        if wanted >= seen.current {
            (wanted, reason)
        } else if self.burst.is_active() {
            (seen.current, DecisionReason::Burst)
        } else if !seen.is_certain() {
            (seen.current, DecisionReason::IncompleteSamples)
        } else if filled < ENOUGH {
            (seen.current, DecisionReason::ShortHistory)
        } else {
            (wanted, reason)
        }
    }

    /// Records what was seen and reads both windows.
    fn learn(&mut self, seen: &Observation, now: Duration) -> (Option<Average>, Option<Average>) {
        if let Some(load) = seen.load {
            self.window.record(load.from, now, load.average);
        }
        if let Some(given) = seen.windows {
            let full = |value| is_load(value).then_some(Average { value, filled: 1.0 });
            return (full(given.stable), full(given.panic));
        }
        let over = |length| self.window.over(length, now);
        (over(self.settings.stable_window), over(self.settings.panic_window))
    }

    fn numbers(&self, stable: Option<Average>, panic: Option<Average>) -> Numbers {
        Numbers::Concurrency {
            target: self.settings.target.value(),
            stable: (stable, self.settings.stable_window),
            panic: (panic, self.settings.panic_window),
            panicking: self.burst.is_active(),
            burst_most: self.burst.most(),
        }
    }
}

impl Rule for Concurrency {
    fn wish(&mut self, seen: &Observation, now: Duration) -> Wish {
        let (stable, panic) = self.learn(seen, now);
        let mut steps = Vec::new();
        let (replicas, reason) = if let (Some(calm), Some(hasty)) = (stable, panic) {
            let averages = (calm.value, hasty.value);
            let (wanted, reason) = self.recommend(averages, seen.ready, now, &mut steps);
            let (kept, reason) = self.keep_if_blind(wanted, reason, seen, calm.filled);
            steps.push(Step::new(Stage::Certainty, wanted, kept));
            (kept, reason)
        } else {
            (seen.current, DecisionReason::NoSamples)
        };
        Wish { replicas, reason, numbers: self.numbers(stable, panic), steps }
    }

    /// It begins a burst, which holds what was woken for a stable window.
    fn wake(&mut self, seen: &Observation, now: Duration) -> Wish {
        let (stable, panic) = self.learn(seen, now);
        let demand = self.settings.target.wanted(f64::from(seen.held));
        let (rated, _) = self.rated(demand, 0);
        self.burst.observe(true, self.settings.stable_window, now);
        let wanted = self.burst.raise(rated.max(seen.current));
        let mut steps = vec![
            Step::new(Stage::Demand, demand, demand),
            Step::new(Stage::Rates, demand, rated),
            Step::new(Stage::Burst, rated, wanted),
        ];
        let (replicas, _) = self.held(wanted, DecisionReason::Wake, now, &mut steps);
        let reason = DecisionReason::Wake;
        Wish { replicas, reason, numbers: self.numbers(stable, panic), steps }
    }

    fn save(&self, to: &mut Snapshot, now: Duration) {
        self.window.save("concurrency.window", to, now);
        self.burst.save("concurrency.burst", to, now);
        self.hold.save("concurrency.hold", to, now);
    }

    fn load(&mut self, from: &Snapshot, taken: Duration) {
        self.window.load("concurrency.window", from, taken);
        self.burst.load("concurrency.burst", from, taken);
        self.hold.load("concurrency.hold", from, taken);
    }
}
