//! The bound and the plan, against each other and against cases small enough to solve by hand.

use super::*;
use crate::distribution::Distribution;
use crate::gateway::Limits;
use crate::rule::{Fixed, Rule, Seen, Wanted};
use crate::scene::Objective;
use crate::span::{SECOND, nanos};
use crate::workload::Request;
use crate::workload::shape::{Plan as Shaped, Shape};
use std::time::Duration;

fn scene(concurrency: u32, cold: &str) -> Scene {
    let scene = Scene::from_zero(Limits::patient(concurrency), cold);
    Scene { drain_delay: 0, objective: Objective { late: 0.0, ..scene.objective }, ..scene }
}

fn requests(list: &[(f64, f64)], end: u64) -> Workload {
    let request = |(at, service): &(f64, f64)| Request {
        at: nanos(*at),
        service: nanos(*service),
        tenant: 0,
    };
    Workload::of(list.iter().map(request).collect(), end * SECOND)
}

fn shaped(shape: Shape, service: &str) -> Workload {
    let service: Distribution = service.parse().unwrap();
    let plan = Shaped {
        shape,
        rate: 4.0,
        peak: 40.0,
        duration: 450.0,
        change_at: 150.0,
        change_for: 60.0,
        period: 200.0,
        service,
    };
    plan.draw(2).unwrap()
}

fn meets(outcome: &Outcome, scene: &Scene) -> bool {
    outcome.ledger.tally(&scene.objective, |_| true).late_share <= scene.objective.late
}

#[test]
fn one_request_costs_a_start_and_itself() {
    let workload = requests(&[(5.0, 10.0)], 100);
    let scene = scene(1, "7s");
    // It surely runs from 5.2 to 15, but must be run for 10 seconds.
    assert!((bound(&scene, &workload) - 17.0).abs() < 1e-6);
    let found = clairvoyant(&scene, &workload, &|_| ());
    assert!(meets(&found, &scene));
    assert!((found.replica_seconds - 17.0).abs() < 0.21, "{:?}", found);
}

#[test]
fn who_is_there_at_the_beginning_is_not_started_once_more() {
    let one_after_the_other: Vec<(f64, f64)> =
        (0..60).map(|second| (f64::from(second), 1.0)).collect();
    let workload = requests(&one_after_the_other, 60);
    let scene = Scene { initial: 3, ..scene(1, "20s") };
    let found = clairvoyant(&scene, &workload, &|_| ());
    assert!(meets(&found, &scene));
    assert!((found.replica_seconds - 60.0).abs() < 0.1, "{found:?}");
}

#[test]
fn it_stays_through_a_gap_that_is_shorter_than_a_start() {
    let workload = requests(&[(5.0, 10.0), (20.0, 10.0), (200.0, 10.0)], 300);
    let found = clairvoyant(&scene(1, "7s"), &workload, &|_| ());
    // 10, a gap of 5, 10, and a start of 7 for the last 10; and a start of 7 for the first.
    assert!((found.replica_seconds - 49.0).abs() < 0.5, "{:?}", found);
    assert_eq!(found.started, 2);
}

#[test]
fn what_may_be_late_is_given_up_where_it_costs_most() {
    let mut list: Vec<(f64, f64)> = (0..99).map(|n| (f64::from(n), 1.0)).collect();
    list.insert(50, (50.0, 1.0));
    let workload = requests(&list, 200);
    let mut scene = scene(1, "30s");
    let strict = clairvoyant(&scene, &workload, &|_| ());
    scene.objective.late = 0.51;
    let lax = clairvoyant(&scene, &workload, &|_| ());
    assert!(meets(
        &strict,
        &Scene { objective: Objective { late: 0.0, ..scene.objective }, ..scene }
    ));
    assert!(meets(&lax, &scene));
    assert_eq!((strict.started, lax.started), (2, 1));
}

