//! Knative's published cases, to the number.

use super::{at, read};
use serde::Deserialize;
use std::time::Duration;
use tidegate_autoscaler::policy::bounds::Rates;
use tidegate_autoscaler::policy::burst::Burst;
use tidegate_autoscaler::policy::concurrency::{Concurrency, ConcurrencySettings};
use tidegate_autoscaler::policy::demand::Target;
use tidegate_autoscaler::policy::hold::{Hold, MaxWindow};
use tidegate_autoscaler::policy::observation::Observation;
use tidegate_autoscaler::policy::reason::DecisionReason;
use tidegate_autoscaler::policy::rule::Rule;

/// The cases count from 0 and look back before it; our moments begin at 0.
const BASE: f64 = 1000.0;

#[derive(Deserialize)]
struct Scale {
    name: String,
    spec: Spec,
    ready_at_construction: Option<u32>,
    initial_override: Option<Override>,
    want_panic_mode_after_construction: Option<bool>,
    want_max_panic_pods_after_construction: Option<u32>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Spec {
    target_value: f64,
    panic_threshold: f64,
    max_scale_up_rate: f64,
    max_scale_down_rate: f64,
    stable_window_s: f64,
    scale_down_delay_s: f64,
    activation_scale: u32,
    reachable: bool,
}

#[derive(Deserialize)]
struct Override {
    panic_time_s: f64,
    max_panic_pods: u32,
}

#[derive(Deserialize)]
struct Step {
    t_s: f64,
    ready_pods: u32,
    #[serde(default)]
    stable: f64,
    #[serde(default)]
    panic: f64,
    #[serde(default)]
    metric_error: bool,
    want_pods: u32,
    want_panic_mode: Option<bool>,
    want_panic_time_s: Option<f64>,
}

impl Spec {
    fn settings(&self) -> ConcurrencySettings {
        ConcurrencySettings {
            target: Target::new(self.target_value, 1.0, None),
            stable_window: at(self.stable_window_s),
            panic_window: at(self.stable_window_s / 10.0),
            panic_threshold: self.panic_threshold,
            rates: Rates {
                up: self.max_scale_up_rate,
                // What can't be reached may shrink without limit.
                down: if self.reachable { self.max_scale_down_rate } else { f64::INFINITY },
            },
            scale_down_delay: at(self.scale_down_delay_s),
            activation_replicas: self.activation_scale,
        }
    }
}

#[test]
fn one_tick_decides_as_knative_does() {
    for case in read::<Scale>(include_str!("../data/kpa_scale.json")) {
        let name = &case.name;
        let settings = case.spec.settings();
        let begin = at(BASE);
        let ready = case.ready_at_construction.unwrap_or(0);
        let mut rule = Concurrency::begin(settings, ready, begin);
        if let Some(want) = case.want_panic_mode_after_construction {
            assert_eq!(rule.burst().is_active(), want, "{name}");
        }
        if let Some(want) = case.want_max_panic_pods_after_construction {
            assert_eq!(rule.burst().most(), want, "{name}");
        }
        if let Some(given) = &case.initial_override {
            let last = at(BASE + given.panic_time_s);
            rule = rule.with_burst(Burst::resume(last, given.max_panic_pods));
        }
        for step in &case.steps {
            let now = at(BASE + step.t_s);
            if step.metric_error {
                kept_without_samples(step, &mut rule, now);
                continue;
            }
            let averages = (step.stable, step.panic);
            let (wanted, _) = rule.recommend(averages, step.ready_pods, now, &mut Vec::new());
            assert_eq!(wanted, step.want_pods, "{name} at {} s", step.t_s);
            if let Some(want) = step.want_panic_mode {
                assert_eq!(rule.burst().is_active(), want, "{name} at {} s", step.t_s);
            }
            if let Some(want) = step.want_panic_time_s {
                assert_eq!(rule.burst().last_over(), Some(at(BASE + want)), "{name}");
            }
        }
    }
}

/// Knative calls the result invalid and keeps the scale; here that is a wish with its reason.
fn kept_without_samples(step: &Step, rule: &mut Concurrency, now: Duration) {
    let seen = Observation { current: 7, ready: step.ready_pods, ..Observation::default() };
    let wish = rule.wish(&seen, now);
    assert_eq!((wish.replicas, wish.reason), (7, DecisionReason::NoSamples));
}

#[derive(Deserialize)]
struct Max {
    name: String,
    size: Option<u64>,
    #[serde(default)]
    indexes: Vec<u64>,
    #[serde(default)]
    values: Vec<u32>,
    #[serde(default)]
    want_current_after_each: Vec<u32>,
    duration_s: Option<f64>,
    #[serde(default)]
    records: Vec<(f64, u32)>,
    want: Option<u32>,
}

#[test]
fn the_sliding_maximum_is_knatives() {
    for case in read::<Max>(include_str!("../data/max_window.json")) {
        let name = &case.name;
        if let Some(size) = case.size {
            let mut window = MaxWindow::new(size);
            let steps = case.indexes.iter().zip(&case.values);
            let seen: Vec<u32> = steps.map(|(step, value)| window.record(*step, *value)).collect();
            assert_eq!(seen, case.want_current_after_each, "{name}");
        } else {
            let mut hold = Hold::new(at(case.duration_s.unwrap()));
            let last =
                case.records.iter().map(|(second, wanted)| hold.record(*wanted, at(*second)));
            assert_eq!(last.last(), case.want, "{name}");
        }
    }
}

#[derive(Deserialize)]
struct PerReplica {
    name: String,
    metric: String,
    container_concurrency: u32,
    cfg_target_fraction: f64,
    cfg_default_target: f64,
    annotation_target: Option<f64>,
    annotation_target_utilization_pct: Option<f64>,
    want_target: f64,
}

#[test]
fn the_target_per_replica_is_knatives() {
    let cases = read::<PerReplica>(include_str!("../data/metric_target.json"));
    let mut checked = 0;
    for case in cases.iter().filter(|case| case.metric == "concurrency") {
        let limit = Some(case.container_concurrency).filter(|limit| *limit > 0);
        let default = limit.map_or(case.cfg_default_target, f64::from);
        let share = case.annotation_target_utilization_pct.map(|percent| percent / 100.0);
        let target = Target::new(
            case.annotation_target.unwrap_or(default),
            share.unwrap_or(case.cfg_target_fraction),
            limit,
        );
        let off = (target.value() - case.want_target).abs();
        assert!(off < 1e-9, "{}: {} is not {}", case.name, target.value(), case.want_target);
        checked += 1;
    }
    assert_eq!(checked, 15);
}
