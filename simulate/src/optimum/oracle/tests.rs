//! The planners: what they know, and that they know no more.

use super::*;
use crate::gateway::Limits;
use crate::optimum::{clairvoyant, early};
use crate::workload::Request;
use crate::workload::shape::Shape;

fn scene(cold: &str) -> Scene {
    Scene::from_zero(Limits::patient(4), cold)
}

fn drawn(shape: Shape, seed: u64) -> Workload {
    let plan = Shaped {
        shape,
        rate: 10.0,
        peak: 60.0,
        duration: 900.0,
        change_at: 300.0,
        change_for: 100.0,
        period: 300.0,
        service: "exponential:1s".parse().unwrap(),
    };
    plan.draw(seed).unwrap()
}

fn played(policy: &str, scene: &Scene, workload: &Workload) -> Outcome {
    let oracle = Oracle::of(policy).unwrap().unwrap();
    oracle.check(workload).unwrap();
    oracle.play(scene, workload, &|_| ())
}

fn late(outcome: &Outcome, scene: &Scene) -> f64 {
    outcome.ledger.tally(&scene.objective, |_| true).late_share
}

/// Replicas that are ready from second to second.
fn ready(outcome: &Outcome) -> Vec<u32> {
    let at = |second: u64| {
        let until = outcome.record.ready.iter().take_while(|(at, _)| *at <= second * SECOND);
        until.last().map_or(0, |(_, count)| *count)
    };
    (0..900).map(at).collect()
}

#[test]
fn a_known_rate_is_met_in_time_whatever_is_drawn() {
    let scene = scene("60s");
    for shape in [Shape::Poisson, Shape::Step, Shape::Sine, Shape::OnOff] {
        let (one, other) = (drawn(shape, 1), drawn(shape, 2));
        let (first, second) =
            (played("rate:0.01", &scene, &one), played("rate:0.01", &scene, &other));
        assert_eq!(ready(&first), ready(&second), "{shape:?}: it knows no draws");
        let share = late(&first, &scene).max(late(&second, &scene));
        assert!(share < 0.015, "{shape:?}: {share}");
        let best = clairvoyant(&scene, &one, &|_| ());
        assert!(first.replica_seconds > 0.95 * best.replica_seconds, "{shape:?}");
    }
}

#[test]
fn what_is_needed_is_there_a_cold_start_later_and_no_sooner() {
    let scene = scene("20s");
    let whole = drawn(Shape::Step, 1);
    let cut = |at: &Request| at.at < 300 * SECOND;
    let requests = whole.requests.iter().copied().filter(cut).collect();
    let without = Workload { requests, ..whole.clone() };
    let (with, without) =
        (played("need:0:30s", &scene, &whole), played("need:0:30s", &scene, &without));
    let (with, without) = (ready(&with), ready(&without));
    assert_eq!(with[..300], without[..300], "nobody knew of the step before it came");
    assert!(with[300..320].iter().max() <= with[..300].iter().max(), "{:?}", &with[290..330]);
    assert!(with[324] > 2 * with[319], "{:?}", &with[310..330]);
    // For half a minute after the last request has ended.
    assert!(without[325] > 0 && without[345] == 0, "{:?}", &without[300..345]);
}

#[test]
fn spare_ones_meet_what_nobody_foresees() {
    let scene = scene("20s");
    let workload = drawn(Shape::Step, 1);
    let share = |policy: &str| late(&played(policy, &scene, &workload), &scene);
    let (none, some, all) = (share("need:0:60s"), share("need:5:60s"), share("need:20:60s"));
    let early = early(&scene, &workload) as f64 / workload.requests.len() as f64;
    assert!(none > 0.02 && some < none, "{none} {some}");
    assert!(
        all >= early && all < early + 0.002,
        "before the first request there are none: {all}, {early}"
    );
}

#[test]
fn words_that_say_no_planner_are_refused_with_an_example() {
    assert!(Oracle::of("slo").is_none() && Oracle::of("fixed:3").is_none());
    for (bad, example) in [
        ("rate:0", "rate:0.01"),
        ("rate:0.6", "rate:0.01"),
        ("rate:NaN", "rate:0.01"),
        ("need:1", "need:2:60s"),
        ("need:-1:60s", "need:2:60s"),
        ("need:1:soon", "need:2:60s"),
    ] {
        let told = Oracle::of(bad).unwrap().unwrap_err().to_string();
        assert!(told.contains(example), "{told}");
    }
    let trace = Workload { law: None, ..drawn(Shape::Poisson, 1) };
    assert!(Oracle::Rate { late: 0.1 }.check(&trace).is_err());
}
