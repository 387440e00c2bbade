//! Ray Serve's published cases, and its delays.

use super::{at, read};
use serde::Deserialize;
use std::time::Duration;
use tidegate_autoscaler::policy::bounds::Limits;
use tidegate_autoscaler::policy::demand::Target;
use tidegate_autoscaler::policy::observation::{Observation, Windows};
use tidegate_autoscaler::policy::ray::{Ray, RaySettings};
use tidegate_autoscaler::policy::reason::DecisionReason as Why;
use tidegate_autoscaler::policy::rule::Rule;

#[derive(Deserialize)]
struct Case {
    name: String,
    config: Config,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Config {
    min: u32,
    max: u32,
    target_ongoing: f64,
    up_factor: f64,
    down_factor: f64,
    up_delay_s: f64,
    down_delay_s: f64,
    down_to_zero_delay_s: Option<f64>,
}

#[derive(Deserialize)]
struct Step {
    requests: f64,
    current: u32,
    target: u32,
    want: u32,
}

/// Ray Serve's defaults, without delays.
fn settings() -> RaySettings {
    RaySettings {
        target: Target::new(2.0, 1.0, None),
        upscale_delay: Duration::ZERO,
        downscale_delay: Duration::ZERO,
        downscale_to_zero_delay: Duration::ZERO,
        upscaling_factor: 1.0,
        downscaling_factor: 1.0,
        look_back: at(30.0),
    }
}

const LIMITS: Limits = Limits { min: 0, max: 100 };

#[test]
fn the_published_cases() {
    for case in read::<Case>(include_str!("../data/ray_serve_policy.json")) {
        let config = &case.config;
        let settings = RaySettings {
            target: Target::new(config.target_ongoing, 1.0, None),
            upscale_delay: at(config.up_delay_s),
            downscale_delay: at(config.down_delay_s),
            downscale_to_zero_delay: at(config.down_to_zero_delay_s.unwrap_or(config.down_delay_s)),
            upscaling_factor: config.up_factor,
            downscaling_factor: config.down_factor,
            look_back: at(30.0),
        };
        let mut rule = Ray::begin(settings, Limits { min: config.min, max: config.max });
        for (step, index) in case.steps.iter().zip(0_u32..) {
            let now = at(0.1 * f64::from(index));
            let got =
                rule.recommend(step.requests, step.current, step.target, now, &mut Vec::new());
            assert_eq!(got.0, step.want, "{} step {index}", case.name);
        }
    }
}

#[test]
fn a_small_down_factor_still_reaches_the_goal_one_by_one() {
    let settings = RaySettings { downscaling_factor: 0.2, ..settings() };
    let mut rule = Ray::begin(settings, LIMITS);
    let mut current = 5;
    let mut seen = Vec::new();
    for tick in 0..5_u32 {
        let now = at(f64::from(tick));
        current = rule.recommend(0.0, current, current, now, &mut Vec::new()).0;
        seen.push(current);
    }
    assert_eq!(seen, [4, 3, 2, 1, 0]);
}

#[test]
fn a_change_is_made_once_it_was_wanted_without_a_break_for_its_delay() {
    let settings = RaySettings { upscale_delay: at(30.0), ..settings() };
    let mut rule = Ray::begin(settings, LIMITS);
    let mut want =
        |second: f64, requests| rule.recommend(requests, 2, 2, at(second), &mut Vec::new());
    assert_eq!(want(0.0, 10.0), (2, Why::ScaleUpDelay));
    assert_eq!(want(29.0, 10.0).0, 2);
    // A break, and it counts anew.
    assert_eq!(want(29.5, 4.0).0, 2);
    assert_eq!(want(30.0, 10.0).0, 2);
    assert_eq!(want(59.9, 10.0).0, 2);
    assert_eq!(want(60.0, 10.0), (5, Why::Window));
}

#[test]
fn the_last_replica_has_a_delay_of_its_own_and_a_guess_takes_nothing() {
    let settings =
        RaySettings { downscale_delay: at(10.0), downscale_to_zero_delay: at(60.0), ..settings() };
    let mut rule = Ray::begin(settings, LIMITS);
    let mut wish = |second: f64, current: u32, complete| {
        let windows = Some(Windows { stable: 0.0, panic: 0.0 });
        let ready = current;
        let seen = Observation { current, ready, windows, complete, ..Observation::default() };
        rule.wish(&seen, at(second))
    };
    assert_eq!(wish(0.0, 3, true).replicas, 3);
    let blind = wish(10.0, 3, false);
    assert_eq!((blind.replicas, blind.reason), (3, Why::IncompleteSamples));
    assert_eq!(wish(10.5, 3, true).replicas, 1);
    assert_eq!(wish(11.0, 1, true).replicas, 1);
    assert_eq!(wish(70.0, 1, true).replicas, 1);
    assert_eq!(wish(71.0, 1, true).replicas, 0);
}
