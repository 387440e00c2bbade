//! The `ray` rule: that of Ray Serve's autoscaler, to the number.
//!
//! Demand over one window is approached by a factor, from what is ready; a change is made once it
//! has been wanted without a break for a delay. Only the last replica goes to zero, after a delay
//! of its own. From zero it starts at once.
//!
//! What differs, each for a known fault there: a backlog held while nothing is ready wakes as many
//! replicas as it needs (there: the factor); nothing shrinks on a guess; the delays are measured in
//! time, not in decisions.

use super::bounds::Limits;
use super::decision::{Stage, Step};
use super::demand::Target;
use super::lookback::Lookback;
use super::observation::Observation;
use super::reason::DecisionReason;
use super::rule::{Rule, Wish};
use super::snapshot::{Snapshot, age, moment};
use std::time::Duration;

/// Forgives what floating point adds before rounding up.
const ROUNDING: f64 = 1e-9;

/// Settings, with the meaning they have in Ray Serve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RaySettings {
    /// Ongoing requests a replica is meant for.
    pub target: Target,
    /// How long more must be wanted.
    pub upscale_delay: Duration,
    /// How long fewer must be wanted.
    pub downscale_delay: Duration,
    /// How long none must be wanted before the last replica goes.
    pub downscale_to_zero_delay: Duration,
    /// The share of an increase that is made.
    pub upscaling_factor: f64,
    /// The share of a decrease that is made.
    pub downscaling_factor: f64,
    /// The window that is averaged over.
    pub look_back: Duration,
}

/// The rule and what it remembers.
#[derive(Debug, Clone)]
pub struct Ray {
    settings: RaySettings,
    limits: Limits,
    lookback: Lookback,
    pending: Option<Pending>,
}

/// A change that is wanted without a break.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Pending {
    up: bool,
    since: Duration,
}

impl Ray {
    /// The rule of an autoscaler that begins.
    pub fn begin(settings: RaySettings, limits: Limits) -> Self {
        Self { lookback: Lookback::new(settings.look_back), settings, limits, pending: None }
    }

    /// Ray Serve's rule for one tick: `requests` ongoing on average, `ready` replicas, `target`
    /// replicas asked for.
    pub fn recommend(
        &mut self,
        requests: f64,
        ready: u32,
        target: u32,
        now: Duration,
        steps: &mut Vec<Step>,
    ) -> (u32, DecisionReason) {
        if ready == 0 {
            // From zero at once, and not by more until something is ready.
            self.pending = None;
            let first = self.settings.upscaling_factor.ceil() as u32;
            let wanted = if requests > 0.0 { first.max(target) } else { target };
            if requests > 0.0 || target > 0 {
                steps.push(Step::new(Stage::Demand, target, wanted));
                let why =
                    if wanted > target { DecisionReason::Wake } else { DecisionReason::Starting };
                return (wanted, why);
            }
        }
        let desired = requests / self.settings.target.value();
        let scaled = self.scaled(desired, ready);
        steps.push(Step::new(Stage::Demand, self.settings.target.wanted(requests), scaled));
        let (mut wanted, bound) = self.limits.limit(scaled);
        steps.push(Step::new(Stage::Rates, scaled, wanted));
        let mut reason = match bound {
            Some(_) if wanted < scaled => DecisionReason::MaxReplicas,
            Some(_) => DecisionReason::MinReplicas,
            None => DecisionReason::Window,
        };
        // Only from one to zero; from more, first to one.
        if wanted == 0 && target > 1 {
            wanted = 1;
        }
        let delayed = self.delayed(wanted, target, now);
        steps.push(Step::new(Stage::Hold, wanted, delayed));
        if delayed != wanted {
            let up = wanted > target;
            reason = if up { DecisionReason::ScaleUpDelay } else { DecisionReason::ScaleDownDelay };
        }
        (delayed, reason)
    }

    /// From `ready`, a share of the way to `desired`, and at least one down where any go.
    fn scaled(&self, desired: f64, ready: u32) -> u32 {
        let now = f64::from(ready);
        let RaySettings { upscaling_factor, downscaling_factor, .. } = self.settings;
        let factor = if desired > now { upscaling_factor } else { downscaling_factor };
        let scaled = (now + factor * (desired - now) - ROUNDING).ceil().max(0.0) as u32;
        let goes_down = (desired - ROUNDING).ceil() < now;
        if goes_down && scaled == ready { ready.saturating_sub(1) } else { scaled }
    }

    fn delayed(&mut self, wanted: u32, target: u32, now: Duration) -> u32 {
        if wanted == target {
            self.pending = None;
            return target;
        }
        let up = wanted > target;
        let pending = match self.pending {
            Some(pending) if pending.up == up => pending,
            _ => *self.pending.insert(Pending { up, since: now }),
        };
        let delay = match (up, wanted) {
            (true, _) => self.settings.upscale_delay,
            (false, 0) => self.settings.downscale_to_zero_delay,
            (false, _) => self.settings.downscale_delay,
        };
        if now.saturating_sub(pending.since) < delay {
            return target;
        }
        self.pending = None;
        wanted
    }
}

impl Rule for Ray {
    fn wish(&mut self, seen: &Observation, now: Duration) -> Wish {
        let average = self.lookback.learn(seen, now);
        let mut steps = Vec::new();
        let before = self.pending;
        let (replicas, reason) = match average {
            None => (seen.current, DecisionReason::NoSamples),
            Some(known) => {
                let (wanted, reason) =
                    self.recommend(known.value, seen.ready, seen.current, now, &mut steps);
                if wanted < seen.current && !seen.is_certain() {
                    // Still pending: the next certain sample may let it through.
                    self.pending = before;
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

    /// The downscale delay then holds it.
    fn wake(&mut self, seen: &Observation, now: Duration) -> Wish {
        let average = self.lookback.learn(seen, now);
        self.pending = None;
        let demand = self.settings.target.wanted(f64::from(seen.held));
        let first = self.settings.upscaling_factor.ceil() as u32;
        let replicas = demand.max(first).max(seen.current).max(1);
        let steps = vec![Step::new(Stage::Demand, demand, replicas)];
        Wish {
            replicas,
            reason: DecisionReason::Wake,
            numbers: self.lookback.numbers(self.settings.target, average),
            steps,
        }
    }

    fn save(&self, to: &mut Snapshot, now: Duration) {
        self.lookback.save("ray.window", to, now);
        let row = |pending: Pending| [f64::from(u8::from(pending.up)), age(pending.since, now)];
        to.put("ray.pending", self.pending.map(row));
    }

    fn load(&mut self, from: &Snapshot, taken: Duration) {
        self.lookback.load("ray.window", from, taken);
        self.pending = from
            .row("ray.pending")
            .and_then(|[up, age]| Some(Pending { up: up > 0.0, since: moment(age, taken)? }));
    }
}
