//! The scaling rules under a simulated clock: others' published cases, scenarios, invariants.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cases;
mod invariants;
mod scenarios;
mod windows;

use std::time::Duration;
use tidegate_autoscaler::policy::bounds::Bounds;
use tidegate_autoscaler::policy::decide::{ConcurrencySettings, Load, Observation};
use tidegate_autoscaler::policy::demand::Target;
use tidegate_autoscaler::policy::idle::IdleSettings;

/// A moment, in seconds since the beginning.
fn at(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// Settings as a document without `autoscaling.concurrency` has them, with a target of 1.4.
fn settings() -> ConcurrencySettings {
    ConcurrencySettings {
        target: Target::new(2.0, 0.7, Some(2)),
        stable_window: at(60.0),
        panic_window: at(6.0),
        panic_threshold: 2.0,
        bounds: Bounds { min: 0, max: 10, up_rate: 1000.0, down_rate: 2.0 },
        scale_down_delay: Duration::ZERO,
        activation_replicas: 1,
        idle: IdleSettings { grace: at(30.0), retention: Duration::ZERO },
    }
}

/// A tick that sees `average` in flight over the second before `now`, with all replicas ready.
fn seen(current: u32, average: f64, now: f64) -> Observation {
    Observation {
        current,
        ready: current,
        starting: 0,
        load: Some(Load { from: at(now - 1.0), average }),
        complete: true,
        running: 0,
        held: 0,
    }
}