#[test]
fn the_bound_is_below_and_the_plan_meets_the_objective() {
    for shape in [Shape::Poisson, Shape::Step, Shape::Sine, Shape::OnOff] {
        for (service, cold, late) in
            [("500ms", "5s", 0.01), ("lognormal:2s:1", "30s", 0.01), ("exponential:1s", "5s", 0.0)]
        {
            let mut scene = scene(4, cold);
            scene.objective.late = late;
            let workload = shaped(shape, service);
            let bound = bound(&scene, &workload);
            let found = clairvoyant(&scene, &workload, &|_| ());
            let cost = found.replica_seconds;
            assert!(meets(&found, &scene), "{shape:?} {service}");
            assert!(bound <= cost, "{shape:?} {service}: {bound} over {cost}");
            assert!(cost < 2.0 * bound, "{shape:?} {service}: {cost} far over {bound}");
            // Nor is it beaten by a number of replicas that meets the objective, from the start.
            let fixed = (4..40).step_by(4).find_map(|count| {
                let scene = Scene { initial: count, ..scene };
                let outcome = run(&scene, &workload, Driver::Rule(&mut Fixed(count)), &|_| ());
                let tally = outcome.ledger.tally(&scene.objective, |_| true);
                (tally.late_share <= late).then_some(outcome.replica_seconds)
            });
            assert!(fixed.is_none_or(|fixed| bound <= fixed), "{shape:?}: {bound} over {fixed:?}");
        }
    }
}

#[test]
fn halving_finds_the_most_that_holds() {
    for (end, want) in [(0, 0), (1, 0), (100, 37), (38, 37), (30, 29)] {
        assert_eq!(most_that(end, 20, |number| number <= 37), want, "{end}");
    }
}

#[test]
fn what_was_never_needed_before_is_not_there_in_time() {
    // Two at once from 20 on for the first time, and again at 60: with 7 s for a start.
    let list = [(0.0, 1.0), (10.0, 30.0), (20.0, 10.0), (60.0, 5.0), (60.0, 5.0)];
    let workload = requests(&list, 100);
    let scene = scene(1, "7s");
    assert_eq!(early(&scene, &workload), 1);
    assert_eq!(unseen(&scene, &workload), 2, "the last two find what the third needed");
    let two = Scene { initial: 2, ..scene };
    assert_eq!((early(&two, &workload), unseen(&two, &workload)), (0, 0));
    let least = Scene { min: 1, ..scene };
    assert_eq!((early(&least, &workload), unseen(&least, &workload)), (1, 2));
}

#[test]
fn no_rule_that_follows_what_it_saw_is_late_for_fewer() {
    for shape in [Shape::Step, Shape::Spike, Shape::OnOff] {
        let workload = shaped(shape, "exponential:2s");
        let scene = scene(1, "20s");
        let least = unseen(&scene, &workload);
        assert!(least > early(&scene, &workload), "{shape:?}: {least}");
        // The most that was ever needed, asked for without delay, and never let go.
        let mut follows = Record(0);
        let outcome = run(&scene, &workload, Driver::Rule(&mut follows), &|_| ());
        let late = outcome.ledger.tally(&scene.objective, |_| true).late;
        assert!(late >= least, "{shape:?}: {late} late, {least} at the least");
    }
}

/// Asks for as many as are in flight, and never for fewer.
struct Record(u32);

impl Rule for Record {
    fn decide(&mut self, seen: &Seen, _: Duration) -> Wanted {
        // What waits is needed later than it would have been, so running ones are what counts.
        self.0 = self.0.max(seen.running + 1).max(seen.current);
        Wanted { replicas: self.0.min(100), reason: "record" }
    }
}

#[test]
fn a_plan_gives_up_about_as_much_as_it_may() {
    for shape in [Shape::Poisson, Shape::Sine, Shape::OnOff] {
        let workload = shaped(shape, "exponential:1s");
        let mut scene = scene(4, "5s");
        scene.objective.late = 0.01;
        let found = clairvoyant(&scene, &workload, &|_| ());
        assert!(meets(&found, &scene), "{shape:?}");
        let late = found.ledger.tally(&scene.objective, |_| true).late_share;
        assert!(late > 0.002, "{shape:?}: {late}");
    }
}

#[test]
fn the_bound_never_falls_when_starts_take_longer() {
    // Requests that surely run for long, far apart: each that may be late saves a whole start.
    let list: Vec<(f64, f64)> = (0..40).map(|n| (f64::from(n) * 90.0, 20.0)).collect();
    let workload = requests(&list, 3600);
    let mut before = 0.0;
    for cold in ["1s", "5s", "30s", "60s", "120s", "300s"] {
        let mut scene = scene(1, cold);
        scene.objective.late = 0.5;
        let bound = bound(&scene, &workload);
        assert!(bound >= before, "{cold}: {bound} under {before}");
        before = bound;
    }
}
