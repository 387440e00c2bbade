//! Cortex's published cases, and its formula's numbers, step by step.

use super::{at, read};
use serde::Deserialize;
use std::time::Duration;
use tidegate_autoscaler::policy::bounds::Limits;
use tidegate_autoscaler::policy::cortex::{Cortex, CortexSettings};
use tidegate_autoscaler::policy::demand::Target;
use tidegate_autoscaler::policy::observation::{Load, Observation, Windows};
use tidegate_autoscaler::policy::reason::DecisionReason as Why;
use tidegate_autoscaler::policy::rule::Rule;

#[derive(Deserialize)]
struct Case {
    name: String,
    spec: Spec,
    avg_in_flight: f64,
    current_replicas: u32,
    recommendation_timeline: Vec<u32>,
    timeline_step_s: f64,
    evaluated_after_s: f64,
    want_request: Option<u32>,
}

#[derive(Deserialize)]
struct Spec {
    target_in_flight: f64,
    window_s: f64,
    max_downscale_factor: f64,
    max_upscale_factor: f64,
    downscale_tolerance: f64,
    upscale_tolerance: f64,
    max_replicas: u32,
    min_replicas: u32,
    downscale_stabilization_s: f64,
    upscale_stabilization_s: f64,
}

/// Cortex's defaults with a target of one and no stabilization.
fn settings() -> CortexSettings {
    CortexSettings {
        target: Target::new(1.0, 1.0, None),
        window: at(60.0),
        upscale_stabilization: Duration::ZERO,
        downscale_stabilization: Duration::ZERO,
        max_upscale_factor: 1.5,
        max_downscale_factor: 0.75,
        upscale_tolerance: 0.05,
        downscale_tolerance: 0.05,
    }
}

const LIMITS: Limits = Limits { min: 1, max: 100 };

/// One recommendation of a rule without a past.
fn once(settings: CortexSettings, limits: Limits, in_flight: f64, current: u32) -> u32 {
    let mut rule = Cortex::begin(settings, limits, current, at(0.0)).with_records([]);
    rule.recommend(in_flight, current, at(0.0), &mut Vec::new()).0
}

#[test]
fn the_published_cases() {
    for case in read::<Case>(include_str!("../data/cortex_autoscaler.json")) {
        let spec = &case.spec;
        let settings = CortexSettings {
            target: Target::new(spec.target_in_flight, 1.0, None),
            window: at(spec.window_s),
            upscale_stabilization: at(spec.upscale_stabilization_s),
            downscale_stabilization: at(spec.downscale_stabilization_s),
            max_upscale_factor: spec.max_upscale_factor,
            max_downscale_factor: spec.max_downscale_factor,
            upscale_tolerance: spec.upscale_tolerance,
            downscale_tolerance: spec.downscale_tolerance,
        };
        let limits = Limits { min: spec.min_replicas, max: spec.max_replicas };
        let start = 100.0;
        let records = case.recommendation_timeline.iter().zip(0..);
        let records =
            records.map(|(&want, i)| (at(start + f64::from(i) * case.timeline_step_s), want));
        let current = case.current_replicas;
        let mut rule = Cortex::begin(settings, limits, current, at(start)).with_records(records);
        let now = at(start + case.evaluated_after_s);
        let (wanted, _) = rule.recommend(case.avg_in_flight, current, now, &mut Vec::new());
        assert_eq!((wanted != current).then_some(wanted), case.want_request, "{}", case.name);
    }
}

#[test]
fn one_tick_without_stabilization() {
    for (in_flight, current, want) in [
        (0.0, 1, 1),
        (0.0, 4, 3),
        (0.0, 10, 8),
        (9.4, 10, 10),
        (10.4, 10, 10),
        (10.5, 10, 11),
        (19.1, 20, 20),
        (19.0, 20, 19),
        (18.9, 20, 19),
        (20.9, 20, 20),
        (21.0, 20, 21),
        (21.1, 20, 22),
        (100.0, 1, 2),
        (100.0, 2, 3),
        (100.0, 3, 5),
        (100.0, 10, 15),
        (3.0, 0, 1),
        (0.01, 0, 1),
        (1.04, 1, 1),
        (1.06, 1, 2),
    ] {
        let got = once(settings(), LIMITS, in_flight, current);
        assert_eq!(got, want, "{in_flight} in flight with {current}");
    }
    for (target, want) in [(1.6, 5), (2.0, 4)] {
        let settings = CortexSettings { target: Target::new(target, 1.0, None), ..settings() };
        assert_eq!(once(settings, LIMITS, 8.0, 4), want, "target {target}");
    }
    for (current, want) in [(1, 0), (2, 1), (3, 2), (5, 4)] {
        let limits = Limits { min: 0, max: 100 };
        assert_eq!(once(settings(), limits, 0.0, current), want, "down from {current}");
    }
}

/// Ticks of ten seconds with Cortex's defaults, and replicas that are ready at once. At time 0 the
/// load, so far one request a replica, becomes another. Gives each change with its time.
fn timeline(load: f64, from: u32, seconds: u32) -> Vec<(u32, u32)> {
    const BEFORE: u32 = 60;
    let settings = CortexSettings {
        upscale_stabilization: at(60.0),
        downscale_stabilization: at(300.0),
        ..settings()
    };
    let mut rule = Cortex::begin(settings, LIMITS, from, at(f64::from(BEFORE))).with_records([]);
    let mut seen = Observation {
        current: from,
        ready: from,
        complete: true,
        load: Some(Load { from: at(0.0), average: f64::from(from) }),
        ..Observation::default()
    };
    let mut changes = Vec::new();
    for second in (0..=seconds).step_by(10) {
        let now = at(f64::from(BEFORE + second));
        let wanted = rule.wish(&seen, now).replicas;
        if wanted != seen.current {
            changes.push((second, wanted));
        }
        (seen.current, seen.ready) = (wanted, wanted);
        seen.load = Some(Load { from: now, average: load });
    }
    changes
}

#[test]
fn growth_and_decline_with_the_defaults_take_as_long_as_there() {
    assert_eq!(timeline(10.0, 1, 800), [(70, 2), (140, 3), (210, 5), (280, 8), (350, 10)]);
    let to_hundred = timeline(100.0, 1, 800);
    for change in [(350, 12), (490, 27), (630, 62), (770, 100)] {
        assert!(to_hundred.contains(&change), "{change:?} in {to_hundred:?}");
    }
    let down = timeline(0.0, 100, 5000);
    for change in [(310, 84), (320, 75), (1240, 36), (4960, 1)] {
        assert!(down.contains(&change), "{change:?} in {down:?}");
    }
}

#[test]
fn a_backlog_wakes_what_it_needs_and_it_stays_for_the_downscale_period() {
    let settings = CortexSettings { downscale_stabilization: at(300.0), ..settings() };
    let mut rule = Cortex::begin(settings, LIMITS, 0, at(0.0));
    let seen = Observation { held: 7, ..Observation::default() };
    let wish = rule.wake(&seen, at(400.0));
    assert_eq!((wish.replicas, wish.reason), (7, Why::Wake));
    let windows = Some(Windows { stable: 0.0, panic: 0.0 });
    let seen =
        Observation { current: 7, ready: 7, windows, complete: true, ..Observation::default() };
    assert_eq!(rule.wish(&seen, at(700.0)).replicas, 7);
    assert_eq!(rule.wish(&seen, at(701.0)).replicas, 6);
    let guess = Observation { complete: false, ..seen };
    let kept = rule.wish(&guess, at(1100.0));
    assert_eq!((kept.replicas, kept.reason), (7, Why::IncompleteSamples));
}
