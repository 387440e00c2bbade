//! The scaling rules under a simulated clock: others' published cases, scenarios, invariants.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_input;
mod cases;
mod cortex;
mod invariants;
mod ray;
mod restart;
mod scenarios;
mod slo;
mod windows;

use std::time::Duration;
use tidegate_autoscaler::policy::bounds::{Limits, Rates};
use tidegate_autoscaler::policy::concurrency::ConcurrencySettings;
use tidegate_autoscaler::policy::decide::{RuleSettings, ScalerSettings};
use tidegate_autoscaler::policy::demand::Target;
use tidegate_autoscaler::policy::idle::IdleSettings;
use tidegate_autoscaler::policy::observation::{Load, Observation};

/// A moment, in seconds since the beginning.
fn at(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// Settings as a document without `autoscaling.concurrency` has them, with a target of 1.4.
fn concurrency() -> ConcurrencySettings {
    ConcurrencySettings {
        target: Target::new(2.0, 0.7, Some(2)),
        stable_window: at(60.0),
        panic_window: at(6.0),
        panic_threshold: 2.0,
        rates: Rates { up: 1000.0, down: 2.0 },
        scale_down_delay: Duration::ZERO,
        activation_replicas: 1,
    }
}

/// The same with the least, the most and the grace.
fn settings() -> ScalerSettings {
    ScalerSettings {
        rule: RuleSettings::Concurrency(concurrency()),
        limits: Limits { min: 0, max: 10 },
        idle: IdleSettings { grace: at(30.0), retention: Duration::ZERO },
    }
}

/// A tick that sees `average` in flight over the second before `now`, with all replicas ready.
fn seen(current: u32, average: f64, now: f64) -> Observation {
    Observation {
        current,
        ready: current,
        load: Some(Load { from: at(now - 1.0), average }),
        complete: true,
        ..Observation::default()
    }
}

/// What a file of published cases looks like.
#[derive(serde::Deserialize)]
struct File<T> {
    n: usize,
    cases: Vec<T>,
}

/// The cases of a file, as many as it says there are.
fn read<T: for<'a> serde::Deserialize<'a>>(text: &str) -> Vec<T> {
    let file: File<T> = serde_json::from_str(text).unwrap();
    assert_eq!(file.cases.len(), file.n);
    file.cases
}
